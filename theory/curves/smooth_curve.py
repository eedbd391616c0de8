"""Curves given by functions for L, L′ and, if known, bounds of L″; their maxima, and how certain those are.

A grid picks a bracket, safeguarded steps on cubic interpolants climb to the top in it, and branch and bound rules out
that another hill is higher, where it is known how far the curve can bend.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.arguments import Array
from theory.curves.cubics import cubic_top, cubic_value
from theory.curves.curve import Curve

QUARTERS = np.linspace(0.0, 1.0, 5)  # a piece that is not ruled out is cut into four
MOST_PIECES = 1024  # evaluations of a pair's curve that the search for other hills may take
MOST_CLIMBS = 12  # steps to the top of a hill; each about doubles the digits


class Bend(NamedTuple):
    """How far a curve can bend on pieces of its path: bounds, each [n_pieces].

    Attributes:
        slope: sup |L′|.
        curvature: sup (−L″)₊ of the part of L without kinks.
        kinks: how far L′ of the part with kinks falls, at most.

    Example:
        >>> Bend(slope=np.array([1.0]), curvature=np.array([2.0]), kinks=np.array([0.0])).curvature
        array([2.])
    """

    slope: Array
    curvature: Array
    kinks: Array


# (rows, alphas, with_derivative) → L and dL/dα; (rows, pieces, losses) → how far the curves bend: see `SmoothCurve`
Evaluate = Callable[[NDArray[np.int64], Array, bool], tuple[Array, "Array | None"]]
BendOf = Callable[[NDArray[np.int64], Array, Array], Bend]


class SmoothCurve(Curve):
    """A curve given by a function for its value and derivative.

    The maximum: cubic Hermite pieces through values and slopes on a grid pick an interval, and safeguarded cubic steps
    on the sign of the derivative refine it, all pairs at once. The result is a value that the curve attains, to about
    1e-15 of max L the top of the hill it lies on.

    With `bend` all other places are then ruled out by branch and bound. On a piece of width h whose ends differ by r,

        L ≤ max(ends)                      if c = ½ h² curvature + h kinks ≤ |r|,
        L ≤ mean(ends) + c/4 + r²/(4c)     otherwise,
        L ≤ mean(ends) + ½ h slope         in any case.

    Pieces that could rise above the best value by more than tol are quartered; a higher hill that turns up is climbed.
    The `error` of a barrier is then a bound, at most tol max |L| unless MOST_PIECES did not suffice.

    Without `bend` the `error` is an estimate. The error of the cubic pieces is measured by predicting every second grid
    point from the others; `error` is how far any other piece, widened by that, rises above the value returned. It says
    nothing of features that the grid does not show.

    Args:
        n_pairs: how many curves there are.
        evaluate: (rows [n], alphas [n, k], with_derivative) → L [n, k] and dL/dα [n, k] (or None) of the pairs `rows`,
            exact to rounding: that is what kind "exact" refers to.
        n_grid: points of the grid, 4 j + 1, so that ½ is one also at twice the step.
        bend: (rows [n], pieces [n, 2], losses [n, 2]) → `Bend` of the curves `rows` on the pieces whose ends are given,
            with L there; None if nothing is known.
        tol: how certain the maximum is to be, in units of max |L| on the grid.

    Raises:
        ValueError: n_grid is not 4 j + 1, or tol is not above 0.

    Example:
        >>> def sine(rows, alphas, with_derivative):  # L = sin(πα), one pair
        ...     return np.sin(np.pi * alphas), np.pi * np.cos(np.pi * alphas)
        >>> def bend(rows, pieces, losses):  # |L′| ≤ π and −L″ ≤ π²
        ...     ones = np.ones(len(rows))
        ...     return Bend(np.pi * ones, np.pi**2 * ones, 0 * ones)
        >>> barrier = SmoothCurve(1, sine, bend=bend).barrier()
        >>> barrier.value.round(12).tolist(), barrier.argmax.round(6).tolist(), bool(barrier.error[0] <= 1e-6)
        ([1.0], [0.5], True)
    """

    def __init__(
        self, n_pairs: int, evaluate: Evaluate, n_grid: int = 33, *, bend: BendOf | None = None, tol: float = 1e-6
    ) -> None:
        if n_grid < 5 or n_grid % 4 != 1:
            raise ValueError(f"n_grid is {n_grid}; give 4 j + 1 points (1/2 is one also at twice the step)")
        if not tol > 0:
            raise ValueError(f"tol is {tol}; give a number above 0")
        self.n_pairs = n_pairs
        self._evaluate = evaluate
        self._grid = np.linspace(0.0, 1.0, n_grid)
        self._bend = bend
        self._tol = tol

    def _at_alphas(self, alphas: ArrayLike, with_derivative: bool) -> tuple[Array, Array | None]:
        """L and dL/dα of all pairs at alphas [n_alphas] or [n_pairs, n_alphas]."""
        array = self.alphas_of_shape(alphas)
        spread = np.broadcast_to(array, (self.n_pairs, array.shape[1]))
        return self._evaluate(np.arange(self.n_pairs), spread, with_derivative)

    def __call__(self, alphas: ArrayLike) -> Array:
        return self._at_alphas(alphas, False)[0]

    def derivative(self, alphas: ArrayLike) -> Array:
        slopes = self._at_alphas(alphas, True)[1]
        assert slopes is not None
        return slopes

    @cached_property
    def _grid_values(self) -> tuple[Array, Array]:
        """L and dL/dα on the grid, each [n_pairs, n_grid]."""
        values, slopes = self._at_alphas(self._grid, True)
        assert slopes is not None
        return values, slopes

    @property
    def bend_is_known(self) -> bool:
        """Is it known how far the curve can bend?"""
        return self._bend is not None

    def bend(self, edges: Array) -> Bend:
        """How far each curve can bend on the pieces between `edges` [n_pieces + 1], fields [n_pairs, n_pieces]."""
        assert self._bend is not None
        pieces = np.tile(np.stack([edges[:-1], edges[1:]], axis=1), (self.n_pairs, 1))
        losses = self(edges)
        ends = np.stack([losses[:, :-1].ravel(), losses[:, 1:].ravel()], axis=1)
        bend = self._bend(np.repeat(np.arange(self.n_pairs), edges.size - 1), pieces, ends)
        return Bend(*(part.reshape(self.n_pairs, -1) for part in bend))

    @cached_property
    def _size(self) -> Array:
        """max |L| on the grid, [n_pairs]."""
        return np.abs(self._grid_values[0]).max(axis=1)

    @cached_property
    def endpoints(self) -> Array:
        return self._grid_values[0][:, [0, -1]]

    def tilted_maxima(self, slopes: Array) -> tuple[Array, Array, Array | None]:
        grid = self._grid
        tilts = slopes[:, :, None]
        values = self._grid_values[0][:, None, :] - tilts * grid  # [n_pairs, k, n_grid]
        rates = self._grid_values[1][:, None, :] - tilts
        tops, offsets = cubic_top(values[..., :-1], values[..., 1:], rates[..., :-1], rates[..., 1:], grid[1] - grid[0])
        chosen, highest = np.argmax(tops, axis=2), np.argmax(values, axis=2)
        best, argmax = _pick(values, highest), grid[highest]
        left = np.stack([grid[chosen], _pick(values, chosen), _pick(rates, chosen)])
        right = np.stack([grid[chosen + 1], _pick(values, chosen + 1), _pick(rates, chosen + 1)])
        self._climb(np.arange(self.n_pairs), slopes, left, right, best, argmax)
        if self._bend is not None:
            return best, argmax, self._rule_out(slopes, best, argmax)
        return best, argmax, self._estimated_excess(values, rates, offsets, chosen, best)

    def _point(self, pairs: NDArray[np.int64], slopes: Array, alphas: Array) -> Array:
        """α, L − slope·α and its derivative, [3, len(pairs), k], of `pairs` at alphas [len(pairs), k]."""
        value, rate = self._evaluate(pairs, alphas, True)
        assert rate is not None
        return np.stack([alphas, value - slopes[pairs] * alphas, rate - slopes[pairs]])

    def _values(self, pairs: NDArray[np.int64], alphas: Array) -> Array:
        """L of `pairs` [n] at alphas [n].

        All alphas of a pair are evaluated in one call's row, since a row costs more to begin than an alpha. Rows of
        about one length, filled up to a power of two, go together.
        """
        order = np.argsort(pairs, kind="stable")
        rows, first, counts = np.unique(pairs[order], return_index=True, return_counts=True)
        out = np.empty(len(pairs))
        size = np.ceil(np.log2(counts))
        for power in np.unique(size):
            alike = np.flatnonzero(size == power)
            column = np.minimum(np.arange(2**power, dtype=np.int64), counts[alike][:, None] - 1)
            places = order[first[alike][:, None] + column]
            out[places] = self._evaluate(rows[alike], alphas[places], False)[0]
        return out

    def _climb(
        self, pairs: NDArray[np.int64], slopes: Array, left: Array, right: Array, best: Array, argmax: Array
    ) -> None:
        """Raise best and argmax [n_pairs, k] of `pairs` to the top inside the brackets, in place.

        left and right [3, len(pairs), k] hold α, L − slope·α and its derivative at the ends of the brackets. Each step
        keeps a top inside: the curve rises at the left end, and falls at the right end or that end is where it was.
        """
        width = right[0] - left[0]
        trial = left[0] + cubic_top(left[1], right[1], left[2], right[2], width)[1]
        tolerance = 1e-15 * self._size[:, None]
        open_rows = np.arange(len(pairs))
        for _ in range(MOST_CLIMBS):
            rows = pairs[open_rows]
            point = self._point(rows, slopes, trial[open_rows])
            better = point[1] > best[rows]
            best[rows] = np.where(better, point[1], best[rows])
            argmax[rows] = np.where(better, point[0], argmax[rows])
            rising = point[2] > 0
            left[:, open_rows] = np.where(rising, point, left[:, open_rows])
            right[:, open_rows] = np.where(rising, right[:, open_rows], point)
            low, high = left[:, open_rows], right[:, open_rows]
            width = high[0] - low[0]
            step = cubic_top(low[1], high[1], low[2], high[2], width)[1]
            trial[open_rows] = low[0] + np.where((step > 0) & (step < width), step, width / 2)
            gain = np.abs(point[2] * (trial[open_rows] - point[0]))
            open_rows = open_rows[(gain > tolerance[rows]).any(axis=1)]
            if open_rows.size == 0:
                break

    def _rule_out(self, slopes: Array, best: Array, argmax: Array) -> Array:
        """How far L − slope·α may lie above `best` anywhere, [n_pairs, k]; best and argmax are raised where it does.

        In the loop `pair` [n_pieces], `ends` and `losses` [n_pieces, 2] are the pieces that are not ruled out yet.
        """
        assert self._bend is not None
        n_pieces = self._grid.size - 1
        values = self._grid_values[0]
        pair = np.repeat(np.arange(self.n_pairs), n_pieces)
        ends = np.tile(np.stack([self._grid[:-1], self._grid[1:]], axis=1), (self.n_pairs, 1))
        losses = np.stack([values[:, :-1].ravel(), values[:, 1:].ravel()], axis=1)
        ceiling, best_of_grid = best.copy(), best.copy()
        reach = np.ones(best.shape)  # how far left and right of argmax a new hill's bracket goes
        n_evaluated = np.zeros(self.n_pairs, dtype=np.int64)
        while True:
            top = _highest(ends, losses, self._bend(pair, ends, losses), slopes[pair])
            may_be_higher = (top > best[pair] + self._tol * self._size[pair, None]).any(axis=1)
            n_evaluated += 3 * np.bincount(pair[may_be_higher], minlength=self.n_pairs)
            may_be_higher &= (n_evaluated <= MOST_PIECES)[pair] & (ends[:, 1] - ends[:, 0] > 1e-15)
            np.maximum.at(ceiling, pair[~may_be_higher], top[~may_be_higher])
            if not may_be_higher.any():
                break
            pair, ends, losses = pair[may_be_higher], ends[may_be_higher], losses[may_be_higher]
            alphas = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * QUARTERS  # [n_pieces, 5]
            inner = self._values(np.repeat(pair, 3), alphas[:, 1:-1].ravel()).reshape(-1, 3)
            values = np.concatenate([losses[:, :1], inner, losses[:, 1:]], axis=1)
            tilted = inner[:, :, None] - alphas[:, 1:-1, None] * slopes[pair, None]  # [n_pieces, 3, k]
            highest = tilted.max(axis=1)
            np.maximum.at(best, pair, highest)
            piece, column = np.nonzero((highest == best[pair]) & (highest > best_of_grid[pair]))
            argmax[pair[piece], column] = alphas[piece, 1 + tilted.argmax(axis=1)[piece, column]]
            reach[pair[piece], column] = (ends[piece, 1] - ends[piece, 0]) / 4
            pair = np.repeat(pair, 4)
            ends, losses = (
                np.stack([table[:, :-1], table[:, 1:]], axis=2).reshape(-1, 2) for table in (alphas, values)
            )
        raised = np.flatnonzero((best > best_of_grid).any(axis=1))
        if raised.size:
            left, right = (
                self._point(raised, slopes, np.clip(argmax[raised] + side * reach[raised], 0.0, 1.0))
                for side in (-1, 1)
            )
            self._climb(raised, slopes, left, right, best, argmax)
        return np.maximum(ceiling - best, 0.0)

    def _estimated_excess(
        self, values: Array, rates: Array, offsets: Array, chosen: NDArray[np.int64], best: Array
    ) -> Array:
        """How far another cubic piece rises above `best`, [n_pairs, k].

        Each is widened by its error, of the shape 16 t²(1 − t)² for t ∈ [0, 1].
        """
        step = self._grid[1] - self._grid[0]
        excess = np.zeros(best.shape)
        for t in (offsets / step, 0.25, 0.5, 0.75):
            height = cubic_value(values[..., :-1], values[..., 1:], step * rates[..., :-1], step * rates[..., 1:], t)
            height += self._interpolation_error[:, None, :] * (4 * t * (1 - t)) ** 2
            np.put_along_axis(height, chosen[:, :, None], -np.inf, axis=2)  # refined, so no interpolation
            excess = np.maximum(excess, height.max(axis=2) - best)
        return excess

    @cached_property
    def _interpolation_error(self) -> Array:
        """Estimated error of each cubic piece, [n_pairs, n_grid - 1].

        The error at twice the step is measured in the middle of each wide piece. The largest of a piece and its two
        neighbours is divided by 4, with a margin: where the grid resolves the curve it falls by 2⁴.
        """
        values, slopes = self._grid_values
        even, even_slopes = values[:, ::2], slopes[:, ::2]
        step = 2 * (self._grid[1] - self._grid[0])
        middle = cubic_value(even[:, :-1], even[:, 1:], step * even_slopes[:, :-1], step * even_slopes[:, 1:], 0.5)
        padded = np.pad(np.abs(middle - values[:, 1::2]), ((0, 0), (1, 1)), mode="edge")
        widest = np.maximum(padded[:, 1:-1], np.maximum(padded[:, :-2], padded[:, 2:]))
        return np.repeat(widest / 4, 2, axis=1)


def _highest(ends: Array, losses: Array, bend: Bend, slopes: Array) -> Array:
    """An upper bound of L − slope·α on each piece, [n_pieces, k], from L at its ends and how far it bends between.

    The formulas are those of `SmoothCurve`; ends and losses [n_pieces, 2], slopes [n_pieces, k].
    """
    width = (ends[:, 1] - ends[:, 0])[:, None]
    tilted = losses[:, :, None] - ends[:, :, None] * slopes[:, None, :]  # [n_pieces, 2, k]
    middle, rise = tilted.mean(axis=1), tilted[:, 1] - tilted[:, 0]
    # since L″ ≥ −curvature, L + ½ curvature α² lies below its chord; L′ falls by at most `kinks`, wherever they are
    arch = width**2 * bend.curvature[:, None] / 2 + width * bend.kinks[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        bent = np.where(arch > np.abs(rise), middle + arch / 4 + rise**2 / (4 * arch), tilted.max(axis=1))
    steep = middle + width * (bend.slope[:, None] + np.abs(slopes)) / 2
    return np.fmin(bent, steep)


def _pick(values: Array, index: NDArray[np.int64]) -> Array:
    """values[i, j, index[i, j]] for values [n, k, m], index [n, k]."""
    return np.take_along_axis(values, index[:, :, None], axis=2)[:, :, 0]
