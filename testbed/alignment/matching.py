"""Matching: permutations (and signs) of B's hidden units that pair each with a unit of A that is like it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

import kernels
from kernels.checks import numbers
from kernels.native import missing
from testbed.alignment.symmetries import check_signs, checked_networks, groups, reordered
from testbed.pair_set import Aligned, joined

if TYPE_CHECKING:
    from torch import Tensor

MOST_SWEEPS = 100
ROUNDING = 1e-9  # a gain below this share of the score is rounding
MOST_SCORES = 2**25  # that are held at a time where torch computes them: some three arrays of 256 MiB

Layers: TypeAlias = "list[tuple[Tensor, Tensor | None]]"


def match_weights(
    architecture: kernels.Architecture, params_a: Tensor, params_b: Tensor, *, signs: bool = False
) -> Aligned:
    """Weight matching: permutations that minimise ‖θ_A − π(θ_B)‖ (Ainsworth, Hayase & Srinivasa 2023, algorithm 1).

    params_a, params_b: `[n_pairs, n_parameters]`. One group of layers after the other, each solved exactly given the
    others, until no pair gains; exact for one hidden layer. signs: also flip units, for odd activations (ValueError for
    others). Groups of several layers are solved to first order, and a step that does not gain is not taken. ValueError
    names the rows of networks that are not finite. All happens, and stays, on the device of params_b.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 4, 1))
    >>> params = architecture.initial(3)
    >>> from testbed.alignment import permute
    >>> reversed_units = permute(architecture, params, (torch.arange(3, -1, -1).expand(3, -1),))
    >>> torch.equal(match_weights(architecture, params, reversed_units).params, params)
    True
    """
    from kernels.native import matching as native_matching

    if signs:
        check_signs(architecture)
    params_a, params_b = checked_networks(architecture, params_a=params_a, params_b=params_b)
    params_a = params_a.to(params_b.device)
    if missing() or not params_b.is_cpu:
        return _matched(architecture, params_a, params_b, signs)
    params, orders, flips = native_matching.match_weights(
        architecture, params_a, params_b, signs, most_sweeps=MOST_SWEEPS, rounding=ROUNDING
    )
    return Aligned(params, tuple(orders), tuple(flips))


def match_activations(
    architecture: kernels.Architecture, params_a: Tensor, params_b: Tensor, x: Tensor, *, signs: bool = False
) -> Aligned:
    """Activation matching: hidden units are paired so that Σ corr(h_A, h_B) over the inputs is largest.

    Li et al. (2016); Git Re-Basin § 3.1. params_a, params_b: `[n_pairs, n_parameters]`; x: `[n_samples, n_inputs]`, or
    `[n_pairs, n_samples, n_inputs]`. Units that do not vary correlate with nothing. signs, ValueError and device: as
    for match_weights.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 4, 1))
    >>> params, x = architecture.initial(3), torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    >>> match_activations(architecture, params, params, x).permutations[0][0].tolist()
    [0, 1, 2, 3]
    """
    import torch

    if signs:
        check_signs(architecture)
    params_a, params_b = checked_networks(architecture, params_a=params_a, params_b=params_b)
    x = numbers("x", x)
    n_inputs = architecture.n_inputs
    if x.ndim not in (2, 3) or x.shape[-1] != n_inputs or (x.ndim == 3 and len(x) != len(params_a)):
        raise ValueError(
            f"x must have shape [n_samples, {n_inputs}] or [{len(params_a)}, n_samples, {n_inputs}], "
            f"not {list(x.shape)}."
        )
    if not bool(x.isfinite().all()):
        raise ValueError("x must be finite.")
    params_a, x = params_a.to(params_b.device), x.to(params_b.device)
    activations_a, activations_b = (
        standardised_activations(architecture, params, x) for params in (params_a, params_b)
    )
    correlations = [a.mT @ b / a.shape[1] for a, b in zip(activations_a, activations_b, strict=True)]
    orders, flips = _nothing_moved(architecture, params_b)
    for group in groups(architecture):
        score = torch.stack([correlations[layer] for layer in group]).sum(0)
        order, sign = _best_assignment(score, signs)
        for layer in group:
            orders[layer] = order
            flips[layer] = sign
    return Aligned(reordered(architecture, params_b, tuple(orders), tuple(flips)), tuple(orders), tuple(flips))


def to_reference(
    architecture: kernels.Architecture, params: Tensor, reference: Tensor, *, signs: bool = False
) -> Aligned:
    """Networks `[n, n_parameters]` matched by weights to one network `[n_parameters]`, or each to its own `[n, …]`.

    Connectivity modulo permutation is strong if all pairs are then connected, weak if each pair needs a permutation of
    its own (Sharma et al. 2024).

    >>> import torch
    >>> architecture = kernels.Architecture((2, 4, 1))
    >>> params = architecture.initial(3)
    >>> torch.equal(to_reference(architecture, params, params[0]).params[0], params[0])
    True
    """
    reference = numbers("reference", reference)
    if reference.ndim == 1:
        reference = reference.expand(len(params), -1)
    reference, params = checked_networks(architecture, reference=reference, params=params)
    return match_weights(architecture, reference, params, signs=signs)


def standardised_activations(architecture: kernels.Architecture, params: Tensor, x: Tensor) -> list[Tensor]:
    """Hidden activations with mean 0 and variance 1 over the samples, `[n, n_samples, width]` of each hidden layer.

    0 where they do not vary. x: as for match_activations.
    """
    import torch

    from kernels import reference

    x = x.double() if x.ndim == 3 else x.double().expand(len(params), *x.shape)
    hidden = reference.forward(architecture, params.double(), x)[1][1:]
    standardised = []
    for activation in hidden:
        centred = activation - activation.mean(1, keepdim=True)
        spread = centred.square().mean(1, keepdim=True).sqrt()
        standardised.append(torch.where(spread <= 1e-12, 0.0, centred / spread))
    return standardised


def _matched(architecture: kernels.Architecture, params_a: Tensor, params_b: Tensor, signs: bool) -> Aligned:
    """What the native kernel does, in torch, on the parameters' device."""
    at_a_time = max(1, MOST_SCORES // max(architecture.widths[1:-1], default=1) ** 2)
    parts = zip(params_a.split(at_a_time), params_b.split(at_a_time), strict=True)
    return joined([_ascended(architecture, a, b, signs) for a, b in parts])


def _ascended(architecture: kernels.Architecture, params_a: Tensor, params_b: Tensor, signs: bool) -> Aligned:
    """Coordinate ascent of the overlap over the groups of layers; pairs that gain nothing in a sweep are done."""
    import torch

    a = params_a.double()
    current = params_b.to(torch.float64, copy=True)
    least = ROUNDING * a.norm(dim=1) * current.norm(dim=1)
    orders, flips = _nothing_moved(architecture, params_b)
    rows = torch.arange(len(a), device=a.device)  # of the pairs that may still gain
    one_layer = len(orders) == 1  # after it nothing is left to gain
    for _ in range(1 if one_layer else MOST_SWEEPS):
        swept, gained = _swept(architecture, a[rows], current[rows], least[rows], signs)
        current[rows] = swept.params
        for layer, (order, flip) in enumerate(zip(swept.permutations, swept.signs, strict=True)):
            flips[layer][rows] = flips[layer][rows].gather(1, order) * flip
            orders[layer][rows] = orders[layer][rows].gather(1, order)
        rows = rows[gained]
        if not len(rows):
            break
    return Aligned(reordered(architecture, params_b, orders, flips), tuple(orders), tuple(flips))


def _swept(
    architecture: kernels.Architecture, a: Tensor, current: Tensor, least: Tensor, signs: bool
) -> tuple[Aligned, Tensor]:
    """`current` after a step for each group of layers, where it gains more than `least`; and which pairs gained."""
    import torch

    layers_a = architecture.layers(a)
    identity, plus = _nothing_moved(architecture, a)
    orders, flips = list(identity), list(plus)
    gained = torch.zeros(len(a), dtype=torch.bool, device=a.device)
    for group in groups(architecture):
        layers_b = architecture.layers(current)
        score = _overlaps(group, layers_a, layers_b)
        order, flip = _best_assignment(score, signs)
        step = [order if layer in group else unmoved for layer, unmoved in enumerate(identity)]
        step_flips = [flip if layer in group else unmoved for layer, unmoved in enumerate(plus)]
        moved = reordered(architecture, current, step, step_flips)
        better = (a * moved).sum(1) - (a * current).sum(1) > least
        current = torch.where(better[:, None], moved, current)
        for layer in group:
            orders[layer] = torch.where(better[:, None], order, orders[layer])
            flips[layer] = torch.where(better[:, None], flip, flips[layer])
        gained |= better
    return Aligned(current, tuple(orders), tuple(flips)), gained


def _overlaps(group: list[int], a: Layers, b: Layers) -> Tensor:
    """The overlap of unit i of A with unit j of B, `[n_pairs, width, width]`: of their weights on both sides, in all
    layers of the group.
    """
    terms = itertools.chain.from_iterable(_terms(layer, a, b) for layer in group)
    overlap = next(terms)
    for term in terms:  # each is as large as the sum, and gone before the next
        overlap += term
    return overlap


def _terms(layer: int, a: Layers, b: Layers) -> Iterator[Tensor]:
    """What incoming weights, outgoing ones and biases of one layer add to it."""
    (weight_a, bias_a), (weight_b, bias_b) = a[layer], b[layer]
    yield weight_a @ weight_b.mT
    yield a[layer + 1][0].mT @ b[layer + 1][0]
    if bias_a is not None and bias_b is not None:
        yield bias_a[:, :, None] * bias_b[:, None]


def _nothing_moved(architecture: kernels.Architecture, params: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Of each hidden layer the order 0, 1, … and the signs 1, 1, …, `[n, width]`, beside params `[n, …]`."""
    import torch

    n, device = len(params), params.device
    orders = [torch.arange(width, device=device).expand(n, -1).clone() for width in architecture.widths[1:-1]]
    signs = [torch.ones(order.shape, dtype=torch.float64, device=device) for order in orders]
    return orders, signs


def _best_assignment(score: Tensor, signs: bool) -> tuple[Tensor, Tensor]:
    """The order of B's units with the largest sum of scores `[n, width, width]`, and the signs of these scores."""
    import torch

    from kernels.assignment import assign

    order = assign(score.abs() if signs else score)
    if not signs:
        return order, torch.ones(order.shape, dtype=torch.float64, device=score.device)
    chosen = score.gather(2, order[:, :, None])[:, :, 0]
    return order, torch.where(chosen < 0, -1.0, 1.0).double()
