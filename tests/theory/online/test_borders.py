"""Noise beside a border between two orders: simulated students that start there, and limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf
from scipy.stats import norm

from theory import different_order_at
from theory.online.borders import (
    BESIDE,
    PLATEAU,
    STEP,
    _along_border,
    _apart,
    _Course,
    _noise_at_border,
    _odd_part,
    _pattern,
    _probability,
)
from theory.online.fluctuations import Fluctuations as State
from theory.online.fluctuations import _flat, state_entries, state_jacobian

RATES = {"learning_rate": 1.0, "output_rate": 1.0, "start_scale": 0.5}


def g(u):
    return erf(u / np.sqrt(2))


@pytest.mark.slow
@pytest.mark.parametrize(("n_units", "n_targets", "until"), [(2, 3, 90.0), (3, 2, 70.0)])
def test_simulated_students_cross_a_border_as_often_as_predicted(n_units, n_targets, until):
    """2,000 students at d = 100 start one deviation beside a border (by an angle of 0.13 or 0.08): 16 % cross."""
    d, n, amplitude = 100, 2000, 0.15
    course = _Course(n_units, n_targets, until, 1.0, 1.0, 0.5)
    variance = _noise_at_border(course, amplitude)[1].sum() * STEP / d
    plateau = course.solution(*course.start(), np.array([PLATEAU]))
    gram, outputs = plateau.overlaps[0, 0], plateau.outputs[0, 0, 0]
    border = _pattern(np.array([1, 0, -1]) / np.sqrt(2), n_units)
    overlaps = gram[:n_units, 2 * n_units :] + amplitude * border + np.sqrt(variance) * _pattern(BESIDE, n_units)
    own = np.linalg.cholesky(gram[:n_units, :n_units] - overlaps @ overlaps.T)
    start = np.concatenate([overlaps, own, np.zeros((n_units, d - n_units - n_targets))], axis=1)
    w, v = np.repeat(start[None], n, axis=0), np.repeat(outputs[None], n, axis=0)
    rng = np.random.default_rng(9)
    for _ in range(round((until - PLATEAU) * d)):
        x = rng.standard_normal((n, d))
        fields = np.einsum("nkd,nd->nk", w, x)
        error = g(x[:, :n_targets]).sum(1) - (v * g(fields)).sum(1)
        slope = np.sqrt(2 / np.pi) * np.exp(-(fields**2) / 2)
        w += (error[:, None] * v * slope / d)[:, :, None] * x[:, None]
        v += error[:, None] * g(fields) / d
    cosines = w[:, :, :n_targets] / np.linalg.norm(w, axis=2, keepdims=True)
    of_three = cosines if n_units == 3 else cosines.swapaxes(1, 2)
    apart = of_three[:, 1, 0] - of_three[:, 1, 1]  # it started below 0
    expected = norm.sf(1)
    assert abs((apart > 0).mean() - expected) < 4.5 * np.sqrt(expected * (1 - expected) / n)


@pytest.mark.parametrize(("n_units", "n_targets"), [(2, 3), (3, 2)])
def test_the_reflection_is_a_symmetry(n_units, n_targets):
    """On the border the rates' derivative takes what is odd to what is odd, and nothing else to it."""
    course = _Course(n_units, n_targets, 60.0, 1.0, 1.0, 0.5)
    solution = _along_border(course, 0.15)
    rows, columns = state_entries(2 * n_units + n_targets, n_units)
    state = State(solution, rows, columns, np.zeros((1, 1, 1)))
    mine = np.flatnonzero((rows < n_units) & ((columns < n_units) | (columns >= 2 * n_units)))
    odd = _odd_part(rows[mine], columns[mine], n_units, n_targets)
    gram, outputs = solution.overlaps[-1, 0], solution.outputs[-1, 0]
    jacobian = state_jacobian(state, gram, outputs, 1.0, 1.0, False)[np.ix_(mine, mine)]
    np.testing.assert_allclose(odd @ jacobian, jacobian @ odd, atol=1e-6)
    np.testing.assert_allclose(odd @ odd, odd, atol=1e-12)
    np.testing.assert_allclose(odd @ _flat(state, gram, outputs)[mine], 0, atol=1e-6)
    assert np.abs(solution.overlaps[-1, 0, 0, 2 * n_units] - solution.overlaps[-1, 0, 0, 2 * n_units + 1]) > 0.1


def test_the_share_in_different_sectors():
    """Drawn angles."""
    rng = np.random.default_rng(0)
    for deviation in (0.02, 0.4):
        at = rng.uniform(0, 2 * np.pi, 200_000)
        a, b = at + deviation * rng.standard_normal((2, len(at)))
        apart = np.floor(a / (np.pi / 3)) != np.floor(b / (np.pi / 3))
        assert _apart(np.array(deviation**2)) == pytest.approx(apart.mean(), abs=4.5 * np.sqrt(0.25 / len(at)))


def test_without_noise_after_the_plateau_the_limit_stays():
    none = np.zeros(5)
    assert _probability(0.2, 0.02, 0.01, none) == pytest.approx(0.2, rel=1e-9)
    assert _probability(0.2, 0.02, 0.01, none + 0.01) > 0.22
    assert _probability(0.2, 0.02, 0.01, none - 0.01) < 0.18


@pytest.mark.slow
def test_inputs_matter_where_the_teacher_cannot_be_learnt():
    """At a late split."""
    found = different_order_at([100, 400, np.inf], 2, 3, split=60, until=90, **RATES)
    assert found[0] > 1.2 * found[1] > 1.2 * 1.2 * found[2] > 0.02


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="3 units and 2 targets, or 2 and 3, not 3 and 3"):
        different_order_at(100, 3, 3, split=0, until=100, **RATES)
    with pytest.raises(ValueError, match="until must be above 60, not 60"):
        different_order_at(100, 3, 2, split=60, until=60, **RATES)
    with pytest.raises(ValueError, match="n_inputs must be above 0"):
        different_order_at(0, 3, 2, split=60, until=100, **RATES)
