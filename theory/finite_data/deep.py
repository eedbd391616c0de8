"""Exact training loss along the straight path between relu networks of any depth, on finite data, by region sweep.

While no pre-activation of a sample changes sign, its activation pattern is fixed and layer l is a polynomial of degree l
in α: z_l(α) = W_l(α) h_{l−1}(α) + b_l(α), h_l = z_l or s z_l (leaky relu of negative slope s). So each sample cuts [0, 1]
into regions, layer by layer: the regions of layer l − 1 are cut at the sign changes of the polynomials z_l, found as
bracketed roots. Outputs are polynomials of degree L, the loss ½ mean ‖f − y‖² one of degree 2L on each region of all samples
together; its pieces are summed from the jumps of single samples, in the order of α. There is no grid, and no tolerance
but that of a root (rounding; the loss is continuous there, so that an error ε of a root is one of order ε in the loss).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.curves.polynomials import PiecewisePolynomialCurve, polynomial_value, sign_changes
from theory.finite_data.two_layer import PiecewiseBarriers, check_data, stream_barriers, stream_curve
from theory.layers import Array, Layers, check_pairs, take_pairs

CHUNK = 2**13  # (pair, sample, unit) triples at a time: regions multiply them


def deep_piecewise_path(
    a: Layers, b: Layers, x: ArrayLike, y: ArrayLike, *, negative_slope: float = 0.0, n_threads: int | None = None
) -> PiecewisePolynomialCurve:
    """The exact curve L(α) = ½ mean_i ‖f_α(x_i) − y_i‖² of relu or leaky relu networks of any depth L, of degree 2L on pieces.

    a, b  two layers or more, W_l [n_pairs, fan_out, fan_in], b_l [n_pairs, fan_out] or None; or single networks
    x, y  [n_samples, n_inputs] and [n_samples, n_outputs]; or one data set for each pair, with a leading axis
    negative_slope  0 is relu, 1 the identity
    n_threads       threads over chunks of pairs; default one per processor

    For two layers `piecewise_path` gives the same faster. Evaluated in powers of α, so digits are lost as depth grows: tests
    hold it to 1e-11 of the largest coefficient. Raises ValueError where shapes do not fit or a number is not finite.
    """
    return stream_curve(_DeepProblem(a, b, x, y, negative_slope), n_threads)


def deep_piecewise_barriers(
    a: Layers,
    b: Layers,
    x: ArrayLike,
    y: ArrayLike,
    alphas: ArrayLike = (0.0, 0.5, 1.0),
    *,
    negative_slope: float = 0.0,
    n_threads: int | None = None,
) -> PiecewiseBarriers:
    """All barriers of `deep_piecewise_path`, and its values at alphas [n_alphas], a chunk of pairs at a time."""
    return stream_barriers(_DeepProblem(a, b, x, y, negative_slope), alphas, n_threads)


class _DeepProblem:
    """Checked networks and data, and the pieces of any chunk of pairs."""

    def __init__(self, a: Layers, b: Layers, x: ArrayLike, y: ArrayLike, negative_slope: float) -> None:
        self.a, self.b, self.n_pairs = check_pairs(a, b)
        if len(self.a) < 2:
            raise ValueError("a has 1 layer; this result holds for two or more, use linear_path")
        self.x, self.y, self.slope = check_data(self.a, self.n_pairs, x, y, negative_slope)
        widest = max(weight.shape[1] for weight, _ in self.a)
        self.pairs_per_chunk = max(1, CHUNK // (self.x.shape[-2] * widest))

    def pieces(self, rows: slice) -> tuple[Array, Array, NDArray[np.int64]]:
        """(starts [n_pieces], coefficients [n_pieces, 2 L + 1], pieces of each pair [n]) of the pairs `rows`."""
        x, y = (data[rows] if data.ndim == 3 else data[None] for data in (self.x, self.y))
        a, b = take_pairs(self.a, rows), take_pairs(self.b, rows)
        n, n_samples = len(a[0][0]), x.shape[1]
        pair, sample = (index.ravel() for index in np.indices((n, n_samples)))
        data = pair if len(x) > 1 else np.zeros_like(pair)
        h = x[data, sample][:, :, None]  # [n_regions, units, degree + 1]
        start, end = np.zeros(pair.size), np.ones(pair.size)
        for (weight, bias), (weight_b, bias_b) in zip(a, b, strict=True):
            z = np.zeros((len(h), weight.shape[1], h.shape[2] + 1))
            z[:, :, :-1] = weight[pair] @ h
            z[:, :, 1:] += (weight_b - weight)[pair] @ h
            if bias is not None and bias_b is not None:
                z[:, :, 0] += bias[pair]
                z[:, :, 1] += (bias_b - bias)[pair]
            if weight is not a[-1][0]:
                parent, start, end, active = _regions(start, end, z, self.slope)
                pair, sample, data = pair[parent], sample[parent], data[parent]
                h = np.where(active, 1.0, self.slope)[:, :, None] * z[parent]
        z[:, :, 0] -= y[data, sample]
        degree = z.shape[2] - 1
        squares = np.zeros((len(z), 2 * degree + 1))
        for p in range(degree + 1):
            for q in range(degree + 1):
                squares[:, p + q] += (z[:, :, p] * z[:, :, q]).sum(axis=1)
        return _sum_of_samples(pair, start, squares / (2 * n_samples), n)


def _regions(
    start: Array, end: Array, z: Array, slope: float
) -> tuple[NDArray[np.int64], Array, Array, NDArray[np.bool_]]:
    """Cut each region [start, end] at the sign changes of its units' polynomials z [n_regions, units, degree + 1].

    Returns of the finer regions: the region each came from, start, end [n], and which units are positive there [n, units].
    """
    n, units, terms = z.shape
    if slope == 1.0:
        return np.arange(n), start, end, np.ones((n, units), dtype=bool)
    # Most polynomials keep their sign for sure: |p(middle)| exceeds half a width times Σ k |c_k| ≥ |p'|.
    middle, half = ((start + end) / 2)[:, None], ((end - start) / 2)[:, None]
    steepest = np.abs(z) @ np.arange(terms, dtype=np.float64)
    region, unit = np.nonzero(np.abs(polynomial_value(z, middle)) <= 1.000001 * half * steepest)
    roots = np.repeat(start, units * (terms - 1)).reshape(n, units, terms - 1)
    roots[region, unit] = sign_changes(z[region, unit], start[region], end[region])
    edges = np.sort(np.clip(roots.reshape(n, -1), start[:, None], end[:, None]), axis=1)
    left = np.concatenate([start[:, None], edges], axis=1)
    right = np.concatenate([edges, end[:, None]], axis=1)
    parent, column = np.nonzero(right > left)
    left, right = left[parent, column], right[parent, column]
    active = polynomial_value(z[parent], ((left + right) / 2)[:, None]) > 0
    # Candidates that are no sign change (extrema, touching roots) leave the pattern as it was: join what they cut.
    fresh = np.ones(len(parent), dtype=bool)
    fresh[1:] = (parent[1:] != parent[:-1]) | (active[1:] != active[:-1]).any(axis=1)
    first = np.flatnonzero(fresh)
    return parent[first], left[first], right[np.append(first[1:], len(parent)) - 1], active[first]


def _sum_of_samples(
    pair: NDArray[np.int64], start: Array, coefficients: Array, n: int
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Add the samples of each pair: their regions [n_regions], in order of (pair, sample, start), to common pieces."""
    opens = start == 0
    steps = coefficients.copy()
    steps[1:][~opens[1:]] -= coefficients[:-1][~opens[1:]]  # what a sample's polynomial gains where its region begins
    counts = np.bincount(pair[~opens], minlength=n) + 1
    filled = np.arange(counts.max()) < counts[:, None]
    later = filled.copy()
    later[:, 0] = False
    at = np.full(filled.shape, np.inf)
    at[:, 0] = 0.0
    at[later] = start[~opens]
    order = np.argsort(at, axis=1, kind="stable")
    pieces = np.empty((int(counts.sum()), coefficients.shape[1]))
    for power in range(coefficients.shape[1]):
        step = np.zeros(filled.shape)
        step[:, 0] = np.bincount(pair[opens], coefficients[opens, power], n)
        step[later] = steps[~opens, power]
        pieces[:, power] = np.cumsum(np.take_along_axis(step, order, axis=1), axis=1)[filled]
    return np.take_along_axis(at, order, axis=1)[filled], pieces, counts
