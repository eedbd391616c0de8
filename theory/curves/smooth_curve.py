"""Curves given by a function for value and derivative, and their maxima: a bracket, then safeguarded Newton-like steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.curves.curve import Curve
from theory.layers import Array

PARTS = np.linspace(0.0, 1.0, 5)  # a piece that is not ruled out is cut into four
MOST_PIECES = 1024  # evaluations of a pair's curve that the search for other hills may take


class Bend(NamedTuple):
    """Bounds on pieces of a path, each [n_pieces].

    slope      sup |L′|
    curvature  sup (−L″)₊ of the part of L without kinks
    kinks      how far L′ of the part with kinks falls, at most
    """

    slope: Array
    curvature: Array
    kinks: Array


Evaluate = Callable[[NDArray[np.int64], Array, bool], tuple[Array, "Array | None"]]
BendOf = Callable[[NDArray[np.int64], Array, Array], Bend]


class SmoothCurve(Curve):
    """A curve given by a function for its value and derivative.

    evaluate  (rows [n], alphas [n, k], with_derivative) -> L [n, k] and dL/dα [n, k] (or None) of the pairs `rows`,
              exact to rounding: that is what kind "exact" refers to
    bend      (rows [n], pieces [n, 2], losses [n, 2]) -> `Bend`, how far the curves `rows` can bend on the pieces whose
              ends are given, with L there; None if that is not known
    tol       how sure the maximum is to be, in units of max |L| on the grid

    The maximum: cubic Hermite pieces through values and slopes on `n_grid` equidistant points (odd, so ½ is one) pick an
    interval, and safeguarded cubic steps on the sign of the derivative refine it, all pairs at once. The result is a
    value that the curve attains, to about 1e-15 of max L the top of the hill it lies on.

    With `bend` all other places are then ruled out by branch and bound: on a piece of width h, where the straight line
    between its ends rises by r, L is at most max(ends) if c = ½ h² curvature + h kinks ≤ |r|, else mean(ends) + c/4 + r²/(4c);
    and it is at most mean(ends) + ½ h slope. Pieces that could rise above the best value by more than tol are quartered; a
    higher hill that turns up is climbed. `error` is then a bound, at most tol max |L| unless MOST_PIECES did not suffice.

    Without it `error` is an estimate: the Hermite error is measured by predicting every second grid point from the
    others, and `error` is how far any other piece, so widened, rises above the value returned. It says nothing of
    features that the grid does not show.
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
        self._bend, self._tol = bend, tol

    def _on(self, alphas: ArrayLike, with_derivative: bool) -> tuple[Array, Array | None]:
        array = self.alphas_of_shape(alphas)
        spread = np.broadcast_to(array, (self.n_pairs, array.shape[1]))
        return self._evaluate(np.arange(self.n_pairs), spread, with_derivative)

    def __call__(self, alphas: ArrayLike) -> Array:
        return self._on(alphas, False)[0]

    def derivative(self, alphas: ArrayLike) -> Array:
        slopes = self._on(alphas, True)[1]
        assert slopes is not None
        return slopes

    @cached_property
    def _grid_values(self) -> tuple[Array, Array]:
        values, slopes = self._on(self._grid, True)
        assert slopes is not None
        return values, slopes

    @property
    def bends(self) -> bool:
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
        grid, tilts = self._grid, slopes[:, :, None]
        values = self._grid_values[0][:, None, :] - tilts * grid  # [n_pairs, k, n_grid]
        rates = self._grid_values[1][:, None, :] - tilts
        tops, offsets = _hermite_top(
            values[..., :-1], values[..., 1:], rates[..., :-1], rates[..., 1:], grid[1] - grid[0]
        )
        chosen, at = np.argmax(tops, axis=2), np.argmax(values, axis=2)
        best, argmax = _pick(values, at), grid[at]
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
        """L of `pairs` [n] at alphas [n]: a pair's are evaluated in one row, since a row costs more to begin than an alpha."""
        order = np.argsort(pairs, kind="stable")
        rows, first, counts = np.unique(pairs[order], return_index=True, return_counts=True)
        out = np.empty(len(pairs))
        size = np.ceil(np.log2(counts))
        for power in np.unique(size):  # rows of about one length together
            some = np.flatnonzero(size == power)
            places = first[some][:, None] + np.minimum(np.arange(2**power, dtype=np.int64), counts[some][:, None] - 1)
            out[order[places]] = self._evaluate(rows[some], alphas[order[places]], False)[0]
        return out

    def _climb(
        self, pairs: NDArray[np.int64], slopes: Array, left: Array, right: Array, best: Array, argmax: Array
    ) -> None:
        """Raise best and argmax [n_pairs, k] of `pairs` to the top inside the brackets, in place.

        left, right  [3, len(pairs), k]: α, L − slope·α and its derivative at the ends. Each step keeps a top inside: the left
                     end rises, the right end falls or is where it was.
        """
        width = right[0] - left[0]
        trial = left[0] + _hermite_top(left[1], right[1], left[2], right[2], width)[1]
        tolerance = 1e-15 * self._size[:, None]
        open_rows = np.arange(len(pairs))
        for _ in range(12):
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
            step = _hermite_top(low[1], high[1], low[2], high[2], width)[1]
            trial[open_rows] = low[0] + np.where((step > 0) & (step < width), step, width / 2)
            gain = np.abs(point[2] * (trial[open_rows] - point[0]))
            open_rows = open_rows[(gain > tolerance[rows]).any(axis=1)]
            if open_rows.size == 0:
                break

    def _rule_out(self, slopes: Array, best: Array, argmax: Array) -> Array:
        """How far L − slope·α may lie above `best` anywhere, [n_pairs, k]; best and argmax are raised where it does."""
        assert self._bend is not None
        n_pieces = self._grid.size - 1
        values = self._grid_values[0]
        pair = np.repeat(np.arange(self.n_pairs), n_pieces)
        ends = np.tile(np.stack([self._grid[:-1], self._grid[1:]], axis=1), (self.n_pairs, 1))
        losses = np.stack([values[:, :-1].ravel(), values[:, 1:].ravel()], axis=1)
        ceiling, found, reach = best.copy(), best.copy(), np.ones(best.shape)
        spent = np.zeros(self.n_pairs, dtype=np.int64)
        while True:
            top = _highest(ends, losses, self._bend(pair, ends, losses), slopes[pair])
            open_ = (top > best[pair] + self._tol * self._size[pair, None]).any(axis=1)
            spent += 3 * np.bincount(pair[open_], minlength=self.n_pairs)
            open_ &= (spent <= MOST_PIECES)[pair] & (ends[:, 1] - ends[:, 0] > 1e-15)
            np.maximum.at(ceiling, pair[~open_], top[~open_])
            if not open_.any():
                break
            pair, ends, losses = pair[open_], ends[open_], losses[open_]
            alphas = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * PARTS  # [n_pieces, 5]
            inner = self._values(np.repeat(pair, 3), alphas[:, 1:-1].ravel()).reshape(-1, 3)
            values = np.concatenate([losses[:, :1], inner, losses[:, 1:]], axis=1)
            tilted = inner[:, :, None] - alphas[:, 1:-1, None] * slopes[pair, None]  # [n_pieces, 3, k]
            highest = tilted.max(axis=1)
            np.maximum.at(best, pair, highest)
            where, column = np.nonzero((highest == best[pair]) & (highest > found[pair]))
            argmax[pair[where], column] = alphas[where, 1 + tilted.argmax(axis=1)[where, column]]
            reach[pair[where], column] = (ends[where, 1] - ends[where, 0]) / 4
            pair = np.repeat(pair, 4)
            ends, losses = (
                np.stack([table[:, :-1], table[:, 1:]], axis=2).reshape(-1, 2) for table in (alphas, values)
            )
        again = np.flatnonzero((best > found).any(axis=1))
        if again.size:
            left, right = (
                self._point(again, slopes, np.clip(argmax[again] + side * reach[again], 0.0, 1.0)) for side in (-1, 1)
            )
            self._climb(again, slopes, left, right, best, argmax)
        return np.maximum(ceiling - best, 0.0)

    def _estimated_excess(
        self, values: Array, rates: Array, offsets: Array, chosen: NDArray[np.int64], best: Array
    ) -> Array:
        """How far another Hermite piece, widened by its error of the shape 16 t² (1−t)², t ∈ [0, 1], rises above `best`."""
        step = self._grid[1] - self._grid[0]
        excess = np.zeros(best.shape)
        for t in (offsets / step, 0.25, 0.5, 0.75):
            height = _hermite(values[..., :-1], values[..., 1:], step * rates[..., :-1], step * rates[..., 1:], t)
            height += self._interpolation_error[:, None, :] * (4 * t * (1 - t)) ** 2
            np.put_along_axis(height, chosen[:, :, None], -np.inf, axis=2)  # refined, so no interpolation
            excess = np.maximum(excess, height.max(axis=2) - best)
        return excess

    @cached_property
    def _interpolation_error(self) -> Array:
        """Estimated error of each cubic piece, [n_pairs, n_grid - 1].

        That at twice the step, measured in the middle, the largest of a piece and its two neighbours, over 4
        (it falls by 2⁴ where the grid resolves the curve).
        """
        values, slopes = self._grid_values
        even, even_slopes, step = values[:, ::2], slopes[:, ::2], 2 * (self._grid[1] - self._grid[0])
        middle = _hermite(even[:, :-1], even[:, 1:], step * even_slopes[:, :-1], step * even_slopes[:, 1:], 0.5)
        padded = np.pad(np.abs(middle - values[:, 1::2]), ((0, 0), (1, 1)), mode="edge")
        widest = np.maximum(padded[:, 1:-1], np.maximum(padded[:, :-2], padded[:, 2:]))
        return np.repeat(widest / 4, 2, axis=1)


