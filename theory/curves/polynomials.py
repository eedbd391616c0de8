"""Curves that are polynomials, or polynomials on pieces, and their exact maxima.

The maximum of a polynomial p over an interval is at an end or at a root of p′. Roots are found without eigenvalues:
between two neighbouring critical points p is monotone, so each root is alone in a bracket, and the critical points are
the roots of p′, one degree lower. This finds every sign change, is indifferent to leading coefficients that vanish, and
runs for all polynomials of a batch at once.

Coefficients are ascending: p(α) = Σ_k c_k α^k, array [..., degree + 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.arguments import Array, finite
from theory.curves.curve import Curve

MOST_STEPS = 60  # of Newton or bisection; only a multiple root, near which p is flat, may be left at 1e-10


def polynomial_value(coefficients: Array, x: Array) -> Array:
    """p(x) by Horner's rule; coefficients [..., degree + 1], x broadcasts with [...].

    Example:
        >>> polynomial_value(np.array([1.0, 0.0, 2.0]), np.array([0.0, 3.0]))  # 1 + 2x²
        array([ 1., 19.])
    """
    shape = np.broadcast_shapes(coefficients.shape[:-1], x.shape)
    value = np.broadcast_to(coefficients[..., -1], shape).copy()
    for k in range(coefficients.shape[-1] - 2, -1, -1):
        value *= x
        value += coefficients[..., k]
    return value


def polynomial_derivative(coefficients: Array) -> Array:
    """Coefficients of p′, [..., max(degree, 1)].

    Example:
        >>> polynomial_derivative(np.array([1.0, 5.0, 2.0]))  # of 1 + 5x + 2x²
        array([5., 4.])
    """
    if coefficients.shape[-1] == 1:
        return np.zeros_like(coefficients)
    return coefficients[..., 1:] * np.arange(1, coefficients.shape[-1])


def sign_changes(coefficients: Array, low: Array, high: Array) -> Array:
    """Points of [low, high] among which is every sign change of p there, ascending, [n, degree].

    Args:
        coefficients: [n, degree + 1].
        low: [n].
        high: [n].

    Returns:
        One column for each possible root; a column that is no sign change holds an end of a bracket.

    Example:
        >>> sign_changes(np.array([[-2.0, 0.0, 1.0]]), np.zeros(1), np.full(1, 2.0)).round(6)  # x² − 2 on [0, 2]
        array([[0.      , 1.414214]])
    """
    degree = coefficients.shape[-1] - 1
    if degree == 0:
        return np.empty((len(coefficients), 0))
    critical = sign_changes(polynomial_derivative(coefficients), low, high)
    edges = np.concatenate([low[:, None], critical, high[:, None]], axis=1)
    return _bracketed_roots(coefficients[:, None, :], edges[:, :-1], edges[:, 1:])


def _bracketed_roots(coefficients: Array, left: Array, right: Array) -> Array:
    """The root in each bracket [left, right], on which p is monotone; an end where p does not change sign.

    Newton's step where it stays inside the bracket, else bisection.
    """
    slopes = polynomial_derivative(coefficients)
    value_left, value_right = polynomial_value(coefficients, left), polynomial_value(coefficients, right)
    changes = np.signbit(value_left) != np.signbit(value_right)
    ascending = value_left < value_right
    end = np.where(np.abs(value_left) < np.abs(value_right), left, right)
    left = np.where(changes, left, end)
    right = np.where(changes, right, end)
    x = (left + right) / 2
    for _ in range(MOST_STEPS):
        value = polynomial_value(coefficients, x)
        above = (value > 0) == ascending
        right = np.where(above, x, right)
        left = np.where(above, left, x)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = x - value / polynomial_value(slopes, x)
        following = np.where((newton >= left) & (newton <= right), newton, (left + right) / 2)
        moved = np.abs(following - x)
        x = np.where(changes, following, end)
        if not (changes & (moved > 2e-16)).any():
            break
    return np.asarray(x)


def polynomial_maximum(coefficients: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """max of p over [low, high] and its place, each [n]; coefficients [n, degree + 1].

    Example:
        >>> polynomial_maximum(np.array([[0.0, 3.0, -2.0]]), np.zeros(1), np.ones(1))  # 3x − 2x²
        (array([1.125]), array([0.75]))
    """
    critical = sign_changes(polynomial_derivative(coefficients), low, high)
    points = np.concatenate([low[:, None], high[:, None], critical], axis=1)
    values = polynomial_value(coefficients[:, None, :], points)
    highest = np.argmax(values, axis=1)[:, None]
    return np.take_along_axis(values, highest, 1)[:, 0], np.take_along_axis(points, highest, 1)[:, 0]


class PolynomialCurve(Curve):
    """One polynomial in α for each pair. Maxima are exact.

    Evaluated in the monomial basis: errors are a few ulp of Σ_k |c_k|, which for losses of networks of moderate depth
    is the loss's own scale.

    Args:
        coefficients: [n_pairs, degree + 1], ascending.

    Raises:
        ValueError: they have another shape, or a number is not finite.

    Example:
        >>> curve = PolynomialCurve([[0.0, 0.0, 0.5, -1.0, 0.5]])  # ½ α²(1 − α)²
        >>> curve.barrier().value.item() == 1 / 32, curve.derivative([0.0, 0.5]).tolist()
        (True, [[0.0, 0.0]])
    """

    def __init__(self, coefficients: ArrayLike) -> None:
        self.coefficients = finite("coefficients", coefficients)
        if self.coefficients.ndim != 2 or self.coefficients.shape[1] == 0:
            raise ValueError(f"coefficients has shape {self.coefficients.shape}; give [n_pairs, degree + 1]")
        self.n_pairs = len(self.coefficients)

    def __call__(self, alphas: ArrayLike) -> Array:
        return polynomial_value(self.coefficients[:, None, :], self.alphas_of_shape(alphas))

    def derivative(self, alphas: ArrayLike) -> Array:
        slopes = polynomial_derivative(self.coefficients)
        return polynomial_value(slopes[:, None, :], self.alphas_of_shape(alphas))

    def tilted_maxima(self, slopes: Array) -> tuple[Array, Array, None]:
        tilted = _tilt(self.coefficients[:, None, :], slopes).reshape(slopes.size, -1)
        value, argmax = polynomial_maximum(tilted, np.zeros(slopes.size), np.ones(slopes.size))
        return value.reshape(slopes.shape), argmax.reshape(slopes.shape), None


class PiecewisePolynomialCurve(Curve):
    """A continuous curve of polynomial pieces for each pair. Maxima are exact.

    A piece ends where the next begins, the last of a pair at 1.

    Args:
        starts: [n_pieces], left ends, ascending within a pair; the first of each pair is 0.
        coefficients: [n_pieces, degree + 1], in powers of α itself (not of α minus the start).
        offsets: [n_pairs + 1]; pair p holds the pieces offsets[p] … offsets[p + 1] − 1.

    Raises:
        ValueError: shapes or offsets do not fit, starts are out of order, or a number is not finite.

    Example:
        >>> tent = PiecewisePolynomialCurve([0.0, 0.25], [[0.0, 3.0], [1.0, -1.0]], [0, 2])  # 3α up to ¼, then 1 − α
        >>> tent([0.1, 0.25, 0.5]).round(6).tolist(), tent.barrier().value.tolist(), tent.barrier().argmax.tolist()
        ([[0.3, 0.75, 0.5]], [0.75], [0.25])
    """

    def __init__(self, starts: ArrayLike, coefficients: ArrayLike, offsets: ArrayLike) -> None:
        self.starts = finite("starts", starts)
        self.coefficients = finite("coefficients", coefficients)
        self.offsets = np.atleast_1d(np.asarray(offsets)).astype(np.int64)
        fits = self.starts.ndim == 1 and self.coefficients.shape[:-1] == self.starts.shape
        if not fits or not self.coefficients.shape[-1]:
            raise ValueError(
                f"starts has shape {self.starts.shape} and coefficients {self.coefficients.shape}; "
                "give [n_pieces] and [n_pieces, degree + 1]"
            )
        counts = np.diff(self.offsets)
        if not self.offsets.size or self.offsets[0] != 0 or self.offsets[-1] != self.starts.size or (counts < 1).any():
            raise ValueError(
                "offsets must rise from 0 to n_pieces, with at least one piece for each pair; "
                f"got {self.offsets.tolist()[:1]} to {self.offsets.tolist()[-1:]} for {self.starts.size} pieces"
            )
        first = self.offsets[:-1]
        descends = np.diff(self.starts) < 0
        descends[first[1:] - 1] = False
        if (self.starts[first] != 0).any() or descends.any() or (self.starts > 1).any():
            raise ValueError("starts must begin at 0 for each pair and ascend within it, up to 1")
        self.n_pairs = counts.size

    @property
    def ends(self) -> Array:
        """Right ends of the pieces, [n_pieces]."""
        ends = np.append(self.starts[1:], 1.0)
        ends[self.offsets[1:] - 1] = 1.0
        return ends

    def _piece(self, alphas: Array) -> NDArray[np.int64]:
        """Index of the last piece that starts at or before each alpha, [n_pairs, n_alphas], by bisection."""
        shape = (self.n_pairs, alphas.shape[1])
        low = np.broadcast_to(self.offsets[:-1, None], shape).copy()
        high = np.broadcast_to(self.offsets[1:, None], shape).copy()
        while (high - low > 1).any():
            middle = (low + high) // 2
            before = self.starts[middle] <= alphas
            low = np.where(before, middle, low)
            high = np.where(before, high, middle)
        return low

    def __call__(self, alphas: ArrayLike) -> Array:
        array = self.alphas_of_shape(alphas)
        return polynomial_value(self.coefficients[self._piece(array)], array)

    def derivative(self, alphas: ArrayLike) -> Array:
        array = self.alphas_of_shape(alphas)
        return polynomial_value(polynomial_derivative(self.coefficients[self._piece(array)]), array)

    def tilted_maxima(self, slopes: Array) -> tuple[Array, Array, None]:
        counts = np.diff(self.offsets)
        last = self.offsets[1:] - 1
        ends = self.ends
        width = ends - self.starts
        ones = np.ones(self.n_pairs)
        values_at_start = polynomial_value(self.coefficients, self.starts)
        values_at_one = polynomial_value(self.coefficients[last], ones)
        rates_at_start = polynomial_value(polynomial_derivative(self.coefficients), self.starts)
        # K ≥ |p″| on [0, 1]: the sum of the magnitudes of its coefficients
        order = np.arange(self.coefficients.shape[1])
        largest_curvature = np.abs(self.coefficients) @ (order * (order - 1.0))
        pair_of_piece = np.repeat(np.arange(self.n_pairs), counts)
        best, argmax = np.empty(slopes.shape), np.empty(slopes.shape)
        for column in range(slopes.shape[1]):
            slope = slopes[:, column]
            tilt = np.repeat(slope, counts)
            starts_tilted = values_at_start - tilt * self.starts
            ends_tilted = values_at_one - slope
            attained = np.maximum(np.maximum.reduceat(starts_tilted, self.offsets[:-1]), ends_tilted)
            # search only pieces that may rise above all breakpoints: p(s + t) ≤ p(s) + t p′(s)₊ + ½ t² K
            rise = np.maximum(rates_at_start - tilt, 0.0) + width * largest_curvature / 2
            searched = np.flatnonzero(starts_tilted + width * rise > np.repeat(attained, counts))
            tops, places = polynomial_maximum(
                _tilt(self.coefficients[searched], tilt[searched]), self.starts[searched], ends[searched]
            )
            np.maximum.at(attained, pair_of_piece[searched], tops)
            candidates = np.concatenate([starts_tilted, ends_tilted, tops])
            alphas = np.concatenate([self.starts, ones, places])
            owner = np.concatenate([pair_of_piece, np.arange(self.n_pairs), pair_of_piece[searched]])
            highest = np.flatnonzero(candidates == attained[owner])
            best[:, column] = attained
            argmax[owner[highest], column] = alphas[highest]
        return best, argmax, None


def _tilt(coefficients: Array, slope: Array) -> Array:
    """Coefficients of p(α) − slope·α, of degree one at least."""
    shape = np.broadcast_shapes(coefficients.shape[:-1], slope.shape)
    tilted = np.zeros((*shape, max(2, coefficients.shape[-1])))
    tilted[..., : coefficients.shape[-1]] = coefficients
    tilted[..., 1] -= slope
    return tilted
