"""Numbers of docs/findings.md that are no claim about one column: a table for each study.

    python benchmarks/beside.py [STUDY …] [--runs runs] [--quick] [--json]

modulo       how often weight matching, activation matching and the better of both find the best of all permutations
components   barriers over a bend between square linear networks whose det W₁ have one sign, and two
lazy         measured barriers beside what the lazy and the quadratic limit predict
boundary     what goes with the barrier of siblings over all cells: rank correlations, and their 95 % intervals
full_batch   barriers and distances by batch size at one training loss of the ends, and barriers at one distance
twins_lean   measured less predicted population barriers against the number of inputs, and the exponent

A study is run first if it has not been. Intervals are bootstraps over families of networks (boundary: over cells).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from scipy.stats import spearmanr

from testbed.ensemble.plan import plan
from testbed.results import Results
from testbed.run import results_of

Row: TypeAlias = dict[str, object]
WIDTH = "architecture.hidden"
FOUND = 1e-6  # nats or ½ squared error above the best: the same permutation to rounding
LEARNT = 0.1  # share of training samples misclassified at the ends, at most
DRAWS = 2000
ALONG = ("train_error_barrier_linear", "weights_train_error_barrier_linear", "distance", "perturbation_loss_rise")


def modulo(results: Results) -> list[Row]:
    """Shares of pairs for which a matching is as good as the best of all permutations."""
    gaps = {
        "weights": pl.col("weights_gap"),
        "activations": pl.col("activations_gap"),
        "the better": pl.min_horizontal("weights_gap", "activations_gap"),
    }
    barriers = {
        "as trained": "",
        "weights": "weights_",
        "best permutation": "exhaustive_",
        "rescaled, weights": "canonical_weights_",
        "rescaled, best": "canonical_exhaustive_",
    }
    table = results.measured.group_by(WIDTH).agg(
        *((gap < FOUND).mean().alias(f"found: {name}") for name, gap in gaps.items()),
        *(pl.col(f"{path}train_loss_barrier_linear").mean().alias(name) for name, path in barriers.items()),
    )
    return table.sort(WIDTH).to_dicts()


def components(results: Results) -> list[Row]:
    """Of square networks (two units), pairs whose first layers' determinants have one sign, and two.

    Between two signs every path has a singular W₁, whose map has rank one at most: its loss is at least ½ of the
    square of the smaller singular value of W₂W₁ X^{1/2}, X the inputs' second moments. Barriers are in units of that.
    """
    parts = []
    for launch in plan(results.study).launches:
        if launch.architecture.widths[1] != 2 or launch.train_sets is None:
            continue
        params = load_file(results.folder / f"parameters/launch-{launch.index}.safetensors")["params"].double()
        (first, _), (second, _) = launch.architecture.layers(params)
        x = launch.train_sets[0][torch.from_numpy(launch.networks["train_set"].to_numpy().astype(np.int64))].double()
        outputs = x @ (second @ first).mT / x.shape[1] ** 0.5
        least = 0.5 * torch.linalg.svdvals(outputs)[:, -1].square()
        known = pl.DataFrame(
            {"network": launch.networks["network"], "sign": first.det().sign().numpy(), "least": least.numpy()}
        )
        pairs = results.measured.filter(pl.col("launch") == launch.index)
        for side in "ab":
            of_side = known.rename({name: f"{name}_{side}" for name in known.columns})
            pairs = pairs.join(of_side, on=f"network_{side}")
        parts.append(pairs)
    bend = pl.col("bend_train_loss_barrier_linear") / pl.col("least_a")
    table = (
        pl.concat(parts)
        .group_by((pl.col("sign_a") == pl.col("sign_b")).alias("one sign"))
        .agg(
            pl.len().alias("pairs"),
            *(bend.quantile(share).alias(f"quantile {share:g}") for share in (0.0, 0.05, 0.5, 0.95, 1.0)),
            (bend < 0.5).mean().alias("share below ½"),
        )
    )
    return table.sort("one sign").to_dicts()


def lazy(results: Results) -> list[Row]:
    """Means of the barriers, and the rank correlation of predicted with measured over pairs."""
    measured = pl.col("train_loss_barrier_linear")
    quadratic = pl.col("quadratic_barrier_linear")
    table = results.measured.group_by("kind", WIDTH).agg(
        measured.mean().alias("measured"),
        pl.col("lazy_barrier_linear").mean().alias("lazy"),
        quadratic.mean().alias("quadratic"),
        pl.corr(measured, quadratic, method="spearman").alias("rank correlation"),
        pl.col("train_loss_barrier_midpoint").mean().alias("measured, midpoint"),
        pl.col("quadratic_barrier_midpoint").mean().alias("quadratic, midpoint"),
        pl.col("lazy_barrier_midpoint").mean().alias("lazy, midpoint"),
    )
    return table.sort("kind", WIDTH).to_dicts()


def boundary(results: Results) -> list[Row]:
    """Rank correlations of the mean barrier with what might predict it, over cells that learnt (data sets as one)."""
    factors = ["ensemble.spawn_step", "training.optimizer.lr", "training.batch_size", "data.label_noise"]
    columns = ["distance", "disagreement", "perturbation_loss_rise", "train_loss_ends"]
    cells = (
        results.measured.group_by(factors)
        .agg(pl.col(*columns, "train_error_ends", "train_error_barrier_linear").mean())
        .sort(factors)
    )
    cells = cells.filter(pl.col("train_error_ends") <= LEARNT)
    noise = (cells["training.optimizer.lr"] / cells["training.batch_size"]).alias("η/b")
    cells = cells.with_columns(noise, (noise * (1 - cells["ensemble.spawn_step"] / 3000)).alias("η/b · time apart"))
    barrier = cells["train_error_barrier_linear"].to_numpy()
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for name in (*columns, "η/b", "η/b · time apart"):
        values = cells[name].to_numpy()
        chosen = rng.integers(len(values), size=(DRAWS, len(values)))
        draws = [spearmanr(values[some], barrier[some])[0] for some in chosen]
        low, high = np.nanquantile(draws, [0.025, 0.975])
        rows.append(
            {
                "predictor": name,
                "rank correlation": spearmanr(values, barrier)[0],
                "low": low,
                "high": high,
                "cells": len(cells),
            }
        )
    return rows


def twins_lean(results: Results) -> list[Row]:
    """Root mean square of measured less predicted by the number of inputs, and the exponent of a power law."""
    inputs = "data.inputs"
    error = pl.col("population_barrier_midpoint") - pl.col("twin_students_barrier_midpoint")
    rows: list[Row] = []
    for kind in ("independent", "siblings"):
        pairs = results.measured.filter(pl.col("kind") == kind).with_columns(error.alias("error"))
        levels = pairs[inputs].unique().sort().to_list()
        families, draws = pairs["family_a"].unique().to_numpy(), []
        rng = np.random.default_rng(0)
        for draw in range(DRAWS // 10 + 1):
            some = families if draw == 0 else rng.choice(families, len(families))
            weight = pl.DataFrame({"family_a": some}).group_by("family_a").len("weight")
            drawn = pairs.join(weight, on="family_a")
            square = (pl.col("error").pow(2) * pl.col("weight")).sum() / pl.col("weight").sum()
            draws.append(drawn.group_by(inputs).agg(square.sqrt().alias("rms")).sort(inputs)["rms"].to_numpy())
        slopes = [np.polyfit(np.log(levels), np.log(rms), 1)[0] for rms in draws]
        low, high = np.quantile(slopes[1:], [0.025, 0.975])
        rows += [{"pairs": kind, "inputs": level, "rms": rms} for level, rms in zip(levels, draws[0], strict=True)]
        rows.append({"pairs": kind, "inputs": "exponent", "rms": slopes[0], "low": low, "high": high})
    return rows


def full_batch(results: Results) -> list[Row]:
    """Independent pairs at one training loss of the ends, or at one distance, interpolated along their training.

    Intervals: over data sets and families within them, 95 %, of each batch less the smallest.
    """
    batch, rate = "training.batch_size", "training.optimizer.lr"
    at = {"train_loss_ends": (0.3, 0.1), "distance": (18.0, 21.0)}
    table = results.measured.with_columns((pl.col("data.seed") * 1000 + pl.col("family_a")).alias("block"))
    blocks = table["block"].unique().sort().to_numpy()
    batches = table[batch].unique().sort().to_list()
    rng = np.random.default_rng(0)
    draws = [blocks] + [rng.choice(blocks, len(blocks)) for _ in range(DRAWS // 10)]
    found: dict[tuple[object, ...], list[list[float]]] = {}
    for some in draws:
        drawn = table.join(pl.DataFrame({"block": some}), on="block")
        means = drawn.group_by(batch, rate, "training.snapshot").agg(pl.col("train_loss_ends", *ALONG).mean())
        for (lr, size), path in means.sort("training.snapshot").group_by(rate, batch, maintain_order=True):
            for column, levels in at.items():
                for level in levels:
                    found.setdefault((lr, size, column, level), []).append(_along(path, column, level))
    rows: list[Row] = []
    for (lr, size, column, level), values in sorted(found.items(), key=lambda item: (*item[0][2:], *item[0][:2])):
        numbers, least = np.array(values), np.array(found[lr, batches[0], column, level])
        low, high = np.nanquantile((numbers - least)[1:, 0], [0.025, 0.975])
        rows.append(
            {
                "at": f"{column} {level}",
                "rate": lr,
                "batch": size,
                "error barrier": numbers[0, 0],
                "less the smallest's: low": low,
                "high": high,
                "matched": numbers[0, 1],
                "distance": numbers[0, 2],
                "random direction": numbers[0, 3],
            }
        )
    return rows


def _along(path: pl.DataFrame, column: str, level: float) -> list[float]:
    """Columns of a training where `column` passes `level`, linear in its logarithm; NaN if it does not."""
    known = np.log(path[column].to_numpy())
    order = np.argsort(known)
    return [
        float(np.interp(np.log(level), known[order], path[name].to_numpy()[order], left=np.nan, right=np.nan))
        for name in ALONG
    ]


TABLES: dict[str, Callable[[Results], list[Row]]] = {
    "modulo": modulo,
    "components": components,
    "lazy": lazy,
    "boundary": boundary,
    "full_batch": full_batch,
    "twins_lean": twins_lean,
}


def main() -> None:
    """Print the tables asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", choices=[*TABLES, []], default=[], metavar="STUDY")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--quick", action="store_true", help="the studies shrunk to a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a row")
    options = parser.parse_args()
    for name in options.studies or TABLES:
        rows = TABLES[name](results_of(name, options.runs, quick=options.quick))
        if options.json:
            for row in rows:
                print(json.dumps({"study": name} | row))
            continue
        columns = list(dict.fromkeys(key for row in rows for key in row))
        table = Table(*columns, title=name, box=None)
        for row in rows:
            table.add_row(*(_shown(row.get(column, "")) for column in columns))
        Console(width=180).print(table)


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
