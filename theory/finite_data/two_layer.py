"""Exact training loss along the straight path between two-layer relu networks, on finite data.

On the path each pre-activation z(α) = z_A + α Δ, Δ = z_B − z_A, and each second-layer weight v(α) = v_A + α δ
is affine. So a sample's output is a quadratic in α between breakpoints α₀ = z_A/(z_A − z_B), one for each
(sample, unit) whose pre-activation changes sign in (0, 1), and there the output gains

    j(α) = sign(Δ) z(α) v(α) (1 − s)        (leaky relu of negative slope s; relu s = 0, identity s = 1)

The loss L = ½ mean_samples ‖f − y‖² is a quartic on each piece. A sample's residual r = f − y turns from r to
r + j, its square gains j (2r + j): a quartic, so that sweeping each sample's breakpoints gives all jumps of
L, and summing these in the order of α gives all its pieces. No grid and no tolerance is involved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.curves.curve import BARRIER_DEFINITIONS, Barrier
from theory.curves.polynomials import PiecewisePolynomialCurve
from theory.layers import Array, CheckedLayers, Layers, check_pairs, finite, map_chunks, take_pairs

CHUNK = 2**16  # (pair, sample, unit) triples at a time: about 15 MB of temporaries


def piecewise_path(
    a: Layers, b: Layers, x: ArrayLike, y: ArrayLike, *, negative_slope: float = 0.0, n_threads: int | None = None
) -> PiecewisePolynomialCurve:
    """The exact curve L(α) = ½ mean_i ‖f_α(x_i) − y_i‖² of two-layer relu or leaky relu networks.

    a, b  two layers, W_1 [n_pairs, width, n_inputs], b_1 [n_pairs, width] or None,
          W_2 [n_pairs, n_outputs, width], b_2 [n_pairs, n_outputs] or None; or single networks
    x, y  [n_samples, n_inputs] and [n_samples, n_outputs]; or one data set for each pair, with a leading axis
    negative_slope  0 is relu, 1 the identity
    n_threads       threads over chunks of pairs; default one per processor

    Holds 56 bytes a piece, and at most n_samples · width + 1 pieces a pair; for many pairs
    `piecewise_barriers` needs no such memory. Raises ValueError where shapes do not fit or a number is not
    finite.
    """
    return stream_curve(_Problem(a, b, x, y, negative_slope), n_threads)


def stream_curve(problem: PieceMaker, n_threads: int | None) -> PiecewisePolynomialCurve:
    """All pieces of all pairs, made in chunks."""
    parts: dict[int, tuple[Array, Array, NDArray[np.int64]]] = {}

    def chunk(rows: slice) -> None:
        parts[rows.start] = problem.pieces(rows)

    map_chunks(chunk, problem.n_pairs, problem.pairs_per_chunk, n_threads)
    starts, coefficients, counts = (
        np.concatenate(arrays) for arrays in zip(*(parts[start] for start in sorted(parts)), strict=True)
    )
    return _curve(starts, coefficients, counts)


@dataclass(frozen=True)
class PiecewiseBarriers:
    """What `piecewise_barriers` keeps of each curve.

    barriers  one `Barrier` for each definition
    losses    [n_pairs, n_alphas] L at `alphas` [n_alphas]
    n_pieces  [n_pairs] number of quartic pieces
    """

    barriers: dict[str, Barrier]
    alphas: Array
    losses: Array
    n_pieces: NDArray[np.int64]


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
    """
    return stream_barriers(_Problem(a, b, x, y, negative_slope), alphas, n_threads)


