"""Ball arithmetic against rationals; ranges of activations against their values and derivatives in many digits."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.certified.problems import MP_ACTIVATIONS
from theory.certified.intervals import ENCLOSED_ACTIVATIONS, Ball, activation_named, range_of


@settings(deadline=None, max_examples=60)
@given(
    activation=st.sampled_from(ENCLOSED_ACTIVATIONS),
    order=st.integers(0, 2),
    mid=st.floats(-6, 6),
    rad=st.floats(0, 4),
)
def test_ranges_of_activations(activation, order, mid, rad):
    sigma = activation_named(activation, 0.25)
    ball = sigma.range(order, Ball(np.array([mid]), np.array([rad])))
    inside = np.linspace(mid - rad, mid + rad, 400)
    with mp.workdps(40):
        truth = [
            float(mp.diff(MP_ACTIVATIONS[activation], mp.mpf(u), order))
            for u in (mid - rad, mid + 0.3 * rad, mid + rad)
        ]
    values = sigma.derivatives[order][0](inside)
    assert (values >= ball.low).all() and (values <= ball.high).all()
    if activation not in ("relu", "leaky_relu"):
        np.testing.assert_allclose(
            sigma.derivatives[order][0](np.array([mid - rad, mid + 0.3 * rad, mid + rad])), truth, atol=1e-10
        )
        wide = max(values.max() - values.min(), 1e-12)
        assert 2 * ball.rad[0] <= wide * 1.05 + 1e-12  # and no wider than need be


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), size=st.sampled_from([1e-160, 1e-3, 1.0, 1e8]))
def test_ball_arithmetic_holds_exact_results(seed, n, size):
    """Sums of products of members, in rationals, are members."""
    from fractions import Fraction

    rng = np.random.default_rng(seed)
    a, b = (Ball(rng.standard_normal(shape) * size, rng.random(shape) * size * 1e-12) for shape in ((1, n), (n, 1)))
    for sign in (-1, 1):
        member_a, member_b = (
            [Fraction(float(m)) + sign * Fraction(float(r)) for m, r in zip(v.mid.ravel(), v.rad.ravel(), strict=True)]
            for v in (a, b)
        )
        exact = sum((p * q for p, q in zip(member_a, member_b, strict=True)), Fraction(0))
        product = a @ b
        assert Fraction(float(product.low[0, 0])) <= exact <= Fraction(float(product.high[0, 0]))
        terms = (a * Ball(b.mid.T, b.rad.T)).sum(1)
        assert Fraction(float(terms.low[0])) <= exact <= Fraction(float(terms.high[0]))
        total, difference = a.sum(1), Ball(a.mid[:, 0], a.rad[:, 0]) - Ball(b.mid[0], b.rad[0])
        assert Fraction(float(total.low[0])) <= sum(member_a, Fraction(0)) <= Fraction(float(total.high[0]))
        gap = member_a[0] - Fraction(float(b.mid[0, 0])) + sign * Fraction(float(b.rad[0, 0]))
        assert Fraction(float(difference.low[0])) <= gap <= Fraction(float(difference.high[0]))


def test_a_range_holds_turning_points():
    ball = range_of(lambda u: u**3 - u, (-(3**-0.5), 3**-0.5), Ball(np.array([0.0]), np.array([0.9])))
    assert ball.high[0] == pytest.approx(2 / 27**0.5, rel=1e-12)
    assert ball.low[0] <= -2 / 27**0.5
