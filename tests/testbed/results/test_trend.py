"""What a mean does along a factor: trends that are there are found, others are not, and the intervals hold together."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import special

from testbed.results.joint import independent_things, means_of
from testbed.results.trend import Differences, Trend, differences, trend

TRIALS = 100


def group(mean, rng, families=8, spread=0.1, first=0):
    """Pairs of neighbours in a ring of families, each with a value of its own, numbered from `first`."""
    own = spread * rng.standard_normal(families)
    pairs = {
        "family_a": first + np.arange(families),
        "family_b": first + (np.arange(families) + 1) % families,
        "barrier": mean + own + np.roll(own, -1),
    }
    return pl.DataFrame(pairs)


def on_data_sets(mean, rng, data_sets, interaction, first=0):
    """Six families on each of several data sets, and what a data set does at this level alone."""
    parts = []
    for d in range(data_sets):
        some = group(mean + interaction * rng.standard_normal(), rng, 6)
        moved = (pl.col("family_a") + first + 6 * d, pl.col("family_b") + first + 6 * d)
        parts.append(some.with_columns(*moved, pl.lit(d).alias("data.seed")))
    return pl.concat(parts)


@pytest.mark.parametrize(
    ("means", "ordered", "what", "at"),
    [
        ((0.0, 1.0, 2.0), True, "rises", (0, 2)),
        ((2.0, 1.0, 0.0), True, "falls", (0, 2)),
        ((0.0, 3.0, 0.5), True, "rises then falls", (0, 1, 2)),
        ((3.0, 0.0, 2.0), True, "falls then rises", (0, 1, 2)),
        ((0.0, 3.0, 0.0, 3.0), True, "goes up and down", (0, 1, 3)),
        ((0.0, 3.0, 0.5), False, "differs", (0, 2)),
        ((5.0, 5.0, 5.0), True, "same", (0, 2)),
        ((0.3, 0.3, 0.3), True, "unknown", (0, 2)),
    ],
)
def test_what_the_means_do_is_found(means, ordered, what, at):
    """Means that are 5 or more standard errors apart, or not at all: these are the same only beside a large mean."""
    rng = np.random.default_rng(7)
    groups = [group(mean, rng, 30, first=30 * k) for k, mean in enumerate(means)]
    found = trend(differences(groups, "barrier", ordered=ordered), ordered)
    assert found.what == what
    assert found.levels == at or what in ("goes up and down", "differs")


def test_a_slow_trend_is_told_by_the_line_where_no_two_levels_surely_differ():
    means = np.array([0.0, 0.1, 0.2])
    wide = np.ones((3, 3))
    assert trend(Differences(means, -wide, wide, line=(0.1, 0.3)), ordered=True).what == "rises"
    assert trend(Differences(means, -wide, wide, line=(-0.3, -0.1)), ordered=True).what == "falls"
    assert trend(Differences(means, -wide, wide, line=(-0.1, 0.3)), ordered=True).what == "unknown"


def test_the_line_is_that_of_least_squares():
    rng = np.random.default_rng(2)
    groups = [group(mean, rng, 30) for mean in (0.0, 2.0, 1.0, 5.0)]
    found = differences(groups, "barrier", ordered=True)
    assert sum(found.line) / 2 == pytest.approx(3 * np.polyfit(range(4), found.mean, 1)[0])


def test_each_difference_is_said_in_both_directions_and_a_line_asks_for_three_levels():
    rng = np.random.default_rng(3)
    groups = [group(mean, rng, 30, first=30 * k) for k, mean in enumerate((0.0, 1.0, 3.0))]
    found = differences(groups, "barrier", ordered=True)
    assert np.allclose(found.low, -found.high.T, equal_nan=True) and found.low[0, 2] > 2 and found.high[0, 2] < 4
    assert found.bound == found.high[0, 2]
    assert np.isfinite(found.line).all()
    assert np.isnan(differences(groups[:2], "barrier", ordered=True).line).all()
    assert np.isnan(differences(groups, "barrier").line).all()


def test_the_line_takes_half_of_what_may_fail():
    """So that its levels' differences are said a little less surely."""
    rng = np.random.default_rng(4)
    groups = [group(0.0, rng, 30, first=30 * k) for k in range(3)]
    with_line, without = differences(groups, "barrier", ordered=True), differences(groups, "barrier")
    assert with_line.high[0, 1] - with_line.low[0, 1] > 1.02 * (without.high[0, 1] - without.low[0, 1])


def test_levels_that_show_it_are_named():
    """First and last where these surely differ; else the two of those that do which differ most."""
    means = np.array([0.0, 1.0, 5.0, 2.0])

    def sure_of(*pairs):
        low = np.full((4, 4), -9.0)
        for i, j in pairs:
            low[i, j] = 0.1
        return Differences(means, low, np.full((4, 4), 9.0))

    assert trend(sure_of((0, 1), (0, 2)), ordered=True).levels == (0, 2)
    assert trend(sure_of((0, 1), (0, 2), (0, 3)), ordered=True).levels == (0, 3)
    assert trend(sure_of((0, 1), (3, 2)), ordered=False).levels == (2, 3)  # they are named in their order
    assert trend(sure_of((3, 2)), ordered=True) == Trend("falls", (2, 3), 9.0)


