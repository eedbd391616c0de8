"""What a dry run counts without making anything is what a run makes."""

from __future__ import annotations

import numpy as np
import pytest

from testbed import Study, StudyError
from testbed.ensemble import backend as backends
from testbed.ensemble.forecast import forecast
from testbed.ensemble.plan import plan
from testbed.shipped import questions
from tests.testbed.conftest import CLASSES, TEACHER_STUDENT, tables_of

BY_COUNTING = {
    "siblings": ({"ensemble.siblings": 3}, TEACHER_STUDENT),
    "launches": ({"vary": {"architecture.hidden": [[2], [3]], "training.optimizer.lr": [0.1, 0.2]}}, TEACHER_STUDENT),
    "snapshots": ({"vary": {"training.snapshot": [5, 10]}}, TEACHER_STUDENT),
    "a shift": ({"data.shift": 1.0, "vary": {"ensemble.siblings": [2, 3]}}, CLASSES),
    "a shift, all pairs": ({"data.shift": 1.0, "ensemble.families": 3, "ensemble.independent_pairs": 12}, CLASSES),
}


def counted(study: Study) -> tuple[int, int, int, int]:
    made = forecast(study)
    return made.cells, made.networks, made.launches, made.pairs


def planned(study: Study) -> tuple[int, int, int, int]:
    made = plan(study)
    return len(made.cells), made.n_networks, len(made.launches), made.n_pairs


@pytest.mark.parametrize("case", BY_COUNTING)
def test_counts_are_those_of_the_plan(case):
    study = Study.make(tables_of(*BY_COUNTING[case]))
    assert counted(study) == planned(study)


@pytest.mark.parametrize("name", sorted(set(questions()) - {"million", "disentangle"}))
def test_counts_of_shipped_studies_are_those_of_their_plans(name):
    study = Study.load(name, quick=True)
    assert counted(study) == planned(study)
    assert forecast(study).backend == backends.resolve("auto", plan(study))


def test_what_only_a_plan_can_tell_is_told(tmp_path):
    np.savez(tmp_path / "data.npz", x=np.ones((40, 2)), y=np.zeros(40, np.int64))  # one class
    raw = tables_of({"data": {"kind": "file", "path": str(tmp_path / "data.npz")}}, CLASSES)
    with pytest.raises(StudyError, match=r"data\.y must be class numbers"):
        forecast(Study.make(raw))
    with pytest.raises(StudyError, match="backend 'gpu' is not available"):
        forecast(Study.make(tables_of({}, TEACHER_STUDENT)), "gpu")


def test_windows_that_do_not_fit_are_refused():
    local = {"architecture.connectivity": "local", "architecture.receptive_field": 7}
    with pytest.raises(StudyError, match=r"^architecture\.receptive_field must be at most"):
        forecast(Study.make(tables_of(local | {"measure.theory": []}, TEACHER_STUDENT)))
