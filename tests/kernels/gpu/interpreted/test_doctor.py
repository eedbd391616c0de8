"""`testbed doctor --gpu` holds every layout against the reference."""

from __future__ import annotations

import dataclasses

import pytest
from rich.console import Console

from kernels.gpu import doctor as gpu_doctor
from testbed import doctor


@pytest.mark.parametrize("broken", [False, True])
def test_every_layout_is_held_against_the_reference(monkeypatch, tmp_path, broken):
    monkeypatch.setattr(gpu_doctor, "CHECKED", ((2, 3, 1), (33, 3, 2)))
    monkeypatch.setattr(gpu_doctor, "N_CHECKED", 3)
    monkeypatch.setattr(gpu_doctor, "N_STEPS", 1)
    monkeypatch.setattr(gpu_doctor, "N_SAMPLES", 9)
    monkeypatch.setattr(gpu_doctor, "BATCHES", ("full", "replacement"))
    right = gpu_doctor.train
    if broken:
        monkeypatch.setattr(gpu_doctor, "train", lambda problem: wrong(right(problem)))
    console = Console(record=True, width=120)
    assert doctor.examine_gpu(console, out=tmp_path / "rows.jsonl") is not broken
    said = console.export_text()
    assert "33-3-2" in said and ("NOT ALL AGREE" if broken else "All agree with the reference") in said
    assert ("DOES NOT AGREE" in said) is broken
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1 + 2 * 2 + 2 + 2 * 2


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


def test_time_that_is_up_is_said(monkeypatch):
    rows = []
    assert gpu_doctor.examine(rows.append, minutes=0.0)
    assert [row["kind"] for row in rows] == ["machine", "out of time"] and "checks" in rows[-1]["left"]
