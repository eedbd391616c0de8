"""What a problem compiles to: the layout, and the constants that a kernel is compiled for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from kernels.gpu.layouts import Layout, explain_layout, padded_parameters
from kernels.gpu.shapes import MOST_ENDS, TURN, Batch, Net, Optimizer, net
from kernels.network import Architecture
from kernels.problem import PathProblem, Samples, TrainingProblem
from kernels.streams import permutation_rounds
from kernels.training import SGD, Adam, AdamW, Training

LARGEST_TEACHER = 2**12  # padded parameters that registers have room for beside a network

# The settings that the kernels read; any other one that is not at its default is refused, so that none is ever left
# out.
KNOWN: dict[type, set[str]] = {
    Architecture: {"widths", "activation", "biases", "negative_slope", "normalise", "residual"},
    Training: {
        *("steps", "optimizer", "loss", "batch_size", "sampling", "schedule", "record_every", "snapshots"),
        *("label_smoothing", "clip_norm", "stop_below", "layer_rates"),
    },
    TrainingProblem: {
        *("architecture", "training", "params", "samples", "batch_size", "lr", "momentum", "weight_decay"),
        *("data_seeds", "spawn_steps", "spawn_seeds", "mask", "factors", "trainable", "tied", "rates"),
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


@dataclass(frozen=True)
class Plan:
    """What a problem compiles to: how a launch is shaped, and the constants of the kernel. For paths there is no
    optimizer.
    """

    layout: Layout
    net: Net
    batch: Batch
    optimizer: Optimizer | None = None


def plan(problem: TrainingProblem | PathProblem, device: str = "", special: str = "") -> Plan:
    """What the kernel is compiled for; ValueError, naming the backend that can, for what it cannot run.

    device: "cuda" or "hip", as `explain_layout` has it; empty for this torch's own. special: why registers will not do,
    where something else than the problem says so.
    """
    if unknown := _unknown(problem):
        raise ValueError(f"backend 'gpu' does not know {unknown} yet; backends 'native' and 'reference' do.")
    if isinstance(problem, TrainingProblem):
        dtype = problem.params.dtype
        settings = problem.training
        batch_size = problem.batch_size
        steps = problem.training.steps
    else:
        dtype = problem.params_a.dtype
        settings = None
        batch_size = problem.samples.n_samples
        steps = 0
    blocks = -(-problem.architecture.n_inputs // 4)  # of four random numbers, for a sample's inputs
    if max(problem.samples.n_samples, batch_size * blocks, 3 * steps) >= 2**31:
        raise ValueError(
            "backend 'gpu' counts 3 × steps, samples and batch_size × n_inputs / 4 below 2^31; "
            "backend 'reference' counts further."
        )
    layout = explain_layout(problem.architecture, settings, device or kind(), dtype, special or _special(problem))
    shape = _net(problem.architecture, layout)
    if isinstance(problem, TrainingProblem):
        clamps = dtype is torch.float32 and (device or kind()) == "cuda" and problem.samples.teacher is None
        clamps = clamps and batch_size > 1  # one sample a step is less work than the biases
        shape = dataclasses.replace(shape, clamps=clamps and shape.clamped)
        optimizer = compiled_optimizer(problem)
        # a multiplication less for every parameter; of deep networks it costs more in registers (docs/gpu.md)
        optimizer = dataclasses.replace(optimizer, scaled=optimizer.plain and shape.lanes and shape.n_hidden == 1)
        return Plan(layout, shape, training_batch(problem, layout), optimizer)
    return Plan(layout, shape, path_batch(problem, layout))


def _special(problem: TrainingProblem | PathProblem) -> str:
    """What of the problem, beside its architecture and training, only the memory layout does; empty for nothing."""
    if isinstance(problem, TrainingProblem):
        for name, field in (("trainable", "trainable"), ("tied", "tied"), ("layer_rates", "rates")):
            if getattr(problem, field) is not None:
                return name
    teacher = problem.samples.teacher
    if teacher is not None and teacher.n_inputs > MOST_ENDS:
        return f"a teacher of more than {MOST_ENDS} inputs"
    if teacher is not None and padded_parameters(net(_with_hidden(teacher), lanes=False)) > LARGEST_TEACHER:
        return f"a teacher of more than {LARGEST_TEACHER:,} (padded) parameters"
    return ""


def kind() -> str:
    """Whose GPUs this torch is built for."""
    return "hip" if torch.version.hip else "cuda"


def options(layout: Layout, kind: str) -> dict[str, int | bool]:
    """What Triton is told beside the kernel's arguments; a cap on registers is NVIDIA's own.

    Multiply-adds are fused wherever the compiler can: nothing in the kernels relies on a product being rounded before
    it is added.
    """
    told: dict[str, int | bool] = {"num_warps": layout.warps, "enable_fp_fusion": True}
    if kind != "hip":
        told["maxnreg"] = layout.registers
    return told


def training_batch(problem: TrainingProblem, layout: Layout) -> Batch:
    """How the training kernel draws its samples."""
    size = problem.batch_size
    sampling = problem.sampling
    unroll = 1
    tile = layout.turn
    if layout.lanes:
        tile = 1
        if sampling == "replacement":
            unroll = 4  # the words of a block
        elif sampling == "full":
            fitting = [turn for turn in (8, 4, 2) if turn <= layout.turn and size % turn == 0]
            unroll = fitting[0] if fitting else layout.turn if size > 2 * layout.turn else 1
    elif layout.name == "memory":
        tile = min(tile, 1 << (size - 1).bit_length())
    elif size <= 16:
        tile = 16
    return _batch(
        problem,
        layout,
        sampling=sampling,
        loss=problem.training.loss,
        unroll=unroll,
        tile=tile,
        even=unroll * tile == 1 if sampling == "epoch" else size % (unroll * tile) == 0,
        single=layout.name == "tiles" and size <= tile,
        rounds=permutation_rounds(max(problem.samples.n_samples, 1)),
    )


def path_batch(problem: PathProblem, layout: Layout) -> Batch:
    """How the path kernel goes through its samples."""
    online = problem.samples.teacher is not None
    unroll = 1 if online or not layout.lanes else 4
    tile = 1 if layout.lanes else layout.turn
    return _batch(
        problem,
        layout,
        sampling="online" if online else "full",
        loss=problem.loss,
        unroll=unroll,
        tile=tile,
        even=problem.samples.n_samples % (unroll * tile) == 0,
        single=False,
        rounds=12,
    )


def _batch(
    problem: TrainingProblem | PathProblem,
    layout: Layout,
    *,
    sampling: str,
    loss: str,
    unroll: int,
    tile: int,
    even: bool,
    single: bool,
    rounds: int,
) -> Batch:
    teacher = teacher_net(problem.samples, layout)
    values = 0
    if layout.name == "memory":
        values = tile * net(problem.architecture, lanes=False).n_values
        values += tile * teacher.n_values if teacher is not None else 0
    return Batch(
        sampling=sampling,
        loss=loss,
        shared=n_datasets(problem.samples) == 1,
        unroll=unroll,
        tile=tile,
        even=even,
        single=single,
        rounds=rounds,
        teacher=teacher,
        values=values,
    )


def compiled_optimizer(problem: TrainingProblem) -> Optimizer:
    """Which parts of the update the kernel needs."""
    settings = problem.training.optimizer
    kinds = {SGD: "sgd", Adam: "adam", AdamW: "adamw"}
    return Optimizer(
        kind=kinds[type(settings)],
        momentum=bool((problem.momentum > 0).any()),
        nesterov=isinstance(settings, SGD) and settings.nesterov,
        decay=bool((problem.weight_decay > 0).any()),
        masked=problem.mask is not None,
        held=problem.trainable is not None,
        tied=problem.tied is not None,
        rated=problem.rates is not None,
        clipped=problem.training.clip_norm is not None,
        stops=problem.training.stop_below is not None,
    )


def n_datasets(samples: Samples) -> int:
    """Data sets (or teachers) that the samples come from."""
    tensor = samples.x if samples.teacher_params is None else samples.teacher_params
    assert tensor is not None
    return len(tensor)


def _with_hidden(teacher: Architecture) -> Architecture:
    """A linear teacher as a hidden layer of identities (with the unit matrix behind it), as registers hold it; any
    other as it is.
    """
    return (
        Architecture((teacher.n_inputs, teacher.n_outputs, teacher.n_outputs), "identity")
        if len(teacher.widths) == 2
        else teacher
    )


def teacher_net(samples: Samples, layout: Layout) -> Net | None:
    """The teacher's compile-time form."""
    if samples.teacher is None:
        return None
    teacher = samples.teacher if layout.name == "memory" else _with_hidden(samples.teacher)
    return dataclasses.replace(_net(teacher, layout), parks=False)


def _net(architecture: Architecture, layout: Layout) -> Net:
    """The compile-time form of an architecture in a layout."""
    return net(
        architecture,
        layout.lanes,
        layout.group,
        layout.block,
        layout.warps,
        layout.precision,
        layout.most_columns,
        TURN if layout.lanes else layout.turn,
    )
