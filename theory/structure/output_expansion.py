"""Barriers from the outputs' first two orders along the path: the lazy limit, and the quadratic one after it.

With Δ = θ_B − θ_A and θ̄ the midpoint, an output f that is quadratic along the path is

    f(α) = (1−α) f_A + α f_B − ½ α(1−α) s,        s = Δᵀ ∇²f(θ̄) Δ.

Order 1 leaves s out. That is the lazy limit (Jacot, Gabriel & Hongler 2018; Chizat, Oyallon & Bach 2019), in which
networks are linear in their parameters: squared loss is convex there, and no barrier is above 0. Order 2 is exact
where a path is quadratic, as between linear networks of two layers; else it errs by the third derivative along the
path, times α(1−α)(1−2α)/6 by symmetry of the midpoint. Where both ends fit, f_A = f_B = y, it predicts the barrier

    B = E‖s‖²/128  at  α = ½,

to leading order in ‖Δ‖, ‖Δ‖⁴: a barrier is what the outputs' curvature along Δ amounts to, and of no other part of the
loss. (‖ΔW₂ ΔW₁ Σ^{1/2}‖²/32 of linear networks is this, with s = 2 ΔW₂ ΔW₁ x.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import Array, finite, known
from theory.curves.polynomials import PolynomialCurve
from theory.layers import Layers, check_pairs

PAIRS_AT_A_TIME = 2**22  # numbers of a hidden layer held at a time


def _erf(z: Array) -> Array:
    """erf; scipy is imported where it computes, and the activations are named without it."""
    from scipy.special import erf

    return np.asarray(erf(z))


def _cumulative(z: Array) -> Array:
    """The normal distribution function."""
    from scipy.special import ndtr

    return np.asarray(ndtr(z))


def _density(z: Array) -> Array:
    """The normal density."""
    return np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)


# σ, σ′ and σ″ at z; kinks have no σ″, which leaves out what a sample's kink adds
DERIVATIVES: dict[str, Callable[[Array], tuple[Array, Array, Array]]] = {
    "identity": lambda z: (z, np.ones_like(z), np.zeros_like(z)),
    "relu": lambda z: (np.maximum(z, 0), np.where(z > 0, 1.0, 0.0), np.zeros_like(z)),
    "tanh": lambda z: (np.tanh(z), 1 - np.tanh(z) ** 2, -2 * np.tanh(z) * (1 - np.tanh(z) ** 2)),
    "erf": lambda z: (_erf(z / np.sqrt(2)), 2 * _density(z), -2 * z * _density(z)),
    "gelu": lambda z: (z * _cumulative(z), _cumulative(z) + z * _density(z), (2 - z * z) * _density(z)),
}


def expanded_path(a: Layers, b: Layers, x: ArrayLike, y: ArrayLike, activation: str, order: int) -> PolynomialCurve:
    """½ mean ‖f(α) − y‖² with the outputs to this order along the path: a polynomial of degree 2 · order.

    Args:
        a: any number of layers, W_l [n_pairs, fan_out, fan_in], b_l [n_pairs, fan_out] or None; or a single network.
        b: the same architecture.
        x: [n_samples, n_inputs].
        y: [n_samples, n_outputs].
        activation: one of DERIVATIVES.
        order: 1, the lazy limit, or 2.

    Raises:
        ValueError: shapes do not fit, the activation or the order is unknown, or a number is not finite.

    Example:
        >>> a, b = [([[1.0]], None), ([[1.0]], None)], [([[-1.0]], None), ([[-1.0]], None)]  # y = x, twice
        >>> [expanded_path(a, b, [[1.0]], [[1.0]], "identity", order).barrier().value.item() for order in (1, 2)]
        [0.0, 0.5]
    """
    first, second, n_pairs = check_pairs(a, b)
    derivatives = DERIVATIVES[known("activation", activation, tuple(DERIVATIVES))]
    if order not in (1, 2):
        raise ValueError(f"order must be 1 (lazy) or 2 (quadratic), not {order}")
    inputs, targets = finite("x", x), finite("y", y)
    n_inputs, n_outputs = first[0][0].shape[2], first[-1][0].shape[1]
    fits = inputs.ndim == 2 and inputs.shape[1] == n_inputs and targets.shape == (len(inputs), n_outputs)
    if not fits or not len(inputs):
        raise ValueError(
            f"x has shape {inputs.shape} and y {targets.shape}; "
            f"give [n_samples, {n_inputs}] and [n_samples, {n_outputs}] with the same samples, one at least"
        )
    size = max(1, PAIRS_AT_A_TIME // (len(inputs) * max(weight.shape[1] for weight, _ in first)))
    parts = []
    for start in range(0, max(1, n_pairs), size):
        rows = slice(start, start + size)
        one, other = ([_with_bias(weight[rows], bias, rows) for weight, bias in ends] for ends in (first, second))
        at_a = _derivatives_along(one, one, inputs, derivatives)[0]
        at_b = _derivatives_along(other, other, inputs, derivatives)[0]
        bend = _derivatives_along(one, other, inputs, derivatives)[1] if order == 2 else np.zeros_like(at_a)
        # f(α) − y = r₀ + r₁ α + r₂ α²
        terms = [at_a - targets, at_b - at_a - 0.5 * bend, 0.5 * bend][: order + 1]
        parts.append(_half_mean_square(terms))
    return PolynomialCurve(np.concatenate(parts))


def _with_bias(weight: Array, bias: Array | None, rows: slice) -> tuple[Array, Array]:
    """A layer of some pairs, its bias 0 where there is none."""
    return weight, np.zeros(weight.shape[:2]) if bias is None else bias[rows]


def _derivatives_along(
    a: list[tuple[Array, Array]],
    b: list[tuple[Array, Array]],
    x: Array,
    derivatives: Callable[[Array], tuple[Array, Array, Array]],
) -> tuple[Array, Array]:
    """f and d²f/dα² at α = ½ between a and b, [n_pairs, n_samples, n_outputs] each.

    Forward through the layers: z = W h + c, z′ = W h′ + ΔW h + Δc, z″ = W h″ + 2 ΔW h′; h′ = σ′ z′,
    h″ = σ″ z′² + σ′ z″.
    """
    h: Array = np.broadcast_to(x, (len(a[0][0]), *x.shape))
    slope, bend = np.zeros_like(h), np.zeros_like(h)
    for index, ((weight_a, bias_a), (weight_b, bias_b)) in enumerate(zip(a, b, strict=True)):
        weight = np.swapaxes(weight_a + weight_b, 1, 2) / 2
        change = np.swapaxes(weight_b - weight_a, 1, 2)
        z = h @ weight + (bias_a + bias_b)[:, None] / 2
        dz = slope @ weight + h @ change + (bias_b - bias_a)[:, None]
        ddz = bend @ weight + 2 * slope @ change
        if index == len(a) - 1:
            return z, ddz
        h, first, second = derivatives(z)
        slope, bend = first * dz, second * dz**2 + first * ddz
    raise AssertionError("a network has at least one layer")


def _half_mean_square(terms: list[Array]) -> Array:
    """Coefficients by α of ½ mean_i ‖Σ_k terms[k] αᵏ‖², [n_pairs, 2 · len(terms) − 1]."""
    found = np.zeros((len(terms[0]), 2 * len(terms) - 1))
    for k, one in enumerate(terms):
        for m, other in enumerate(terms):
            found[:, k + m] += 0.5 * np.einsum("nio,nio->n", one, other) / one.shape[1]
    return found
