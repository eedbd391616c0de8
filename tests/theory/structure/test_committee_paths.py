"""Segments between committees: probabilities against counting all, centres against the exact loss of their paths."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from theory.structure.committee_paths import (
    centre_probability,
    common_centre,
    least_segments,
    straight_probability,
)
from theory.structure.sphere_teacher import sphere_path

rng = np.random.default_rng(0)


def all_types(width, n_teacher, with_zero=False):
    """Every assignment in which each axis has a unit."""
    choices = range(-with_zero, n_teacher)
    rows = [row for row in itertools.product(choices, repeat=width) if set(range(n_teacher)) <= set(row)]
    return np.array(rows)


def minima(types, n_teacher, n_inputs=None):
    """Minima of these types with random masses, [n, width, n_inputs]."""
    n_inputs = n_inputs or n_teacher + 1
    w = np.zeros((*types.shape, n_inputs))
    for axis in range(n_teacher):
        mass = rng.uniform(0.2, 1, types.shape) * (types == axis)
        w[..., axis] = mass / mass.sum(-1, keepdims=True)
    return w


def serves(sets, n_teacher):
    """Whether some minimum C agrees with each of a set, by trying every C."""
    every = all_types(sets.shape[2], n_teacher, with_zero=True)
    clash = (sets[:, :, None] != every) & (sets[:, :, None] >= 0) & (every >= 0)
    return (~clash.any((1, 3))).any(1)


@pytest.mark.parametrize(("width", "n_teacher", "n_minima"), [(3, 2, 2), (4, 2, 2), (5, 2, 2), (4, 3, 2), (4, 2, 3)])
def test_the_probability_of_a_centre_is_that_of_all_assignments(width, n_teacher, n_minima):
    types = all_types(width, n_teacher)
    sets = np.array(list(itertools.product(types, repeat=n_minima)))
    shared = serves(sets, n_teacher)
    assert Fraction(int(shared.sum()), len(sets)) == centre_probability(width, n_teacher, n_minima)
    if n_minima == 2:
        equal = (sets[:, 0] == sets[:, 1]).all(1)
        assert Fraction(int(equal.sum()), len(sets)) == straight_probability(width, n_teacher)
        segments = least_segments(sets[:, 0], sets[:, 1], n_teacher)
        np.testing.assert_array_equal(segments == 1, equal)
        np.testing.assert_array_equal((segments == 1) | (segments == 2), shared)
        centres = common_centre(minima(sets, n_teacher), n_teacher)
        np.testing.assert_array_equal(np.isfinite(centres).all((1, 2)), shared)


def test_units_that_are_zero_may_take_any_axis():
    types = all_types(4, 2, with_zero=True)
    sets = np.array(list(itertools.product(types, repeat=2)))
    shared = serves(sets, 2)
    centres = common_centre(minima(sets, 2), 2)
    np.testing.assert_array_equal(np.isfinite(centres).all((1, 2)), shared)
    segments = least_segments(sets[:, 0], sets[:, 1], 2)
    np.testing.assert_array_equal((segments == 1) | (segments == 2), shared)


def test_a_centre_has_no_loss_to_either_end_and_other_minima_have():
    """The exact curves of the segments, at seven places."""
    types = all_types(4, 2, with_zero=True)
    pairs = types[rng.integers(len(types), size=(200, 2))]
    weights = minima(pairs, 2)
    centres = common_centre(weights, 2)
    there = np.isfinite(centres).all((1, 2))
    alphas = np.linspace(0, 1, 7)
    for end in (0, 1):
        assert sphere_path(weights[there, end], centres[there], 2)(alphas).max() < 1e-14
    straight = least_segments(pairs[:, 0], pairs[:, 1], 2) == 1
    heights = sphere_path(weights[:, 0], weights[:, 1], 2)(alphas).max(1)
    np.testing.assert_array_equal(heights < 1e-14, straight)


def test_chains_of_more_segments_against_a_search_over_all_minima():
    """Of width 3 and 4, minima with any number of zero units in between."""
    for width in (3, 4):
        every = all_types(width, 2, with_zero=True)
        types = all_types(width, 2)
        clash = (every[:, None] != every) & (every[:, None] >= 0) & (every >= 0)
        step = ~clash.any(2)
        start = int(np.flatnonzero((every == types[0]).all(1))[0])
        reached, distance = step[start], np.where(step[start], 1, 0)
        for segments in range(2, 8):
            further = reached | step[reached].any(0)
            distance[further & ~reached] = segments
            reached = further
        expected = [distance[np.flatnonzero((every == row).all(1))[0]] for row in types]
        found = least_segments(np.repeat(types[:1], len(types), 0), types, 2)
        np.testing.assert_array_equal(found, expected)


def test_limits():
    """As wide as the teacher minima are isolated; wide committees have centres for any few, and no straight lines."""
    assert least_segments([[0, 1, 2]], [[1, 2, 0]], 3).tolist() == [0]
    assert float(centre_probability(200, 2, 3)) > 0.999
    assert float(straight_probability(200, 2)) < 1e-50


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="without a unit"):
        least_segments([[0, 0]], [[0, 1]], 2)
    with pytest.raises(ValueError, match="placements"):
        least_segments([[0, 1, 2] * 10], [[0, 1, 2] * 10], 3)
    with pytest.raises(ValueError, match="at least n_teacher"):
        centre_probability(2, 3)