def stream_barriers(problem: PieceMaker, alphas: ArrayLike, n_threads: int | None) -> PiecewiseBarriers:
    """Barriers and values of all pairs; the pieces of a chunk are dropped when it is done."""
    grid = np.atleast_1d(finite("alphas", alphas))
    n_pairs = problem.n_pairs
    losses, n_pieces = np.empty((n_pairs, grid.size)), np.empty(n_pairs, dtype=np.int64)
    barriers = {name: Barrier(name, np.empty(n_pairs), np.empty(n_pairs)) for name in BARRIER_DEFINITIONS}

    def chunk(rows: slice) -> None:
        starts, coefficients, n_pieces[rows] = problem.pieces(rows)
        curve = _curve(starts, coefficients, n_pieces[rows])
        losses[rows] = curve(grid)
        for name, barrier in barriers.items():
            part = curve.barrier(name)
            barrier.value[rows], barrier.argmax[rows] = part.value, part.argmax

    map_chunks(chunk, n_pairs, problem.pairs_per_chunk, n_threads)
    return PiecewiseBarriers(barriers, grid, losses, n_pieces)


def _curve(starts: Array, coefficients: Array, counts: NDArray[np.int64]) -> PiecewisePolynomialCurve:
    return PiecewisePolynomialCurve(starts, coefficients, np.concatenate([[0], np.cumsum(counts)]))


class PieceMaker(Protocol):
    """Makes (starts [n_pieces], coefficients [n_pieces, degree + 1], pieces of each pair [n]) of any slice of pairs."""

    n_pairs: int
    pairs_per_chunk: int

    def pieces(self, rows: slice) -> tuple[Array, Array, NDArray[np.int64]]: ...


def check_data(
    layers: CheckedLayers, n_pairs: int, x: ArrayLike, y: ArrayLike, negative_slope: float
) -> tuple[Array, Array, float]:
    """x, y and the slope as float64; ValueError where they do not fit the networks `layers`, first and last."""
    inputs, targets = finite("x", x), finite("y", y)
    for name, data, size in (("x", inputs, layers[0][0].shape[2]), ("y", targets, layers[-1][0].shape[1])):
        if data.ndim not in (2, 3) or data.shape[-1] != size or data.shape[:-1] != inputs.shape[:-1]:
            raise ValueError(
                f"{name} has shape {data.shape}; give [n_samples, {size}], or a data set "
                f"for each pair, [{n_pairs}, n_samples, {size}], and as many "
                "samples in x as in y"
            )
    if inputs.ndim == 3 and len(inputs) != n_pairs:
        raise ValueError(f"x holds {len(inputs)} data sets for {n_pairs} pairs; give one, or one for each")
    if inputs.shape[-2] == 0:
        raise ValueError("x holds no samples; the mean loss needs one at least")
    return inputs, targets, float(finite("negative_slope", negative_slope))


