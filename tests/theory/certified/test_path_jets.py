"""Bounds of the loss on points and pieces, against values in thirty digits."""

import mpmath as mp
import numpy as np
import pytest

from tests.theory.certified.problems import MP_ACTIVATIONS, problem, single
from theory import certified_path
from theory.certified.intervals import ENCLOSED_ACTIVATIONS
from theory.certified.path_jets import half_width


def in_thirty_digits(a, b, x, y, alpha, activation, loss):
    """L(α) of one pair by mpmath, a scalar at a time."""
    with mp.workdps(30):
        t, total = mp.mpf(float(alpha)), mp.mpf(0)
        for sample, target in zip(x, y, strict=True):
            h = [mp.mpf(float(v)) for v in sample]
            for index, ((wa, ba), (wb, bb)) in enumerate(zip(a, b, strict=True)):
                if index > 0:
                    h = [MP_ACTIVATIONS[activation](v) for v in h]
                h = [
                    sum(
                        ((1 - t) * mp.mpf(float(p)) + t * mp.mpf(float(q))) * v
                        for p, q, v in zip(row_a, row_b, h, strict=True)
                    )
                    + (1 - t) * mp.mpf(float(bias_a))
                    + t * mp.mpf(float(bias_b))
                    for row_a, row_b, bias_a, bias_b in zip(wa, wb, ba, bb, strict=True)
                ]
            if loss == "mse":
                total += sum((v - mp.mpf(float(u))) ** 2 for v, u in zip(h, target, strict=True)) / 2
            else:
                total += mp.log(sum(mp.exp(v) for v in h)) - h[int(target)]
        return total / len(x)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("activation", ENCLOSED_ACTIVATIONS)
def test_values_in_thirty_digits_lie_inside(activation, loss):
    """Points: within the ball of rounding. Pieces: below the upper bound L(c) + G t + ½ M t² at every t."""
    a, b, x, y = problem(1, (2, 3, 3, 2), loss, 1, 4)
    curve = certified_path(a, b, x, y, activation, loss=loss, negative_slope=0.25)
    centres, radius = np.array([0.1, 0.37, 0.5, 0.93]), 0.06
    bound = curve.problem.bounds(np.zeros(4, dtype=int), centres - radius, centres + radius)
    for row, centre in enumerate(centres):
        middle = ((centre - radius) + (centre + radius)) / 2
        truth = in_thirty_digits(single(a, 0), single(b, 0), x, y, middle, activation, loss)
        assert bound.value.low[row] <= truth <= bound.value.high[row]
        assert bound.value.rad[row] < 1e-9
        for t in (-0.06, -0.031, 0.017, 0.0599):
            value = float(in_thirty_digits(single(a, 0), single(b, 0), x, y, middle + t, activation, loss))
            slope = (bound.slope.high if t > 0 else bound.slope.low)[row]
            assert value <= bound.value.high[row] + slope * t + bound.curvature[row] * t * t / 2 + 1e-13


def test_half_width_holds_the_ends():
    left, right = np.array([0.1, 1 / 3]), np.array([0.30000000000000004, 2 / 3])
    centre, r = (left + right) / 2, half_width(left, right)
    assert (centre - r <= left).all() and (centre + r >= right).all()
