"""The kernels compile for GPUs that are not here, and what comes out is cheap.

LMC_MATRIX=all compiles every layout × activation × optimizer × batch mode for every target; `test_launch.py` compiles
what reaches every option.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import platform
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from kernels import ACTIVATIONS
from kernels.gpu.cost import GPUS
from tests.kernels.gpu.cases import make
from tests.kernels.problems import OPTIMIZERS, problem

compiler = pytest.importorskip("kernels.gpu.compile", reason="Triton is not installed")
nvidia_tools = pytest.mark.skipif(platform.system() != "Linux", reason="Triton ships its disassembler for Linux")

SHAPES = {
    "lanes": (2, 16, 1),
    "lanes, deep": (2, 3, 4, 2),
    "group of lanes": (8, 16, 1),
    "tiles": (2, 32, 20, 1),
    "memory": (34, 20, 17, 33),
}
BATCHES = ("full", "epoch", "replacement", "online")
TARGETS = ("sm_80", "sm_90", "sm_100", "sm_120", "gfx942")
MATRIX = list(itertools.product(SHAPES, ACTIVATIONS, OPTIMIZERS, BATCHES, TARGETS))


@pytest.mark.parametrize(
    ("shape", "activation", "optimizer", "batch", "target"), MATRIX if os.environ.get("LMC_MATRIX") == "all" else []
)
def test_the_whole_matrix(shape, activation, optimizer, batch, target):
    p = problem(SHAPES[shape], activation, optimizer, batch=batch, dtype=torch.float32, n_samples=32, n_datasets=2)
    kernel, plan = compiler.compile_kernel(p, target)
    assert plan.layout.name in shape or shape == "group of lanes"
    assert kernel.asm["hsaco" if target == "gfx942" else "cubin"]


@pytest.mark.parametrize("target", ["sm_80", "sm_100", "sm_120"])  # sm_90 and gfx942: test_launch.py
@pytest.mark.parametrize("case", ["tiles, full", pytest.param("memory, every setting", marks=pytest.mark.slow)])
def test_other_targets(case, target):
    """Matrix products are what targets differ in."""
    assert compiler.compile_kernel(make(case), target)[0].asm["cubin"]


@pytest.mark.parametrize("widths", [(2, 4, 4, 4, 1), (2, 20, 20, 20, 1), (2000, 2, 1), (64, 64, 10), (3, 2)])
def test_three_hidden_layers_many_inputs_and_none(widths):
    online = {"batch": "online", "batch_size": 1} if widths[0] > 1000 else {}
    assert compiler.compile_kernel(problem(widths, dtype=torch.float32, **online), "sm_90")[0].asm["cubin"]


@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
def test_barriers_of_the_memory_layout_order_device_memory(target):
    """Threads exchange values through device memory: every barrier asked for is one of all memory, and none is
    dropped.
    """
    kernel, plan = compiler.compile_kernel(problem((40, 64, 64, 33), dtype=torch.float32, n_samples=32), target)
    asked = kernel.asm["ttgir"].count("ttg.barrier all")
    assert plan.layout.warps == 4 and asked >= 10
    if target == "gfx942":
        assert kernel.asm["llir"].count('fence syncscope("workgroup") release') >= asked
    else:
        assert kernel.asm["ptx"].count("bar.sync") >= asked


@nvidia_tools
@pytest.mark.parametrize(
    ("widths", "issue", "predicted", "spills"),
    [
        ((2, 16, 1), 0.84, 0.65, 0),
        ((2, 32, 1), 0.82, 0.62, 0),
        ((8, 16, 1), 0.80, 0.57, 0),
        ((2, 8, 8, 1), 0.70, 0.50, 0),
        ((2, 16, 16, 1), 1.00, 0.58, 0),
        ((2, 32, 32, 1), 1.70, 0.80, 20),
        ((2, 64, 64, 1), 1.60, 0.95, 0),
        ((4, 64, 64, 2), 1.30, 0.80, 45),
        ((64, 128, 10), 1.00, 0.45, 0),
        pytest.param((2, 128, 128, 1), 1.60, 0.90, 0, marks=pytest.mark.slow),
        pytest.param((2, 64, 64, 64, 64, 64, 1), 1.40, 0.55, 260, marks=pytest.mark.slow),
    ],
)
def test_static_cost(widths, issue, predicted, spills):
    """Issue bound and prediction on an H100, of the FP32 roofline, and spills a step; bounds, not a
    measurement.
    """
    from benchmarks.gpu_cost import static_cost

    cost, _ = static_cost(widths, "H100")
    assert cost.issue_bound >= issue * cost.roofline and cost.prediction >= predicted * cost.roofline
    assert cost.spills <= spills
    assert GPUS["H100"].flops == pytest.approx(66.9e12, rel=0.01)


def test_what_is_too_long_to_count_is_refused_by_name():
    from kernels import gpu

    long = problem(batch="online", steps=3)
    long = dataclasses.replace(long, batch_size=2**31)
    assert "backend 'reference' counts further" in gpu.refusal(long) and not gpu.refusal(problem())
    with pytest.raises(ValueError, match="below 2\\^31; backend 'reference'"):
        gpu.train(long)


def test_compiling_ahead(monkeypatch, tmp_path):
    """In parallel processes, once: afterwards a launch finds its kernel, and a second call compiles nothing."""
    from kernels.gpu import compile

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    problems = [problem(n=5, n_samples=n_samples, steps=3) for n_samples in (15, 16, 17, 19)]  # 17 and 19 share one
    seen = []
    assert compile.compile_ahead(problems, "sm_90", lambda *done: seen.append(done), processes=2) == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert len(list(tmp_path.rglob("*.cubin"))) == 3
    monkeypatch.setattr(compile, "compile_kernel", None)
    assert compile.compile_ahead(problems, "sm_90", lambda *done: seen.append(done)) == 3
    assert len(seen) == 3


def test_a_cache_that_may_only_be_read_is_read(monkeypatch, tmp_path):
    """Its kernels are those that launches compiled, and nothing says so that compiling ahead looks for."""
    from kernels.gpu import compile

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    compile.compile_kernel(problem(n=5), "sm_90")
    for name in ("touch", "mkdir", "write_text", "write_bytes"):
        monkeypatch.setattr(Path, name, refused)
    monkeypatch.setattr("os.makedirs", lambda *arguments, exist_ok: None)
    assert compile.compile_ahead([problem(n=5)], "sm_90") == 1


@pytest.mark.slow
def test_processes_of_a_study_compile_without_being_started_anew(monkeypatch, tmp_path):
    """loky starts those anew that grow, which takes seconds, and warns of it."""
    from kernels import gpu
    from kernels.gpu import compile
    from testbed.ensemble import backend
    from testbed.ensemble.plan import plan
    from testbed.study import Study

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(gpu, "present", lambda: True)
    monkeypatch.setattr(compile, "target_here", lambda: "sm_90")
    seen = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        backend.prepared(plan(Study.load("teacher_student", quick=True)), lambda *done: seen.append(done))
    assert seen[-1] == (len(seen), len(seen)) and len(seen) >= compile.WORTH_A_POOL
    assert not [str(warning.message) for warning in warned if "restarted" in str(warning.message)]


def refused(*arguments, **more):
    raise PermissionError(13, "Read-only file system")


@pytest.mark.slow
def test_processes_that_compile_end_when_their_parent_is_killed(tmp_path):
    """A scheduler's SIGKILL, say: they would wait for ever for what to compile next."""
    import psutil  # type: ignore[import-untyped]

    program = (
        "from kernels.gpu import compile, doctor\n"
        "if __name__ == '__main__':\n"
        "    problems = [problem for _, problem in doctor.checks()]\n"
        "    compile.compile_ahead(problems, 'sm_90', lambda *done: print(*done, flush=True), processes=2)\n"
    )
    (tmp_path / "program.py").write_text(program)
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(tmp_path / "program.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline().startswith("1 ")
        children = psutil.Process(parent.pid).children()
        parent.kill()
    assert len(children) == 3  # two that compile, and one of multiprocessing's own
    assert psutil.wait_procs(children, timeout=60)[1] == []


def test_kernels_that_park_no_weights_have_all_registers():
    """What Triton 3.5 runs in tiles holds the weights of four warps in registers."""
    from kernels.gpu import launch
    from kernels.gpu.registers import training

    call = launch.first_call(problem((4, 64, 64, 2), dtype=torch.float32), "cuda")
    assert call.plan.net.parked and call.options["maxnreg"] == 168
    assert dataclasses.replace(call, kernel=training.train).options["maxnreg"] == 255


def test_a_compiled_kernel_is_not_taken_for_one_of_other_sources():
    """Triton's key knows neither `Net`'s properties nor the table of activations; `Net.source` stands for both."""
    from kernels.gpu import compile, launch

    call = launch.first_call(problem(n=5), "cuda")
    other = dataclasses.replace(call.plan, net=dataclasses.replace(call.plan.net, source="another"))
    with compile.standing_in("sm_90"):
        assert call.compiled().hash != dataclasses.replace(call, plan=other).compiled().hash
