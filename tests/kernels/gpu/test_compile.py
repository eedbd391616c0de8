"""The kernels go through Triton's compiler for GPUs that are not here, and what comes out is cheap and right.

LMC_MATRIX=all compiles every layout × activation × optimizer × batch mode for every target; a run of the suite takes one in MATRIX_STRIDE,
another one each day. LMC_PTX_ON_CPU names a script that runs PTX on this CPU (`build(ptx, check)` and `launch(...)`); with it the compiled
kernel's results are compared with the reference.
"""

from __future__ import annotations

import ctypes
import dataclasses
import datetime
import importlib.util
import itertools
import os
import platform
import re
from pathlib import Path

import pytest
import torch

from kernels import ACTIVATIONS, Adam, Architecture, Training, reference
from kernels.gpu.cost import GPUS
from kernels.problem import training_problem
from tests.kernels.gpu.problems import OPTIMIZERS, paths, problem, relative_error

compiler = pytest.importorskip("kernels.gpu.compile", reason="Triton is not installed")
nvidia_tools = pytest.mark.skipif(platform.system() != "Linux", reason="Triton ships its disassembler for Linux")

SHAPES = {
    "lanes": (2, 16, 1),
    "lanes, deep": (2, 3, 4, 2),
    "group of lanes": (8, 16, 1),
    "tiles": (2, 32, 20, 1),
    "memory": (34, 20, 17, 2),
}
BATCHES = ("full", "epoch", "replacement", "online")
TARGETS = ("sm_80", "sm_90", "sm_100", "sm_120", "gfx942")
MATRIX = list(itertools.product(SHAPES, ACTIVATIONS, OPTIMIZERS, BATCHES, TARGETS))
MATRIX_STRIDE = 181  # shares no factor with the lengths above: a slice has every target


def slice_of_the_day():
    if os.environ.get("LMC_MATRIX") == "all":
        return MATRIX
    return MATRIX[datetime.date.today().toordinal() % MATRIX_STRIDE :: MATRIX_STRIDE]


@pytest.mark.parametrize(("shape", "activation", "optimizer", "batch", "target"), slice_of_the_day())
def test_training_compiles(shape, activation, optimizer, batch, target):
    p = problem(SHAPES[shape], activation, optimizer, batch=batch, dtype=torch.float32, n_samples=32, n_datasets=2)
    kernel, layout = compiler.compile_training(p, target)
    assert layout.name in shape or shape == "group of lanes"
    assert kernel.asm["hsaco" if target == "gfx942" else "cubin"]


@pytest.mark.parametrize("target", TARGETS)
def test_tiles_compile_everywhere(target):
    """Matrix products are what targets differ in."""
    kernel, layout = compiler.compile_training(problem((2, 32, 32, 1), dtype=torch.float32, n_samples=32), target)
    assert layout.name == "tiles" and kernel.asm


