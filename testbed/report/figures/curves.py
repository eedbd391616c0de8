"""Loss along the paths of a few pairs, measured and predicted."""

from __future__ import annotations

import textwrap

import matplotlib as mpl
import polars as pl
from matplotlib.figure import Figure

from testbed import columns
from testbed.report.figures.marks import plain
from testbed.results.results import Results

QUANTILES = (0.1, 0.5, 1.0)
LONGEST = 28  # letters of a title's line, as wide as its panel
PARTS = (("test", "population", "C0"), ("train", "exact_training", "C2"))  # measured, predicted, colour


def figure(results: Results) -> Figure | None:
    """Three pairs of each kind, of small, median and largest barrier: measured points, exact lines."""
    barrier = columns.barrier(f"{results.part}_loss")
    tables = {kind: results.pairs_with(barrier, kind=kind).drop_nulls(barrier) for kind in results.kinds}
    kinds = [kind for kind, pairs in tables.items() if len(pairs)]  # a loss beyond float64 has no barrier
    if not kinds:
        return None
    figure = Figure(figsize=(6.6, 0.5 + 2.1 * len(kinds)))
    axes = figure.subplots(len(kinds), len(QUANTILES), sharex=True, squeeze=False)
    for row, kind in zip(axes, kinds, strict=True):
        pairs = tables[kind].select("pair", barrier, *results.groups(kind)).sort(barrier)
        for ax, quantile in zip(row, QUANTILES, strict=True):
            pair = pairs.row(round(quantile * (len(pairs) - 1)), named=True)
            _curve(ax, results.curve_of(pair["pair"]))
            levels = ", ".join(f"{results.short(key)} {pair[key]}" for key in results.groups(kind))
            ax.set_title(f"{kind}, barrier {pair[barrier]:.2g}\n{plain(textwrap.fill(levels, LONGEST))}", fontsize=7.5)
        row[0].set_ylabel(f"loss ({results.unit})", fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("α")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=5,
        columnspacing=1.2,
        handlelength=1.5,
    )
    return figure


def caption(results: Results) -> str:
    """What the figure shows: lines only where something was predicted."""
    said = (
        "Loss along the straight path between two networks, for pairs of small (10 % quantile), median and the largest "
    )
    said += "barrier of each kind. Points are measured"
    predicted = any(columns.predicted_loss(name) in results.curve_columns for _, name, _ in PARTS)
    return f"{said}, lines predicted; nothing is fitted." if predicted else f"{said}."


def _curve(ax: mpl.axes.Axes, curve: pl.DataFrame) -> None:
    """One pair's test and training loss, and what is predicted of each."""
    alpha = curve["alpha"]
    for part, prediction, color in PARTS:
        measured = f"{part}_loss"
        if measured not in curve.columns:
            continue
        loss = curve[measured]
        ax.plot(alpha, loss, "o", ms=2.5, color=color, label=f"measured, {part}")
        if part == "test":
            error = 2 * curve["test_standard_error"]
            ax.fill_between(alpha, loss - error, loss + error, color=color, alpha=0.2, lw=0, label="±2 standard errors")
        line = columns.predicted_loss(prediction)
        if line in curve.columns:
            ax.plot(alpha, curve[line], color="black" if part == "test" else color, lw=1, label=f"exact, {part}")
    ax.set_ylim(bottom=0)
