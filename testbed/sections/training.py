"""How the students of a study are trained: optimizer, schedule, batches, loss, clock."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field, ValidationInfo, field_validator, model_validator

import kernels
from testbed.section import LossName, SamplingName, ScheduleName, Section, Step

if TYPE_CHECKING:
    import torch


class _OptimizerSpec(Section):
    kind: str

    def build(self, **per_network: np.ndarray) -> Any:
        """The kernels' optimizer, with the numbers that differ between networks as arrays."""
        optimizer = {"sgd": kernels.SGD, "adam": kernels.Adam, "adamw": kernels.AdamW}[self.kind]
        return optimizer(**(self.model_dump(exclude={"kind"}) | per_network))

    @model_validator(mode="after")
    def _check(self) -> _OptimizerSpec:
        self.build()
        return self


class SGDSpec(_OptimizerSpec):
    """kernels.SGD."""

    kind: Literal["sgd"]
    lr: float = 0.05
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0


class AdamSpec(_OptimizerSpec):
    """kernels.Adam or kernels.AdamW."""

    kind: Literal["adam", "adamw"]
    lr: float = 1e-3
    betas: Annotated[tuple[float, float], Field(strict=False)] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0


OptimizerSpec: TypeAlias = Annotated[SGDSpec | AdamSpec, Field(discriminator="kind")]


class ScheduleSpec(Section):
    """kernels.Schedule."""

    kind: ScheduleName = "constant"
    warmup_steps: int = 0
    final_factor: float = 0.0
    step_size: int = 1000
    gamma: float = 0.1

    def build(self) -> kernels.Schedule:
        """The kernels' schedule."""
        return kernels.Schedule(**self.model_dump())

    @model_validator(mode="after")
    def _check(self) -> ScheduleSpec:
        self.build()
        return self


class TrainingSpec(Section):
    """kernels.Training, and what follows.

    online: fresh samples at every step from the teacher.
    dtype: of the arithmetic of training.
    frozen: share of the weights of each layer, drawn once for all networks of a cell, that keep their initial values
        (partial-gradient masks).
    layer_rates: factors of the learning rate, one for each affine layer; left out, 1 everywhere.
    frozen_layers: numbers of affine layers that do so whole, biases too, the first being 0.
    clock: `steps`; or `inputs`, the time of online learning in d inputs: steps, snapshot, record_every and
        ensemble.spawn_step count d updates each, and the learning rate is divided by d (Saad & Solla 1995).
    snapshot: networks are measured as they were after so many of the steps; left out: after all. Cells that differ in
        it alone measure one training at several times.
    """

    steps: int
    clock: Literal["steps", "inputs"] = "steps"
    optimizer: OptimizerSpec
    loss: LossName = "mse"
    batch_size: int | None = None
    sampling: SamplingName = "epoch"
    schedule: ScheduleSpec = ScheduleSpec()
    online: bool = False
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    stop_below: float | None = None
    layer_rates: Annotated[tuple[float, ...], Field(strict=False)] = ()
    frozen: Annotated[float, Field(ge=0, lt=1)] = 0.0
    frozen_layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    record_every: int | None = None
    snapshot: Step | None = None
    dtype: Literal["float32", "float64"] = "float32"

    @property
    def torch_dtype(self) -> torch.dtype:
        """dtype as torch has it."""
        import torch

        return torch.float64 if self.dtype == "float64" else torch.float32

    def unit(self, n_inputs: int) -> int:
        """Updates in one unit of the clock."""
        return n_inputs if self.clock == "inputs" else 1

    @property
    def measured_at(self) -> int:
        """The number of steps after which networks are measured."""
        return self.steps if self.snapshot is None else self.snapshot

    def build(self, n_inputs: int = 1, **per_network: np.ndarray) -> kernels.Training:
        """The kernels' training for this many inputs, with the numbers that differ between networks as arrays.

        >>> spec = TrainingSpec(steps=100, optimizer=SGDSpec(kind="sgd", lr=0.1))
        >>> spec.build(lr=np.array([0.1, 0.2])).optimizer.lr
        array([0.1, 0.2])
        """
        unit = self.unit(n_inputs)
        rate = {"lr": per_network.pop("lr", np.array(self.optimizer.lr)) / unit} if unit > 1 else {}
        return kernels.Training(
            steps=self.steps * unit,
            optimizer=self.optimizer.build(**per_network, **rate),
            loss=self.loss,
            batch_size=self.batch_size,
            sampling=self.sampling,
            schedule=self.schedule.build(),
            record_every=None if self.record_every is None else self.record_every * unit,
            label_smoothing=self.label_smoothing,
            clip_norm=self.clip_norm,
            stop_below=self.stop_below,
            layer_rates=self.layer_rates,
        )

    @field_validator("steps", "batch_size", "label_smoothing", "clip_norm", "stop_below", "record_every", "layer_rates")
    @classmethod
    def _check_alone(cls, value: Any, field: ValidationInfo) -> Any:
        """What the kernels say of one field, whatever is wrong with the others."""
        _check_field(str(field.field_name), value)
        return value

    @model_validator(mode="after")
    def _check(self) -> TrainingSpec:
        self.build()
        if self.measured_at > self.steps:
            raise ValueError(f"snapshot ({self.snapshot}) must be at most steps ({self.steps}).")
        if self.clock == "inputs" and (self.schedule.kind != "constant" or self.schedule.warmup_steps):
            raise ValueError("clock 'inputs' goes with a constant schedule without warm-up.")
        return self


@functools.lru_cache(typed=True)  # the cells of a study have most of their settings in common
def _check_field(name: str, value: Any) -> None:
    """ValueError where the kernels refuse this value of this field."""
    alone: dict[str, Any] = {"steps": 0, "loss": "cross_entropy", name: value}
    kernels.Training(**alone)
