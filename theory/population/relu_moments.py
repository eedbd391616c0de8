"""Moments of relu and leaky relu with each other.

Leaky relu of negative slope s is s u + (1 − s) relu(u), so that everything follows from E relu(u) relu(w) and moments
with the identity. Notation: see `bivariate_normal`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from theory.arguments import Array
from theory.population.bivariate_normal import (
    GaussianPair,
    Moment,
    difference_of_products,
    normal_density,
    orthant_probability,
    ratio,
)
from theory.population.stein_moments import stein_moment


def relu_moment(slope_u: float, slope_w: float, pair: GaussianPair, gradient: bool = True) -> Moment:
    """E σ_u(u) σ_w(w) and its partial derivatives, for (leaky) relus of these negative slopes; 0 is relu.

    Args:
        slope_u: negative slope of u's activation.
        slope_w: negative slope of w's activation.
        pair: means and covariances.
        gradient: False leaves the partial derivatives of a centred pair undefined, which is faster.

    Example:
        >>> independent = GaussianPair(None, None, np.ones(1), np.zeros(1), np.ones(1))
        >>> relu_moment(0.0, 0.0, independent).value * 2 * np.pi  # (E relu)² = 1/2π
        array([1.])
    """
    if pair.mean_u is None or pair.mean_w is None:
        return _centred(slope_u, slope_w, pair.c11, pair.c12, pair.c22, gradient)
    moment = _with_means(pair.mean_u, pair.mean_w, pair.c11, pair.c12, pair.c22)
    if slope_u == slope_w == 0:
        return moment
    parts = (
        stein_moment("identity", "identity", pair),
        stein_moment("identity", "relu", pair),
        stein_moment("identity", "relu", pair.mirrored()).mirrored(),
        moment,
    )
    bent_u, bent_w = 1 - slope_u, 1 - slope_w
    weights = (slope_u * slope_w, slope_u * bent_w, bent_u * slope_w, bent_u * bent_w)
    fields = (np.stack(np.broadcast_arrays(*field)) for field in zip(*parts, strict=True))
    return Moment(*(np.tensordot(weights, field, 1) for field in fields))


def _centred(slope_u: float, slope_w: float, c11: Array, c12: Array, c22: Array, gradient: bool) -> Moment:
    """Zero means: ½ (s_u + s_w) c12 + (1 − s_u)(1 − s_w) E relu(u) relu(w), since E u relu(w) = ½ c12."""
    value, root, angle = _arc_cosine_kernel(c11 * c22, c12)
    bent = (1 - slope_u) * (1 - slope_w) / (2 * np.pi)
    straight = (slope_u + slope_w) / 2
    value *= bent
    if gradient:
        root *= bent / 2  # c11 ∂/∂c11 = c22 ∂/∂c22 = √δ/(4π)
        angle *= bent  # ∂/∂c12 = (π − φ)/(2π)
    if straight != 0:
        value += straight * c12
        angle += straight
    zero = np.zeros(())
    return Moment(value, root, angle, root, zero, zero)


def _arc_cosine_kernel(c11c22: Array, c12: Array) -> tuple[Array, Array, Array]:
    """2π E relu(u) relu(w) at zero means, √δ, and the angle π − φ, from c11 c22 and c12.

    The arc-cosine kernel of degree 1 (Cho & Saul 2009, eq. 6): 2π E = √δ + (π − φ) c12 with φ = atan2(√δ, c12), so that
    nothing divides by a norm. Errors of √δ near |ρ| = 1 enter in second order. In place, since this is the inner loop
    of every relu path.
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


def _with_means(mean_u: Array, mean_w: Array, c11: Array, c12: Array, c22: Array) -> Moment:
    """E relu(u) relu(w), and its partials, by the truncated bivariate normal (Rosenbaum 1961):

        E relu(u) relu(w) = (μ_u μ_w + c12) P + μ_w A + μ_u B + D,
        P = Φ₂(h, k; ρ),  A = √c11 φ(h) Φ(t_w),  B = √c22 φ(k) Φ(t_u),  D = √δ φ(h) φ(t_w),

    with t_w = (k − ρh)/√(1−ρ²) the standardised mean of w where u = 0, and t_u likewise.
    """
    mean_u, mean_w, c11, c12, c22 = np.broadcast_arrays(mean_u, mean_w, c11, c12, c22)
    s_u, s_w = np.sqrt(c11), np.sqrt(c22)
    h, k = ratio(mean_u, s_u, mean_u), ratio(mean_w, s_w, mean_w)
    delta = difference_of_products(c11, c22, c12, c12)
    root = np.sqrt(np.maximum(delta, 0.0))
    # rounding may leave δ ≤ 0 where u and w are proportional; c12 = ±√(c11 c22) then, in both lines alike
    sign = np.copysign(1.0, c12)
    lead = mean_w * s_u - sign * (mean_u * s_w)
    along_w = np.where(delta > 0, difference_of_products(mean_w, c11, c12, mean_u), s_u * lead)  # c11 E[w | u = 0]
    along_u = np.where(delta > 0, difference_of_products(mean_u, c22, c12, mean_w), -sign * s_w * lead)
    t_w, t_u = ratio(along_w, s_u * root, along_w), ratio(along_u, s_w * root, along_u)
    both_positive = orthant_probability(h, k, t_w, t_u, root, c12)
    density_h, density_k = normal_density(h), normal_density(k)
    ndtr_w, ndtr_u = ndtr(t_w), ndtr(t_u)
    a, b = s_u * density_h * ndtr_w, s_w * density_k * ndtr_u
    d = root * density_h * normal_density(t_w)
    zero = np.zeros(())
    value = (mean_u * mean_w + c12) * both_positive + mean_w * a + mean_u * b + d
    # ∂/∂c11 = ½ p_u(0) E[relu(w) | u = 0]; given u = 0, w has mean along_w/c11 and deviation √δ/√c11
    log_c11 = density_h * (ratio(along_w, s_u, zero) * ndtr_w + root * normal_density(t_w)) / 2
    log_c22 = density_k * (ratio(along_u, s_w, zero) * ndtr_u + root * normal_density(t_u)) / 2
    by_mean_u = mean_w * both_positive + b + ratio(c12, s_u, zero) * density_h * ndtr_w
    by_mean_w = mean_u * both_positive + a + ratio(c12, s_w, zero) * density_k * ndtr_u
    return Moment(value, log_c11, both_positive, log_c22, by_mean_u, by_mean_w)
