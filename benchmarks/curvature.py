"""Whether curvature, the rate or the number of parameters goes with what weight sharing costs.

    python benchmarks/curvature.py [--matched] [--runs runs] [--quick] [--json]

Of the sibling pairs of the study locality_causes (run first if it has not been): the largest eigenvalue λ of the
training loss's Hessian by the parameters that training moves, at one end of each pair. A shared weight is one
parameter: its derivative is the sum over its copies, and layer rates scale the parameters, so that ηλ is what gradient
descent's stability depends on (with momentum 0.9 the edge is ηλ = 3.8). A row a component, noise and rate: mean ηλ,
free parameters, the barrier (training error, linear) of siblings; then rank correlations over all rows.

--matched: of the study locality_curvature, ηλ early in training beside the barrier at its end, by rate; then barriers
of local and convolutional siblings at one ηλ, interpolated along the rates at which networks learn (at most a tenth of
the samples wrong), with 95 % bootstrap intervals over data sets.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from scipy.stats import spearmanr
from torch import Tensor

import kernels
from testbed.ensemble.launch import Launch
from testbed.ensemble.plan import plan
from testbed.measures.hessian import hessian_vector
from testbed.results import Results
from testbed.run import results_of

RATE, TIME = "training.optimizer.lr", "training.snapshot"
FACTORS = ("component", "data.noise", RATE)
LEARNT = 0.1  # share of training samples misclassified at the ends, at most
DRAWS = 1000
COLUMNS = (*FACTORS, "η λ", "free parameters", "barrier of siblings")
STEPS = 30  # of the power iteration


def main() -> None:
    """Print one row a component, noise and rate, and the rank correlations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--quick", action="store_true", help="the study shrunk to a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a row")
    parser.add_argument("--matched", action="store_true", help="barriers at one curvature times rate in training")
    options = parser.parse_args()
    name = "locality_curvature" if options.matched else "locality_causes"
    results = results_of(name, options.runs, quick=options.quick)
    parts = [of_launch(results, launch) for launch in plan(results.study).launches]
    if options.matched:
        for row in matched(results, pl.concat(parts)):
            print(json.dumps(row) if options.json else row)
        return
    rows = (
        pl.concat(parts)
        .group_by(FACTORS)
        .agg(pl.col("sharpness").mean(), pl.col("free").first(), pl.col("barrier").mean())
        .sort(FACTORS)
    )
    barrier = rows["barrier"].to_numpy()
    correlations = {name: float(spearmanr(rows[name].to_numpy(), barrier)[0]) for name in ("sharpness", "free")}
    if options.json:
        for row in rows.iter_rows(named=True):
            print(json.dumps(row))
        print(json.dumps({"rank_correlation": correlations}))
        return
    table = Table(*COLUMNS, title="siblings, training error", box=None)
    for row in rows.iter_rows():
        table.add_row(*(value if isinstance(value, str) else f"{value:.3g}" for value in row))
    console = Console(width=150)
    console.print(table)
    console.print(f"rank correlation with the barrier: {correlations}")


def matched(results: Results, pairs: pl.DataFrame) -> list[dict[str, object]]:
    """A row a component and rate, and then one a value of ηλ that both components reach."""
    keys = ["pair", "data.seed", TIME, "train_error_ends"]
    pairs = pairs.join(results.measured.select(keys), on="pair")
    early, late = pairs[TIME].min(), pairs[TIME].max()
    groups = ["component", RATE, "data.seed"]
    curvature = pairs.filter(pl.col(TIME) == early).group_by(groups).agg(pl.col("sharpness").mean())
    outcome = pairs.filter(pl.col(TIME) == late).group_by(groups).agg(pl.col("barrier", "train_error_ends").mean())
    table = curvature.join(outcome, on=groups)
    means = table.group_by("component", RATE).agg(pl.exclude("data.seed").mean()).sort("component", RATE)
    rows: list[dict[str, object]] = [*means.iter_rows(named=True)]
    learnt = means.filter(pl.col("train_error_ends") <= LEARNT)
    reached = [some["sharpness"].to_numpy() for _, some in learnt.group_by("component")]
    low, high = max(values.min() for values in reached), min(values.max() for values in reached)
    seeds = table["data.seed"].unique().sort().to_numpy()
    rng = np.random.default_rng(0)
    draws = [seeds, *(rng.choice(seeds, len(seeds)) for _ in range(DRAWS))]
    usable = learnt.select("component", RATE)
    for value in np.geomspace(low, high, 5) if low < high else ():
        found = []
        for some in draws:
            drawn = table.join(pl.DataFrame({"data.seed": some}), on="data.seed").join(usable, on=["component", RATE])
            path = drawn.group_by("component", RATE).agg(pl.col("sharpness", "barrier").mean()).sort("sharpness")
            at = {
                key[0]: float(np.interp(np.log(value), np.log(one["sharpness"]), one["barrier"]))
                for key, one in path.group_by("component", maintain_order=True)
            }
            found.append((at["baseline"], at["convolutional"]))
        differences = [shared - local for local, shared in found]
        ends = np.quantile(differences[1:], [0.025, 0.975])
        rows.append(
            {"η λ": float(value), "local": found[0][0], "convolutional": found[0][1], "difference": differences[0]}
            | {"low": float(ends[0]), "high": float(ends[1])}
        )
    return rows


