"""`testbed doctor --gpu` from its first line to its last, on a GPU that only seems to be there: what it would launch,
the reference computes.
"""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest
import torch

from kernels import reference
from kernels.assignment import assign

doctor = pytest.importorskip("kernels.gpu.doctor", reason="Triton is not installed")
rates = doctor.rates


@pytest.fixture
def seeming_gpu(monkeypatch):
    """torch sees an H200; arrays stay on the CPU; kernels compile for it, and the reference does their work."""
    from kernels.gpu import calls, matching

    properties = SimpleNamespace(multi_processor_count=132, clock_rate=1_980_000)
    for name, answer in {
        "is_available": lambda: True,
        "current_device": lambda: 0,
        "get_device_name": lambda device=0: "NVIDIA H200",
        "get_device_capability": lambda device=0: (9, 0),
        "get_device_properties": lambda device=0: properties,
        "synchronize": lambda device=None: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    monkeypatch.setattr(torch.Tensor, "cuda", lambda self: self)
    monkeypatch.setattr(rates, "DEVICE", "cpu")
    for module in (doctor, rates):
        monkeypatch.setattr(module, "train", reference.train)
        monkeypatch.setattr(module, "path_losses", reference.path_losses)
    monkeypatch.setattr(calls.Call, "launch", lambda self: time.sleep(1e-4))
    monkeypatch.setattr(matching, "assign", assign)
    monkeypatch.setattr(doctor, "ASSIGNED", (5, 64))
    monkeypatch.setattr(rates, "SCORES", 2**14)
    monkeypatch.setattr(doctor, "CHECKED", ((2, 3, 1), (2, 20, 17, 1)))
    monkeypatch.setattr(rates, "TIMED", ((2, 3, 1), (2, 16, 16, 1), (40, 3, 33)))
    monkeypatch.setattr(rates, "NETWORKS", 16)
    monkeypatch.setattr(rates, "SECONDS", 1e-3)
    monkeypatch.setattr(rates, "PATHS", (4, 5, 8))


@pytest.mark.slow
def test_the_whole_examination(seeming_gpu, tmp_path, capsys):
    assert doctor.examine(doctor.teller(tmp_path / "gpu.jsonl"), minutes=20, processes=2)
    rows = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    kinds = [row["kind"] for row in rows]
    assert kinds[:2] == ["machine", "compile"] and rows[0]["gpu"] == "NVIDIA H200"
    assert rows[1]["kernels"] == 2 * 2 * 4 + 2 + len(rates.TIMED)  # every check's and every timing's own
    assert kinds.count("check") == 2 * 2 * 4 + 2 and all(row["agrees"] for row in rows if row["kind"] == "check")
    trained = [row for row in rows if row["kind"] == "training"]
    assert [row["layout"] for row in trained] == ["lanes", "tiles", "memory"]
    assert all(row["kernel_over_roofline"] > 0 for row in trained[:2]) and "roofline" not in trained[2]
    assert {row["tool"] for row in rows if row["kind"] == "peer"} >= {
        "torch.bmm in a CUDA graph",
        "JAX jit(vmap(scan))",
    }
    left_out = next(row for row in rows if row.get("tool") == "torch.bmm in a CUDA graph")
    assert "left_out" in left_out  # there is no CUDA graph here: named, and the rest goes on
    assert kinds.count("paths") == 2 * 2
    assigned = [row for row in rows if row["kind"] == "assignment"]
    assert [row["columns"] for row in assigned] == [5, 64, 16, 64]
    assert all(row["agrees"] and row["as_the_cpu"] for row in assigned[:2]) and assigned[2]["per_s"] > 0
    assert [row["columns"] for row in rows if row.get("tool") == "torch-linear-assignment"] == [16, 64]
    assert len(capsys.readouterr().out.splitlines()) == len(rows)


def test_a_run_that_is_cut_off_has_written_what_it_found(seeming_gpu, monkeypatch, tmp_path):
    from kernels.gpu import compile

    monkeypatch.setattr(compile, "compile_ahead", lambda *arguments, **more: 7)

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(rates, "training_rates", interrupt)
    with pytest.raises(KeyboardInterrupt):
        doctor.examine(doctor.teller(tmp_path / "gpu.jsonl"), minutes=20)
    rows = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert len(rows) == 2 + 2 * 2 * 4 + 2 + 2 and rows[-1]["kind"] == "assignment"


class NVMLError(Exception):
    """As nvidia-ml-py has it: no error of Python's own."""


def raising(error):
    def raise_it(*arguments, **more):
        raise error

    return raise_it


def test_what_raises_is_told_and_the_rest_goes_on(seeming_gpu, monkeypatch, tmp_path, capsys):
    """Compiling, one of the checks, one of the rates; and each line is JSON, which has no NaN."""
    from kernels.gpu import compile

    def train(problem):
        if len(problem.architecture.widths) == 4:
            raise RuntimeError("CUDA error: an illegal memory access [was] encountered")
        trained = reference.train(problem)
        trained.params[:] = torch.nan
        return trained

    monkeypatch.setattr(compile, "target_here", raising(NVMLError("no compiler")))
    monkeypatch.setattr(doctor, "train", train)
    monkeypatch.setattr(doctor, "BATCHES", ("full",))
    monkeypatch.setattr(rates, "timed", raising(torch.OutOfMemoryError("CUDA out of memory.")))
    monkeypatch.setattr(rates, "peer_rates", lambda widths: [])
    rows = []
    assert not doctor.examine(lambda row: (rows.append(row), doctor.teller(tmp_path / "one.jsonl")(row)), minutes=20)
    assert rows[1]["kind"] == "compile" and rows[1]["raised"]
    trained = [row for row in rows if row["kind"] == "check" and "batch" in row]
    assert [row["agrees"] for row in trained] == [False] * 4
    assert ["illegal memory access [was]" in row.get("raised", "") for row in trained] == [False, True] * 2
    assert sum(row["kind"] == "training" and "OutOfMemoryError" in row["raised"] for row in rows) == len(rates.TIMED)
    assert all(row["agrees"] for row in rows if row.get("paths") and "agrees" in row)
    assert rows[-1]["kind"] == "peer" or rows[-1]["per_s"] > 0
    assert doctor.verdict(rows).startswith("NOT ALL AGREE with the reference (4 of ")
    assert "DOES NOT AGREE" in capsys.readouterr().out
    tell = doctor.teller(tmp_path / "all.jsonl")
    for row in rows:
        tell(row)
    for line in (tmp_path / "all.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=raising(AssertionError("no JSON")))


@pytest.mark.parametrize("found", [None, NVMLError("Not Supported"), 0])
def test_a_clock_that_the_driver_does_not_say_leaves_out_what_depends_on_it(seeming_gpu, monkeypatch, found):
    """As of a slice of a GPU, or where torch's properties of a device name no clock."""
    from kernels.gpu.cost import gpu_named

    answer = raising(found or ModuleNotFoundError("pynvml")) if found != 0 else lambda: 0
    monkeypatch.setattr(torch.cuda, "clock_rate", answer)
    (row,) = rates.training_rates((2, 3, 1), gpu_named("another", (8, 6), 84, 0.0))
    assert row["clock_ghz"] is None and row["kernel_per_s"] > 0 and "roofline" not in row