class _Problem:
    """Checked networks and data, and the pieces of any chunk of pairs."""

    def __init__(self, a: Layers, b: Layers, x: ArrayLike, y: ArrayLike, negative_slope: float) -> None:
        self.a, self.b, self.n_pairs = check_pairs(a, b, depth=2)
        self.x, self.y, self.slope = check_data(self.a, self.n_pairs, x, y, negative_slope)
        width = self.a[0][0].shape[1]
        self.pairs_per_chunk = max(1, CHUNK // (self.x.shape[-2] * width))

    def pieces(self, rows: slice) -> tuple[Array, Array, NDArray[np.int64]]:
        """(starts [n_pieces], coefficients [n_pieces, 5], pieces of each pair [n]) of the pairs `rows`."""
        x, y = (data if data.ndim == 2 else data[rows] for data in (self.x, self.y))
        a, b = take_pairs(self.a, rows), take_pairs(self.b, rows)
        z, z_end = _first_layer(a, x), _first_layer(b, x)  # [n, n_samples, width]
        change = z_end - z
        v, bias = a[1]
        dv = b[1][0] - v  # [n, n_outputs, width]
        n = len(v)

        # Residuals just right of α = 0: coefficients of 1, α, α², each [n, n_samples, n_outputs].
        active = (z > 0) | ((z == 0) & (z_end > 0))
        gain = np.where(active, 1.0, self.slope)
        out, out_change = gain * z, gain * change
        vt, dvt = v.swapaxes(1, 2), dv.swapaxes(1, 2)
        residual = [out @ vt - y, out_change @ vt + out @ dvt, out_change @ dvt]
        for part, endpoints in zip(residual, (bias, _difference(b[1][1], bias)), strict=False):
            if endpoints is not None:
                part += endpoints[:, None, :]

        # Breakpoints of each sample in ascending order; units without one stand last, at infinity.
        crosses = (z < 0) != (z_end < 0)
        crosses &= (z != 0) & (z_end != 0) & (self.slope != 1)
        at = np.divide(z, -change, out=np.full(z.shape, np.inf), where=crosses)
        order = np.argsort(at, axis=2)
        z = np.where(crosses, np.abs(z), 0.0) * (self.slope - 1)
        change = np.where(crosses, np.abs(change), 0.0) * (1 - self.slope)
        at, z, change = (np.take_along_axis(part, order, axis=2) for part in (at, z, change))

        jumps = np.zeros((5, *z.shape))
        for output in range(v.shape[1]):
            rest = [part[:, :, output, None] for part in residual]
            weights, rates = (_per_unit(part[:, output], order) for part in (v, dv))
            _add_jumps(jumps, z, change, weights, rates, rest)
        return _merge(_square(residual), jumps / (2 * z.shape[1]), at, n)


def _first_layer(layers: CheckedLayers, x: Array) -> Array:
    weight, bias = layers[0]
    z = x @ weight.swapaxes(1, 2)
    return z if bias is None else z + bias[:, None, :]


def _difference(end: Array | None, start: Array | None) -> Array | None:
    return None if end is None or start is None else end - start


def _per_unit(weights: Array, order: NDArray[np.int64]) -> Array:
    """weights [n, width] in the order of each sample's breakpoints, [n, n_samples, width]."""
    return np.take_along_axis(np.broadcast_to(weights[:, None, :], order.shape), order, axis=2)


def _add_jumps(jumps: Array, z: Array, change: Array, v: Array, dv: Array, residual: list[Array]) -> None:
    """Add to jumps [5, n, n_samples, width] the coefficients of j (2r + j) at the breakpoints, one output.

    j = (z + α change)(v + α dv) is what the output gains, r the residual before.
    """
    j = [z * v, change * v + z * dv, change * dv]
    both = []  # 2r + j: before and after together
    for start, jump in zip(residual, j, strict=True):
        total = np.cumsum(jump, axis=2)
        total += start
        total *= 2
        total -= jump
        both.append(total)
    for p in range(3):
        for q in range(3):
            jumps[p + q] += j[p] * both[q]


def _square(residual: list[Array]) -> Array:
    """Coefficients [n, 5] of ½ mean_samples ‖r‖²."""
    total = np.zeros((len(residual[0]), 5))
    for p in range(3):
        for q in range(3):
            total[:, p + q] += np.einsum("nso,nso->n", residual[p], residual[q])
    return total / (2 * residual[0].shape[1])


def _merge(first: Array, jumps: Array, at: Array, n: int) -> tuple[Array, Array, NDArray[np.int64]]:
    """Sum jumps [5, n, n_samples, width] in the order of `at`, onto the first piece [n, 5] of each pair."""
    at = at.reshape(n, -1)
    crosses = np.isfinite(at)
    counts = crosses.sum(axis=1) + 1
    filled = np.arange(counts.max()) < counts[:, None]  # [n, most pieces]
    later = filled.copy()
    later[:, 0] = False
    ordered = np.full(filled.shape, np.inf)
    ordered[:, 0] = -1.0  # before every breakpoint
    ordered[later] = at[crosses]
    order = np.argsort(ordered, axis=1)
    starts = np.take_along_axis(ordered, order, axis=1)
    starts[:, 0] = 0.0
    coefficients = np.empty((int(counts.sum()), 5))
    for power in range(5):
        steps = np.zeros(filled.shape)
        steps[:, 0] = first[:, power]
        steps[later] = jumps[power].reshape(n, -1)[crosses]
        coefficients[:, power] = np.cumsum(np.take_along_axis(steps, order, axis=1), axis=1)[filled]
    return starts[filled], coefficients, counts
