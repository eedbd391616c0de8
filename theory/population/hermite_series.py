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
from numpy.typing import ArrayLike
from scipy.special import ndtr

from theory.layers import Array, finite, known
from theory.population.gaussian_moments import CLOSED_FORM_ACTIVATIONS, Moment

N_TERMS = 64
SERIES_ACTIVATIONS = (*CLOSED_FORM_ACTIVATIONS, "tanh", "gelu")
SMALLEST_VARIANCE = 1e-24


@dataclass(frozen=True)
class Polynomial:
    """The activation Σ_k coefficients[k] u^k. ValueError if there are none, or a number is not finite."""

    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "coefficients", tuple(float(c) for c in finite("coefficients", self.coefficients).ravel())
        )
        if not self.coefficients:
            raise ValueError("coefficients is empty; a polynomial has at least one")

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    def __call__(self, u: Array) -> Array:
        return np.asarray(np.polynomial.polynomial.polyval(u, self.coefficients))


Activation = str | Polynomial


def degree(activation: Activation) -> int | None:
    """The degree of a polynomial activation, None of another."""
    return activation.degree if isinstance(activation, Polynomial) else {"identity": 1, "square": 2}.get(activation)


def hermite(x: Array, n_terms: int) -> Array:
    """ĥ_0(x) … ĥ_{n_terms − 1}(x), orthonormal under N(0, 1), [n_terms, *x.shape]."""
    out = np.ones((n_terms, *np.shape(x)))
    if n_terms > 1:
        out[1] = x
    for k in range(1, n_terms - 1):
        out[k + 1] = (x * out[k] - np.sqrt(k) * out[k - 1]) / np.sqrt(k + 1)
    return out


@lru_cache(maxsize=16)
def _rule(n_terms: int, half_nodes: int) -> tuple[Array, Array]:
    """Nodes z [n_nodes] of the trapezoidal sum and φ(z_j) ĥ_k(z_j)·step, [n_nodes, n_terms]."""
    z = np.linspace(-12.0, 12.0, 2 * half_nodes + 1)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    return z, (hermite(z, n_terms) * density).T.copy()


def coefficients(
    activation: Activation,
    mean: Array,
    variance: Array,
    n_terms: int,
    negative_slope: float = 0.01,
    half_nodes: int = 90,
) -> Array:
    """a_0 … a_{n_terms − 1} of σ(mean + √variance z), [n_terms, ...]."""
    mu, c = np.broadcast_arrays(mean, np.maximum(variance, SMALLEST_VARIANCE))
    root = np.sqrt(c)
    if activation == "tanh":
        z, basis = _rule(n_terms, half_nodes)
        return np.moveaxis(np.tanh(mu[..., None] + root[..., None] * z) @ basis, -1, 0)
    if activation == "erf":
        return _of_erf(mu, c, n_terms)
    if activation == "gelu":
        of_erf = _of_erf(mu, c, n_terms + 1)
        of_erf[0] += 1.0  # 2Φ(u) = 1 + erf(u/√2)
        k = np.arange(n_terms).reshape((-1,) + (1,) * mu.ndim)
        below = np.concatenate([np.zeros((1, *mu.shape)), of_erf[: n_terms - 1]])
        return (mu * of_erf[:-1] + root * (np.sqrt(k) * below + np.sqrt(k + 1) * of_erf[1:])) / 2
    if activation in ("relu", "leaky_relu"):
        h = np.clip(mu / root, -38.0, 38.0)
        density = np.exp(-h * h / 2) / np.sqrt(2 * np.pi)
        out = np.empty((n_terms, *mu.shape))
        out[0], out[1:2] = mu * ndtr(mu / root) + root * density, root * ndtr(h)
        if n_terms > 2:
            k = np.arange(2, n_terms).reshape((-1,) + (1,) * mu.ndim)
            out[2:] = root * density * hermite(-h, n_terms - 2) / np.sqrt(k * (k - 1))
        if activation == "leaky_relu":
            out *= 1 - negative_slope
            out[0] += negative_slope * mu
            out[1:2] += negative_slope * root
        return out
    top = degree(activation)
    assert top is not None
    polynomial = activation if isinstance(activation, Polynomial) else Polynomial((0.0,) * top + (1.0,))
    z, weights = np.polynomial.hermite_e.hermegauss(top + 1)
    out = np.zeros((n_terms, *mu.shape))
    n = min(n_terms, top + 1)
    basis = (hermite(z, n) * (weights / weights.sum())).T
    out[:n] = np.moveaxis(polynomial(mu[..., None] + root[..., None] * z) @ basis, -1, 0)
    return out


