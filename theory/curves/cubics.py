"""Cubic polynomials given by values and slopes at the ends of an interval (Hermite interpolation)."""

from __future__ import annotations

import numpy as np

from theory.arguments import Array


def cubic_value(value_0: Array, value_1: Array, slope_0: Array, slope_1: Array, t: Array | float) -> Array:
    """The cubic at t, from its values and slopes at t = 0 and 1.

    Example:
        >>> zero, one = np.array(0.0), np.array(1.0)
        >>> float(cubic_value(zero, one, zero, zero, 0.5))  # 3t² − 2t³
        0.5
    """
    rise = value_1 - value_0
    square, cubic = 3 * rise - 2 * slope_0 - slope_1, slope_0 + slope_1 - 2 * rise
    return np.asarray(value_0 + t * (slope_0 + t * (square + t * cubic)))


def cubic_top(
    value_0: Array, value_1: Array, slope_0: Array, slope_1: Array, width: Array | float
) -> tuple[Array, Array]:
    """The maximum over [0, width] of the cubic with these values and slopes at the ends, and where in [0, width] it is.

    Example:
        >>> zero, one = np.array(0.0), np.array(1.0)
        >>> top, place = cubic_top(zero, zero, one, -one, 1.0)  # t − t²
        >>> float(top), float(place)
        (0.25, 0.5)
    """
    s0, s1, rise = slope_0 * width, slope_1 * width, value_1 - value_0
    square, cubic = 3 * rise - 2 * s0 - s1, s0 + s1 - 2 * rise
    # the slope is s0 + 2 square t + 3 cubic t²; of its two roots the one where it falls, without cancellation
    root = np.sqrt(np.maximum(square**2 - 3 * cubic * s0, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(square <= 0, s0 / (root - square), -(square + root) / (3 * cubic))
    higher_end = np.where(rise > 0, 1.0, 0.0)
    t = np.where((t > 0) & (t < 1), t, higher_end)
    value = cubic_value(value_0, value_1, s0, s1, t)
    top = np.maximum(value, np.maximum(value_0, value_1))
    return top, np.where(value >= top, t, higher_end) * width
