"""The symmetries of a network: permutations and signs of hidden units that leave its function as it is.

Everything takes arrays of networks `[n, n_parameters]`. A permutation π of a hidden layer puts unit π_i in place i:
W_l[i] ← W_l[π_i], b_l[i] ← b_l[π_i], W_{l+1}[:, i] ← W_{l+1}[:, π_i]; a sign s_i multiplies both. A residual connection
adds a layer's input to its output, so that the layers it joins have one permutation between them: a group of layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import kernels
from kernels.checks import described, numbers

if TYPE_CHECKING:
    from torch import Tensor

ROWS_NAMED = 5  # in an error
ODD = ("identity", "erf", "tanh")  # σ(−z) = −σ(z)


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


def checked_networks(architecture: kernels.Architecture, **named: Tensor) -> list[Tensor]:
    """Arrays of networks `[n, n_parameters]` that are to be matched, row by row, by the names that errors call them.

    ValueError where their shapes differ, or a network is not finite: one that diverged has no units that could be like
    another's, and no order of them would be better than any other.

    >>> import torch
    >>> architecture = kernels.Architecture((1, 1))
    >>> checked_networks(architecture, params_a=torch.tensor([[1.0, 2.0], [torch.nan, 0.0]]))
    Traceback (most recent call last):
    ValueError: params_a must be finite to be matched, and rows 1 are not: leave networks that diverged out.
    """
    from kernels.arguments import network_params

    networks = [network_params(name, architecture, params, "networks") for name, params in named.items()]
    if len({len(params) for params in networks}) > 1:
        shapes = " and ".join(str(list(params.shape)) for params in networks)
        raise ValueError(f"{' and '.join(named)} must have one shape, not {shapes}.")
    for name, params in zip(named, networks, strict=True):
        diverged = (~params.isfinite().all(1)).nonzero()[:, 0].tolist()
        if diverged:
            rows = ", ".join(map(str, diverged[:ROWS_NAMED])) + (", …" if len(diverged) > ROWS_NAMED else "")
            raise ValueError(
                f"{name} must be finite to be matched, and rows {rows} are not: leave networks that diverged out."
            )
    return networks


def permute(
    architecture: kernels.Architecture,
    params: Tensor,
    permutations: Sequence[Tensor],
    signs: Sequence[Tensor] | None = None,
) -> Tensor:
    """The same functions with their hidden units in another order, `[n, n_parameters]`.

    permutations (whole numbers) and signs (1 or −1): `[n, width]` of each hidden layer. ValueError for what is no
    permutation or no sign, or differs within a group of layers; and for signs where σ is not odd, or where units are
    normalised together.

    >>> import torch
    >>> architecture = kernels.Architecture((1, 2, 1), biases=False)
    >>> permute(architecture, torch.tensor([[1.0, 2.0, 3.0, 4.0]]), (torch.tensor([[1, 0]]),))
    tensor([[2., 1., 4., 3.]])
    """
    import torch

    from kernels.arguments import network_params

    params = network_params("params", architecture, params, "networks")
    orders = _of_each_layer(architecture, len(params), "permutations", permutations)
    _check_orders(orders)
    orders = [order.long() for order in orders]
    flips = [torch.ones_like(order) for order in orders]
    if signs is not None:
        flips = _of_each_layer(architecture, len(params), "signs", signs)
        if not all(bool((flip.abs() == 1).all()) for flip in flips):
            raise ValueError("signs must be 1 or −1.")
        if any(bool((flip < 0).any()) for flip in flips):
            check_signs(architecture)
    return reordered(architecture, params, orders, flips)


def reordered(
    architecture: kernels.Architecture, params: Tensor, orders: Sequence[Tensor], flips: Sequence[Tensor]
) -> Tensor:
    """As `permute`, of orders (int64) and signs `[n, width]` of each hidden layer that need no check.

    >>> import torch
    >>> architecture = kernels.Architecture((1, 2, 1), "tanh", biases=False)
    >>> order, flip = torch.tensor([[1, 0]]), torch.tensor([[1.0, -1.0]])
    >>> reordered(architecture, torch.tensor([[1.0, 2.0, 3.0, 4.0]]), [order], [flip])
    tensor([[ 2., -1.,  4., -3.]])
    """
    result = params.clone()
    layers = architecture.layers(result)
    for layer, (order, flip) in enumerate(zip(orders, flips, strict=True)):
        weight, bias = layers[layer]
        next_weight, _ = layers[layer + 1]
        sign = flip.to(params.dtype)
        weight.copy_(weight.gather(1, order[:, :, None].expand_as(weight)) * sign[:, :, None])
        if bias is not None:
            bias.copy_(bias.gather(1, order) * sign)
        next_weight.copy_(next_weight.gather(2, order[:, None].expand_as(next_weight)) * sign[:, None])
    return result


def _of_each_layer(architecture: kernels.Architecture, n: int, field: str, given: Sequence[Tensor]) -> list[Tensor]:
    """`given` as a tensor `[n, width]` for each hidden layer; one and the same within a group of layers."""
    import torch

    widths = architecture.widths[1:-1]
    if not isinstance(given, tuple | list) or len(given) != len(widths):
        raise ValueError(
            f"{field} must hold one tensor for each of {len(widths)} hidden layers, not {described(given)}."
        )
    tensors = [numbers(f"{field}[{layer}]", part) for layer, part in enumerate(given)]
    for layer, (tensor, width) in enumerate(zip(tensors, widths, strict=True)):
        if tensor.shape != (n, width):
            raise ValueError(f"{field}[{layer}] must have shape [{n}, {width}], not {list(tensor.shape)}.")
    for first, *others in groups(architecture):
        for layer in others:
            if not torch.equal(tensors[layer], tensors[first]):
                raise ValueError(
                    f"{field}[{layer}] must equal {field}[{first}]: a residual connection joins these layers' units."
                )
    return tensors


def _check_orders(orders: list[Tensor]) -> None:
    """ValueError for the first row that does not hold each unit of its layer once."""
    import torch

    for layer, order in enumerate(orders):
        units = torch.arange(order.shape[1], device=order.device)
        wrong = (order.sort(1).values != units).any(1).nonzero()[:, 0]
        if order.is_floating_point() or len(wrong):
            row = int(wrong[0]) if len(wrong) else 0
            raise ValueError(
                f"permutations[{layer}] must hold each of 0 … {order.shape[1] - 1} once in every row, "
                f"as whole numbers: row {row} is {order[row].tolist()}."
            )
