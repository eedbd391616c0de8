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
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from theory.layers import Array, finite, known

BARRIER_DEFINITIONS = ("linear", "mean_endpoints", "max_endpoint", "midpoint")


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
        raise ValueError(
            f"alphas has shape {grid.shape} and losses {values.shape}; give [n_alphas] and [n_pairs, n_alphas]"
        )
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
