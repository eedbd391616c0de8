"""Moments of erf(u/√2) = 2 P(z ≤ u) − 1 with itself. Notation: see `bivariate_normal`."""

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
)


def erf_moment(pair: GaussianPair) -> Moment:
    """E erf(u/√2) erf(w/√2) and its partial derivatives.

    Example:
        >>> half = GaussianPair(None, None, np.array(1.0), np.array(1.0), np.array(1.0))  # (2/π) arcsin ½
        >>> round(float(erf_moment(half).value), 12) == round(1 / 3, 12)
        True
    """
    if pair.mean_u is None or pair.mean_w is None:
        return _centred(pair.c11, pair.c12, pair.c22)
    return _with_means(pair.mean_u, pair.mean_w, pair.c11, pair.c12, pair.c22)


def _centred(c11: Array, c12: Array, c22: Array) -> Moment:
    """(2/π) arcsin(c12/√((1+c11)(1+c22))) (Williams 1997, eq. 11), by atan2 on (1+c11)(1+c22) − c12²."""
    a, b = 1 + c11, 1 + c22
    root = np.sqrt(a + c22 + np.maximum(c11 * c22 - c12**2, 0.0))  # 1 + 2 c where u = w, however large c is
    scale = 2 / np.pi
    zero = np.zeros(())
    by_c12 = scale / root
    by_log_variance = -by_c12 * c12 / 2
    value = scale * np.arctan2(c12, root)
    return Moment(value, by_log_variance * (c11 / a), by_c12, by_log_variance * (c22 / b), zero, zero)


def _with_means(mean_u: Array, mean_w: Array, c11: Array, c12: Array, c22: Array) -> Moment:
    """4 Φ₂(h, k; ρ) − 2Φ(h) − 2Φ(k) + 1 with variances 1 + c11 and 1 + c22.

    erf(u/√2) = 2 P(z ≤ u) − 1 with z ~ N(0, 1) independent, and u − z has the variance 1 + c11.
    """
    mean_u, mean_w, c11, c12, c22 = np.broadcast_arrays(mean_u, mean_w, c11, c12, c22)
    a, b = 1 + c11, 1 + c22
    s_u, s_w = np.sqrt(a), np.sqrt(b)
    h, k = mean_u / s_u, mean_w / s_w
    root = np.sqrt(a + c22 + np.maximum(difference_of_products(c11, c22, c12, c12), 0.0))
    t_w = difference_of_products(mean_w, a, c12, mean_u) / (s_u * root)
    t_u = difference_of_products(mean_u, b, c12, mean_w) / (s_w * root)
    value = 4 * orthant_probability(h, k, t_w, t_u, root, c12) - 2 * ndtr(h) - 2 * ndtr(k) + 1
    by_mean_u = 2 * normal_density(h) * (2 * ndtr(t_w) - 1) / s_u
    by_mean_w = 2 * normal_density(k) * (2 * ndtr(t_u) - 1) / s_w
    by_c12 = 4 * normal_density(h) * normal_density(t_w) / root
    # ∂/∂c11 = ½ ∂²/∂μ_u² (heat equation), from differentiating by_mean_u once more
    by_c11 = -(mean_u * by_mean_u + c12 * by_c12) / (2 * a)
    by_c22 = -(mean_w * by_mean_w + c12 * by_c12) / (2 * b)
    return Moment(value, c11 * by_c11, by_c12, c22 * by_c22, by_mean_u, by_mean_w)
