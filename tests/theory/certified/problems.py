"""Networks, data and activations in thirty digits, for the tests of this folder."""

from itertools import pairwise

import mpmath as mp
import numpy as np

MP_ACTIVATIONS = {
    "identity": lambda u: u,
    "square": lambda u: u * u,
    "relu": lambda u: max(u, mp.mpf(0)),
    "leaky_relu": lambda u: u if u > 0 else mp.mpf("0.25") * u,
    "erf": lambda u: mp.erf(u / mp.sqrt(2)),
    "tanh": mp.tanh,
    "gelu": lambda u: u * mp.ncdf(u),
}


def networks(rng, n, widths, biased=True, scale=1.4):
    return [
        (
            rng.standard_normal((n, out, into)) * scale / np.sqrt(into),
            rng.standard_normal((n, out)) * 0.4 if biased else None,
        )
        for into, out in pairwise(widths)
    ]


def problem(seed, widths, loss, n_pairs=3, n_samples=10):
    rng = np.random.default_rng(seed)
    a, b = networks(rng, n_pairs, widths), networks(rng, n_pairs, widths)
    x = rng.standard_normal((n_samples, widths[0]))
    y = (
        rng.integers(0, widths[-1], n_samples)
        if loss == "cross_entropy"
        else rng.standard_normal((n_samples, widths[-1]))
    )
    return a, b, x, y


def single(layers, row):
    return [(w[row], None if bias is None else bias[row]) for w, bias in layers]
