"""The canonical form of networks whose units can be rescaled."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import kernels

if TYPE_CHECKING:
    from torch import Tensor

RESCALED = ("relu", "leaky_relu", "identity")  # σ(s z) = s σ(z) for s > 0
MOST_SWEEPS = 1000


def canonical(architecture: kernels.Architecture, params: Tensor) -> Tensor:
    """The same functions, every unit rescaled so that its incoming and its outgoing weights have one norm.

    Biases count as incoming. w, b → s w, s b and v → v/s with s > 0 changes nothing for relu, leaky relu and identity;
    units without outgoing or incoming weights stay. In deep networks the layers take turns until none changes (Stock
    et al. 2019).
    params and result: `[n, n_parameters]`. ValueError for other activations, normalised or residual networks.

    >>> import torch
    >>> architecture = kernels.Architecture((1, 1, 1), biases=False)
    >>> canonical(architecture, torch.tensor([[2.0, 8.0]]))
    tensor([[4., 4.]])
    """
    import torch

    if architecture.activation not in RESCALED or architecture.normalise or architecture.residual:
        raise ValueError(
            "units can be rescaled for relu, leaky_relu and identity alone, without normalise and residual."
        )
    result = params.clone()
    layers = architecture.layers(result)
    for _ in range(MOST_SWEEPS):
        change = 0.0
        for (weight, bias), (next_weight, _) in itertools.pairwise(layers):
            incoming = weight.square().sum(2) if bias is None else weight.square().sum(2) + bias.square()
            ratio = next_weight.square().sum(1) / incoming
            scale = torch.where((ratio > 0) & ratio.isfinite(), ratio, 1.0) ** 0.25
            weight.mul_(scale[:, :, None])
            if bias is not None:
                bias.mul_(scale)
            next_weight.div_(scale[:, None])
            change = max(change, float((scale - 1).abs().max()))
        if change < 8 * torch.finfo(params.dtype).eps:
            break
    return result
