"""Layerwise linear feature connectivity (LLFC): do the features of interpolated weights interpolate?

With z_l the pre-activations and h_l = σ(z_l) the features of layer l, LLFC holds where h_l(α) = (1−α) h_l(0) + α h_l(1)
on the data for every layer (Zhou et al. 2023, "Going beyond linear mode connectivity: the layerwise linear feature
connectivity", arXiv 2307.08286, definition 2, up to a factor). They show (theorem 2) that it follows from

    weak additivity   σ((1−α) z(0) + α z(1)) = (1−α) σ(z(0)) + α σ(z(1))
    commutativity     W(0) h(0) + W(1) h(1) = W(0) h(1) + W(1) h(0),  that is ΔW_l Δh_{l−1} = 0

and the second is exact: with bars for the interpolation of endpoints, expanding the product gives

    z_l(α) − z̄_l = W_l(α) [h_{l−1}(α) − h̄_{l−1}] − α(1−α) ΔW_l Δh_{l−1}.

Where LLFC holds up to the output, the squared loss is convex along the path and the barrier `linear` is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf, expit, ndtr

from theory.arguments import Array, finite, known, number
from theory.curves.curve import check_range
from theory.layers import Layers, check_pairs

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda u: u,
    "square": lambda u: u * u,
    "relu": lambda u: np.maximum(u, 0.0),
    "erf": lambda u: erf(u / np.sqrt(2)),
    "tanh": np.tanh,
    "gelu": lambda u: u * ndtr(u),
    "silu": lambda u: u * expit(u),
}


class FeatureResiduals(NamedTuple):
    """How far features are from interpolating; layers are hidden ones and, last, the output.

    Attributes:
        residual: [n_pairs, n_layers, n_alphas], mean_i ‖h_l(α) − h̄_l‖² / mean_i ‖h̄_l‖² (0 where both are 0).
        cosine: [n_pairs, n_layers, n_alphas], mean_i cos(h_l(α), h̄_l), what Zhou et al. plot (0 for a zero vector).
        commutativity: [n_pairs, n_layers − 1], mean_i ‖ΔW_l Δh_{l−1}‖², l = 2 … L.
        additivity: [n_pairs, n_layers − 1, n_alphas], mean_i ‖σ(z̄_l) − h̄_l‖² of the hidden layers.

    Example:
        >>> same = [([[1.0], [2.0]], None), ([[1.0, 1.0]], None)]
        >>> found = feature_residuals(same, same, [[1.0]], "relu", [0.5])
        >>> found.residual.ravel().tolist(), found.commutativity.tolist(), found.cosine.round(6).ravel().tolist()
        ([0.0, 0.0], [[0.0]], [1.0, 1.0])
    """

    residual: Array
    cosine: Array
    commutativity: Array
    additivity: Array


def feature_residuals(
    a: Layers,
    b: Layers,
    x: ArrayLike,
    activation: str,
    alphas: ArrayLike = (0.25, 0.5, 0.75),
    *,
    negative_slope: float = 0.01,
) -> FeatureResiduals:
    """Residuals of LLFC along the paths from a to b, networks of any depth.

    Holds the features of all pairs and alphas at once: n_pairs · n_alphas · n_samples · width numbers.

    Args:
        a: W_l [n_pairs, fan_out, fan_in], b_l [n_pairs, fan_out] or None; or a single network.
        b: the same architecture.
        x: [n_samples, n_inputs] or [n_pairs, n_samples, n_inputs].
        activation: identity, square, relu, leaky_relu, erf (erf(u/√2)), tanh, gelu (u Φ(u)) or silu (u/(1 + e⁻ᵘ)).
        alphas: [n_alphas] in [0, 1].
        negative_slope: that of leaky relu.

    Raises:
        ValueError: shapes do not fit, the activation is unknown, or a number is not finite.

    Example:
        >>> a, b = [([[1.0]], None), ([[2.0]], None)], [([[3.0]], None), ([[1.0]], None)]  # 2 relu(x), relu(3x)
        >>> found = feature_residuals(a, b, [[1.0]], "relu", [0.5])
        >>> found.commutativity.tolist()  # (ΔW₂ Δh)² = (−1 · 2)²
        [[4.0]]
        >>> found.residual.ravel().tolist()  # hidden: 0; output: (2 · 1.5 − 2.5)²/2.5²
        [0.0, 0.04]
    """
    known("activation", activation, (*FUNCTIONS, "leaky_relu"))
    slope = number("negative_slope", negative_slope)
    sigma = FUNCTIONS[activation] if activation != "leaky_relu" else lambda u: np.where(u > 0, u, slope * u)
    first, second, _ = check_pairs(a, b)
    inputs = finite("x", x)
    alpha = np.atleast_1d(finite("alphas", alphas))
    check_range(alpha)
    fits = inputs.ndim == 2 or (inputs.ndim == 3 and len(inputs) == len(first[0][0]))
    if not fits or inputs.shape[-1] != first[0][0].shape[2] or alpha.ndim != 1 or not inputs.shape[-2]:
        raise ValueError(
            f"x has shape {inputs.shape} and alphas {alpha.shape}; "
            f"give [n_samples, {first[0][0].shape[2]}], one sample at least, and [n_alphas]"
        )
    place = np.concatenate([[0.0, 1.0], alpha])[:, None, None]  # endpoints first
    t = alpha[:, None, None]
    h = inputs[None, None] if inputs.ndim == 2 else inputs[:, None]  # [n_pairs, 2 + n_alphas, n_samples, units]
    residual: list[Array] = []
    cosine: list[Array] = []
    commutativity: list[Array] = []
    additivity: list[Array] = []
    for layer, ((wa, ba), (wb, bb)) in enumerate(zip(first, second, strict=True)):
        if layer:
            change = (h[:, 1] - h[:, 0]) @ (wb - wa).swapaxes(1, 2)
            commutativity.append(_mean_square(change))
        weight = (1 - place) * wa[:, None] + place * wb[:, None]
        z = h @ weight.swapaxes(2, 3)
        if ba is not None and bb is not None:
            z = z + (1 - place) * ba[:, None, None] + place * bb[:, None, None]
        is_output = layer == len(first) - 1
        h = z if is_output else sigma(z)
        bar = (1 - t) * h[:, :1] + t * h[:, 1:2]
        if not is_output:
            of_mean = sigma((1 - t) * z[:, :1] + t * z[:, 1:2])
            additivity.append(_mean_square(of_mean - bar))
        between = h[:, 2:]
        gap, size = _mean_square(between - bar), _mean_square(bar)
        residual.append(np.divide(gap, size, out=np.where(gap > 0, np.inf, 0.0), where=size > 0))
        norms = np.linalg.norm(between, axis=3) * np.linalg.norm(bar, axis=3)
        products = (between * bar).sum(axis=3)
        cosine.append(np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0).mean(axis=2))
    n_pairs = len(residual[0])
    return FeatureResiduals(
        residual=np.stack(residual, axis=1),
        cosine=np.stack(cosine, axis=1),
        commutativity=np.stack(commutativity, axis=1) if commutativity else np.empty((n_pairs, 0)),
        additivity=np.stack(additivity, axis=1) if additivity else np.empty((n_pairs, 0, alpha.size)),
    )


def _mean_square(features: Array) -> Array:
    """mean_i ‖features_i‖², for features [..., n_samples, units]."""
    return np.asarray((features**2).sum(axis=-1).mean(axis=-1))
