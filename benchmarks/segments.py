"""Paths beyond one segment: the barrier of the straight line, after weight matching, through a trained bend, and through a star's centre.

    python benchmarks/segments.py [--quick] [--json]

Networks of two hidden layers learn two spirals; barriers are of the training loss (linear definition, largest of a chain's segments), medians and
10 % and 90 % quantiles over pairs. The study segments.toml asks the same of more networks; here the centre is also held against its own leaves.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from kernels import Adam, Architecture, Training, train
from testbed import alignment
from testbed.data.tasks import SpiralsData
from testbed.measures import chains as segments

ALPHAS = torch.linspace(0, 1, 25, dtype=torch.float64)


def main() -> None:
    """Train, bend, and print one row a kind of path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer networks and steps")
    parser.add_argument("--json", action="store_true", help="one object a row")
    options = parser.parse_args()
    n, steps, bends = (8, 500, 100) if options.quick else (24, 4000, 1500)
    architecture = Architecture((2, 32, 32, 2))
    x, y = (torch.from_numpy(array) for array in SpiralsData(kind="spirals", n_train=256).train())
    data, loss = (x, y), "cross_entropy"
    params = train(
        architecture,
        architecture.initial(2 * n + 8, 0, dtype=torch.float64),
        data,
        Training(steps, Adam(lr=0.005), loss),
    ).params
    a, b, others = params[:n], params[n : 2 * n], params[2 * n :]
    matched = alignment.match_weights(architecture, a, b).params
    bend = segments.trained_bends(architecture, a, b, data, loss, steps=bends)
    centre = segments.star_centre(architecture, others, data, loss, steps=bends).expand_as(a)
    chains = {
        "straight": [a, b],
        "straight, after weight matching": [a, matched],
        "through a trained bend": [a, bend, b],
        "through the centre of a star of 8 others": [a, centre, b],
        "from that centre to its own 8": [centre[: len(others)], others],
    }
    table = Table("path", "median barrier (nats)", "10 %", "90 %", "segments", box=None)
    for name, points in chains.items():
        barriers = segments.chain_barriers(architecture, points, data, loss, ALPHAS)
        low, middle, high = np.quantile(barriers, [0.1, 0.5, 0.9])
        row = {
            "path": name,
            "median": float(middle),
            "p10": float(low),
            "p90": float(high),
            "segments": len(points) - 1,
            "pairs": len(barriers),
        }
        if options.json:
            print(json.dumps(row))
        table.add_row(name, f"{middle:.3g}", f"{low:.3g}", f"{high:.3g}", str(len(points) - 1))
    if not options.json:
        Console().print(table)


if __name__ == "__main__":
    main()