def _highest(ends: Array, losses: Array, bend: Bend, slopes: Array) -> Array:
    """A bound of L − slope·α on each piece, [n_pieces, k], from L at its ends and how far L can bend between them."""
    width = (ends[:, 1] - ends[:, 0])[:, None]
    tilted = losses[:, :, None] - ends[:, :, None] * slopes[:, None, :]  # [n_pieces, 2, k]
    middle, rise = tilted.mean(axis=1), tilted[:, 1] - tilted[:, 0]
    # by L″ ≥ −curvature, L + curvature/2 α² lies below its chord; L′ falls by at most `kinks`, wherever that is
    arch = width**2 * bend.curvature[:, None] / 2 + width * bend.kinks[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        bent = np.where(arch > np.abs(rise), middle + arch / 4 + rise**2 / (4 * arch), tilted.max(axis=1))
    steep = middle + width * (bend.slope[:, None] + np.abs(slopes)) / 2
    return np.fmin(bent, steep)


def _hermite(value_0: Array, value_1: Array, s0: Array, s1: Array, t: Array | float) -> Array:
    """The cubic with these values and slopes at t = 0 and 1."""
    rise = value_1 - value_0
    return np.asarray(value_0 + t * (s0 + t * (3 * rise - 2 * s0 - s1 + t * (s0 + s1 - 2 * rise))))


def _hermite_top(
    value_0: Array, value_1: Array, slope_0: Array, slope_1: Array, width: Array | float
) -> tuple[Array, Array]:
    """Maximum over [0, width] of the cubic with these end values and slopes, and the offset of its place."""
    s0, s1, rise = slope_0 * width, slope_1 * width, value_1 - value_0
    square, cubic = 3 * rise - 2 * s0 - s1, s0 + s1 - 2 * rise
    # The slope is s0 + 2 square t + 3 cubic t²; of its two roots the one where it falls, in stable form.
    root = np.sqrt(np.maximum(square**2 - 3 * cubic * s0, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(square <= 0, s0 / (root - square), -(square + root) / (3 * cubic))
    higher_end = np.where(rise > 0, 1.0, 0.0)
    t = np.where((t > 0) & (t < 1), t, higher_end)
    value = _hermite(value_0, value_1, s0, s1, t)
    top = np.maximum(value, np.maximum(value_0, value_1))
    return top, np.where(value >= top, t, higher_end) * width


def _pick(values: Array, index: NDArray[np.int64]) -> Array:
    """values[i, j, index[i, j]] for values [n, k, m], index [n, k]."""
    return np.take_along_axis(values, index[:, :, None], axis=2)[:, :, 0]
