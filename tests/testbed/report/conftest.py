"""Finished runs of small studies, once for all tests of the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed import Study, run_study
from testbed.alignment import ALIGNMENTS
from testbed.results import Results
from tests.testbed.conftest import CLASSES, TEACHER_STUDENT, tables_of

LEARNS = {"training.steps": 300, "training.optimizer.lr": 0.05}
WIDTHS = {  # widths and depths in one factor, paths after alignment, errors beside losses
    "architecture.hidden": [3],
    "architecture.activation": "relu",
    "vary": {"architecture.hidden": [[2], [3], [3, 3]]},
    "measure.alignment": list(ALIGNMENTS),
    "measure.soups": True,
    "ensemble.independent_pairs": 40,
    "ensemble.families": 6,
} | LEARNS
SPLITS = {
    "training.steps": 200,
    "architecture.scale": 3.0,  # far from one another: siblings have barriers
    "vary": {"architecture.hidden": [[3], [6]], "ensemble.spawn_step": [0, 20]},
    "measure.planes": 3,
}
COMPONENTS = {
    "ensemble.families": 6,
    "component": {
        "architecture": {"width 2": {"architecture.hidden": [2]}},
        "training": {"no learning": {"training.optimizer.lr": 1e-7}},
    },
} | LEARNS
STUDIES = {
    "widths": (WIDTHS, CLASSES),
    "splits": (SPLITS, TEACHER_STUDENT),
    "components": (COMPONENTS, CLASSES),
    "alone": ({}, TEACHER_STUDENT),
}


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """By name, a function that returns the folder of a finished run with its page."""
    made: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in made:
            settings, base = STUDIES[name]
            folder = tmp_path_factory.mktemp("runs") / name
            made[name] = run_study(Study.make(tables_of(settings, base)), folder).parent
        return made[name]

    return run


@pytest.fixture(scope="session")
def loaded(runs):
    """By name, the results of a finished run."""
    return lambda name: Results.load(runs(name))
