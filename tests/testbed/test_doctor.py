"""`testbed doctor --gpu` where there is no GPU, and what it says of one that only seems to be there."""

from __future__ import annotations

import json

import pytest
import torch
from rich.console import Console

from testbed import doctor


def test_without_a_gpu_it_says_why(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    console = Console(record=True, width=150)
    assert doctor.examine_gpu(console)
    assert "The GPU kernels cannot run here: " in console.export_text()


def test_rows_are_said_and_written_as_they_come(tmp_path):
    from kernels.gpu.doctor import teller

    said: list[str] = []
    tell = teller(tmp_path / "new" / "gpu.jsonl", said.append)
    rows = [
        {"kind": "check", "network": "2-16-1", "batch": "full", "error": 2e-7, "agrees": True},
        {"kind": "out of time"},
    ]
    for k, row in enumerate(rows):
        tell(row)
        written = (tmp_path / "new" / "gpu.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in written] == rows[: k + 1]
    assert said[0] == "check 2-16-1: full, error 2.0e-07, agrees"


@pytest.mark.parametrize(
    ("name", "capability", "target"),
    [("NVIDIA H200", (9, 0), "sm_90"), ("NVIDIA RTX A6000", (8, 6), "sm_86"), ("Something new", (13, 7), None)],
)
def test_a_gpu_is_known_by_its_name_or_its_compute_capability(name, capability, target):
    from kernels.gpu.cost import gpu_named

    known = gpu_named(name, capability, 100, 1.5)
    assert (known.target if known else None) == target
