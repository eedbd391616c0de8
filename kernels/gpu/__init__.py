"""The GPU backend: Triton kernels, one launch for thousands of networks and many steps.

Nothing here imports Triton before it is needed. With TRITON_INTERPRET=1 in the environment the kernels run, slowly,
on the CPU.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from kernels.problem import PathMoments, PathProblem, Trained, TrainingProblem

__all__ = ["missing", "path_losses", "refusal", "train"]

Progress = Callable[[int, int], None]

TRITON = ("3.5", "3.10")  # from this one on, and below that one: setup.py reads this line
LEAST_CAPABILITY = (8, 0)  # since it, GPUs have tensor cores for tf32, and maxima of a warp in one instruction
LANES_OF_AMD = 64


def missing() -> str:
    """Why the GPU backend cannot run here, in a sentence; empty where it can."""
    import torch

    if why := unfit_triton():
        return why
    if interpreted():
        return ""
    if not torch.cuda.is_available():
        return "torch sees no GPU on this machine (TRITON_INTERPRET=1 runs the kernels, slowly, on the CPU)."
    return _unfit_gpu(torch.cuda.current_device())


def interpreted() -> bool:
    """Whether Triton interprets its kernels, as it is told by the environment before it is imported."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


def present() -> bool:
    """Whether torch sees a GPU, and kernels are launched on it."""
    import torch

    return torch.cuda.is_available() and not interpreted()


@cache
def _unfit_gpu(device: int) -> str:
    """Why nothing can be launched on the GPU of this number, the current one, in a sentence; empty where it can.

    Triton's own driver is loaded, which it compiles where it runs for the first time.
    """
    import torch
    import triton
    from triton.runtime.driver import driver

    if torch.version.hip:
        lanes = getattr(torch.cuda.get_device_properties(device), "warp_size", LANES_OF_AMD)
        if lanes != LANES_OF_AMD:
            return (
                f"{torch.cuda.get_device_name(device)} has warps of {lanes} lanes, "
                f"and of AMD's GPUs the kernels run on those with {LANES_OF_AMD} (Instinct)."
            )
    elif (capability := torch.cuda.get_device_capability(device)) < LEAST_CAPABILITY:
        return (
            f"{torch.cuda.get_device_name(device)} has compute capability {capability[0]}.{capability[1]}, "
            f"and the kernels need {LEAST_CAPABILITY[0]}.{LEAST_CAPABILITY[1]} or later."
        )
    try:
        _ = driver.active
    except Exception as error:  # of a compiler, of files, of what Triton asserts
        said = " ".join(str(error).split()) or type(error).__name__
        return (
            f"Triton cannot launch kernels here: {said.rstrip('.')}. It compiles its launcher, with a compiler of C "
            f"or C++ and Python's headers, and keeps it in {triton.knobs.cache.dir} "
            "(TRITON_CACHE_DIR names another folder)."
        )
    return ""


def unfit_triton() -> str:
    """Why the installed Triton does not compile the kernels, in a sentence; empty where it does."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (pip install triton)."
    import triton

    found, oldest, unknown = (tuple(map(int, version.split(".")[:2])) for version in (triton.__version__, *TRITON))
    if oldest <= found < unknown:
        return ""
    return (
        f"Triton {triton.__version__} is installed, "
        f"and the kernels run with Triton {TRITON[0]} to {unknown[0]}.{unknown[1] - 1}. "
        "Triton goes with torch: torch 2.9 brings 3.5, and later ones bring later ones."
    )


def name() -> str:
    """The GPU that kernels run on, as its maker calls it.

    >>> isinstance(name(), str)
    True
    """
    import torch

    return torch.cuda.get_device_name() if present() else "none, interpreted"


def on(device: torch.device) -> contextlib.AbstractContextManager:
    """Makes a GPU the current one, on which Triton launches; with a CPU (interpreted kernels) nothing happens.

    >>> import torch
    >>> with on(torch.device("cpu")):
    ...     pass
    """
    import torch

    if device.type != "cuda":
        return contextlib.nullcontext()
    from kernels.gpu.digest import remember

    remember()
    return torch.cuda.device(device)


def refusal(problem: TrainingProblem | PathProblem) -> str:
    """Why the kernels do not take this problem, in a sentence that names the backend that does; empty where they do."""
    from kernels.gpu.plan import plan

    try:
        plan(problem)
    except ValueError as error:
        return str(error)
    return ""


def train(problem: TrainingProblem, progress: Progress | None = None) -> Trained:
    """What `kernels.reference.train` returns, computed on the GPU; ValueError for what it cannot run."""
    from kernels.gpu import launch

    return launch.train(problem, progress)


def path_losses(problem: PathProblem, progress: Progress | None = None) -> PathMoments:
    """What `kernels.reference.path_losses` returns, computed on the GPU; ValueError for what it cannot run."""
    from kernels.gpu import launch

    return launch.path_losses(problem, progress)
