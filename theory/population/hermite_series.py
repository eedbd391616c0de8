"""Moments E σ(u) τ(w) for any activations, as Hermite series with an error.

With u = μ + √c z expand σ(u) = Σ_k a_k ĥ_k(z), with the coefficients a_k of `hermite_coefficients`. Then (Mehler 1866;
for networks Daniely, Frostig & Singer 2016, sec. 4)

    E σ(u) τ(w) = Σ_k ρ^k a_k b_k,     ρ = c12/√(c11 c22),     | remainder after K terms | ≤ |ρ|^K √(A_K B_K),

A_K = E σ² − Σ_{k<K} a_k², by Cauchy and Schwarz. A polynomial of degree d has d + 1 terms: exact. The series is short
where variances are moderate: with 64 terms tanh reaches 1e-12 at variance 1 and |ρ| = 1, 1e-6 at 4. Derivatives:
∂a_k/∂μ = √(k+1) a_{k+1}/√c, and at fixed c12, c11 ∂/∂c11 = ½ Σ ρ^k √((k+1)(k+2)) a_{k+2} b_k.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import Array, finite, number, together
from theory.population.activations import Activation, degree, known_activation
from theory.population.bivariate_normal import Moment
from theory.population.gaussian_moments import check_covariance, variances
from theory.population.hermite_coefficients import HALF_NODES, SMALLEST_VARIANCE, coefficients

N_TERMS = 64


def moment_of(a: Array, b: Array, c11: Array, c12: Array, c22: Array, gradient: bool) -> Moment:
    """The moment Σ_k ρ^k a_k b_k, and its partial derivatives.

    Args:
        a: coefficients [n_terms + 2, ...] of u's activation; the last two serve the partial derivatives alone.
        b: those of w's.
        c11: variance of u.
        c12: covariance.
        c22: variance of w.
        gradient: False leaves the partial derivatives zero.

    Example:
        >>> a = coefficients("square", np.array(0.0), np.array(1.0), 5)
        >>> moment = moment_of(a, a, np.array(1.0), np.array(0.5), np.array(1.0), True)  # 1 + 2 c12²
        >>> round(float(moment.value), 12), round(float(moment.c12), 12)
        (1.5, 2.0)
    """
    n_terms = len(a) - 2
    root_u, root_w = np.sqrt(np.maximum(c11, SMALLEST_VARIANCE)), np.sqrt(np.maximum(c22, SMALLEST_VARIANCE))
    rho = np.clip(c12 / (root_u * root_w), -1.0, 1.0)
    value = np.zeros(rho.shape)
    for k in range(n_terms - 1, -1, -1):
        value *= rho
        value += a[k] * b[k]
    if not gradient:
        return Moment(value, *[np.zeros(())] * 5)
    by_rho, log_c11, log_c22, by_mean_u, by_mean_w = (np.zeros(rho.shape) for _ in range(5))
    for k in range(n_terms - 1, -1, -1):
        by_rho = by_rho * rho + (k + 1) * a[k + 1] * b[k + 1]
        log_c11 = log_c11 * rho + np.sqrt((k + 1) * (k + 2)) / 2 * a[k + 2] * b[k]
        log_c22 = log_c22 * rho + np.sqrt((k + 1) * (k + 2)) / 2 * b[k + 2] * a[k]
        by_mean_u = by_mean_u * rho + np.sqrt(k + 1) * a[k + 1] * b[k]
        by_mean_w = by_mean_w * rho + np.sqrt(k + 1) * b[k + 1] * a[k]
    return Moment(value, log_c11, by_rho / (root_u * root_w), log_c22, by_mean_u / root_u, by_mean_w / root_w)


def tail(
    activation: Activation, mean: Array, variance: Array, n_terms: int, negative_slope: float = 0.01
) -> tuple[Array, Array]:
    """√A_K of the series cut after K = n_terms, and the error of its coefficients, each of the common shape.

    A_K is 0 for polynomials; else it is what four times as many terms still hold, continued as a geometric sequence of
    such blocks. The coefficients' error (tanh alone) is the largest change when four times as many nodes are taken.

    Example:
        >>> [float(part) for part in tail("square", np.array(0.0), np.array(1.0), 3)]
        [0.0, 0.0]
        >>> cut, off = tail("erf", np.array(0.0), np.array(1.0), 16)
        >>> bool(1e-4 < cut < 1e-2), float(off)
        (True, 0.0)
    """
    top = degree(activation)
    zero = np.zeros(np.broadcast_shapes(np.shape(mean), np.shape(variance)))
    if top is not None and top < n_terms:
        return zero, zero
    longer = coefficients(activation, mean, variance, 4 * n_terms, negative_slope, half_nodes=4 * HALF_NODES)
    near = (longer[n_terms : 2 * n_terms] ** 2).sum(axis=0)
    far = (longer[2 * n_terms :] ** 2).sum(axis=0)
    decay = np.minimum(far / np.maximum(near, 1e-300), 0.9)
    remainder = (near + far) / (1 - decay)
    if activation != "tanh":
        return np.sqrt(remainder), zero
    return np.sqrt(remainder), np.abs(coefficients(activation, mean, variance, n_terms) - longer[:n_terms]).max(axis=0)


def series_moment(
    activation_u: Activation,
    activation_w: Activation,
    mean_u: ArrayLike,
    mean_w: ArrayLike,
    c11: ArrayLike,
    c12: ArrayLike,
    c22: ArrayLike,
    *,
    n_terms: int = N_TERMS,
    negative_slope: float = 0.01,
) -> tuple[Array, Array]:
    """E σ_u(u) σ_w(w) as a series, and an estimate of its error; all arrays broadcast.

    Two kinked activations (relu with relu) converge slowly: use `second_moment`, which is exact.

    Args:
        activation_u: one of `SERIES_ACTIVATIONS` or a `Polynomial`; relu and erf may be mixed.
        activation_w: another, or the same; with Polynomial((1.0,)) the result is the first moment E σ_u(u).
        mean_u: mean of u.
        mean_w: mean of w.
        c11: variance of u.
        c12: covariance.
        c22: variance of w.
        n_terms: of the series; a polynomial needs no more than its degree + 1.
        negative_slope: that of every leaky relu.

    Returns:
        The moment and its error, which is 0 for a polynomial with anything: exact to rounding.

    Raises:
        ValueError: an activation is unknown, a variance is negative, |c12| is above √(c11 c22), or a number is not
            finite.

    Example:
        >>> value, error = series_moment("erf", "erf", 0.0, 0.0, 1.0, 1.0, 1.0)  # (2/π) arcsin ½
        >>> bool(abs(value - 1 / 3) < error < 1e-9)
        True
        >>> from theory import Polynomial
        >>> value, error = series_moment(Polynomial((0.0, 0.0, 0.0, 1.0)), "identity", 0.0, 0.0, 1.0, 0.5, 1.0)
        >>> round(float(value), 12), float(error)  # E u³ w = 3 c11 c12
        (1.5, 0.0)
    """
    for activation in (activation_u, activation_w):
        known_activation(activation)
    mu_u, mu_w, c11, c12, c22 = together(
        mean_u=finite("mean_u", mean_u),
        mean_w=finite("mean_w", mean_w),
        c11=variances("c11", c11),
        c12=finite("c12", c12),
        c22=variances("c22", c22),
    )
    negative_slope = number("negative_slope", negative_slope)
    if n_terms < 1:
        raise ValueError(f"n_terms is {n_terms}; a series has one term at least")
    check_covariance(c11, c12, c22)
    n = terms_needed(activation_u, activation_w, n_terms)
    a = coefficients(activation_u, mu_u, c11, n + 2, negative_slope)
    b = coefficients(activation_w, mu_w, c22, n + 2, negative_slope)
    rho = np.abs(c12) / np.sqrt(np.maximum(c11 * c22, SMALLEST_VARIANCE))
    value = moment_of(a, b, c11, c12, c22, False).value
    tail_u, off_u = tail(activation_u, mu_u, c11, n, negative_slope)
    tail_w, off_w = tail(activation_w, mu_w, c22, n, negative_slope)
    size_u, size_w = np.abs(a).sum(axis=0), np.abs(b).sum(axis=0)
    return value, np.minimum(rho, 1.0) ** n * tail_u * tail_w + off_u * size_w + off_w * size_u


def terms_needed(activation_u: Activation, activation_w: Activation, n_terms: int = N_TERMS) -> int:
    """Degree + 1 where one of the two is a polynomial, else n_terms.

    Example:
        >>> terms_needed("square", "tanh"), terms_needed("gelu", "tanh")
        (3, 64)
    """
    degrees = [d for d in (degree(activation_u), degree(activation_w)) if d is not None]
    return min(degrees) + 1 if degrees else n_terms
