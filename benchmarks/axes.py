"""Why the aligned barrier of wide committees depends on how they start: how many units each axis gets, and whether matching is to blame.

    python benchmarks/axes.py [--runs runs] [--quick] [--json]

Of the networks of the study double_descent (run first if it has not been): at a minimum every unit of Σ relu(w_i·x) lies on one of the teacher's
axes (Lin, Li & Wu 2024, lemma 7). Rows: width, scale of the start, standard deviation of the number of units on an axis (independent draws would
have the binomial's), the aligned barrier (training loss, linear) by weight matching, and by the permutation that pairs the least mass across axes,
Σ min(|w_A|, |w_B|) over pairs of units on different axes, which is what makes a barrier here.
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
from testbed import alignment
from testbed.ensemble import plan as ensembles
from testbed.measures.chains import chain_barriers
from testbed.results.results import Results
from testbed.run import run_study
from testbed.study import Study

WIDTHS = (6, 16, 32, 64, 128)


def main() -> None:
    """Print one row a width and scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--quick", action="store_true", help="the study shrunk to a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a row")
    options = parser.parse_args()
    study = Study.load("double_descent", quick=options.quick)
    folder = options.runs / ("double_descent" + ("-quick" if options.quick else ""))
    results = Results.load(run_study(study, folder, progress=True).parent)
    n_axes = study.data.teacher.hidden[0]  # type: ignore[union-attr]
    columns = (
        "width",
        "start",
        "units on an axis: sd",
        "binomial sd",
        "barrier: weights",
        "least mass across axes",
        "mass across axes",
    )
    table = Table(*columns, title="committees of relus, training loss, means over pairs", box=None)
    for launch in ensembles.plan(study).launches:
        params = load_file(folder / f"parameters/launch-{launch.index}.safetensors")["params"].double()
        width = launch.architecture.widths[1]
        for scale in study.vary["architecture.scale"] if width in WIDTHS else ():
            cells = results.pairs.filter(
                (pl.col("launch") == launch.index) & (pl.col("architecture.scale") == scale) & ~pl.col("left_out")
            )
            place = launch.networks.select("network", "row")
            rows = (
                cells.join(place, left_on=f"network_{side}", right_on="network", maintain_order="left")["row"].to_numpy(
                    writable=True
                )
                for side in "ab"
            )
            a, b = (params[row] for row in rows)
            least, mass = least_mass(launch.architecture.layers(a)[0][0], launch.architecture.layers(b)[0][0])
            ends = {
                "weights": alignment.match_weights(launch.architecture, a, b).params,
                "axes": alignment.permute(
                    launch.architecture, b, (least,), (torch.ones(least.shape, dtype=torch.float64),)
                ),
            }
            data, train_set = launch.train_sets, cells["train_set_a"].to_numpy(writable=True)
            assert data is not None
            alphas = torch.tensor(study.measure.alphas, dtype=torch.float64)
            barrier = {
                name: chain_barriers(launch.architecture, [a, end], data, "mse", alphas, dataset=train_set).mean()
                for name, end in ends.items()
            }
            axis = torch.cat([launch.architecture.layers(side)[0][0].abs().argmax(2) for side in (a, b)])
            counts = torch.stack([(axis == k).sum(1) for k in range(n_axes)], 1).double()
            row = {
                "width": width,
                "start": scale,
                "units_on_an_axis_sd": (counts - width / n_axes).square().mean().sqrt().item(),
                "binomial_sd": (width / n_axes * (1 - 1 / n_axes)) ** 0.5,
                "barrier_weights": float(barrier["weights"]),
                "barrier_least_mass": float(barrier["axes"]),
                "mass": float(mass.mean()),
            }
            if options.json:
                print(json.dumps(row))
            table.add_row(*(f"{value:.3g}" for value in row.values()))
    if not options.json:
        Console(width=150).print(table)


def least_mass(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The order of B's units `[n, width]` that pairs the least mass across axes, and that mass `[n]`; a, b: first layers `[n, width, n_inputs]`.

    Of orders that are equal in it (to a thousandth), the one that brings weights nearest.
    """
    (size_a, axis_a), (size_b, axis_b) = (w.abs().max(2) for w in (a, b))
    across = torch.minimum(size_a[:, :, None], size_b[:, None]) * (axis_a[:, :, None] != axis_b[:, None])
    order = torch.from_numpy(assign((1e-3 * a @ b.transpose(1, 2) - across).numpy()))
    return order, across.gather(2, order[:, :, None]).sum((1, 2))


if __name__ == "__main__":
    main()
