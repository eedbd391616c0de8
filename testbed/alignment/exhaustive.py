"""The best of all permutations (and signs): what every matching is held against."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

import kernels
import theory
from kernels.checks import described
from testbed.alignment.symmetries import check_signs, checked_networks, groups, reordered
from testbed.default_device import on_cpu
from testbed.pair_set import Aligned, PairSet

if TYPE_CHECKING:
    from torch import Tensor

MOST_CHOICES = 1_000_000  # 9! permutations, or 7! with 2⁷ signs
PATHS_AT_A_TIME = 2**17  # bounds the memory


def n_choices(architecture: kernels.Architecture, *, signs: bool = False) -> int:
    """Permutations of the hidden units, and with `signs` the flips that go with each.

    >>> architecture = kernels.Architecture((2, 3, 1), "tanh")
    >>> n_choices(architecture), n_choices(architecture, signs=True)
    (6, 48)
    """
    widths = [architecture.widths[1 + group[0]] for group in groups(architecture)]
    return math.prod(math.factorial(width) * (2**width if signs else 1) for width in widths)


@on_cpu
def exhaustive(pairs: PairSet, *, signs: bool = False) -> Aligned:
    """Of all permutations the one with the least barrier of the training loss: the barrier modulo permutation.

    Barriers (`linear`) are measured on the samples of A at the alphas between 0 and 1. signs: of all permutations and
    flips, for odd activations. Every matching's barrier is at least this one's. ValueError with more than a million
    choices, for signs where σ is not odd, and for networks that are not finite, by their rows.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> a, b = architecture.initial(2, seed=1), architecture.initial(2, seed=2)
    >>> best = exhaustive(PairSet.of(architecture, a, b, (torch.ones(20, 2), torch.zeros(20, 1))))
    >>> best.permutations[0].shape
    torch.Size([2, 3])
    """
    import torch

    architecture = pairs.architecture
    if signs:
        check_signs(architecture)
    count = n_choices(architecture, signs=signs)
    if count > MOST_CHOICES:
        raise ValueError(
            f"exhaustive search takes at most {MOST_CHOICES:,} permutations, "
            f"and widths {architecture.widths} have {count:,}."
        )
    checked_networks(architecture, **{"pairs.a": pairs.a, "pairs.b": pairs.b})
    choices = _Choices(architecture, signs)
    n = len(pairs)
    best = torch.full((n,), torch.inf, dtype=torch.float64)
    chosen = torch.zeros(n, dtype=torch.int64)
    at_a_time = max(1, PATHS_AT_A_TIME // n)
    for start in range(0, count, at_a_time):
        barriers = _barriers(pairs, choices, torch.arange(start, min(start + at_a_time, count)))
        least = torch.from_numpy(barriers.min(1))
        place = torch.from_numpy(barriers.argmin(1))  # the first of equals
        better = least < best
        best = torch.where(better, least, best)
        chosen = torch.where(better, start + place, chosen)
    if not bool(best.isfinite().all()):
        rows = (~best.isfinite()).nonzero()[:, 0].tolist()
        raise ValueError(f"no permutation has a finite barrier between the ends of pairs {described(rows)}.")
    orders, flips = choices.numbered(chosen)
    return Aligned(reordered(architecture, pairs.b, orders, flips), orders, flips)


class _Choices:
    """All permutations (and signs) of a network's hidden units, numbered from 0."""

    def __init__(self, architecture: kernels.Architecture, signs: bool) -> None:
        self.n_layers = len(architecture.widths) - 2
        self.groups = groups(architecture)
        self.tables = [_orders_and_signs(architecture.widths[1 + group[0]], signs) for group in self.groups]

    def numbered(self, numbers: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Permutations and signs of each hidden layer, `[len(numbers), width]`.

        A number has a digit for the order of each group of layers, and one for its signs.
        """
        import torch

        orders = [torch.empty(0)] * self.n_layers
        flips = [torch.empty(0)] * self.n_layers
        for group, (all_orders, all_signs) in zip(self.groups, self.tables, strict=True):
            order = all_orders[numbers % len(all_orders)]
            numbers = numbers // len(all_orders)
            sign = all_signs[numbers % len(all_signs)]
            numbers = numbers // len(all_signs)
            for layer in group:
                orders[layer] = order
                flips[layer] = sign
        return tuple(orders), tuple(flips)


def _barriers(pairs: PairSet, choices: _Choices, numbers: Tensor) -> np.ndarray:
    """The barrier of each pair under each of these choices, `[n_pairs, len(numbers)]`."""
    architecture = pairs.architecture
    n = len(pairs)
    k = len(numbers)
    orders, flips = (tuple(part.repeat(n, 1) for part in parts) for parts in choices.numbered(numbers))
    train = pairs.training_samples
    alphas = pairs.between
    curves = kernels.path_losses(
        architecture,
        pairs.a.repeat_interleave(k, 0),
        reordered(architecture, pairs.b.repeat_interleave(k, 0), orders, flips),
        alphas,
        train.sets,
        pairs.loss,
        dataset=train.set_a.repeat_interleave(k),
        backend=pairs.backend,
    )
    barriers = theory.barriers_on_grid(alphas.numpy(), curves.loss.numpy(), "linear").value
    return barriers.reshape(n, k)


def _orders_and_signs(width: int, signs: bool) -> tuple[Tensor, Tensor]:
    """All permutations of `width` units `[width!, width]`, and all their signs `[2^width, width]`, or none but plus."""
    import torch

    orders = torch.tensor(list(itertools.permutations(range(width))))
    if not signs:
        return orders, torch.ones(1, width, dtype=torch.float64)
    return orders, torch.tensor(list(itertools.product((1.0, -1.0), repeat=width)), dtype=torch.float64)
