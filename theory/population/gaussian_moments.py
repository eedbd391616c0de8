"""Moments E σ(u) and E σ_u(u) σ_w(w) of activations under Gaussians, in closed form.

(u, w) is Gaussian with means μ_u, μ_w and covariance [[c11, c12], [c12, c22]]. Activations: identity, square (u²),
relu, leaky_relu, and "erf", which is erf(u/√2) = 2Φ(u) − 1.

    pair                              module          formula
    identity or square with any       stein_moments   E u F(w) = μ_u E F + c12 E F′, once or twice (Stein 1981)
    relu, leaky relu with each other  relu_moments    zero means: the arc-cosine kernel (Cho & Saul 2009, eq. 6);
                                                      else the truncated bivariate normal (Rosenbaum 1961)
    erf with erf                      erf_moments     zero means: the arcsine kernel (Williams 1997, eq. 11);
                                                      else the bivariate normal distribution
    relu or leaky relu with erf       none            refused; `hermite_series` has it as a series

Accuracy is about 1e-15 of the scale √(E u² E w²) (of 1 for erf), also at |ρ| = 1 and where a variance is zero. Every
second moment comes with its partial derivatives (Price 1958: ∂/∂c12 = E σ_u′ σ_w′, ∂/∂c11 = ½ E σ_u″ σ_w).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import Array, finite, known, number, together
from theory.population.activations import CLOSED_FORM_ACTIVATIONS
from theory.population.bivariate_normal import GaussianPair, Moment
from theory.population.erf_moments import erf_moment
from theory.population.relu_moments import relu_moment
from theory.population.smoothing import smoothed
from theory.population.stein_moments import STEIN_ACTIVATIONS, stein_moment

PIECEWISE_LINEAR = ("relu", "leaky_relu")


def first_moment(activation: str, mean: ArrayLike, variance: ArrayLike, *, negative_slope: float = 0.01) -> Array:
    """E σ(u) for u ~ N(mean, variance).

    Args:
        activation: one of `CLOSED_FORM_ACTIVATIONS`.
        mean: any shape.
        variance: broadcasts with the mean.
        negative_slope: that of leaky relu.

    Raises:
        ValueError: the activation is unknown, a variance is negative, or a number is not finite.

    Example:
        >>> float(first_moment("square", 3.0, 2.0))  # μ² + c
        11.0
        >>> round(float(first_moment("relu", 0.0, 1.0)), 6)  # 1/√(2π)
        0.398942
    """
    known("activation", activation, CLOSED_FORM_ACTIVATIONS)
    mu, c = together(mean=finite("mean", mean), variance=variances("variance", variance))
    return smoothed(activation, mu, c, 0, number("negative_slope", negative_slope))[0]


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
    """E σ_u(u) σ_w(w) by the formulas that the module lists.

    Args:
        activation_u: one of `CLOSED_FORM_ACTIVATIONS`.
        activation_w: another, or the same; not erf beside relu or leaky relu.
        mean_u: None, together with mean_w, for zero means.
        mean_w: broadcasts with all others.
        c11: variance of u.
        c12: covariance.
        c22: variance of w.
        negative_slope: that of every leaky relu.

    Raises:
        ValueError: an activation is unknown, the pair has no closed form, a variance is negative, |c12| is above
            √(c11 c22) by more than rounding, a number is not finite, or products of variances are beyond float64.

    Example:
        >>> float(second_moment("relu", "relu", None, None, 1.0, 1.0, 1.0))  # ½ E u²
        0.5
        >>> float(second_moment("square", "square", None, None, 2.0, 0.5, 3.0))  # c11 c22 + 2 c12²
        6.5
    """
    for name in (activation_u, activation_w):
        known("activation", name, CLOSED_FORM_ACTIVATIONS)
    if (mean_u is None) != (mean_w is None):
        raise ValueError("give both means, or None for both")
    arrays = {"c11": variances("c11", c11), "c12": finite("c12", c12), "c22": variances("c22", c22)}
    if mean_u is not None and mean_w is not None:
        arrays |= {"mean_u": finite("mean_u", mean_u), "mean_w": finite("mean_w", mean_w)}
    c11, c12, c22, *means = together(**{name: np.atleast_1d(array) for name, array in arrays.items()})
    slope = number("negative_slope", negative_slope)
    mu_u, mu_w = means if means else (None, None)
    with np.errstate(over="ignore", invalid="ignore"):
        check_covariance(c11, c12, c22)
        pair = GaussianPair(mu_u, mu_w, c11, c12, c22)
        moment = pair_moment(activation_u, activation_w, pair, negative_slope=slope, gradient=False)
        beyond = ~np.isfinite(moment.value) | ~np.isfinite(c11 * c22)
    if beyond.any():
        raise ValueError("products of these means and variances are beyond float64")
    return moment.value.reshape(np.broadcast_shapes(*(array.shape for array in arrays.values())))


def variances(name: str, value: ArrayLike) -> Array:
    """`value` as an array of finite numbers of at least 0.

    Raises:
        ValueError: it holds another.

    Example:
        >>> variances("c11", [1.0, -1.0])
        Traceback (most recent call last):
        ValueError: c11 holds -1; a variance is at least 0
    """
    array = finite(name, value)
    if (array < 0).any():
        raise ValueError(f"{name} holds {array.min():.3g}; a variance is at least 0")
    return array


def check_covariance(c11: Array, c12: Array, c22: Array) -> None:
    """ValueError unless c12² ≤ c11 c22, to rounding.

    Example:
        >>> check_covariance(np.array(1.0), np.array(1.5), np.array(1.0))
        Traceback (most recent call last):
        ValueError: c12² exceeds c11 c22: no Gaussian has these covariances
    """
    if (c12**2 > c11 * c22 * (1 + 1e-9) + 1e-300).any():
        raise ValueError("c12² exceeds c11 c22: no Gaussian has these covariances")


def has_closed_form(activation_u: str, activation_w: str) -> bool:
    """Do both activations, and their pair, have closed forms here?

    Example:
        >>> has_closed_form("relu", "square"), has_closed_form("relu", "erf"), has_closed_form("tanh", "square")
        (True, False, False)
    """
    names = {activation_u, activation_w}
    return names <= set(CLOSED_FORM_ACTIVATIONS) and not ("erf" in names and names & set(PIECEWISE_LINEAR))


def pair_moment(
    activation_u: str,
    activation_w: str,
    pair: GaussianPair,
    *,
    negative_slope: float = 0.01,
    gradient: bool = True,
) -> Moment:
    """`second_moment` of checked arrays, with its partial derivatives (undefined where not `gradient`).

    Raises:
        ValueError: the pair of activations has no closed form.

    Example:
        >>> standard = GaussianPair(None, None, np.ones(1), np.zeros(1), np.ones(1))
        >>> pair_moment("relu", "relu", standard).c12.tolist()  # E relu′(u) relu′(w): a quadrant
        [0.25]
    """
    if activation_u in STEIN_ACTIVATIONS:
        return stein_moment(activation_u, activation_w, pair, negative_slope)
    if activation_w in STEIN_ACTIVATIONS:
        return stein_moment(activation_w, activation_u, pair.mirrored(), negative_slope).mirrored()
    if activation_u == activation_w == "erf":
        return erf_moment(pair)
    if activation_u in PIECEWISE_LINEAR and activation_w in PIECEWISE_LINEAR:
        slope_u, slope_w = (negative_slope if name == "leaky_relu" else 0.0 for name in (activation_u, activation_w))
        return relu_moment(slope_u, slope_w, pair, gradient)
    raise ValueError(
        f"the moment of {activation_u!r} with {activation_w!r} is not provided; "
        "use one activation for both, or identity or square for one of them"
    )
