"""A run folder of version 0.1, tables and parameters without its page, is read as long as there is a testbed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import testbed
from kernels import Architecture
from testbed.ensemble.plan import plan

FOLDER = Path(__file__).with_name("run_of_0_1")


def test_a_run_of_version_0_1_is_read():
    results = testbed.load(FOLDER)
    assert results.manifest["environment"]["lmc-testbed"] == "0.1.0"
    assert results.factors == ["architecture.hidden"]
    assert (len(results.networks), len(results.pairs), len(results.curves)) == (16, 20, 100)
    means = results.barriers("train_loss").filter(kind="independent", path="straight")
    assert means["mean"].to_list() == pytest.approx([0.233917, 0.115199], abs=1e-6)
    assert results.columns["pairs"].keys() >= {"train_loss_barrier_linear", "weights_distance"}


def test_its_parameters_are_networks_that_a_study_starts_from():
    params = load_file(FOLDER / "parameters" / "launch-1.safetensors")["params"]
    assert params.shape == (8, Architecture((3, 3, 1)).n_parameters)
    tables = testbed.load(FOLDER).study.resolved()
    tables["architecture"]["hidden"] = [3]
    tables |= {"vary": {}, "ensemble": tables["ensemble"] | {"families": 8, "siblings": 1, "pairs": ["independent"]}}
    tables["ensemble"]["from"] = str(FOLDER / "parameters" / "launch-1.safetensors")
    (launch,) = plan(testbed.Study.make(tables)).launches
    assert torch.equal(launch.initial(launch.networks), params)


@pytest.mark.slow
def test_its_page_is_drawn_anew(tmp_path):
    folder = Path(shutil.copytree(FOLDER, tmp_path / "run"))
    report = testbed.write_report(folder)
    assert report.stat().st_size > 100_000
    assert "Is a run of version 0.1 still read?" in report.read_text(encoding="utf-8")
