"""Moments E σ(u) and E σ_u(u) σ_w(w) of activations under Gaussians, in closed form.

(u, w) is Gaussian with means μ_u, μ_w and covariance [[c11, c12], [c12, c22]]. Notation: h = μ_u/√c11,
k = μ_w/√c22, ρ = c12/√(c11 c22), δ = c11 c22 − c12², φ and Φ the standard normal density and distribution,
Φ₂(h, k; ρ) = P(z₁ ≤ h, z₂ ≤ k). Activations: identity, square (u²), relu, leaky_relu, and "erf", which is
erf(u/√2) = 2Φ(u) − 1.

    identity or square with any       Stein's lemma, E u F(w) = μ_u E F + c12 E F', once or twice (Stein 1981)
    relu, leaky relu with each other  zero means: the arc-cosine kernel (Cho & Saul 2009, eq. 6);
                                      else truncated bivariate normal (Rosenbaum 1961), Φ₂ by Owen's T
    erf with erf                      zero means: the arcsine kernel (Williams 1997); else Φ₂
    relu or leaky relu with erf       refused

Accuracy is about 1e-15 of the scale √(E u² E w²) (of 1 for erf), also at |ρ| = 1 and where a variance is
zero. Every second moment comes with its partial derivatives (Price 1958: ∂/∂c12 = E σ_u' σ_w', ∂/∂c11 = ½ E
σ_u'' σ_w).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, owens_t

from theory.layers import Array, finite, known

CLOSED_FORM_ACTIVATIONS = ("identity", "relu", "leaky_relu", "erf", "square")


class Moment(NamedTuple):
    """E σ_u(u) σ_w(w) and its partial derivatives by the parameters of the Gaussian.

    log_c11 is c11 ∂/∂c11, the derivative by the logarithm of the variance (log_c22 likewise): it is finite
    also where relu has a kink, at a unit of zero mean and zero variance.
    """

    value: Array
    log_c11: Array
    c12: Array
    log_c22: Array
    mean_u: Array
    mean_w: Array


def first_moment(activation: str, mean: ArrayLike, variance: ArrayLike, *, negative_slope: float = 0.01) -> Array:
    """E σ(u) for u ~ N(mean, variance); arrays that broadcast.

    identity μ; square μ² + c; relu μ Φ(h) + √c φ(h); erf 2Φ(μ/√(1+c)) − 1; leaky relu by linearity.
    ValueError for an unknown activation, a negative variance or a non-finite number.
    """
    known("activation", activation, CLOSED_FORM_ACTIVATIONS)
    mu, c = np.broadcast_arrays(finite("mean", mean), _variance("variance", variance))
    return smoothed(activation, mu, c, 0, negative_slope)[0]


def second_moment(
    activation_u: str,
    activation_w: str,
    mean_u: ArrayLike | None,
    mean_w: ArrayLike | None,
    c11: ArrayLike,
    c12: ArrayLike,
    c22: ArrayLike,
    *,
    negative_slope: float = 0.01,
) -> Array:
    """E σ_u(u) σ_w(w); arrays that broadcast, both means None for zero means. Formulas: see the module.

    `negative_slope` is that of every leaky relu. ValueError for an unknown activation, a pair that is not
    elementary, a negative variance, |c12| above √(c11 c22) by more than rounding, or a non-finite number.
    """
    for name in (activation_u, activation_w):
        known("activation", name, CLOSED_FORM_ACTIVATIONS)
    if (mean_u is None) != (mean_w is None):
        raise ValueError("give both means, or None for both")
    arrays = [_variance("c11", c11), finite("c12", c12), _variance("c22", c22)]
    if mean_u is not None and mean_w is not None:
        arrays += [finite("mean_u", mean_u), finite("mean_w", mean_w)]
    c11, c12, c22, *means = np.broadcast_arrays(*(np.atleast_1d(array) for array in arrays))
    if (c12**2 > c11 * c22 * (1 + 1e-9) + 1e-300).any():
        raise ValueError("c12² exceeds c11 c22: no Gaussian has these covariances")
    mu_u, mu_w = means if means else (None, None)
    moment = pair_moment(activation_u, activation_w, mu_u, mu_w, c11, c12, c22, negative_slope, False)
    return moment.value.reshape(np.broadcast_shapes(*(array.shape for array in arrays)))


def _variance(name: str, value: ArrayLike) -> Array:
    array = finite(name, value)
    if (array < 0).any():
        raise ValueError(f"{name} holds {array.min():.3g}; a variance is at least 0")
    return array


def pair_moment(
    activation_u: str,
    activation_w: str,
    mean_u: Array | None,
    mean_w: Array | None,
    c11: Array,
    c12: Array,
    c22: Array,
    negative_slope: float = 0.01,
    gradient: bool = True,
) -> Moment:
    """`second_moment` on checked arrays, with partial derivatives (meaningless where not `gradient`)."""
    if activation_u in POLYNOMIAL or activation_w in POLYNOMIAL:
        zero = np.zeros(())
        mu_u, mu_w = (zero, zero) if mean_u is None or mean_w is None else (mean_u, mean_w)
        if activation_u in POLYNOMIAL:
            return _polynomial_moment(activation_u, activation_w, mu_u, mu_w, c11, c12, c22, negative_slope)
        moment = _polynomial_moment(activation_w, activation_u, mu_w, mu_u, c22, c12, c11, negative_slope)
        return _mirrored(moment)
    if activation_u == activation_w == "erf":
        if mean_u is None or mean_w is None:
            return _erf_centred(c11, c12, c22)
        return _erf_moment(mean_u, mean_w, c11, c12, c22)
    if "erf" in (activation_u, activation_w):
        raise ValueError(
            f"the moment of {activation_u!r} with {activation_w!r} is not provided; "
            "use one activation for both, or identity or square for one of them"
        )
    slope_u, slope_w = (negative_slope if name == "leaky_relu" else 0.0 for name in (activation_u, activation_w))
    if mean_u is None or mean_w is None:
        return _leaky_centred(slope_u, slope_w, c11, c12, c22, gradient)
    return _leaky_moment(slope_u, slope_w, mean_u, mean_w, c11, c12, c22)


def _mirrored(moment: Moment) -> Moment:
    """The moment with u and w exchanged."""
    return Moment(moment.value, moment.log_c22, moment.c12, moment.log_c11, moment.mean_w, moment.mean_u)


# ---- one Gaussian: F(μ, c) = E σ(u) and its derivatives by μ; ∂F/∂c = ½ ∂²F/∂μ² (heat equation)


def smoothed(activation: str, mean: Array, variance: Array, order: int, negative_slope: float = 0.01) -> list[Array]:
    """[F, F', …, F^(order)] for F(μ, c) = E σ(μ + √c z), order ≤ 4; derivatives at a kink are 0."""
    mu, c = np.broadcast_arrays(mean, variance)
    one, zero = np.ones(mu.shape), np.zeros(mu.shape)
    if activation == "identity":
        return [mu.copy(), one, zero, zero, zero][: order + 1]
    if activation == "square":
        return [mu**2 + c, 2 * mu, 2 * one, zero, zero][: order + 1]
    if activation == "erf":
        tau = np.sqrt(1 + c)
        h = mu / tau
        density = 2 * _density(h) / tau
        ladder = [2 * ndtr(h) - 1, density]
    else:
        tau = np.sqrt(c)
        h = _over(mu, tau, mu)
        density = _over(_density(h), tau, zero)
        ladder = [mu * ndtr(h) + tau * _density(h), ndtr(h), density]
    factor = _over(one, tau, zero)
    h = np.clip(h, -40.0, 40.0)  # φ is 0 beyond
    hermite = (-h, h**2 - 1, 3 * h - h**3)  # derivatives of φ(h) by h, over φ(h)
    for k in range(order + 1 - len(ladder)):
        ladder.append(density * hermite[k] * factor ** (k + 1))
    if activation == "leaky_relu":
        straight = [mu, one, zero, zero, zero]
        ladder = [negative_slope * s + (1 - negative_slope) * f for s, f in zip(straight, ladder, strict=False)]
    return ladder[: order + 1]


POLYNOMIAL = ("identity", "square")


def _polynomial_moment(
    activation: str, other: str, mean_u: Array, mean_w: Array, c11: Array, c12: Array, c22: Array, negative_slope: float
) -> Moment:
    """identity or square (u) with any activation (w), by Stein's lemma:

    E u σ(w) = μ_u F + c12 F',   E u² σ(w) = (μ_u² + c11) F + 2 μ_u c12 F' + c12² F''.
    """
    mean_u, mean_w, c11, c12, c22 = np.broadcast_arrays(mean_u, mean_w, c11, c12, c22)
    f0, f1, f2, f3, f4 = smoothed(other, mean_w, c22, 4, negative_slope)
    if activation == "identity":
        one, zero = np.ones_like(c12), np.zeros_like(c12)
        a0, a1, a2 = mean_u, c12, zero
        d0, d1, e1, e2, by_c11 = one, zero, one, zero, zero
    else:
        a0, a1, a2 = mean_u**2 + c11, 2 * mean_u * c12, c12**2
        d0, d1, e1, e2, by_c11 = 2 * mean_u, 2 * c12, 2 * mean_u, 2 * c12, f0
    return Moment(
        value=a0 * f0 + a1 * f1 + a2 * f2,
        log_c11=c11 * by_c11,
        c12=e1 * f1 + e2 * f2,
        log_c22=c22 * (a0 * f2 + a1 * f3 + a2 * f4) / 2,
        mean_u=d0 * f0 + d1 * f1,
        mean_w=a0 * f1 + a1 * f2 + a2 * f3,
    )


# ---- relu and leaky relu: σ(u) = s u + (1 − s) relu(u)


def relu_centred(c11c22: Array, c12: Array) -> tuple[Array, Array, Array]:
    """2π E relu(u) relu(w) at zero means, √δ, and the angle π − φ; inputs c11 c22 and c12.

    The arc-cosine kernel of degree 1 (Cho & Saul 2009, eq. 6): 2π E = √δ + (π − φ) c12 with
    φ = atan2(√δ, c12), so that nothing divides by a norm. Errors of √δ near |ρ| = 1 enter in second order.
    """
    root = c12 * c12
    np.subtract(c11c22, root, out=root)
    np.maximum(root, 0.0, out=root)
    np.sqrt(root, out=root)
    angle = np.negative(c12)
    np.arctan2(root, angle, out=angle)
    value = angle * c12
    value += root
    return value, root, angle


def _leaky_centred(slope_u: float, slope_w: float, c11: Array, c12: Array, c22: Array, gradient: bool) -> Moment:
    """E σ_u σ_w = ½ (s_u + s_w) c12 + (1 − s_u)(1 − s_w) E relu relu, since E u relu(w) = ½ c12."""
    value, root, angle = relu_centred(c11 * c22, c12)
    bent, straight = (1 - slope_u) * (1 - slope_w) / (2 * np.pi), (slope_u + slope_w) / 2
    zero = np.zeros(())
    value *= bent
    if gradient:
        root *= bent / 2  # c11 ∂/∂c11 = c22 ∂/∂c22 = √δ / (4π)
        angle *= bent
    if straight != 0:
        value += straight * c12
        angle += straight
    return Moment(value, root, angle, root, zero, zero)


def _leaky_moment(
    slope_u: float, slope_w: float, mean_u: Array, mean_w: Array, c11: Array, c12: Array, c22: Array
) -> Moment:
    """s_u s_w E uw + s_u (1−s_w) E u relu(w) + (1−s_u) s_w E relu(u) w + (1−s_u)(1−s_w) E relu(u) relu(w)."""
    moment = _relu_moment(mean_u, mean_w, c11, c12, c22)
    if slope_u == slope_w == 0:
        return moment
    both = _polynomial_moment("identity", "identity", mean_u, mean_w, c11, c12, c22, 0.0)
    first = _polynomial_moment("identity", "relu", mean_u, mean_w, c11, c12, c22, 0.0)
    second = _mirrored(_polynomial_moment("identity", "relu", mean_w, mean_u, c22, c12, c11, 0.0))
    bent_u, bent_w = 1 - slope_u, 1 - slope_w
    weights = (slope_u * slope_w, slope_u * bent_w, bent_u * slope_w, bent_u * bent_w)
    fields = (np.stack(np.broadcast_arrays(*parts)) for parts in zip(both, first, second, moment, strict=True))
    return Moment(*(np.tensordot(weights, parts, 1) for parts in fields))


def _relu_moment(mean_u: Array, mean_w: Array, c11: Array, c12: Array, c22: Array) -> Moment:
    """E relu(u) relu(w), and its partials, by the truncated bivariate normal (Rosenbaum 1961):

    P = Φ₂(h, k; ρ),  A = √c11 φ(h) Φ(t_w),  B = √c22 φ(k) Φ(t_u),  D = √δ φ(h) φ(t_w),
    E relu relu = (μ_u μ_w + c12) P + μ_w A + μ_u B + D,
    with t_w = (k − ρh)/√(1−ρ²) the standardised mean of w where u = 0, and t_u likewise.
    """
    mean_u, mean_w, c11, c12, c22 = np.broadcast_arrays(mean_u, mean_w, c11, c12, c22)
    s_u, s_w = np.sqrt(c11), np.sqrt(c22)
    h, k = _over(mean_u, s_u, mean_u), _over(mean_w, s_w, mean_w)
    delta = _difference_of_products(c11, c22, c12, c12)
    root = np.sqrt(np.maximum(delta, 0.0))
    # Rounding may leave δ ≤ 0 where u and w are proportional; then c12 = ±√(c11 c22) in both lines alike.
    sign = np.copysign(1.0, c12)
    lead = mean_w * s_u - sign * (mean_u * s_w)
    along_w = np.where(delta > 0, _difference_of_products(mean_w, c11, c12, mean_u), s_u * lead)
    along_u = np.where(delta > 0, _difference_of_products(mean_u, c22, c12, mean_w), -sign * s_w * lead)
    t_w, t_u = _over(along_w, s_u * root, along_w), _over(along_u, s_w * root, along_u)
    positive = _orthant(h, k, t_w, t_u, root, c12)
    density_h, density_k = _density(h), _density(k)
    ndtr_w, ndtr_u = ndtr(t_w), ndtr(t_u)
    a, b = s_u * density_h * ndtr_w, s_w * density_k * ndtr_u
    d = root * density_h * _density(t_w)
    zero = np.zeros(())
    value = (mean_u * mean_w + c12) * positive + mean_w * a + mean_u * b + d
    # ∂/∂c11 = ½ p_u(0) E[relu(w) | u = 0]: given u = 0, w has mean along_w/c11 and deviation √δ/√c11.
    log_c11 = density_h * (_over(along_w, s_u, zero) * ndtr_w + root * _density(t_w)) / 2
    log_c22 = density_k * (_over(along_u, s_w, zero) * ndtr_u + root * _density(t_u)) / 2
    by_mean_u = mean_w * positive + b + _over(c12, s_u, zero) * density_h * ndtr_w
    by_mean_w = mean_u * positive + a + _over(c12, s_w, zero) * density_k * ndtr_u
    return Moment(value, log_c11, positive, log_c22, by_mean_u, by_mean_w)


# ---- erf(u/√2) = 2 P(z ≤ u) − 1


def _erf_centred(c11: Array, c12: Array, c22: Array) -> Moment:
    """(2/π) arcsin(c12/√((1+c11)(1+c22))) (Williams 1997), by atan2 on δ' = (1+c11)(1+c22) − c12²."""
    a, b = 1 + c11, 1 + c22
    root = np.sqrt(a * b - c12**2)
    scale = 2 / np.pi
    zero = np.zeros(())
    slope = scale / root
    by_log = -slope * c12 / 2
    return Moment(scale * np.arctan2(c12, root), by_log * (c11 / a), slope, by_log * (c22 / b), zero, zero)


def _erf_moment(mean_u: Array, mean_w: Array, c11: Array, c12: Array, c22: Array) -> Moment:
    """4 Φ₂(h, k; ρ) − 2Φ(h) − 2Φ(k) + 1 with variances 1 + c11, 1 + c22: the noise z of Φ joins u and w."""
    mean_u, mean_w, c11, c12, c22 = np.broadcast_arrays(mean_u, mean_w, c11, c12, c22)
    a, b = 1 + c11, 1 + c22
    s_u, s_w = np.sqrt(a), np.sqrt(b)
    h, k = mean_u / s_u, mean_w / s_w
    root = np.sqrt(_difference_of_products(a, b, c12, c12))
    t_w = _difference_of_products(mean_w, a, c12, mean_u) / (s_u * root)
    t_u = _difference_of_products(mean_u, b, c12, mean_w) / (s_w * root)
    value = 4 * _orthant(h, k, t_w, t_u, root, c12) - 2 * ndtr(h) - 2 * ndtr(k) + 1
    by_mean_u = 2 * _density(h) * (2 * ndtr(t_w) - 1) / s_u
    by_mean_w = 2 * _density(k) * (2 * ndtr(t_u) - 1) / s_w
    by_c12 = 4 * _density(h) * _density(t_w) / root
    # ½ ∂²/∂μ_u²: −½ (h ∂/∂μ_u + ρ-term), from differentiating by_mean_u once more.
    by_c11 = -(mean_u * by_mean_u + c12 * by_c12) / (2 * a)
    by_c22 = -(mean_w * by_mean_w + c12 * by_c12) / (2 * b)
    return Moment(value, c11 * by_c11, by_c12, c22 * by_c22, by_mean_u, by_mean_w)


# ---- numerics


def _density(x: Array) -> Array:
    """φ(x)."""
    return np.asarray(np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


def _over(numerator: Array, denominator: Array, at_zero: Array) -> Array:
    """numerator / denominator; where the denominator is 0, the sign of `at_zero` times ∞ (0 for 0)."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        limit = np.where(at_zero == 0, 0.0, np.copysign(np.inf, at_zero))
        return np.where(denominator == 0, limit, numerator / denominator)


def _difference_of_products(a: Array, b: Array, c: Array, d: Array) -> Array:
    """a b − c d to a few ulp of the result, by error-free products (Dekker 1971)."""
    p, p_error = _two_product(a, b)
    q, q_error = _two_product(c, d)
    return np.asarray((p - q) + (p_error - q_error))


def _two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a b rounded, and the rounding error."""
    product = a * b
    a_high, b_high = _high_half(a), _high_half(b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _high_half(a: Array) -> Array:
    """The leading 26 bits of a (Veltkamp's split)."""
    shifted = 134217729.0 * a  # 2²⁷ + 1
    return np.asarray(shifted - (shifted - a))


def _orthant(h: Array, k: Array, t_w: Array, t_u: Array, root: Array, c12: Array) -> Array:
    """Φ₂(h, k; ρ) by Owen's T (Owen 1956), with t_w = (k−ρh)/√(1−ρ²), t_u = (h−ρk)/√(1−ρ²).

    Φ₂ = ½Φ(h) + ½Φ(k) − T(h, t_w/h) − T(k, t_u/k) − ½[h and k of opposite sign]; at h = k = 0 it is
    atan2(√δ, −c12)/(2π). The t and √δ are given, not ρ, since they can be had without cancellation.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope_h = np.where(h == 0, np.copysign(np.inf, t_w), t_w / h)
        slope_k = np.where(k == 0, np.copysign(np.inf, t_u), t_u / k)
    opposite = np.where(h == 0, k < 0, np.where(k == 0, h < 0, (h < 0) != (k < 0)))
    value = (ndtr(h) + ndtr(k) - opposite) / 2 - owens_t(h, slope_h) - owens_t(k, slope_k)
    value = np.where((h == 0) & (k == 0), np.arctan2(root, -c12) / (2 * np.pi), value)
    return np.asarray(np.maximum(value, 0.0))
