"""Moments of the identity or the square with any activation, by Stein's lemma (Stein 1981).

For jointly Gaussian (u, w) and F(μ, c) = E σ(w), with derivatives by the mean of w,

    E u σ(w)  = μ_u F + c12 F′
    E u² σ(w) = (μ_u² + c11) F + 2 μ_u c12 F′ + c12² F″

the second by using the lemma twice. Partial derivatives: ∂F/∂c22 = ½ F″.
"""

from __future__ import annotations

import numpy as np

from theory.arguments import Array, known
from theory.population.bivariate_normal import GaussianPair, Moment
from theory.population.smoothing import smoothed

STEIN_ACTIVATIONS = ("identity", "square")


def stein_moment(activation: str, other: str, pair: GaussianPair, negative_slope: float = 0.01) -> Moment:
    """E σ(u) τ(w) and its partial derivatives, for σ the identity or the square.

    Args:
        activation: of u, one of `STEIN_ACTIVATIONS`.
        other: of w, any of `smoothing.SMOOTHED_ACTIVATIONS`.
        pair: means and covariances.
        negative_slope: that of leaky relu.

    Raises:
        ValueError: one of the activations is another.

    Example:
        >>> c11, c12, c22 = (np.array(c) for c in (2.0, 0.5, 3.0))
        >>> float(stein_moment("square", "square", GaussianPair(None, None, c11, c12, c22)).value)  # c11 c22 + 2 c12²
        6.5
    """
    known("activation", activation, STEIN_ACTIVATIONS)
    mean_u, mean_w, c11, c12, c22 = np.broadcast_arrays(*pair.means(), pair.c11, pair.c12, pair.c22)
    derivatives = smoothed(other, mean_w, c22, 4, negative_slope)
    # the moment is Σ_k factors_k F^(k); its derivative by μ_u is Σ_k slopes_k F^(k), by c12 Σ_k slopes_k F^(k+1)
    if activation == "identity":
        factors, slopes = [mean_u, c12], [np.ones_like(c12)]
        by_c11 = np.zeros_like(c12)
    elif activation == "square":
        factors, slopes = [mean_u**2 + c11, 2 * mean_u * c12, c12**2], [2 * mean_u, 2 * c12]
        by_c11 = derivatives[0]
    else:
        raise ValueError(f"Stein's lemma is written out here for {' and '.join(STEIN_ACTIVATIONS)}, not {activation}")
    return Moment(
        value=_combination(factors, derivatives),
        log_c11=c11 * by_c11,
        c12=_combination(slopes, derivatives[1:]),
        log_c22=c22 * _combination(factors, derivatives[2:]) / 2,
        mean_u=_combination(slopes, derivatives),
        mean_w=_combination(factors, derivatives[1:]),
    )


def _combination(factors: list[Array], derivatives: list[Array]) -> Array:
    """Σ_k factors_k derivatives_k."""
    total = factors[0] * derivatives[0]
    for factor, derivative in zip(factors[1:], derivatives[1:], strict=False):
        total = total + factor * derivative
    return total
