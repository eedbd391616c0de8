"""Runs of the kernels: pieces that fit the device, launches that last under about a second, results as the other
backends give them.

State stays in device memory between launches, so that the results do not depend on where the run was cut.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
import triton
from torch import Tensor
from triton.runtime.errors import OutOfResources

from kernels.gpu import on
from kernels.gpu.calls import Call, TrainingState, path_call
from kernels.gpu.cost import CAPABILITIES
from kernels.gpu.plan import Plan, plan
from kernels.gpu.shapes import multiply_adds
from kernels.problem import PathMoments, PathProblem, Samples, Trained, TrainingProblem, bias_corrections

Progress = Callable[[int, int], None]
Spec = TypeVar("Spec", TrainingProblem, PathProblem, Samples)

SAFE_RATE = (
    5e11  # multiply-adds a second that even a small GPU makes, parameters in registers: sets how long a launch may be
)
MEMORY_SLOWER = 20  # times, with parameters in device memory
SCRATCH = 2**31  # bytes of device memory for sums and values of the memory layout
LAUNCH_SECONDS = 0.5
MOST_PLACES = 2**31 - 1  # the kernels count parameters, and places on paths, in 32 bits
NOT_HERE = "more shared memory than this GPU has"


@contextlib.contextmanager
def memory_said() -> Iterator[None]:
    """MemoryError with a sentence where the GPU's memory does not hold what a call needs, as on the CPU."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        said = " ".join(str(error).split())
        raise MemoryError(f"the gpu backend ran out of memory; take fewer networks at a time. {said}") from error


@memory_said()
def train(problem: TrainingProblem, progress: Progress | None = None) -> Trained:
    """What `kernels.reference.train` returns, computed on the device of the parameters if that is a GPU, else on the
    current GPU.
    """
    chosen = plan(problem)
    home = problem.params.device
    problem = _moved(problem, problem.params.device)
    with on(problem.params.device):
        try:
            trained = _train(problem, chosen, progress)
        except OutOfResources:  # said before the first launch
            trained = _train(problem, plan(problem, special=NOT_HERE), progress)
    return Trained(**{entry.name: getattr(trained, entry.name).to(home) for entry in dataclasses.fields(trained)})


def _train(problem: TrainingProblem, chosen: Plan, progress: Progress | None) -> Trained:
    """The run on the device where the problem is."""
    settings = problem.training
    params = initial(problem)
    schedule = schedule_of(problem)
    n = len(params)
    losses = params.new_full((len(settings.loss_steps), n), torch.nan)
    snapshots = params.new_full((len(settings.snapshots), *params.shape), torch.nan)
    diverged_at = torch.full((n,), -1, dtype=torch.int64, device=params.device)
    stopped_at = diverged_at.clone()
    done = 0
    for piece in _pieces(n, most_networks(problem, chosen)):
        state = TrainingState.begin(problem, chosen, piece, params[piece], schedule)
        for first, last in _segments(settings.steps, settings.snapshots, steps_a_launch(problem, chosen, state.n)):
            if first in settings.snapshots:
                snapshots[settings.snapshots.index(first), piece] = state.params
            state.call(first, last).launch()
            done += (last - first) * state.n
            _tell(progress, done, n * settings.steps, params.device)
        params[piece] = state.params
        losses[:, piece] = state.arrays["losses"]
        diverged_at[piece] = state.arrays["diverged_at"]
        stopped_at[piece] = state.arrays["stopped_at"]
        if settings.steps in settings.snapshots:
            snapshots[settings.snapshots.index(settings.steps), piece] = params[piece]
    diverged_at[(diverged_at < 0) & ~params.isfinite().all(1)] = settings.steps
    return Trained(
        params=params,
        losses=losses.T.contiguous(),
        snapshots=snapshots,
        diverged_at=diverged_at,
        stopped_at=stopped_at,
    )


@memory_said()
def path_losses(problem: PathProblem, progress: Progress | None = None) -> PathMoments:
    """What `kernels.reference.path_losses` returns, computed by the path kernel."""
    chosen = plan(problem)
    home = problem.params_a.device
    problem = _moved(problem, problem.params_a.device)
    with on(problem.params_a.device):
        try:
            results = _path_losses(problem, chosen, progress)
        except OutOfResources:  # said before the first launch
            results = _path_losses(problem, plan(problem, special=NOT_HERE), progress)
        results = results.to(home)
    return PathMoments(**_named(results))


def _path_losses(problem: PathProblem, chosen: Plan, progress: Progress | None) -> Tensor:
    """The four results `[4, n_pairs, n_alphas]`, on the device where the problem is."""
    device = problem.params_a.device
    n_pairs = len(problem.params_a)
    n_alphas = len(problem.alphas)
    results = torch.full((4, n_pairs, n_alphas), torch.nan, dtype=torch.float64, device=device)
    for piece in _pieces(n_pairs, most_pairs(problem, chosen)):
        path_call(problem, chosen, piece, _named(results[:, piece])).launch()
        _tell(progress, piece.stop * n_alphas, n_pairs * n_alphas, device)
    return results


def _named(results: Tensor) -> dict[str, Tensor]:
    """The four results of a path evaluation `[4, …]` by name."""
    return dict(zip(("mean", "standard_error", "skewness", "error"), results, strict=True))


