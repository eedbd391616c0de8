"""Calls of the kernels: state laid out for them, launches that last under about a second, results as the other backends give them.

State stays in device memory between launches, so that the results do not depend on where the run was cut.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
import triton
from torch import Tensor

from kernels.gpu.layouts import Layout
from kernels.gpu.memory import paths as memory_paths
from kernels.gpu.memory import training as memory_training
from kernels.gpu.plan import compiled_optimizer, kind, n_datasets, options, plan
from kernels.gpu.registers import paths, training
from kernels.gpu.shapes import Batch, Net, Optimizer, multiply_adds
from kernels.problem import PathProblem, Samples, TrainingProblem, bias_corrections
from kernels.training import SGD

Progress = Callable[[int, int], None]

SAFE_RATE = (
    5e11  # multiply-adds a second that even a small GPU makes, parameters in registers: sets how long a launch may be
)
MEMORY_SLOWER = 20  # times, with parameters in device memory
SCRATCH = 2**31  # bytes of device memory for sums and values of the memory layout
LAUNCH_SECONDS = 0.5
MOST_PLACES = 2**31 - 1  # the kernels count parameters in 32 bits


def train(problem: TrainingProblem, progress: Progress | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What `kernels.reference.train` returns, computed by the training kernel on the device of the parameters, else on the current GPU."""
    layout, form, batch = plan(problem)
    home, problem = problem.params.device, _moved(problem)
    with _current(problem.params.device):
        results = _train(problem, layout, form, batch, progress)
    params, losses, snapshots, diverged_at, stopped_at = (result.to(home) for result in results)
    return params, losses, snapshots, diverged_at, stopped_at


