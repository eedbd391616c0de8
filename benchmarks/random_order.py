"""Predicted beside measured: the barrier of independent networks as that of a random order of their units.

    python benchmarks/random_order.py [--runs runs] [--out docs/figures/random_order.svg] [--quick] [--json]

Of the study random_order (run first if it has not been), a row a component: barriers half-way (training error),
measured and predicted from the ends (theory.random_order), that of the mean outputs over all orders alone, the order's
share of the outputs' variance, the error of the ends, and barriers of the loss. Then what was predicted of these, and
of the components of smoothing how large outputs are. Drawn: predicted against measured.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from scipy.stats import spearmanr

import theory
from kernels import reference
from testbed.ensemble.measuring import Trained, pair_set
from testbed.ensemble.plan import plan
from testbed.measures.predicted import by_training_samples
from testbed.report.figures.draw import STYLE
from testbed.results import Results
from testbed.run import results_of
from testbed.study.study import BASELINE

MEASURED = "train_error_barrier_midpoint"
COLUMNS = {
    "measured": MEASURED,
    "predicted": f"random_order_{MEASURED}",
    "mean outputs": f"shared_by_orders_{MEASURED}",
    "noise": "random_order_noise",
    "ends": "train_error_ends",
    "loss": "train_loss_barrier_midpoint",
    "loss predicted": "random_order_train_loss_barrier_midpoint",
}
PLACED = "units with a place"  # the group of components whose units are not drawn alike
LEARNT = 0.1  # share of training samples misclassified at the ends, at most
NAMED = ("smoothing 0.4", "spirals", "digits", "random labels", "20 % label noise")  # in the figure


def rows_of(results: Results) -> pl.DataFrame:
    """A row a component, sorted by the measured barrier; sem: its standard error over data sets."""
    group = results.groups_of_components
    pairs = results.measured.with_columns(pl.col("component").cast(pl.String))
    of_seeds = pairs.group_by("component", "data.seed").agg(
        pl.col(column).mean().alias(name) for name, column in COLUMNS.items()
    )
    sem = (pl.col("measured") - pl.col("predicted")).std() / pl.len().sqrt()
    rows = of_seeds.group_by("component").agg(pl.col(*COLUMNS).mean(), sem=sem)
    placed = [group.get(name) == PLACED for name in rows["component"].to_list()]
    return rows.with_columns(placed=pl.Series(placed, dtype=pl.Boolean)).sort("measured")


def said(rows: pl.DataFrame) -> list[str]:
    """What was predicted, and what came."""
    learnt = rows.filter(pl.col("ends") <= LEARNT)
    alike = learnt.filter(~pl.col("placed"))
    measured, predicted, mean, noise = (
        alike[name].to_numpy() for name in ("measured", "predicted", "mean outputs", "noise")
    )
    near = abs(predicted - measured) <= 0.01 + 0.2 * measured
    missed = alike.filter(pl.Series(~near))["component"].to_list()
    lines = [
        f"{len(rows)} components, {len(learnt)} learnt, {len(alike)} of them of units drawn alike",
        f"1: near in {near.sum()} of {len(near)} ({near.mean():.2f}); not: {', '.join(missed) or 'none'}",
        f"2: rank correlation of predicted and measured {spearmanr(predicted, measured)[0]:.3f}",
        f"3: mean outputs at most 0.01 in {(mean <= 0.01).sum()} of {len(mean)}",
        f"4: rank correlation of noise and measured {spearmanr(noise, measured)[0]:.3f}",
    ]
    off = alike.filter((pl.col("loss predicted") / pl.col("loss") - 1).abs() > 0.2)["component"].to_list()
    lines.append(f"losses: within a fifth in {len(alike) - len(off)} of {len(alike)}; not: {', '.join(off) or 'none'}")
    lines += [
        "5: {component}: measured {measured:.4f}, predicted {predicted:.4f}".format(**row)
        for row in rows.filter("placed").iter_rows(named=True)
    ]
    levels = rows.filter(
        pl.col("component").is_in(["baseline", *(f"smoothing {s}" for s in (0.02, 0.05, 0.1, 0.2, 0.4))])
    )
    lines += [
        "6: {component}: noise {noise:.3f}, measured {measured:.4f}, predicted {predicted:.4f}".format(**row)
        for row in levels.sort("component").iter_rows(named=True)
    ]
    return lines


def sizes(results: Results) -> pl.DataFrame:
    """Root mean squares of outputs of the smoothed components: at the ends, of their mean half-way, and of its noise.

    And bent, the share of the outputs' variance at A that is not affine in the inputs. Outputs are less their mean over
    classes, and less their mean over samples.
    """
    named = results.measured.with_columns(pl.col("component").cast(pl.String)).filter(
        pl.col("component").str.starts_with("smoothing") | (pl.col("component") == BASELINE)
    )
    parts = []
    for launch in plan(results.study).launches:
        rows = named.filter(launch=launch.index)
        if rows.is_empty():
            continue
        params = load_file(results.folder / f"parameters/launch-{launch.index}.safetensors")["params"].double()
        trained = Trained(params, torch.full((len(params),), -1))
        wanted = launch.pairs.filter(pl.col("pair").is_in(rows["pair"].implode()))
        pairs = pair_set(launch, trained, wanted, "auto")
        for some, x, _ in by_training_samples(pairs):
            found = theory.random_order(*pairs[some].ends, x, launch.architecture.activation)
            outputs = [
                reference.forward(pairs.architecture, end[some].double(), torch.from_numpy(x).double())[0].numpy()
                for end in (pairs.a, pairs.b)
            ]
            signal, noise = np.square(size(found.mean)), found.noise()
            parts.append(
                wanted[some.numpy()].select(
                    "pair",
                    ends=np.sqrt((np.square(size(outputs[0])) + np.square(size(outputs[1]))) / 2),
                    half_way=np.sqrt(signal),
                    noise=np.sqrt(signal * noise / (1 - noise)),
                    bent=bent(outputs[0], x),
                )
            )
    every = named.select("pair", "component").join(pl.concat(parts), on="pair")
    return every.group_by("component").agg(pl.col("ends", "half_way", "noise", "bent").mean()).sort("component")


def bent(outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The share of their variance that no affine function of the inputs accounts for, `[n_pairs]`."""
    basis = np.linalg.qr(np.hstack([x, np.ones((len(x), 1))]).astype(float))[0]
    return np.asarray((size(outputs - basis @ (basis.T @ outputs)) / size(outputs)) ** 2)


