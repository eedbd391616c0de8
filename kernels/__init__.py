"""Thousands of tiny networks a call: train an ensemble, evaluate the loss along paths between its members.

Two verbs, `train` and `path_losses`, and `backend=`:
    gpu        Triton, one launch for thousands of networks and many steps;
    native     C++ for CPUs, lanes are networks;
    reference  plain torch, any device, written to be read;
    auto       gpu if the tensors are on one, or if this machine has one and the work is large; else native if it is
               built; else reference.
The results are the same to rounding. torch is imported by the verbs: what is trained is named and checked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels import gpu, native
from kernels.activations import ACTIVATIONS
from kernels.checks import described, nearest, whole
from kernels.network import Architecture
from kernels.shown import Short
from kernels.training import LOSSES, SGD, Adam, AdamW, PerNetwork, Schedule, Teacher, Training

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float, Int
    from torch import Tensor

    from kernels.arguments import Seeds
    from kernels.problem import PathProblem, TrainingProblem
    from kernels.samples import Data, Datasets

__all__ = [
    "ACTIVATIONS",
    "BACKENDS",
    "SGD",
    "Adam",
    "AdamW",
    "Architecture",
    "PathLosses",
    "PerNetwork",
    "Run",
    "Schedule",
    "Teacher",
    "Training",
    "chosen",
    "path_losses",
    "train",
    "worth_a_gpu",
]

BACKENDS = ("auto", "gpu", "native", "reference")
WORTH_A_TRANSFER = 10**11  # multiply-adds above which `auto` sends arrays from the CPU to a GPU: seconds of native work
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False, repr=False)
class Run(Short):
    """A trained ensemble.

    params `[n_networks, n_parameters]`: after the last step; losses `[n_networks, n_records]`: of the batches of
    `loss_steps`, before their updates; snapshots `[n_snapshots, n_networks, n_parameters]`: after as many updates as
    `snapshot_steps` says; diverged_at `[n_networks]`: the first step whose batch loss was not finite (`steps` if only
    the last update broke), −1 for none; stopped_at `[n_networks]`: the first step whose batch loss was below
    `stop_below`, −1 for none.

    >>> import torch
    >>> params = Architecture((1, 2, 1)).initial(3)
    >>> run = train(Architecture((1, 2, 1)), params, (torch.ones(4, 1), torch.ones(4, 1)), Training(steps=2))
    >>> run.params.shape, run.losses.shape, run.loss_steps
    (torch.Size([3, 7]), torch.Size([3, 2]), (0, 1))
    """

    params: Float[Tensor, "n_networks n_parameters"]
    losses: Float[Tensor, "n_networks n_records"]
    loss_steps: tuple[int, ...]
    snapshots: Float[Tensor, "n_snapshots n_networks n_parameters"]
    snapshot_steps: tuple[int, ...]
    diverged_at: Int[Tensor, " n_networks"]
    stopped_at: Int[Tensor, " n_networks"]
    backend: str


@dataclass(frozen=True, eq=False, repr=False)
class PathLosses(Short):
    """Loss along paths θ(α) = (1 − α) θ_A + α θ_B, float64 `[n_pairs, n_alphas]`.

    loss: mean over the samples; standard_error: of that mean as an estimate of the population's (√(variance/n));
    skewness: of the samples' losses, μ₃/μ₂^{3/2} (0 where they are all equal): what a normal approximation of the
        mean's error leaves out;
    error: share of samples misclassified, for cross-entropy (None for mse); NaN where the loss of a sample is NaN:
        the outputs of a diverged network have no largest.

    >>> import torch
    >>> line = Architecture((1, 1), biases=False)  # f(x) = w x
    >>> ones = torch.ones(1, 1)
    >>> curves = path_losses(line, -ones, ones, [0, 0.5, 1], (ones, 0 * ones))  # ½ w² from w = −1 to w = 1
    >>> curves.loss
    tensor([[0.5000, 0.0000, 0.5000]], dtype=torch.float64)
    """

    alphas: Float[Tensor, " n_alphas"]
    loss: Float[Tensor, "n_pairs n_alphas"]
    standard_error: Float[Tensor, "n_pairs n_alphas"]
    skewness: Float[Tensor, "n_pairs n_alphas"]
    error: Float[Tensor, "n_pairs n_alphas"] | None
    backend: str


def train(
    architecture: Architecture,
    params: Float[Tensor, "n_networks n_parameters"],
    data: Data,
    training: Training,
    *,
    data_seeds: Seeds = 0,
    spawn_steps: Tensor | np.ndarray | Sequence[int] | int | None = None,
    spawn_seeds: Seeds | None = None,
    dataset: Datasets = None,
    mask: Tensor | None = None,
    trainable: Tensor | None = None,
    tied: Tensor | np.ndarray | Sequence[int] | None = None,
    backend: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Train every network of an ensemble; the arithmetic is in the dtype of `params` (float32 or float64).

    Where a tensor is asked for, an array of numpy's will do.

    params: initial parameters `[n_networks, n_parameters]`.
    data: (x, y) with x `[n_samples, n_inputs]` and y `[n_samples, n_outputs]` (mse) or class numbers `[n_samples]`
        (cross-entropy), or several data sets `[n_datasets, n_samples, …]` with `dataset` `[n_networks]` choosing; or
        a Teacher, which makes fresh samples.
    data_seeds: seed of each network's batches: one number (network k's is derived from it and k) or `[n_networks]`.
    spawn_steps, spawn_seeds: from step spawn_steps[k] on, network k draws its batches with spawn_seeds[k]: siblings
        share params and data seed and differ in spawn seed.
    mask: bool `[n_parameters]` or `[n_networks, n_parameters]`; a parameter where it is False is held at 0.
    trainable: likewise; a parameter where it is False keeps its initial value.
    tied: whole numbers `[n_parameters]`; parameters with equal numbers are a tied group (weight sharing): they begin
        with the value of the group's first parameter and move along the sum of the group's gradients. Every network
        keeps all of its parameters, so that those on a path between two such networks are tied too.
    threads: of the native backend (None: one a core); the result does not depend on it.
    progress: called with (done, total) now and then from this thread.

    A network's trajectory depends on its own parameters, seeds and settings alone. Raises ValueError for arguments
    that do not fit.

    >>> import torch
    >>> line = Architecture((1, 1), biases=False)  # f(x) = w x, L = ½ (w − 1)² on the sample (1, 1)
    >>> one = torch.ones(1, 1)
    >>> train(line, 0 * one, (one, one), Training(steps=2, optimizer=SGD(lr=0.5))).params  # w: 0, ½, ¾
    tensor([[0.7500]])
    """
    from kernels import reference
    from kernels.problem import training_problem

    _check_calling(threads, progress)
    problem = training_problem(
        architecture,
        params,
        data,
        training,
        data_seeds=data_seeds,
        spawn_steps=spawn_steps,
        spawn_seeds=spawn_seeds,
        dataset=dataset,
        mask=mask,
        trainable=trainable,
        tied=tied,
    )
    name = chosen(backend, problem)
    if name == "native":
        trained = native.train(problem, threads, progress)
    else:
        trained = (gpu if name == "gpu" else reference).train(problem, progress)
    return Run(
        params=trained.params,
        losses=trained.losses,
        loss_steps=tuple(training.loss_steps),
        snapshots=trained.snapshots,
        snapshot_steps=training.snapshots,
        diverged_at=trained.diverged_at,
        stopped_at=trained.stopped_at,
        backend=name,
    )


