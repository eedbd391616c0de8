"""Barriers against a factor of the study: means at each of its levels, before and after alignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from testbed import columns
from testbed.report.figures.marks import COLORS, MARKERS, PAIRS, aligned_paths, color_of, other_paths, plain
from testbed.results.comparison import group_means
from testbed.results.results import Results

CAPTION = (
    "Mean barrier at each level: points measured, lines the exact population loss where it is known, bars 95 % "
    "bootstrap intervals over families of networks (not over pairs, which share networks)."
)
SMALL = 1 / 8  # of the barrier before alignment: smaller ones after it have a panel of their own


@dataclass(frozen=True)
class _Panel:
    """What one panel shows: a quantity, of one kind of pairs, or what alignment leaves of it alone.

    key: the factor along the axis, levels its values; split: the factor that tells series apart (None: one series).
    """

    quantity: str
    kind: str
    aligned_alone: bool
    key: str
    levels: list[Any]
    split: str | None

    @property
    def by(self) -> list[str]:
        """What means are taken for."""
        return [self.key] if self.split is None else [self.split, self.key]

    def x(self, rows: pl.DataFrame) -> np.ndarray:
        """The place of each row along the axis."""
        return np.array([self.levels.index(value) for value in rows[self.key]])


def figure(results: Results, key: str) -> Figure | None:
    """Mean barrier at each level of a factor, with 95 % intervals over families; the population's as a line beside it.

    What alignment leaves has a panel of its own where it is too small to be seen beside the rest.
    """
    panels = _panels(results, key)
    if not panels:
        return None
    n_kinds = len({panel.kind for panel in panels})
    n_columns = n_kinds if n_kinds > 1 else min(2, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure = Figure(figsize=(max(3.6, 3.3 * n_columns), 0.4 + 2.7 * n_rows))
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    for place, (ax, panel) in enumerate(zip(axes.flat, panels, strict=False)):
        _draw(ax, results, panel)
        _label(ax, results, panel, outer=place % n_columns == 0 or n_kinds == 1)
    labels = [zip(*ax.get_legend_handles_labels(), strict=True) for ax in axes.flat]
    handles = {label: handle for pairs in labels for handle, label in pairs}
    split = panels[-1].split
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=2 * n_columns,
        title=None if split is None else results.label(split),
        title_fontsize=8,
        columnspacing=1,
    )
    return figure


def _panels(results: Results, key: str) -> list[_Panel]:
    """A panel for each quantity and kind of pairs; none where the factor has one level alone."""
    kinds = [kind for kind in results.kinds if key in results.groups(kind)]
    levels = results.pairs[key].unique().sort().to_list()
    if len(levels) < 2:
        return []
    quantities = [name for name in _quantities(results) if results.has(columns.barrier(name))]
    shown = [(quantity, kind, False) for quantity in quantities for kind in kinds]
    shown += [(quantity, kind, True) for quantity in quantities if _hidden(results, quantity) for kind in kinds]
    panels = []
    for quantity, kind, aligned_alone in shown:
        others = [other for other in results.groups(kind) if other != key]
        split = max(others, key=lambda other: results.pairs[other].n_unique(), default=None)
        panels.append(_Panel(quantity, kind, aligned_alone, key, levels, split))
    return panels


def _quantities(results: Results) -> list[str]:
    """What there may be panels of: the training loss where another path than the straight one was measured on it."""
    names = [f"{results.part}_loss", f"{results.part}_error", "train_error"]
    if any(results.has(columns.barrier("train_loss", path=path)) for path in other_paths()):
        names.append("train_loss")
    return list(dict.fromkeys(names))


def _hidden(results: Results, quantity: str) -> bool:
    """Whether the mean barrier after every alignment is a small part of the one before."""
    aligned = [columns.barrier(quantity, path=path) for path in aligned_paths()]
    aligned = [name for name in aligned if results.has(name)]
    if not aligned or not quantity.endswith("loss"):
        return False
    before, *after = results.measured.select(pl.col([columns.barrier(quantity), *aligned]).mean()).row(0)
    return max(after) < SMALL * before


def _draw(ax: mpl.axes.Axes, results: Results, panel: _Panel) -> None:
    pairs = results.measured.filter(kind=panel.kind)
    measured = group_means(pairs, panel.by, columns.barrier(panel.quantity))
    series = [None] if panel.split is None else measured[panel.split].unique().sort().to_list()
    if not panel.aligned_alone:
        predicted = None
        if panel.quantity == "test_loss" and results.has(columns.barrier("population")):
            predicted = group_means(pairs, panel.by, columns.barrier("population"))
        _as_trained(ax, panel, series, measured, predicted)
    paths = {
        path: mark
        for path, mark in (aligned_paths() | other_paths()).items()
        if results.has(columns.barrier(panel.quantity, path=path))
    }
    for place, (path, mark) in enumerate(paths.items(), 1):
        means = group_means(pairs, panel.by, columns.barrier(panel.quantity, path=path))
        for i, level in enumerate(series):
            rows = _of_level(means, panel, level)
            color = "0.2" if panel.split is None else color_of(i, series)
            style: dict[str, Any] = {"fmt": mark.marker, "ms": 3.5, "lw": 0.8, "color": color, "mfc": "none"}
            x = panel.x(rows) + 0.08 * place
            ax.errorbar(x, rows["mean"].to_numpy(), _errors(rows), label=mark.label if i == 0 else None, **style)
    low, high = ax.get_ylim()
    ax.set_ylim(min(0, low), high)
    if panel.aligned_alone:
        ax.set_yscale("symlog", linthresh=high / 1000, linscale=0.5)
        ax.set_ylim(-high / 2000, high)


def _as_trained(
    ax: mpl.axes.Axes, panel: _Panel, series: list[Any], measured: pl.DataFrame, predicted: pl.DataFrame | None
) -> None:
    """Points of the measured barriers, and lines of the predicted ones, a colour for each series."""
    for i, level in enumerate(series):
        rows = _of_level(measured, panel, level)
        color = COLORS[panel.kind] if panel.split is None else color_of(i, series)
        aside = 0.0 if len(series) == 1 else 0.18 * (i / (len(series) - 1) - 0.5)
        x = panel.x(rows) + aside
        style: dict[str, Any] = {"fmt": MARKERS[panel.kind], "ms": 3.5, "lw": 1, "color": color}
        label = "measured" if level is None else plain(level)
        ax.errorbar(x, rows["mean"].to_numpy(), _errors(rows), label=label, **style)
        if predicted is not None:
            line = _of_level(predicted, panel, level)
            ax.plot(x, line["mean"], color=color, lw=1, label="predicted" if level is None else None)


def _label(ax: mpl.axes.Axes, results: Results, panel: _Panel, outer: bool) -> None:
    """Title, ticks and axes' names; the vertical axis is named at the outer panels."""
    pooled = [results.short(other) for other in results.groups(panel.kind) if other not in (panel.key, panel.split)]
    note = f", pooled over {', '.join(pooled)}" if pooled else ""
    ax.set_title(PAIRS[panel.kind] + (", after alignment" if panel.aligned_alone else note))
    ticks = [plain(level) for level in panel.levels]
    ax.set_xticks(range(len(ticks)), ticks)
    crowded = sum(len(tick) + 1 for tick in ticks) > 28 or any(len(tick) > 6 for tick in ticks)
    if crowded:
        ax.set_xticks(range(len(ticks)), ticks, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_xlabel(results.label(panel.key))
    if outer:
        unit = results.unit if panel.quantity.endswith("loss") else "share misclassified"
        ax.set_ylabel(f"{columns.readable(panel.quantity)} barrier, linear\n({unit})")


def _of_level(means: pl.DataFrame, panel: _Panel, level: Any) -> pl.DataFrame:
    """The rows of one series."""
    return means if panel.split is None else means.filter(pl.col(panel.split) == level)


def _errors(rows: pl.DataFrame) -> np.ndarray:
    """How far the ends of the interval are from the mean, `[2, n]`; 0 where there is none."""
    return np.nan_to_num(np.abs(rows.select("low", "high").to_numpy().T - rows["mean"].to_numpy()))