def _train(
    problem: TrainingProblem, layout: Layout, form: Net, batch: Batch, progress: Progress | None
) -> tuple[Tensor, ...]:
    """The run on the device where the problem is."""
    architecture, settings, device = problem.architecture, problem.training, problem.params.device
    optimizer = compiled_optimizer(problem)
    params = problem.params if problem.tied is None else problem.params[:, problem.tied]
    params = params.clone() if problem.mask is None else params * problem.mask
    n, n_records = len(params), len(settings.loss_steps)
    losses = params.new_full((n_records, n), torch.nan)
    snapshots = params.new_full((len(settings.snapshots), *params.shape), torch.nan)
    diverged_at, stopped_at = (torch.full((n,), -1, dtype=torch.int64, device=device) for _ in range(2))
    corrections = bias_corrections(settings.optimizer, settings.steps)
    schedule = torch.from_numpy(np.stack([problem.factors, *corrections])).to(params)
    done = 0
    most = MOST_PLACES // (2 * architecture.n_parameters)
    if layout.name == "memory":
        most = min(most, SCRATCH // (params.element_size() * (batch.values + 2 * architecture.n_parameters)))
    for start, stop in _pieces(n, most):
        piece = slice(start, stop)
        state = _Launches(problem, layout, form, batch, optimizer, piece, params[piece], schedule)
        for first, last in _segments(
            settings.steps, settings.snapshots, _steps_a_launch(problem, layout, stop - start)
        ):
            if first in settings.snapshots:
                snapshots[settings.snapshots.index(first), piece] = state.params()
            state.run(first, last)
            done += (last - first) * (stop - start)
            if progress is not None:
                if device.type != "cpu":
                    torch.cuda.synchronize(device)
                progress(done, n * settings.steps)
        params[piece], losses[:, piece] = state.params(), state.losses
        diverged_at[piece], stopped_at[piece] = state.diverged_at, state.stopped_at
        if settings.steps in settings.snapshots:
            snapshots[settings.snapshots.index(settings.steps), piece] = params[piece]
    diverged_at[(diverged_at < 0) & ~params.isfinite().all(1)] = settings.steps
    return params, losses.T.contiguous(), snapshots, diverged_at, stopped_at


class _Launches:
    """The state of a piece of the ensemble between launches of the training kernel."""

    def __init__(
        self,
        problem: TrainingProblem,
        layout: Layout,
        form: Net,
        batch: Batch,
        optimizer: Optimizer,
        piece: slice,
        params: Tensor,
        schedule: Tensor,
    ) -> None:
        self.problem, self.layout, self.form, self.batch, self.optimizer, self.schedule = (
            problem,
            layout,
            form,
            batch,
            optimizer,
            schedule,
        )
        self.piece, self.n = piece, len(params)
        self.theta = _laid(params, layout)
        self.first = torch.zeros_like(self.theta) if optimizer.kind != "sgd" or optimizer.momentum else self.theta
        self.second = torch.zeros_like(self.theta) if optimizer.kind != "sgd" else self.theta
        self.mask = _laid(problem.mask[piece].to(torch.int8), layout) if problem.mask is not None else self.theta
        self.losses = params.new_full((len(problem.training.loss_steps), self.n), torch.nan)
        self.diverged_at, self.stopped_at = (
            torch.full((self.n,), -1, dtype=torch.int64, device=params.device) for _ in range(2)
        )
        settings, limits = problem.training.optimizer, problem.training
        (beta_1, beta_2), eps = (settings.betas, settings.eps) if not isinstance(settings, SGD) else ((0.0, 0.0), 0.0)
        numbers = [
            beta_1,
            beta_2,
            1 - beta_1,
            1 - beta_2,
            eps,
            limits.label_smoothing,
            limits.clip_norm or 0.0,
            limits.stop_below or 0.0,
        ]
        self.numbers = torch.tensor(numbers, dtype=torch.float64).to(params)
        self.more = _memory(problem, batch, self.theta, self.mask, piece) if layout.name == "memory" else ()
        self.tables = _tables(problem.samples, layout, params)

    def params(self) -> Tensor:
        """Parameters as they stand, `[n, n_parameters]`."""
        return self.theta.T.contiguous() if self.layout.lanes else self.theta.clone()

    def arguments(self, first_step: int, last_step: int) -> tuple[Tensor | int, ...]:
        """The kernel's arguments for steps first_step … last_step − 1, without the constants."""
        problem, at = self.problem, self.piece
        n_samples = max(problem.samples.n_samples, 1)
        bits, every = max(1, (n_samples - 1).bit_length()), problem.training.loss_steps.step
        return (
            *(
                self.theta,
                self.first,
                self.second,
                self.mask,
                problem.lr[at],
                problem.momentum[at],
                problem.weight_decay[at],
            ),
            *(problem.data_seeds[at], problem.spawn_steps[at], problem.spawn_seeds[at], problem.samples.dataset[at]),
            *(*self.tables, self.schedule, self.numbers, self.losses, self.diverged_at),
            *(
                self.n,
                n_samples,
                problem.batch_size,
                every,
                -(-first_step // every),
                first_step,
                last_step,
                problem.training.steps,
            ),
            *(n_datasets(problem.samples), bits - bits // 2, bits // 2),
            *((*self.more[:-1], self.stopped_at, self.more[-1]) if self.more else ()),
        )

    def run(self, first_step: int, last_step: int) -> None:
        """Launch steps first_step … last_step − 1."""
        kernel, block = (memory_training.train, {}) if self.more else (training.train, {"BLOCK": self.layout.block})
        kernel[(triton.cdiv(self.n, self.layout.block),)](
            *self.arguments(first_step, last_step),
            NET=self.form,
            OPTIMIZER=self.optimizer,
            BATCH=self.batch,
            **block,
            **options(self.layout, kind()),
        )


def _memory(
    problem: TrainingProblem, batch: Batch, theta: Tensor, mask: Tensor, piece: slice
) -> tuple[Tensor | int, ...]:
    """What the memory layout's kernel is given besides: trainable, tied, members, groups, sums, values, and the number of groups."""
    n, n_parameters = theta.shape
    trainable = mask if problem.trainable is None else problem.trainable[piece].to(torch.int8)
    tied = torch.arange(n_parameters, device=theta.device) if problem.tied is None else problem.tied
    count = torch.bincount(tied, minlength=n_parameters)
    groups = torch.cat([count.new_zeros(1), count[count > 0].cumsum(0)])
    members = tied.argsort(stable=True)
    indices = (part.to(torch.int32) for part in (tied, members, groups))
    return trainable, *indices, theta.new_zeros(n, 2, n_parameters), theta.new_zeros(n, batch.values), len(groups) - 1


def path_losses(problem: PathProblem, progress: Progress | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `kernels.reference.path_losses` returns, computed by the path kernel."""
    layout, form, batch = plan(problem)
    home, problem = problem.params_a.device, _moved(problem)
    with _current(problem.params_a.device):
        mean, standard_error, skewness, error = _path_losses(problem, layout, form, batch, progress).to(home)
    return mean, standard_error, skewness, error


def _path_losses(problem: PathProblem, layout: Layout, form: Net, batch: Batch, progress: Progress | None) -> Tensor:
    """Mean, standard error, skewness and error on the device where the problem is, `[4, n_pairs, n_alphas]`."""
    samples, n_alphas, like = problem.samples, len(problem.alphas), problem.params_a
    tables = _tables(samples, layout, like)
    alphas = problem.alphas.to(like.dtype)
    n_pairs = len(like)
    results = torch.full((4, n_pairs, n_alphas), torch.nan, dtype=torch.float64, device=like.device)
    in_memory, n_parameters = layout.name == "memory", problem.architecture.n_parameters
    work = samples.n_samples * multiply_adds(problem.architecture, training=False) * (MEMORY_SLOWER if in_memory else 1)
    most = min(MOST_PLACES // (2 * n_parameters), max(1, int(SAFE_RATE * LAUNCH_SECONDS / (work * n_alphas))))
    if in_memory:
        most = min(most, SCRATCH // (like.element_size() * n_alphas * (batch.values + n_parameters)))
    for start, stop in _pieces(n_pairs, most):
        n_items = (stop - start) * n_alphas
        kernel, block = paths.path_losses, {"BLOCK": layout.block}
        scratch: tuple[Tensor, ...] = ()
        if in_memory:
            kernel, block, scratch = (
                memory_paths.path_losses,
                {},
                (like.new_empty(n_items, n_parameters), like.new_empty(n_items, batch.values)),
            )
        kernel[(triton.cdiv(n_items, layout.block),)](
            *(_laid(problem.params_a[start:stop], layout), _laid(problem.params_b[start:stop], layout)),
            *(alphas, problem.seeds[start:stop], samples.dataset[start:stop], *tables, *results[:, start:stop]),
            *(stop - start, n_alphas, samples.n_samples, n_datasets(samples), n_items),
            *scratch,
            NET=form,
            BATCH=batch,
            **block,
            **options(layout, kind()),
        )
        if progress is not None:
            if like.device.type != "cpu":
                torch.cuda.synchronize(like.device)
            progress(stop * n_alphas, n_pairs * n_alphas)
    return results


def _current(device: torch.device) -> contextlib.AbstractContextManager:
    """Makes a GPU the current one, on which Triton launches."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _moved(problem):
    """The problem on a GPU, if it is not on one; under Triton's interpreter it stays where it is."""
    params = problem.params if isinstance(problem, TrainingProblem) else problem.params_a
    if params.device.type == "cuda" or triton.knobs.runtime.interpret:
        return problem
    return _to(problem, torch.device("cuda"))


def _to(spec, device: torch.device):
    changes = {}
    for entry in dataclasses.fields(spec):
        value = getattr(spec, entry.name)
        if isinstance(value, Tensor):
            changes[entry.name] = value.to(device)
        elif isinstance(value, Samples):
            changes[entry.name] = _to(value, device)
    return dataclasses.replace(spec, **changes)


def _laid(params: Tensor, layout: Layout) -> Tensor:
    """`[n, n_parameters]` as the kernel reads it: lanes have a network's neighbour beside it."""
    return params.T.contiguous() if layout.lanes else params.clone()


def _tables(samples: Samples, layout: Layout, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and the teachers' parameters, those that exist not standing in for those that do not."""
    if samples.teacher is None:
        assert samples.x is not None and samples.y is not None
        return samples.x, samples.y, like
    assert samples.teacher_params is not None
    params = samples.teacher_params
    if len(samples.teacher.widths) == 2 and layout.name != "memory":  # as `plan.teacher_net` has it
        n, outputs, inputs = len(params), samples.teacher.n_outputs, samples.teacher.n_inputs
        bias = params[:, outputs * inputs :] if samples.teacher.biases else params.new_zeros(n, outputs)
        unit = torch.eye(outputs, dtype=params.dtype, device=params.device).flatten().expand(n, -1)
        params = torch.cat([params[:, : outputs * inputs], bias, unit, params.new_zeros(n, outputs)], 1)
    return like, like, _laid(params, layout)


def _steps_a_launch(problem: TrainingProblem, layout: Layout, n: int) -> int:
    """Steps that take about LAUNCH_SECONDS even on a small GPU."""
    work = n * (problem.batch_size * multiply_adds(problem.architecture) + 10 * problem.architecture.n_parameters)
    work *= MEMORY_SLOWER if layout.name == "memory" else 1
    return max(1, int(SAFE_RATE * LAUNCH_SECONDS / work))


def _pieces(n: int, most: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n, max(most, 1)):
        yield start, min(start + max(most, 1), n)


def _segments(steps: int, snapshots: tuple[int, ...], most: int) -> Iterator[tuple[int, int]]:
    """The run's steps, cut at every snapshot and where a launch gets too long."""
    cuts = sorted({0, *snapshots, steps})
    for start, stop in itertools.pairwise(cuts):
        for first in range(start, stop, most):
            yield first, min(first + most, stop)
