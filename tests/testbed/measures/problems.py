"""Small random problems for the tests of measures."""

from __future__ import annotations

import torch

from kernels import Architecture

DOUBLE = torch.float64


def setting(loss, widths=(3, 6, 2), n=3, samples=20, activation="tanh"):
    """An architecture, two ends `[n, n_parameters]`, and samples x `[n, samples, n_inputs]` and y, a set for each."""
    architecture = Architecture(widths, activation)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, samples, widths[0], dtype=DOUBLE, generator=generator)
    if loss == "mse":
        y = torch.randn(n, samples, widths[-1], dtype=DOUBLE, generator=generator)
    else:
        y = torch.randint(0, widths[-1], (n, samples), generator=generator)
    return architecture, architecture.initial(n, 2, dtype=DOUBLE), architecture.initial(n, 3, dtype=DOUBLE), x, y
