"""`testbed doctor --gpu` holds every layout against the reference."""

from __future__ import annotations

import pytest
from rich.console import Console

from testbed import doctor


@pytest.mark.parametrize("broken", [False, True])
def test_every_layout_is_held_against_the_reference(monkeypatch, broken):
    monkeypatch.setattr(doctor, "GPU_CHECKED", ((2, 3, 1), (33, 3, 2)))
    monkeypatch.setattr(doctor, "N_CHECKED", 3)
    if broken:
        right = doctor.kernels.gpu.train
        monkeypatch.setattr(doctor.kernels.gpu, "train", lambda problem: (right(problem)[0] * 1.001,))
    console = Console(record=True, width=120)
    assert doctor.examine_gpu(console) is not broken
    said = console.export_text()
    assert "33-3-2" in said and ("NOT ALL AGREE" if broken else "All agree to 1e-4") in said