def test_a_level_without_an_interval_leaves_it_unknown_whether_all_are_the_same():
    near = np.full((3, 3), 0.01)
    alike = Differences(np.ones(3), -near, near)
    assert trend(alike, ordered=True).what == "same"
    near[0, 1] = near[1, 0] = np.nan
    assert trend(Differences(np.ones(3), -near, near), ordered=True).what == "unknown"


def test_a_sum_that_speaks_of_one_group_has_the_degrees_of_freedom_of_one():
    """Student's t with 7 degrees of freedom and not with 14: its interval is a tenth wider."""
    rng = np.random.default_rng(5)
    found = means_of([group(0.0, rng, 8), group(0.0, rng, 8, first=8)], "barrier")
    alone, of_two = (found.intervals(np.eye(2), alone=alone)[1] - found.mean for alone in (True, False))
    near = special.stdtrit(7, 0.0127) / special.stdtrit(14, 0.0127)  # 1 − √0.95, halved: two that hold together
    assert alone / of_two == pytest.approx(near, rel=0.02)


def test_groups_without_families_enough_say_how_many_stand_behind_the_others():
    rng = np.random.default_rng(6)
    groups = [group(0.0, rng, 2), group(0.0, rng, 9, first=2), group(0.0, rng, 7, first=11)]
    found = means_of(groups, "barrier")
    assert found.usable.tolist() == [False, True, True] and found.n_units == 7 and not found.paired
    assert independent_things(groups) == (2, "families")
    assert means_of(groups[:1], "barrier").n_units == 0
    low, high = found.intervals(np.eye(3))
    assert np.isnan([low[0], high[0]]).all() and np.isfinite([low[1:], high[1:]]).all()


def test_few_families_are_no_reason_to_be_sure():
    rng = np.random.default_rng(0)
    few = [group(mean, rng, 2) for mean in (0.0, 100.0)]
    found = trend(differences(few, "barrier", ordered=True), ordered=True)
    assert found.what == "unknown" and np.isnan(found.bound)
    assert independent_things(few) == (2, "families")


def test_the_same_is_said_only_within_a_bound_that_is_small():
    none = np.full((2, 2), np.nan)
    half = none.copy()
    half[0, 1], half[1, 0] = 0.09, 0.09
    assert trend(Differences(np.array([1.0, 1.0]), -half, half), True).what == "same"
    assert trend(Differences(np.array([0.5, 0.5]), -half, half), True).what == "unknown"
    assert trend(Differences(np.array([0.5, 0.5]), -half, half), True, least=0.1).what == "same"
    assert trend(Differences(np.array([0.0, 0.0]), 0 * half, 0 * half), True).what == "same"


def test_data_sets_in_common_are_compared_with_each_other():
    """A large difference between data sets, the same at both levels, does not hide a small one between the levels."""
    rng = np.random.default_rng(1)
    families = np.arange(60)
    data = families % 6
    shift = 10 * rng.standard_normal(6)[data]

    def at(mean, first):
        own = 0.01 * rng.standard_normal(60)
        numbers = {"family_a": families + first, "family_b": families + first, "data.seed": data}
        return pl.DataFrame(numbers | {"barrier": mean + shift + own})

    found = differences([at(0.0, 0), at(0.1, 60)], "barrier")
    assert found.low[0, 1] > 0 and found.high[0, 1] < 0.2
    assert independent_things([at(0.0, 0)]) == (6, "data sets")


@pytest.mark.parametrize("same_families", [False, True])
@pytest.mark.parametrize(
    ("families", "data_sets"),
    [(4, 0), (12, 0), (0, 4), *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in ((6, 0), (0, 6)))],
)
def test_all_intervals_hold_together_as_often_as_they_say(families, data_sets, same_families):
    """Five levels of equal means: all ten differences, and the line, hold 0 in about 95 % of studies."""
    step = 0 if same_families else families + 6 * data_sets
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(TRIALS):
        groups = [
            on_data_sets(1.0, rng, data_sets, interaction=1.0, first=level * step)
            if data_sets
            else group(1.0, rng, families, first=level * step)
            for level in range(5)
        ]
        found = differences(groups, "barrier", ordered=True)
        held += bool(not found.above.any() and found.line[0] <= 0 <= found.line[1])
    assert held >= 0.88 * TRIALS  # 95 of 100 have a standard deviation of 2.2


@pytest.mark.parametrize("families", [4, 12])
def test_contrasts_that_are_asked_for_hold_together_as_often_as_they_say(families):
    """Three cells of two runs with equal means: the three differences hold 0 in about 95 %; others are not given."""
    rng = np.random.default_rng(4)
    contrasts = [(0, 1), (2, 3), (4, 5)]
    held = 0
    for _ in range(TRIALS):
        groups = [group(1.0 + k // 2, rng, families, first=k * families) for k in range(6)]
        found = differences(groups, "barrier", contrasts=contrasts)
        held += not any(found.above[i, j] or found.above[j, i] for i, j in contrasts)
    assert held >= 0.88 * TRIALS
    asked = {(i, j) for i, j in np.argwhere(np.isfinite(found.low))}
    assert asked == {*contrasts, *((j, i) for i, j in contrasts)}
    every = differences(groups, "barrier")
    assert all(every.high[i, j] - every.low[i, j] > found.high[i, j] - found.low[i, j] for i, j in contrasts)
