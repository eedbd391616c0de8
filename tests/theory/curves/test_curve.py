"""Curves, their maxima and their barriers, against grids and hand-made shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import BARRIER_DEFINITIONS, PiecewisePolynomialCurve, PolynomialCurve, barriers_on_grid
from theory.curves.curve import Curve

GRID = np.linspace(0, 1, 4001)


def test_hand_made_barriers():
    """Straight from 3 down to 1; a hill α(1−α) on the flat; a quartic of height 1/32 at one half."""
    straight, hill, quartic = [3.0, -2.0, 0, 0, 0], [1.0, 1.0, -1.0, 0, 0], [0, 0, 0.5, -1.0, 0.5]
    curve = PolynomialCurve([straight, hill, quartic])
    expected = {
        "linear": [0, 0.25, 1 / 32],
        "mean_endpoints": [1, 0.25, 1 / 32],
        "max_endpoint": [0, 0.25, 1 / 32],
        "midpoint": [0, 0.25, 1 / 32],
    }
    for definition, values in expected.items():
        for barrier in (curve.barrier(definition), barriers_on_grid(GRID, curve(GRID), definition)):
            np.testing.assert_allclose(barrier.value, values, atol=1e-15)
            np.testing.assert_allclose(barrier.argmax[1:], 0.5, atol=1e-12)
            assert barrier.definition == definition
    assert curve.barrier("mean_endpoints").argmax[0] == 0.0


def test_linear_has_its_own_maximiser():
    # The top of L and the top of L minus its chord lie apart on a tilted hill.
    curve = PolynomialCurve([[0.0, 3.0, -2.0]])  # 3α − 2α²; minus its chord α: 2α − 2α²
    assert curve.barrier("linear").argmax == pytest.approx(0.5)
    assert curve.barrier("linear").value == pytest.approx(0.5)
    assert curve.barrier("max_endpoint").argmax == pytest.approx(0.75)
    assert curve.barrier("max_endpoint").value == pytest.approx(9 / 8 - 1)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), degree=st.integers(0, 12), sparse=st.booleans())
def test_polynomial_maximum_is_the_top_of_a_grid(seed, degree, sparse):
    rng = np.random.default_rng(seed)
    coefficients = rng.standard_normal((20, degree + 1)) * (rng.random((20, degree + 1)) < 0.5 if sparse else 1)
    curve = PolynomialCurve(coefficients)
    value, argmax = curve.maximum()
    on_grid = curve(GRID).max(axis=1)
    lipschitz = np.abs(coefficients) @ np.arange(degree + 1)
    assert (value >= on_grid - 1e-13).all()
    assert (value <= on_grid + lipschitz / 8000 + 1e-13).all()
    np.testing.assert_allclose(curve(argmax[:, None])[:, 0], value, atol=1e-13)


def test_polynomial_maximum_against_numpy_roots():
    rng = np.random.default_rng(3)
    for coefficients in rng.standard_normal((30, 9)):
        roots = np.polynomial.Polynomial(coefficients).deriv().roots()
        inside = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real > 0) & (roots.real < 1)]
        expected = np.polynomial.Polynomial(coefficients)(np.append(inside, [0, 1])).max()
        assert PolynomialCurve(coefficients[None]).maximum()[0] == pytest.approx(expected, abs=1e-13)


def test_two_equal_tops_and_a_flat_curve():
    value, argmax = PolynomialCurve([[0.0, 4.0, -20.0, 32.0, -16.0], [7.0, 0, 0, 0, 0]]).maximum()
    np.testing.assert_allclose(value, [0.25, 7.0], atol=1e-15)  # T₄ on [0, 1] touches its top twice
    assert 0 <= argmax[1] <= 1


def test_piecewise_polynomial():
    # A tent with its top at 0.3, and a parabola cut into a rising and a falling piece of its own.
    starts = [0.0, 0.3, 0.0, 0.2, 0.9]
    coefficients = [[0, 1.0, 0], [0.6, -1.0, 0], [0, 1.0, -1.0], [0, 1.0, -1.0], [0, 1.0, -1.0]]
    curve = PiecewisePolynomialCurve(starts, coefficients, [0, 2, 5])
    value, argmax = curve.maximum()
    np.testing.assert_allclose(value, [0.3, 0.25], atol=1e-15)
    np.testing.assert_allclose(argmax, [0.3, 0.5], atol=1e-12)
    np.testing.assert_allclose(curve([0.1, 0.3, 1.0]), [[0.1, 0.3, -0.4], [0.09, 0.21, 0.0]], atol=1e-15)
    np.testing.assert_allclose(curve.derivative([0.1, 0.3, 1.0]), [[1, -1, -1], [0.8, 0.4, -1]], atol=1e-15)
    np.testing.assert_allclose(curve([[0.1], [0.5]]), [[0.1], [0.25]], atol=1e-15)
    np.testing.assert_allclose(curve.barrier("linear").value, [0.3 + 0.4 * 0.3, 0.25], atol=1e-15)


def test_grid_barriers_leave_diverged_pairs_alone():
    losses = np.array([[1.0, 2.0, 1.0], [1.0, np.nan, 1.0]])
    for definition in BARRIER_DEFINITIONS:
        barrier = barriers_on_grid([0, 0.5, 1], losses, definition)
        assert barrier.value[0] == 1.0
        assert np.isnan(barrier.value[1])


def test_even_grids_underestimate():
    quartic = PolynomialCurve([[0, 0, 0.5, -1.0, 0.5]])
    for n in (10, 26):
        grid = np.linspace(0, 1, n)
        missed = 1 - barriers_on_grid(grid, quartic(grid)).value * 32
        assert missed == pytest.approx(2 / (n - 1) ** 2, rel=0.05)


def test_refusals():
    curve = PolynomialCurve([[0.0, 1.0]])
    with pytest.raises(ValueError, match=r"'linaer' is not known; did you mean 'linear'\?.*'midpoint'"):
        curve.barrier("linaer")
    with pytest.raises(ValueError, match="barrier definition 'maximum' is not known"):
        barriers_on_grid([0, 1], [[0, 1]], "maximum")
    with pytest.raises(ValueError, match="alphas do not hold 1, which the barrier 'linear' needs"):
        barriers_on_grid([0, 0.9], [[0, 1]])
    with pytest.raises(ValueError, match=r"alphas do not hold 0\.5, which the barrier 'midpoint' needs"):
        barriers_on_grid([0, 1], [[0, 1]], "midpoint")
    with pytest.raises(ValueError, match=r"alphas has shape \(2,\) and losses \(1, 3\)"):
        barriers_on_grid([0, 1], [[0, 1, 2]])
    with pytest.raises(ValueError, match=r"alphas span \[0, 2\]"):
        barriers_on_grid([0, 1, 2], [[0, 1, 2]])
    with pytest.raises(ValueError, match=r"alphas span \[0, 1\.5\]; a path is defined on \[0, 1\]"):
        curve([0, 1.5])
    with pytest.raises(ValueError, match=r"give \[n_alphas\] or \[1, n_alphas\]"):
        curve(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="alphas holds 1 non-finite"):
        curve([np.nan])
    with pytest.raises(ValueError, match=r"coefficients has shape \(2,\)"):
        PolynomialCurve([0.0, 1.0])
    with pytest.raises(ValueError, match="starts must begin at 0 for each pair and ascend"):
        PiecewisePolynomialCurve([0.0, 0.5, 0.4], np.zeros((3, 2)), [0, 3])
    with pytest.raises(ValueError, match="offsets must rise from 0 to n_pieces"):
        PiecewisePolynomialCurve([0.0], np.zeros((1, 2)), [0, 2])
    with pytest.raises(ValueError, match=r"give \[n_pieces\] and \[n_pieces, degree \+ 1\]"):
        PiecewisePolynomialCurve([0.0, 0.5], np.zeros((1, 2)), [0, 2])
    with pytest.raises(TypeError, match="abstract"):
        Curve()
