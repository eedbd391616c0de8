"""What masks save the native kernel: training steps of masked networks over those of whole ones.

    python benchmarks/sparse.py

A group of 16 networks leaves out the weights that none of them has: all masked ones where the networks share a mask,
hardly any where each has a random mask of its own. Full batch of 64 samples, one thread, medians of five.
"""

from __future__ import annotations

import statistics
import time

import torch
import tyro
from rich.console import Console
from rich.table import Table

from kernels import SGD, Architecture, Training, train

DENSITIES = (1.0, 0.75, 0.5, 0.25, 0.1)
SHAPES = ((8, 16, 1), (16, 64, 1), (32, 32, 32, 4), (64, 64, 64, 10))
N_NETWORKS = 64
STEPS = 60
ROUNDS = 5


def seconds(architecture: Architecture, mask: torch.Tensor | None) -> float:
    """One training call of N_NETWORKS networks."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, architecture.widths[0], generator=generator)
    y = torch.randn(64, architecture.widths[-1], generator=generator)
    params = architecture.initial(N_NETWORKS, 0)
    start = time.perf_counter()
    train(architecture, params, (x, y), Training(STEPS, SGD(lr=0.01)), mask=mask, backend="native", threads=1)
    return time.perf_counter() - start


def relative_times(architecture: Architecture, density: float) -> tuple[float, float]:
    """Time with one mask for all networks, and with a mask for each, over the time without; medians of ROUNDS."""
    generator = torch.Generator().manual_seed(1)
    own = torch.ones(N_NETWORKS, architecture.n_parameters, dtype=torch.bool)
    for weights, _ in architecture.layers(own):  # biases stay
        weights.copy_(torch.rand(weights.shape, generator=generator) < density)
    shared = own[:1].expand(N_NETWORKS, -1).contiguous()
    rounds = [[seconds(architecture, mask) for mask in (None, shared, own)] for _ in range(ROUNDS)]
    whole_time, shared_time, own_time = (statistics.median(times) for times in zip(*rounds, strict=True))
    return shared_time / whole_time, own_time / whole_time


def main() -> None:
    """Print the table: shapes down, densities across."""
    table = Table(title="time of a step over that without a mask: shared mask / masks of their own")
    for name in ("widths", *(f"density {density:g}" for density in DENSITIES)):
        table.add_column(name)
    for widths in SHAPES:
        cells = []
        for density in DENSITIES:
            shared, own = relative_times(Architecture(widths), density)
            cells.append(f"{shared:.2f} / {own:.2f}")
        table.add_row("-".join(map(str, widths)), *cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    tyro.cli(main)
