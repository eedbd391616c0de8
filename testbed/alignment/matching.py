"""Aligning networks: the permutations (and signs) of hidden units that leave B's function as it is and bring it near A.

Everything takes arrays of pairs, `params_a` and `params_b` `[n_pairs, n_parameters]`. A permutation π of a hidden layer puts unit π_i of B in
place i: W_l[i] ← W_l[π_i], b_l[i] ← b_l[π_i], W_{l+1}[:, i] ← W_{l+1}[:, π_i]; a sign s_i multiplies both. A residual connection adds a layer's
input to its output, so that the layers it joins have one permutation between them: a group of hidden layers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import kernels
import theory
from kernels import reference
from kernels.assignment import assign

ODD = ("identity", "erf", "tanh")  # σ(−z) = −σ(z)
RESCALED = ("relu", "leaky_relu", "identity")  # σ(s z) = s σ(z) for s > 0
MOST_CHOICES = 1_000_000  # 9! permutations, or 7! with 2⁷ signs
MOST_SWEEPS = 100
ROUNDING = 1e-9  # a gain below this share of the score is rounding


@dataclass(frozen=True, eq=False)
class Aligned:
    """B as it was brought near A: params `[n_pairs, n_parameters]`, permutations int64 and signs float64 `[n_pairs, width]` for each hidden layer."""

    params: Tensor
    permutations: tuple[Tensor, ...]
    signs: tuple[Tensor, ...]


def groups(architecture: kernels.Architecture) -> list[list[int]]:
    """Hidden layers (from 0) that have one permutation between them; one each without residual connections."""
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
    """The same functions with their hidden units in another order, `[n, n_parameters]`; permutations (and signs) `[n, width]` a hidden layer.

    ValueError for signs where σ is not odd, or where units are normalised together.
    """
    if signs is not None and any(bool((s < 0).any()) for s in signs):
        _check_signs(architecture)
    result = params.clone()
    layers = architecture.layers(result)
    for layer, order in enumerate(permutations):
        (weight, bias), (above, _) = layers[layer], layers[layer + 1]
        sign = torch.ones_like(order, dtype=params.dtype) if signs is None else signs[layer].to(params.dtype)
        weight.copy_(weight.gather(1, order[:, :, None].expand_as(weight)) * sign[:, :, None])
        if bias is not None:
            bias.copy_(bias.gather(1, order) * sign)
        above.copy_(above.gather(2, order[:, None].expand_as(above)) * sign[:, None])
    return result


def match_weights(
    architecture: kernels.Architecture, params_a: Tensor, params_b: Tensor, *, signs: bool = False
) -> Aligned:
    """Git Re-Basin's weight matching (Ainsworth, Hayase & Srinivasa 2023, algorithm 1): permutations that minimise ‖θ_A − π(θ_B)‖.

    One group of layers after the other, each solved exactly given the others, until no pair gains; exact for one hidden layer. signs: also
    flip units, for odd activations. Groups of several layers are solved to first order and a step that does not gain is not taken.
    """

    def scores(layer: int, a: list, b: list) -> Tensor:
        (weight_a, bias_a), (weight_b, bias_b) = a[layer], b[layer]
        total = weight_a @ weight_b.mT + a[layer + 1][0].mT @ b[layer + 1][0]
        return total if bias_a is None else total + bias_a[:, :, None] * bias_b[:, None]

    return _matched(architecture, params_a, params_b, scores, signs, MOST_SWEEPS)


def match_activations(
    architecture: kernels.Architecture, params_a: Tensor, params_b: Tensor, x: Tensor, *, signs: bool = False
) -> Aligned:
    """Activation matching (Li et al. 2016; Git Re-Basin § 3.1): hidden units are paired so that Σ corr(h_A, h_B) over the inputs is largest.

    x `[n_samples, n_inputs]`, or `[n_pairs, n_samples, n_inputs]`. Units that do not vary correlate with nothing.
    """
    hidden = [_standardised(architecture, params, x) for params in (params_a, params_b)]
    correlations = [a.mT @ b / a.shape[1] for a, b in zip(*hidden, strict=True)]
    orders = [torch.arange(width).expand(len(params_a), -1) for width in architecture.widths[1:-1]]
    flips = [torch.ones_like(order, dtype=torch.float64) for order in orders]
    if signs:
        _check_signs(architecture)
    for group in groups(architecture):
        score = torch.stack([correlations[layer] for layer in group]).sum(0)
        order = torch.from_numpy(assign((score.abs() if signs else score).numpy()))
        sign = _signs_of(score, order) if signs else torch.ones_like(order, dtype=torch.float64)
        for layer in group:
            orders[layer], flips[layer] = order, sign
    return Aligned(permute(architecture, params_b, tuple(orders), tuple(flips)), tuple(orders), tuple(flips))


def n_choices(architecture: kernels.Architecture, *, signs: bool = False) -> int:
    """Permutations of the hidden units, and with `signs` the flips that go with each."""
    widths = [architecture.widths[1 + group[0]] for group in groups(architecture)]
    return math.prod(math.factorial(width) * (2**width if signs else 1) for width in widths)


def exhaustive(
    architecture: kernels.Architecture,
    params_a: Tensor,
    params_b: Tensor,
    data: tuple[Tensor, Tensor],
    loss: str,
    alphas: Tensor,
    *,
    signs: bool = False,
    dataset: np.ndarray | None = None,
    backend: str = "auto",
) -> Aligned:
    """Of all permutations the one with the least barrier (`linear`, on these samples at these alphas): the barrier modulo permutation.

    signs: of all permutations and flips, for odd activations. ValueError with more than a million choices, or for signs where σ is not odd.
    Every matching's barrier is at least this one's.
    """
    if signs:
        _check_signs(architecture)
    count = n_choices(architecture, signs=signs)
    if count > MOST_CHOICES:
        raise ValueError(
            f"exhaustive search takes at most {MOST_CHOICES:,} permutations, and widths {architecture.widths} have {count:,}."
        )
    own = groups(architecture)
    n, best = len(params_a), torch.full((len(params_a),), torch.inf, dtype=torch.float64)
    chosen = torch.zeros(n, dtype=torch.int64)
    chunk = max(1, 2**17 // n)
    where = torch.zeros(n, dtype=torch.int64) if dataset is None else torch.as_tensor(dataset)
    tables = [_orders_and_signs(architecture.widths[1 + group[0]], signs) for group in own]

    def numbered(numbers: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Permutations and signs of each hidden layer, `[len(numbers), width]`: a digit for each group's order, one for its signs."""
        orders, flips = (
            [torch.empty(0)] * (len(architecture.widths) - 2),
            [torch.empty(0)] * (len(architecture.widths) - 2),
        )
        for group, (order, flip) in zip(own, tables, strict=True):
            numbers, digit = numbers // len(order), numbers % len(order)
            numbers, sign = numbers // len(flip), numbers % len(flip)
            for layer in group:
                orders[layer], flips[layer] = order[digit], flip[sign]
        return tuple(orders), tuple(flips)

    for start in range(0, count, chunk):
        orders, flips = (
            tuple(part.repeat(n, 1) for part in parts)
            for parts in numbered(torch.arange(start, min(start + chunk, count)))
        )
        k = len(orders[0]) // n
        ends = permute(architecture, params_b.repeat_interleave(k, 0), orders, flips)
        curves = kernels.path_losses(
            architecture,
            params_a.repeat_interleave(k, 0),
            ends,
            alphas,
            data,
            loss,
            dataset=where.repeat_interleave(k),
            backend=backend,
        )
        barrier = theory.barriers_on_grid(alphas.numpy(), curves.loss.numpy(), "linear").value.reshape(n, k)
        least = torch.from_numpy(barrier.min(1))
        better = least < best
        best = torch.where(better, least, best)
        chosen = torch.where(better, start + torch.from_numpy(barrier.argmin(1)), chosen)
    picked = numbered(chosen)
    return Aligned(permute(architecture, params_b, *picked), *picked)


