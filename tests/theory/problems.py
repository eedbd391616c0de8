"""Networks that tests of several wings share, and their outputs computed the plain way."""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def networks(rng, n, widths, biased=True):
    """n networks of these widths with standard normal weights over √fan_in and biases of standard deviation ½.

    biased: whether layers have biases, one bool for all or one for each.
    """
    each = (biased,) * (len(widths) - 1) if isinstance(biased, bool) else biased
    return [
        (
            rng.standard_normal((n, fan_out, fan_in)) / np.sqrt(fan_in),
            rng.standard_normal((n, fan_out)) / 2 if has_bias else None,
        )
        for (fan_in, fan_out), has_bias in zip(pairwise(widths), each, strict=True)
    ]


def identity(z):
    """No activation."""
    return z


def leaky(slope):
    """Leaky relu of this negative slope."""
    return lambda z: np.where(z > 0, z, slope * z)


def interpolate(a, b, alpha):
    """The networks (1 − α) a + α b."""
    return [
        tuple(None if own is None else (1 - alpha) * own + alpha * other for own, other in zip(*layers, strict=True))
        for layers in zip(a, b, strict=True)
    ]


def forward(layers, x, activation):
    """f(x) [n, n_samples, n_outputs] of a batch of networks at x [n_samples, n_inputs], or one data set each."""
    h = x
    for index, (weight, bias) in enumerate(layers):
        if index > 0:
            h = activation(h)
        h = h @ weight.swapaxes(1, 2)
        if bias is not None:
            h = h + bias[:, None]
    return h


def losses_along(a, b, x, y, alphas, activation):
    """½ mean ‖f_α(x) − y‖² of the interpolated networks, [n_pairs, n_alphas]."""
    outputs = (forward(interpolate(a, b, alpha), x, activation) for alpha in alphas)
    return np.stack([((f - y) ** 2).sum(axis=2).mean(axis=1) / 2 for f in outputs], axis=1)


def partial_derivatives(moment, c11, c22):
    """∂/∂μ_u, ∂/∂μ_w, ∂/∂c11, ∂/∂c12, ∂/∂c22 of a `Moment`."""
    return [moment.mean_u, moment.mean_w, moment.log_c11 / c11, moment.c12, moment.log_c22 / c22]


def close(found, expected, tolerance=1e-9):
    """Equal to `tolerance`, relative or absolute."""
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
