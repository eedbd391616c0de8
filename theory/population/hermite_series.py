"""Moments E σ(u) τ(w) for any activations, as Hermite series with an error.

With u = μ + √c z expand σ(u) = Σ_k a_k ĥ_k(z) in normalised Hermite polynomials, a_k(μ, c) = E σ(μ + √c z) ĥ_k(z). Then
(Mehler 1866; for networks Daniely, Frostig & Singer 2016, sec. 4)

    E σ(u) τ(w) = Σ_k ρ^k a_k b_k,     ρ = c12/√(c11 c22),     | remainder after K terms | ≤ |ρ|^K √(A_K B_K),

A_K = E σ² − Σ_{k<K} a_k², by Cauchy and Schwarz. A polynomial of degree d has d + 1 terms: exact. Coefficients:

    erf        2 (c/s²)^{k/2} (−1)^{k−1} φ(h) ĥ_{k−1}(h)/√k,  s² = 1 + c, h = μ/s
    relu       √c (−1)^k φ(h) ĥ_{k−2}(h)/√(k(k−1)),  h = μ/√c, k ≥ 2; leaky relu by linearity
    gelu       u Φ(u), from those of erf by z ĥ_k = √(k+1) ĥ_{k+1} + √k ĥ_{k−1}
    tanh       trapezoidal sum over |z| ≤ 12: its error falls as exp(−π²/(step √c)) (Trefethen & Weideman 2014)
    polynomial Gauss–Hermite, exact

The series is short where variances are moderate: with 64 terms tanh reaches 1e-12 at variance 1 and |ρ| = 1, 1e-6 at 4.
Derivatives: ∂a_k/∂μ = √(k+1) a_{k+1}/√c, and at fixed c12, c11 ∂/∂c11 = ½ Σ ρ^k √((k+1)(k+2)) a_{k+2} b_k.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from theory.layers import Array, finite, known
from theory.population.bivariate_normal import Moment, normal_density
from theory.population.gaussian_moments import CLOSED_FORM_ACTIVATIONS, check_covariance, variances

N_TERMS = 64
SERIES_ACTIVATIONS = (*CLOSED_FORM_ACTIVATIONS, "tanh", "gelu")
SMALLEST_VARIANCE = 1e-24
LARGEST_ARGUMENT = 38.0  # of φ, which is 0 in float64 beyond
HALF_NODES = 90  # of the trapezoidal sum: nodes on each side of 0


@dataclass(frozen=True)
class Polynomial:
    """The activation Σ_k coefficients[k] u^k.

    Raises:
        ValueError: there are no coefficients, or one is not finite.

    Example:
        >>> cubic = Polynomial((0.0, 1.0, 0.0, 2.0))  # u + 2u³
        >>> cubic.degree, float(cubic(np.array(2.0)))
        (3, 18.0)
    """

    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = tuple(float(c) for c in finite("coefficients", self.coefficients).ravel())
        object.__setattr__(self, "coefficients", numbers)
        if not numbers:
            raise ValueError("coefficients is empty; a polynomial has at least one")

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    def __call__(self, u: Array) -> Array:
        return np.asarray(np.polynomial.polynomial.polyval(u, self.coefficients))


Activation = str | Polynomial

NAMED_POLYNOMIALS = {"identity": Polynomial((0.0, 1.0)), "square": Polynomial((0.0, 0.0, 1.0))}


def as_polynomial(activation: Activation) -> Polynomial | None:
    """A polynomial activation as a `Polynomial`; None for an activation that is none.

    Example:
        >>> as_polynomial("square").coefficients, as_polynomial("relu")
        ((0.0, 0.0, 1.0), None)
    """
    return activation if isinstance(activation, Polynomial) else NAMED_POLYNOMIALS.get(activation)


def degree(activation: Activation) -> int | None:
    """The degree of a polynomial activation, None of another.

    Example:
        >>> degree("square"), degree(Polynomial((1.0,))), degree("tanh")
        (2, 0, None)
    """
    polynomial = as_polynomial(activation)
    return None if polynomial is None else polynomial.degree


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
    if activation == "erf":
        return _of_erf(mu, c, n_terms)
    if activation == "gelu":
        return _of_gelu(mu, c, n_terms)
    if activation == "relu":
        return _of_relu(mu, root, n_terms)
    if activation == "leaky_relu":
        out = (1 - negative_slope) * _of_relu(mu, root, n_terms)
        out[0] += negative_slope * mu
        out[1:2] += negative_slope * root
        return out
    raise ValueError(f"activation {activation!r} has no series here; there is one for {', '.join(SERIES_ACTIVATIONS)}")


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


def _of_relu(mu: Array, root: Array, n_terms: int) -> Array:
    h = np.clip(mu / root, -LARGEST_ARGUMENT, LARGEST_ARGUMENT)
    density = normal_density(h)
    out = np.empty((n_terms, *mu.shape))
    out[0] = mu * ndtr(mu / root) + root * density
    out[1:2] = root * ndtr(h)
    if n_terms > 2:
        k = _term_numbers(2, n_terms, mu.shape)
        out[2:] = root * density * hermite(-h, n_terms - 2) / np.sqrt(k * (k - 1))
    return out


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
        >>> value, error = series_moment(Polynomial((0.0, 0.0, 0.0, 1.0)), "identity", 0.0, 0.0, 1.0, 0.5, 1.0)
        >>> round(float(value), 12), float(error)  # E u³ w = 3 c11 c12
        (1.5, 0.0)
    """
    for activation in (activation_u, activation_w):
        known_activation(activation)
    mu_u, mu_w, c11, c12, c22 = np.broadcast_arrays(
        finite("mean_u", mean_u),
        finite("mean_w", mean_w),
        variances("c11", c11),
        finite("c12", c12),
        variances("c22", c22),
    )
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


def known_activation(activation: Activation, kind: str = "activation") -> Activation:
    """`activation`, if it is a `Polynomial` or one of `SERIES_ACTIVATIONS`.

    Raises:
        ValueError: it is another; the message calls it `kind`.

    Example:
        >>> known_activation("gelu")
        'gelu'
    """
    return activation if isinstance(activation, Polynomial) else known(kind, activation, SERIES_ACTIVATIONS)


def terms_needed(activation_u: Activation, activation_w: Activation, n_terms: int = N_TERMS) -> int:
    """Degree + 1 where one of the two is a polynomial, else n_terms.

    Example:
        >>> terms_needed("square", "tanh"), terms_needed("gelu", "tanh")
        (3, 64)
    """
    degrees = [d for d in (degree(activation_u), degree(activation_w)) if d is not None]
    return min(degrees) + 1 if degrees else n_terms
