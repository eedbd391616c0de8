"""How long the theory takes: seconds for 10,000 pairs of networks of width 16 with 8 inputs.

    python benchmarks/theory_speed.py [--quick]

On one core: the population loss at 25 alphas against a teacher of width 4, and its barrier, certain to 10⁻⁶ of the
loss. On all cores: the exact training barrier of relu networks on 256 samples. Fewer pairs are timed and scaled to
10,000; medians of three.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

import theory

PAIRS, ALPHAS = 10_000, np.linspace(0, 1, 25)
CASES = (
    ("relu", False),
    ("erf", False),
    ("square", False),
    ("relu", True),
    ("erf", True),
    ("tanh", False),
    ("gelu", True),
)


def networks(rng: np.random.Generator, n: int, width: int, biases: bool) -> theory.Layers:
    """n random networks of 8 inputs and one output."""
    return [
        (rng.standard_normal((n, width, 8)) / np.sqrt(8), rng.standard_normal((n, width)) if biases else None),
        (rng.standard_normal((n, 1, width)) / np.sqrt(width), rng.standard_normal((n, 1)) if biases else None),
    ]


def seconds(work: Callable[[], object], n: int) -> str:
    """Median of three, for PAIRS pairs where `work` takes n."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        taken.append((time.perf_counter() - start) * PAIRS / n)
    return f"{statistics.median(taken):.3g}"


def main() -> None:
    """Prints one row a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the pairs")
    fewer = 10 if parser.parse_args().quick else 1
    table = Table("what", "25 alphas (s)", "barrier (s)", title="10,000 pairs, width 16")
    rng = np.random.default_rng(0)
    for activation, biases in CASES:
        n = (2000 if activation in ("relu", "erf", "square") and not biases else 300) // fewer
        a, b, teacher = networks(rng, n, 16, biases), networks(rng, n, 16, biases), networks(rng, 1, 4, biases)

        def curve(a=a, b=b, teacher=teacher, activation=activation) -> theory.SmoothCurve:
            return theory.population_path(a, b, teacher, activation)

        name = f"population, {activation}{', biases' if biases else ''}"
        table.add_row(name, seconds(lambda: curve()(ALPHAS), n), seconds(lambda: curve().barrier(), n))
    n = 1000 // fewer
    a, b = networks(rng, n, 16, True), networks(rng, n, 16, True)
    x, y = rng.standard_normal((256, 8)), rng.standard_normal((256, 1))
    table.add_row(
        "training set, relu, 256 samples, exact", "", seconds(lambda: theory.piecewise_barriers(a, b, x, y), n)
    )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
