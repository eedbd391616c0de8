"""What the kernels are given: arrays as a layout wants them, by the names of the kernels' arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import triton
from torch import Tensor

from kernels.gpu.common.optimizers import SETTINGS
from kernels.gpu.layouts import MOST_REGISTERS, Layout
from kernels.gpu.memory import paths as memory_paths
from kernels.gpu.memory import training as memory_training
from kernels.gpu.plan import Plan, kind, n_datasets, options
from kernels.gpu.registers import paths, training
from kernels.gpu.shapes import LARGE
from kernels.problem import PathProblem, Samples, TrainingProblem
from kernels.training import SGD

Arguments = dict[str, Tensor | int]


@dataclass(frozen=True, eq=False)
class Call:
    """One launch: a kernel, how many programs it takes, and what it is given, by name; backend: "cuda" or "hip"."""

    kernel: Any
    plan: Plan
    programs: int
    arguments: Arguments
    backend: str

    @property
    def constants(self) -> dict[str, object]:
        """What the kernel is compiled for."""
        constants: dict[str, object] = {"NET": self.plan.net, "BATCH": self.plan.batch}
        if self.plan.optimizer is not None:
            constants["OPTIMIZER"] = self.plan.optimizer
        return constants

    @property
    def options(self) -> dict[str, int | bool]:
        """What the compiler is told besides."""
        told = options(self.plan.layout, self.backend)
        if self.kernel in (training.train, paths.path_losses) and self.plan.layout.warps > 1 and "maxnreg" in told:
            told["maxnreg"] = MOST_REGISTERS  # these park no weights in shared memory
        return told

    def launch(self) -> None:
        """Run it."""
        self.kernel[(self.programs,)](**self.arguments, **self.constants, **self.options)

    def compiled(self, **changes: int) -> Any:
        """The compiled kernel, without running it; `changes` replace compiler options."""
        told = self.options | changes
        return self.kernel.warmup(grid=(self.programs,), **self.arguments, **self.constants, **told)


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A piece of an ensemble between launches of the training kernel; all of it stays on the device.

    piece: which networks of the problem; arrays: what every launch is given, parameters and moments as the layout
        wants them.
    """

    problem: TrainingProblem
    plan: Plan
    piece: slice
    n: int
    arrays: dict[str, Tensor]
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, problem: TrainingProblem, plan: Plan, piece: slice, params: Tensor, schedule: Tensor
    ) -> TrainingState:
        """The state before the first step.

        params: initial parameters of the piece `[n, n_parameters]`; schedule: the rate's factor and Adam's
            corrections `[3, n_steps]`.
        """
        optimizer = plan.optimizer
        assert optimizer is not None
        n = len(params)
        theta = laid(params, plan.layout)
        arrays = {
            "parameters": theta,
            "first_moments": torch.zeros_like(theta) if optimizer.kind != "sgd" or optimizer.momentum else theta,
            "second_moments": torch.zeros_like(theta) if optimizer.kind != "sgd" else theta,
            "mask": theta if problem.mask is None else laid(problem.mask[piece].to(torch.int8), plan.layout),
            "lr": problem.lr[piece],
            "momentum": problem.momentum[piece],
            "weight_decay": problem.weight_decay[piece],
            "data_seeds": problem.data_seeds[piece],
            "spawn_steps": problem.spawn_steps[piece],
            "spawn_seeds": problem.spawn_seeds[piece],
            "dataset": problem.samples.dataset[piece],
            "schedule": schedule,
            "settings": settings(problem, params),
            "losses": params.new_full((len(problem.training.loss_steps), n), torch.nan),
            "diverged_at": torch.full((n,), -1, dtype=torch.int64, device=params.device),
            "stopped_at": torch.full((n,), -1, dtype=torch.int64, device=params.device),
            **tables(problem.samples, plan.layout, params),
        }
        if plan.net.clamps:
            arrays["x"] = arrays["x"] / LARGE
        counts: dict[str, int] = {}
        if plan.layout.name == "memory":
            arrays |= ties(problem.tied, theta)
            arrays |= {
                "trainable": theta if problem.trainable is None else problem.trainable[piece].to(torch.int8),
                "rates": theta if problem.rates is None else problem.rates,
                "sums": theta.new_zeros(n, 2, problem.architecture.n_parameters),
                "values": theta.new_zeros(n, plan.batch.values),
            }
            counts["n_groups"] = len(arrays["groups"]) - 1
        return cls(problem, plan, piece, n, arrays, counts)

    @property
    def params(self) -> Tensor:
        """Parameters as they stand, `[n, n_parameters]`."""
        theta = self.arrays["parameters"]
        return theta.T.contiguous() if self.plan.layout.lanes else theta.clone()

    def call(self, first_step: int, last_step: int, backend: str = "") -> Call:
        """The launch of steps first_step … last_step − 1; backend: "cuda" or "hip", empty for this torch's own."""
        problem = self.problem
        in_memory = self.plan.layout.name == "memory"
        n_samples = max(problem.samples.n_samples, 1)
        bits = max(1, (n_samples - 1).bit_length())  # of the domain of an epoch's permutation
        record_every = problem.training.loss_steps.step
        counts = {
            "n_networks": self.n,
            "n_samples": n_samples,
            "batch_size": problem.batch_size,
            "record_every": record_every,
            "first_record": -(-first_step // record_every),
            "first_step": first_step,
            "last_step": last_step,
            "n_steps": problem.training.steps,
            "n_datasets": n_datasets(problem.samples),
            "low_bits": bits - bits // 2,
            "high_bits": bits // 2,
        }
        arrays = self.arrays if in_memory else {k: v for k, v in self.arrays.items() if k != "stopped_at"}
        return Call(
            kernel=_kernels(self.plan.layout, problem.params.dtype, backend or kind())[0],
            plan=self.plan,
            programs=triton.cdiv(self.n, self.plan.layout.block),
            arguments={**arrays, **counts, **self.counts},
            backend=backend or kind(),
        )


def path_call(problem: PathProblem, plan: Plan, piece: slice, results: dict[str, Tensor], backend: str = "") -> Call:
    """The launch that evaluates the pairs of `piece` at all alphas, into `results`: float64 `[n_pairs, n_alphas]` by
    name.
    """
    like = problem.params_a
    alphas = problem.alphas.to(like.dtype)
    n_pairs = len(like[piece])
    n_items = n_pairs * len(alphas)
    in_memory = plan.layout.name == "memory"
    arguments: Arguments = {
        "params_a": laid(problem.params_a[piece], plan.layout),
        "params_b": laid(problem.params_b[piece], plan.layout),
        "alphas": alphas,
        "seeds": problem.seeds[piece],
        "dataset": problem.samples.dataset[piece],
        **tables(problem.samples, plan.layout, like),
        **results,
        "n_pairs": n_pairs,
        "n_alphas": len(alphas),
        "n_samples": problem.samples.n_samples,
        "n_datasets": n_datasets(problem.samples),
        "n_items": n_items,
    }
    if in_memory:
        arguments["theta"] = like.new_empty(n_items, problem.architecture.n_parameters)
        arguments["values"] = like.new_empty(n_items, plan.batch.values)
    return Call(
        kernel=_kernels(plan.layout, like.dtype, backend or kind())[1],
        plan=plan,
        programs=triton.cdiv(n_items, plan.layout.block),
        arguments=arguments,
        backend=backend or kind(),
    )


def _kernels(layout: Layout, dtype: torch.dtype, backend: str) -> tuple[Any, Any]:
    """The kernels of a layout: training, and losses on paths.

    Gluon has no interpreter, and in Triton 3.5 no products of matrices: there Triton's own kernels do the same work.
    """
    if layout.name == "memory":
        return memory_training.train, memory_paths.path_losses
    if triton.knobs.runtime.interpret:
        return training.train, paths.path_losses
    if layout.name == "lanes":
        from kernels.gpu.registers import lanes

        return lanes.train, lanes.path_losses
    if dtype is torch.float32 and backend == "cuda" and not triton.__version__.startswith("3.5."):
        from kernels.gpu.registers import tiles

        return tiles.train, tiles.path_losses
    return training.train, paths.path_losses


def laid(params: Tensor, layout: Layout) -> Tensor:
    """`[n, n_parameters]` as the kernel reads it: in lanes, networks lie side by side."""
    return params.T.contiguous() if layout.lanes else params.clone(memory_format=torch.contiguous_format)


def settings(problem: TrainingProblem, like: Tensor) -> Tensor:
    """The numbers of the optimizer and of the run, in the order of `common.optimizers.SETTINGS`; 0 for those that the
    run has not.
    """
    optimizer = problem.training.optimizer
    beta_1, beta_2 = (0.0, 0.0) if isinstance(optimizer, SGD) else optimizer.betas
    numbers = {
        "beta_1": beta_1,
        "beta_2": beta_2,
        "one_minus_beta_1": 1 - beta_1,
        "one_minus_beta_2": 1 - beta_2,
        "eps": 0.0 if isinstance(optimizer, SGD) else optimizer.eps,
        "label_smoothing": problem.training.label_smoothing,
        "clip_norm": problem.training.clip_norm or 0.0,
        "stop_below": problem.training.stop_below or 0.0,
    }
    return torch.tensor([numbers[name] for name in SETTINGS], dtype=torch.float64, device="cpu").to(like)


def ties(tied: Tensor | None, theta: Tensor) -> dict[str, Tensor]:
    """Tied parameters as the memory layout's kernel reads them, int32: `tied`, `members` and `groups`."""
    n_parameters = theta.shape[1]
    first = torch.arange(n_parameters, device=theta.device) if tied is None else tied
    sizes = torch.bincount(first, minlength=n_parameters)
    begins = torch.cat([sizes.new_zeros(1), sizes[sizes > 0].cumsum(0)])
    members = first.argsort(stable=True)
    return {
        "tied": first.to(torch.int32),
        "members": members.to(torch.int32),
        "groups": begins.to(torch.int32),
    }


def tables(samples: Samples, layout: Layout, like: Tensor) -> dict[str, Tensor]:
    """x, y and teacher_parameters; a kernel reads either the tables or the teachers, and `like` fills the place of
    the others.
    """
    if samples.teacher is None:
        assert samples.x is not None and samples.y is not None
        return {"x": samples.x, "y": samples.y, "teacher_parameters": like}
    assert samples.teacher_params is not None
    params = samples.teacher_params
    if len(samples.teacher.widths) == 2 and layout.name != "memory":
        # a linear teacher as `plan.teacher_net` has it: its map, then a hidden layer of identities and the unit matrix
        n_weights = samples.teacher.n_outputs * samples.teacher.n_inputs
        no_bias = params.new_zeros(len(params), samples.teacher.n_outputs)
        unit = torch.eye(samples.teacher.n_outputs, dtype=params.dtype, device=params.device)
        parts = [
            params[:, :n_weights],
            params[:, n_weights:] if samples.teacher.biases else no_bias,
            unit.flatten().expand(len(params), -1),
            no_bias,
        ]
        params = torch.cat(parts, 1)
    return {"x": like, "y": like, "teacher_parameters": laid(params, layout)}
