"""Interval branch and bound: max over [0, 1] of L(α) − s α, from below by values and from above by bounds of pieces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theory.certified.intervals import UNIT
from theory.certified.path_jets import Bound, PathProblem, half_width
from theory.layers import Array

FIRST_PIECES = 16
MOST_HALVINGS = 46  # a piece is then 2⁻⁵⁰ wide


class _Pieces(NamedTuple):
    """Pieces [left, right] of the paths `pair`, each [n_pieces]."""

    pair: NDArray[np.int64]
    left: Array
    right: Array

    @property
    def middle(self) -> Array:
        return (self.left + self.right) / 2

    def take(self, rows: NDArray[np.bool_]) -> _Pieces:
        return _Pieces(self.pair[rows], self.left[rows], self.right[rows])

    def halves(self) -> _Pieces:
        """Both halves of every piece, side by side."""
        left = np.stack([self.left, self.middle], axis=1).ravel()
        right = np.stack([self.middle, self.right], axis=1).ravel()
        return _Pieces(np.repeat(self.pair, 2), left, right)


class Search:
    """Branch and bound for all pairs and tilts at once.

    Attributes:
        tilts: [n_pairs, k], the slopes s.
        low, high: [n_pairs, k], bounds of max [L(α) − s α].
        witness: [n_pairs, k], an α that attains `low`.
        pair, left, right: [n_pieces], the pieces that cover each pair's path.
        top: [n_pieces, k], upper bounds of L(α) − s α on them.

    Args:
        problem: bounds the loss on pieces.
        tilts: [n_pairs, k].
        tol: the width of [low, high] to reach.
        most_pieces: a pair's search stops there.

    Example:
        >>> problem = PathProblem([([[1.0]], None)], [([[-1.0]], None)], [[1.0]], [[0.0]], "identity", "mse")
        >>> search = Search(problem, np.array([[0.0, 1.0]]), 1e-6, 1000)  # ½ (1 − 2α)²; and the same − α
        >>> bool((search.low <= 0.5).all() and (search.high >= 0.5).all()), search.witness.tolist()
        (True, [[0.0, 0.0]])
    """

    def __init__(self, problem: PathProblem, tilts: Array, tol: float, most_pieces: int) -> None:
        n_pairs, k = tilts.shape
        self.tilts = tilts
        self.low = np.full((n_pairs, k), -np.inf)
        self.witness = np.zeros((n_pairs, k))
        pairs = np.arange(n_pairs)
        ends, pair_of_end = np.tile([0.0, 1.0], n_pairs), np.repeat(pairs, 2)
        self._try_points(pair_of_end, ends, problem.bounds(pair_of_end, ends, ends))

        spare = tol / 8  # for the checker, and for the roundings of `enclosure`
        edges = np.linspace(0.0, 1.0, FIRST_PIECES + 1)
        pieces = _Pieces(np.repeat(pairs, FIRST_PIECES), np.tile(edges[:-1], n_pairs), np.tile(edges[1:], n_pairs))
        n_pieces = np.full(n_pairs, FIRST_PIECES)
        kept: list[tuple[_Pieces, Array]] = []
        for halving in range(MOST_HALVINGS + 1):
            bound = problem.bounds(*pieces)
            self._try_points(pieces.pair, pieces.middle, bound)
            radius = half_width(pieces.left, pieces.right)
            top = upper_bounds(bound, pieces.middle, radius, tilts[pieces.pair])
            is_low_enough = (top <= self.low[pieces.pair] + (tol - 2 * spare)).all(axis=1)
            keep = is_low_enough | (n_pieces[pieces.pair] >= most_pieces) | (halving == MOST_HALVINGS)
            kept.append((pieces.take(keep), top[keep]))
            pieces = pieces.take(~keep)
            if pieces.pair.size == 0:
                break
            n_pieces += np.bincount(pieces.pair, minlength=n_pairs)
            pieces = pieces.halves()
        self.pair, self.left, self.right = (np.concatenate(parts) for parts in zip(*(p for p, _ in kept), strict=True))
        self.top = np.concatenate([top for _, top in kept])
        self.high = np.full((n_pairs, k), -np.inf)
        np.maximum.at(self.high, self.pair, self.top)
        self.high += spare / 2
        self.low -= spare / 2

    def _try_points(self, pair: NDArray[np.int64], alpha: Array, bound: Bound) -> None:
        """Raise `low` where L(α) − s α at these points is higher."""
        for column in range(self.tilts.shape[1]):
            tilted = self.tilts[pair, column] * alpha
            value = bound.value.low - tilted
            value -= 4 * UNIT * (np.abs(bound.value.low) + np.abs(tilted))
            order = np.lexsort((value, pair))
            last = order[np.append(np.diff(pair[order]) > 0, True)]  # the best of each pair
            better = last[value[last] > self.low[pair[last], column]]
            self.low[pair[better], column] = value[better]
            self.witness[pair[better], column] = alpha[better]


def upper_bounds(bound: Bound, centre: Array, radius: Array, tilts: Array) -> Array:
    """max over |t| ≤ r of L(c) + G t + ½ M t² − s (c + t), rounded up, [n, k].

    Args:
        bound: L(c), G and M of each piece.
        centre: c [n].
        radius: r [n].
        tilts: s [n, k].

    Example:
        >>> from theory.certified.intervals import Ball
        >>> parabola = Bound(Ball.exact(np.array([1.0])), Ball.exact(np.array([0.0])), np.array([-2.0]))  # 1 − t²
        >>> upper_bounds(parabola, np.array([0.5]), np.array([0.5]), np.array([[0.0]])).round(9).tolist()
        [[1.0]]
    """
    most = np.full(tilts.shape, 0.0)
    r, m = radius[:, None], bound.curvature[:, None]
    for slope in (bound.slope.high[:, None] - tilts, tilts - bound.slope.low[:, None]):  # to the right, to the left
        g = slope + 4 * UNIT * np.abs(slope) + 4 * UNIT * np.abs(tilts)
        at_end = g * r + m * r * r / 2 + 8 * UNIT * (np.abs(g) * r + np.abs(m) * r * r)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inside = (m < 0) & (g > 0) & (-m * r > g)
            top = np.where(inside, g * g / (-2 * m) * (1 + 8 * UNIT), at_end)
        most = np.maximum(most, top)
    tilted = tilts * centre[:, None]
    base = bound.value.high[:, None]
    return np.asarray(base - tilted + most + 8 * UNIT * (np.abs(base) + np.abs(tilted) + np.abs(most)))
