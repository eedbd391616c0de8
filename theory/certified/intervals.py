"""Ball arithmetic: arrays of real intervals [mid − rad, mid + rad] that no rounding can leave.

Every operation returns a ball that holds the result for all members of its operands (Rump 1999; Rump 2010, Acta
Numerica 19, sec. 2.4 and 9). Outward rounding is by error analysis, not by the processor's rounding mode. With u = 2⁻⁵³
a rounded sum or product is off by u of itself; a rounded sum of n products by γ_n = n u/(1 − n u) of the sum of their
magnitudes, in whatever order it is taken; and each radius is enlarged by what its own rounding can lose. Results below
1e-300 are covered by adding that. Functions (tanh, erf, exp, log of numpy and scipy) are taken to be right to
`FUNCTION_ERROR` of max(1, |f|), some 250 times what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, ndtr

from theory.arguments import Array, known

UNIT = 2.0**-53
TINY = 1e-300
FUNCTION_ERROR = 2.0**-44

ENCLOSED_ACTIVATIONS = ("identity", "square", "relu", "leaky_relu", "erf", "tanh", "gelu")
GELU_MINIMUM = -0.7517915246935645  # where Φ(u) + u φ(u) = 0
TANH_TURN = float(np.arctanh(1 / np.sqrt(3)))  # where |tanh″| is largest


@dataclass(frozen=True)
class Ball:
    """Intervals mid ± rad, two arrays of one shape; +, −, × and @ broadcast as numpy's do.

    Example:
        >>> third, three = Ball.exact(np.array(1 / 3)), Ball.exact(np.array(3.0))
        >>> product = third * three
        >>> bool(product.low < 1 < product.high)  # 1/3 is stored rounded, and so is the product
        True
        >>> wide = Ball.between(np.array(-1.0), np.array(2.0))
        >>> bool((wide * wide).low <= -2.0), bool((wide * wide).high >= 4.0)
        (True, True)
    """

    mid: Array
    rad: Array

    @classmethod
    def exact(cls, value: Array) -> Ball:
        """The numbers themselves."""
        return cls(value, np.zeros_like(value))

    @classmethod
    def between(cls, low: Array, high: Array) -> Ball:
        """A ball that holds [low, high]."""
        mid = (low + high) / 2
        return cls(mid, _up(np.maximum(high - mid, mid - low)))

    @property
    def low(self) -> Array:
        """A lower bound of all members."""
        return np.nextafter(self.mid - self.rad, -np.inf)

    @property
    def high(self) -> Array:
        """An upper bound of all members."""
        return np.nextafter(self.mid + self.rad, np.inf)

    @property
    def magnitude(self) -> Array:
        """An upper bound of |value|."""
        return np.nextafter(np.abs(self.mid) + self.rad, np.inf)

    def widened(self, by: Array) -> Ball:
        """mid ± (rad + by), by ≥ 0."""
        return Ball(self.mid, _up(self.rad + by))

    def __neg__(self) -> Ball:
        return Ball(-self.mid, self.rad)

    def __add__(self, other: Ball) -> Ball:
        mid = self.mid + other.mid
        return Ball(mid, _up(self.rad + other.rad + UNIT * np.abs(mid)))

    def __sub__(self, other: Ball) -> Ball:
        return self + (-other)

    def __mul__(self, other: Ball) -> Ball:
        mid = self.mid * other.mid
        rad = np.abs(self.mid) * other.rad + self.rad * (np.abs(other.mid) + other.rad) + UNIT * np.abs(mid)
        return Ball(mid, _up(rad))

    def __matmul__(self, other: Ball) -> Ball:
        n = self.mid.shape[-1]
        size = np.abs(other.mid)
        rad = np.abs(self.mid) @ (other.rad + _gamma(n) * size)
        if self.rad.any():
            rad += self.rad @ (size + other.rad)
        return Ball(self.mid @ other.mid, _up(rad, n))

    def sum(self, axis: int) -> Ball:
        """The sum along an axis."""
        n = self.mid.shape[axis]
        return Ball(self.mid.sum(axis), _up(self.rad.sum(axis) + _gamma(n) * np.abs(self.mid).sum(axis), n))

    def where(self, condition: NDArray[np.bool_], other: Ball) -> Ball:
        """self where `condition`, else other."""
        return Ball(np.where(condition, self.mid, other.mid), np.where(condition, self.rad, other.rad))


def _up(radius: Array, n_terms: int = 1) -> Array:
    """At least the exact value of a radius that was computed as a sum of n_terms nonnegative terms or a few more."""
    return np.asarray(radius * (1 + (2 * n_terms + 16) * UNIT) + TINY)


def _gamma(n: int) -> float:
    """γ_n = n u/(1 − n u) and a little more."""
    return 1.01 * n * UNIT


def range_of(function: Callable[[Array], Array], turns: Sequence[float], argument: Ball) -> Ball:
    """The range of a function on each interval.

    A turning point is stored rounded: the function there is off by the square of that, far below `FUNCTION_ERROR`.

    Args:
        function: monotone between its turning points.
        turns: the turning points.
        argument: the intervals.

    Example:
        >>> squares = range_of(np.square, (0.0,), Ball.between(np.array(-1.0), np.array(2.0)))
        >>> [round(float(end), 9) + 0.0 for end in (squares.low, squares.high)]
        [0.0, 4.0]
    """
    low, high = argument.low, argument.high
    at_low, at_high = function(low), function(high)
    least, most = np.minimum(at_low, at_high), np.maximum(at_low, at_high)
    for turn in turns:
        value = float(function(np.array(turn)))
        inside = (low < turn) & (turn < high)
        least = np.where(inside, np.minimum(least, value), least)
        most = np.where(inside, np.maximum(most, value), most)
    ball = Ball.between(least, most)
    return ball.widened(FUNCTION_ERROR * np.maximum(1.0, np.maximum(np.abs(least), np.abs(most))))


def _phi(u: Array) -> Array:
    """The standard normal density."""
    return np.asarray(np.exp(-u * u / 2) / np.sqrt(2 * np.pi))


@dataclass(frozen=True)
class Smooth:
    """An activation with what it takes to enclose its values.

    Attributes:
        derivatives: σ, σ′ and σ″, each with its turning points.
        kink: where σ′ jumps; None for nowhere.

    Example:
        >>> slopes = activation_named("relu").range(1, Ball.between(np.array(-1.0), np.array(1.0)))
        >>> bool(slopes.low <= 0 and slopes.high >= 1)  # both one-sided derivatives at the kink
        True
    """

    derivatives: tuple[tuple[Callable[[Array], Array], tuple[float, ...]], ...]
    kink: float | None = None

    def range(self, order: int, argument: Ball) -> Ball:
        """All values of σ^(order) on the intervals `argument`; at a kink both one-sided derivatives and all between."""
        function, turns = self.derivatives[order]
        return range_of(function, turns, argument)


def activation_named(name: str, negative_slope: float = 0.01) -> Smooth:
    """One of `ENCLOSED_ACTIVATIONS`; erf is erf(u/√2), gelu u Φ(u).

    Args:
        name: the activation.
        negative_slope: that of leaky relu.

    Raises:
        ValueError: the name is another.

    Example:
        >>> sigma, turns = activation_named("square").derivatives[0]
        >>> float(sigma(np.array(3.0))), turns
        (9.0, (0.0,))
    """
    known("activation", name, ENCLOSED_ACTIVATIONS)
    if name in ("relu", "leaky_relu"):
        slope = 0.0 if name == "relu" else float(negative_slope)
        return Smooth(
            (
                (lambda u: np.where(u > 0, u, slope * u), (0.0,)),
                (lambda u: np.where(u > 0, 1.0, slope), ()),
                (np.zeros_like, ()),
            ),
            kink=0.0,
        )
    table: dict[str, tuple[tuple[Callable[[Array], Array], tuple[float, ...]], ...]] = {
        "identity": ((lambda u: u, ()), (np.ones_like, ()), (np.zeros_like, ())),
        "square": ((lambda u: u * u, (0.0,)), (lambda u: 2 * u, ()), (lambda u: np.full_like(u, 2.0), ())),
        "tanh": (
            (np.tanh, ()),
            (lambda u: (1 - np.tanh(u)) * (1 + np.tanh(u)), (0.0,)),
            (lambda u: -2 * np.tanh(u) * (1 - np.tanh(u)) * (1 + np.tanh(u)), (-TANH_TURN, TANH_TURN)),
        ),
        "erf": (
            (lambda u: erf(u / np.sqrt(2)), ()),
            (lambda u: 2 * _phi(u), (0.0,)),
            (lambda u: -2 * u * _phi(u), (-1.0, 1.0)),
        ),
        "gelu": (
            (lambda u: u * ndtr(u), (GELU_MINIMUM,)),
            (lambda u: ndtr(u) + u * _phi(u), (-np.sqrt(2.0), np.sqrt(2.0))),
            (lambda u: (2 - u * u) * _phi(u), (-2.0, 0.0, 2.0)),
        ),
    }
    return Smooth(table[name])
