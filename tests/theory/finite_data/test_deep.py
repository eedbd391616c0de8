"""Region sweeps of deep relu networks against running the interpolated networks, two layers, and hand-made cases."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.theory.problems import leaky, losses_along, networks
from theory import (
    BARRIER_DEFINITIONS,
    SecondMoments,
    barriers_on_grid,
    certified_path,
    deep_piecewise_barriers,
    deep_piecewise_path,
    linear_path,
    piecewise_path,
)

GRID = np.linspace(0, 1, 4001)


@given(
    seed=st.integers(0, 2**32 - 1),
    n_pairs=st.integers(1, 3),
    n_samples=st.integers(1, 8),
    widths=st.lists(st.integers(1, 5), min_size=3, max_size=5),
    biased=st.booleans(),
    slope=st.sampled_from([0.0, 0.1, -0.5, 1.0]),
    own_data=st.booleans(),
)
def test_against_direct_evaluation(seed, n_pairs, n_samples, widths, biased, slope, own_data):
    rng = np.random.default_rng(seed)
    a, b = networks(rng, n_pairs, widths, biased), networks(rng, n_pairs, widths, biased)
    lead = (n_pairs,) if own_data else ()
    x, y = rng.standard_normal((*lead, n_samples, widths[0])), rng.standard_normal((*lead, n_samples, widths[-1]))
    curve = deep_piecewise_path(a, b, x, y, negative_slope=slope)
    measured = losses_along(a, b, x, y, GRID[::100], leaky(slope))
    np.testing.assert_allclose(curve(GRID[::100]), measured, atol=1e-11 * np.abs(curve.coefficients).max())
    assert curve.coefficients.shape[1] == 2 * (len(widths) - 1) + 1
    value, argmax = curve.maximum()
    losses = curve(GRID)
    rounding = 1e-12 * (1 + np.abs(curve.coefficients).max())
    order = np.arange(curve.coefficients.shape[1])
    lipschitz = np.maximum.reduceat(np.abs(curve.coefficients) @ order, curve.offsets[:-1])
    assert (value >= losses.max(axis=1) - rounding).all()
    assert (value <= losses.max(axis=1) + lipschitz / 8000 + rounding).all()
    np.testing.assert_allclose(curve(argmax[:, None])[:, 0], value, atol=rounding)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_depth_two_is_the_two_layer_sweep(biased, slope):
    rng = np.random.default_rng(1)
    a, b = networks(rng, 6, (3, 7, 2), biased), networks(rng, 6, (3, 7, 2), biased)
    x, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    deep, two = deep_piecewise_path(a, b, x, y, negative_slope=slope), piecewise_path(a, b, x, y, negative_slope=slope)
    np.testing.assert_array_equal(deep.offsets, two.offsets)
    np.testing.assert_allclose(deep.starts, two.starts, atol=1e-14)
    np.testing.assert_allclose(deep.coefficients, two.coefficients, atol=1e-12 * np.abs(two.coefficients).max())
    for definition in BARRIER_DEFINITIONS:
        np.testing.assert_allclose(
            deep.barrier(definition).value, two.barrier(definition).value, atol=1e-12 * two(GRID).max()
        )


def test_identity_is_a_linear_network():
    rng = np.random.default_rng(3)
    a, b = networks(rng, 4, (3, 4, 4, 2), True), networks(rng, 4, (3, 4, 4, 2), True)
    x, y = rng.standard_normal((30, 3)), rng.standard_normal((30, 2))
    curve = deep_piecewise_path(a, b, x, y, negative_slope=1.0)
    assert curve.starts.size == 4
    np.testing.assert_allclose(curve(GRID), linear_path(a, b, SecondMoments.from_data(x, y))(GRID), rtol=1e-11)


def test_three_layers_by_hand():
    # h₁ = relu(1), z₂ = w₂(α) + b₂(α): from 1 − 2α, squashed beyond ½; v from 1 to 3, y = 0.
    a = [([[1.0]], None), ([[1.0]], [0.0]), ([[1.0]], None)]
    b = [([[1.0]], None), ([[1.0]], [-2.0]), ([[3.0]], None)]
    curve = deep_piecewise_path(a, b, [[1.0]], [[0.0]])
    np.testing.assert_allclose(curve.starts, [0, 0.5])
    np.testing.assert_allclose(curve.coefficients, [[0.5, 0, -4, 0, 8, 0, 0], [0, 0, 0, 0, 0, 0, 0]], atol=1e-15)
    # One first-layer unit that grows through w₁(α) = 2α, so z₂ = (2α)(2α) − ½ has its sign change at √½/2.
    a = [([[0.0]], None), ([[0.0]], [-0.5]), ([[1.0]], None)]
    b = [([[2.0]], None), ([[2.0]], [-0.5]), ([[1.0]], None)]
    curve = deep_piecewise_path(a, b, [[1.0]], [[0.0]])
    np.testing.assert_allclose(curve.starts, [0, np.sqrt(1 / 8)], atol=1e-15)
    np.testing.assert_allclose(curve.coefficients[1], [1 / 8, 0, -2, 0, 8, 0, 0], atol=1e-15)


def test_barriers_streamed_and_symmetries():
    rng = np.random.default_rng(5)
    widths = (2, 6, 5, 1)
    a, b = networks(rng, 20, widths, True), networks(rng, 20, widths, True)
    x, y = rng.standard_normal((48, 2)), rng.standard_normal((48, 1))
    streamed = deep_piecewise_barriers(a, b, x, y, GRID[::10], n_threads=1)
    losses = losses_along(a, b, x, y, GRID[::10], leaky(0.0))
    scale = 1e-10 * losses.max()
    np.testing.assert_allclose(streamed.losses, losses, atol=scale)
    for definition in BARRIER_DEFINITIONS:
        measured = barriers_on_grid(GRID[::10], losses, definition)
        assert (streamed.barriers[definition].value >= measured.value - scale).all()
        assert np.median(streamed.barriers[definition].value - measured.value) < 1e-4 * losses.max()
    back = deep_piecewise_barriers(b, a, x, y, GRID[::10])
    np.testing.assert_allclose(back.losses[:, ::-1], losses, atol=scale)
    first, second = rng.permutation(6), rng.permutation(5)
    permuted = [
        [(w1[:, first], b1[:, first]), (w2[:, second][:, :, first], b2[:, second]), (w3[:, :, second], b3)]
        for (w1, b1), (w2, b2), (w3, b3) in (a, b)
    ]
    np.testing.assert_allclose(deep_piecewise_barriers(*permuted, x, y, GRID[::10]).losses, losses, atol=scale)
    # Unit i of a hidden layer scaled by c > 0 and its outgoing weights by 1/c: the function is the same.
    scales = rng.uniform(0.3, 3, 6)
    (w1, b1), (w2, b2), last = a
    rescaled = [(w1 * scales[:, None], b1 * scales), (w2 / scales, b2), last]
    np.testing.assert_allclose(deep_piecewise_path(rescaled, b, x, y)([0.0]), losses[:, :1], atol=scale)


def test_certified_enclosures_hold_the_exact_barrier():
    """The ends are one network that fits, its first hidden units exchanged: there is a hill between."""
    rng = np.random.default_rng(6)
    a, x = networks(rng, 1, (2, 4, 3, 1), True), rng.standard_normal((12, 2))
    (w1, b1), (w2, b2), last = a
    orders = np.array([[3, 2, 1, 0], [1, 0, 2, 3], [1, 2, 3, 0]])
    b = [
        (w1[0][orders], b1[0][orders]),
        (w2[0].T[orders].swapaxes(1, 2), b2.repeat(3, 0)),
        tuple(part.repeat(3, 0) for part in last),
    ]
    h = np.maximum(np.maximum(x @ w1[0].T + b1[0], 0) @ w2[0].T + b2[0], 0)
    y = h @ last[0][0].T + last[1][0]
    exact, certified = deep_piecewise_path(a, b, x, y), certified_path(a, b, x, y, "relu")
    np.testing.assert_allclose(exact.endpoints, 0, atol=1e-12)
    for definition in BARRIER_DEFINITIONS:
        barrier, enclosed = exact.barrier(definition).value, certified.barrier(definition)
        assert (barrier > 1e-3).all()
        assert (barrier >= enclosed.value - 1e-12).all()
        assert (barrier <= enclosed.value + enclosed.error + 1e-12).all()
        assert (enclosed.error <= 1e-6).all()


def test_refusals():
    rng = np.random.default_rng(0)
    a, x, y = networks(rng, 2, (3, 4, 4, 1), False), np.zeros((5, 3)), np.zeros((5, 1))
    with pytest.raises(ValueError, match="a has 1 layer; this result holds for two or more, use linear_path"):
        deep_piecewise_path(a[:1], a[:1], x, np.zeros((5, 4)))
    with pytest.raises(ValueError, match=r"x has shape \(5, 4\); give \[n_samples, 3\]"):
        deep_piecewise_path(a, a, np.zeros((5, 4)), y)
    with pytest.raises(ValueError, match="x holds no samples"):
        deep_piecewise_barriers(a, a, x[:0], y[:0])
    with pytest.raises(ValueError, match="a and b have layers of shapes"):
        deep_piecewise_path(a, networks(rng, 2, (3, 5, 4, 1), False), x, y)
