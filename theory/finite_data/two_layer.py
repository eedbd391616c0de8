"""Exact training loss along the straight path between two-layer relu networks, on finite data.

On the path each pre-activation z(α) = z_A + α Δ, Δ = z_B − z_A, and each second-layer weight v(α) = v_A + α δ is
affine. So a sample's output is a quadratic in α between breakpoints α₀ = z_A/(z_A − z_B), one for each (sample, unit)
whose pre-activation changes sign in (0, 1), and there the output gains

    j(α) = sign(Δ) z(α) v(α) (1 − s)        (leaky relu of negative slope s; relu s = 0, identity s = 1)

The loss L = ½ mean_samples ‖f − y‖² is a quartic on each piece. A sample's residual r = f − y turns from r to r + j,
its square gains j (2r + j): a quartic, so that sweeping each sample's breakpoints gives all jumps of L, and summing
these in the order of α gives all its pieces. No grid and no tolerance is involved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.arguments import Array
from theory.curves.polynomials import PiecewisePolynomialCurve
from theory.finite_data.pieces import (
    Pieces,
    PiecewiseBarriers,
    check_data,
    stream_barriers,
    stream_curve,
    sum_jumps,
)
from theory.layers import CheckedLayers, Layers, check_pairs, take_pairs

CHUNK = 2**16  # (pair, sample, unit) triples at a time: about 15 MB of temporaries


def piecewise_path(
    a: Layers, b: Layers, x: ArrayLike, y: ArrayLike, *, negative_slope: float = 0.0, n_threads: int | None = None
) -> PiecewisePolynomialCurve:
    """The exact curve L(α) = ½ mean_i ‖f_α(x_i) − y_i‖² of two-layer relu or leaky relu networks.

    Holds 56 bytes a piece, and at most n_samples · width + 1 pieces a pair; for many pairs `piecewise_barriers` needs
    no such memory.

    Args:
        a: two layers, W_1 [n_pairs, width, n_inputs], b_1 [n_pairs, width] or None, W_2 [n_pairs, n_outputs, width],
            b_2 [n_pairs, n_outputs] or None; or a single network.
        b: the same architecture.
        x: [n_samples, n_inputs], or one data set for each pair with a leading axis.
        y: [n_samples, n_outputs], or with the leading axis.
        negative_slope: 0 is relu, 1 the identity.
        n_threads: threads over chunks of pairs; None is one per processor.

    Raises:
        ValueError: shapes do not fit, or a number is not finite.

    Example:
        >>> a, b = ([([[w]], None), ([[1.0]], None)] for w in (1.0, -1.0))  # relu(x) and relu(−x)
        >>> curve = piecewise_path(a, b, [[1.0]], [[0.0]])  # at x = 1: ½ (1 − 2α)² up to ½, then 0
        >>> curve.starts.tolist(), curve([0.0, 0.25, 0.75]).tolist()
        ([0.0, 0.5], [[0.5, 0.125, 0.0]])
    """
    return stream_curve(_Problem(a, b, x, y, negative_slope), n_threads)


def piecewise_barriers(
    a: Layers,
    b: Layers,
    x: ArrayLike,
    y: ArrayLike,
    alphas: ArrayLike = (0.0, 0.5, 1.0),
    *,
    negative_slope: float = 0.0,
    n_threads: int | None = None,
) -> PiecewiseBarriers:
    """All barriers of `piecewise_path`, and its values at alphas [n_alphas], a chunk of pairs at a time.

    Arguments and errors as there; memory does not grow with the number of pieces.

    Example:
        >>> a, b = ([([[w], [-w]], None), ([[1.0, 1.0]], None)] for w in (1.0, -1.0))  # |x|, units exchanged
        >>> exact = piecewise_barriers(a, b, [[1.0], [-2.0]], [[1.0], [2.0]])  # at α = ½ all is 0: ¼ (1 + 4)
        >>> exact.barriers["linear"].value.tolist(), exact.barriers["linear"].argmax.tolist()
        ([1.25], [0.5])
    """
    return stream_barriers(_Problem(a, b, x, y, negative_slope), alphas, n_threads)


class _Problem:
    """Checked networks and data, and the pieces of any chunk of pairs."""

    def __init__(self, a: Layers, b: Layers, x: ArrayLike, y: ArrayLike, negative_slope: float) -> None:
        self.a, self.b, self.n_pairs = check_pairs(a, b, depth=2)
        self.x, self.y, self.slope = check_data(self.a, self.n_pairs, x, y, negative_slope)
        width = self.a[0][0].shape[1]
        self.pairs_per_chunk = max(1, CHUNK // (self.x.shape[-2] * width))

    def pieces(self, rows: slice) -> Pieces:
        """The quartic pieces of the pairs `rows`."""
        x, y = (data if data.ndim == 2 else data[rows] for data in (self.x, self.y))
        a, b = take_pairs(self.a, rows), take_pairs(self.b, rows)
        z, z_end = _first_layer(a, x), _first_layer(b, x)  # [n, n_samples, width]
        change = z_end - z
        v, bias = a[1]
        dv = b[1][0] - v  # [n, n_outputs, width]
        bias_change = None if bias is None or b[1][1] is None else b[1][1] - bias

        # residuals just right of α = 0: coefficients of 1, α, α², each [n, n_samples, n_outputs]
        active = (z > 0) | ((z == 0) & (z_end > 0))
        gain = np.where(active, 1.0, self.slope)
        h, h_change = gain * z, gain * change
        vt, dvt = v.swapaxes(1, 2), dv.swapaxes(1, 2)
        residual = [h @ vt - y, h_change @ vt + h @ dvt, h_change @ dvt]
        if bias is not None and bias_change is not None:
            residual[0] += bias[:, None, :]
            residual[1] += bias_change[:, None, :]

        # breakpoints of each sample in ascending order; units without one stand last, at infinity
        crosses = (z < 0) != (z_end < 0)
        crosses &= (z != 0) & (z_end != 0) & (self.slope != 1)
        places = np.divide(z, -change, out=np.full(z.shape, np.inf), where=crosses)
        order = np.argsort(places, axis=2)
        z_gain = np.where(crosses, np.abs(z), 0.0) * (self.slope - 1)
        change_gain = np.where(crosses, np.abs(change), 0.0) * (1 - self.slope)
        places, z_gain, change_gain = (
            np.take_along_axis(part, order, axis=2) for part in (places, z_gain, change_gain)
        )

        jumps = np.zeros((5, *z.shape))
        for output in range(v.shape[1]):
            before = [part[:, :, output, None] for part in residual]
            weights, rates = (_per_unit(part[:, output], order) for part in (v, dv))
            _add_jumps(jumps, z_gain, change_gain, weights, rates, before)
        jumps /= 2 * z.shape[1]
        n = len(v)
        places = places.reshape(n, -1)
        is_jump = np.isfinite(places)
        gains = (power.reshape(n, -1)[is_jump] for power in jumps)
        return sum_jumps(_half_mean_square(residual), is_jump.sum(axis=1), places[is_jump], gains)


def _first_layer(layers: CheckedLayers, x: Array) -> Array:
    """Pre-activations of the hidden units, [n, n_samples, width]."""
    weight, bias = layers[0]
    z = x @ weight.swapaxes(1, 2)
    return z if bias is None else z + bias[:, None, :]


def _per_unit(weights: Array, order: NDArray[np.int64]) -> Array:
    """weights [n, width] in the order of each sample's breakpoints, [n, n_samples, width]."""
    return np.take_along_axis(np.broadcast_to(weights[:, None, :], order.shape), order, axis=2)


def _add_jumps(jumps: Array, z: Array, change: Array, v: Array, dv: Array, residual: list[Array]) -> None:
    """Add to jumps [5, n, n_samples, width] the coefficients of j (2r + j) at the breakpoints, for one output.

    j = (z + α change)(v + α dv) is what the output gains, r the residual before.
    """
    j = [z * v, change * v + z * dv, change * dv]
    before_and_after = []  # 2r + j
    for start, jump in zip(residual, j, strict=True):
        total = np.cumsum(jump, axis=2)
        total += start
        total *= 2
        total -= jump
        before_and_after.append(total)
    for p in range(3):
        for q in range(3):
            jumps[p + q] += j[p] * before_and_after[q]


def _half_mean_square(residual: list[Array]) -> Array:
    """Coefficients [n, 5] of ½ mean_samples ‖r‖²."""
    total = np.zeros((len(residual[0]), 5))
    for p in range(3):
        for q in range(3):
            total[:, p + q] += np.einsum("nso,nso->n", residual[p], residual[q])
    return total / (2 * residual[0].shape[1])
