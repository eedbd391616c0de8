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
    """A figure and what is said below it."""

    figure: Figure
    caption: str


def draw(results: Results) -> dict[str, Drawn]:
    """Every figure that applies, by name, in the order of the page; a maker returns None if nothing is to be shown."""
    factors = [key for key in results.factors if key not in ("component", "data.seed")]
    makers: dict[str, tuple[Callable[[Results], Figure | None], str]] = {
        "ranking": (ranking.figure, ranking.CAPTION),
        "curves": (curves.figure, curves.CAPTION),
        "predicted": (predicted.figure, predicted.CAPTION),
        "z": (z_scores.figure, z_scores.CAPTION),
    }
    for key in factors:
        name = f"barrier_{key.replace('.', '_')}"
        makers[name] = (functools.partial(by_factor.figure, key=key), by_factor.CAPTION)
    makers |= {
        "twins": (twins.figure, twins.CAPTION),
        "permutations": (permutations.figure, permutations.CAPTION),
        "planes": (planes.figure, planes.CAPTION),
        "grid": (grid.figure, grid.CAPTION),
        "training": (training.figure, training.CAPTION),
    }
    with mpl.rc_context(fname=STYLE):
        made = {name: (make(results), caption) for name, (make, caption) in makers.items()}
    return {name: Drawn(figure, caption) for name, (figure, caption) in made.items() if figure is not None}
