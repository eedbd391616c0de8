"""Calls of the kernels: state laid out for them, launches that last under about a second, results as the other backends give them.

State stays in device memory between launches, so that the results do not depend on where the run was cut.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import torch
import triton
from torch import Tensor

from kernels.gpu import paths, training
from kernels.gpu.layouts import Layout, explain_layout, padded_parameters
from kernels.gpu.shapes import Batch, Net, Optimizer, multiply_adds, net
from kernels.network import Architecture
from kernels.problem import PathProblem, Samples, TrainingProblem, bias_corrections
from kernels.streams import permutation_rounds
from kernels.training import SGD, Adam, AdamW, Training

Progress = Callable[[int, int], None]

SAFE_RATE = 5e11  # multiply-adds a second that even a small GPU makes: sets how long a launch may be
LAUNCH_SECONDS = 0.5
MOST_PLACES = 2**31 - 1  # the kernels count parameters in 32 bits


def train(problem: TrainingProblem, progress: Progress | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What `kernels.reference.train` returns, computed by the training kernel on the device of the parameters, else on the current GPU."""
    layout, form, batch = plan(problem)
    home, problem = problem.params.device, _moved(problem)
    architecture, settings, device = problem.architecture, problem.training, problem.params.device
    optimizer = compiled_optimizer(problem)
    params = problem.params.clone() if problem.mask is None else problem.params * problem.mask
    n, n_records = len(params), len(settings.loss_steps)
    losses = params.new_full((n_records, n), torch.nan)
    snapshots = params.new_full((len(settings.snapshots), *params.shape), torch.nan)
    diverged_at = torch.full((n,), -1, dtype=torch.int64, device=device)
    corrections = bias_corrections(settings.optimizer, settings.steps)
    schedule = torch.from_numpy(np.stack([problem.factors, *corrections])).to(params)
    done = 0
    for start, stop in _pieces(n, MOST_PLACES // (2 * architecture.n_parameters)):
        piece = slice(start, stop)
        state = _Launches(problem, layout, form, batch, optimizer, piece, params[piece], schedule)
        for first, last in _segments(settings.steps, settings.snapshots, _steps_a_launch(problem, stop - start)):
            if first in settings.snapshots:
                snapshots[settings.snapshots.index(first), piece] = state.params()
            state.run(first, last)
            done += (last - first) * (stop - start)
            if progress is not None:
                if device.type != "cpu":
                    torch.cuda.synchronize(device)
                progress(done, n * settings.steps)
        params[piece], losses[:, piece], diverged_at[piece] = state.params(), state.losses, state.diverged_at
        if settings.steps in settings.snapshots:
            snapshots[settings.snapshots.index(settings.steps), piece] = params[piece]
    diverged_at[(diverged_at < 0) & ~params.isfinite().all(1)] = settings.steps
    return params.to(home), losses.T.contiguous().to(home), snapshots.to(home), diverged_at.to(home), torch.full_like(diverged_at, -1).to(home)


class _Launches:
    """The state of a piece of the ensemble between launches of the training kernel."""

    def __init__(
        self, problem: TrainingProblem, layout: Layout, form: Net, batch: Batch, optimizer: Optimizer, piece: slice, params: Tensor, schedule: Tensor
    ) -> None:
        self.problem, self.layout, self.form, self.batch, self.optimizer, self.schedule = problem, layout, form, batch, optimizer, schedule
        self.piece, self.n = piece, len(params)
        self.theta = _laid(params, layout)
        self.first = torch.zeros_like(self.theta) if optimizer.kind != "sgd" or optimizer.momentum else self.theta
        self.second = torch.zeros_like(self.theta) if optimizer.kind != "sgd" else self.theta
        self.mask = _laid(problem.mask[piece].to(torch.int8), layout) if problem.mask is not None else self.theta
        self.losses = params.new_full((len(problem.training.loss_steps), self.n), torch.nan)
        self.diverged_at = torch.full((self.n,), -1, dtype=torch.int64, device=params.device)
        settings = problem.training.optimizer
        (beta_1, beta_2), eps = (settings.betas, settings.eps) if not isinstance(settings, SGD) else ((0.0, 0.0), 0.0)
        self.numbers = torch.tensor([beta_1, beta_2, 1 - beta_1, 1 - beta_2, eps], dtype=torch.float64).to(params)
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
            *(self.theta, self.first, self.second, self.mask, problem.lr[at], problem.momentum[at], problem.weight_decay[at]),
            *(problem.data_seeds[at], problem.spawn_steps[at], problem.spawn_seeds[at], problem.samples.dataset[at]),
            *(*self.tables, self.schedule, self.numbers, self.losses, self.diverged_at),
            *(self.n, n_samples, problem.batch_size, every, -(-first_step // every), first_step, last_step, problem.training.steps),
            *(_n_datasets(problem.samples), bits - bits // 2, bits // 2),
        )

    def run(self, first_step: int, last_step: int) -> None:
        """Launch steps first_step … last_step − 1."""
        training.train[(triton.cdiv(self.n, self.layout.block),)](
            *self.arguments(first_step, last_step),
            NET=self.form,
            OPTIMIZER=self.optimizer,
            BATCH=self.batch,
            BLOCK=self.layout.block,
            **options(self.layout, _kind()),
        )


def path_losses(problem: PathProblem, progress: Progress | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What `kernels.reference.path_losses` returns, computed by the path kernel."""
    layout, form, batch = plan(problem)
    home, problem = problem.params_a.device, _moved(problem)
    samples, n_alphas, like = problem.samples, len(problem.alphas), problem.params_a
    tables = _tables(samples, layout, like)
    alphas = problem.alphas.to(like.dtype)
    n_pairs = len(like)
    results = torch.full((4, n_pairs, n_alphas), torch.nan, dtype=torch.float64, device=like.device)
    work = samples.n_samples * multiply_adds(problem.architecture, training=False)
    most = min(MOST_PLACES // (2 * problem.architecture.n_parameters), max(1, int(SAFE_RATE * LAUNCH_SECONDS / (work * n_alphas))))
    for start, stop in _pieces(n_pairs, most):
        n_items = (stop - start) * n_alphas
        paths.path_losses[(triton.cdiv(n_items, layout.block),)](
            *(_laid(problem.params_a[start:stop], layout), _laid(problem.params_b[start:stop], layout)),
            *(alphas, problem.seeds[start:stop], samples.dataset[start:stop], *tables, *results[:, start:stop]),
            *(stop - start, n_alphas, samples.n_samples, _n_datasets(samples), n_items),
            NET=form,
            BATCH=batch,
            BLOCK=layout.block,
            **options(layout, _kind()),
        )
        if progress is not None:
            if like.device.type != "cpu":
                torch.cuda.synchronize(like.device)
            progress(stop * n_alphas, n_pairs * n_alphas)
    mean, standard_error, skewness, error = results.to(home)
    return mean, standard_error, skewness, error


# The settings that the kernels read; any other one that is not at its default is refused, so that none is ever left out.
KNOWN: dict[type, set[str]] = {
    Architecture: {"widths", "activation", "biases", "negative_slope"},
    Training: {"steps", "optimizer", "loss", "batch_size", "sampling", "schedule", "record_every", "snapshots"},
    TrainingProblem: {
        *("architecture", "training", "params", "samples", "batch_size", "lr", "momentum", "weight_decay"),
        *("data_seeds", "spawn_steps", "spawn_seeds", "mask", "factors"),
    },
    PathProblem: {"architecture", "params_a", "params_b", "alphas", "samples", "loss", "seeds"},
    Samples: {"n_samples", "dataset", "x", "y", "teacher", "teacher_params"},
    SGD: {"lr", "momentum", "nesterov", "weight_decay"},
    Adam: {"lr", "betas", "eps", "weight_decay"},
}


def _unknown(problem: TrainingProblem | PathProblem) -> str:
    """The first setting of the problem that the kernels would have to leave out; empty where there is none."""
    specs: list[object] = [problem, problem.architecture, problem.samples, problem.samples.teacher]
    if isinstance(problem, TrainingProblem):
        specs += [problem.training, problem.training.optimizer]
    for spec in specs:
        known: set[str] = set().union(*(names for kind, names in KNOWN.items() if isinstance(spec, kind)))
        for field in dataclasses.fields(spec) if dataclasses.is_dataclass(spec) else ():
            default = None if field.default is dataclasses.MISSING else field.default
            value = getattr(spec, field.name)
            if field.name not in known and value is not default and value != default:
                return field.name
    return ""


def plan(problem: TrainingProblem | PathProblem) -> tuple[Layout, Net, Batch]:
    """Layout, network and batch that the kernel is compiled for; ValueError, naming the backend that can, for what it cannot run."""
    if unknown := _unknown(problem):
        raise ValueError(f"backend 'gpu' does not know {unknown} yet; backends 'native' and 'reference' do.")
    if isinstance(problem, TrainingProblem):
        like, settings, counts = problem.params, problem.training, (problem.batch_size, problem.training.steps)
    else:
        like, settings, counts = problem.params_a, None, (problem.samples.n_samples, 0)
    inputs = problem.architecture.n_inputs
    if max(problem.samples.n_samples, counts[0] * -(-inputs // 4), counts[1]) >= 2**31:
        raise ValueError("backend 'gpu' counts steps, samples and batch_size × n_inputs / 4 below 2^31; backend 'reference' counts further.")
    layout = explain_layout(problem.architecture, settings, _kind(), like.dtype)
    if isinstance(problem, TrainingProblem):
        compiled_optimizer(problem)
        batch = training_batch(problem, layout)
    else:
        batch = path_batch(problem.samples, problem.loss, layout)
    return layout, net(problem.architecture, layout.lanes), batch


def options(layout: Layout, kind: str) -> dict[str, int]:
    """What Triton is told beside the kernel's arguments; a cap on registers is NVIDIA's own."""
    return {"num_warps": layout.warps} | ({"maxnreg": layout.registers} if kind != "hip" else {})


def training_batch(problem: TrainingProblem, layout: Layout) -> Batch:
    """How the training kernel draws its samples."""
    samples, size, sampling = problem.samples, problem.batch_size, problem.sampling
    turn = 1
    if layout.lanes and sampling == "replacement":
        turn = 4  # the words of a block
    elif layout.lanes and sampling == "full":
        fitting = [t for t in (8, 4, 2) if t <= layout.turn and size % t == 0]
        turn = fitting[0] if fitting else layout.turn if size > 2 * layout.turn else 1
    tile = 1 if layout.lanes else layout.turn
    even = size % (turn * tile) == 0 if sampling != "epoch" else turn * tile == 1
    rounds = permutation_rounds(max(samples.n_samples, 1))
    return Batch(sampling, problem.training.loss, _n_datasets(samples) == 1, turn, tile, even, rounds, _teacher(samples, layout))


def path_batch(samples: Samples, loss: str, layout: Layout) -> Batch:
    """How the path kernel goes through its samples."""
    online = samples.teacher is not None
    turn, tile = (1 if online else 4, 1) if layout.lanes else (1, layout.turn)
    even = samples.n_samples % (turn * tile) == 0
    return Batch("online" if online else "full", loss, _n_datasets(samples) == 1, turn, tile, even, 12, _teacher(samples, layout))


def compiled_optimizer(problem: TrainingProblem) -> Optimizer:
    """Which parts of the update the kernel needs."""
    settings = problem.training.optimizer
    kind = "sgd" if isinstance(settings, SGD) else "adamw" if isinstance(settings, AdamW) else "adam"
    padded = any(w & (w - 1) for w in problem.architecture.widths[1:-1]) or min(problem.architecture.widths[1:-1]) < 16
    if kind != "sgd" and settings.eps == 0 and padded:  # type: ignore[union-attr]
        raise ValueError("backend 'gpu' needs eps above 0 where it pads a layer's width; backend 'native' (or 'reference') takes eps = 0.")
    return Optimizer(
        kind,
        bool((problem.momentum > 0).any()),
        isinstance(settings, SGD) and settings.nesterov,
        bool((problem.weight_decay > 0).any()),
        problem.mask is not None,
    )


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


def _kind() -> str:
    return "hip" if torch.version.hip else "cuda"


def _laid(params: Tensor, layout: Layout) -> Tensor:
    """`[n, n_parameters]` as the kernel reads it: lanes have a network's neighbour beside it."""
    return params.T.contiguous() if layout.lanes else params.clone()


def _n_datasets(samples: Samples) -> int:
    tensor = samples.x if samples.teacher_params is None else samples.teacher_params
    assert tensor is not None
    return len(tensor)


def _linear_as_hidden(architecture: Architecture) -> bool:
    return len(architecture.widths) == 2


def _teacher(samples: Samples, layout: Layout) -> Net | None:
    """The teacher's compile-time form; a linear one is a hidden layer of identities with the unit matrix behind it."""
    teacher = samples.teacher
    if teacher is None:
        return None
    if _linear_as_hidden(teacher):
        teacher = Architecture((teacher.n_inputs, teacher.n_outputs, teacher.n_outputs), "identity")
    form = net(teacher, layout.lanes)
    if padded_parameters(form) > 2**12 or max(teacher.n_inputs, teacher.n_outputs) > 32:
        raise ValueError("backend 'gpu' takes teachers of at most 4,096 (padded) parameters; backend 'native' (or 'reference') takes larger ones.")
    return form


def _tables(samples: Samples, layout: Layout, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and the teachers' parameters, those that exist not standing in for those that do not."""
    if samples.teacher is None:
        assert samples.x is not None and samples.y is not None
        return samples.x, samples.y, like
    assert samples.teacher_params is not None
    params = samples.teacher_params
    if _linear_as_hidden(samples.teacher):
        n, outputs, inputs = len(params), samples.teacher.n_outputs, samples.teacher.n_inputs
        bias = params[:, outputs * inputs :] if samples.teacher.biases else params.new_zeros(n, outputs)
        unit = torch.eye(outputs, dtype=params.dtype, device=params.device).flatten().expand(n, -1)
        params = torch.cat([params[:, : outputs * inputs], bias, unit, params.new_zeros(n, outputs)], 1)
    return like, like, _laid(params, layout)


def _steps_a_launch(problem: TrainingProblem, n: int) -> int:
    """Steps that take about LAUNCH_SECONDS even on a small GPU."""
    work = n * (problem.batch_size * multiply_adds(problem.architecture) + 10 * problem.architecture.n_parameters)
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
