"""Two Gaussian variables: what closed-form moments are given, what they return, and the functions they share.

(u, w) is Gaussian with means μ_u, μ_w and covariance [[c11, c12], [c12, c22]]. Notation of all moments:

    h = μ_u/√c11      ρ = c12/√(c11 c22)       φ, Φ           standard normal density and distribution
    k = μ_w/√c22      δ = c11 c22 − c12²       Φ₂(h, k; ρ)    P(z₁ ≤ h, z₂ ≤ k) for correlation ρ
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, owens_t

from theory.arguments import Array

SPLITTER = 134217729.0  # 2²⁷ + 1


class GaussianPair(NamedTuple):
    """Means and covariances of (u, w), arrays that broadcast; both means are None where they are zero.

    Example:
        >>> pair = GaussianPair(np.array(1.0), np.array(2.0), np.array(4.0), np.array(0.5), np.array(9.0))
        >>> [float(part) for part in pair.mirrored()]
        [2.0, 1.0, 9.0, 0.5, 4.0]
    """

    mean_u: Array | None
    mean_w: Array | None
    c11: Array
    c12: Array
    c22: Array

    def mirrored(self) -> GaussianPair:
        """(w, u)."""
        return GaussianPair(self.mean_w, self.mean_u, self.c22, self.c12, self.c11)

    def means(self) -> tuple[Array, Array]:
        """μ_u and μ_w, zeros where they are None."""
        if self.mean_u is None or self.mean_w is None:
            return np.zeros(()), np.zeros(())
        return self.mean_u, self.mean_w


class Moment(NamedTuple):
    """E σ_u(u) σ_w(w) and its partial derivatives by the parameters of the Gaussian.

    Attributes:
        value: the moment.
        log_c11: c11 ∂/∂c11, the derivative by the logarithm of the variance: it is finite also where relu has a kink,
            at a unit of zero mean and zero variance.
        c12: ∂/∂c12.
        log_c22: c22 ∂/∂c22.
        mean_u: ∂/∂μ_u.
        mean_w: ∂/∂μ_w.

    Example:
        >>> moment = Moment(*(np.array(float(n)) for n in range(6)))
        >>> [float(part) for part in moment.mirrored()]
        [0.0, 3.0, 2.0, 1.0, 5.0, 4.0]
    """

    value: Array
    log_c11: Array
    c12: Array
    log_c22: Array
    mean_u: Array
    mean_w: Array

    def mirrored(self) -> Moment:
        """The moment with u and w exchanged."""
        return Moment(self.value, self.log_c22, self.c12, self.log_c11, self.mean_w, self.mean_u)


def normal_density(x: Array) -> Array:
    """φ(x) = exp(−x²/2)/√(2π).

    Example:
        >>> bool(normal_density(np.array(0.0)) == 1 / np.sqrt(2 * np.pi))
        True
    """
    return np.asarray(np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


def ratio(numerator: Array, denominator: Array, sign_at_zero: Array) -> Array:
    """numerator / denominator; where the denominator is 0, the sign of `sign_at_zero` times ∞ (0 for the sign 0).

    Example:
        >>> ratio(np.array([1.0, 1.0, 0.0]), np.array([2.0, 0.0, 0.0]), np.array([1.0, -3.0, 0.0]))
        array([ 0.5, -inf,  0. ])
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        limit = np.where(sign_at_zero == 0, 0.0, np.copysign(np.inf, sign_at_zero))
        return np.where(denominator == 0, limit, numerator / denominator)


def difference_of_products(a: Array, b: Array, c: Array, d: Array) -> Array:
    """a b − c d to a few ulp of the result, by error-free products (Dekker 1971).

    Example:
        >>> a, b = np.array(1 + 2.0**-30), np.array(1 - 2.0**-30)
        >>> float(difference_of_products(a, b, np.array(1.0), np.array(1.0))) == -(2.0**-60)
        True
        >>> float(a * b - 1)
        0.0
    """
    first, first_error = _two_product(a, b)
    second, second_error = _two_product(c, d)
    return np.asarray((first - second) + (first_error - second_error))


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a b rounded, and the rounding error."""
    product = a * b
    a_high, b_high = _leading_half(a), _leading_half(b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _leading_half(a: Array) -> Array:
    """The leading 26 bits of a (Veltkamp's split)."""
    shifted = SPLITTER * a
    return np.asarray(shifted - (shifted - a))


def orthant_probability(h: Array, k: Array, t_w: Array, t_u: Array, root: Array, c12: Array) -> Array:
    """Φ₂(h, k; ρ) by Owen's T (Owen 1956), from quantities that can be had without cancellation.

    Φ₂ = ½Φ(h) + ½Φ(k) − T(h, t_w/h) − T(k, t_u/k) − ½[h and k of opposite sign]; at h = k = 0 it is the angle
    atan2(√δ, −c12)/(2π).

    Args:
        h: μ_u/√c11.
        k: μ_w/√c22.
        t_w: (k − ρh)/√(1−ρ²), the standardised mean of w where u = 0.
        t_u: (h − ρk)/√(1−ρ²).
        root: √δ.
        c12: the covariance.

    Example:
        >>> zero = np.array(0.0)
        >>> float(orthant_probability(zero, zero, zero, zero, np.array(1.0), zero))  # a quadrant
        0.25
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope_h = np.where(h == 0, np.copysign(np.inf, t_w), t_w / h)
        slope_k = np.where(k == 0, np.copysign(np.inf, t_u), t_u / k)
    opposite = np.where(h == 0, k < 0, np.where(k == 0, h < 0, (h < 0) != (k < 0)))
    value = (ndtr(h) + ndtr(k) - opposite) / 2 - owens_t(h, slope_h) - owens_t(k, slope_k)
    value = np.where((h == 0) & (k == 0), np.arctan2(root, -c12) / (2 * np.pi), value)
    return np.asarray(np.maximum(value, 0.0))
