"""Certified barriers against exact ones and values in 30 digits; proofs against a checker that refuses broken ones."""

from dataclasses import replace
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import (
    BARRIER_DEFINITIONS,
    SecondMoments,
    barriers_on_grid,
    certified_path,
    linear_path,
    objections,
    piecewise_path,
)
from theory.certified.intervals import ENCLOSED_ACTIVATIONS, Ball, activation_named, range_of
from theory.certified.path_jets import PathProblem, half_width

GRID = np.linspace(0, 1, 2001)
MP_ACTIVATIONS = {
    "identity": lambda u: u,
    "square": lambda u: u * u,
    "relu": lambda u: max(u, mp.mpf(0)),
    "leaky_relu": lambda u: u if u > 0 else mp.mpf("0.25") * u,
    "erf": lambda u: mp.erf(u / mp.sqrt(2)),
    "tanh": mp.tanh,
    "gelu": lambda u: u * mp.ncdf(u),
}


def networks(rng, n, widths, biased=True, scale=1.4):
    return [
        (
            rng.standard_normal((n, out, into)) * scale / np.sqrt(into),
            rng.standard_normal((n, out)) * 0.4 if biased else None,
        )
        for into, out in pairwise(widths)
    ]


def problem(seed, widths, loss, n_pairs=3, n_samples=10):
    rng = np.random.default_rng(seed)
    a, b = networks(rng, n_pairs, widths), networks(rng, n_pairs, widths)
    x = rng.standard_normal((n_samples, widths[0]))
    y = (
        rng.integers(0, widths[-1], n_samples)
        if loss == "cross_entropy"
        else rng.standard_normal((n_samples, widths[-1]))
    )
    return a, b, x, y


def single(layers, row):
    return [(w[row], None if bias is None else bias[row]) for w, bias in layers]


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


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("activation", ENCLOSED_ACTIVATIONS)
def test_proofs_are_confirmed(activation, loss):
    a, b, x, y = problem(9, (3, 4, 3), loss, 2, 8)
    curve = certified_path(a, b, x, y, activation, loss=loss, tol=1e-5)
    for row, definition in ((0, "linear"), (1, "mean_endpoints"), (1, "max_endpoint")):
        proof = curve.proof(row, definition)
        assert objections(proof, single(a, row), single(b, row), x, y, activation, loss=loss) == []


def hill():
    """A pair whose barrier is in the open, with its data and its proof."""
    a, b, x, y = problem(3, (3, 4, 2), "cross_entropy", 12, 8)
    curve = certified_path(a, b, x, y, "tanh", loss="cross_entropy", tol=1e-6)
    row = int(np.argmax(curve.enclosure()[:, 0]))
    return single(a, row), single(b, row), x, y, curve.proof(row)


def broken_proofs(proof):
    """(what is wrong, a proof that no longer holds)."""
    top = int(np.argmax(proof.bounds))
    lower = proof.bounds.copy()
    lower[top] -= 3e-6
    yield "bounds", replace(proof, bounds=lower)
    quiet = int(np.argmin(proof.bounds))
    lower = proof.bounds.copy()
    lower[quiet] -= proof.high - proof.low + 2 * (proof.high - lower[quiet])
    yield "bounds", replace(proof, bounds=lower)
    above = proof.bounds.copy()
    above[top] = proof.high + 1e-6
    yield "above", replace(proof, bounds=above)
    yield "gap", replace(proof, edges=proof.edges[1:], bounds=proof.bounds[1:])
    yield "gap", replace(proof, edges=proof.edges[:-1], bounds=proof.bounds[:-1])
    yield "gap", replace(proof, edges=proof.edges[:-1])
    swapped = proof.edges.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    yield "gap", replace(proof, edges=swapped)
    merged = np.delete(proof.edges, max(top, 1))  # a piece now reaches over the top under its neighbour's bound
    yield "bounds", replace(proof, edges=merged, bounds=np.delete(proof.bounds, top))
    yield "witness", replace(proof, low=proof.high)
    yield "witness", replace(proof, witness=proof.witness / 2)
    yield "witness", replace(proof, witness=1.5)
    yield "endpoint", replace(proof, endpoints=proof.endpoints + 1e-6)
    yield "follow", replace(proof, barrier=proof.barrier + 1e-6)
    yield "follow", replace(proof, barrier=proof.barrier - 1e-6)
    yield "follow", replace(proof, definition="max_endpoint")
    yield "finite", replace(proof, bounds=proof.bounds * np.nan)
    yield "bounds", replace(proof, tilt=proof.tilt - 1e-3)


def test_broken_proofs_are_refused():
    a, b, x, y, proof = hill()
    assert proof.barrier[0] > 0.01 and proof.barrier[1] - proof.barrier[0] <= 1e-6
    assert objections(proof, a, b, x, y, "tanh", loss="cross_entropy") == []
    for word, broken in broken_proofs(proof):
        found = objections(broken, a, b, x, y, "tanh", loss="cross_entropy")
        assert any(word in sentence for sentence in found), (word, found)
    # The right proof of another problem.
    assert objections(proof, a, b, 1.001 * x, y, "tanh", loss="cross_entropy")
    assert objections(proof, a, b, x, y, "erf", loss="cross_entropy")


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


def test_half_width_holds_the_ends():
    left, right = np.array([0.1, 1 / 3]), np.array([0.30000000000000004, 2 / 3])
    centre, r = (left + right) / 2, half_width(left, right)
    assert (centre - r <= left).all() and (centre + r >= right).all()


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
    with pytest.raises(ValueError, match="y holds classes that are not whole numbers from 0 to 1"):
        PathProblem(a, b, x, np.full(10, 2), "relu", "cross_entropy")
    with pytest.raises(ValueError, match=r"x has shape \(10, 2\); the networks take 3 inputs"):
        certified_path(a, b, x[:, :2], y, "relu")
    with pytest.raises(ValueError, match=r"y has shape \(9, 2\)"):
        certified_path(a, b, x, y[:9], "relu")
    with pytest.raises(ValueError, match="the midpoint barrier is read off L at 0, 1/2 and 1"):
        certified_path(a, b, x, y, "relu").proof(0, "midpoint")
    with pytest.raises(ValueError, match="activation 'selu' is not known to the checker"):
        objections(certified_path(a, b, x, y, "relu").proof(0), single(a, 0), single(b, 0), x, y, "selu")
