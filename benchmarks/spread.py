"""Which orders of the loss make the barrier of siblings, and what says how far they are apart.

    python benchmarks/spread.py [--runs runs] [--quick] [--json] [--figure docs/figures/spread.svg]

Of the families of the study spread (run first if it has not been), in the mean of the midpoint's gap over all pairs of
a family's siblings, H, T and F being the loss's derivatives at their mean and Σ their spread:

    second      −¼ tr(HΣ)                                     fourth   all terms up to order 4, by the siblings' moments
    gaussian    −¼ tr(HΣ) − (3/32) F:ΣΣ, as if Gaussian       sign F   F:ΣΣ

and the variance tr Σ of one end, measured, and by SGD on the quadratic (`theory.quadratic_spread`) with Hessian and
gradient noise at the siblings' mean, and at the split, of one family a cell and data set. A row a cell (data sets and
families as one); then in how many cells that learnt each of the study's predictions held; then rank correlations with
the measured gap over these cells, and their 95 % bootstrap intervals over cells.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
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
from torch import Tensor

import kernels
import theory
from kernels import reference
from testbed import Study
from testbed.ensemble.launch import Launch
from testbed.ensemble.plan import plan
from testbed.measures.hessian import hessian_vector
from testbed.pair_set import layers
from testbed.report.figures.draw import STYLE
from testbed.results import Results
from testbed.run import results_of

SPLIT, RATE, BATCH, NOISE = "ensemble.spawn_step", "training.optimizer.lr", "training.batch_size", "data.label_noise"
FACTORS = [SPLIT, RATE, BATCH, NOISE]
LEARNT = 0.1  # share of training samples misclassified at the ends, at most
DRAWS = 2000
PREDICTORS = (
    "distance",
    "η/b · time apart",
    "η/b",
    "curvature at the split",
    "tr Σ, quadratic at the end",
    "tr Σ, quadratic at the split",
    "second",
    "gaussian",
    "fourth",
)


def main() -> None:
    """Print the cells, and what goes with the gap over them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--quick", action="store_true", help="the study shrunk to a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a row")
    parser.add_argument("--figure", type=Path, help="draw the gap against second order into this file")
    options = parser.parse_args()
    results = results_of("spread", options.runs, quick=options.quick)
    families = pl.concat([of_launch(results, launch) for launch in plan(results.study).launches])
    cells = by_cell(results, families)
    learnt = cells.filter(pl.col("error at the ends") <= LEARNT)
    if options.figure:
        with mpl.rc_context(fname=STYLE):
            drawn(learnt).savefig(options.figure, metadata={"Date": None})
    held, correlations = what_held(learnt), what_goes_with_it(learnt)
    if options.json:
        for row in (*cells.iter_rows(named=True), *held, *correlations):
            print(json.dumps(row))
        return
    console = Console(width=200)
    for title, rows in (
        ("cells", cells.to_dicts()),
        ("predicted", held),
        ("rank correlation with the gap", correlations),
    ):
        table = Table(*rows[0], title=title, box=None)
        for row in rows:
            table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
        console.print(table)


def drawn(cells: pl.DataFrame) -> Figure:
    """The measured gap of every cell against −¼ tr(HΣ), and against the distance of the ends."""
    figure = Figure(figsize=(6.6, 3.2))
    left, right = figure.subplots(1, 2, sharey=True)
    for mark, (split, some) in zip("os^Dv", cells.sort(SPLIT).group_by(SPLIT, maintain_order=True), strict=False):
        style = {"marker": mark, "ls": "", "ms": 4.5, "color": "black", "mfc": "white", "mew": 0.9}
        left.plot(some["second"], some["gap"], label=f"split at {split[0]}", **style)
        right.plot(some["distance"], some["gap"], **style)
    for ax in (left, right):
        ax.set_yscale("symlog", linthresh=1e-3)
        ax.axhline(0, color="0.5", lw=0.8)
    left.set_xscale("symlog", linthresh=1e-3)
    left.axvline(0, color="0.5", lw=0.8)
    ends = [-0.01, 0, 0.5]
    left.plot(ends, ends, color="0.5", lw=0.8, ls="--")
    right.set_xscale("log")
    left.set(xlabel="second order at the siblings' mean, −¼ tr(HΣ), nats", ylabel="midpoint above the chord, nats")
    right.set_xlabel("distance of the ends")
    figure.legend(loc="outside lower center", ncols=3, fontsize=7)
    return figure


