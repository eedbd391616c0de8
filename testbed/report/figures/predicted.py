"""Measured barriers against predicted ones."""

from __future__ import annotations

import polars as pl
from matplotlib.figure import Figure

from testbed import columns
from testbed.report.figures.marks import COLORS, MARKERS, POINTS
from testbed.results.results import Results

CAPTION = (
    "Every pair's barrier (linear definition), measured on the grid of alphas, against the predicted one. "
    "The line is equality."
)
COMPARED = (  # measured, predicted, title
    ("test_loss", "population", "fresh inputs, population loss"),
    ("train_loss", "exact_training", "training set, exact path"),
)


def figure(results: Results) -> Figure | None:
    """Every pair's measured barrier against the predicted one."""
    sides = []
    for measured, predicted, title in COMPARED:
        on_grid, exact = columns.barrier(measured), columns.barrier(predicted)
        if results.has(on_grid) and results.has(exact):
            sides.append((on_grid, exact, title))
    if not sides:
        return None
    figure = Figure(figsize=(3.4 * len(sides), 3.7))
    axes = figure.subplots(1, len(sides), squeeze=False)[0]
    for ax, (on_grid, exact, title) in zip(axes, sides, strict=True):
        top = 0.0
        for kind in results.kinds:
            pairs = results.pairs_with(exact, on_grid, kind=kind)
            label = f"{kind} ({len(pairs):,})"
            ax.scatter(pairs[exact], pairs[on_grid], marker=MARKERS[kind], color=COLORS[kind], label=label, **POINTS)
            top = max(top, *pairs.select(pl.col(exact, on_grid).max().fill_null(0.0)).row(0))
        top = top or 1.0  # no pair has a barrier
        limits = (-0.03 * top, 1.05 * top)
        ax.axline((0, 0), slope=1, color="black", lw=0.8, zorder=0.5)
        ax.set(xlabel=f"predicted barrier ({results.unit})", ylabel=f"measured barrier ({results.unit})", title=title)
        ax.set(xlim=limits, ylim=limits, aspect="equal")
    labels = axes[0].get_legend_handles_labels()
    figure.legend(*labels, loc="outside lower center", markerscale=2, ncols=2)
    return figure
