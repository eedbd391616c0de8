"""The GPU backend: Triton kernels, one launch for thousands of networks and many steps.

Nothing here imports Triton before it is needed. With TRITON_INTERPRET=1 in the environment the kernels run, slowly, on the CPU.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import torch
from torch import Tensor

from kernels.gpu.layouts import Layout, explain_layout
from kernels.problem import PathProblem, TrainingProblem

__all__ = ["Layout", "explain_layout", "missing", "path_losses", "refusal", "train"]

Progress = Callable[[int, int], None]


def missing() -> str:
    """Why the GPU backend cannot run here, in a sentence; empty where it can."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (pip install triton)."
    if os.environ.get("TRITON_INTERPRET", "0") == "1" or torch.cuda.is_available():
        return ""
    return "torch sees no GPU on this machine (TRITON_INTERPRET=1 runs the kernels, slowly, on the CPU)."


def refusal(problem: TrainingProblem | PathProblem) -> str:
    """Why the kernels do not take this problem, in a sentence that names the backend that does; empty where they do."""
    from kernels.gpu import launch

    try:
        launch.plan(problem)
    except ValueError as error:
        return str(error)
    return ""


def train(problem: TrainingProblem, progress: Progress | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What `kernels.reference.train` returns, computed on the GPU; ValueError for what it cannot run."""
    from kernels.gpu import launch

    return launch.train(problem, progress)


def path_losses(problem: PathProblem, progress: Progress | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `kernels.reference.path_losses` returns, computed on the GPU; ValueError for what it cannot run."""
    from kernels.gpu import launch

    return launch.path_losses(problem, progress)
