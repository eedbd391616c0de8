"""What sharing weights does beyond sparsity, over rate, noise, receptive field and samples: the study locality_whole.

    python benchmarks/locality.py [--runs runs] [--out docs/figures/locality_whole.svg] [--quick]

In every cell the mean barrier (training error, linear) of convolutional layers less that of local ones, for siblings
and independent pairs, before and after weight matching. Printed: what was predicted of these differences, and means
over cells with 95 % intervals (Student's) over data sets; then the same means of the steps from full layers to
scattered fields and to windows. Drawn, before matching: a number is the difference in percent of the samples, the grey
its size; cells where the ends of either leave more than a tenth of them wrong are hatched, and are in no number that is
printed. The study is run first if it has not been.
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
from scipy import stats

from testbed.report.figures.draw import STYLE
from testbed.results import Results
from testbed.run import results_of

RATE, NOISE, SAMPLES, FIELD, SEED = "training.optimizer.lr", "data.noise", "data.n_train", "field", "data.seed"
CELL = [NOISE, SAMPLES, RATE, FIELD]
BARRIERS = {"": "train_error_barrier_linear", "weights": "weights_train_error_barrier_linear"}
LEARNT = 0.1  # share of training samples misclassified at the ends, at most
DARKEST = 0.15  # difference of the darkest grey


def differences(results: Results, kind: str, layers: tuple[str, str] = ("local", "convolutional")) -> pl.DataFrame:
    """A row a cell and data set: second less first layer, before (`difference`) and after matching (`matched`).

    And `learnt`: whether the ends of both, over all data sets, leave at most a tenth of the samples wrong. Layers are
    "baseline" (full, so that it stands beside every field), "random" (scattered fields), "local" and "convolutional".
    """
    parts = pl.col("component").cast(pl.String).str.split(", ")
    pairs = results.measured.filter(kind=kind).with_columns(layer=parts.list[0])
    pairs = pairs.with_columns(field=parts.list.get(1, null_on_oob=True).cast(pl.Int64))
    names = [*BARRIERS.values(), "train_error_ends"]
    means = pairs.group_by(*CELL, SEED, "layer").agg(pl.col(names).mean())
    of_full = [RATE, NOISE, SAMPLES, SEED]  # a full layer has no field
    keys = of_full if "baseline" in layers else [*of_full, "field"]
    first, second = (means.filter(layer=layer) for layer in layers)
    both = (first.drop("field") if "baseline" in layers else first).join(second, on=keys, suffix="_second")
    ends = pl.max_horizontal(pl.col("train_error_ends", "train_error_ends_second").mean().over(CELL))
    return both.select(
        *CELL,
        SEED,
        difference=pl.col(f"{BARRIERS['']}_second") - pl.col(BARRIERS[""]),
        matched=pl.col(f"{BARRIERS['weights']}_second") - pl.col(BARRIERS["weights"]),
        learnt=ends <= LEARNT,
    ).sort(*CELL, SEED)


def mean(rows: pl.DataFrame, column: str) -> str:
    """The mean over cells and data sets, with Student's interval over data sets."""
    of_seeds = rows.group_by(SEED).agg(pl.col(column).mean())[column].to_numpy()
    reach = stats.t.ppf(0.975, len(of_seeds) - 1) * stats.sem(of_seeds)
    return f"{of_seeds.mean():.4f} [{of_seeds.mean() - reach:.4f}, {of_seeds.mean() + reach:.4f}]"


