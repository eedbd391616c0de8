"""Curves that are polynomials, or polynomials on pieces, and their exact maxima.

The maximum of a polynomial p over an interval is at an end or at a root of p'. Roots are found without
eigenvalues: between two neighbouring critical points p is monotone, so each root is alone in a bracket, and
the critical points are the roots of p', one degree lower. This finds every sign change, is indifferent to
leading coefficients that vanish, and runs for all polynomials of a batch at once.

Coefficients are ascending: p(α) = Σ_k c_k α^k, array [..., degree + 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.curves.curve import Curve
from theory.layers import Array, finite


def polynomial_value(coefficients: Array, x: Array) -> Array:
    """p(x) by Horner's rule; coefficients [..., degree + 1], x broadcasts with [...]."""
    shape = np.broadcast_shapes(coefficients.shape[:-1], x.shape)
    value = np.broadcast_to(coefficients[..., -1], shape).copy()
    for k in range(coefficients.shape[-1] - 2, -1, -1):
        value *= x
        value += coefficients[..., k]
    return value


def polynomial_derivative(coefficients: Array) -> Array:
    """Coefficients of p', [..., max(degree, 1)]."""
    if coefficients.shape[-1] == 1:
        return np.zeros_like(coefficients)
    return coefficients[..., 1:] * np.arange(1, coefficients.shape[-1])


def sign_changes(coefficients: Array, low: Array, high: Array) -> Array:
    """Points of [low, high] among which is every sign change of p there, ascending, [n, degree].

    coefficients [n, degree + 1], low and high [n]. Columns that are no sign change hold an end of a bracket.
    """
    degree = coefficients.shape[-1] - 1
    if degree == 0:
        return np.empty((len(coefficients), 0))
    inner = sign_changes(polynomial_derivative(coefficients), low, high)
    edges = np.concatenate([low[:, None], inner, high[:, None]], axis=1)
    return _bracketed_roots(coefficients[:, None, :], edges[:, :-1], edges[:, 1:])


def _bracketed_roots(coefficients: Array, left: Array, right: Array) -> Array:
    """The root in each bracket [left, right], on which p is monotone; an end where p does not change sign.

    Newton's step where it stays inside the bracket, else bisection. 60 steps at most: a multiple root, near
    which p is flat, may be left at 1e-10, any other converges to rounding in a few.
    """
    slopes = polynomial_derivative(coefficients)
    at_left, at_right = polynomial_value(coefficients, left), polynomial_value(coefficients, right)
    changes = np.signbit(at_left) != np.signbit(at_right)
    ascending = at_left < at_right
    end = np.where(np.abs(at_left) < np.abs(at_right), left, right)
    left, right = np.where(changes, left, end), np.where(changes, right, end)
    x = (left + right) / 2
    for _ in range(60):
        value = polynomial_value(coefficients, x)
        above = (value > 0) == ascending
        right, left = np.where(above, x, right), np.where(above, left, x)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = x - value / polynomial_value(slopes, x)
        following = np.where((newton >= left) & (newton <= right), newton, (left + right) / 2)
        moved = np.abs(following - x)
        x = np.where(changes, following, end)
        if not (changes & (moved > 2e-16)).any():
            break
    return np.asarray(x)


