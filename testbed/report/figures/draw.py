"""All figures of a report that a study has something for, with their captions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from testbed.report.blocks import Block
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
from testbed.report.panels import Panel, caption
from testbed.results.results import Results

STYLE = Path(__file__).resolve().parent.parent / "style.mplstyle"


@dataclass(frozen=True)
class Drawn:
    """A figure, what is said below it, and what it shows for who does not see it."""

    figure: Figure
    caption: str
    alt: str


def draw(results: Results, answer: list[Block]) -> Iterator[tuple[str, Drawn]]:
    """Every figure that applies, with its name, one after the other; a maker returns None if nothing is to be shown.

    answer: the blocks of the page, whose panels are drawn for papers too.
    """
    panels: dict[str, list[Panel]] = {}
    for block in answer:
        if block.panels:
            panels.setdefault(block.figure, []).extend([*block.panels, *block.others])
    makers: dict[str, tuple[Callable[[Results], Figure | None], str]] = {
        "ranking": (ranking.figure, ranking.CAPTION),
        "curves": (curves.figure, curves.caption(results)),
        "predicted": (predicted.figure, predicted.CAPTION),
        "z": (z_scores.figure, z_scores.CAPTION),
    }
    for name, shown in panels.items():
        makers[name] = (functools.partial(by_factor.figure, shown=shown), caption(shown))
    makers |= {
        "twins": (twins.figure, twins.CAPTION),
        "permutations": (permutations.figure, permutations.CAPTION),
        "planes": (planes.figure, planes.CAPTION),
        "grid": (grid.figure, grid.CAPTION),
        "training": (training.figure, training.caption(results)),
    }
    for name, (make, said) in makers.items():
        with mpl.rc_context(fname=STYLE):
            figure = make(results)
        if figure is not None:
            yield name, Drawn(figure, said, alt(figure))


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
