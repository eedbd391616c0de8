"""Certified barriers against exact ones and against fine grids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.certified.problems import problem
from theory import BARRIER_DEFINITIONS, SecondMoments, barriers_on_grid, certified_path, linear_path, piecewise_path
from theory.certified.intervals import ENCLOSED_ACTIVATIONS
from theory.certified.path_jets import PathProblem

GRID = np.linspace(0, 1, 2001)


@settings(deadline=None, max_examples=12)
@given(
    seed=st.integers(0, 2**32 - 1),
    activation=st.sampled_from(ENCLOSED_ACTIVATIONS),
    loss=st.sampled_from(["mse", "cross_entropy"]),
    hidden=st.lists(st.integers(1, 5), min_size=0, max_size=3),
)
def test_barriers_hold_those_of_grids_and_are_as_narrow_as_asked(seed, activation, loss, hidden):
    a, b, x, y = problem(seed, (3, *hidden, 2), loss, 2, 8)
    curve = certified_path(a, b, x, y, activation, loss=loss, tol=1e-5)
    losses, steepest = curve(GRID), np.abs(curve.derivative(GRID)).max(axis=1)
    for definition in BARRIER_DEFINITIONS:
        low, high = curve.enclosure(definition).T
        measured = barriers_on_grid(GRID, losses, definition).value
        assert (measured <= high + 1e-10 * (1 + losses.max(axis=1))).all()
        assert (low <= measured + 2 * steepest / 2000 + 1e-9).all()
        floor = 1e-11 * losses.max(axis=1)  # what rounding leaves of larger losses, as certified_path says
        assert (high - low <= np.maximum(1e-5, floor)).all()
        barrier = curve.barrier(definition)
        np.testing.assert_array_equal(barrier.value, low)
        assert (barrier.error >= high - low).all()
        assert (barrier.value + barrier.error >= high).all()
    back = certified_path(b, a, x, y, activation, loss=loss, tol=1e-5).enclosure()
    forth = curve.enclosure()  # the same number is in both
    assert (np.maximum(back[:, 0], forth[:, 0]) <= np.minimum(back[:, 1], forth[:, 1])).all()
    hidden_order = np.random.default_rng(seed).permutation(hidden[0]) if hidden else None
    if hidden_order is not None:
        permuted = [
            [(n[0][0][:, hidden_order], n[0][1][:, hidden_order]), (n[1][0][:, :, hidden_order], n[1][1]), *n[2:]]
            for n in (a, b)
        ]
        np.testing.assert_allclose(
            certified_path(*permuted, x, y, activation, loss=loss)(GRID[::100]),
            losses[:, ::100],
            rtol=1e-10,
            atol=1e-12,
        )


def test_exact_barriers_lie_inside():
    """relu and leaky relu of two layers against `piecewise_path`, linear networks of three against `linear_path`."""
    a, b, x, y = problem(5, (3, 6, 2), "mse", 8, 20)
    for activation, slope in (("relu", 0.0), ("leaky_relu", 0.3), ("leaky_relu", -0.4)):
        exact = piecewise_path(a, b, x, y, negative_slope=slope)
        certified = certified_path(a, b, x, y, activation, negative_slope=slope, tol=1e-7)
        for definition in BARRIER_DEFINITIONS:
            low, high = certified.enclosure(definition).T
            value = exact.barrier(definition).value
            assert (low - 1e-12 <= value).all() and (value <= high + 1e-12).all()
            assert (high - low <= 1e-7).all()
    a, b, x, y = problem(6, (3, 4, 4, 2), "mse", 8, 20)
    exact, certified = (
        linear_path(a, b, SecondMoments.from_data(x, y)),
        certified_path(a, b, x, y, "identity", tol=1e-8),
    )
    for definition in BARRIER_DEFINITIONS:
        low, high = certified.enclosure(definition).T
        value = exact.barrier(definition).value
        assert (low - 1e-11 <= value).all() and (value <= high + 1e-11).all()
        assert (high - low <= 1e-8).all()


def test_a_search_that_is_cut_short_says_so():
    a, b, x, y = problem(4, (3, 5, 2), "mse")
    short, full = (certified_path(a, b, x, y, "erf", tol=1e-9, most_pieces=n) for n in (20, 10_000))
    assert (short.barrier("max_endpoint").error > 1e-9).any()
    assert (full.barrier("max_endpoint").error <= 1.0000001e-9).all()
    wide, narrow = short.enclosure("max_endpoint"), full.enclosure("max_endpoint")
    assert (wide[:, 0] <= narrow[:, 1]).all() and (narrow[:, 0] <= wide[:, 1]).all()
    assert full.kind == "certified"


def test_one_network_to_itself_and_rescaled_relu():
    a, _, x, y = problem(7, (3, 5, 2), "cross_entropy")
    curve = certified_path(a, a, x, y, "gelu", loss="cross_entropy", tol=1e-8)
    assert (curve.enclosure()[:, 0] == 0).all() and (curve.enclosure()[:, 1] <= 1e-8).all()
    factors = np.array([0.5, 2.0, 3.0, 0.1, 7.0])
    scaled = [(a[0][0] * factors[:, None], a[0][1] * factors), (a[1][0] / factors, a[1][1])]
    ends = certified_path(a, scaled, x, y, "relu", loss="cross_entropy").endpoints
    np.testing.assert_allclose(ends[:, 0], ends[:, 1], rtol=1e-12)


def test_refusals():
    a, b, x, y = problem(0, (3, 4, 2), "mse")
    with pytest.raises(ValueError, match="activation 'silu' is not known"):
        certified_path(a, b, x, y, "silu")
    with pytest.raises(ValueError, match="loss 'mae' is not known"):
        certified_path(a, b, x, y, "relu", loss="mae")
    with pytest.raises(ValueError, match="tol is 0; an enclosure has a width above 0"):
        certified_path(a, b, x, y, "relu", tol=0)
    with pytest.raises(ValueError, match=r"y has shape \(10, 2\); cross-entropy takes one class a sample, \[10\]"):
        certified_path(a, b, x, y, "relu", loss="cross_entropy")
    with pytest.raises(ValueError, match="y holds numbers that are no class; outputs have 2 classes"):
        PathProblem(a, b, x, np.full(10, 2), "relu", "cross_entropy")
    with pytest.raises(ValueError, match=r"x has shape \(10, 2\); the networks take 3 inputs"):
        certified_path(a, b, x[:, :2], y, "relu")
    with pytest.raises(ValueError, match=r"y has shape \(9, 2\)"):
        certified_path(a, b, x, y[:9], "relu")
    with pytest.raises(ValueError, match="the midpoint barrier is read off L at 0, 1/2 and 1"):
        certified_path(a, b, x, y, "relu").proof(0, "midpoint")
