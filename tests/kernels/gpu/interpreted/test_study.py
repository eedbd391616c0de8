"""A whole study on the GPU kernels, interpreted, gives the reference's numbers."""

from __future__ import annotations

import polars as pl

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
