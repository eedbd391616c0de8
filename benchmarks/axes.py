"""Why the start decides how wide committees align: how many units each axis gets, and whether matching is to blame.

    python benchmarks/axes.py [--runs runs] [--quick] [--json]

Of the networks of the study double_descent (run first if it has not been): at a minimum every unit of Σ relu(w_i·x)
lies on one of the teacher's axes (Lin, Li & Wu 2024, lemma 7). Rows: width, scale of the start, standard deviation of
the number of units on an axis (independent draws would have the binomial's), the aligned barrier (training loss,
linear) by weight matching, and by the permutation that pairs the least mass across axes, Σ min(|w_A|, |w_B|) over
pairs of units on different axes, which is what makes a barrier here.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import polars as pl
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from torch import Tensor

from kernels.assignment import assign
from testbed import PairSet, alignment
from testbed.ensemble.launch import Launch
from testbed.ensemble.measuring import Trained, pair_set
from testbed.ensemble.plan import plan
from testbed.measures.segments import chain_barriers
from testbed.results import Results
from testbed.run import results_of

WIDTHS = (6, 16, 32, 64, 128)
COLUMNS = (
    "width",
    "start",
    "units on an axis: sd",
    "binomial sd",
    "barrier: weights",
    "least mass across axes",
    "mass across axes",
)


def main() -> None:
    """Print one row a width and scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--quick", action="store_true", help="the study shrunk to a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a row")
    options = parser.parse_args()
    results = results_of("double_descent", options.runs, quick=options.quick)
    table = Table(*COLUMNS, title="committees of relus, training loss, means over pairs", box=None)
    for launch in plan(results.study).launches:
        width = launch.architecture.widths[1]
        for scale in results.study.vary["architecture.scale"] if width in WIDTHS else ():
            pairs = measured_pairs(results, launch, scale)
            row = {"width": width, "start": scale} | numbers(pairs)
            if options.json:
                print(json.dumps(row))
            table.add_row(*(f"{value:.3g}" for value in row.values()))
    if not options.json:
        Console(width=150).print(table)


def measured_pairs(results: Results, launch: Launch, scale: float) -> PairSet:
    """The pairs of a launch whose networks started at this scale, with the parameters of the run."""
    params = load_file(results.folder / f"parameters/launch-{launch.index}.safetensors")["params"].double()
    of_scale = results.measured.filter((pl.col("launch") == launch.index) & (pl.col("architecture.scale") == scale))[
        "pair"
    ]
    rows = launch.pairs.filter(pl.col("pair").is_in(of_scale.implode()))
    did_not_diverge = torch.full((len(params),), -1)
    return pair_set(launch, Trained(params, did_not_diverge), rows, "auto")


def numbers(pairs: PairSet) -> dict[str, float]:
    """How units spread over the axes, and the barriers after both alignments."""
    assert pairs.teacher is not None
    architecture = pairs.architecture
    width = architecture.widths[1]
    n_axes = pairs.teacher.architecture.widths[1]
    first_a, first_b = (architecture.layers(end)[0][0] for end in (pairs.a, pairs.b))
    least, mass = least_mass(first_a, first_b)
    matched = alignment.match_weights(architecture, pairs.a, pairs.b).params
    on_axes = alignment.permute(architecture, pairs.b, (least,))
    axis = torch.cat([first_a, first_b]).abs().argmax(2)
    counts = torch.stack([(axis == k).sum(1) for k in range(n_axes)], 1).double()
    return {
        "units_on_an_axis_sd": (counts - width / n_axes).square().mean().sqrt().item(),
        "binomial_sd": (width / n_axes * (1 - 1 / n_axes)) ** 0.5,
        "barrier_weights": float(chain_barriers(pairs.between_ends(pairs.a, matched)).mean()),
        "barrier_least_mass": float(chain_barriers(pairs.between_ends(pairs.a, on_axes)).mean()),
        "mass": float(mass.mean()),
    }


def least_mass(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The order of B's units `[n, width]` that pairs the least mass across axes, and that mass `[n]`.

    a, b: first layers `[n, width, n_inputs]`. Of orders that are equal in it (to a thousandth), the one that brings
    weights nearest.
    """
    size_a, axis_a = a.abs().max(2)
    size_b, axis_b = b.abs().max(2)
    different_axes = axis_a[:, :, None] != axis_b[:, None]
    across = torch.minimum(size_a[:, :, None], size_b[:, None]) * different_axes
    order = torch.from_numpy(assign((1e-3 * a @ b.transpose(1, 2) - across).numpy()))
    return order, across.gather(2, order[:, :, None]).sum((1, 2))


if __name__ == "__main__":
    main()
