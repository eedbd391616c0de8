"""Exact piecewise paths against running the interpolated networks, on grids and at breakpoints."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.problems import leaky, losses_along, networks
from theory import (
    BARRIER_DEFINITIONS,
    SecondMoments,
    barriers_on_grid,
    linear_path,
    piecewise_barriers,
    piecewise_path,
    population_path,
)

GRID = np.linspace(0, 1, 4001)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_pairs=st.integers(1, 5),
    n_samples=st.integers(1, 20),
    width=st.integers(1, 9),
    n_outputs=st.integers(1, 3),
    biased=st.booleans(),
    slope=st.sampled_from([0.0, 0.1, -0.5, 1.0]),
    own_data=st.booleans(),
)
def test_against_direct_evaluation(seed, n_pairs, n_samples, width, n_outputs, biased, slope, own_data):
    rng = np.random.default_rng(seed)
    a, b = (networks(rng, n_pairs, (3, width, n_outputs), biased) for _ in range(2))
    lead = (n_pairs,) if own_data else ()
    x, y = rng.standard_normal((*lead, n_samples, 3)), rng.standard_normal((*lead, n_samples, n_outputs))
    curve = piecewise_path(a, b, x, y, negative_slope=slope)
    alphas = np.linspace(0, 1, 101)
    measured = losses_along(a, b, x, y, alphas, leaky(slope))
    np.testing.assert_allclose(curve(alphas), measured, atol=1e-12 * measured.max())
    assert curve.coefficients.shape[1] == 5
    value, argmax = curve.maximum()
    losses = curve(GRID)
    steepest = np.abs(curve.derivative(curve.starts[None].clip(0, 1) if n_pairs == 1 else GRID)).max(axis=1)
    assert (value >= losses.max(axis=1) - 1e-12 * (1 + value)).all()
    assert (value <= losses.max(axis=1) + 2 * steepest / 4000 + 1e-12).all()
    np.testing.assert_allclose(curve(argmax[:, None])[:, 0], value, rtol=1e-11, atol=1e-14)


def test_breakpoints_are_where_preactivations_change_sign():
    rng = np.random.default_rng(1)
    a, b, x = networks(rng, 1, (3, 4, 1)), networks(rng, 1, (3, 4, 1)), rng.standard_normal((6, 3))
    curve = piecewise_path(a, b, x, np.zeros((6, 1)))
    z_a, z_b = ((x @ w[0].T + bias[0]).ravel() for (w, bias), _ in (a, b))
    crossing = z_a * z_b < 0
    np.testing.assert_allclose(curve.starts[1:], np.sort((z_a / (z_a - z_b))[crossing]), rtol=1e-14)
    # Continuous at every breakpoint, and derivatives are those of the loss between them.
    powers = curve.starts[1:, None] ** np.arange(5)
    left, right = ((c * powers).sum(axis=1) for c in (curve.coefficients[:-1], curve.coefficients[1:]))
    np.testing.assert_allclose(left, right, rtol=1e-12)
    middles = (curve.starts[:-1] + curve.starts[1:]) / 2
    step = 1e-3 * np.diff(curve.starts).min()
    numeric = (curve(middles + step) - curve(middles - step)) / (2 * step)
    np.testing.assert_allclose(curve.derivative(middles), numeric, rtol=1e-5, atol=1e-6)


def test_one_unit_by_hand():
    # f(x) = v relu(w x): w from 1 to −1, v from 1 to 3, x = 1, y = 0: L = ½ ((1 + 2α)(1 − 2α))² up to ½, then 0.
    a, b = [([[1.0]], None), ([[1.0]], None)], [([[-1.0]], None), ([[3.0]], None)]
    curve = piecewise_path(a, b, [[1.0]], [[0.0]])
    np.testing.assert_allclose(curve.starts, [0, 0.5])
    np.testing.assert_allclose(curve.coefficients, [[0.5, 0, -4, 0, 8], [0, 0, 0, 0, 0]], atol=1e-15)
    # Above the chord ½ (1 − α) by 8α⁴ − 4α² + α/2, whose first critical point is a top.
    top = min(root.real for root in np.polynomial.Polynomial([0.5, -8, 0, 32]).roots() if root.real > 0)
    assert curve.barrier("linear").argmax[0] == pytest.approx(top)
    assert curve.barrier("linear").value[0] == pytest.approx(8 * top**4 - 4 * top**2 + top / 2)
    assert curve.barrier("mean_endpoints").value[0] == pytest.approx(0.25)
    assert curve.barrier("midpoint").value[0] == pytest.approx(-0.25)
    # And from the flat side: active only beyond one half.
    assert piecewise_path(b, a, [[1.0]], [[0.0]])([0.25, 1.0])[0] == pytest.approx([0.0, 0.5])


def test_preactivations_that_are_zero_at_an_end():
    rng = np.random.default_rng(2)
    x = np.eye(3)
    a, b = networks(rng, 2, (3, 5, 1), False), networks(rng, 2, (3, 5, 1), False)
    a[0][0][:, :3] *= np.array([0, 1, 1])  # zero on the first sample at the start
    b[0][0][:, 2:] *= np.array([1, 0, 1])  # zero on the second at the end
    for layers in (a, b):
        layers[0][0][:, 4] = 0.0  # a unit that is dead for good
    y = rng.standard_normal((3, 1))
    np.testing.assert_allclose(piecewise_path(a, b, x, y)(GRID), losses_along(a, b, x, y, GRID, leaky(0.0)), atol=1e-13)
    same = piecewise_path(a, a, x, y)
    assert same.starts.size == 2
    np.testing.assert_allclose(same.barrier("linear").value, 0, atol=1e-15)


def test_identity_is_a_linear_network():
    rng = np.random.default_rng(3)
    a, b = networks(rng, 4, (3, 6, 2)), networks(rng, 4, (3, 6, 2))
    x, y = rng.standard_normal((30, 3)), rng.standard_normal((30, 2))
    curve = piecewise_path(a, b, x, y, negative_slope=1.0)
    assert curve.starts.size == 4
    np.testing.assert_allclose(curve(GRID), linear_path(a, b, SecondMoments.from_data(x, y))(GRID), rtol=1e-11)


def test_many_pieces_do_not_lose_digits():
    """8,000 jumps and more are summed; the last piece is still right."""
    rng = np.random.default_rng(4)
    a, b = networks(rng, 3, (8, 64, 1), False), networks(rng, 3, (8, 64, 1), False)
    x, y = rng.standard_normal((256, 8)), rng.standard_normal((256, 1))
    curve, alphas = piecewise_path(a, b, x, y), np.linspace(0, 1, 41)
    assert np.diff(curve.offsets).min() > 7000
    losses = losses_along(a, b, x, y, alphas, leaky(0.0))
    np.testing.assert_allclose(curve(alphas), losses, atol=1e-12 * losses.max())


def test_symmetries():
    rng = np.random.default_rng(5)
    a, b = networks(rng, 3, (3, 7, 2)), networks(rng, 3, (3, 7, 2))
    x, y = rng.standard_normal((25, 3)), rng.standard_normal((25, 2))
    losses = piecewise_path(a, b, x, y)(GRID)
    np.testing.assert_allclose(piecewise_path(b, a, x, y)(1 - GRID), losses, atol=1e-12 * losses.max())
    order = rng.permutation(7)
    permuted = [[(w1[:, order], b1[:, order]), (w2[:, :, order], b2)] for (w1, b1), (w2, b2) in (a, b)]
    np.testing.assert_allclose(piecewise_path(*permuted, x, y)(GRID), losses, atol=1e-12 * losses.max())
    shuffled = rng.permutation(25)
    np.testing.assert_allclose(piecewise_path(a, b, x[shuffled], y[shuffled])(GRID), losses, atol=1e-12 * losses.max())
    single = [(w[1], bias[1]) for w, bias in a]
    np.testing.assert_allclose(piecewise_path(single, b, x, y)(GRID)[1], losses[1], atol=1e-12 * losses.max())


def test_barriers_streamed():
    rng = np.random.default_rng(6)
    a, b = networks(rng, 150, (3, 8, 1), False), networks(rng, 150, (3, 8, 1), False)
    x, y = rng.standard_normal((64, 3)), rng.standard_normal((64, 1))
    curve = piecewise_path(a, b, x, y, n_threads=2)
    streamed = piecewise_barriers(a, b, x, y, GRID[::10], n_threads=2)
    np.testing.assert_array_equal(streamed.n_pieces, np.diff(curve.offsets))
    np.testing.assert_array_equal(streamed.losses, curve(GRID[::10]))
    measured_losses = losses_along(a, b, x, y, GRID[::10], leaky(0.0))
    for definition in BARRIER_DEFINITIONS:
        whole, part = curve.barrier(definition), streamed.barriers[definition]
        np.testing.assert_array_equal(part.value, whole.value)
        np.testing.assert_array_equal(part.argmax, whole.argmax)
        measured = barriers_on_grid(GRID[::10], measured_losses, definition)
        assert (part.value >= measured.value - 1e-12 * measured_losses.max()).all()
        assert np.median(part.value - measured.value) < 1e-4 * measured_losses.max()


def test_many_samples_approach_the_population():
    rng = np.random.default_rng(7)
    a, b, teacher = (networks(rng, n, (3, width, 1), False) for n, width in ((3, 4), (3, 4), (1, 2)))
    x = rng.standard_normal((20_000, 3))
    y = np.maximum(x @ teacher[0][0][0].T, 0) @ teacher[1][0][0].T
    empirical, population = piecewise_path(a, b, x, y), population_path(a, b, teacher, "relu")
    alphas = np.linspace(0, 1, 5)
    np.testing.assert_allclose(empirical(alphas), population(alphas), rtol=0.05)
    np.testing.assert_allclose(
        empirical.barrier().value, population.barrier().value, atol=0.05 * population(alphas).max()
    )


def test_refusals():
    rng = np.random.default_rng(0)
    a, b = networks(rng, 2, (3, 4, 1), False), networks(rng, 2, (3, 4, 1), False)
    x, y = np.zeros((5, 3)), np.zeros((5, 1))
    with pytest.raises(ValueError, match=r"x has shape \(5, 4\); give \[n_samples, 3\], or a data set for each pair"):
        piecewise_path(a, b, np.zeros((5, 4)), y)
    with pytest.raises(ValueError, match=r"y has shape \(4, 1\)"):
        piecewise_path(a, b, x, np.zeros((4, 1)))
    with pytest.raises(ValueError, match=r"y has shape \(5,\)"):
        piecewise_barriers(a, b, x, np.zeros(5))
    with pytest.raises(ValueError, match="x holds 3 data sets for 2 pairs; give one, or one for each"):
        piecewise_path(a, b, np.zeros((3, 5, 3)), np.zeros((3, 5, 1)))
    with pytest.raises(ValueError, match="x holds no samples"):
        piecewise_path(a, b, np.zeros((0, 3)), np.zeros((0, 1)))
    with pytest.raises(ValueError, match="x holds 15 non-finite"):
        piecewise_path(a, b, x * np.nan, y)
    with pytest.raises(ValueError, match="a has 3 layers; this result holds for 2"):
        piecewise_path([*a, (np.ones((1, 1)), None)], b, x, y)