def path_losses(
    architecture: Architecture,
    params_a: Float[Tensor, "n_pairs n_parameters"],
    params_b: Float[Tensor, "n_pairs n_parameters"],
    alphas: Float[Tensor, " n_alphas"] | np.ndarray | Sequence[float] | int,
    data: Data,
    loss: str = "mse",
    *,
    dataset: Datasets = None,
    n_samples: int | None = None,
    seeds: Seeds = 0,
    dtype: torch.dtype | None = None,
    backend: str = "auto",
    threads: int | None = None,
    progress: Progress | None = None,
) -> PathLosses:
    """Loss of the networks on the straight lines between pairs, at every alpha; in float64 unless `dtype` says float32.

    Where a tensor is asked for, an array of numpy's will do.

    params_a, params_b: endpoints `[n_pairs, n_parameters]`, α = 0 and α = 1.
    alphas: places on the paths, which may lie past the ends; or a count of evenly spaced ones from 0 to 1.
    data: as for `train`, with `dataset` `[n_pairs]`; or a Teacher: each pair is then measured on `n_samples` fresh
        Gaussian inputs of its own, drawn with its seed (`seeds`: one number, or `[n_pairs]`), the same inputs at
        every alpha.

    >>> import torch
    >>> line = Architecture((1, 1), biases=False)
    >>> a, b = torch.tensor([[0.0]]), torch.tensor([[2.0]])
    >>> samples = torch.tensor([[1.0]]), torch.tensor([[1.0]])
    >>> path_losses(line, a, b, [0.0, 0.5, 1.0], samples).loss  # ½ (2α − 1)²
    tensor([[0.5000, 0.0000, 0.5000]], dtype=torch.float64)
    """
    from kernels import reference
    from kernels.problem import path_problem

    nearest("loss", loss, LOSSES)
    _check_calling(threads, progress)
    problem = path_problem(
        architecture,
        params_a,
        params_b,
        alphas,
        data,
        loss=loss,
        dtype=dtype,
        dataset=dataset,
        n_samples=n_samples,
        seeds=seeds,
    )
    name = chosen(backend, problem)
    if name == "native":
        moments = native.path_losses(problem, threads, progress)
    else:
        moments = (gpu if name == "gpu" else reference).path_losses(problem, progress)
    return PathLosses(
        alphas=problem.alphas,
        loss=moments.mean,
        standard_error=moments.standard_error,
        skewness=moments.skewness,
        error=moments.error if loss == "cross_entropy" else None,
        backend=name,
    )


