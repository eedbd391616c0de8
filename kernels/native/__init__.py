"""The CPU backend: one call trains an ensemble or evaluates its paths; a lane of a vector register is a network.

The C++ beside this file is compiled when the package is installed (by `setup.py`, for the machine's own instruction
set) into one shared library with a plain C interface, which is called here through ctypes.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from ctypes import c_double, c_int32, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kernels.checks import whole
from kernels.network import Architecture
from kernels.problem import PathMoments, PathProblem, Samples, Trained, TrainingProblem, bias_corrections
from kernels.training import SGD, Adam, AdamW

Progress = Callable[[int, int], None]
POLL_SECONDS = 0.1


class _Network(ctypes.Structure):
    _fields_ = (
        ("n_layers", c_int64),
        ("widths", c_void_p),
        ("activation", c_int32),
        ("biases", c_int32),
        ("normalise", c_int32),
        ("residual", c_int32),
        ("negative_slope", c_double),
    )


class _Samples(ctypes.Structure):
    _fields_ = (
        ("n_samples", c_int64),
        ("x", c_void_p),
        ("y", c_void_p),
        ("dataset", c_void_p),
        ("teacher_params", c_void_p),
        ("teacher", _Network),
        ("has_teacher", c_int32),
    )


class _Monitor(ctypes.Structure):
    _fields_ = (("done", c_int64), ("cancel", c_int32))


class _Train(ctypes.Structure):
    _fields_ = (
        ("net", _Network),
        ("samples", _Samples),
        *(
            (name, c_int64)
            for name in ("n_networks", "steps", "batch_size", "record_every", "n_records", "n_snapshots", "threads")
        ),
        *((name, c_int32) for name in ("is_double", "loss", "sampling", "optimizer")),
        *((name, c_double) for name in ("beta_1", "beta_2", "eps", "label_smoothing", "clip_norm", "stop_below")),
        *(
            (name, c_void_p)
            for name in (
                "lr",
                "momentum",
                "weight_decay",
                "data_seeds",
                "spawn_steps",
                "spawn_seeds",
                "mask",
                "trainable",
                "tied",
            )
        ),
        *((name, c_void_p) for name in ("factors", "correction_1", "correction_2", "snapshot_steps")),
        *((name, c_void_p) for name in ("params", "losses", "snapshots", "diverged_at", "stopped_at", "monitor")),
    )


class _Paths(ctypes.Structure):
    _fields_ = (
        ("net", _Network),
        ("samples", _Samples),
        *((name, c_int64) for name in ("n_pairs", "n_alphas", "threads")),
        *((name, c_int32) for name in ("is_double", "loss")),
        *(
            (name, c_void_p)
            for name in (
                "params_a",
                "params_b",
                "alphas",
                "seeds",
                "mean",
                "standard_error",
                "skewness",
                "error",
                "monitor",
            )
        ),
    )


class _Assignment(ctypes.Structure):
    _fields_ = (
        *((name, c_int64) for name in ("n", "m", "threads")),
        *((name, c_void_p) for name in ("scores", "columns", "monitor")),
    )


@cache
def _library() -> ctypes.CDLL | str:
    """The compiled library, or a sentence that says why there is none."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name("_native" + suffix)
        if path.exists():
            try:
                library = ctypes.CDLL(str(path))
            except OSError as error:
                return f"the compiled kernel does not load ({error}); reinstall the package on this machine."
            if not library.lmc_runs_here():
                return (
                    "it was compiled for a processor with other vector instructions; "
                    "reinstall the package on this machine."
                )
            library.lmc_fma_peak.restype = c_double
            library.lmc_fma_peak.argtypes = (c_int32, c_int64, c_double)
            return library
    return "its C++ was not compiled when the package was installed; install g++ and reinstall the package."


def missing() -> str:
    """Why the native backend cannot run here, in a sentence; empty where it can."""
    library = _library()
    return library if isinstance(library, str) else ""


def vector_bytes() -> int:
    """Bytes of the vector registers that the kernel was compiled for: 64 (AVX-512), 32 (AVX2), 16."""
    return int(_loaded().lmc_vector_bytes())


def fma_peak(dtype: torch.dtype = torch.float32, threads: int | None = None, seconds: float = 0.3) -> float:
    """Measured fused multiply-adds a second of this machine, all threads together."""
    return float(_loaded().lmc_fma_peak(dtype is torch.float64, _threads(threads), seconds))