def of_launch(results: Results, launch: Launch) -> pl.DataFrame:
    """FACTORS, ηλ, free parameters and barrier of the sibling pairs of a launch."""
    siblings = pl.col("kind") == "siblings"
    pairs = results.measured.filter((pl.col("launch") == launch.index) & siblings)
    networks = launch.networks.filter(pl.col("network").is_in(pairs["network_a"].implode()))
    params = load_file(results.folder / f"parameters/launch-{launch.index}.safetensors")["params"]
    rows = torch.from_numpy(networks["row"].to_numpy().astype(np.int64))
    step, free = step_operator(launch, networks)
    assert launch.train_sets is not None
    x, y = launch.train_sets
    sets = torch.from_numpy(networks["train_set"].to_numpy().astype(np.int64))
    top = top_of(launch.architecture, params[rows].double(), (x[sets].double(), y[sets]), step)
    rates = np.array([launch.cells[cell].training.optimizer.lr for cell in networks["cell"].to_list()])
    found = pl.DataFrame({"network_a": networks["network"], "sharpness": rates * top.numpy(), "free": free})
    return pairs.join(found, on="network_a").select(
        *(pl.col(name).cast(pl.String if name == "component" else pl.Float64) for name in FACTORS if name in pairs),
        "sharpness",
        "free",
        pl.col("train_error_barrier_linear").alias("barrier"),
        "pair",
    )


def step_operator(launch: Launch, networks: pl.DataFrame) -> tuple[Callable[[Tensor], Tensor], list[int]]:
    """What a step of gradient descent makes of gradients `[n, n_parameters]`, and each network's free parameters.

    It adds over tied parameters, scales by the layer's rate, and leaves masked ones out.
    """
    architecture = launch.architecture
    size = architecture.n_parameters
    first = torch.arange(size) if launch.tied is None else _first_of_group(launch.tied)
    rates = torch.ones(1, size, dtype=torch.float64)
    for factor, (weight, bias) in zip(launch.study.training.layer_rates, architecture.layers(rates), strict=False):
        weight.fill_(factor)
        if bias is not None:
            bias.fill_(factor)
    mask = launch.mask(networks)
    exists = torch.ones(len(networks), size, dtype=torch.bool) if mask is None else mask

    def step(gradients: Tensor) -> Tensor:
        gradients = torch.where(exists, gradients, 0.0)
        together = torch.zeros_like(gradients).index_add_(1, first, gradients)[:, first]
        return torch.where(exists, rates * together, 0.0)

    return step, [len(torch.unique(first[row])) for row in exists]


def _first_of_group(tied: Tensor) -> Tensor:
    """The first index with each number."""
    values, place = torch.unique(tied, return_inverse=True)
    first = torch.full((len(values),), len(tied), dtype=torch.int64)
    first.scatter_reduce_(0, place, torch.arange(len(tied)), "amin")
    return first[place]


def top_of(
    architecture: kernels.Architecture,
    params: Tensor,
    samples: tuple[Tensor, Tensor],
    step: Callable[[Tensor], Tensor],
) -> Tensor:
    """The largest eigenvalue of step · ∇²L of each network, `[n]`, by power iteration."""
    start = torch.randn(params.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vector = step(start)
    top = params.new_zeros(len(params))
    for _ in range(STEPS):
        vector = vector / vector.norm(dim=1, keepdim=True)
        moved = step(hessian_vector(architecture, params, vector, samples, "cross_entropy"))
        top = (vector * moved).sum(1)
        vector = moved
    return top


if __name__ == "__main__":
    main()