def _orders_and_signs(width: int, signs: bool) -> tuple[Tensor, Tensor]:
    """All permutations of `width` units `[width!, width]`, and all their signs `[2^width, width]`, or none but plus."""
    orders = torch.tensor(list(itertools.permutations(range(width))))
    flips = torch.tensor(list(itertools.product((1.0, -1.0), repeat=width))) if signs else torch.ones(1, width)
    return orders, flips.double()


def to_reference(
    architecture: kernels.Architecture,
    params: Tensor,
    one: Tensor,
    match: Callable[..., Aligned] = match_weights,
    **options: object,
) -> Aligned:
    """All networks `[n, n_parameters]` aligned to one `[n_parameters]`.

    Connectivity modulo permutation is strong if all pairs are then connected, weak if each pair needs a permutation of its own (Sharma et al. 2024).
    """
    return match(architecture, one.expand_as(params), params, **options)


def canonical(architecture: kernels.Architecture, params: Tensor) -> Tensor:
    """The same functions with every unit rescaled so that the norms of its incoming weights (with bias) and its outgoing weights are equal.

    w, b → s w, s b and v → v/s with s > 0 changes nothing for relu, leaky relu and identity; units without outgoing or incoming weights stay.
    In deep networks the layers take turns until none changes (Stock et al. 2019). ValueError for other activations, normalised or residual ones.
    """
    if architecture.activation not in RESCALED or architecture.normalise or architecture.residual:
        raise ValueError(
            "units can be rescaled for relu, leaky_relu and identity alone, without normalise and residual."
        )
    result = params.clone()
    layers = architecture.layers(result)
    for _ in range(1000):
        change = 0.0
        for (weight, bias), (above, _) in itertools.pairwise(layers):
            incoming = weight.square().sum(2) if bias is None else weight.square().sum(2) + bias.square()
            ratio = above.square().sum(1) / incoming
            scale = torch.where((ratio > 0) & ratio.isfinite(), ratio, 1.0) ** 0.25
            weight.mul_(scale[:, :, None])
            if bias is not None:
                bias.mul_(scale)
            above.div_(scale[:, None])
            change = max(change, float((scale - 1).abs().max()))
        if change < 8 * torch.finfo(params.dtype).eps:
            break
    return result


