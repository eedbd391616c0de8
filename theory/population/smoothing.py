"""One Gaussian variable: F(μ, c) = E σ(μ + √c z), z ~ N(0, 1), and its derivatives by μ.

    identity  μ                              erf   2Φ(μ/√(1+c)) − 1
    square    μ² + c                         relu  μ Φ(h) + √c φ(h),  h = μ/√c;  leaky relu by linearity

By the heat equation ∂F/∂c = ½ ∂²F/∂μ². Derivatives of φ come by Hermite polynomials: φ^(k) = (−1)^k He_k φ.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtr

from theory.arguments import Array, known
from theory.population.bivariate_normal import normal_density, ratio

HIGHEST_ORDER = 4
LARGEST_ARGUMENT = 40.0  # of φ, which is 0 in float64 beyond


def smoothed(activation: str, mean: Array, variance: Array, order: int, negative_slope: float = 0.01) -> list[Array]:
    """[F, ∂F/∂μ, …, ∂^order F/∂μ^order].

    Args:
        activation: one of `SMOOTHED_ACTIVATIONS`.
        mean: μ.
        variance: c ≥ 0, broadcasts with μ.
        order: at most `HIGHEST_ORDER`.
        negative_slope: that of leaky relu.

    Returns:
        Arrays of the common shape; where c = 0 derivatives at relu's kink are 0.

    Raises:
        ValueError: the activation or the order is another.

    Example:
        >>> [float(f) for f in smoothed("square", np.array(3.0), np.array(2.0), 3)]  # μ² + c, 2μ, 2, 0
        [11.0, 6.0, 2.0, 0.0]
        >>> float(smoothed("relu", np.array(0.0), np.array(1.0), 0)[0] * np.sqrt(2 * np.pi))
        1.0
    """
    known("activation", activation, SMOOTHED_ACTIVATIONS)
    if not 0 <= order <= HIGHEST_ORDER:
        raise ValueError(f"order is {order}; derivatives are given from 0 to {HIGHEST_ORDER}")
    mu, c = np.broadcast_arrays(mean, variance)
    if activation == "leaky_relu":
        parts = zip(_identity(mu, c, order), _relu(mu, c, order), strict=True)
        return [negative_slope * straight + (1 - negative_slope) * bent for straight, bent in parts]
    return SMOOTHED[activation](mu, c, order)


def _identity(mu: Array, c: Array, order: int) -> list[Array]:
    one, zero = np.ones(mu.shape), np.zeros(mu.shape)
    return [mu.copy(), one, zero, zero, zero][: order + 1]


def _square(mu: Array, c: Array, order: int) -> list[Array]:
    two, zero = np.full(mu.shape, 2.0), np.zeros(mu.shape)
    return [mu**2 + c, 2 * mu, two, zero, zero][: order + 1]


def _erf(mu: Array, c: Array, order: int) -> list[Array]:
    spread = np.sqrt(1 + c)
    h = mu / spread
    density = 2 * normal_density(h) / spread
    higher = _derivatives_of_density(density, h, np.ones(mu.shape) / spread, order - 1)
    return [2 * ndtr(h) - 1, density, *higher][: order + 1]


def _relu(mu: Array, c: Array, order: int) -> list[Array]:
    one, zero = np.ones(mu.shape), np.zeros(mu.shape)
    spread = np.sqrt(c)
    h = ratio(mu, spread, mu)
    density = ratio(normal_density(h), spread, zero)
    higher = _derivatives_of_density(density, h, ratio(one, spread, zero), order - 2)
    return [mu * ndtr(h) + spread * normal_density(h), ndtr(h), density, *higher][: order + 1]


SMOOTHED: dict[str, Callable[[Array, Array, int], list[Array]]] = {
    "identity": _identity,
    "square": _square,
    "relu": _relu,
    "erf": _erf,
}
SMOOTHED_ACTIVATIONS = (*SMOOTHED, "leaky_relu")  # the last by linearity


def _derivatives_of_density(density: Array, h: Array, inverse_spread: Array, n: int) -> list[Array]:
    """The first n ≤ 3 derivatives by μ of φ(μ/s)/s (times any constant), given with h = μ/s and 1/s."""
    if n <= 0:
        return []
    h = np.clip(h, -LARGEST_ARGUMENT, LARGEST_ARGUMENT)
    hermite = (-h, h**2 - 1, 3 * h - h**3)
    return [density * hermite[k] * inverse_spread ** (k + 1) for k in range(n)]
