"""All figures of a report that a study has something for, with their captions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from testbed.report.figures import (
    by_factor,
    curves,
    grid,
    permutations,
    planes,
    predicted,
    ranking,
    training,
    twins,
    z_scores,
)
from testbed.results.results import Results

STYLE = Path(__file__).resolve().parent.parent / "style.mplstyle"


@dataclass(frozen=True)
class Drawn:
    """A figure, what is said below it, and what it shows for who does not see it."""

    figure: Figure
    caption: str
    alt: str


def draw(results: Results) -> dict[str, Drawn]:
    """Every figure that applies, by name, in the order of the page; a maker returns None if nothing is to be shown."""
    factors = [key for key in results.factors if key not in ("component", "data.seed")]
    makers: dict[str, tuple[Callable[[Results], Figure | None], str | Callable[[Results], str]]] = {
        "ranking": (ranking.figure, ranking.CAPTION),
        "curves": (curves.figure, curves.caption),
        "predicted": (predicted.figure, predicted.CAPTION),
        "z": (z_scores.figure, z_scores.CAPTION),
    }
    for key in factors:
        name = f"barrier_{key.replace('.', '_')}"
        makers[name] = (functools.partial(by_factor.figure, key=key), functools.partial(by_factor.caption, key=key))
    makers |= {
        "twins": (twins.figure, twins.CAPTION),
        "permutations": (permutations.figure, permutations.CAPTION),
        "planes": (planes.figure, planes.CAPTION),
        "grid": (grid.figure, grid.CAPTION),
        "training": (training.figure, training.CAPTION),
    }
    drawn = {}
    for name, (make, caption) in makers.items():
        with mpl.rc_context(fname=STYLE):
            figure = make(results)
        if figure is not None:
            drawn[name] = Drawn(figure, caption if isinstance(caption, str) else caption(results), alt(figure))
    return drawn


def alt(figure: Figure) -> str:
    """What a figure shows: each pair of axes by its title, what is against what, and the series by their names."""
    said = []
    for ax in figure.axes:
        if not ax.get_visible() or not (ax.get_xlabel() or ax.get_ylabel() or ax.get_title(loc="left")):
            continue
        title = ax.get_title(loc="left").replace("\n", ", ")
        axes = " against ".join(name for name in (ax.get_ylabel(), ax.get_xlabel()) if name).replace("\n", " ")
        series = ", ".join(ax.get_legend_handles_labels()[1])
        said.append(f"{': '.join(part for part in (title, axes) if part)}{f' ({series})' if series else ''}")
    return "; ".join(said).replace("\\$", "$") + "."