@pytest.mark.parametrize("widths", [(2, 4, 4, 4, 1), (2, 20, 20, 20, 1), (2000, 2, 1), (64, 64, 10), (3, 2)])
def test_three_hidden_layers_many_inputs_and_none(widths):
    online = {"batch": "online", "batch_size": 1} if widths[0] > 1000 else {}
    assert compiler.compile_training(problem(widths, dtype=torch.float32, **online), "sm_90")[0].asm["cubin"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_setting_of_the_memory_layout_compiles(target):
    architecture = Architecture((3, 20, 20, 2), "tanh", normalise=True, residual=True)
    settings = Training(
        2,
        Adam(0.1, weight_decay=0.1),
        "cross_entropy",
        batch_size=16,
        label_smoothing=0.1,
        clip_norm=1.0,
        stop_below=0.1,
    )
    few = torch.ones(architecture.n_parameters, dtype=torch.bool)
    source = (torch.zeros(32, 3), torch.zeros(32, dtype=torch.int64))
    tied = torch.arange(architecture.n_parameters) // 2
    p = training_problem(architecture, architecture.initial(2), source, settings, 0, None, None, None, few, few, tied)
    kernel, layout = compiler.compile_training(p, target)
    assert layout.name == "memory" and kernel.asm["hsaco" if target == "gfx942" else "cubin"]


@pytest.mark.parametrize("target", TARGETS)
def test_barriers_of_the_memory_layout_order_device_memory(target):
    """Threads exchange values through device memory: every barrier that the source asks for is one of all memory, and none is dropped."""
    kernel, layout = compiler.compile_training(problem((40, 64, 64, 2), dtype=torch.float32, n_samples=32), target)
    asked = kernel.asm["ttgir"].count("ttg.barrier all")
    assert layout.warps == 4 and asked >= 10
    if target == "gfx942":
        assert kernel.asm["llir"].count('fence syncscope("workgroup") release') >= asked
    else:
        assert kernel.asm["ptx"].count("bar.sync") >= asked


@pytest.mark.parametrize("widths", [(2, 4, 1), (2, 3, 3, 2), (2, 20, 17, 2), (40, 20, 2)])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_double_and_paths_compile(widths, loss):
    if loss == "cross_entropy" and widths[-1] == 1:
        widths = (*widths[:-1], 2)
    assert compiler.compile_training(problem(widths, "tanh", "momentum", loss, masked=True), "sm_90")[0].asm["cubin"]
    assert compiler.compile_paths(paths(widths, "erf", loss), "sm_90")[0].asm["cubin"]
    teacher = Architecture((widths[0], 3, widths[-1]), "tanh")
    assert compiler.compile_paths(paths(widths, "relu", loss, torch.float32, teacher=teacher), "sm_90")[0].asm["cubin"]


@nvidia_tools
@pytest.mark.parametrize(
    ("widths", "least"), [((2, 16, 1), 0.75), ((2, 32, 1), 0.60), ((8, 16, 1), 0.45), ((2, 32, 32, 1), 0.40)]
)
def test_static_cost(widths, least):
    """The lower of issue bound and latency estimate on an H100, of the FP32 roofline; a bound from machine code, not a measurement."""
    from benchmarks.gpu_cost import static_cost

    cost, layout = static_cost(widths, "H100")
    assert cost.share >= least
    if layout.lanes:
        assert cost.spills == 0
    assert GPUS["H100"].flops == pytest.approx(59.3e12, rel=0.01)


def test_steps_counts_and_seeds_do_not_recompile():
    """Two problems that differ in all of these have one signature: nothing of it is a constant of the kernel."""
    from kernels.gpu.plan import compiled_optimizer, plan

    def key(p):
        return plan(p)[1:], compiled_optimizer(p)

    assert key(problem(n=5, steps=3, n_samples=16)) == key(problem(n=900, steps=77, n_samples=64))
    assert key(problem(batch="epoch", n_samples=17, batch_size=3)) == key(
        problem(batch="epoch", n_samples=100, batch_size=64)
    )


PTX_ON_CPU = os.environ.get("LMC_PTX_ON_CPU")


def run_compiled(p):
    """The state after all steps of the compiled training kernel, run on this CPU; a load or store outside the arrays aborts."""
    from kernels.gpu import launch

    spec = importlib.util.spec_from_file_location("ptx_on_cpu", Path(PTX_ON_CPU))
    ptx_on_cpu = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ptx_on_cpu)
    kernel, layout = compiler.compile_training(p, "sm_80", num_stages=1)  # no asynchronous copies
    form, batches = launch.plan(p)[1:]
    n, steps = len(p.params), p.training.steps
    state = launch._Launches(
        p, layout, form, batches, launch.compiled_optimizer(p), slice(0, n), p.params, schedule_of(p)
    )
    library, parameters, _ = ptx_on_cpu.build(for_translator(kernel.asm["ptx"]), check=True)
    arguments = [a.numpy() if isinstance(a, torch.Tensor) else a for a in state.arguments(0, steps)]
    for array in arguments:
        if not isinstance(array, int):
            library.reg(ctypes.c_void_p(array.ctypes.data), ctypes.c_uint64(array.nbytes))
    ptx_on_cpu.launch(library, parameters, (-(-n // layout.block), 1, 1), arguments, kernel.metadata.shared)
    return state


@pytest.mark.skipif(not PTX_ON_CPU, reason="LMC_PTX_ON_CPU names no script that runs PTX on a CPU")
@pytest.mark.parametrize("batch", ["full", "replacement"])
@pytest.mark.parametrize("widths", [(2, 16, 1), (3, 5, 2), (9, 16, 1), (2, 32, 32, 1), (40, 4, 2), (34, 40, 33, 2)])
def test_compiled_code_equals_the_reference(widths, batch):
    # float32 alone, and no division of whole numbers, as there is in the place of a batch in its epoch
    p = problem(widths, batch=batch, dtype=torch.float32, n=37, n_samples=32, batch_size=8, steps=20)
    state, want = run_compiled(p), reference.train(p)
    moved = [params.double() - p.params.double() for params in (state.params(), want[0])]
    assert relative_error(*moved) < 1e-5  # float32-grade: of what 20 steps changed
    assert relative_error(state.losses.T, want[1]) < 1e-5


@pytest.mark.skipif(not PTX_ON_CPU, reason="LMC_PTX_ON_CPU names no script that runs PTX on a CPU")
def test_a_million_networks_in_one_launch():
    """Compiled code finds every one of a million networks in its arrays: all of them against the reference.

    tanh, since among so many relus some pre-activation is 0 to rounding, and its sign decides a sample's gradient.
    """
    p = problem((2, 16, 1), "tanh", dtype=torch.float32, n=10**6, n_samples=4, steps=2)
    state, want = run_compiled(p), reference.train(p)
    error = (state.params() - want[0]).norm(dim=1) / (want[0] - p.params).norm(dim=1).clamp(min=1e-3)
    assert error.max() < 1e-3 and relative_error(state.losses.T, want[1]) < 1e-5


def for_translator(ptx):
    """The same code for a translator that wants a name for what is thrown away, and keeps 16-bit registers in wider ones."""
    return re.sub(r"(shl\.b16\s+(%\w+),[^;]+;)", r"\1 \n\tand.b16 \2, \2, 65535;", ptx.replace("{_,", "{%r99999,"))


def schedule_of(p):
    return torch.stack([torch.from_numpy(p.factors), *torch.ones(2, p.training.steps, dtype=torch.float64)]).to(
        p.params
    )


def test_what_is_too_long_to_count_is_refused_by_name():
    from kernels import gpu

    long = problem(batch="online", steps=3)
    long = dataclasses.replace(long, batch_size=2**31)
    assert "backend 'reference' counts further" in gpu.refusal(long) and not gpu.refusal(problem())
    with pytest.raises(ValueError, match="below 2\\^31; backend 'reference'"):
        gpu.train(long)
