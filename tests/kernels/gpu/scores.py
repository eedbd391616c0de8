"""Matrices of scores whose assignment is easy, hard, or a matter of which of equals is taken."""

from __future__ import annotations

import numpy as np

KINDS = ("normal", "ties", "one", "huge", "tiny", "products", "negative zeros", "last bits", "rounded")


def scores_of(kind: str, n: int, m: int, seed: int = 0) -> np.ndarray:
    """Float64 `[n, m, m]`: normal numbers, whole ones with many equal sums, all the same, of sizes at which float64
    begins to lose digits or ends, overlaps of two sets of vectors, zeros of both signs, numbers that differ in their
    last bits alone, and sums in which rounding decides.
    """
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((n, m, m))
    match kind:
        case "normal":
            return normal
        case "ties":
            return np.round(normal)
        case "one":
            return np.full((n, m, m), rng.standard_normal())
        case "huge":
            return normal * 1e300
        case "tiny":
            return normal * 1e-310
        case "products":
            a, b = rng.standard_normal((2, n, m, 3))
            return np.maximum(a @ b.swapaxes(1, 2), 0.0)
        case "negative zeros":
            return np.where(rng.random((n, m, m)) < 0.5, -0.0, np.round(normal) * 0.0)
        case "last bits":
            return 1 + rng.integers(0, 4, (n, m, m)) * 2.0**-50
        case "rounded":
            return np.round(normal) * 2.0**53 + rng.integers(0, 8, (n, m, m))
    raise ValueError(kind)
