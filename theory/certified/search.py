"""Interval branch and bound: max over [0, 1] of L(α) − s α, from below by values and from above by bounds of pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from theory.arguments import Array
from theory.certified.intervals import UNIT
from theory.certified.path_jets import Bound, PathProblem, half_width

FIRST_PIECES = 16
MOST_HALVINGS = 46  # a piece is then 2⁻⁵⁰ wide


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
        self.tilts = tilts
        n_pairs, k = tilts.shape
        self.low = np.full((n_pairs, k), -np.inf)
        self.witness = np.zeros((n_pairs, k))
        spare = tol / 8  # for the checker, and for the roundings of `enclosure`
        edges = np.linspace(0.0, 1.0, FIRST_PIECES + 1)
        pair = np.repeat(np.arange(n_pairs), FIRST_PIECES)
        left, right = np.tile(edges[:-1], n_pairs), np.tile(edges[1:], n_pairs)
        done: list[tuple[NDArray[np.int64], Array, Array, Array]] = []
        n_pieces = np.full(n_pairs, FIRST_PIECES)
        ends = np.tile([0.0, 1.0], n_pairs)
        owner = np.repeat(np.arange(n_pairs), 2)
        self._try_points(owner, ends, problem.bounds(owner, ends, ends))
        for halving in range(MOST_HALVINGS + 1):
            bound = problem.bounds(pair, left, right)
            self._try_points(pair, (left + right) / 2, bound)
            top = upper_bounds(bound, (left + right) / 2, half_width(left, right), tilts[pair])
            keep = (top <= self.low[pair] + (tol - 2 * spare)).all(axis=1) | (n_pieces[pair] >= most_pieces)
            if halving == MOST_HALVINGS:
                keep[:] = True
            done.append((pair[keep], left[keep], right[keep], top[keep]))
            pair, left, right = pair[~keep], left[~keep], right[~keep]
            if pair.size == 0:
                break
            n_pieces += np.bincount(pair, minlength=n_pairs)
            middle = (left + right) / 2
            pair = np.repeat(pair, 2)
            left, right = np.stack([left, middle], 1).ravel(), np.stack([middle, right], 1).ravel()
        self.pair, self.left, self.right, self.top = (np.concatenate(parts) for parts in zip(*done, strict=True))
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
            last = order[np.append(np.diff(pair[order]) > 0, True)[: pair.size]]  # the best of each pair
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
