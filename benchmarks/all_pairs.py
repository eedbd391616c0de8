"""The matrix of barriers between all pairs of an ensemble, after weight matching.

    python benchmarks/all_pairs.py [--quick] [--json] [--networks 1000]

Networks 2-16-1 learn a relu teacher from 256 samples; every pair is aligned by weights and its training loss measured
at 25 alphas, in chunks that bound the memory. Prints the seconds of each stage, and quantiles of the matrix.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import theory
from kernels import SGD, Architecture, Training, path_losses, train
from testbed import alignment
from testbed.data.teacher_student import TeacherSpec
from testbed.pair_set import Samples

ARCHITECTURE = Architecture((2, 16, 1), "relu")
ALPHAS = torch.linspace(0, 1, 25, dtype=torch.float64)
PAIRS_AT_A_TIME = 2**15
QUANTILES = (0.1, 0.5, 0.9)


class Stages:
    """Seconds spent in each stage."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add what runs within to a stage."""
        start = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - start


def main() -> None:
    """Train, align, measure, and print one row a stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 networks")
    parser.add_argument("--json", action="store_true", help="one object a row")
    parser.add_argument("--networks", type=int, default=1000)
    options = parser.parse_args()
    n_networks = 100 if options.quick else options.networks
    n_pairs = n_networks * (n_networks - 1) // 2
    stages = Stages()
    matrices = barriers(n_networks, stages)
    table = Table(f"stage ({n_networks:,} networks, {n_pairs:,} pairs)", "seconds", "pairs/s", box=None)
    for stage, seconds in stages.seconds.items():
        if options.json:
            print(json.dumps({"stage": stage, "networks": n_networks, "pairs": n_pairs, "seconds": seconds}))
        table.add_row(stage, f"{seconds:.1f}", f"{n_pairs / seconds:,.0f}" if stage != "training" else "")
    off_diagonal = ~np.eye(n_networks, dtype=bool)
    quantiles = {
        name: np.quantile(matrix[off_diagonal], QUANTILES).round(6).tolist() for name, matrix in matrices.items()
    }
    if options.json:
        print(json.dumps({"barriers, 10 % 50 % 90 %": quantiles}))
        return
    Console().print(table)
    for name, values in quantiles.items():
        print(f"barrier {name}, 10 %, 50 %, 90 %: {', '.join(f'{value:.3g}' for value in values)}")


def barriers(n_networks: int, stages: Stages) -> dict[str, np.ndarray]:
    """The symmetric matrices of barriers `[n_networks, n_networks]`, as trained and after matching."""
    samples = teacher_samples()
    training = Training(4000, SGD(lr=0.05, momentum=0.9))
    with stages.timed("training"):
        params = train(ARCHITECTURE, ARCHITECTURE.initial(n_networks, 0), samples, training).params
    matrices = {name: np.zeros((n_networks, n_networks)) for name in ("as trained", "matched")}
    rows, columns = (torch.from_numpy(index) for index in np.triu_indices(n_networks, 1))
    for start in range(0, len(rows), PAIRS_AT_A_TIME):
        i = rows[start : start + PAIRS_AT_A_TIME]
        j = columns[start : start + PAIRS_AT_A_TIME]
        a, b = params[i], params[j]
        with stages.timed("weight matching"):
            matched = alignment.match_weights(ARCHITECTURE, a, b).params
        for name, ends in (("as trained", b), ("matched", matched)):
            values = path_barriers(a, ends, samples, stages)
            matrices[name][i, j] = values
            matrices[name][j, i] = values
    return matrices


def teacher_samples() -> Samples:
    """256 Gaussian inputs and what a relu teacher of four units makes of them."""
    teacher = TeacherSpec(hidden=(4,)).build(2, 1)
    x = torch.randn(256, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, teacher.to_torch(teacher.initial(1, 1, dtype=torch.float64)[0])(x).detach()


def path_barriers(a: Tensor, b: Tensor, samples: Samples, stages: Stages) -> np.ndarray:
    """Barriers of the training loss (linear) between these ends, measured in float32, `[n_pairs]`."""
    with stages.timed("paths"):
        losses = path_losses(ARCHITECTURE, a, b, ALPHAS, samples, dtype=torch.float32).loss.numpy()
    with stages.timed("barriers"):
        return theory.barriers_on_grid(ALPHAS.numpy(), losses, "linear").value


if __name__ == "__main__":
    main()
