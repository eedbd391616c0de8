"""How long the theory takes: processor seconds for 10,000 pairs of networks of width 16 with 8 inputs.

    python benchmarks/theory_speed.py [--quick] [--json]

The barrier of the population loss against a teacher of width 4, certain to 10⁻⁶ of the loss, and the exact training
barrier of relu networks on 256 samples: by theory's own route in numpy, and by its compiled twin, which shares the
pairs out to all cores (on c free cores it takes a c-th of its processor time). One after the other in each round; fewer
pairs are timed and scaled to 10,000: medians of three rounds. What the two find is compared before a time is printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import theory
from kernels import Architecture, Teacher
from kernels.native.piecewise import piecewise_losses
from kernels.native.population import population_losses
from testbed.pair_set import layers

PAIRS = 10_000
TOLERANCE = 1e-6
CASES = (
    ("relu", False),
    ("erf", False),
    ("relu", True),
    ("erf", True),
    ("tanh", False),
    ("gelu", False),
    ("gelu", True),
)
SAMPLES = 256


def networks(seed: int, architecture: Architecture, n: int) -> torch.Tensor:
    """n random networks: standard normal weights over √fan_in, and standard normal biases."""
    params = torch.randn(n, architecture.n_parameters, generator=torch.Generator().manual_seed(seed)).double()
    for layer in architecture.layout:
        params[:, layer.weight : layer.weight + layer.fan_in * layer.fan_out] /= layer.fan_in**0.5
    return params


def population(activation: str, biases: bool, n: int) -> tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]:
    """Barriers over the mean of both ends, of n pairs, by theory and by its twin."""
    students, star = (Architecture((8, width, 1), activation, biases=biases) for width in (16, 4))
    a, b, teacher = networks(1, students, n), networks(2, students, n), networks(3, star, 1)
    ends = layers(students, a), layers(students, b), layers(star, teacher)
    no_alphas = torch.zeros(0)

    def by_theory() -> np.ndarray:
        return theory.population_path(*ends, activation, tol=TOLERANCE).barrier("mean_endpoints").value

    def by_twin() -> np.ndarray:
        found = population_losses(students, a, b, Teacher(star, teacher), no_alphas, TOLERANCE)
        return found.barriers[:, 1, 0].numpy()

    return by_theory, by_twin


def training_set(n: int) -> tuple[Callable[[], np.ndarray], Callable[[], np.ndarray]]:
    """The same on a training set."""
    students = Architecture((8, 16, 1))
    a, b = networks(1, students, n), networks(2, students, n)
    generator = torch.Generator().manual_seed(4)
    x, y = (torch.randn(1, SAMPLES, size, generator=generator, dtype=torch.float64) for size in (8, 1))
    ends = layers(students, a), layers(students, b)

    def by_theory() -> np.ndarray:
        return theory.piecewise_barriers(*ends, x[0].numpy(), y[0].numpy()).barriers["mean_endpoints"].value

    def by_twin() -> np.ndarray:
        return piecewise_losses(students, a, b, x, y, torch.zeros(0)).barriers[:, 1, 0].numpy()

    return by_theory, by_twin


def seconds(contenders: tuple[Callable[[], np.ndarray], ...], n: int) -> list[float]:
    """Medians of three rounds: processor time for PAIRS pairs where a call takes n; SystemExit where results differ."""
    taken: list[list[float]] = [[] for _ in contenders]
    for _ in range(3):
        found = []
        for work, times in zip(contenders, taken, strict=True):
            start = time.process_time()
            found.append(work())
            times.append((time.process_time() - start) * PAIRS / n)
        if not np.allclose(*found, rtol=0, atol=2 * TOLERANCE * np.abs(found[0]).max()):
            raise SystemExit("theory and its twin find different barriers; nothing is timed.")
    return [statistics.median(times) for times in taken]


def main() -> None:
    """Prints one row a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the pairs")
    parser.add_argument("--json", action="store_true", help="one object a row")
    arguments = parser.parse_args()
    fewer = 10 if arguments.quick else 1
    rows = []
    for activation, biases in CASES:
        n = (2000 if activation in ("relu", "erf") and not biases else 300) // fewer
        name = f"population, {activation}{', biases' if biases else ''}"
        rows.append((name, *seconds(population(activation, biases, n), n)))
    rows.append((f"training set, relu, {SAMPLES} samples, exact", *seconds(training_set(1000 // fewer), 1000 // fewer)))
    if arguments.json:
        print("\n".join(json.dumps({"what": name, "theory_s": own, "twin_s": twin}) for name, own, twin in rows))
        return
    table = Table("barriers", "theory (s)", "twin (s)", "ratio", title=f"{PAIRS:,} pairs, width 16, processor time")
    for name, own, twin in rows:
        table.add_row(name, f"{own:.3g}", f"{twin:.3g}", f"{own / twin:.1f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
