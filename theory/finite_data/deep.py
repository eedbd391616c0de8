"""Exact training loss along the straight path between relu networks of any depth, on finite data, by region sweep.

While no pre-activation of a sample changes sign, its activation pattern is fixed and layer l is a polynomial of degree
l in α: z_l(α) = W_l(α) h_{l−1}(α) + b_l(α), h_l = z_l or s z_l (leaky relu of negative slope s). So each sample cuts
[0, 1] into regions, layer by layer: the regions of layer l − 1 are cut at the sign changes of the polynomials z_l,
found as bracketed roots. Outputs are polynomials of degree L, the loss ½ mean ‖f − y‖² is one of degree 2L on each
region of all samples together; its pieces are summed from the jumps of single samples, in the order of α. There is no
grid, and no tolerance but the rounding of a root; the loss is continuous there, so that an error ε of a root is one of
order ε in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.arguments import Array
from theory.curves.polynomials import PiecewisePolynomialCurve, polynomial_value, sign_changes
from theory.finite_data.pieces import (
    Pieces,
    PiecewiseBarriers,
    check_data,
    stream_barriers,
    stream_curve,
    sum_jumps,
)
from theory.layers import Layers, check_pairs, take_pairs

CHUNK = 2**13  # (pair, sample, unit) triples at a time: regions multiply them


def deep_piecewise_path(
    a: Layers, b: Layers, x: ArrayLike, y: ArrayLike, *, negative_slope: float = 0.0, n_threads: int | None = None
) -> PiecewisePolynomialCurve:
    """The exact curve L(α) = ½ mean_i ‖f_α(x_i) − y_i‖² of relu or leaky relu networks of any depth L ≥ 2.

    It has degree 2L on pieces. For two layers `piecewise_path` gives the same faster. Evaluated in powers of α, so that
    digits are lost as depth grows: tests hold it to 1e-11 of the largest coefficient.

    Args:
        a: two layers or more, W_l [n_pairs, fan_out, fan_in], b_l [n_pairs, fan_out] or None; or a single network.
        b: the same architecture.
        x: [n_samples, n_inputs], or one data set for each pair with a leading axis.
        y: [n_samples, n_outputs], or with the leading axis.
        negative_slope: 0 is relu, 1 the identity.
        n_threads: threads over chunks of pairs; None is one per processor.

    Raises:
        ValueError: there is one layer, shapes do not fit, or a number is not finite.

    Example:
        >>> a, b = ([([[w]], None), ([[1.0]], None), ([[1.0]], None)] for w in (1.0, -1.0))
        >>> curve = deep_piecewise_path(a, b, [[1.0]], [[0.0]])  # relu(relu(1 − 2α)): ½ (1 − 2α)² up to ½, then 0
        >>> curve.starts.tolist(), curve([0.25, 0.75]).tolist()
        ([0.0, 0.5], [[0.125, 0.0]])
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
    """All barriers of `deep_piecewise_path`, and its values at alphas [n_alphas], a chunk of pairs at a time.

    Example:
        >>> a, b = ([([[w], [-w]], None), (np.eye(2), None), ([[1.0, 1.0]], None)] for w in (1.0, -1.0))  # |x| twice
        >>> deep_piecewise_barriers(a, b, [[2.0]], [[2.0]]).barriers["linear"].value.tolist()  # ½ 2² at α = ½
        [2.0]
    """
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

    def pieces(self, rows: slice) -> Pieces:
        """The pieces of degree 2 L of the pairs `rows`.

        All arrays are lists of regions of single samples, in the order of (pair, sample, start).
        """
        x, y = (data[rows] if data.ndim == 3 else data[None] for data in (self.x, self.y))
        a, b = take_pairs(self.a, rows), take_pairs(self.b, rows)
        n, n_samples = len(a[0][0]), x.shape[1]
        pair, sample = (index.ravel() for index in np.indices((n, n_samples)))
        data_set = pair if len(x) > 1 else np.zeros_like(pair)
        h = x[data_set, sample][:, :, None]  # [n_regions, units, degree + 1]
        start, end = np.zeros(pair.size), np.ones(pair.size)
        last = len(a) - 1
        for layer, ((weight, bias), (weight_b, bias_b)) in enumerate(zip(a, b, strict=True)):
            z = np.zeros((len(h), weight.shape[1], h.shape[2] + 1))
            z[:, :, :-1] = weight[pair] @ h
            z[:, :, 1:] += (weight_b - weight)[pair] @ h
            if bias is not None and bias_b is not None:
                z[:, :, 0] += bias[pair]
                z[:, :, 1] += (bias_b - bias)[pair]
            if layer != last:
                parent, start, end, active = _regions(start, end, z, self.slope)
                pair, sample, data_set = pair[parent], sample[parent], data_set[parent]
                h = np.where(active, 1.0, self.slope)[:, :, None] * z[parent]
        z[:, :, 0] -= y[data_set, sample]
        losses = _squared_norm(z) / (2 * n_samples)
        opens = start == 0  # the first region of each sample
        sums = [np.bincount(pair[opens], power, n) for power in losses[opens].T]
        first = np.stack(sums, axis=1).astype(np.float64)
        gains = (losses[1:] - losses[:-1])[~opens[1:]]  # where a sample's next region begins
        return sum_jumps(first, np.bincount(pair[~opens], minlength=n), start[~opens], gains.T)


def _squared_norm(z: Array) -> Array:
    """Coefficients [n, 2 degree + 1] of ‖z(α)‖² for polynomials z [n, units, degree + 1]."""
    terms = z.shape[2]
    total = np.zeros((len(z), 2 * terms - 1))
    for p in range(terms):
        for q in range(terms):
            total[:, p + q] += (z[:, :, p] * z[:, :, q]).sum(axis=1)
    return total


def _regions(
    start: Array, end: Array, z: Array, slope: float
) -> tuple[NDArray[np.int64], Array, Array, NDArray[np.bool_]]:
    """Cut each region [start, end] at the sign changes of its units' polynomials z [n_regions, units, degree + 1].

    Returns of the finer regions: the region each came from, start, end [n], and which units are positive there
    [n, units].
    """
    n, units, terms = z.shape
    if slope == 1.0:
        return np.arange(n), start, end, np.ones((n, units), dtype=bool)
    # most polynomials keep their sign for sure: |p(middle)| exceeds half a width times Σ k |c_k| ≥ |p′|
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
    # candidates that are no sign change (extrema, touching roots) leave the pattern as it was: join what they cut
    changed = np.ones(len(parent), dtype=bool)
    changed[1:] = (parent[1:] != parent[:-1]) | (active[1:] != active[:-1]).any(axis=1)
    first = np.flatnonzero(changed)
    return parent[first], left[first], right[np.append(first[1:], len(parent)) - 1], active[first]
