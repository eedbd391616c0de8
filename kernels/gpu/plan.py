"""What a problem compiles to: the layout, and the constants that a kernel is compiled for."""

from __future__ import annotations

import dataclasses

import torch

from kernels.gpu.layouts import Layout, explain_layout, padded_parameters
from kernels.gpu.shapes import Batch, Net, Optimizer, net
from kernels.network import Architecture
from kernels.problem import PathProblem, Samples, TrainingProblem
from kernels.streams import permutation_rounds
from kernels.training import SGD, Adam, AdamW, Training

LARGEST_TEACHER = 2**12  # padded parameters that registers have room for beside a network

# The settings that the kernels read; any other one that is not at its default is refused, so that none is ever left out.
KNOWN: dict[type, set[str]] = {
    Architecture: {"widths", "activation", "biases", "negative_slope", "normalise", "residual"},
    Training: {
        *("steps", "optimizer", "loss", "batch_size", "sampling", "schedule", "record_every", "snapshots"),
        *("label_smoothing", "clip_norm", "stop_below"),
    },
    TrainingProblem: {
        *("architecture", "training", "params", "samples", "batch_size", "lr", "momentum", "weight_decay"),
        *("data_seeds", "spawn_steps", "spawn_seeds", "mask", "factors", "trainable", "tied"),
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


def plan(problem: TrainingProblem | PathProblem, device: str = "") -> tuple[Layout, Net, Batch]:
    """Layout, network and batch that the kernel is compiled for; ValueError, naming the backend that can, for what it cannot run.

    device: "cuda" or "hip", as `explain_layout` has it; empty for this torch's own.
    """
    if unknown := _unknown(problem):
        raise ValueError(f"backend 'gpu' does not know {unknown} yet; backends 'native' and 'reference' do.")
    if isinstance(problem, TrainingProblem):
        like, settings, counts = problem.params, problem.training, (problem.batch_size, problem.training.steps)
    else:
        like, settings, counts = problem.params_a, None, (problem.samples.n_samples, 0)
    inputs = problem.architecture.n_inputs
    if max(problem.samples.n_samples, counts[0] * -(-inputs // 4), 3 * counts[1]) >= 2**31:
        raise ValueError(
            "backend 'gpu' counts 3 × steps, samples and batch_size × n_inputs / 4 below 2^31; backend 'reference' counts further."
        )
    layout = explain_layout(problem.architecture, settings, device or kind(), like.dtype, _special(problem))
    batch = training_batch(problem, layout) if isinstance(problem, TrainingProblem) else path_batch(problem, layout)
    return layout, net(problem.architecture, layout.lanes), batch


def _special(problem: TrainingProblem | PathProblem) -> str:
    """What of the problem, beside its architecture and training, only the memory layout does; empty for nothing."""
    if isinstance(problem, TrainingProblem):
        for name in ("trainable", "tied"):
            if getattr(problem, name) is not None:
                return name
    teacher = problem.samples.teacher
    if teacher is not None and padded_parameters(net(_with_hidden(teacher), lanes=False)) > LARGEST_TEACHER:
        return f"a teacher of more than {LARGEST_TEACHER:,} (padded) parameters"
    return ""


def kind() -> str:
    """Whose GPUs this torch is built for."""
    return "hip" if torch.version.hip else "cuda"


def options(layout: Layout, kind: str) -> dict[str, int]:
    """What Triton is told beside the kernel's arguments; a cap on registers is NVIDIA's own."""
    return {"num_warps": layout.warps} | ({"maxnreg": layout.registers} if kind != "hip" else {})


def training_batch(problem: TrainingProblem, layout: Layout) -> Batch:
    """How the training kernel draws its samples."""
    samples, size, sampling = problem.samples, problem.batch_size, problem.sampling
    turn, tile = 1, layout.turn
    if layout.lanes and sampling == "replacement":
        turn = 4  # the words of a block
    elif layout.lanes and sampling == "full":
        fitting = [t for t in (8, 4, 2) if t <= layout.turn and size % t == 0]
        turn = fitting[0] if fitting else layout.turn if size > 2 * layout.turn else 1
    if layout.lanes:
        tile = 1
    elif layout.name == "memory":
        tile = min(tile, 1 << (size - 1).bit_length())
    even = size % (turn * tile) == 0 if sampling != "epoch" else turn * tile == 1
    rounds = permutation_rounds(max(samples.n_samples, 1))
    return _batch(problem, layout, sampling, problem.training.loss, turn, tile, even, rounds)


def path_batch(problem: PathProblem, layout: Layout) -> Batch:
    """How the path kernel goes through its samples."""
    online = problem.samples.teacher is not None
    turn, tile = (1 if online else 4, 1) if layout.lanes else (1, layout.turn)
    even = problem.samples.n_samples % (turn * tile) == 0
    return _batch(problem, layout, "online" if online else "full", problem.loss, turn, tile, even, 12)


def _batch(
    problem: TrainingProblem | PathProblem,
    layout: Layout,
    sampling: str,
    loss: str,
    turn: int,
    tile: int,
    even: bool,
    rounds: int,
) -> Batch:
    teacher = teacher_net(problem.samples, layout)
    values = 0
    if layout.name == "memory":
        values = tile * (
            net(problem.architecture, lanes=False).n_values + (teacher.n_values if teacher is not None else 0)
        )
    return Batch(sampling, loss, n_datasets(problem.samples) == 1, turn, tile, even, rounds, teacher, values)


def compiled_optimizer(problem: TrainingProblem) -> Optimizer:
    """Which parts of the update the kernel needs."""
    settings = problem.training.optimizer
    return Optimizer(
        "sgd" if isinstance(settings, SGD) else "adamw" if isinstance(settings, AdamW) else "adam",
        bool((problem.momentum > 0).any()),
        isinstance(settings, SGD) and settings.nesterov,
        bool((problem.weight_decay > 0).any()),
        problem.mask is not None,
        problem.trainable is not None,
        problem.tied is not None,
        problem.training.clip_norm is not None,
        problem.training.stop_below is not None,
    )


def n_datasets(samples: Samples) -> int:
    """Data sets (or teachers) that the samples come from."""
    tensor = samples.x if samples.teacher_params is None else samples.teacher_params
    assert tensor is not None
    return len(tensor)


def _with_hidden(teacher: Architecture) -> Architecture:
    """A linear teacher as a hidden layer of identities (with the unit matrix behind it), as registers hold it; any other as it is."""
    return (
        Architecture((teacher.n_inputs, teacher.n_outputs, teacher.n_outputs), "identity")
        if len(teacher.widths) == 2
        else teacher
    )


def teacher_net(samples: Samples, layout: Layout) -> Net | None:
    """The teacher's compile-time form."""
    if samples.teacher is None:
        return None
    return net(samples.teacher if layout.name == "memory" else _with_hidden(samples.teacher), layout.lanes)
