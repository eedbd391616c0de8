"""The sections of a study: what each may hold, and its defaults. Frozen; checked when made, also by the kernels' own checks."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

import kernels

Count: TypeAlias = Annotated[int, Field(ge=1)]
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
Widths: TypeAlias = Annotated[tuple[Count, ...], Field(strict=False)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
PairKind: TypeAlias = Literal["independent", "siblings"]
TheoryName: TypeAlias = Literal["population", "exact_training", "twin_students"]


class Section(BaseModel):
    """A table of a study: unknown keys and values of the wrong type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class TeacherSpec(Section):
    """A fixed network: hidden widths, activation, biases, times `scale`.

    initialisation: `kaiming`, drawn by `Architecture.initial`; or `orthonormal`, one hidden layer whose units are the first coordinates and
    are added up (a soft committee machine), nothing random.
    """

    hidden: Widths
    activation: str = "relu"
    biases: bool = False
    initialisation: Literal["kaiming", "orthonormal"] = "kaiming"
    scale: NotNegative = 1.0
    seed: Seed = 0

    def build(self, n_inputs: int, n_outputs: int) -> kernels.Architecture:
        """The teacher's architecture."""
        return kernels.Architecture((n_inputs, *self.hidden, n_outputs), self.activation, self.biases)

    @model_validator(mode="after")
    def _check(self) -> TeacherSpec:
        self.build(1, 1)
        if self.initialisation == "orthonormal" and (len(self.hidden) != 1 or self.biases):
            raise ValueError("initialisation 'orthonormal' is of one hidden layer without biases.")
        return self


class TeacherStudentData(Section):
    """x ~ N(0, I), y = teacher(x) + noise · N(0, I). n_train samples, or none when training is online."""

    kind: Literal["teacher_student"]
    inputs: Count
    outputs: Count = 1
    teacher: TeacherSpec
    n_train: Count | None = None
    noise: NotNegative = 0.0
    seed: Seed = 0


class GaussianMixtureData(Section):
    """As many classes as said, one Gaussian N(μ_c, I) each, the means uniform on the sphere of radius `separation`."""

    kind: Literal["gaussian_mixture"]
    inputs: Count
    classes: Annotated[int, Field(ge=2)] = 2
    n_train: Count
    separation: NotNegative = 3.0
    seed: Seed = 0


class SpiralsData(Section):
    """In the plane, one arm a class: radius r = √u with u uniform, angle 2π (turns · r + c/classes), plus noise · N(0, I)."""

    kind: Literal["spirals"]
    classes: Annotated[int, Field(ge=2)] = 2
    n_train: Count
    turns: NotNegative = 1.0
    noise: NotNegative = 0.02
    seed: Seed = 0


class FileData(Section):
    """The user's own .npz: x `[n, n_inputs]`, y float `[n, n_outputs]` or class numbers `[n]`; x_test and y_test if there are.

    path: relative to the study's file. sha256: of the file; filled in when the study is loaded, checked if given.
    """

    kind: Literal["file"]
    path: str
    sha256: str | None = None


DataSpec: TypeAlias = Annotated[TeacherStudentData | GaussianMixtureData | SpiralsData | FileData, Field(discriminator="kind")]


