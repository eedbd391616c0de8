"""Losses that are polynomials on pieces of a path: what networks of two layers and of any depth have in common.

A problem makes the pieces of any slice of pairs; here they become curves, or barriers with the pieces dropped again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.arguments import Array, finite, number
from theory.curves.curve import BARRIER_DEFINITIONS, Barrier
from theory.curves.polynomials import PiecewisePolynomialCurve
from theory.layers import CheckedLayers, map_chunks
from theory.shown import Short


class Pieces(NamedTuple):
    """Pieces of the curves of some pairs, pair by pair.

    Attributes:
        starts: [n_pieces], left ends, ascending within a pair, the first of each pair 0.
        coefficients: [n_pieces, degree + 1], ascending.
        counts: [n_pairs], pieces of each pair.

    Example:
        >>> pieces = Pieces(np.array([0.0, 0.25]), np.array([[0.0, 3.0], [1.0, -1.0]]), np.array([2]))
        >>> pieces.curve()([0.25, 0.5]).tolist()
        [[0.75, 0.5]]
    """

    starts: Array
    coefficients: Array
    counts: NDArray[np.int64]

    def curve(self) -> PiecewisePolynomialCurve:
        """The curve of these pieces."""
        return PiecewisePolynomialCurve(self.starts, self.coefficients, np.concatenate([[0], np.cumsum(self.counts)]))


class PieceMaker(Protocol):
    """A problem of n_pairs paths that makes the pieces of any slice of them, `pairs_per_chunk` at a time.

    Example:
        >>> class Flat:
        ...     n_pairs, pairs_per_chunk = 3, 2
        ...     def pieces(self, rows):
        ...         n = len(range(3)[rows])
        ...         return Pieces(np.zeros(n), np.ones((n, 1)), np.ones(n, dtype=np.int64))
        >>> stream_curve(Flat(), n_threads=1)([0.5]).ravel()
        array([1., 1., 1.])
    """

    n_pairs: int
    pairs_per_chunk: int

    def pieces(self, rows: slice) -> Pieces:
        """The pieces of the pairs `rows`."""


@dataclass(frozen=True, repr=False)
class PiecewiseBarriers(Short):
    """What `piecewise_barriers` keeps of each curve.

    Attributes:
        barriers: one `Barrier` for each definition.
        alphas: [n_alphas].
        losses: [n_pairs, n_alphas], L at `alphas`.
        n_pieces: [n_pairs], number of pieces.

    Example:
        >>> from theory import piecewise_barriers
        >>> a, b = ([([[w]], None), ([[1.0]], None)] for w in (1.0, -1.0))  # relu(x) and relu(−x)
        >>> exact = piecewise_barriers(a, b, [[1.0]], [[0.0]])  # at x = 1: ½ (1 − 2α)² up to ½, then 0
        >>> exact.n_pieces.tolist(), exact.losses.tolist(), exact.barriers["linear"].value.tolist()
        ([2], [[0.5, 0.0, 0.0]], [0.0])
    """

    barriers: dict[str, Barrier]
    alphas: Array
    losses: Array
    n_pieces: NDArray[np.int64]


def stream_curve(problem: PieceMaker, n_threads: int | None) -> PiecewisePolynomialCurve:
    """All pieces of all pairs, made in chunks; `n_threads` as in `map_chunks`.

    Example:
        >>> class Lines:
        ...     n_pairs, pairs_per_chunk = 2, 1
        ...     def pieces(self, rows):  # L = α
        ...         return Pieces(np.zeros(1), np.array([[0.0, 1.0]]), np.ones(1, dtype=np.int64))
        >>> stream_curve(Lines(), n_threads=1)([0.25]).ravel()
        array([0.25, 0.25])
    """
    parts: dict[int, Pieces] = {}

    def chunk(rows: slice) -> None:
        parts[rows.start] = problem.pieces(rows)

    map_chunks(chunk, problem.n_pairs, problem.pairs_per_chunk, n_threads)
    if not parts:  # no pairs
        return PiecewisePolynomialCurve([], np.empty((0, 1)), [0])
    in_order = (parts[start] for start in sorted(parts))
    return Pieces(*(np.concatenate(arrays) for arrays in zip(*in_order, strict=True))).curve()


def stream_barriers(problem: PieceMaker, alphas: ArrayLike, n_threads: int | None) -> PiecewiseBarriers:
    """Barriers and values of all pairs; the pieces of a chunk are dropped when it is done.

    Args:
        problem: makes the pieces.
        alphas: [n_alphas], where values are kept.
        n_threads: as in `map_chunks`.

    Example:
        >>> class Arches:
        ...     n_pairs, pairs_per_chunk = 2, 1
        ...     def pieces(self, rows):  # (n + 1) α(1 − α) for pair n
        ...         arch = (rows.start + 1) * np.array([[0.0, 1.0, -1.0]])
        ...         return Pieces(np.zeros(1), arch, np.ones(1, dtype=np.int64))
        >>> stream_barriers(Arches(), [0.5], n_threads=1).barriers["linear"].value
        array([0.25, 0.5 ])
    """
    grid = np.atleast_1d(finite("alphas", alphas))
    n_pairs = problem.n_pairs
    losses = np.empty((n_pairs, grid.size))
    n_pieces = np.empty(n_pairs, dtype=np.int64)
    barriers = {name: Barrier(name, np.empty(n_pairs), np.empty(n_pairs)) for name in BARRIER_DEFINITIONS}

    def chunk(rows: slice) -> None:
        pieces = problem.pieces(rows)
        curve = pieces.curve()
        n_pieces[rows] = pieces.counts
        losses[rows] = curve(grid)
        for name, barrier in barriers.items():
            of_chunk = curve.barrier(name)
            barrier.value[rows] = of_chunk.value
            barrier.argmax[rows] = of_chunk.argmax

    map_chunks(chunk, n_pairs, problem.pairs_per_chunk, n_threads)
    return PiecewiseBarriers(barriers, grid, losses, n_pieces)


def sum_jumps(first: Array, n_jumps: NDArray[np.int64], places: Array, jumps: Iterable[Array]) -> Pieces:
    """The pieces of curves that are given by their first piece and what their coefficients gain at jumps.

    Args:
        first: [n_pairs, degree + 1], the coefficients just right of α = 0.
        n_jumps: [n_pairs], how many jumps each pair has.
        places: [Σ n_jumps], the α > 0 of the jumps, pair by pair, in any order within a pair.
        jumps: for each power of α what its coefficient gains, like `places`.

    Example:
        >>> steps = sum_jumps(np.zeros((1, 1)), np.array([2]), np.array([0.75, 0.5]), [np.array([10.0, 1.0])])
        >>> steps.starts.tolist(), steps.coefficients.ravel().tolist()
        ([0.0, 0.5, 0.75], [0.0, 1.0, 11.0])
    """
    counts = n_jumps + 1
    filled = np.arange(counts.max()) < counts[:, None]  # [n_pairs, most pieces]
    is_jump = filled.copy()
    is_jump[:, 0] = False
    starts = np.full(filled.shape, np.inf)
    starts[:, 0] = -1.0  # before every jump
    starts[is_jump] = places
    order = np.argsort(starts, axis=1)
    starts = np.take_along_axis(starts, order, axis=1)
    starts[:, 0] = 0.0
    coefficients = np.empty((int(counts.sum()), first.shape[1]))
    for power, gains in enumerate(jumps):
        steps = np.zeros(filled.shape)
        steps[:, 0] = first[:, power]
        steps[is_jump] = gains
        coefficients[:, power] = np.cumsum(np.take_along_axis(steps, order, axis=1), axis=1)[filled]
    return Pieces(starts[filled], coefficients, counts)


def check_data(
    layers: CheckedLayers, n_pairs: int, x: ArrayLike, y: ArrayLike, negative_slope: float
) -> tuple[Array, Array, float]:
    """x, y and the negative slope as float64, checked against the networks.

    Args:
        layers: checked networks.
        n_pairs: how many pairs there are.
        x: [n_samples, n_inputs], or one data set for each pair with a leading axis.
        y: [n_samples, n_outputs], or with the leading axis.
        negative_slope: that of leaky relu.

    Raises:
        ValueError: shapes do not fit, there are no samples, or a number is not finite.

    Example:
        >>> x, y, slope = check_data([(np.ones((1, 1, 2)), None)], 1, [[1, 2]], [[3]], 0)
        >>> x.shape, y.shape, slope
        ((1, 2), (1, 1), 0.0)
    """
    inputs, targets = finite("x", x), finite("y", y)
    for name, data, size in (("x", inputs, layers[0][0].shape[2]), ("y", targets, layers[-1][0].shape[1])):
        if data.ndim not in (2, 3) or data.shape[-1] != size or data.shape[:-1] != inputs.shape[:-1]:
            raise ValueError(
                f"{name} has shape {data.shape}; give [n_samples, {size}], or a data set "
                f"for each pair, [{n_pairs}, n_samples, {size}], and as many samples in x as in y"
            )
    if inputs.ndim == 3 and len(inputs) != n_pairs:
        raise ValueError(f"x holds {len(inputs)} data sets for {n_pairs} pairs; give one, or one for each")
    if inputs.shape[-2] == 0:
        raise ValueError("x holds no samples; the mean loss needs one at least")
    return inputs, targets, number("negative_slope", negative_slope)