def said(results: Results) -> list[str]:
    """What was predicted, and what came."""
    lines = []
    cells: dict[str, pl.DataFrame] = {}
    for kind in ("siblings", "independent"):
        rows = differences(results, kind).filter("learnt")
        cells[kind] = rows.group_by(CELL).agg(pl.col("difference", "matched").mean())
        lines.append(f"{kind}: {len(cells[kind])} cells learnt; mean of all {mean(rows, 'difference')}, ")
        lines.append(f"  after matching {mean(rows, 'matched')}; by")
        for key in CELL:
            levels = rows[key].unique().sort()
            lines += [f"  {key} {level}: {mean(rows.filter(pl.col(key) == level), 'difference')}" for level in levels]
    siblings, independent = cells["siblings"], cells["independent"]
    large = siblings.filter(pl.col("difference").abs() > 0.02).sort(CELL)
    noisy = siblings.filter((pl.col(NOISE) == 0.4) & (pl.col(RATE) >= 0.3))
    above = int((noisy["difference"] > 0.02).sum())
    lines.append(f"1: above 0.02 in {above} of {len(noisy)} cells of noise 0.4 and rate 0.3 or more")
    lines.append(f"1, 4: cells where siblings differ by more than 0.02 ({', '.join(CELL)}):")
    lines += [f"  {row}" for row in large.select(*CELL, pl.col("difference").round(4)).rows()]
    for n, fields in ((64, [2, 4]), (1024, [2, 4, 8, 16])):
        some = independent.filter((pl.col(SAMPLES) == n) & pl.col(FIELD).is_in(fields))
        lines.append(f"2: above 0.05 in {(some['difference'] > 0.05).sum()} of {len(some)} cells, n = {n}, {fields}")
    for layers in (("baseline", "random"), ("random", "local"), ("baseline", "local"), ("local", "convolutional")):
        for kind in ("siblings", "independent"):
            rows = differences(results, kind, layers).filter("learnt")
            cells_learnt = len(rows.select(CELL).unique())
            lines.append(f"{' to '.join(layers)}, {kind}, {cells_learnt} cells: {mean(rows, 'difference')}")
            lines.append(f"  after matching {mean(rows, 'matched')}")
    return lines


def figure(results: Results) -> Figure:
    """The maps: a row a kind of pairs and noise, a column a number of samples."""
    found = {kind: differences(results, kind) for kind in ("siblings", "independent")}
    noises, samples = (found["siblings"][name].unique().sort().to_list() for name in (NOISE, SAMPLES))
    whole = Figure(figsize=(6.6, 1.75 * 2 * len(noises) + 0.2))
    axes = whole.subplots(2 * len(noises), len(samples), squeeze=False, sharex=True, sharey=True)
    for k, (kind, rows) in enumerate(found.items()):
        for row, noise in enumerate(noises, k * len(noises)):
            for ax, n in zip(axes[row], samples, strict=True):
                _map(ax, rows.filter((pl.col(NOISE) == noise) & (pl.col(SAMPLES) == n)))
                ax.set_title(f"{kind}, noise {noise:g}, n = {n:,}", fontsize=7.5)
            axes[row, 0].set_ylabel("learning rate")
    for ax in axes[-1]:
        ax.set_xlabel("receptive field (inputs)")
    return whole


def _map(ax: Axes, rows: pl.DataFrame) -> None:
    cells = rows.group_by(RATE, FIELD).agg(pl.col("difference").mean(), pl.col("learnt").first()).sort(RATE, FIELD)
    rates, fields = (cells[name].unique().sort().to_list() for name in (RATE, FIELD))
    values, learnt = (cells[name].to_numpy().reshape(len(rates), len(fields)) for name in ("difference", "learnt"))
    ax.imshow(abs(values), cmap="Greys", vmin=0, vmax=DARKEST, origin="lower", aspect="auto")
    ax.grid(False)
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if abs(value) > 0.6 * DARKEST else "black"
        ax.text(column, row, f"{round(100 * value, 1) + 0.0:+.1f}", ha="center", va="center", fontsize=7, color=colour)
        if not learnt[row, column]:
            corner = (column - 0.5, row - 0.5)
            ax.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="///", edgecolor="0.7", linewidth=0))
    ax.set_xticks(range(len(fields)), [str(field) for field in fields])
    ax.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])


def main() -> None:
    """Print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    docs = Path(__file__).resolve().parent.parent / "docs"
    parser.add_argument("--out", type=Path, default=docs / "figures" / "locality_whole.svg")
    parser.add_argument("--quick", action="store_true", help="the study shrunk to a few seconds")
    options = parser.parse_args()
    results = results_of("locality_whole", options.runs, quick=options.quick)
    print("\n".join(said(results)))
    with mpl.rc_context(fname=STYLE):
        figure(results).savefig(options.out, metadata={"Date": None})
    print(options.out)


if __name__ == "__main__":
    main()
