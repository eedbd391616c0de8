"""The curvature's bound holds for every kind of curve, and is attained by shapes made by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.theory.problems import networks
from theory import (
    PiecewisePolynomialCurve,
    PolynomialCurve,
    SecondMoments,
    SmoothCurve,
    curvature_bound,
    deep_piecewise_path,
    linear_path,
)


@given(seed=st.integers(0, 2**32 - 1), depth=st.integers(2, 3), biased=st.booleans())
def test_curvature_bounds_the_barrier(seed, depth, biased):
    rng = np.random.default_rng(seed)
    widths = (2, *[3] * (depth - 1), 1)
    a, b = networks(rng, 3, widths, biased), networks(rng, 3, widths, biased)
    x, y = rng.standard_normal((9, 2)), rng.standard_normal((9, 1))
    for curve in (linear_path(a, b, SecondMoments.from_data(x, y)), deep_piecewise_path(a, b, x, y)):
        found = curvature_bound(curve)
        np.testing.assert_allclose(found.bound, found.smooth + found.kinks)
        barrier = curve.barrier("linear").value
        assert (barrier <= found.bound + 1e-9 * (1 + np.abs(curve.coefficients).max())).all()
        if isinstance(curve, PolynomialCurve):
            sharpest = -(np.diff(curve.derivative(np.linspace(0, 1, 4001)), axis=1) * 4000).min(axis=1)
            np.testing.assert_allclose(
                found.smooth, np.maximum(sharpest, 0) / 8, rtol=1e-2, atol=1e-2 * (1 + np.abs(curve.coefficients).max())
            )


def test_curvature_by_hand():
    hill = curvature_bound(PolynomialCurve([[1.0, 3.0, -2.0], [0.0, -1.0, 1.0]]))  # constant curvature −4 and 2
    np.testing.assert_allclose(hill.bound, [0.5, 0.0], atol=1e-15)
    assert PolynomialCurve([[1.0, 3.0, -2.0]]).barrier().value[0] == pytest.approx(0.5)  # attained
    tent = PiecewisePolynomialCurve([0.0, 0.25, 0.0], [[0, 3.0], [1, -1.0], [0, 1.0]], [0, 2, 3])
    np.testing.assert_allclose(curvature_bound(tent).kinks, [0.75, 0.0])
    np.testing.assert_allclose(tent.barrier().value, [0.75, 0.0], atol=1e-15)  # attained too
    smooth = SmoothCurve(1, lambda rows, alphas, slope: (np.sin(alphas), np.cos(alphas)))
    with pytest.raises(TypeError, match="of this SmoothCurve no bound of L″ is known"):
        curvature_bound(smooth)
