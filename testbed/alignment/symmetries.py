"""The symmetries of a network: permutations and signs of hidden units that leave its function as it is.

Everything takes arrays of networks `[n, n_parameters]`. A permutation π of a hidden layer puts unit π_i in place i:
W_l[i] ← W_l[π_i], b_l[i] ← b_l[π_i], W_{l+1}[:, i] ← W_{l+1}[:, π_i]; a sign s_i multiplies both. A residual connection
adds a layer's input to its output, so that the layers it joins have one permutation between them: a group of layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import kernels

ODD = ("identity", "erf", "tanh")  # σ(−z) = −σ(z)


@dataclass(frozen=True, eq=False)
class Aligned:
    """B as it was brought near A: params `[n_pairs, n_parameters]`.

    permutations int64 and signs float64 `[n_pairs, width]`, of each hidden layer.
    """

    params: Tensor
    permutations: tuple[Tensor, ...]
    signs: tuple[Tensor, ...]


def has_signs(architecture: kernels.Architecture) -> bool:
    """Whether a hidden unit's sign may change: its activation is odd, and it is not normalised.

    >>> has_signs(kernels.Architecture((2, 3, 1), "tanh")), has_signs(kernels.Architecture((2, 3, 1), "relu"))
    (True, False)
    """
    return architecture.activation in ODD and not architecture.normalise


def check_signs(architecture: kernels.Architecture) -> None:
    """ValueError where a hidden unit's sign may not change."""
    if not has_signs(architecture):
        raise ValueError(
            f"signs flip units of odd activations ({', '.join(ODD)}) that are not normalised, "
            f"not of {architecture.activation!r}."
        )


def groups(architecture: kernels.Architecture) -> list[list[int]]:
    """Hidden layers (from 0) that have one permutation between them; one each without residual connections.

    >>> groups(kernels.Architecture((2, 6, 6, 1))), groups(kernels.Architecture((2, 6, 6, 1), residual=True))
    ([[0], [1]], [[0, 1]])
    """
    made: list[list[int]] = []
    for layer in range(len(architecture.widths) - 2):
        if architecture.skips[layer]:
            made[-1].append(layer)
        else:
            made.append([layer])
    return made


def permute(
    architecture: kernels.Architecture,
    params: Tensor,
    permutations: tuple[Tensor, ...],
    signs: tuple[Tensor, ...] | None = None,
) -> Tensor:
    """The same functions with their hidden units in another order, `[n, n_parameters]`.

    permutations (int64) and signs (1 or −1): `[n, width]` of each hidden layer. ValueError for signs where σ is not
    odd, or where units are normalised together.

    >>> architecture = kernels.Architecture((1, 2, 1), biases=False)
    >>> permute(architecture, torch.tensor([[1.0, 2.0, 3.0, 4.0]]), (torch.tensor([[1, 0]]),))
    tensor([[2., 1., 4., 3.]])
    """
    if signs is not None and any(bool((sign < 0).any()) for sign in signs):
        check_signs(architecture)
    result = params.clone()
    layers = architecture.layers(result)
    for layer, order in enumerate(permutations):
        weight, bias = layers[layer]
        next_weight, _ = layers[layer + 1]
        sign = torch.ones_like(order, dtype=params.dtype) if signs is None else signs[layer].to(params.dtype)
        weight.copy_(weight.gather(1, order[:, :, None].expand_as(weight)) * sign[:, :, None])
        if bias is not None:
            bias.copy_(bias.gather(1, order) * sign)
        next_weight.copy_(next_weight.gather(2, order[:, None].expand_as(next_weight)) * sign[:, None])
    return result