def first_call(problem: TrainingProblem | PathProblem, backend: str = "", special: str = "") -> Call:
    """The first launch of a run, not launched: what compiling its kernel takes.

    backend: "cuda" or "hip", empty for this torch's own; special: as `plan` has it. The problem stays on the device
    where it is.
    """
    chosen = plan(problem, backend, special)
    if isinstance(problem, TrainingProblem):
        piece = slice(0, min(len(problem.params), most_networks(problem, chosen)))
        state = TrainingState.begin(problem, chosen, piece, initial(problem)[piece], schedule_of(problem))
        return state.call(0, min(problem.training.steps, steps_a_launch(problem, chosen, state.n)), backend)
    piece = slice(0, min(len(problem.params_a), most_pairs(problem, chosen)))
    shape = (4, piece.stop, len(problem.alphas))
    results = torch.full(shape, torch.nan, dtype=torch.float64, device=problem.params_a.device)
    return path_call(problem, chosen, piece, _named(results), backend)


def initial(problem: TrainingProblem) -> Tensor:
    """Parameters before the first step: tied ones begin as the first of their group, masked ones at 0."""
    params = problem.params if problem.tied is None else problem.params[:, problem.tied]
    return params.clone() if problem.mask is None else params * problem.mask


def schedule_of(problem: TrainingProblem) -> Tensor:
    """The rows that `kernels.gpu.common.optimizers` names, `[3, n_steps]`."""
    corrections = bias_corrections(problem.training.optimizer, problem.training.steps)
    return torch.from_numpy(np.stack([problem.factors, *corrections])).to(problem.params)


def most_networks(problem: TrainingProblem, chosen: Plan) -> int:
    """Networks that one launch may train, by the kernels' counters and the memory for their values."""
    n_parameters = problem.architecture.n_parameters
    most = MOST_PLACES // (2 * n_parameters)
    if chosen.layout.name == "memory":
        numbers = chosen.batch.values + 2 * n_parameters
        most = min(most, SCRATCH // (problem.params.element_size() * numbers))
    return max(most, 1)


def most_pairs(problem: PathProblem, chosen: Plan) -> int:
    """Pairs that one launch may evaluate: by the kernels' counters, the memory for their values, and the time it
    takes.
    """
    n_parameters = problem.architecture.n_parameters
    n_alphas = len(problem.alphas)
    work = n_alphas * problem.samples.n_samples * sample_work(problem)
    most = min(MOST_PLACES // (2 * n_parameters), MOST_PLACES // n_alphas)
    if chosen.layout.name == "memory":
        work *= MEMORY_SLOWER
        numbers = n_alphas * (chosen.batch.values + n_parameters)
        most = min(most, SCRATCH // (problem.params_a.element_size() * numbers))
    return max(min(most, int(SAFE_RATE * LAUNCH_SECONDS / work)), 1)


def steps_a_launch(problem: TrainingProblem, chosen: Plan, n: int) -> int:
    """Steps of n networks that take about LAUNCH_SECONDS even on a small GPU."""
    work = n * (problem.batch_size * sample_work(problem) + 10 * problem.architecture.n_parameters)
    work *= MEMORY_SLOWER if chosen.layout.name == "memory" else 1
    return max(1, int(SAFE_RATE * LAUNCH_SECONDS / work))


def sample_work(problem: TrainingProblem | PathProblem) -> int:
    """Multiply-adds that a network, and its teacher, take for one sample; in float64 the float32 ones of that time."""
    training = isinstance(problem, TrainingProblem)
    params = problem.params if isinstance(problem, TrainingProblem) else problem.params_a
    work = multiply_adds(problem.architecture, training)
    if problem.samples.teacher is not None:
        work += multiply_adds(problem.samples.teacher, training=False)
    return work * (slower_doubles(params.device) if params.dtype is torch.float64 else 1)


def slower_doubles(device: torch.device) -> int:
    """How many multiply-adds in float32 a GPU makes in the time of one in float64: 64 on most of NVIDIA's."""
    if device.type != "cuda" or torch.version.hip:
        return 1
    lanes, double_lanes = CAPABILITIES.get(torch.cuda.get_device_capability(device), (128, 2))[:2]
    return lanes // double_lanes


def _tell(progress: Progress | None, done: int, total: int, device: torch.device) -> None:
    """Report what is done, not what is only queued."""
    if progress is None:
        return
    if device.type != "cpu":
        torch.cuda.synchronize(device)
    progress(done, total)


def _moved(problem: Spec, device: torch.device) -> Spec:
    """The problem on a GPU, if it is not on one; under Triton's interpreter it stays where it is."""
    if device.type == "cuda" or triton.knobs.runtime.interpret:
        return problem
    return _to(problem, torch.device("cuda"))


def _to(spec: Spec, device: torch.device) -> Spec:
    changes: dict[str, Any] = {}
    for entry in dataclasses.fields(spec):
        value = getattr(spec, entry.name)
        if isinstance(value, Tensor):
            changes[entry.name] = value.to(device)
        elif isinstance(value, Samples):
            changes[entry.name] = _to(value, device)
    return dataclasses.replace(spec, **changes)


def _pieces(n: int, most: int) -> Iterator[slice]:
    """0 … n − 1 in pieces of at most `most`."""
    for start in range(0, n, most):
        yield slice(start, min(start + most, n))


def _segments(steps: int, snapshots: tuple[int, ...], most: int) -> Iterator[tuple[int, int]]:
    """The run's steps, cut at every snapshot and where a launch gets too long."""
    cuts = sorted({0, *snapshots, steps})
    for start, stop in itertools.pairwise(cuts):
        for first in range(start, stop, most):
            yield first, min(first + most, stop)
