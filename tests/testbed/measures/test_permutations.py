"""Permutations that students have chosen, and the studies of online learning in small."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from testbed import Study
from testbed.measures.permutations import orders, orders_chosen
from testbed.results import Results
from testbed.run import run_study


def test_a_planted_permutation_is_found():
    rng = np.random.default_rng(0)
    teacher = np.broadcast_to(np.eye(8)[:3], (6, 3, 8))
    planted = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])  # in lexical order
    student = 3.0 * teacher[np.arange(6)[:, None], planted] + 0.2 * rng.standard_normal((6, 3, 8))
    assert orders_chosen(student, teacher).tolist() == list(range(6))


@pytest.mark.parametrize("n_units", [1, 2, 3, 4])
def test_as_many_units_on_both_sides_choose_the_best_permutation(n_units):
    student, teacher = np.random.default_rng(1).standard_normal((2, 200, n_units, 7))
    lengths = np.linalg.norm(student, axis=2)[:, :, None] * np.linalg.norm(teacher, axis=2)[:, None]
    cosines = np.einsum("nid,nmd->nim", student, teacher) / lengths
    permutations = np.array(list(itertools.permutations(range(n_units))))
    assert orders(n_units, n_units).tolist() == permutations.tolist()
    best = [np.argmax([sum(of_one[i, p[i]] for i in range(n_units)) for p in permutations]) for of_one in cosines]
    assert orders_chosen(student, teacher).tolist() == best


def test_planted_orders_of_more_units_on_one_side():
    """Three student units for two of the teacher; then a unit that is the mean of those it serves, of any length."""
    rng = np.random.default_rng(2)
    maps = np.array([[0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0]])  # in lexical order
    assert orders(3, 2).tolist() == orders(2, 3).tolist() == maps.tolist()
    two, three = np.broadcast_to(np.eye(8)[:2], (6, 2, 8)), np.broadcast_to(np.eye(8)[:3], (6, 3, 8))
    noise = 0.1 * rng.standard_normal((6, 3, 8))
    student = rng.uniform(0.3, 3, (6, 3, 1)) * (two[np.arange(6)[:, None], maps] + noise)
    assert orders_chosen(student, two).tolist() == list(range(6))
    served = (maps[:, None] == np.arange(2)[:, None]).astype(float)  # [order, student unit, teacher unit]
    student = rng.uniform(0.3, 3, (6, 2, 1)) * (served @ three + noise[:, :2])
    assert orders_chosen(student, three).tolist() == list(range(6))


@pytest.mark.parametrize(("n_units", "n_teacher"), [(3, 1), (3, 2), (5, 2), (5, 3), (6, 5)])
def test_orders_are_all_maps_onto_the_smaller_side(n_units, n_teacher):
    found = orders(n_units, n_teacher)
    onto = sum((-1) ** k * math.comb(n_teacher, k) * (n_teacher - k) ** n_units for k in range(n_teacher))
    assert found.shape == (onto, n_units)
    assert len(set(map(tuple, found))) == onto
    assert all(set(order) == set(range(n_teacher)) for order in found.tolist())


def test_no_unit_of_the_smaller_side_is_left_out():
    """All three units lie nearest to the first of the teacher's: the one that loses least serves the second."""
    student = np.array([[[1.0, 0.1], [1.0, 0.7], [1.0, 0.3]]])
    assert orders(3, 2)[orders_chosen(student, np.eye(2)[None])].tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("name", [pytest.param("twins", marks=pytest.mark.slow), "plateau"])
def test_shipped_studies_of_online_learning(tmp_path, name):
    """In small: the split and the rates scale with d, and what the study is for is in the table."""
    settings = ['vary."data.inputs"=[10,20]', "ensemble.families=4"] + (
        ["ensemble.independent_pairs=4"] if name == "twins" else []
    )
    steps = 'vary."training.steps"=[12,15]' if name == "twins" else "training.steps=12"
    splits = [] if name == "twins" else ['vary."ensemble.spawn_step"=[0,10]']
    study = Study.load(name, [*settings, steps, *splits])
    run_study(study, tmp_path / name)
    results = Results.load(tmp_path / name)
    wanted = "twin_students_barrier_midpoint" if name == "twins" else "different_permutation"
    assert results.measured[wanted].is_finite().all()
    ratio = (results.networks["spawn_step"] / results.networks["data.inputs"]).unique().to_list()
    assert sorted(ratio) == ([10.0] if name == "twins" else [0.0, 10.0])
    assert (results.folder / "figures" / ("twins.png" if name == "twins" else "permutations.png")).is_file()
    if name == "plateau":
        assert set(results.measured[wanted]) <= {0.0, 1.0}
