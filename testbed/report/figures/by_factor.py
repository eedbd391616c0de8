"""Barriers against a factor of the study: means at each of its levels, before and after alignment."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from testbed.report.figures.marks import ALIGNMENTS, BESIDE, COLORS, MARKS, PAIRS
from testbed.results.comparison import group_means
from testbed.results.results import Results


def figure(results: Results, key: str) -> Figure | None:
    """Mean barrier at each level of a factor, with 95 % intervals over families; the population's as a line beside it.

    What alignment leaves has a panel of its own where it is too small to be seen beside the rest.
    """
    kinds = [kind for kind in results.kinds if key in results.groups(kind)]
    besides = ["train_loss"] if any(results.has(f"{prefix}train_loss_barrier_linear") for prefix in BESIDE) else []
    names = dict.fromkeys((f"{results.part}_loss", f"{results.part}_error", "train_error", *besides))
    quantities = [q for q in names if results.has(f"{q}_barrier_linear")]
    levels = results.pairs[key].unique().sort().to_list()
    if not kinds or len(levels) < 2:
        return None
    panels = [(quantity, kind, False) for quantity in quantities for kind in kinds]
    panels += [(quantity, kind, True) for quantity in quantities if _hidden(results, quantity) for kind in kinds]
    columns = len(kinds) if len(kinds) > 1 else min(2, len(panels))
    drawn = Figure(figsize=(max(3.6, 3.3 * columns), 0.4 + 2.7 * -(-len(panels) // columns)))
    axes = drawn.subplots(-(-len(panels) // columns), columns, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    crowded = sum(len(str(level)) + 1 for level in levels) > 28 or any(len(str(level)) > 6 for level in levels)
    for place, (ax, (quantity, kind, aligned)) in enumerate(zip(axes.flat, panels, strict=False)):
        others = [other for other in results.groups(kind) if other != key]
        split = max(others, key=lambda other: results.pairs[other].n_unique(), default=None)
        _means(ax, results, kind, quantity, key, split, levels, aligned)
        pooled = [results.short(other) for other in others if other != split]
        ax.set_title(
            PAIRS[kind] + (", after alignment" if aligned else f", pooled over {', '.join(pooled)}" if pooled else "")
        )
        ax.set_xticks(range(len(levels)), [str(level) for level in levels])
        if crowded:
            ax.set_xticks(ax.get_xticks(), ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
        ax.set_xlabel(results.label(key))
        unit = results.unit if quantity.endswith("loss") else "share misclassified"
        if place % columns == 0 or len(kinds) == 1:
            ax.set_ylabel(f"{quantity.replace('_', ' ')} barrier, linear\n({unit})")
    handles = {label: handle for ax in axes.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    title = results.label(split) if split is not None else None
    drawn.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=2 * columns,
        title=title,
        title_fontsize=8,
        columnspacing=1,
    )
    return drawn


def _hidden(results: Results, quantity: str) -> bool:
    """Whether the mean barrier after every alignment is a small part of the one before."""
    column = f"{quantity}_barrier_linear"
    aligned = [prefix + column for prefix in ALIGNMENTS if prefix and results.has(prefix + column)]
    means = results.measured.select(pl.col([column, *aligned]).mean()).row(0)
    return quantity.endswith("loss") and bool(aligned) and max(means[1:]) < means[0] / 8


def _means(
    ax: mpl.axes.Axes,
    results: Results,
    kind: str,
    quantity: str,
    key: str,
    split: str | None,
    levels: list,
    aligned_alone: bool = False,
) -> None:
    pairs = results.measured.filter(kind=kind)
    by = [key] if split is None else [split, key]
    measured = group_means(pairs, by, f"{quantity}_barrier_linear")
    predicted = (
        group_means(pairs, by, "population_barrier_linear")
        if quantity == "test_loss" and results.has("population_barrier_linear")
        else None
    )
    series = [None] if split is None else measured[split].unique().sort().to_list()
    for i, level in enumerate([] if aligned_alone else series):
        color = COLORS[kind] if split is None else mpl.colormaps["viridis"](i / max(len(series) - 1, 1) * 0.9)
        rows = measured if split is None else measured.filter(pl.col(split) == level)
        x = np.array([levels.index(value) for value in rows[key]]) + (
            0.0 if len(series) == 1 else 0.18 * (i / (len(series) - 1) - 0.5)
        )
        mean = rows["mean"].to_numpy()
        error = np.nan_to_num(np.abs(rows.select("low", "high").to_numpy().T - mean))
        ax.errorbar(
            x,
            mean,
            error,
            fmt=MARKS[kind],
            ms=3.5,
            lw=1,
            color=color,
            label="measured" if level is None else str(level),
        )
        if predicted is not None:
            line = predicted if split is None else predicted.filter(pl.col(split) == level)
            ax.plot(x, line["mean"], color=color, lw=1, label="predicted" if level is None else None)
    shown = {
        prefix: mark
        for prefix, mark in (ALIGNMENTS | BESIDE).items()
        if prefix and results.has(f"{prefix}{quantity}_barrier_linear")
    }
    for place, (prefix, (mark, name)) in enumerate(shown.items(), 1):
        aligned = group_means(pairs, by, f"{prefix}{quantity}_barrier_linear")
        for i, level in enumerate(series):
            color = "0.2" if split is None else mpl.colormaps["viridis"](i / max(len(series) - 1, 1) * 0.9)
            rows = aligned if split is None else aligned.filter(pl.col(split) == level)
            mean = rows["mean"].to_numpy()
            error = np.nan_to_num(np.abs(rows.select("low", "high").to_numpy().T - mean))
            x = np.array([levels.index(value) for value in rows[key]]) + 0.08 * place
            ax.errorbar(
                x, mean, error, fmt=mark, ms=3.5, lw=0.8, color=color, mfc="none", label=name if i == 0 else None
            )
    low, high = ax.get_ylim()
    ax.set_ylim(min(0, low), high)
    if aligned_alone:
        ax.set_yscale("symlog", linthresh=high / 1000, linscale=0.5)
        ax.set_ylim(-high / 2000, high)
