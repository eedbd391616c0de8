"""Compiles the kernels for a named GPU, which need not be there: for tests of the compiler and for `kernels.gpu.cost`."""

from __future__ import annotations

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, CompiledKernel

from kernels.gpu.cost import Cost, Gpu, cost
from kernels.gpu.layouts import Layout
from kernels.gpu.memory import paths as memory_paths
from kernels.gpu.memory import training as memory_training
from kernels.gpu.plan import compiled_optimizer, options, plan
from kernels.gpu.registers import paths, training
from kernels.gpu.shapes import multiply_adds
from kernels.problem import PathProblem, TrainingProblem

TARGETS = ("sm_80", "sm_89", "sm_90", "sm_100", "sm_120", "gfx942")
WHOLE = ("data_seeds", "spawn_steps", "spawn_seeds", "seeds", "dataset", "diverged_at", "stopped_at")  # int64 arrays
INDICES = ("tied", "members", "groups")  # int32 arrays


def target_of(name: str) -> GPUTarget:
    """Triton's name of "sm_90" or "gfx942"."""
    if name.startswith("gfx"):
        return GPUTarget("hip", name, 64)
    return GPUTarget("cuda", int(name.removeprefix("sm_")), 32)


def compile_training(problem: TrainingProblem, target: str, **changes: int) -> tuple[CompiledKernel, Layout]:
    """The training kernel for this problem on `target`, as a launch would make it; `changes` replace compiler options."""
    kind = target_of(target).backend
    layout, form, batch = plan(problem, kind)
    constants = {"NET": form, "OPTIMIZER": compiled_optimizer(problem), "BATCH": batch}
    number, classes = "fp64" if problem.params.dtype.itemsize == 8 else "fp32", problem.training.loss != "mse"
    if layout.name == "memory":
        types, kernel = _types(memory_training, number, classes), memory_training.train
    else:
        types, kernel = _types(training, number, classes), training.train
        constants["BLOCK"] = layout.block
    types |= {name: "*i8" for name in ("mask", "trainable") if getattr(problem, name) is not None}
    return _compiled(kernel, types, constants, target, options(layout, kind) | changes), layout


def training_cost(problem: TrainingProblem, gpu: Gpu) -> tuple[Cost, Layout]:
    """What a network-step of this problem will cost on `gpu`, read from the machine code; the roofline counts the textbook gradient."""
    kernel, layout = compile_training(problem, gpu.target)
    batch = plan(problem, target_of(gpu.target).backend)[2]
    flop = 2 * (problem.batch_size * multiply_adds(problem.architecture) + problem.architecture.n_parameters)
    return cost(kernel, gpu, problem.batch_size / (batch.unroll * batch.tile), layout.block, flop), layout


def compile_paths(problem: PathProblem, target: str) -> tuple[CompiledKernel, Layout]:
    """The path kernel for this problem on `target`, as a launch would make it."""
    kind = target_of(target).backend
    layout, form, batch = plan(problem, kind)
    constants = {"NET": form, "BATCH": batch}
    number, classes = "fp64" if problem.params_a.dtype.itemsize == 8 else "fp32", problem.loss != "mse"
    if layout.name == "memory":
        types, kernel = _types(memory_paths, number, classes), memory_paths.path_losses
    else:
        types, kernel = _types(paths, number, classes), paths.path_losses
        constants["BLOCK"] = layout.block
    types |= dict.fromkeys(("mean", "standard_error", "skewness", "error"), "*fp64")
    return _compiled(kernel, types, constants, target, options(layout, kind)), layout


def _types(module, number: str, classes: bool) -> dict[str, str]:
    """Triton's type of every argument that is not a constant."""
    types = dict.fromkeys(module.UNSPECIALISED, "i32") | dict.fromkeys(module.POINTERS, f"*{number}")
    types |= {name: "*i32" for name in INDICES if name in types}
    types |= {name: "*i64" for name in WHOLE if name in types}
    return types | ({"y": "*i64"} if classes else {})


def _compiled(kernel, types: dict[str, str], constants: dict, target: str, settings: dict[str, int]) -> CompiledKernel:
    names = kernel.arg_names
    signature = {name: types.get(name, "constexpr") for name in names}
    source = ASTSource(
        fn=kernel, signature=signature, constexprs={(names.index(name),): value for name, value in constants.items()}
    )
    return triton.compile(source, target=target_of(target), options=settings)
