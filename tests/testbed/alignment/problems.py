"""Networks to align, and what moves their units."""

from __future__ import annotations

import numpy as np
import torch

from kernels import Architecture
from testbed import alignment

ARCHITECTURES = [
    Architecture((3, 5, 2), "relu"),
    Architecture((3, 5, 2), "tanh", biases=False),
    Architecture((2, 6, 4, 7, 1), "relu"),
    Architecture((2, 6, 6, 6, 3), "tanh", residual=True),
    Architecture((2, 5, 5, 3, 3, 2), "relu", normalise=True, residual=True),
]
ALPHAS = torch.linspace(0, 1, 9, dtype=torch.float64)


def networks(architecture, n, seed):
    return architecture.initial(n, seed, scheme="torch", dtype=torch.float64)


def inputs(architecture, n=64, seed=0):
    return torch.randn(n, architecture.n_inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def shuffled(architecture, params, seed, signs=False):
    """Random permutations (and signs), one for each group of layers; returns the permuted networks too."""
    rng = np.random.default_rng(seed)
    orders = {}
    flips = {}
    for group in alignment.groups(architecture):
        width = architecture.widths[1 + group[0]]
        order = torch.from_numpy(np.array([rng.permutation(width) for _ in params]))
        sign = (
            torch.from_numpy(rng.choice([-1.0, 1.0], (len(params), width)))
            if signs
            else torch.ones(len(params), width, dtype=torch.float64)
        )
        for layer in group:
            orders[layer] = order
            flips[layer] = sign
    orders, flips = (tuple(table[k] for k in sorted(table)) for table in (orders, flips))
    return alignment.permute(architecture, params, orders, flips), orders, flips