def size(outputs: np.ndarray) -> np.ndarray:
    """Their root mean square, less their means over classes and over samples, `[n_pairs]`."""
    centred = outputs - outputs.mean(2, keepdims=True)
    return np.asarray(np.sqrt(np.square(centred - centred.mean(1, keepdims=True)).mean((1, 2))))


def figure(rows: pl.DataFrame) -> Figure:
    """Predicted against measured: all components, and near 0."""
    whole = Figure(figsize=(6.6, 3.2))
    learnt = rows.filter(pl.col("ends") <= LEARNT)
    for ax, most in zip(whole.subplots(1, 2), (None, 0.06), strict=True):
        largest = most or 1.05 * float(np.nanmax(learnt.select("measured", "predicted").to_numpy()))
        ax.plot([0, largest], [0, largest], color="0.7", linewidth=0.8, zorder=0)
        for placed, marker, label in ((False, "o", "units drawn alike"), (True, "x", "units with a place")):
            some = learnt.filter(pl.col("placed") == placed)
            ax.plot(some["measured"], some["predicted"], marker, color="black", markersize=3.5, label=label)
        for row in learnt.filter(pl.col("component").is_in(NAMED)).iter_rows(named=True) if most is None else ():
            where = {"xytext": (4, -7), "textcoords": "offset points", "fontsize": 6.5}
            if row["predicted"] > 0.5 * largest:
                where |= {"xytext": (-5, -2), "ha": "right"}
            ax.annotate(row["component"], (row["measured"], row["predicted"]), **where)
        ax.set(xlim=(-0.02 * largest, largest), ylim=(-0.02 * largest, largest))
        ax.set(xlabel="error barrier half-way, measured", ylabel="predicted for a random order of units")
    whole.axes[0].legend(fontsize=7)
    return whole


def main() -> None:
    """Print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    docs = Path(__file__).resolve().parent.parent / "docs"
    parser.add_argument("--out", type=Path, default=docs / "figures" / "random_order.svg")
    parser.add_argument("--quick", action="store_true", help="the study shrunk to a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a row")
    options = parser.parse_args()
    results = results_of("random_order", options.runs, quick=options.quick)
    rows = rows_of(results)
    if options.json:
        print("\n".join(json.dumps(row) for row in rows.iter_rows(named=True)))
    else:
        table = Table(*rows.columns, title="barriers half-way, training error", box=None)
        for row in rows.iter_rows():
            table.add_row(*(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row))
        Console(width=130).print(table)
        print("\n".join(said(rows)))
        print("root mean squares of outputs, and the share of their variance that is not affine in the inputs:")
        for row in sizes(results).iter_rows(named=True):
            print("{component}: ends {ends:.2f}, half-way {half_way:.2f}, noise {noise:.2f}; {bent:.3f}".format(**row))
    with mpl.rc_context(fname=STYLE):
        figure(rows).savefig(options.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
