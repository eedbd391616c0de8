"""The table of a GPU's speeds, with a GPU that only seems to be there: bounds come from machine code, times from the clock."""

from __future__ import annotations

import platform
import time

import pytest
import torch
from rich.console import Console

from testbed import doctor

pytest.importorskip("kernels.gpu.compile", reason="Triton is not installed")


@pytest.mark.skipif(platform.system() != "Linux", reason="Triton ships its disassembler for Linux")
@pytest.mark.parametrize(("name", "known"), [("NVIDIA H100 80GB HBM3", True), ("Another GPU", False)])
def test_measured_speeds_stand_beside_their_bounds(monkeypatch, name, known):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: name)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(
        doctor.kernels.gpu, "train", lambda problem: time.sleep(0.002)
    )  # longer than `seconds`: the steps stay ten
    monkeypatch.setattr(doctor, "GPU_NETWORKS", ((2, 16, 1),))
    console = Console(record=True, width=150)
    console.print(doctor.gpu_speeds(n_networks=2, seconds=0.001))
    row = next(line for line in console.export_text().splitlines() if "2-16-1" in line).split()
    assert row[1] == "lanes" and (row[3:] == ["—"] * 4) is not known
    if known:
        assert 6 < float(row[4]) < 8 < float(row[5]) < 8.2 and row[6].endswith("%")  # as in docs/gpu.md
