"""What the figure of a factor shows, as numbers: the page draws it as SVG, the figures for papers by matplotlib."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from testbed import columns
from testbed.kinds import Mark
from testbed.report.facets import Facet
from testbed.report.figures.marks import MARKERS, PAIRS, aligned_paths, other_paths
from testbed.report.learnt import stuck
from testbed.report.verdicts import judged_by
from testbed.results.comparison import group_means
from testbed.results.results import Results
from testbed.results.trend import ROUNDING

SMALL = 1 / 8  # of the barrier before alignment: smaller ones after it have a panel of their own


@dataclass(frozen=True)
class Point:
    """A mean at one level, with its 95 % interval over families (NaN: none). level: its number.

    end: the same quantity at the ends of the paths, mean over the pairs; None where it was not measured. learnt: False
    where the networks of this level did not learn.
    """

    level: int
    mean: float
    low: float
    high: float
    n: int
    end: float | None
    learnt: bool


@dataclass(frozen=True)
class Series:
    """Points of one colour and marker. color: number of the level among n_colors, or None for the kind of pairs."""

    label: str
    role: str  # measured (points), predicted (a line), or path (hollow points)
    mark: Mark
    color: int | None
    n_colors: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """One pair of axes: barriers against the levels of a facet; in a strip below, the same quantity at the ends."""

    facet: Facet
    kind: str
    quantity: str
    title: str
    y_label: str
    end_label: str
    split: str | None
    series: tuple[Series, ...] = field(default_factory=tuple)

    @property
    def is_zero(self) -> bool:
        """Whether every barrier is 0: then a sentence says so, and nothing is drawn."""
        return self.top < ROUNDING

    @property
    def top(self) -> float:
        """The largest mean, or end of an interval."""
        return max((float(np.fmax(point.mean, point.high)) for point in self._points()), default=0.0)

    @property
    def bottom(self) -> float:
        """0, or the smallest end of an interval below it."""
        lowest = min((float(np.fmin(point.mean, point.low)) for point in self._points()), default=0.0)
        return min(lowest, 0.0)

    @property
    def roles(self) -> set[str]:
        """What is drawn: a caption and a legend speak of nothing else."""
        return {series.role for series in self.series if series.points}

    @property
    def has_ends(self) -> bool:
        """Whether there is a strip."""
        return any(point.end is not None for point in self._points())

    def _points(self) -> Iterator[Point]:
        return (point for series in self.series for point in series.points)


def panels(results: Results, facet: Facet) -> list[Panel]:
    """A panel for each quantity and kind of pairs; what alignment leaves has its own where it is too small to see."""
    kinds = [kind for kind in results.kinds if facet.key in results.groups(kind)]
    quantities = [name for name in _quantities(results) if results.has(columns.barrier(name))]
    shown = [(quantity, kind, False) for quantity in quantities for kind in kinds]
    shown += [(quantity, kind, True) for quantity in quantities if _hidden(results, quantity) for kind in kinds]
    unlearnt = {one.level for one in stuck(results, facet.key, facet.levels)}
    return [_panel(results, facet, quantity, kind, alone, unlearnt) for quantity, kind, alone in shown]


def caption(shown: list[Panel]) -> str:
    """What the panels show; nothing that they do not."""
    drawn = [panel for panel in shown if not panel.is_zero]
    roles = {role for panel in drawn for role in panel.roles}
    has_intervals = any(point.low == point.low for panel in drawn for s in panel.series for point in s.points)
    said = ["Mean barrier at each level"]
    said += ["points measured"] * ("measured" in roles)
    said += ["lines the exact population loss"] * ("predicted" in roles)
    said += ["hollow points along other paths than the straight one between the networks as trained"] * (
        "path" in roles
    )
    said += ["bars 95 % bootstrap intervals over families of networks, level by level"] * has_intervals
    text = f"{said[0]}: {', '.join(said[1:])}." if said[1:] else f"{said[0]}."
    if any(panel.has_ends for panel in drawn):
        text += " The strip below has the same quantity at the ends of the paths."
    if any(not point.learnt for panel in drawn for s in panel.series for point in s.points):
        text += " Crossed out: levels that did not learn."
    return text


def _quantities(results: Results) -> list[str]:
    """What there may be panels of: the training loss where another path than the straight one was measured on it."""
    names = [f"{results.part}_loss", f"{results.part}_error", "train_error"]
    judged = judged_by(results).partition("_barrier")[0]
    names = [judged, *names] if judged in names else names
    if any(results.has(columns.barrier("train_loss", path=path)) for path in other_paths()):
        names.append("train_loss")
    return list(dict.fromkeys(names))


def _hidden(results: Results, quantity: str) -> bool:
    """Whether the mean barrier after every alignment is a small part of the one before."""
    aligned = [columns.barrier(quantity, path=path) for path in aligned_paths()]
    aligned = [name for name in aligned if results.has(name)]
    if not aligned or not quantity.endswith("loss"):
        return False
    barriers = [columns.barrier(quantity), *aligned]
    before, *after = results.pairs_with(*barriers).select(pl.col(barriers).mean()).row(0)
    return max(after) < SMALL * before


def _panel(results: Results, facet: Facet, quantity: str, kind: str, aligned_alone: bool, unlearnt: set[Any]) -> Panel:
    own = Mark(MARKERS[kind], "measured")
    paths: dict[str, Mark] = {} if aligned_alone else {"": own}
    paths |= aligned_paths() | other_paths()
    barriers = {path: columns.barrier(quantity, path=path) for path in paths}
    ends = columns.ends(quantity)
    predicted = columns.barrier("population")
    pairs = results.pairs_with(*barriers.values(), ends, predicted, kind=kind)
    pairs = pairs.filter(pl.col(facet.key).is_in(facet.levels))
    others = [other for other in results.groups(kind) if other != facet.key and pairs[other].n_unique() > 1]
    split = max(others, key=lambda other: pairs[other].n_unique(), default=None)
    levels = [None] if split is None else pairs[split].unique().sort().to_list()
    series = []
    for path, mark in paths.items():
        if not results.has(barriers[path]):
            continue
        role = "path" if path else "measured"
        of_path = _series(results, pairs, facet, split, barriers[path], ends, unlearnt)
        for k, level in enumerate(levels):
            label = mark.label if level is None or path else str(level)
            color = None if split is None else k
            series.append(Series(label, role, mark, color, len(levels), of_path.get(level, ())))
    if quantity == "test_loss" and results.has(predicted) and not aligned_alone:
        of_path = _series(results, pairs, facet, split, predicted, None, unlearnt)
        for k, level in enumerate(levels):
            color = None if split is None else k
            series.append(Series("predicted", "predicted", own, color, len(levels), of_path.get(level, ())))
    pooled = [results.short(other) for other in others if other != split]
    title = PAIRS[kind] + (", after alignment" if aligned_alone else "")
    title += f", pooled over {', '.join(pooled)}" if pooled else ""
    unit = results.unit if quantity.endswith("loss") else "share misclassified"
    name = columns.readable(quantity)
    y_label = f"{name} barrier, linear ({unit})"
    return Panel(facet, kind, quantity, title, y_label, f"{name} at the ends", split, tuple(series))


def _series(
    results: Results,
    pairs: pl.DataFrame,
    facet: Facet,
    split: str | None,
    column: str,
    ends: str | None,
    unlearnt: set[Any],
) -> dict[Any, tuple[Point, ...]]:
    """The points of each series, by the level of the factor that splits them (None: one series)."""
    by = [facet.key] if split is None else [split, facet.key]
    means = group_means(pairs, by, column)
    if ends is not None and results.has(ends):
        means = means.join(pairs.group_by(by).agg(pl.col(ends).mean().alias("end")), on=by, maintain_order="left")
    found: dict[Any, list[Point]] = {}
    for row in means.to_dicts():
        level = facet.levels.index(row[facet.key])
        learnt = row[facet.key] not in unlearnt
        point = Point(level, row["mean"], row["low"], row["high"], row["n"], row.get("end"), learnt)
        found.setdefault(None if split is None else row[split], []).append(point)
    return {level: tuple(sorted(points, key=lambda point: point.level)) for level, points in found.items()}