def worth_a_gpu(work: float) -> bool:
    """Whether `auto` sends arrays from the CPU to a GPU for so many multiply-adds.

    It does where there is one, and the work takes seconds on a CPU.

    A single call is judged by itself; whoever makes many of them (a study) asks for all of them together.

    >>> worth_a_gpu(1000)
    False
    """
    if work <= WORTH_A_TRANSFER:
        return False
    import torch

    return torch.cuda.is_available()


def _check_calling(threads: int | None, progress: Progress | None) -> None:
    """ValueError for what no backend could be called with."""
    if threads is not None:
        whole("threads", threads, least=1)
    if progress is not None and not callable(progress):
        raise ValueError(f"progress must be a function of (done, total), not {described(progress)}.")


def chosen(backend: str, problem: TrainingProblem | PathProblem) -> str:
    """The backend that runs a problem: the one asked for, or the one that `auto` stands for; ValueError where the one
    asked for cannot.

    >>> import torch
    >>> from kernels.problem import training_problem
    >>> one = torch.ones(1, 1)
    >>> chosen("reference", training_problem(Architecture((1, 1), biases=False), one, (one, one), Training(steps=2)))
    'reference'
    """
    import torch

    from kernels.problem import TrainingProblem

    nearest("backend", backend, BACKENDS)
    device = problem.params.device if isinstance(problem, TrainingProblem) else problem.params_a.device
    on_cpu = device.type == "cpu"
    if backend == "native" and not on_cpu:
        raise ValueError(
            f"backend 'native' runs on the CPU, the parameters are on {device}: "
            "backends 'gpu' and 'reference' run there."
        )
    if backend == "native" and (why := native.missing()):
        raise ValueError(f"backend 'native' is not available: {why} Backend 'reference' runs everywhere.")
    if backend == "native" and (why := native.refusal(problem)):
        raise ValueError(why)
    if backend == "gpu" and (why := gpu.missing()):
        raise ValueError(f"backend 'gpu' is not available: {why} Backends 'native' and 'reference' run on the CPU.")
    if backend == "gpu" and (why := gpu.refusal(problem)):
        raise ValueError(why)
    if backend != "auto":
        return backend
    if (
        torch.cuda.is_available()
        and (not on_cpu or worth_a_gpu(_work(problem)))
        and not gpu.missing()
        and not gpu.refusal(problem)
    ):
        return "gpu"
    return "native" if on_cpu and not native.missing() and not native.refusal(problem) else "reference"


def _work(problem: TrainingProblem | PathProblem) -> int:
    """Multiply-adds of the problem, about."""
    from kernels.problem import TrainingProblem

    per_sample = sum(layer.fan_in * layer.fan_out for layer in problem.architecture.layout)
    if isinstance(problem, TrainingProblem):
        return 3 * per_sample * len(problem.params) * problem.training.steps * problem.batch_size
    return per_sample * len(problem.params_a) * len(problem.alphas) * problem.samples.n_samples
