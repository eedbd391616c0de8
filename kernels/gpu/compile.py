"""Compiles the kernels for a named GPU, which need not be there, on the very path that a launch takes.

A stand-in for Triton's driver answers for the GPU: binder, specialisation, cache key and compiler are those of a
launch, and only the launch itself is left out. So what fails here fails on a GPU, and what is compiled here is found
in Triton's cache there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import CompiledKernel
from triton.runtime.driver import driver

from kernels.gpu import launch
from kernels.gpu.cost import Cost, Gpu, cost
from kernels.gpu.layouts import Layout
from kernels.gpu.plan import Plan
from kernels.gpu.shapes import multiply_adds
from kernels.problem import PathProblem, TrainingProblem

TARGETS = ("sm_80", "sm_89", "sm_90", "sm_100", "sm_120", "gfx942")


class _StandIn:
    """What Triton asks its driver for on the way to a launch."""

    launcher_cls = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.target = target_of(name)
        self.utils = self

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> str:
        return self.name  # a kernel keeps what it compiled, and for which target, by device

    def get_current_stream(self, device: str) -> int:
        return 0

    def get_active_torch_device(self) -> torch.device:
        return torch.device("cpu")

    def get_device_properties(self, device: str) -> dict[str, int]:
        return {"max_shared_mem": 232448, "multiprocessor_count": 132, "max_num_regs": 65536, "warpSize": 32}


def target_of(name: str) -> GPUTarget:
    """Triton's name of "sm_90" or "gfx942".

    >>> target_of("sm_90").arch
    90
    """
    if name.startswith("gfx"):
        return GPUTarget("hip", name, 64)
    return GPUTarget("cuda", int(name.removeprefix("sm_")), 32)


@contextlib.contextmanager
def standing_in(name: str) -> Iterator[None]:
    """Triton believes in a GPU of this kind ("sm_90", "gfx942"). Kernels may then be compiled (`warmup`), never
    launched.
    """
    before = getattr(driver, "_active", None)
    driver.set_active(_StandIn(name))
    try:
        yield
    finally:
        driver._active = before


def compile_kernel(problem: TrainingProblem | PathProblem, target: str, **changes: int) -> tuple[CompiledKernel, Plan]:
    """The kernel of this problem on `target`, as a launch makes it, and its plan; `changes` replace compiler
    options.
    """
    with standing_in(target):
        call = launch.first_call(problem, target_of(target).backend)
        return call.compiled(**changes), call.plan


def training_cost(problem: TrainingProblem, gpu: Gpu) -> tuple[Cost, Layout]:
    """What a network-step of this problem will cost on `gpu`, read from the machine code; the roofline counts the
    textbook gradient.
    """
    kernel, plan = compile_kernel(problem, gpu.target)
    flop = 2 * (problem.batch_size * multiply_adds(problem.architecture) + problem.architecture.n_parameters)
    turns = problem.batch_size / (plan.batch.unroll * plan.batch.tile)
    return cost(kernel, gpu, turns, plan.layout.block, flop), plan.layout
