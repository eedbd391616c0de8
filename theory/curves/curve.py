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

from theory.arguments import Array, finite, known, real
from theory.shown import Short

BARRIER_DEFINITIONS = ("linear", "mean_endpoints", "max_endpoint", "midpoint")


@dataclass(frozen=True, repr=False)
class Barrier(Short):
    """Barriers of a batch of paths under one definition.

    Attributes:
        definition: one of `BARRIER_DEFINITIONS`.
        value: [n_pairs], in units of the loss.
        argmax: [n_pairs], the α at which it is attained (½ for `midpoint`).
        error: [n_pairs], how far the true value may lie above `value` because a higher hill was missed; of an
            "approximate" curve, also above or below it because the curve itself is off (twice the curve's error: at
            the maximum, and in the level it is measured from). None where all is exact to rounding. The class of the
            curve says whether it is a bound or an estimate.

    Example:
        >>> from theory import PolynomialCurve
        >>> barrier = PolynomialCurve([[1.0, 1.0, -1.0]]).barrier("linear")  # L = 1 + α − α²
        >>> barrier.value.tolist(), barrier.argmax.tolist(), barrier.error
        ([0.25], [0.5], None)
    """

    definition: str
    value: Array
    argmax: Array
    error: Array | None = None


class Curve(ABC):
    """Losses L(α) along n_pairs paths: the base of every analytic curve.

    A subclass gives L, dL/dα and the maxima of L(α) − slope·α; the four barriers follow.

    Attributes:
        n_pairs: how many paths there are.
        kind: "exact" (to rounding), "certified" (`error` is a bound) or "approximate" (`error` is an estimate).
        error: None for exact curves, else [n_pairs] in units of the loss.

    Example:
        >>> from theory import PolynomialCurve
        >>> curve = PolynomialCurve([[3.0, -2.0, 0.0], [0.0, 3.0, -2.0]])  # 3 − 2α and 3α − 2α²
        >>> curve([0.0, 0.5, 1.0]).tolist()
        [[3.0, 2.0, 1.0], [0.0, 1.0, 1.0]]
        >>> [curve.barrier(definition).value.tolist() for definition in ("linear", "mean_endpoints", "max_endpoint")]
        [[0.0, 0.5], [1.0, 0.625], [0.0, 0.125]]
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
        """Maxima over [0, 1] of L(α) − slope·α: value, argmax and error, each of the shape of slopes [n_pairs, k]."""

    @cached_property
    def endpoints(self) -> Array:
        """L(0) and L(1), [n_pairs, 2]."""
        return self(np.array([0.0, 1.0]))

    @cached_property
    def _maxima(self) -> tuple[Array, Array, Array | None]:
        """Maxima of L (column 0) and of L − (L(1) − L(0)) α (column 1)."""
        if not self.n_pairs:
            return np.empty((0, 2)), np.empty((0, 2)), None
        rise = self.endpoints[:, 1] - self.endpoints[:, 0]
        return self.tilted_maxima(np.stack([np.zeros(self.n_pairs), rise], axis=1))

    def maximum(self) -> tuple[Array, Array]:
        """max L over [0, 1] and the α where it is attained, each [n_pairs]."""
        value, argmax, _ = self._maxima
        return value[:, 0], argmax[:, 0]

    def barrier(self, definition: str = "linear") -> Barrier:
        """The barrier of each path.

        Args:
            definition: one of `BARRIER_DEFINITIONS`.

        Raises:
            ValueError: the definition is another.
        """
        known("barrier definition", definition, BARRIER_DEFINITIONS)
        start, end = self.endpoints.T
        error_of_curve = 2 * self.error if self.kind == "approximate" and self.error is not None else None
        if definition == "midpoint":
            middle = self(np.array([0.5]))[:, 0]
            return Barrier(definition, middle - (start + end) / 2, np.full(self.n_pairs, 0.5), error_of_curve)
        values, places, errors = self._maxima
        column = 1 if definition == "linear" else 0
        level = start if definition == "linear" else level_of_ends(definition, start, end)
        error = None if errors is None else errors[:, column]
        if error_of_curve is not None:
            error = error_of_curve if error is None else error + error_of_curve
        return Barrier(definition, values[:, column] - level, places[:, column], error)

    def alphas_of_shape(self, alphas: ArrayLike) -> Array:
        """`alphas` as [1 or n_pairs, n_alphas].

        Raises:
            ValueError: they are not finite, not in [0, 1], or have another shape.
        """
        array = np.atleast_1d(finite("alphas", alphas))
        if array.ndim > 2 or (array.ndim == 2 and array.shape[0] not in (1, self.n_pairs)):
            raise ValueError(f"alphas has shape {array.shape}; give [n_alphas] or [{self.n_pairs}, n_alphas]")
        check_range(array)
        return np.atleast_2d(array)


def level_of_ends(definition: str, start: Array, end: Array) -> Array:
    """The level from which `mean_endpoints` and `max_endpoint` measure the maximum, from L(0) and L(1).

    Raises:
        ValueError: the definition has no such level.

    Example:
        >>> ends = np.array([1.0]), np.array([2.0])
        >>> level_of_ends("mean_endpoints", *ends).item(), level_of_ends("max_endpoint", *ends).item()
        (1.5, 2.0)
    """
    if definition == "mean_endpoints":
        return (start + end) / 2
    if definition == "max_endpoint":
        return np.maximum(start, end)
    raise ValueError(f"the barrier {definition!r} has no one level; mean_endpoints and max_endpoint do")


def check_range(alphas: Array) -> None:
    """ValueError unless all alphas are in [0, 1].

    Example:
        >>> check_range(np.array([0.5, 2.0]))
        Traceback (most recent call last):
        ValueError: alphas span [0.5, 2]; a path is defined on [0, 1]
    """
    if alphas.size and (alphas.min() < 0 or alphas.max() > 1):
        raise ValueError(f"alphas span [{alphas.min():g}, {alphas.max():g}]; a path is defined on [0, 1]")


def _index_of(alpha: float, grid: Array, definition: str) -> int:
    """Where `grid` holds `alpha`; ValueError if it does not."""
    found = np.flatnonzero(grid == alpha)
    if found.size == 0:
        raise ValueError(
            f"alphas do not hold {alpha:g}, which the barrier {definition!r} needs; "
            "np.linspace(0, 1, n) with an odd n holds 0, 1/2 and 1"
        )
    return int(found[0])


def barriers_on_grid(alphas: ArrayLike, losses: ArrayLike, definition: str = "linear") -> Barrier:
    """Barriers of curves measured on a grid.

    The maximum is over the grid, hence at most that of the curve: for the quartic α²(1−α)² a grid of n equidistant
    points misses up to a fraction 2/(n−1)² if n is even, nothing if n is odd.

    Args:
        alphas: [n_alphas] in [0, 1], with 0 and 1 among them, and ½ for `midpoint`.
        losses: [n_pairs, n_alphas], losses or errors.
        definition: one of `BARRIER_DEFINITIONS`.

    Returns:
        The barriers, NaN for a pair whose curve holds a NaN or ends in an infinity (a diverged network); other pairs
        are not disturbed.

    Raises:
        ValueError: the definition is unknown, shapes do not fit, or the grid lacks an α that the definition needs.

    Example:
        >>> barrier = barriers_on_grid([0, 0.5, 1], [[1.0, 2.5, 2.0], [1.0, 1.0, 2.0]])
        >>> barrier.value.tolist(), barrier.argmax.tolist()
        ([1.0, 0.0], [0.5, 0.0])
    """
    known("barrier definition", definition, BARRIER_DEFINITIONS)
    grid = finite("alphas", alphas)
    values = real("losses", losses)
    if grid.ndim != 1 or values.ndim != 2 or values.shape[1] != grid.size:
        raise ValueError(
            f"alphas has shape {grid.shape} and losses {values.shape}; give [n_alphas] and [n_pairs, n_alphas]"
        )
    first, last = _index_of(0.0, grid, definition), _index_of(1.0, grid, definition)
    middle = _index_of(0.5, grid, definition) if definition == "midpoint" else None
    check_range(grid)
    # a diverged network's loss may be infinite: its barrier is NaN, without a warning
    values = np.where(np.isinf(values[:, [first, last]]).any(axis=1, keepdims=True), np.nan, values)
    start, end = values[:, first], values[:, last]
    if middle is not None:
        return Barrier(definition, values[:, middle] - (start + end) / 2, np.full(len(values), 0.5))
    if definition == "linear":
        height = values - (np.outer(start, 1 - grid) + np.outer(end, grid))
        ends = [first, last]
        height[:, ends] = np.where(np.isnan(height[:, ends]), np.nan, 0.0)  # 0 without rounding
    else:
        height = values - level_of_ends(definition, start, end)[:, None]
    highest = np.argmax(height, axis=1)
    value = height[np.arange(len(height)), highest]
    return Barrier(definition, value, np.where(np.isnan(value), np.nan, grid[highest]))