def by_cell(results: Results, families: pl.DataFrame) -> pl.DataFrame:
    """Means over families and data sets, beside what the run measured."""
    measured = (
        results.measured.group_by(FACTORS)
        .agg(
            pl.col("train_loss_barrier_midpoint").mean().alias("gap"),
            pl.col("train_error_barrier_linear").mean().alias("error barrier"),
            pl.col("train_error_ends").mean().alias("error at the ends"),
            pl.col("distance").mean(),
        )
        .sort(FACTORS)
    )
    steps = results.study.training.steps
    return (
        measured.join(families.group_by(FACTORS).agg(pl.exclude(FACTORS).mean()), on=FACTORS)
        .sort(FACTORS)
        .with_columns((pl.col(RATE) / pl.col(BATCH)).alias("η/b"))
        .with_columns((pl.col("η/b") * (1 - pl.col(SPLIT) / steps)).alias("η/b · time apart"))
    )


def what_held(cells: pl.DataFrame) -> list[dict[str, object]]:
    """In how many of the cells that each prediction speaks of it held."""
    gap, second = pl.col("gap"), pl.col("tr HΣ")
    off = (pl.col("fourth") / gap - 1).abs()
    ratio = {
        place: (pl.col(f"tr Σ, quadratic at the {place}") / pl.col("tr Σ")).log().abs() for place in ("end", "split")
    }
    last = cells[SPLIT].max()
    everywhere = pl.lit(True)
    asked = {
        "tr HΣ > 0": (everywhere, second > 0),
        "tr HΣ > 0 exactly where the gap is below 0": (everywhere, (second > 0) == (gap < 0)),
        "to 0.02 nats, fourth order within a quarter": (gap.abs() <= 0.02, off < 0.25),
        "below the chord, fourth order within a quarter": (gap < 0, off < 0.25),
        "above the chord, F:ΣΣ < 0": (gap > 0, pl.col("F:ΣΣ") < 0),
        "beyond 0.1 nats, fourth order off by more than half": (gap > 0.1, off > 0.5),
        "the last split, tr Σ of the quadratic at the end within two": (
            pl.col(SPLIT) == last,
            ratio["end"] < np.log(2),
        ),
        "split at 0, that beyond two": (pl.col(SPLIT) == 0, ratio["end"] > np.log(2)),
        "split at 0, of the quadratic at the split beyond ten": (pl.col(SPLIT) == 0, ratio["split"] > np.log(10)),
    }
    rows: list[dict[str, object]] = []
    for name, (where, holds) in asked.items():
        some = cells.filter(where)
        rows.append({"prediction": name, "held in": some.filter(holds).height, "of": some.height})
    return rows


def what_goes_with_it(cells: pl.DataFrame) -> list[dict[str, object]]:
    """Rank correlations with the gap, and how far each order's prediction is from it."""
    gap = cells["gap"].to_numpy()
    rng = np.random.default_rng(0)
    draws = rng.integers(len(gap), size=(DRAWS, len(gap)))
    rows: list[dict[str, object]] = []
    for name in PREDICTORS:
        values = cells[name].to_numpy()
        low, high = np.nanquantile([spearmanr(values[some], gap[some])[0] for some in draws], [0.025, 0.975])
        found = spearmanr(values, gap)[0]
        rows.append({"predictor": name, "rank correlation": found, "low": low, "high": high, "cells": len(gap)})
    return rows


