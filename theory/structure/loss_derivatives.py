"""The loss's first four derivatives along a direction of parameter space, by truncated power series.

On the line θ + t v every layer's pre-activations are power series in t, of which the coefficients up to t⁴ are carried
through the layers. With z = Σ z_k tᵏ,

    z_k = W h_k + ΔW h_{k−1}                       (c at k = 0 and Δc at k = 1 added)
    h_1 = σ′ z_1        h_2 = σ′ z_2 + σ″ z_1²/2        h_3 = σ′ z_3 + σ″ z_1 z_2 + σ‴ z_1³/6
    h_4 = σ′ z_4 + σ″ (z_1 z_3 + z_2²/2) + σ‴ z_1² z_2/2 + σ⁗ z_1⁴/24        (Faà di Bruno)

and the loss's coefficients follow from the outputs'. The k-th derivative is k! times the coefficient.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf, ndtr

from theory.arguments import Array, classes, finite, known
from theory.layers import Layers, check_pairs

ORDER = 4
AT_A_TIME = 2**20  # numbers of a hidden layer's series held at a time


def _density(z: Array) -> Array:
    """The normal density."""
    return np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)


def _tanh(z: Array) -> tuple[Array, ...]:
    t = np.tanh(z)
    s = 1 - t * t
    return t, s, -2 * t * s, 2 * s * (3 * t * t - 1), 8 * t * s * (2 - 3 * t * t)


def _erf(z: Array) -> tuple[Array, ...]:
    p = 2 * _density(z)
    return erf(z / np.sqrt(2)), p, -z * p, (z**2 - 1) * p, (3 * z - z**3) * p


def _gelu(z: Array) -> tuple[Array, ...]:
    p = _density(z)
    return z * ndtr(z), ndtr(z) + z * p, (2 - z**2) * p, (z**3 - 4 * z) * p, (7 * z**2 - z**4 - 4) * p


def _identity(z: Array) -> tuple[Array, ...]:
    zero = np.zeros_like(z)
    return z, np.ones_like(z), zero, zero, zero


def _square(z: Array) -> tuple[Array, ...]:
    zero = np.zeros_like(z)
    return z * z, 2 * z, np.full_like(z, 2.0), zero, zero


# σ and its derivatives up to the fourth; relu is left out, whose kinks have none
SMOOTH: dict[str, Callable[[Array], tuple[Array, ...]]] = {
    "identity": _identity,
    "square": _square,
    "tanh": _tanh,
    "erf": _erf,
    "gelu": _gelu,
}


def loss_derivatives(
    at: Layers, along: Layers, x: ArrayLike, y: ArrayLike, activation: str, *, loss: str = "mse"
) -> Array:
    """dᵏ/dtᵏ L(θ + t v) at t = 0 for k = 0 … 4, [n_networks, 5].

    Args:
        at: θ, any number of layers, W_l [n_networks, fan_out, fan_in], b_l [n_networks, fan_out] or None.
        along: v, of the same shapes, each network's own direction.
        x: [n_samples, n_inputs].
        y: [n_samples, n_outputs] for mse, or classes [n_samples] for cross_entropy.
        activation: one of SMOOTH.
        loss: "mse", ½ mean ‖f(x) − y‖², or "cross_entropy", in nats.

    Raises:
        ValueError: shapes do not fit, a name is unknown, or a number is not finite.

    Example:
        >>> at, along = [([[0.0]], None), ([[0.0]], None)], [([[1.0]], None), ([[1.0]], None)]
        >>> loss_derivatives(at, along, [[1.0]], [[1.0]], "identity")  # ½ (t² − 1)² = ½ − t² + ½ t⁴
        array([[ 0.5,  0. , -2. ,  0. , 12. ]])
    """
    centre, direction, n = check_pairs(at, along)
    sigma = SMOOTH[known("activation", activation, tuple(SMOOTH))]
    of_outputs = {"mse": _mse, "cross_entropy": _cross_entropy}[known("loss", loss, ("mse", "cross_entropy"))]
    inputs, target = finite("x", x), finite("y", y)
    n_inputs, n_outputs = centre[0][0].shape[2], centre[-1][0].shape[1]
    of_sample = (n_outputs,) if loss == "mse" else ()
    fits = inputs.ndim == 2 and inputs.shape[1] == n_inputs and target.shape == (len(inputs), *of_sample)
    if not fits or not len(inputs):
        raise ValueError(
            f"x has shape {inputs.shape} and y {target.shape}; give [n_samples, {n_inputs}] and "
            f"[{', '.join(['n_samples', *map(str, of_sample)])}] with the same samples, one at least"
        )
    if loss == "cross_entropy":
        classes("y", target, n_outputs)
    size = max(1, AT_A_TIME // (len(inputs) * max(weight.shape[1] for weight, _ in centre)))
    factorials = np.array([math.factorial(k) for k in range(ORDER + 1)])
    found = np.empty((n, ORDER + 1))
    for start in range(0, n, size):
        rows = slice(start, start + size)
        h = [np.broadcast_to(inputs, (len(centre[0][0][rows]), *inputs.shape))]
        for index, ((weight, bias), (change, bias_change)) in enumerate(zip(centre, direction, strict=True)):
            if index:
                h = _activated(sigma, h)
            h = _affine(h, weight[rows], change[rows])
            if bias is not None and bias_change is not None:
                h[0] = h[0] + bias[rows, None]
                h[1] = h[1] + bias_change[rows, None]
        h += [np.zeros_like(h[0])] * (ORDER + 1 - len(h))
        found[rows] = np.stack([term.mean(1) for term in of_outputs(h, target)], 1) * factorials
    return found


def _affine(h: list[Array], weight: Array, change: Array) -> list[Array]:
    """The series of (W + t ΔW) h; at the inputs it has two terms."""
    at, along = weight.swapaxes(1, 2), change.swapaxes(1, 2)
    z = [term @ at for term in h] + [np.zeros((*h[0].shape[:2], weight.shape[1]))]
    for k, term in enumerate(h):
        z[k + 1] = z[k + 1] + term @ along
    return z[: ORDER + 1]


def _activated(sigma: Callable[[Array], tuple[Array, ...]], z: list[Array]) -> list[Array]:
    """The series of σ(z)."""
    s0, s1, s2, s3, s4 = sigma(z[0])
    _, z1, z2, z3, z4 = z + [np.zeros_like(z[0])] * (ORDER + 1 - len(z))
    return [
        s0,
        s1 * z1,
        s1 * z2 + s2 * z1**2 / 2,
        s1 * z3 + s2 * z1 * z2 + s3 * z1**3 / 6,
        s1 * z4 + s2 * (z1 * z3 + z2**2 / 2) + s3 * z1**2 * z2 / 2 + s4 * z1**4 / 24,
    ]


def _mse(f: list[Array], y: Array) -> list[Array]:
    """The series of ½ ‖f − y‖², [n, n_samples] each."""
    e = [f[0] - y, *f[1:]]
    products = [[(e[j] * e[k - j]).sum(2) for j in range(k + 1)] for k in range(ORDER + 1)]
    return [0.5 * np.sum(terms, axis=0) for terms in products]


def _cross_entropy(f: list[Array], y: Array) -> list[Array]:
    """The series of log Σ_c exp f_c − f_y, [n, n_samples] each; e = exp f has k e_k = Σ_j j f_j e_{k−j}."""
    top = f[0].max(axis=2, keepdims=True)
    e = [np.exp(f[0] - top)]
    for k in range(1, ORDER + 1):
        e.append(sum(j * f[j] * e[k - j] for j in range(1, k + 1)) / k)
    s = [term.sum(2) for term in e]
    log = [np.log(s[0]) + top[:, :, 0]]
    for k in range(1, ORDER + 1):
        log.append((s[k] - sum(j * log[j] * s[k - j] for j in range(1, k)) / k) / s[0])
    label = y.astype(np.int64)[None, :, None]
    return [
        term - np.take_along_axis(own, np.broadcast_to(label, (*own.shape[:2], 1)), 2)[:, :, 0]
        for term, own in zip(log, f, strict=True)
    ]
