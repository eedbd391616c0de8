"""Draws the boundary of stability as a map: the study boundary's error barrier of siblings in every cell.

    python benchmarks/heat_map.py [--runs runs] [--out docs/figures/boundary_map.svg] [--quick]

One map a share of noisy labels and batch size; across, the step of the split, upwards the rate. A number is the
mean barrier (training error, linear) in percent of the samples, the grey the same; the thick line is where 2 % is
passed (Frankle et al. 2020). Cells whose ends leave more than a tenth of the samples wrong are hatched: there a low
barrier says little. The study is run first if it has not been.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from testbed.report.figures.draw import STYLE
from testbed.results import Results
from testbed.run import results_of

SPLIT, RATE, BATCH, NOISE = "ensemble.spawn_step", "training.optimizer.lr", "training.batch_size", "data.label_noise"
STABLE = 0.02  # error barrier
LEARNT = 0.1  # share of training samples misclassified at the ends, at most
DARKEST = 0.2  # error barrier of the darkest grey


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    docs = Path(__file__).resolve().parent.parent / "docs"
    parser.add_argument("--out", type=Path, default=docs / "figures" / "boundary_map.svg")
    parser.add_argument("--quick", action="store_true", help="the study shrunk to a few seconds")
    options = parser.parse_args()
    results = results_of("boundary", options.runs, quick=options.quick)
    with mpl.rc_context(fname=STYLE):
        figure(results).savefig(options.out, metadata={"Date": None})
    print(options.out)


def figure(results: Results) -> Figure:
    """The maps, a row a share of noisy labels and a column a batch size."""
    cells = results.measured.group_by(SPLIT, RATE, BATCH, NOISE).agg(
        pl.col("train_error_barrier_linear", "train_error_ends").mean()
    )
    splits, rates, batches, noises = (cells[name].unique().sort().to_list() for name in (SPLIT, RATE, BATCH, NOISE))
    whole = Figure(figsize=(6.6, 1.9 * len(noises) + 0.2))
    axes = whole.subplots(len(noises), len(batches), squeeze=False, sharex=True, sharey=True)
    for row, noise in enumerate(noises):
        for column, batch in enumerate(batches):
            some = cells.filter((pl.col(NOISE) == noise) & (pl.col(BATCH) == batch)).sort(RATE, SPLIT)
            shape = len(rates), len(splits)
            barrier, error = (
                some[name].to_numpy().reshape(shape) for name in ("train_error_barrier_linear", "train_error_ends")
            )
            ax = axes[row, column]
            _map(ax, barrier, error)
            ax.set_title(f"batches of {batch}, label noise {noise:g}", fontsize=8)
            ax.set_xticks(range(len(splits)), [str(split) for split in splits])
            ax.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
        axes[row, 0].set_ylabel("learning rate")
    for ax in axes[-1]:
        ax.set_xlabel("siblings split at step")
    return whole


def _map(ax: Axes, barrier: np.ndarray, error: np.ndarray) -> None:
    """One map of `[n_rates, n_splits]`."""
    ax.imshow(barrier, cmap="Greys", vmin=0, vmax=DARKEST, origin="lower", aspect="auto")
    ax.grid(False)
    for (row, column), value in np.ndenumerate(barrier):
        colour = "white" if value > 0.6 * DARKEST else "black"
        ax.text(column, row, f"{100 * value:.1f}", ha="center", va="center", fontsize=7, color=colour)
        if error[row, column] > LEARNT:
            corner = (column - 0.5, row - 0.5)
            ax.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="///", edgecolor="0.7", linewidth=0))
    over = barrier > STABLE
    for row, column in np.ndindex(*barrier.shape):
        if column + 1 < barrier.shape[1] and over[row, column] != over[row, column + 1]:
            ax.plot([column + 0.5] * 2, [row - 0.5, row + 0.5], color="black", lw=2.5)
        if row + 1 < barrier.shape[0] and over[row, column] != over[row + 1, column]:
            ax.plot([column - 0.5, column + 0.5], [row + 0.5] * 2, color="black", lw=2.5)


if __name__ == "__main__":
    main()