def of_launch(results: Results, launch: Launch) -> pl.DataFrame:
    """FACTORS and numbers of each family of a launch."""
    params = load_file(results.folder / f"parameters/launch-{launch.index}.safetensors")["params"].double()
    assert launch.train_sets is not None
    trunks = _trunks(launch)
    rows, known = [], set()
    for (cell, _), networks in launch.networks.group_by("cell", "family", maintain_order=True):
        study = launch.cells[cell]
        train_set = networks["train_set"][0]
        samples = tuple(part[train_set] for part in launch.train_sets)
        siblings = params[torch.from_numpy(networks["row"].to_numpy().astype(np.int64))]
        trunk = trunks[study.ensemble.spawn_step][networks["row"][0]]
        quadratics = spreads(launch.architecture, study, siblings, trunk, samples) if cell not in known else {}
        known.add(cell)
        rows.append(
            {SPLIT: study.ensemble.spawn_step, RATE: study.training.optimizer.lr, BATCH: study.training.batch_size}
            | {NOISE: study.data.label_noise}
            | orders(launch.architecture, siblings, samples)
            | {"tr Σ": siblings.var(0).sum().item()}
            | quadratics
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _trunks(launch: Launch) -> dict[int, Tensor]:
    """Every network's trunk after each step at which some split, [n, n_parameters] float64."""
    networks = launch.networks
    splits = sorted({study.ensemble.spawn_step for study in launch.cells.values()})
    training = dataclasses.replace(launch.training(networks), steps=max(*splits, 1), snapshots=tuple(splits))
    assert launch.train_sets is not None
    run = kernels.train(
        launch.architecture,
        launch.initial(networks),
        launch.train_sets,
        training,
        data_seeds=networks["data_seed"].to_numpy(writable=True),
        dataset=networks["train_set"].to_numpy(writable=True),
    )
    return {step: kept.double() for step, kept in zip(run.snapshot_steps, run.snapshots, strict=True)}


def orders(architecture: kernels.Architecture, siblings: Tensor, samples: tuple[Tensor, Tensor]) -> dict[str, float]:
    """The mean gap at the midpoint of all pairs of these siblings [n, n_parameters], by orders about their mean."""
    centre = siblings.mean(0)
    away = siblings - centre
    first, second = (list(index) for index in zip(*itertools.combinations(range(len(away)), 2), strict=True))
    ends = _derivatives(architecture, centre, away, samples)
    middles = _derivatives(architecture, centre, (away[first] + away[second]) / 2, samples)
    halves = _derivatives(architecture, centre, (away[first] - away[second]) / 2, samples)
    factorials = np.array([1.0, 1.0, 2.0, 6.0, 24.0])
    terms = (middles.mean(0) - ends.mean(0)) / factorials
    # Σ over n − 1, as the siblings' mean is not their law's; F[a, a, b, b] by polarisation, of halves to the fourth
    unbiased = len(away) / (len(away) - 1)
    curvature = ends[:, 2].mean() * unbiased
    crossed = (16 * (middles + halves) - 2 * ends[first] - 2 * ends[second])[:, 4].mean() / 12
    return {
        "second": terms[2],
        "third": terms[3],
        "fourth": terms[1:].sum(),
        "gaussian": theory.sibling_gap(curvature, crossed)([0.5])[0, 0],
        "tr HΣ": curvature,
        "F:ΣΣ": crossed,
    }


def _derivatives(
    architecture: kernels.Architecture, centre: Tensor, along: Tensor, samples: tuple[Tensor, Tensor]
) -> np.ndarray:
    """[n_directions, 5]."""
    x, y = (part.double().numpy() for part in samples)
    at = layers(architecture, centre.expand(len(along), -1))
    return theory.loss_derivatives(at, layers(architecture, along), x, y, architecture.activation, loss="cross_entropy")


def spreads(
    architecture: kernels.Architecture, study: Study, siblings: Tensor, trunk: Tensor, samples: tuple[Tensor, Tensor]
) -> dict[str, float]:
    """tr Σ of SGD on the quadratic at these siblings' mean and at their split, and the curvatures there."""
    optimizer = study.training.optimizer
    steps = study.training.steps - study.ensemble.spawn_step
    found = {}
    for name, place in (("end", siblings.mean(0)), ("split", trunk)):
        hessian, noise = quadratic(architecture, place, samples)
        with np.errstate(over="ignore", invalid="ignore"):
            spread = theory.quadratic_spread(
                hessian,
                noise / study.training.batch_size,
                learning_rate=optimizer.lr,
                steps=steps,
                momentum=optimizer.momentum,
            )
        trace = np.trace(spread)
        found[f"tr Σ, quadratic at the {name}"] = float(trace) if np.isfinite(trace) else np.inf
        found[f"curvature at the {name}"] = float(np.linalg.eigvalsh(hessian)[-1])
    return found


def quadratic(
    architecture: kernels.Architecture, place: Tensor, samples: tuple[Tensor, Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """The Hessian of the training loss at `place` [n_parameters], and the covariance of one sample's gradient."""
    x, y = samples[0].double(), samples[1]
    size = len(place)
    copies = place.expand(size, -1)
    everything = (x.expand(size, *x.shape), y.expand(size, *y.shape))
    hessian = hessian_vector(architecture, copies, torch.eye(size, dtype=torch.float64), everything, "cross_entropy")
    each = reference.loss_and_gradient(architecture, place.expand(len(x), -1), x[:, None], y[:, None], "cross_entropy")
    return hessian.numpy(), np.cov(each[1].numpy().T, bias=True)


if __name__ == "__main__":
    main()
