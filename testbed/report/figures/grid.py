"""What a maximum over a grid misses."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from testbed import columns
from testbed.report.figures.marks import COLORS, MARKERS, POINTS
from testbed.results.results import Results

CAPTION = "What a maximum over the grid of alphas misses of the exact training barrier, as a share of it."
FLOOR = 1e-12  # barriers below are rounding
SMALLEST_SHARE = 1e-6  # what is missed is drawn there where it is less


def figure(results: Results) -> Figure | None:
    """What the grid of alphas misses of the exact training barrier, pair by pair."""
    exact_barrier = columns.barrier("exact_training")
    grid_barrier = columns.barrier("train_loss")
    if not results.has(exact_barrier):
        return None
    figure = Figure(figsize=(4.4, 3.2))
    ax = figure.subplots()
    for kind in results.kinds:
        pairs = results.pairs_with(exact_barrier, grid_barrier, kind=kind)
        exact = pairs[exact_barrier].to_numpy()
        on_grid = pairs[grid_barrier].to_numpy()
        shown = exact > FLOOR
        missed = np.maximum(1 - on_grid[shown] / exact[shown], SMALLEST_SHARE)
        label = f"{kind} ({int(shown.sum()):,})"
        ax.scatter(exact[shown], missed, marker=MARKERS[kind], color=COLORS[kind], label=label, **POINTS)
    n = len(results.study.measure.alphas)
    ax.set(xscale="log", yscale="log", ylim=(5e-7, 2), xlabel=f"exact training barrier ({results.unit})")
    ax.set_ylabel(f"share that {n} alphas miss\n(below 10⁻⁶ drawn there)")
    figure.legend(loc="outside lower center", markerscale=2, ncols=2)
    return figure
