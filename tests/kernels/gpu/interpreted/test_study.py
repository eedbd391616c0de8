"""A whole study on the GPU kernels, interpreted, gives the reference's numbers."""

from __future__ import annotations

import json
from functools import partial

import polars as pl
import pytest

from kernels.gpu import launch
from kernels.gpu.compile import kernel_name
from testbed.ensemble import planes
from testbed.ensemble.backend import problems
from testbed.ensemble.plan import plan
from testbed.run import run_study
from testbed.study import Study

TABLES = {
    "question": "Does a study run on the GPU kernels?",
    "data": {"kind": "teacher_student", "inputs": 2, "teacher": {"hidden": [2]}, "n_train": 8},
    "architecture": {"hidden": [3]},
    "training": {"steps": 3, "batch_size": 4, "optimizer": {"kind": "sgd", "lr": 0.05}, "dtype": "float64"},
    "ensemble": {"families": 3, "siblings": 2},
    "measure": {"alphas": 3, "test_samples": 16, "theory": ["population"]},
}


@pytest.fixture
def launched(monkeypatch):
    """The kernels that are launched, by name."""
    names = set()
    plan = launch.plan

    def noted(problem):
        names.add(kernel_name(problem, "sm_90"))
        return plan(problem)

    monkeypatch.setattr(launch, "plan", noted)
    return names


PRUNED = TABLES | {"architecture": {"hidden": [3], "pruning": {"density": 0.5, "rounds": 2}}}
CLASSES = TABLES | {
    "data": {"kind": "circles", "n_train": 12},
    "training": TABLES["training"] | {"loss": "cross_entropy"},
    "measure": {"alphas": 3, "test_samples": 16, "theory": [], "alignment": ["activations"], "planes": 1},
}


@pytest.mark.parametrize(
    "tables", [*(pytest.param(tables, marks=pytest.mark.slow) for tables in (TABLES, PRUNED)), CLASSES]
)
def test_the_kernels_of_a_study_are_known_beforehand(tables, launched, monkeypatch, tmp_path):
    """What `testbed.ensemble.backend.problems` names is what is launched: all of it can be compiled ahead."""
    monkeypatch.setattr(planes, "plane", partial(planes.plane, resolution=3))
    study = Study.make(tables)
    outputs = 2 if tables is CLASSES else 1
    run_study(study, tmp_path / "run", backend="gpu")
    foreseen = {kernel_name(problem, "sm_90") for one in plan(study).launches for problem in problems(one)}
    assert launched == foreseen
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["environment"]["gpu"] == "none, interpreted" and manifest["environment"]["triton"]
    assert [(row["network"], row["layout"]) for row in manifest["layouts"]] == [("2-3-" + str(outputs), "lanes")]


def test_a_study(tmp_path):
    pairs = {}
    for backend in ("gpu", "reference"):
        run_study(Study.make(TABLES), tmp_path / backend, backend=backend)
        pairs[backend] = pl.read_parquet(tmp_path / backend / "pairs.parquet")
    numbers = [
        name
        for name, kind in pairs["gpu"].schema.items()
        if kind == pl.Float64 and "barrier" in name and "alpha" not in name
    ]
    assert len(numbers) > 8
    for name in numbers:
        assert (pairs["gpu"][name] - pairs["reference"][name]).abs().max() < 1e-9, name
