"""Small studies for the tests of the testbed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from testbed import Study
from testbed.study.dotted import set_dotted

TEACHER_STUDENT: dict[str, Any] = {
    "question": "Does it run?",
    "seed": 3,
    "data": {"kind": "teacher_student", "inputs": 3, "teacher": {"hidden": [2]}, "n_train": 24, "noise": 0.1},
    "architecture": {"hidden": [3]},
    "training": {"steps": 40, "batch_size": 8, "optimizer": {"kind": "sgd", "lr": 0.05}},
    "ensemble": {"families": 4, "siblings": 2, "spawn_step": 10, "independent_pairs": 6},
    "measure": {"alphas": 5, "test_samples": 300, "theory": ["population", "exact_training"]},
}
CLASSES: dict[str, Any] = {
    "question": "Does it classify?",
    "data": {"kind": "gaussian_mixture", "inputs": 2, "classes": 3, "n_train": 30},
    "architecture": {"hidden": [4, 4], "activation": "tanh"},
    "training": {"steps": 60, "batch_size": 10, "loss": "cross_entropy", "optimizer": {"kind": "adam", "lr": 0.01}},
    "ensemble": {"families": 4, "siblings": 2},
    "measure": {"alphas": 5, "test_samples": 200},
}


def tables_of(settings: dict[str, Any] | None = None, base: dict[str, Any] = TEACHER_STUDENT) -> dict[str, Any]:
    """Tables of a small study with dotted keys replaced: tables_of({"training.steps": 3})."""
    tables = copy.deepcopy(base)
    for key, value in (settings or {}).items():
        set_dotted(tables, key, value)
    return tables


@pytest.fixture
def raw():
    """Tables of a small teacher–student study with dotted keys replaced: raw({"training.steps": 3}, base)."""
    return tables_of


@pytest.fixture
def study(raw):
    """A small teacher–student study with dotted keys replaced."""
    return lambda settings=None: Study.make(raw(settings))


@pytest.fixture
def classes(raw):
    """A small classification study with dotted keys replaced."""
    return lambda settings=None: Study.make(raw(settings, CLASSES))
