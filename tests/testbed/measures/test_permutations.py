"""Permutations that students have chosen, and the studies of online learning in small."""

from __future__ import annotations

import numpy as np
import pytest

from testbed import Study
from testbed.measures.permutations import permutations_chosen
from testbed.results import Results
from testbed.run import run_study


def test_a_planted_permutation_is_found():
    rng = np.random.default_rng(0)
    teacher = np.broadcast_to(np.eye(8)[:3], (6, 3, 8))
    orders = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])  # in lexical order
    student = 3.0 * teacher[np.arange(6)[:, None], orders] + 0.2 * rng.standard_normal((6, 3, 8))
    assert permutations_chosen(student, teacher).tolist() == list(range(6))


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
