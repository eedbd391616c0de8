"""Points on the paths of many pairs, as one batch of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kernels

if TYPE_CHECKING:
    from torch import Tensor


def points_on_paths(a: Tensor, b: Tensor, alphas: Tensor) -> Tensor:
    """Every network on every path, float64 `[n_pairs · n_alphas, n_parameters]`, those of a path one after the other.

    >>> import torch
    >>> points_on_paths(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([0.0, 0.5])).tolist()
    [[0.0, 0.0], [0.5, 0.5]]
    """
    alpha = alphas.double()[:, None]
    return ((1 - alpha) * a.double()[:, None] + alpha * b.double()[:, None]).flatten(0, 1)


def for_each_point(samples: Tensor, n_alphas: int) -> Tensor:
    """The samples of each pair `[n_pairs, …]` for all networks of its path, `[n_pairs · n_alphas, …]`."""
    return samples[:, None].expand(-1, n_alphas, *samples.shape[1:]).flatten(0, 1)


def mean_losses(architecture: kernels.Architecture, params: Tensor, x: Tensor, y: Tensor, loss: str) -> Tensor:
    """Mean loss of each network on samples of its own, `[n]`: x `[n, n_samples, n_inputs]` and y, all float64."""
    from kernels import reference

    outputs = reference.forward(architecture, params, x)[0]
    return reference.sample_losses(loss, outputs, y)[0].mean(1)
