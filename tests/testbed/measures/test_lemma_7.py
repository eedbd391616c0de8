"""The decision on trained weights against theory's, on exact ones."""

from __future__ import annotations

import numpy as np
import torch

import theory
from testbed.measures.lemma_7 import lemma_7


def random_minima(rng):
    """Committees of five units on three inputs, of a teacher of two units: `[n, 5, 3]`; no unit is nearly 0."""
    minima = np.zeros((40, 5, 3))
    for network in minima:
        types = np.concatenate([[0, 1], rng.integers(-1, 2, 3)])
        rng.shuffle(types)
        for axis in range(2):
            rows = np.flatnonzero(types == axis)
            network[rows, axis] = rng.dirichlet(np.full(len(rows), 5.0)) if len(rows) > 1 else 1.0
    sizes = minima.sum(2)
    return minima[(np.where(sizes > 0, sizes, 1) > 0.15).all(1)]


def test_lemma_7_agrees_with_the_exact_decision():
    rng = np.random.default_rng(0)
    minima = random_minima(rng)
    half = len(minima) // 2
    a, b = minima[:half], minima[half : 2 * half]
    exact = theory.linearly_connected(a, b, 2)
    noise = 0.03 * rng.standard_normal((2, *a.shape))
    found = lemma_7(torch.from_numpy(a + noise[0]), torch.from_numpy(b + noise[1]), 2, 0.15)
    good = ~found.isnan()
    assert good.sum() > 5 and np.array_equal(found[good].bool().numpy(), exact[good.numpy()])
    assert 0 < exact.mean() < 1
    assert lemma_7(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), 1).isnan().all()
