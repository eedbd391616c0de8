"""Maxima of curves given by a function: found; certain where it is known how far they bend; else with an estimate."""

import numpy as np
import pytest

from theory import BARRIER_DEFINITIONS, SmoothCurve, barriers_on_grid
from theory.curves.smooth_curve import MOST_PIECES, Bend

GRID = np.linspace(0, 1, 4001)


def smooth(value, derivative, n_pairs=1, **options):
    """A SmoothCurve that is the same function of α for every pair."""
    return SmoothCurve(n_pairs, lambda rows, alphas, slope: (value(alphas), derivative(alphas)), **options)


def waves(seed, n_pairs):
    """Sums of five sines: the evaluation, and bounds of |L′| and |L″|, [n_pairs]."""
    rng = np.random.default_rng(seed)
    amplitudes, phases = rng.standard_normal((2, n_pairs, 5))
    frequencies = np.arange(1, 6) * 2.0

    def evaluate(rows, alphas, slope):
        angle = frequencies * alphas[..., None] + phases[rows][:, None]
        weights = amplitudes[rows][:, None]
        return (weights * np.sin(angle)).sum(2), (weights * frequencies * np.cos(angle)).sum(2)

    return evaluate, (np.abs(amplitudes) * frequencies).sum(axis=1), (np.abs(amplitudes) * frequencies**2).sum(axis=1)


@pytest.mark.parametrize("known", [False, True], ids=["estimated", "ruled out"])
def test_maximum_against_a_fine_grid(known):
    evaluate, slope, curvature = waves(8, 300)
    bend = (lambda rows, pieces, losses: Bend(slope[rows], curvature[rows], 0 * slope[rows])) if known else None
    curve = SmoothCurve(300, evaluate, bend=bend, tol=1e-12)
    losses = curve(GRID)
    for definition in BARRIER_DEFINITIONS:
        barrier, measured = curve.barrier(definition), barriers_on_grid(GRID, losses, definition)
        assert (barrier.value >= measured.value - 1e-14).all()
        assert (barrier.value <= measured.value + curvature / 8 / 4000**2 + 1e-13).all()
        if definition != "midpoint":
            assert (barrier.error < (2e-11 if known else 1e-4)).all()


def hills(alphas, width=0.05, second=1 + 1e-6):
    """One hill at 0.251 and a second at 0.763, and their derivative."""
    first = np.exp(-(((alphas - 0.251) / 0.05) ** 2))
    other = second * np.exp(-(((alphas - 0.763) / width) ** 2))
    return first + other, -2 * (alphas - 0.251) / 0.05**2 * first - 2 * (alphas - 0.763) / width**2 * other


def test_error_estimates_a_missed_hill():
    barrier = smooth(lambda a: hills(a)[0], lambda a: hills(a)[1]).barrier("max_endpoint")
    truth = hills(np.linspace(0, 1, 2_000_001))[0].max() - hills(np.array([0.0, 1.0]))[0].max()
    assert truth - barrier.value[0] >= -1e-14
    assert truth - barrier.value[0] <= barrier.error[0] + 1e-12


def test_a_hill_between_grid_points_is_found_where_the_bend_is_known():
    """1/300 wide, with its top 0.4 of a step from the nearest of 33 points: the grid does not show it."""
    width = 1 / 300

    def of_hills(**options):
        return smooth(lambda a: hills(a, width, 1.5)[0], lambda a: hills(a, width, 1.5)[1], **options)

    assert of_hills().maximum()[1][0] == pytest.approx(0.251, abs=1e-3)
    slope, curvature = 1.5 / width, 2 * 1.5 / width**2 + 2 / 0.05**2
    curve = of_hills(
        tol=1e-12, bend=lambda rows, pieces, losses: Bend(*np.array([[slope], [curvature], [0.0]]).repeat(len(rows), 1))
    )
    value, argmax = curve.maximum()
    assert value[0] == pytest.approx(hills(np.linspace(0.76, 0.766, 600_001), width, 1.5)[0].max(), abs=1e-12)
    assert argmax[0] == pytest.approx(0.763, abs=1e-6)
    assert curve.barrier("max_endpoint").error[0] <= 2e-12


@pytest.mark.parametrize("by", ["slope", "kinks"])
def test_a_roof_is_ruled_out_by_its_slope_or_its_kink(by):
    """−|α − 0.4123| under a bound of |L′| alone, and under its kink of 2; both leave only pieces at the ridge."""

    def bend(rows, pieces, losses):
        inside = (pieces[:, 0] < 0.4123) & (pieces[:, 1] > 0.4123)
        nothing, unknown = np.zeros(len(rows)), np.full(len(rows), np.inf)
        return (
            Bend(nothing + 1, unknown, unknown) if by == "slope" else Bend(unknown, nothing, np.where(inside, 2.0, 0.0))
        )

    curve = smooth(lambda a: -np.abs(a - 0.4123), lambda a: -np.sign(a - 0.4123), bend=bend, tol=1e-12)
    barrier = curve.barrier("max_endpoint")
    assert 0.4123 - barrier.value[0] <= barrier.error[0] + 1e-15
    assert barrier.error[0] <= 1e-12
    assert barrier.argmax[0] == pytest.approx(0.4123, abs=1e-11)


def test_a_search_that_is_cut_short_says_so():
    """A flat curve under a bound of its curvature that is not small: no piece can be ruled out until it is tiny."""
    calls = []

    def evaluate(rows, alphas, slope):
        calls.append(rows.size)
        return np.ones(alphas.shape), np.zeros(alphas.shape)

    curve = SmoothCurve(
        2, evaluate, bend=lambda rows, pieces, losses: Bend(*np.full((2, len(rows)), 1e3), np.zeros(len(rows)))
    )
    error = curve.barrier("linear").error
    assert sum(calls) < 2 * (MOST_PIECES + 100)
    np.testing.assert_allclose(
        error, 1e3 / 8 / 512**2
    )  # 32 pieces, quartered twice: 480 evaluations; once more would be too many


def test_maximum_at_a_kink_and_at_ends():
    # |α − 0.4123| upside down: the derivative jumps, bisection still finds the top.
    kink = smooth(lambda a: -np.abs(a - 0.4123), lambda a: -np.sign(a - 0.4123))
    assert kink.maximum()[0] == pytest.approx(0.0, abs=3e-5)
    rising = smooth(lambda a: a * a, lambda a: 2 * a, n_pairs=3)
    np.testing.assert_array_equal(rising.maximum()[1], 1.0)
    np.testing.assert_allclose(rising.barrier("linear").value, 0.0, atol=1e-15)
    assert rising.kind == "exact" and rising.error is None


def test_refusals():
    with pytest.raises(ValueError, match="n_grid is 10"):
        smooth(np.sin, np.cos, n_grid=10)
    with pytest.raises(ValueError, match="tol is 0"):
        smooth(np.sin, np.cos, tol=0)