def stream_samples(
    seeds: np.ndarray, step: int, position: int, limit: int, dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """What the kernel draws for each seed at one step: integers below `limit`, a permutation's images, normals; each
    `[n_seeds]`.

    In the words of `kernels.streams`: the integer from word `position` of REPLACEMENT, where epoch `step` sends
    position mod limit, and normal number `position` of GAUSSIAN.
    """
    seeds = np.ascontiguousarray(seeds, np.int64)
    integer, permuted, normal = (
        np.empty(len(seeds), np.uint32),
        np.empty(len(seeds), np.uint32),
        torch.empty(len(seeds), dtype=dtype),
    )
    _loaded().lmc_streams(
        c_int32(dtype is torch.float64),
        c_int64(len(seeds)),
        c_void_p(_address(seeds)),
        c_int64(step),
        c_int64(position),
        c_int64(limit),
        c_void_p(_address(integer)),
        c_void_p(_address(permuted)),
        c_void_p(_address(normal)),
    )
    return integer, permuted, normal


def _loaded() -> ctypes.CDLL:
    library = _library()
    if isinstance(library, str):
        raise ValueError(f"backend 'native' is not available: {library}")
    return library


def _threads(threads: int | None) -> int:
    if threads is not None:
        return whole("threads", threads, least=1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _address(array: Tensor | np.ndarray | None) -> int | None:
    if array is None:
        return None
    return array.data_ptr() if isinstance(array, Tensor) else array.ctypes.data


def _network(architecture: Architecture | None, keep: list[np.ndarray]) -> _Network:
    """The architecture as the C++ reads it; `keep` holds what it points at until the call is over."""
    if architecture is None:
        return _Network()
    keep.append(np.array(architecture.widths, np.int64))
    return _Network(
        n_layers=len(architecture.layout),
        widths=_address(keep[-1]),
        activation=_activation_code(architecture.activation),
        biases=architecture.biases,
        normalise=architecture.normalise,
        residual=architecture.residual,
        negative_slope=architecture.negative_slope,
    )


@cache
def _activation_code(name: str) -> int:
    """The number by which the C++ knows an activation; ValueError where it was compiled without it."""
    code = int(_loaded().lmc_activation(name.encode()))
    if code < 0:
        raise ValueError(f"backend 'native' does not know the activation {name!r}; backend 'reference' does.")
    return code


def _samples(samples: Samples, keep: list[np.ndarray]) -> _Samples:
    return _Samples(
        n_samples=samples.n_samples,
        x=_address(samples.x),
        y=_address(samples.y),
        dataset=_address(samples.dataset),
        teacher_params=_address(samples.teacher_params),
        teacher=_network(samples.teacher, keep),
        has_teacher=samples.teacher is not None,
    )


def _call(
    function: Callable[..., int], spec: ctypes.Structure, monitor: _Monitor, total: int, progress: Progress | None
) -> None:
    """Run the call in a thread of its own (ctypes lets go of the interpreter), so that progress is shown and Ctrl-C
    stops it.
    """
    status: list[int] = []
    worker = threading.Thread(target=lambda: status.append(function(ctypes.byref(spec))), name="lmc-native")
    worker.start()
    try:
        while worker.is_alive():
            worker.join(POLL_SECONDS if progress is not None else 1.0)
            if progress is not None:
                progress(min(monitor.done, total), total)
    except BaseException:
        monitor.cancel = 1
        worker.join()
        raise
    if progress is not None:
        progress(monitor.done, total)
    if status != [0]:
        raise MemoryError("the native backend ran out of memory; train fewer networks at a time or use fewer threads.")


def train(problem: TrainingProblem, threads: int | None = None, progress: Progress | None = None) -> Trained:
    """What `kernels.reference.train` returns, computed by the native kernel."""
    training, n = problem.training, len(problem.params)
    largest = max(problem.samples.n_samples, problem.batch_size * -(-problem.architecture.n_inputs // 4))
    if largest >= 2**32:
        raise ValueError(
            "n_samples and batch_size × n_inputs / 4 must be below 2^32: the random streams count them in 32 bits."
        )
    # numpy's arrays: torch would fill them with its own threads, which then spin for milliseconds beside the kernel's
    params = problem.params.numpy().copy()
    losses = np.full((n, len(training.loss_steps)), np.nan, params.dtype)
    snapshots = np.full((len(training.snapshots), *params.shape), np.nan, params.dtype)
    diverged_at, stopped_at = np.full((2, n), -1, np.int64)
    optimizer = training.optimizer
    kind = {SGD: 0, Adam: 2, AdamW: 3}[type(optimizer)] + (isinstance(optimizer, SGD) and optimizer.nesterov)
    betas, eps = (optimizer.betas, optimizer.eps) if isinstance(optimizer, Adam) else ((0.0, 0.0), 0.0)
    factors = np.ascontiguousarray(problem.factors, np.float64)
    corrections = bias_corrections(optimizer, training.steps)
    snapshot_steps = np.array(training.snapshots, np.int64)
    monitor, keep = _Monitor(), [factors, *corrections, snapshot_steps]
    spec = _Train(
        net=_network(problem.architecture, keep),
        samples=_samples(problem.samples, keep),
        n_networks=n,
        steps=training.steps,
        batch_size=problem.batch_size,
        record_every=training.loss_steps.step,
        n_records=len(training.loss_steps),
        n_snapshots=len(training.snapshots),
        threads=_threads(threads),
        is_double=params.dtype == np.float64,
        loss=training.loss == "cross_entropy",
        sampling=("full", "epoch", "replacement", "online").index(problem.sampling),
        optimizer=kind,
        beta_1=betas[0],
        beta_2=betas[1],
        eps=eps,
        label_smoothing=training.label_smoothing,
        clip_norm=np.inf if training.clip_norm is None else training.clip_norm,
        stop_below=-np.inf if training.stop_below is None else training.stop_below,
        lr=_address(problem.lr),
        momentum=_address(problem.momentum),
        weight_decay=_address(problem.weight_decay),
        data_seeds=_address(problem.data_seeds),
        spawn_steps=_address(problem.spawn_steps),
        spawn_seeds=_address(problem.spawn_seeds),
        mask=_address(problem.mask),
        trainable=_address(problem.trainable),
        tied=_address(problem.tied),
        factors=_address(factors),
        correction_1=_address(corrections[0]),
        correction_2=_address(corrections[1]),
        snapshot_steps=_address(snapshot_steps),
        params=_address(params),
        losses=_address(losses),
        snapshots=_address(snapshots),
        diverged_at=_address(diverged_at),
        stopped_at=_address(stopped_at),
        monitor=ctypes.addressof(monitor),
    )
    _call(_loaded().lmc_train, spec, monitor, n * training.steps, progress)
    return Trained(
        params=torch.from_numpy(params),
        losses=torch.from_numpy(losses),
        snapshots=torch.from_numpy(snapshots),
        diverged_at=torch.from_numpy(diverged_at),
        stopped_at=torch.from_numpy(stopped_at),
    )


def path_losses(problem: PathProblem, threads: int | None = None, progress: Progress | None = None) -> PathMoments:
    """What `kernels.reference.path_losses` returns, computed by the native kernel."""
    n_pairs, n_alphas = len(problem.params_a), len(problem.alphas)
    if (
        problem.samples.teacher is not None
        and problem.samples.n_samples * -(-problem.architecture.n_inputs // 4) >= 2**32
    ):
        raise ValueError("n_samples × n_inputs / 4 must be below 2^32: the random streams count blocks in 32 bits.")
    mean, standard_error, skewness, error = (np.empty((n_pairs, n_alphas)) for _ in range(4))
    monitor, keep = _Monitor(), list[np.ndarray]()
    spec = _Paths(
        net=_network(problem.architecture, keep),
        samples=_samples(problem.samples, keep),
        n_pairs=n_pairs,
        n_alphas=n_alphas,
        threads=_threads(threads),
        is_double=problem.params_a.dtype is torch.float64,
        loss=problem.loss == "cross_entropy",
        params_a=_address(problem.params_a),
        params_b=_address(problem.params_b),
        alphas=_address(problem.alphas),
        seeds=_address(problem.seeds),
        mean=_address(mean),
        standard_error=_address(standard_error),
        skewness=_address(skewness),
        error=_address(error),
        monitor=ctypes.addressof(monitor),
    )
    _call(_loaded().lmc_path_losses, spec, monitor, n_pairs * n_alphas, progress)
    return PathMoments(
        mean=torch.from_numpy(mean),
        standard_error=torch.from_numpy(standard_error),
        skewness=torch.from_numpy(skewness),
        error=torch.from_numpy(error),
    )


def assign(scores: np.ndarray, threads: int | None = None) -> np.ndarray:
    """What `kernels.assignment.assign` returns for finite float64 scores `[n, m, m]`, computed by the native kernel."""
    n, m = scores.shape[:2]
    columns, monitor = np.empty((n, m), np.int64), _Monitor()
    spec = _Assignment(n, m, _threads(threads), _address(scores), _address(columns), ctypes.addressof(monitor))
    _call(_loaded().lmc_assign, spec, monitor, n, None)
    return columns
