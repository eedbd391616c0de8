"""`testbed doctor --gpu` holds every layout against the reference."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from kernels.gpu import doctor as gpu_doctor
from kernels.gpu import matching
from testbed import doctor

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("broken", [False, True])
def test_every_layout_is_held_against_the_reference(monkeypatch, tmp_path, broken):
    monkeypatch.setattr(gpu_doctor, "CHECKED", ((2, 3, 1), (33, 3, 2)))
    monkeypatch.setattr(gpu_doctor, "N_CHECKED", 3)
    monkeypatch.setattr(gpu_doctor, "N_STEPS", 1)
    monkeypatch.setattr(gpu_doctor, "N_SAMPLES", 9)
    monkeypatch.setattr(gpu_doctor, "BATCHES", ("full", "replacement"))
    monkeypatch.setattr(gpu_doctor, "ASSIGNED", (3, 6))
    right = gpu_doctor.train
    if broken:
        monkeypatch.setattr(gpu_doctor, "train", lambda problem: wrong(right(problem)))
    console = Console(record=True, width=120)
    assert doctor.examine_gpu(console, out=tmp_path / "rows.jsonl") is not broken
    said = console.export_text()
    assert "33-3-2" in said and ("NOT ALL AGREE" if broken else "All agree with the reference") in said
    assert ("DOES NOT AGREE" in said) is broken
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1 + 2 * 2 + 2 + 2 * 2 + 2


def wrong(trained):
    return dataclasses.replace(trained, params=trained.params * 1.001)


def test_a_first_bad_step_that_is_another_one_does_not_agree(monkeypatch):
    monkeypatch.setattr(gpu_doctor, "N_CHECKED", 3)
    monkeypatch.setattr(gpu_doctor, "N_STEPS", 2)
    right = gpu_doctor.train
    problem = gpu_doctor.training((2, 3, 1), "full")
    assert gpu_doctor.check({}, problem)["agrees"]
    monkeypatch.setattr(
        gpu_doctor, "train", lambda p: dataclasses.replace(right(p), diverged_at=right(p).diverged_at + 1)
    )
    assert not gpu_doctor.check({}, problem)["agrees"]


@pytest.mark.parametrize("by_hand", [False, True])
def test_an_assignment_that_is_not_the_best_does_not_agree(monkeypatch, by_hand):
    """With the native kernel, and without it; nor does another one of equals, where that kernel is."""
    monkeypatch.setattr(gpu_doctor, "N_CHECKED", 3)
    right = matching.assign
    if by_hand:
        monkeypatch.setattr(gpu_doctor.native, "missing", lambda: "it is not built")
    row = gpu_doctor.check_assignment({}, 4)
    assert row["agrees"] and row["error"] < 1e-15 and ("as_the_cpu" in row) is not by_hand
    monkeypatch.setattr(matching, "assign", lambda scores: right(scores).roll(1, 1))
    row = gpu_doctor.check_assignment({}, 4)
    assert not row["agrees"] and row["error"] > 0.01
    monkeypatch.setattr(matching, "assign", lambda scores: right(scores).clamp(max=2))
    assert not gpu_doctor.check_assignment({}, 4)["agrees"]
    monkeypatch.setattr(torch, "randn", lambda *shape, **options: torch.ones(shape, dtype=torch.float64))
    monkeypatch.setattr(matching, "assign", lambda scores: right(scores).flip(1))
    row = gpu_doctor.check_assignment({}, 4)
    assert row["error"] == 0 and row["agrees"] is by_hand


def test_time_that_is_up_is_said():
    """And nothing agrees that was not checked."""
    rows = []
    assert gpu_doctor.examine(rows.append, minutes=0.0)
    assert [row["kind"] for row in rows] == ["machine", "out of time"] and "checks" in rows[-1]["left"]
    console = Console(record=True, width=120)
    assert doctor.examine_gpu(console, minutes=0.0)
    said = console.export_text()
    assert "Time was up after 0 checks" in said and "All agree" not in said


def test_a_gpu_that_is_there_is_not_asked(monkeypatch, tmp_path):
    """Interpreted kernels are not compiled for it, and nothing is timed."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu_doctor, "CHECKED", ((2, 3, 1),))
    monkeypatch.setattr(gpu_doctor, "BATCHES", ("full",))
    monkeypatch.setattr(gpu_doctor, "ASSIGNED", (3,))
    rows = []
    assert gpu_doctor.examine(rows.append)
    assert [row["kind"] for row in rows] == ["machine", "check", "check", "check", "assignment"]


def test_it_needs_nothing_but_torch_triton_numpy_and_jaxtyping():
    """With the others not to be imported, and without the native kernel."""
    program = (
        "import sys\n"
        "for name in ('scipy', 'sympy', 'polars', 'matplotlib', 'rich', 'safetensors', 'testbed'):\n"
        "    sys.modules[name] = None\n"
        "from kernels import native\n"
        "from kernels.gpu import doctor\n"
        "native.missing = lambda: 'it is not built'\n"
        "doctor.CHECKED, doctor.N_CHECKED, doctor.BATCHES, doctor.ASSIGNED = ((2, 3, 1),), 2, ('full',), (3,)\n"
        "assert doctor.examine(print)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "'assignment'" in done.stdout, done.stderr[-3000:]
