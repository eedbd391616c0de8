"""Compiles the kernels for a named GPU, which need not be there, on the very path that a launch takes.

A stand-in for Triton's driver answers for the GPU: binder, specialisation, cache key and compiler are those of a
launch, and only the launch itself is left out. So what fails here fails on a GPU, and what is compiled here is found
in Triton's cache there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import CompiledKernel
from triton.compiler.compiler import max_shared_mem
from triton.runtime.driver import driver

from kernels.cores import cores
from kernels.gpu import launch, matching
from kernels.gpu.cost import Cost, Gpu, cost
from kernels.gpu.digest import remember
from kernels.gpu.layouts import Layout
from kernels.gpu.plan import Plan, plan
from kernels.gpu.shapes import multiply_adds
from kernels.problem import PathProblem, TrainingProblem

Problem = TrainingProblem | PathProblem
WORTH_A_POOL = 3  # kernels that take longer than processes take to start

TARGETS = ("sm_80", "sm_89", "sm_90", "sm_100", "sm_120", "gfx942")

# KiB of shared memory that a program may have at most (CUDA C++ programming guide, table of technical specifications;
# AMD's CDNA 3 white paper); of others no more is taken for granted than the least
SHARED = {"sm_80": 163, "sm_87": 163, "sm_90": 227, "sm_100": 227, "sm_103": 227, "gfx942": 64}
LEAST_SHARED = {"cuda": 99, "hip": 64}


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
        shared = SHARED.get(self.name, LEAST_SHARED[self.target.backend])
        return {"max_shared_mem": shared * 1024}


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
    remember()
    before = getattr(driver, "_active", None)
    driver.set_active(_StandIn(name))
    try:
        yield
    finally:
        driver._active = before


def compile_kernel(problem: Problem, target: str, **changes: int) -> tuple[CompiledKernel, Plan]:
    """The kernel of this problem on `target`, as a launch makes it, and its plan; `changes` replace compiler
    options.
    """
    with standing_in(target):
        call = launch.first_call(problem, target_of(target).backend)
        kernel = call.compiled(**changes)
        if kernel.metadata.shared > max_shared_mem(target):
            call = launch.first_call(problem, target_of(target).backend, launch.NOT_HERE)
            kernel = call.compiled(**changes)
        return kernel, call.plan


def compile_assignment(m: int, target: str) -> CompiledKernel:
    """The kernel that assigns matrices of m columns, on `target`, as a launch makes it."""
    scores, columns = torch.empty(1, m, m, dtype=torch.float64), torch.empty(1, m, dtype=torch.int64)
    with standing_in(target):
        return matching.solve.warmup(grid=(1,), **matching.arguments(scores, columns))


def target_here() -> str:
    """The target of this machine's current GPU."""
    if torch.version.hip:
        return str(torch.cuda.get_device_properties().gcnArchName).split(":")[0]
    major, minor = torch.cuda.get_device_capability()
    return f"sm_{major}{minor}"


def compile_ahead(
    problems: Iterable[Problem],
    target: str,
    progress: Callable[[int, int], None] | None = None,
    processes: int | None = None,
    pool: Callable[[int], Executor] | None = None,
) -> int:
    """Compile the kernels of all problems for `target` into Triton's cache, where a launch finds them; how many kernels
    they are. What is not there yet is compiled in parallel processes.

    progress: called with (done, total) of those. processes: None: one a core. pool: makes so many processes; None:
    multiprocessing does, and they import the script that runs.
    """
    wanted = {kernel_name(problem, target): problem for problem in problems}
    folder = Path(triton.knobs.cache.dir)
    todo = {key: problem for key, problem in wanted.items() if not (folder / key).exists()}
    for done, key in enumerate(_compiled(todo, target, processes, pool or _spawned), 1):
        with contextlib.suppress(OSError):  # a cache that may only be read, with kernels that launches compiled
            folder.mkdir(parents=True, exist_ok=True)
            (folder / key).touch()
        if progress is not None:
            progress(done, len(todo))
    return len(wanted)


def _compiled(
    todo: dict[str, Problem], target: str, processes: int | None, pool: Callable[[int], Executor]
) -> Iterator[str]:
    """Compile these, and give the key of each that is done."""
    if len(todo) < WORTH_A_POOL:
        for key, problem in todo.items():
            compile_kernel(problem, target)
            yield key
        return
    remember()  # once, and not in every process
    workers = pool(min(processes or cores(), len(todo)))
    keys = {workers.submit(_compile, pickle.dumps(problem), target): key for key, problem in todo.items()}
    try:
        for future in as_completed(keys):
            future.result()
            yield keys[future]
    finally:
        for future in keys:
            future.cancel()
        workers.shutdown(wait=False)


def _spawned(processes: int) -> Executor:
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_quiet)


def _quiet() -> None:
    """A process that only compiles: Ctrl-C is its parent's business, and it ends when that is killed."""
    one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_without_parent, daemon=True).start()


def one_thread() -> None:
    """What a process of another pool calls first, which has then imported all that compiles."""
    torch.set_num_threads(1)


def _leave_without_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _compile(problem: bytes, target: str) -> None:
    """The problem comes in bytes: torch would send its tensors as files of shared memory."""
    compile_kernel(pickle.loads(problem), target)


def kernel_name(problem: Problem, target: str) -> str:
    """A name for the kernel that the problem is compiled to, equal for problems that share one."""
    dtype = problem.params.dtype if isinstance(problem, TrainingProblem) else problem.params_a.dtype
    said = (plan(problem, target_of(target).backend), dtype, target, triton.__version__, _sources())
    return "lmc-" + hashlib.sha256(repr(said).encode()).hexdigest()


@cache
def _sources() -> str:
    """A digest of all that kernels are made of."""
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for path in (*sorted(folder.rglob("*.py")), folder.parent / "streams.py", folder.parent / "activations.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def training_cost(problem: TrainingProblem, gpu: Gpu) -> tuple[Cost, Layout]:
    """What a network-step of this problem will cost on `gpu`, read from the machine code; the roofline counts the
    textbook gradient.
    """
    kernel, plan = compile_kernel(problem, gpu.target)
    flop = 2 * (problem.batch_size * multiply_adds(problem.architecture) + problem.architecture.n_parameters)
    turns = problem.batch_size / (plan.batch.unroll * plan.batch.tile)
    return cost(kernel, gpu, turns, plan.layout.block, flop), plan.layout
