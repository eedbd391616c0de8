"""The CPU backend: one call trains an ensemble or evaluates its paths; a lane of a vector register is a network, or a
unit of a wide one.

The C++ beside this file is compiled when the package is installed (by `setup.py`, for the machine's own instruction
set) into one shared library with a plain C interface. `library` loads and calls it, `structures` mirrors what it takes,
and this module fills in these structures from the problems of `kernels.problem`.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_void_p
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from kernels.native.compiled import Progress, call, loaded, missing, thread_count
from kernels.native.structures import (
    AssignmentSpec,
    Monitor,
    NetworkSpec,
    PathSpec,
    SamplesSpec,
    TrainSpec,
    address,
)
from kernels.network import Architecture
from kernels.training import SGD, Adam, AdamW

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kernels.problem import PathMoments, PathProblem, Samples, Trained, TrainingProblem

__all__ = ["assign", "fma_peak", "missing", "path_losses", "stream_samples", "train", "vector_bytes"]

SAMPLINGS = ("full", "epoch", "replacement", "online")  # in the order of the enum Sampling (samples.h)
OPTIMIZERS = ("sgd", "nesterov", "adam", "adamw")  # in the order of the enum Optimizer (train.h)
LARGEST_COUNT = 2**32  # the random streams count samples and blocks in 32 bits


def refusal(problem: TrainingProblem | PathProblem) -> str:
    """Why the native kernel does not take this problem, in a sentence; empty where it does.

    >>> import torch
    >>> from kernels.network import Architecture
    >>> from kernels.problem import path_problem
    >>> line, one = Architecture((1, 1), biases=False), torch.ones(1, 1)
    >>> refusal(path_problem(line, one, one, [0, 1], (one, one))) if not missing() else ""
    ''
    """
    from kernels.problem import TrainingProblem

    networks = [problem.architecture] + [t for t in (problem.samples.teacher,) if t is not None]
    for network in networks:
        if _activation_code(network.activation) < 0:
            return f"backend 'native' does not know the activation {network.activation!r}; backend 'reference' does."
    blocks = _blocks(problem.architecture)
    if isinstance(problem, TrainingProblem):
        if max(problem.samples.n_samples, problem.batch_size * blocks) >= LARGEST_COUNT:
            return (
                "backend 'native': n_samples and batch_size × n_inputs / 4 must be below 2^32, "
                "since the random streams count them in 32 bits."
            )
    elif problem.samples.teacher is not None and problem.samples.n_samples * blocks >= LARGEST_COUNT:
        return (
            "backend 'native': n_samples × n_inputs / 4 must be below 2^32, "
            "since the random streams count blocks in 32 bits."
        )
    return ""


def train(problem: TrainingProblem, threads: int | None = None, progress: Progress | None = None) -> Trained:
    """What `kernels.reference.train` returns, computed by the native kernel."""
    import torch

    from kernels.problem import Trained, bias_corrections

    training = problem.training
    n_networks = len(problem.params)
    if why := refusal(problem):
        raise ValueError(why)
    # numpy's arrays, which the kernel's threads fill: their pages come to be where they are written. torch would fill
    # them with its own threads, which then spin for milliseconds beside the kernel's
    initial = problem.params.numpy()
    params = np.empty(initial.shape, initial.dtype)
    losses = np.empty((n_networks, len(training.loss_steps)), params.dtype)
    snapshots = np.empty((len(training.snapshots), *params.shape), params.dtype)
    diverged_at = np.empty(n_networks, np.int64)
    stopped_at = np.empty(n_networks, np.int64)
    optimizer = training.optimizer
    beta_1, beta_2 = optimizer.betas if isinstance(optimizer, Adam) else (0.0, 0.0)
    factors = np.ascontiguousarray(problem.factors, np.float64)
    correction_1, correction_2 = bias_corrections(optimizer, training.steps)
    snapshot_steps = np.array(training.snapshots, np.int64)
    monitor = Monitor()
    keep: list[np.ndarray] = []
    spec = TrainSpec(
        net=described_network(problem.architecture, keep),
        samples=_samples(problem.samples, keep),
        n_networks=n_networks,
        steps=training.steps,
        batch_size=problem.batch_size,
        record_every=training.loss_steps.step,
        n_records=len(training.loss_steps),
        n_snapshots=len(training.snapshots),
        threads=thread_count(threads),
        is_double=params.dtype == np.float64,
        loss=training.loss == "cross_entropy",
        sampling=SAMPLINGS.index(problem.sampling),
        optimizer=OPTIMIZERS.index(_optimizer_name(optimizer)),
        beta_1=beta_1,
        beta_2=beta_2,
        eps=optimizer.eps if isinstance(optimizer, Adam) else 0.0,
        label_smoothing=training.label_smoothing,
        clip_norm=np.inf if training.clip_norm is None else training.clip_norm,
        stop_below=-np.inf if training.stop_below is None else training.stop_below,
        lr=address(problem.lr),
        momentum=address(problem.momentum),
        weight_decay=address(problem.weight_decay),
        data_seeds=address(problem.data_seeds),
        spawn_steps=address(problem.spawn_steps),
        spawn_seeds=address(problem.spawn_seeds),
        mask=address(problem.mask),
        trainable=address(problem.trainable),
        tied=address(problem.tied),
        rates=address(problem.rates),
        factors=address(factors),
        correction_1=address(correction_1),
        correction_2=address(correction_2),
        snapshot_steps=address(snapshot_steps),
        initial=address(initial),
        params=address(params),
        losses=address(losses),
        snapshots=address(snapshots),
        diverged_at=address(diverged_at),
        stopped_at=address(stopped_at),
        monitor=ctypes.addressof(monitor),
    )
    arrays = (problem, initial, keep, factors, correction_1, correction_2, snapshot_steps)
    results = (params, losses, snapshots, diverged_at, stopped_at)
    call(loaded().lmc_train, spec, monitor, n_networks * training.steps, (arrays, results), progress)
    return Trained(
        params=torch.from_numpy(params),
        losses=torch.from_numpy(losses),
        snapshots=torch.from_numpy(snapshots),
        diverged_at=torch.from_numpy(diverged_at),
        stopped_at=torch.from_numpy(stopped_at),
    )


def path_losses(problem: PathProblem, threads: int | None = None, progress: Progress | None = None) -> PathMoments:
    """What `kernels.reference.path_losses` returns, computed by the native kernel."""
    import torch

    from kernels.problem import PathMoments

    n_pairs = len(problem.params_a)
    n_alphas = len(problem.alphas)
    if why := refusal(problem):
        raise ValueError(why)
    mean = np.empty((n_pairs, n_alphas))
    standard_error = np.empty((n_pairs, n_alphas))
    skewness = np.empty((n_pairs, n_alphas))
    error = np.zeros((n_pairs, n_alphas))  # left alone for mse: pages that nobody writes cost nothing
    monitor = Monitor()
    keep: list[np.ndarray] = []
    spec = PathSpec(
        net=described_network(problem.architecture, keep),
        samples=_samples(problem.samples, keep),
        n_pairs=n_pairs,
        n_alphas=n_alphas,
        threads=thread_count(threads),
        is_double=problem.params_a.dtype is torch.float64,
        loss=problem.loss == "cross_entropy",
        params_a=address(problem.params_a),
        params_b=address(problem.params_b),
        alphas=address(problem.alphas),
        seeds=address(problem.seeds),
        mean=address(mean),
        standard_error=address(standard_error),
        skewness=address(skewness),
        error=address(error),
        monitor=ctypes.addressof(monitor),
    )
    arrays = (problem, keep, mean, standard_error, skewness, error)
    call(loaded().lmc_path_losses, spec, monitor, n_pairs * n_alphas, arrays, progress)
    return PathMoments(
        mean=torch.from_numpy(mean),
        standard_error=torch.from_numpy(standard_error),
        skewness=torch.from_numpy(skewness),
        error=torch.from_numpy(error),
    )


def assign(scores: np.ndarray, threads: int | None = None) -> np.ndarray:
    """What `kernels.assignment.assign` returns for finite float64 scores `[n, m, m]`, computed by the native kernel."""
    n, m = scores.shape[:2]
    columns = np.empty((n, m), np.int64)
    monitor = Monitor()
    spec = AssignmentSpec(
        n=n,
        m=m,
        threads=thread_count(threads),
        scores=address(scores),
        columns=address(columns),
        monitor=ctypes.addressof(monitor),
    )
    call(loaded().lmc_assign, spec, monitor, n, (scores, columns))
    return columns


def vector_bytes() -> int:
    """Bytes of the vector registers that the kernel was compiled for: 64 (AVX-512), 32 (AVX2), 16."""
    return int(loaded().lmc_vector_bytes())


def fma_peak(dtype: torch.dtype | None = None, threads: int | None = None, seconds: float = 0.3) -> float:
    """Measured fused multiply-adds a second of this machine, all threads together; float32 unless it says float64."""
    import torch

    return float(loaded().lmc_fma_peak(dtype is torch.float64, thread_count(threads), seconds))


def stream_samples(
    seeds: np.ndarray, step: int, position: int, limit: int, dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """What the kernel draws for each seed at one step: three arrays `[n_seeds]`.

    In the words of `kernels.streams`: the integer below `limit` from word `position` of REPLACEMENT; the image of
    position mod limit under the permutation of epoch `step`; and normal number `position` of GAUSSIAN, in the dtype,
    float32 or float64.
    """
    import torch

    from kernels.arguments import FLOATS

    if dtype not in FLOATS:
        raise ValueError(f"dtype must be torch.float32 or torch.float64, not {dtype}.")
    seeds = np.ascontiguousarray(seeds, np.int64)
    integer = np.empty(len(seeds), np.uint32)
    permuted = np.empty(len(seeds), np.uint32)
    normal = torch.empty(len(seeds), dtype=dtype, device="cpu")
    loaded().lmc_streams(
        c_int32(dtype is torch.float64),
        c_int64(len(seeds)),
        c_void_p(address(seeds)),
        c_int64(step),
        c_int64(position),
        c_int64(limit),
        c_void_p(address(integer)),
        c_void_p(address(permuted)),
        c_void_p(address(normal)),
    )
    return integer, permuted, normal


def _blocks(architecture: Architecture) -> int:
    """Blocks of four random words that one sample's inputs take."""
    return -(-architecture.n_inputs // 4)


def _optimizer_name(optimizer: SGD | Adam) -> str:
    if isinstance(optimizer, SGD):
        return "nesterov" if optimizer.nesterov else "sgd"
    return "adamw" if isinstance(optimizer, AdamW) else "adam"


def described_network(architecture: Architecture, keep: list[np.ndarray]) -> NetworkSpec:
    """The architecture as the C++ reads it; `keep` holds the widths that it points at until the call is over."""
    widths = np.array(architecture.widths, np.int64)
    keep.append(widths)
    return NetworkSpec(
        n_layers=len(architecture.layout),
        widths=address(widths),
        activation=_activation_code(architecture.activation),
        biases=architecture.biases,
        normalise=architecture.normalise,
        residual=architecture.residual,
        negative_slope=architecture.negative_slope,
    )


@cache
def _activation_code(name: str) -> int:
    """The number by which the C++ knows an activation; negative where it was compiled without it."""
    return int(loaded().lmc_activation(name.encode()))


def _samples(samples: Samples, keep: list[np.ndarray]) -> SamplesSpec:
    return SamplesSpec(
        n_samples=samples.n_samples,
        x=address(samples.x),
        y=address(samples.y),
        dataset=address(samples.dataset),
        teacher_params=address(samples.teacher_params),
        teacher=NetworkSpec() if samples.teacher is None else described_network(samples.teacher, keep),
        has_teacher=samples.teacher is not None,
    )
