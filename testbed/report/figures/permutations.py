"""How often the two students of a pair choose different permutations of the teacher's units."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from testbed import columns
from testbed.report.figures.marks import MARKERS, PAIRS, color_of, plain
from testbed.results.results import Results

CAPTION = (
    "Share of pairs whose two students ended in different permutations of the teacher's units (each unit goes to the "
    "teacher unit that it overlaps with, all permutations tried; of unequal numbers all maps of the larger side onto "
    "the smaller), with 95 % bootstrap intervals over families; half of two-unit pairs would, by chance."
)


def figure(results: Results) -> Figure | None:
    """Share of pairs in different permutations, by the first factor, one line a level of the second."""
    if not results.has(columns.DIFFERENT_PERMUTATION) or not results.factors:
        return None
    figure = Figure(figsize=(3.4 * len(results.kinds), 3.2))
    panels = figure.subplots(1, len(results.kinds), squeeze=False, sharey=True)[0]
    for ax, kind in zip(panels, results.kinds, strict=True):
        _shares(ax, results, kind)
    figure.axes[0].set_ylabel("share in different permutations")
    labels = [zip(*ax.get_legend_handles_labels(), strict=True) for ax in panels]
    handles = {label: handle for pairs in labels for handle, label in pairs}
    if handles:
        split = next(key for kind in results.kinds for key in results.groups(kind)[1:2])
        title = results.label(split)
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", title=title, title_fontsize=8, ncols=4
        )
    return figure


def _shares(ax: mpl.axes.Axes, results: Results, kind: str) -> None:
    key, *others = results.groups(kind)
    split = others[0] if others else None
    by = [key] if split is None else [split, key]
    different = columns.DIFFERENT_PERMUTATION
    shares = results.means(kind, by, different)
    levels = shares[key].unique().sort().to_list()
    series: list[Any] = [None] if split is None else shares[split].unique().sort().to_list()
    for i, level in enumerate(series):
        rows = shares if split is None else shares.filter(pl.col(split) == level)
        aside = 0.12 * (i - (len(series) - 1) / 2) / max(len(series) - 1, 1)
        x = np.array([levels.index(value) for value in rows[key]]) + aside
        mean = rows["mean"].to_numpy()
        error = np.nan_to_num(np.abs(rows.select("low", "high").to_numpy().T - mean))
        label = None if level is None else plain(level)
        style: dict[str, Any] = {"fmt": "-" + MARKERS[kind], "ms": 3.5, "lw": 1, "color": color_of(i, series)}
        ax.errorbar(x, mean, error, label=label, **style)
    ax.set_xticks(range(len(levels)), [plain(level) for level in levels])
    ax.set(xlabel=results.label(key), title=PAIRS[kind])
    ax.set_ylim(bottom=-0.01)
