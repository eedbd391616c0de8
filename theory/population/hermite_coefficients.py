"""Hermite coefficients of activations, a_k(μ, c) = E σ(μ + √c z) ĥ_k(z) for z ~ N(0, 1).

ĥ_k are the Hermite polynomials orthonormal under N(0, 1).

    erf        2 (c/s²)^{k/2} (−1)^{k−1} φ(h) ĥ_{k−1}(h)/√k,  s² = 1 + c, h = μ/s
    relu       √c (−1)^k φ(h) ĥ_{k−2}(h)/√(k(k−1)),  h = μ/√c, k ≥ 2; leaky relu by linearity
    gelu       u Φ(u), from those of erf by z ĥ_k = √(k+1) ĥ_{k+1} + √k ĥ_{k−1}
    tanh       trapezoidal sum over |z| ≤ 12: its error falls as exp(−π²/(step √c)) (Trefethen & Weideman 2014)
    polynomial Gauss–Hermite, exact
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from theory.arguments import Array
from theory.population.activations import (
    Activation,
    Polynomial,
    as_polynomial,
    known_activation,
)
from theory.population.bivariate_normal import normal_density

SMALLEST_VARIANCE = 1e-24
LARGEST_ARGUMENT = 38.0  # of φ, which is 0 in float64 beyond
HALF_NODES = 90  # of the trapezoidal sum: nodes on each side of 0


def hermite(x: Array, n_terms: int) -> Array:
    """ĥ_0(x) … ĥ_{n_terms − 1}(x), orthonormal under N(0, 1), [n_terms, *x.shape].

    Example:
        >>> hermite(np.array(3.0), 3).tolist() == [1.0, 3.0, (3.0**2 - 1) / np.sqrt(2)]
        True
    """
    out = np.ones((n_terms, *np.shape(x)))
    if n_terms > 1:
        out[1] = x
    for k in range(1, n_terms - 1):
        out[k + 1] = (x * out[k] - np.sqrt(k) * out[k - 1]) / np.sqrt(k + 1)
    return out


def coefficients(
    activation: Activation,
    mean: Array,
    variance: Array,
    n_terms: int,
    negative_slope: float = 0.01,
    half_nodes: int = HALF_NODES,
) -> Array:
    """a_0 … a_{n_terms − 1} of σ(mean + √variance z), by the formulas that the module lists.

    Args:
        activation: one of `SERIES_ACTIVATIONS` or a `Polynomial`.
        mean: any shape.
        variance: broadcasts with the mean; one below SMALLEST_VARIANCE is raised to it.
        n_terms: how many coefficients.
        negative_slope: that of leaky relu.
        half_nodes: of the sum for tanh, on each side of 0.

    Returns:
        [n_terms, ...] with the common shape of mean and variance.

    Raises:
        ValueError: the activation is none of these.

    Example:
        >>> coefficients("square", np.array(0.0), np.array(1.0), 4).round(6) + 0.0  # z² = 1 + √2 ĥ_2
        array([1.      , 0.      , 1.414214, 0.      ])
    """
    known_activation(activation)
    mu, c = np.broadcast_arrays(mean, np.maximum(variance, SMALLEST_VARIANCE))
    root = np.sqrt(c)
    polynomial = as_polynomial(activation)
    if polynomial is not None:
        return _of_polynomial(polynomial, mu, root, n_terms)
    if activation == "tanh":
        return _of_tanh(mu, root, n_terms, half_nodes)
    if activation == "leaky_relu":
        out = (1 - negative_slope) * _of_relu(mu, c, n_terms)
        out[0] += negative_slope * mu
        out[1:2] += negative_slope * root
        return out
    return COEFFICIENTS[str(activation)](mu, c, n_terms)


def _term_numbers(first: int, stop: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """k = first … stop − 1 along a leading axis, to broadcast with arrays of `shape`."""
    return np.arange(first, stop, dtype=np.int64).reshape((-1,) + (1,) * len(shape))


def _of_polynomial(polynomial: Polynomial, mu: Array, root: Array, n_terms: int) -> Array:
    z, weights = np.polynomial.hermite_e.hermegauss(polynomial.degree + 1)
    out = np.zeros((n_terms, *mu.shape))
    n = min(n_terms, polynomial.degree + 1)
    basis = (hermite(z, n) * (weights / weights.sum())).T
    out[:n] = np.moveaxis(polynomial(mu[..., None] + root[..., None] * z) @ basis, -1, 0)
    return out


def _of_tanh(mu: Array, root: Array, n_terms: int, half_nodes: int) -> Array:
    z, basis = _trapezoidal_rule(n_terms, half_nodes)
    return np.moveaxis(np.tanh(mu[..., None] + root[..., None] * z) @ basis, -1, 0)


@lru_cache(maxsize=16)
def _trapezoidal_rule(n_terms: int, half_nodes: int) -> tuple[Array, Array]:
    """Nodes z [n_nodes] of the trapezoidal sum and φ(z_j) ĥ_k(z_j)·step, [n_nodes, n_terms]."""
    z = np.linspace(-12.0, 12.0, 2 * half_nodes + 1)
    density = normal_density(z) * (z[1] - z[0])
    return z, (hermite(z, n_terms) * density).T.copy()


def _of_erf(mu: Array, c: Array, n_terms: int) -> Array:
    spread = np.sqrt(1 + c)
    h = np.clip(mu / spread, -LARGEST_ARGUMENT, LARGEST_ARGUMENT)
    out = np.empty((n_terms, *mu.shape))
    out[0] = 2 * ndtr(h) - 1
    if n_terms > 1:
        k = _term_numbers(1, n_terms, mu.shape)
        out[1:] = 2 * (np.sqrt(c) / spread) ** k * normal_density(h) * hermite(-h, n_terms - 1) / np.sqrt(k)
    return out


def _of_gelu(mu: Array, c: Array, n_terms: int) -> Array:
    of_erf = _of_erf(mu, c, n_terms + 1)
    of_erf[0] += 1.0  # 2Φ(u) = 1 + erf(u/√2)
    k = _term_numbers(0, n_terms, mu.shape)
    below = np.concatenate([np.zeros((1, *mu.shape)), of_erf[: n_terms - 1]])
    return (mu * of_erf[:-1] + np.sqrt(c) * (np.sqrt(k) * below + np.sqrt(k + 1) * of_erf[1:])) / 2


def _of_relu(mu: Array, c: Array, n_terms: int) -> Array:
    root = np.sqrt(c)
    h = np.clip(mu / root, -LARGEST_ARGUMENT, LARGEST_ARGUMENT)
    density = normal_density(h)
    out = np.empty((n_terms, *mu.shape))
    out[0] = mu * ndtr(mu / root) + root * density
    out[1:2] = root * ndtr(h)
    if n_terms > 2:
        k = _term_numbers(2, n_terms, mu.shape)
        out[2:] = root * density * hermite(-h, n_terms - 2) / np.sqrt(k * (k - 1))
    return out


COEFFICIENTS: dict[str, Callable[[Array, Array, int], Array]] = {"erf": _of_erf, "gelu": _of_gelu, "relu": _of_relu}
