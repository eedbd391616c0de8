"""Every kernel goes down Triton's own launch path, for GPUs that are not here: binder, specialisation, cache key,
compiler.

Only the driver's last step, the launch, is left out (`kernels.gpu.compile.standing_in`). Interpreter and
ahead-of-time compilation both go round the binder, and a kernel whose argument has the name of one of the binder's
own variables never launches.
"""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kernels import SGD, Architecture, Teacher, Training
from kernels.problem import path_problem, training_problem
from tests.kernels.gpu.cases import CASES, make
from tests.kernels.problems import paths

compiler = pytest.importorskip("kernels.gpu.compile", reason="Triton is not installed")

ROOT = Path(__file__).parents[3]
TARGETS = ("sm_90", "gfx942")
OTHER_TRITONS = os.environ.get("LMC_TRITONS", "")
LANES = ((2, 16, 1), (2, 32, 1), (8, 16, 1))
FIRSTS = [*{case.split(",")[0]: case for case in reversed(CASES)}.values()]  # of each layout
LONG = ("memory, every setting, momentum", "memory, every setting, adamw")
VERSIONS = ("3.5.1", "3.6.0", "3.8.0", "3.9.0")  # and the one that is installed


def cases_and_targets() -> list[Any]:
    """Every case for NVIDIA, the longest slowly; for AMD, whose compiler takes twice as long, one of each layout."""
    nvidia = [pytest.param(case, "sm_90", marks=[pytest.mark.slow] * (case in LONG)) for case in CASES]
    amd = [pytest.param(case, "gfx942", marks=[] if case in FIRSTS else pytest.mark.slow) for case in CASES]
    return [*nvidia, *amd]


@pytest.mark.parametrize(("case", "target"), cases_and_targets())
def test_every_kernel_goes_down_the_launch_path(case, target):
    kernel, plan = compiler.compile_kernel(make(case), target)
    wide = target.startswith("gfx") and "wide" in case  # tiles of as many inputs are tensor cores' alone
    assert plan.layout.name == ("memory" if wide else case.split(",")[0])
    assert kernel.asm["hsaco" if target.startswith("gfx") else "cubin"]


@pytest.mark.parametrize(("target", "layout"), [("sm_80", "tiles"), ("sm_89", "memory"), ("gfx942", "memory")])
def test_what_asks_for_more_shared_memory_than_there_is_is_compiled_otherwise(target, layout):
    """A matrix of 128 × 128 numbers of float64 is 128 KiB."""
    kernel, plan = compiler.compile_kernel(paths((2, 128, 128, 1), dtype=torch.float64, n_samples=5), target)
    assert plan.layout.name == layout
    assert (kernel.metadata.shared > 2**17) == (layout == "tiles")


@pytest.mark.parametrize("target", TARGETS)
def test_draws_go_down_the_launch_path(monkeypatch, target):
    """Of seeds and of initial parameters: the launch itself is replaced by a compilation."""
    from kernels.gpu import draws

    made = []

    class Compiled:
        def __init__(self, kernel):
            self.kernel = kernel

        def __getitem__(self, grid):
            return lambda **given: made.append(self.kernel.warmup(grid=grid, **given))

    for name in ("draw_seeds", "draw_parameters"):
        monkeypatch.setattr(draws, name, Compiled(getattr(draws, name)))
    with compiler.standing_in(target):
        seeds = draws.network_seeds(2**62, 5, torch.device("cpu"))
        for uniform in (False, True):
            draws.initial_parameters(seeds, torch.ones(13, dtype=torch.float64), uniform, torch.float32)
    assert len({kernel.hash for kernel in made}) == 3
    assert all("hsaco" in kernel.asm or "cubin" in kernel.asm for kernel in made)


def test_a_call_gives_each_argument_by_its_name():
    """Nothing is left out, nothing is too much."""
    from kernels.gpu import launch

    for case in CASES:
        call = launch.first_call(make(case), "cuda")
        given = {*call.arguments, *call.constants}
        assert given == set(inspect.signature(call.kernel.fn).parameters), case


def strided(tensor):
    """The same numbers, which do not lie side by side."""
    return tensor.T.contiguous().T if tensor.ndim == 2 else torch.stack([tensor, tensor], 1)[:, 0]