def polynomial_maximum(coefficients: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """max of p over [low, high] and its place, each [n]; coefficients [n, degree + 1]."""
    inner = sign_changes(polynomial_derivative(coefficients), low, high)
    points = np.concatenate([low[:, None], high[:, None], inner], axis=1)
    values = polynomial_value(coefficients[:, None, :], points)
    best = np.argmax(values, axis=1)[:, None]
    return np.take_along_axis(values, best, 1)[:, 0], np.take_along_axis(points, best, 1)[:, 0]


class PolynomialCurve(Curve):
    """One polynomial in α for each pair: coefficients [n_pairs, degree + 1], ascending. Maxima are exact.

    Evaluated in the monomial basis: errors are a few ulp of Σ_k |c_k|, which for losses of networks of
    moderate depth is the loss's own scale.
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

    starts       [n_pieces]              left ends, ascending within a pair, the first of each pair 0
    coefficients [n_pieces, degree + 1]  in powers of α itself (not of α minus the start)
    offsets      [n_pairs + 1]           pair p holds the pieces offsets[p] … offsets[p + 1] − 1
    A piece ends where the next begins, the last of a pair at 1.
    """

    def __init__(self, starts: ArrayLike, coefficients: ArrayLike, offsets: ArrayLike) -> None:
        self.starts = finite("starts", starts)
        self.coefficients = finite("coefficients", coefficients)
        self.offsets = np.asarray(offsets, dtype=np.int64)
        if self.starts.ndim != 1 or self.coefficients.shape[:-1] != self.starts.shape:
            raise ValueError(
                f"starts has shape {self.starts.shape} and coefficients {self.coefficients.shape}; give [n_pieces] and [n_pieces, degree + 1]"
            )
        counts = np.diff(self.offsets)
        if self.offsets[0] != 0 or self.offsets[-1] != self.starts.size or (counts < 1).any():
            raise ValueError(
                "offsets must rise from 0 to n_pieces, with at least one piece for each pair; "
                f"got {self.offsets[0]} to {self.offsets[-1]} for {self.starts.size} pieces"
            )
        first = self.offsets[:-1]
        descends = np.diff(self.starts) < 0
        descends[first[1:] - 1] = False
        if (self.starts[first] != 0).any() or descends.any():
            raise ValueError("starts must begin at 0 for each pair and ascend within it")
        self.n_pairs = counts.size

    def _piece(self, alphas: Array) -> NDArray[np.int64]:
        """Index of the last piece that starts at or before each alpha, [n_pairs, n_alphas], by bisection."""
        shape = (self.n_pairs, alphas.shape[1])
        low = np.broadcast_to(self.offsets[:-1, None], shape).copy()
        high = np.broadcast_to(self.offsets[1:, None], shape).copy()
        while (high - low > 1).any():
            middle = (low + high) // 2
            before = self.starts[middle] <= alphas
            low, high = np.where(before, middle, low), np.where(before, high, middle)
        return low

    def __call__(self, alphas: ArrayLike) -> Array:
        array = self.alphas_of_shape(alphas)
        return polynomial_value(self.coefficients[self._piece(array)], array)

    def derivative(self, alphas: ArrayLike) -> Array:
        array = self.alphas_of_shape(alphas)
        return polynomial_value(polynomial_derivative(self.coefficients[self._piece(array)]), array)

    def tilted_maxima(self, slopes: Array) -> tuple[Array, Array, None]:
        counts, last = np.diff(self.offsets), self.offsets[1:] - 1
        ends = np.append(self.starts[1:], 1.0)
        ends[last] = 1.0
        width = ends - self.starts
        at_one = np.ones(self.n_pairs)
        start_values = polynomial_value(self.coefficients, self.starts)
        end_values = polynomial_value(self.coefficients[last], at_one)
        rates = polynomial_value(polynomial_derivative(self.coefficients), self.starts)
        # K ≥ |p''| on [0, 1]: the sum of its coefficients' magnitudes.
        order = np.arange(self.coefficients.shape[1])
        bound = np.abs(self.coefficients) @ (order * (order - 1.0))
        best, argmax = np.empty(slopes.shape), np.empty(slopes.shape)
        for column in range(slopes.shape[1]):
            slope = slopes[:, column]
            tilt = np.repeat(slope, counts)
            values = start_values - tilt * self.starts
            attained = np.maximum(np.maximum.reduceat(values, self.offsets[:-1]), end_values - slope)
            # Search only pieces that may rise above all breakpoints: p(s + t) ≤ p(s) + t p'(s)₊ + ½ t² K.
            ceiling = values + width * (np.maximum(rates - tilt, 0.0) + width * bound / 2)
            searched = np.flatnonzero(ceiling > np.repeat(attained, counts))
            tops, places = polynomial_maximum(
                _tilt(self.coefficients[searched], tilt[searched]), self.starts[searched], ends[searched]
            )
            candidates = np.concatenate([values, end_values - slope, tops])
            where = np.concatenate([self.starts, at_one, places])
            pair = np.repeat(np.arange(self.n_pairs), counts)
            owner = np.concatenate([pair, np.arange(self.n_pairs), pair[searched]])
            np.maximum.at(attained, pair[searched], tops)
            attains = np.flatnonzero(candidates == attained[owner])
            best[:, column] = attained
            argmax[owner[attains], column] = where[attains]
        return best, argmax, None


def _tilt(coefficients: Array, slope: Array) -> Array:
    """Coefficients of p(α) − slope·α, of degree one at least."""
    shape = np.broadcast_shapes(coefficients.shape[:-1], slope.shape)
    tilted = np.zeros((*shape, max(2, coefficients.shape[-1])))
    tilted[..., : coefficients.shape[-1]] = coefficients
    tilted[..., 1] -= slope
    return tilted
