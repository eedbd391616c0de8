"""The matrix of barriers between all pairs of an ensemble, after weight matching.

    python benchmarks/all_pairs.py [--quick] [--json] [--networks 1000]

Networks 2-16-1 learn a relu teacher from 256 samples; every pair is aligned by weights and its training loss measured
at 25 alphas, in chunks that bound the memory. Prints the seconds of each stage, and quantiles of the matrix.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import theory
from kernels import SGD, Architecture, Training, path_losses, train
from testbed import alignment
from testbed.data.teacher_student import TeacherSpec

ALPHAS = torch.linspace(0, 1, 25, dtype=torch.float64)
CHUNK = 2**15  # pairs


def main() -> None:
    """Train, align, measure, and print one row a stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 networks")
    parser.add_argument("--json", action="store_true", help="one object a row")
    parser.add_argument("--networks", type=int, default=1000)
    options = parser.parse_args()
    n = 100 if options.quick else options.networks
    architecture, teacher = Architecture((2, 16, 1), "relu"), TeacherSpec(hidden=(4,)).build(2, 1)
    x = torch.randn(256, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = teacher.to_torch(teacher.initial(1, 1, dtype=torch.float64)[0])(x).detach()
    seconds = {}
    start = time.perf_counter()
    params = train(architecture, architecture.initial(n, 0), (x, y), Training(4000, SGD(lr=0.05, momentum=0.9))).params
    seconds["training"] = time.perf_counter() - start
    first, second = (torch.from_numpy(index) for index in np.triu_indices(n, 1))
    seconds |= {"weight matching": 0.0, "paths": 0.0, "barriers": 0.0}
    raw, matched = np.zeros((n, n)), np.zeros((n, n))
    for k in range(0, len(first), CHUNK):
        i, j = first[k : k + CHUNK], second[k : k + CHUNK]
        a, b = params[i], params[j]
        start = time.perf_counter()
        brought = alignment.match_weights(architecture, a, b).params
        seconds["weight matching"] += time.perf_counter() - start
        for ends, matrix in ((b, raw), (brought, matched)):
            start = time.perf_counter()
            losses = path_losses(architecture, a, ends, ALPHAS, (x, y), dtype=torch.float32).loss.numpy()
            seconds["paths"] += time.perf_counter() - start
            start = time.perf_counter()
            matrix[i, j] = matrix[j, i] = theory.barriers_on_grid(ALPHAS.numpy(), losses, "linear").value
            seconds["barriers"] += time.perf_counter() - start
    table = Table(f"stage ({n:,} networks, {len(first):,} pairs)", "seconds", "pairs/s", box=None)
    for stage, spent in seconds.items():
        if options.json:
            print(json.dumps({"stage": stage, "networks": n, "pairs": len(first), "seconds": spent}))
        table.add_row(stage, f"{spent:.1f}", f"{len(first) / spent:,.0f}" if stage != "training" else "")
    off = ~np.eye(n, dtype=bool)
    quantiles = {
        name: np.quantile(matrix[off], [0.1, 0.5, 0.9]).round(6).tolist()
        for name, matrix in (("as trained", raw), ("matched", matched))
    }
    if options.json:
        print(json.dumps({"barriers, 10 % 50 % 90 %": quantiles}))
        return
    Console().print(table)
    for name, values in quantiles.items():
        print(f"barrier {name}, 10 %, 50 %, 90 %: {', '.join(f'{v:.3g}' for v in values)}")


if __name__ == "__main__":
    main()