@pytest.mark.parametrize("widths", [(2, 3, 1), (2, 20, 17, 1), (40, 3, 33)])
def test_what_a_kernel_is_given_lies_side_by_side(widths):
    """Whatever strides a user's tensors have, and whether they want a gradient: kernels read addresses."""
    from kernels.gpu import calls, launch

    architecture, n = Architecture(widths), 5
    x, y = strided(torch.randn(7, widths[0])).requires_grad_(), strided(torch.randn(7, widths[-1]))
    a, b = (strided(architecture.initial(n, seed)).requires_grad_() for seed in (1, 2))
    numbers, places = strided(torch.linspace(0, 1, n)), strided(torch.arange(n))
    mask, optimizer = strided(a > 0), SGD(lr=numbers, momentum=numbers / 2, weight_decay=numbers)
    given = {"data_seeds": places, "spawn_steps": places, "spawn_seeds": places, "dataset": places.clamp(max=0)}
    teacher = Teacher(architecture, strided(architecture.initial(2)))
    problems = [
        training_problem(architecture, a, (x, y), Training(3, optimizer), mask=mask, **given),
        path_problem(architecture, a, b, numbers, (x, y)),
        path_problem(architecture, a, b, numbers, teacher, n_samples=5, seeds=places, dataset=places.clamp(max=1)),
    ]
    assert not any(tensor.is_contiguous() for tensor in (a, b, x, numbers, places, mask, teacher.params))
    for problem in problems:
        call = launch.first_call(problem, "cuda")
        tensors = {name: value for name, value in call.arguments.items() if isinstance(value, torch.Tensor)}
        assert [name for name, value in tensors.items() if not value.is_contiguous() or value.requires_grad] == []
        apart = strided(torch.arange(6.0).reshape(2, 3))
        assert not apart.is_contiguous() and calls.laid(apart, call.plan.layout).is_contiguous()


def test_the_tests_reach_both_precisions_all_layouts_batches_and_options():
    """What the cases vary, read off the plans that they make."""
    from kernels.gpu.plan import plan

    plans = [plan(make(case), "cuda") for case in CASES]
    optimizers = [p.optimizer for p in plans if p.optimizer is not None]
    assert {p.layout.name for p in plans} == {"lanes", "tiles", "memory"}
    assert {p.batch.sampling for p in plans} == {"full", "epoch", "replacement", "online"}
    assert {p.kind for p in optimizers} == {"sgd", "adam", "adamw"}
    for option in ("momentum", "nesterov", "decay", "masked", "held", "tied", "rated", "clipped", "stops"):
        assert {getattr(p, option) for p in optimizers} == {False, True}, option
    assert {p.layout.group > 1 for p in plans} == {False, True}


@pytest.mark.slow
@pytest.mark.skipif(not OTHER_TRITONS, reason="LMC_TRITONS names no folder with other Tritons (make tritons)")
@pytest.mark.parametrize("version", VERSIONS)
def test_other_tritons(version):
    """The Tritons that other torches bring, each in a process of its own; lanes spill nothing with any of them.

    For AMD all cases with the oldest and the newest, and one of each layout with those between.
    """
    amd = CASES if version in (VERSIONS[0], VERSIONS[-1]) else FIRSTS
    program = (
        "import triton; from tests.kernels.gpu.cases import make; from kernels.gpu import missing, compile\n"
        f"assert triton.__version__ == {version!r} and 'Triton' not in missing()\n"
        f"for target, cases in {dict(zip(TARGETS, (CASES, amd), strict=True))!r}.items():\n    for case in cases:\n"
        "        compile.compile_kernel(make(case), target)\n"
        "    for m in (16, 64, 512, 513):\n        compile.compile_assignment(m, target)\n"
        "from benchmarks.gpu_cost import static_cost\n"
        f"for widths in {LANES!r}:\n    cost = static_cost(widths, 'H100')[0]\n"
        "    assert cost.spills == 0 and cost.issue_bound > 0.7 * cost.roofline and cost.share > 0.5, (widths, cost)\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{Path(OTHER_TRITONS) / version}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.skipif(not OTHER_TRITONS, reason="LMC_TRITONS names no folder with other Tritons (make tritons)")
@pytest.mark.parametrize("version", VERSIONS)
def test_launches_to_their_end_by_other_tritons(version):
    """test_driver.py in a process of its own; and none warns, as 3.9 does of a kernel that does not say `fp_fusion`."""
    environment = os.environ | {"PYTHONPATH": f"{Path(OTHER_TRITONS) / version}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/kernels/gpu/test_driver.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "fp_fusion" not in done.stdout.lower(), done.stdout[-3000:]


@pytest.mark.parametrize(("version", "fits"), [("3.4.0", False), ("3.5.0", True), ("3.9.2", True), ("3.10.0", False)])
def test_a_triton_that_was_not_tested_is_refused_with_a_sentence(monkeypatch, version, fits):
    import triton

    from kernels import gpu

    monkeypatch.setattr(triton, "__version__", version)
    assert (not gpu.unfit_triton()) == fits
    if not fits:
        assert f"Triton {version} is installed" in gpu.unfit_triton() and "3.5 to 3.9" in gpu.unfit_triton()


def test_counts_and_seeds_do_not_make_another_kernel():
    """Two problems that differ in all of these have one cache key."""
    from kernels.gpu import launch

    def key(problem):
        call = launch.first_call(problem, "cuda")
        with compiler.standing_in("sm_90"):
            return call.compiled().hash

    from tests.kernels.problems import problem

    assert key(problem(n=5, steps=3, n_samples=16)) == key(problem(n=900, steps=77, n_samples=64))
    few = problem(batch="epoch", n_samples=17, batch_size=3, dtype=torch.float32)
    many = problem(batch="epoch", n_samples=100, batch_size=64, dtype=torch.float32)
    assert key(few) == key(many)
