"""When `auto` takes the GPU, with a GPU that only seems to be there."""

from __future__ import annotations

import pytest
import torch

import kernels
from tests.kernels.problems import paths, problem


@pytest.mark.parametrize("make", [problem, paths])
def test_auto_takes_the_gpu_where_it_is_worth_the_transfer_and_runs_the_settings(monkeypatch, make):
    small = make()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(kernels.gpu, "missing", lambda: "")
    monkeypatch.setattr(kernels.gpu, "refusal", lambda problem: "")
    on_cpu = "reference" if kernels.native.missing() else "native"
    assert kernels.chosen("auto", small) == on_cpu
    monkeypatch.setattr(kernels, "WORTH_A_TRANSFER", 1)
    assert kernels.chosen("auto", small) == "gpu"
    monkeypatch.setattr(kernels.gpu, "refusal", lambda problem: "a setting that it does not know")
    assert kernels.chosen("auto", small) == on_cpu
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(kernels.gpu, "refusal", lambda problem: "")
    assert kernels.chosen("auto", small) == on_cpu