def _of_erf(mu: Array, c: Array, n_terms: int) -> Array:
    spread = np.sqrt(1 + c)
    h = np.clip(mu / spread, -38.0, 38.0)
    density = np.exp(-h * h / 2) / np.sqrt(2 * np.pi)
    out = np.empty((n_terms, *mu.shape))
    out[0] = 2 * ndtr(h) - 1
    if n_terms > 1:
        k = np.arange(1, n_terms).reshape((-1,) + (1,) * mu.ndim)
        out[1:] = 2 * (np.sqrt(c) / spread) ** k * density * hermite(-h, n_terms - 1) / np.sqrt(k)
    return out


def moment_of(a: Array, b: Array, c11: Array, c12: Array, c22: Array, gradient: bool) -> Moment:
    """The moment and its partials from coefficients a, b [n_terms + 2, ...]; the last two serve the partials."""
    n_terms = len(a) - 2
    roots = np.sqrt(np.maximum(c11, SMALLEST_VARIANCE)), np.sqrt(np.maximum(c22, SMALLEST_VARIANCE))
    rho = np.clip(c12 / (roots[0] * roots[1]), -1.0, 1.0)
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
    return Moment(value, log_c11, by_rho / (roots[0] * roots[1]), log_c22, by_mean_u / roots[0], by_mean_w / roots[1])


def tail(
    activation: Activation, mean: Array, variance: Array, n_terms: int, negative_slope: float = 0.01
) -> tuple[Array, Array]:
    """√A_K of the series cut after n_terms, and the error of its coefficients.

    A_K is 0 for polynomials; else what four times as many terms still hold, continued as a geometric sequence of
    such blocks. The coefficients' error (tanh) is the largest change when nodes are doubled.
    """
    top = degree(activation)
    zero = np.zeros(np.broadcast_shapes(np.shape(mean), np.shape(variance)))
    if top is not None and top < n_terms:
        return zero, zero
    longer = coefficients(activation, mean, variance, 4 * n_terms, negative_slope, half_nodes=360)
    near, far = (longer[n_terms : 2 * n_terms] ** 2).sum(axis=0), (longer[2 * n_terms :] ** 2).sum(axis=0)
    ratio = np.minimum(far / np.maximum(near, 1e-300), 0.9)
    remainder = (near + far) / (1 - ratio)
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
    """E σ_u(u) σ_w(w) and an estimate of its error; arrays that broadcast.

    activation  one of `SERIES_ACTIVATIONS` or a `Polynomial`; relu and erf may be mixed. With Polynomial((1.0,)) it is the
    first moment E σ_u(u). Two kinked activations (relu with relu) converge slowly: use `second_moment`, which is exact.
    The error is 0 for a polynomial with anything: then the result is exact to rounding.
    ValueError for an unknown activation, a negative variance, |c12| above √(c11 c22), or a non-finite number.
    """
    arrays = [
        finite(n, v) for n, v in (("mean_u", mean_u), ("mean_w", mean_w), ("c11", c11), ("c12", c12), ("c22", c22))
    ]
    mu_u, mu_w, c11, c12, c22 = np.broadcast_arrays(*arrays)
    for name in (activation_u, activation_w):
        known_activation(name)
    if min(c11.min(initial=0), c22.min(initial=0)) < 0:
        raise ValueError("c11 or c22 is negative; a variance is at least 0")
    if (c12**2 > c11 * c22 * (1 + 1e-9) + 1e-300).any():
        raise ValueError("c12² exceeds c11 c22: no Gaussian has these covariances")
    n = terms_needed(activation_u, activation_w, n_terms)
    a = coefficients(activation_u, mu_u, c11, n + 2, negative_slope)
    b = coefficients(activation_w, mu_w, c22, n + 2, negative_slope)
    rho = np.abs(c12) / np.sqrt(np.maximum(c11 * c22, SMALLEST_VARIANCE))
    value = moment_of(a, b, c11, c12, c22, False).value
    (tail_u, off_u), (tail_w, off_w) = (
        tail(s, m, v, n, negative_slope) for s, m, v in ((activation_u, mu_u, c11), (activation_w, mu_w, c22))
    )
    size_u, size_w = np.abs(a).sum(axis=0), np.abs(b).sum(axis=0)
    return value, np.minimum(rho, 1.0) ** n * tail_u * tail_w + off_u * size_w + off_w * size_u


def known_activation(activation: Activation, kind: str = "activation") -> Activation:
    """`activation` if it is a `Polynomial` or one of `SERIES_ACTIVATIONS`; else ValueError."""
    return activation if isinstance(activation, Polynomial) else known(kind, activation, SERIES_ACTIVATIONS)


def terms_needed(activation_u: Activation, activation_w: Activation, n_terms: int = N_TERMS) -> int:
    """Degree + 1 where one of the two is a polynomial, else n_terms."""
    degrees = [d for d in (degree(activation_u), degree(activation_w)) if d is not None]
    return min(degrees) + 1 if degrees else n_terms