def _matched(
    architecture: kernels.Architecture, params_a: Tensor, params_b: Tensor, scores: Callable, signs: bool, sweeps: int
) -> Aligned:
    """Coordinate ascent of Σ scores over the groups of layers, each pair on its own."""
    if signs:
        _check_signs(architecture)
    a, current = architecture.layers(params_a.double()), params_b.double()
    orders = [torch.arange(width).expand(len(params_a), -1).clone() for width in architecture.widths[1:-1]]
    flips = [torch.ones(order.shape, dtype=torch.float64) for order in orders]
    identity = [(order.clone(), flip.clone()) for order, flip in zip(orders, flips, strict=True)]
    for _ in range(sweeps):
        gained = torch.zeros(len(params_a), dtype=torch.bool)
        for group in groups(architecture):
            b = architecture.layers(current)
            score = torch.stack([scores(layer, a, b) for layer in group]).sum(0)
            order = torch.from_numpy(assign((score.abs() if signs else score).numpy()))
            sign = _signs_of(score, order) if signs else torch.ones(order.shape, dtype=torch.float64)
            step = tuple(order if k in group else stay for k, (stay, _) in enumerate(identity))
            step_signs = tuple(sign if k in group else plus for k, (_, plus) in enumerate(identity))
            moved = permute(architecture, current, step, step_signs)
            overlap = [(params_a.double() * params).sum(1) for params in (current, moved)]
            size = params_a.double().norm(dim=1) * current.norm(dim=1)
            better = overlap[1] - overlap[0] > ROUNDING * size
            current = torch.where(better[:, None], moved, current)
            for layer in group:
                orders[layer] = torch.where(better[:, None], orders[layer].gather(1, order), orders[layer])
                flips[layer] = torch.where(better[:, None], flips[layer].gather(1, order) * sign, flips[layer])
            gained |= better
        if not bool(gained.any()):
            break
    return Aligned(permute(architecture, params_b, tuple(orders), tuple(flips)), tuple(orders), tuple(flips))


def _standardised(architecture: kernels.Architecture, params: Tensor, x: Tensor) -> list[Tensor]:
    """Hidden activations with mean 0 and variance 1 over the samples, `[n, n_samples, width]` a layer, 0 where they do not vary."""
    x = x.double() if x.ndim == 3 else x.double().expand(len(params), *x.shape)
    hidden = reference.forward(architecture, params.double(), x)[1][1:]
    centred = [h - h.mean(1, keepdim=True) for h in hidden]
    spread = [h.square().mean(1, keepdim=True).sqrt() for h in centred]
    return [torch.where(s > 1e-12, h / s.clamp(min=1e-12), 0.0) for h, s in zip(centred, spread, strict=True)]


def _signs_of(score: Tensor, order: Tensor) -> Tensor:
    return torch.where(score.gather(2, order[:, :, None])[:, :, 0] < 0, -1.0, 1.0).double()


def _check_signs(architecture: kernels.Architecture) -> None:
    if architecture.activation not in ODD or architecture.normalise:
        raise ValueError(
            f"signs flip units of odd activations ({', '.join(ODD)}) that are not normalised, not of {architecture.activation!r}."
        )