class ArchitectureSpec(Section):
    """The students: hidden widths (inputs and outputs follow from the data), and how they are initialised."""

    hidden: Annotated[tuple[Count, ...], Field(strict=False)]
    activation: str = "relu"
    biases: bool = True
    negative_slope: float = 0.01
    initialisation: Literal["kaiming", "xavier", "torch", "committee"] = "kaiming"
    scale: NotNegative = 1.0

    def build(self, n_inputs: int, n_outputs: int) -> kernels.Architecture:
        """The architecture between these inputs and outputs."""
        return kernels.Architecture((n_inputs, *self.hidden, n_outputs), self.activation, self.biases, self.negative_slope)

    @model_validator(mode="after")
    def _check(self) -> ArchitectureSpec:
        self.build(1, 1)
        return self


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

    kind: str = "constant"
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
    """kernels.Training; `online`: fresh samples at every step from the teacher; dtype: of the arithmetic of training.

    clock: `steps`; or `inputs`, the time of online learning in d inputs: steps, record_every and ensemble.spawn_step count d updates each, and
    the learning rate is divided by d (Saad & Solla 1995).
    """

    steps: int
    clock: Literal["steps", "inputs"] = "steps"
    optimizer: OptimizerSpec
    loss: str = "mse"
    batch_size: int | None = None
    sampling: str = "epoch"
    schedule: ScheduleSpec = ScheduleSpec()
    online: bool = False
    record_every: int | None = None
    dtype: Literal["float32", "float64"] = "float32"

    def unit(self, n_inputs: int) -> int:
        """Updates in one unit of the clock."""
        return n_inputs if self.clock == "inputs" else 1

    def build(self, n_inputs: int = 1, **per_network: np.ndarray) -> kernels.Training:
        """The kernels' training for this many inputs, with the numbers that differ between networks as arrays."""
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
        )

    @model_validator(mode="after")
    def _check(self) -> TrainingSpec:
        self.build()
        if self.clock == "inputs" and (self.schedule.kind != "constant" or self.schedule.warmup_steps):
            raise ValueError("clock 'inputs' goes with a constant schedule without warm-up.")
        return self


class EnsembleSpec(Section):
    """Families of siblings: one initialisation and one data order, until each takes its own from `spawn_step` on.

    pairs: `siblings`, all pairs within families; `independent`, `independent_pairs` of those between families, drawn without
    replacement (as many as there are families unless it says otherwise).
    """

    families: Count
    siblings: Count = 2
    spawn_step: Annotated[int, Field(ge=0)] = 0
    pairs: Annotated[tuple[PairKind, ...], Field(strict=False, min_length=1)] = ("independent", "siblings")
    independent_pairs: Count | None = None

    @property
    def n_networks(self) -> int:
        """Networks in one cell."""
        return self.families * self.siblings

    @property
    def n_independent(self) -> int:
        """Independent pairs to draw in one cell."""
        return (self.independent_pairs or self.families) if "independent" in self.pairs else 0

    @model_validator(mode="after")
    def _check(self) -> EnsembleSpec:
        if "siblings" in self.pairs and self.siblings < 2:
            raise ValueError("siblings must be at least 2 when pairs asks for siblings, not 1.")
        possible = self.families * (self.families - 1) // 2 * self.siblings**2
        if self.n_independent > possible:
            raise ValueError(
                f"independent_pairs must be at most {possible}, the pairs between {self.families} families of {self.siblings}, "
                f"not {self.n_independent}."
            )
        if self.independent_pairs and "independent" not in self.pairs:
            raise ValueError("independent_pairs goes with 'independent' in pairs.")
        return self


def _alphas(value: Any) -> Any:
    """A count n as n evenly spaced numbers; a list is checked."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 3:
            raise ValueError(f"alphas must be at least 3 points, such as 25, not {value}.")
        return tuple(i / (value - 1) for i in range(value))
    if not isinstance(value, list | tuple) or any(isinstance(a, bool) or not isinstance(a, int | float) for a in value):
        raise ValueError(f"alphas must be a count, such as 25, or a list of numbers, not {value!r}.")
    if any(not math.isfinite(a) for a in value):
        raise ValueError(f"alphas must be finite, not {value!r}.")
    if 0 not in value or 1 not in value:
        raise ValueError("alphas must hold 0 and 1, the endpoints: every barrier is measured from them.")
    if sorted(set(value)) != list(value) or value[0] < 0 or value[-1] > 1 or len(value) < 3:
        raise ValueError("alphas must rise strictly from 0 to 1, with at least one number between.")
    return tuple(float(a) for a in value)


class MeasureSpec(Section):
    """Where on the path, on how many test samples, and what analysis is held against it.

    alphas: a count of evenly spaced points (an odd one holds α = ½), or a list from 0 to 1.
    permutations: also whether the two students of a pair have specialised to different permutations of the teacher's units.
    """

    alphas: Annotated[tuple[float, ...], BeforeValidator(_alphas)] = 25  # type: ignore[assignment]
    test_samples: Annotated[int, Field(ge=2)] = 16384
    theory: Annotated[tuple[TheoryName, ...], Field(strict=False)] = ()
    permutations: bool = False
