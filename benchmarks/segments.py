"""Paths beyond one segment: barriers of straight lines, after matching, through a trained bend, over a star's centre.

    python benchmarks/segments.py [--quick] [--json]

Networks of two hidden layers learn two spirals. Barriers are of the training loss (linear definition, the largest of a
chain's segments): medians, and 10 % and 90 % quantiles over pairs. The study segments.toml asks the same of more
networks; here the centre is also held against its own leaves.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from kernels import Adam, Architecture, Training, train
from testbed import PairSet, alignment
from testbed.data.tasks import SpiralsData
from testbed.measures.segments import Descent, chain_barriers, star_centre, trained_bends

ARCHITECTURE = Architecture((2, 32, 32, 2))
LOSS = "cross_entropy"
N_ALPHAS = 25
N_LEAVES = 8


def main() -> None:
    """Train, bend, and print one row a kind of path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer networks and steps")
    parser.add_argument("--json", action="store_true", help="one object a row")
    options = parser.parse_args()
    n_pairs, steps, bend_steps = (8, 500, 100) if options.quick else (24, 4000, 1500)
    table = Table("path", "median barrier (nats)", "10 %", "90 %", "segments", box=None)
    for row in rows(n_pairs, steps, Descent(bend_steps)):
        if options.json:
            print(json.dumps(row))
        quantiles = (f"{row[name]:.3g}" for name in ("median", "p10", "p90"))
        table.add_row(str(row["path"]), *quantiles, str(row["segments"]))
    if not options.json:
        Console().print(table)


def rows(n_pairs: int, steps: int, descent: Descent) -> list[dict[str, str | float]]:
    """Quantiles of the barriers of each kind of path."""
    x, y = (torch.from_numpy(array) for array in SpiralsData(kind="spirals", n_train=256).train())
    samples = (x, y)
    initial = ARCHITECTURE.initial(2 * n_pairs + N_LEAVES, 0, dtype=torch.float64)
    params = train(ARCHITECTURE, initial, samples, Training(steps, Adam(lr=0.005), LOSS)).params
    a = params[:n_pairs]
    b = params[n_pairs : 2 * n_pairs]
    leaves = params[2 * n_pairs :]
    matched = alignment.match_weights(ARCHITECTURE, a, b).params
    bend = trained_bends(ARCHITECTURE, (a, b), samples, LOSS, descent)
    centre = star_centre(ARCHITECTURE, leaves, samples, LOSS, descent)

    def barriers(start: Tensor, end: Tensor, middle: Tensor | None = None) -> np.ndarray:
        return chain_barriers(PairSet.of(ARCHITECTURE, start, end, samples, LOSS, N_ALPHAS), middle)

    found = {
        "straight": (1, barriers(a, b)),
        "straight, after weight matching": (1, barriers(a, matched)),
        "through a trained bend": (2, barriers(a, b, bend)),
        "through the centre of a star of 8 others": (2, barriers(a, b, centre.expand_as(a))),
        "from that centre to its own 8": (1, barriers(centre.expand_as(leaves), leaves)),
    }
    result: list[dict[str, str | float]] = []
    for path, (n_segments, values) in found.items():
        low, middle, high = np.quantile(values, [0.1, 0.5, 0.9]).tolist()
        row = {"path": path, "median": middle, "p10": low, "p90": high, "segments": n_segments, "pairs": len(values)}
        result.append(row)
    return result


if __name__ == "__main__":
    main()
