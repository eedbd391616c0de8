"""What the theory returns: loss curves along batches of straight paths, and their barriers.

A path is θ(α) = (1−α) θ_A + α θ_B with α ∈ [0, 1]; its curve L(α) is a loss. Barriers, as used in the field:

    linear          max_α [ L(α) − ((1−α) L(0) + α L(1)) ]    Entezari et al. 2022 (arXiv 2110.06296)
    mean_endpoints  max_α L(α) − ½ (L(0) + L(1))              Frankle et al. 2020 (arXiv 1912.05671)
    max_endpoint    max_α L(α) − max(L(0), L(1))
    midpoint        L(½) − ½ (L(0) + L(1))

`Curve` holds these once for every analytic curve, `barriers_on_grid` for a curve measured on a grid.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.layers import Array, finite, known

BARRIER_DEFINITIONS = ("linear", "mean_endpoints", "max_endpoint", "midpoint")
Evaluate = Callable[[NDArray[np.int64], Array, bool], tuple[Array, "Array | None"]]


@dataclass(frozen=True)
class Barrier:
    """Barriers of a batch of paths under one definition.

    value  [n_pairs]  in units of the loss
    argmax [n_pairs]  the α at which it is attained (½ for `midpoint`)
    error  [n_pairs]  how far the true value may lie above `value` because a higher hill was missed and, of an
                      "approximate" curve, above or below it because the curve itself is (twice the curve's
                      error: at the maximum, and in what it is measured from); None where all is exact to
                      rounding. See the class of the curve for whether it is a bound or an estimate
    """

    definition: str
    value: Array
    argmax: Array
    error: Array | None = None


class Curve(ABC):
    """Losses L(α) along n_pairs paths.

    kind   "exact" (to rounding), "certified" (`error` bounds) or "approximate" (`error` estimates)
    error  None for exact curves, else [n_pairs]
    """

    n_pairs: int
    kind: str = "exact"
    error: Array | None = None

    @abstractmethod
    def __call__(self, alphas: ArrayLike) -> Array:
        """L(α) [n_pairs, n_alphas] at alphas [n_alphas] (shared) or [n_pairs, n_alphas]."""

    @abstractmethod
    def derivative(self, alphas: ArrayLike) -> Array:
        """dL/dα [n_pairs, n_alphas]; from the right where the curve has a kink."""

    @abstractmethod
    def tilted_maxima(self, slopes: Array) -> tuple[Array, Array, Array | None]:
        """Maxima over [0, 1] of L(α) − slope·α; slopes [n_pairs, k], as value, argmax and error."""

    @cached_property
    def endpoints(self) -> Array:
        """L(0) and L(1), [n_pairs, 2]."""
        return self(np.array([0.0, 1.0]))

    @cached_property
    def _maxima(self) -> tuple[Array, Array, Array | None]:
        """Maxima of L and of L − (L(1) − L(0)) α: column 0 and 1."""
        rise = self.endpoints[:, 1] - self.endpoints[:, 0]
        return self.tilted_maxima(np.stack([np.zeros(self.n_pairs), rise], axis=1))

    def maximum(self) -> tuple[Array, Array]:
        """max L over [0, 1] and the α where it is attained, each [n_pairs]."""
        value, argmax, _ = self._maxima
        return value[:, 0], argmax[:, 0]

    def barrier(self, definition: str = "linear") -> Barrier:
        """The barrier of each path under one of `BARRIER_DEFINITIONS`; ValueError for any other name."""
        known("barrier definition", definition, BARRIER_DEFINITIONS)
        start, end = self.endpoints.T
        own = 2 * self.error if self.kind == "approximate" and self.error is not None else None
        if definition == "midpoint":
            middle = self(np.array([0.5]))[:, 0]
            return Barrier(definition, middle - (start + end) / 2, np.full(self.n_pairs, 0.5), own)
        column = 1 if definition == "linear" else 0
        value, argmax = self._maxima[0][:, column], self._maxima[1][:, column]
        error = None if self._maxima[2] is None else self._maxima[2][:, column]
        if own is not None:
            error = own if error is None else error + own
        reference = {"linear": start, "mean_endpoints": (start + end) / 2, "max_endpoint": np.maximum(start, end)}
        return Barrier(definition, value - reference[definition], argmax, error)

    def alphas_of_shape(self, alphas: ArrayLike) -> Array:
        """`alphas` as [1 or n_pairs, n_alphas], checked to be finite and in [0, 1]."""
        array = np.atleast_1d(finite("alphas", alphas))
        if array.ndim > 2 or (array.ndim == 2 and array.shape[0] not in (1, self.n_pairs)):
            raise ValueError(f"alphas has shape {array.shape}; give [n_alphas] or [{self.n_pairs}, n_alphas]")
        if array.size and (array.min() < 0 or array.max() > 1):
            raise ValueError(f"alphas span [{array.min():g}, {array.max():g}]; a path is defined on [0, 1]")
        return np.atleast_2d(array)


def barriers_on_grid(alphas: ArrayLike, losses: ArrayLike, definition: str = "linear") -> Barrier:
    """Barriers of curves measured on a grid: losses (or errors) [n_pairs, n_alphas] at alphas [n_alphas].

    The maximum is over the grid, hence at most that of the curve: for the quartic α²(1−α)² a grid of n
    equidistant points misses up to a fraction 2/(n−1)² if n is even, nothing if n is odd. NaN where a
    curve holds a NaN (a diverged network), other pairs are not disturbed.

    Raises ValueError for an unknown definition, shapes that do not fit, or a grid without α = 0 and 1 (½
    for `midpoint`).
    """
    known("barrier definition", definition, BARRIER_DEFINITIONS)
    grid, values = finite("alphas", alphas), np.asarray(losses, dtype=np.float64)
    if grid.ndim != 1 or values.ndim != 2 or values.shape[1] != grid.size:
        raise ValueError(f"alphas has shape {grid.shape} and losses {values.shape}; give [n_alphas] and [n_pairs, n_alphas]")
    places = {}
    for needed in (0.0, 1.0) + ((0.5,) if definition == "midpoint" else ()):
        found = np.flatnonzero(grid == needed)
        if found.size == 0:
            raise ValueError(
                f"alphas do not hold {needed:g}, which the barrier {definition!r} needs; np.linspace(0, 1, n) with an odd n holds 0, 1/2 and 1"
            )
        places[needed] = int(found[0])
    if grid.min() < 0 or grid.max() > 1:
        raise ValueError(f"alphas span [{grid.min():g}, {grid.max():g}]; a path is defined on [0, 1]")
    start, end = values[:, places[0.0]], values[:, places[1.0]]
    if definition == "midpoint":
        return Barrier(definition, values[:, places[0.5]] - (start + end) / 2, np.full(len(values), 0.5))
    if definition == "linear":
        height = values - (np.outer(start, 1 - grid) + np.outer(end, grid))
        ends = [places[0.0], places[1.0]]
        height[:, ends] = np.where(np.isnan(height[:, ends]), np.nan, 0.0)  # 0 without rounding
    else:
        reference = (start + end) / 2 if definition == "mean_endpoints" else np.maximum(start, end)
        height = values - reference[:, None]
    best = np.argmax(height, axis=1)
    value = height[np.arange(len(height)), best]
    return Barrier(definition, value, np.where(np.isnan(value), np.nan, grid[best]))


class SmoothCurve(Curve):
    """A curve given by a function for its value and derivative.

    evaluate(rows [n], alphas [n, k], with_derivative) -> L [n, k] and dL/dα [n, k] (or None) of the pairs
    `rows`, exact to rounding: that is what kind "exact" refers to. The maximum is searched: cubic Hermite
    pieces through values and slopes on `n_grid` equidistant points (odd, so ½ is one) pick an interval, and
    safeguarded cubic steps on the sign of the derivative refine it, all pairs at once. The result is a value
    that the curve attains, to about 1e-15 of max L the top of the hill it lies on; a higher hill narrower
    than a grid interval may be missed. `error` estimates by how much: the Hermite error is measured by
    predicting every second grid point from the others, and the estimate is how far any other piece, so
    widened, rises above the value returned. It says nothing of features that the grid does not show.
    """

    def __init__(self, n_pairs: int, evaluate: Evaluate, n_grid: int = 33) -> None:
        if n_grid < 5 or n_grid % 4 != 1:
            raise ValueError(f"n_grid is {n_grid}; give 4 j + 1 points (1/2 is one also at twice the step)")
        self.n_pairs = n_pairs
        self._evaluate = evaluate
        self._grid = np.linspace(0.0, 1.0, n_grid)

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

    @cached_property
    def endpoints(self) -> Array:
        return self._grid_values[0][:, [0, -1]]

    def tilted_maxima(self, slopes: Array) -> tuple[Array, Array, Array | None]:
        grid, shape = self._grid, slopes.shape
        tilts = slopes[:, :, None]
        values = self._grid_values[0][:, None, :] - tilts * grid  # [n_pairs, k, n_grid]
        rates = self._grid_values[1][:, None, :] - tilts
        tops, offsets = _hermite_top(values[..., :-1], values[..., 1:], rates[..., :-1], rates[..., 1:], grid[1] - grid[0])
        chosen, at = np.argmax(tops, axis=2), np.argmax(values, axis=2)
        best, argmax = _pick(values, at), grid[at]
        trial = grid[chosen] + _pick(offsets, chosen)

        # Each bracket, in rows (α, value, slope), keeps a top inside: its left end rises, its right end falls
        # or is the grid's.
        left = np.stack([grid[chosen], _pick(values, chosen), _pick(rates, chosen)])
        right = np.stack([grid[chosen + 1], _pick(values, chosen + 1), _pick(rates, chosen + 1)])
        tolerance = 1e-15 * np.abs(self._grid_values[0]).max(axis=1)[:, None]
        rows = np.arange(self.n_pairs)
        for _ in range(12):
            value, rate = self._evaluate(rows, trial[rows], True)
            assert rate is not None
            point = np.stack([trial[rows], value - slopes[rows] * trial[rows], rate - slopes[rows]])
            better = point[1] > best[rows]
            best[rows] = np.where(better, point[1], best[rows])
            argmax[rows] = np.where(better, point[0], argmax[rows])
            rising = point[2] > 0
            left[:, rows] = np.where(rising, point, left[:, rows])
            right[:, rows] = np.where(rising, right[:, rows], point)
            width = right[0] - left[0]
            step = _hermite_top(left[1], right[1], left[2], right[2], width)[1]
            following = left[0] + np.where((step > 0) & (step < width), step, width / 2)
            gain = np.zeros(shape)
            gain[rows] = np.abs(point[2] * (following[rows] - point[0]))
            trial = following
            rows = np.flatnonzero((gain > tolerance).any(axis=1))
            if rows.size == 0:
                break

        # The error of a Hermite piece has the shape 16 t² (1−t)², t ∈ [0, 1] across the piece.
        step = grid[1] - grid[0]
        excess = np.zeros(shape)
        for t in (offsets / step, 0.25, 0.5, 0.75):
            height = _hermite(values[..., :-1], values[..., 1:], step * rates[..., :-1], step * rates[..., 1:], t)
            height += self._interpolation_error[:, None, :] * (4 * t * (1 - t)) ** 2
            np.put_along_axis(height, chosen[:, :, None], -np.inf, axis=2)  # refined, so no interpolation
            excess = np.maximum(excess, height.max(axis=2) - best)
        return best, argmax, excess

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


def _hermite(value_0: Array, value_1: Array, s0: Array, s1: Array, t: Array | float) -> Array:
    """The cubic with these values and slopes at t = 0 and 1."""
    rise = value_1 - value_0
    return np.asarray(value_0 + t * (s0 + t * (3 * rise - 2 * s0 - s1 + t * (s0 + s1 - 2 * rise))))


def _hermite_top(value_0: Array, value_1: Array, slope_0: Array, slope_1: Array, width: Array | float) -> tuple[Array, Array]:
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
