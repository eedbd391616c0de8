"""The sections of a study: what each may hold, and its defaults. Frozen; checked when made, also by the kernels' own checks."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

import kernels
from kernels.connectivity import windows
from testbed.data import tasks
from testbed.data.sampling import Arrays, Count, NotNegative, Sampled, Section, Seed, Seeds, normals

Widths: TypeAlias = Annotated[tuple[Count, ...], Field(strict=False)]
PairKind: TypeAlias = Literal["independent", "siblings"]
MeasureName: TypeAlias = Literal[
    "disagreement", "sharpness", "perturbation", "temperature", "features", "lemma_7", "bend", "star"
]
AlignmentName: TypeAlias = Literal[
    "weights", "activations", "exhaustive", "reference", "canonical", "canonical_weights"
]
TheoryName: TypeAlias = Literal["population", "exact_training", "twin_students"]


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


class TeacherStudentData(Sampled):
    """x ~ N(0, I), y = teacher(x) + noise · N(0, I). n_train samples, or none when training is online."""

    kind: Literal["teacher_student"]
    inputs: Count
    outputs: Count = 1
    teacher: TeacherSpec
    noise: NotNegative = 0.0

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n inputs, and the noise of their labels: the teacher sees inputs rounded to the dtype of training, and adds its part there (`datasets`)."""
        return normals(seeds[0], n, self.inputs), self.noise * normals(seeds[1], n, self.outputs)


class FileData(Section):
    """The user's own .npz: x `[n, n_inputs]`, y float `[n, n_outputs]` or class numbers `[n]`; x_test and y_test if there are.

    path: relative to the study's file. sha256: of the file; filled in when the study is loaded, checked if given.
    """

    kind: Literal["file"]
    path: str
    sha256: str | None = None


DataSpec: TypeAlias = Annotated[
    TeacherStudentData
    | tasks.GaussianMixtureData
    | tasks.SpiralsData
    | tasks.CirclesData
    | tasks.XorData
    | tasks.ParityData
    | tasks.HierarchicalData
    | tasks.HiddenManifoldData
    | tasks.DynamicSignalData
    | tasks.RebasinCounterexampleData
    | tasks.DigitsData
    | FileData,
    Field(discriminator="kind"),
]


class PruningSpec(Section):
    """Iterative magnitude pruning (Frankle & Carbin 2019) before the training that is measured.

    In each of `rounds` the network is trained, its weights of smallest magnitude are masked (all layers' together, biases stay; after round r
    a share density^(r/rounds) is left), and the rest goes back to where it was at step `rewind_step`. The measured training starts there, with
    all its steps; one round with rewind_step = training.steps is magnitude pruning and fine-tuning. mask: `own`, each network's from its own
    training; `family`, the first sibling's for all.
    """

    density: Annotated[float, Field(gt=0, lt=1)]
    rounds: Count = 1
    rewind_step: Annotated[int, Field(ge=0)] = 0
    retrain: bool = True
    mask: Literal["own", "family"] = "own"

    @model_validator(mode="after")
    def _check(self) -> PruningSpec:
        if not self.retrain and self.mask == "family":
            raise ValueError(
                "mask 'family' goes with retrain = true: it is found by a training of the family's own, and siblings differ by what follows."
            )
        if not self.retrain and self.rounds == 1 and self.rewind_step:
            raise ValueError(
                "rewind_step goes with retrain = true, or with more than one of rounds: nothing is trained from there."
            )
        return self


class ArchitectureSpec(Section):
    """The students: hidden widths (inputs and outputs follow from the data), what is connected, and how they are initialised.

    normalise, residual: of kernels.Architecture. connectivity: of the first layer, as kernels.connectivity has it, with `receptive_field` inputs
    a unit and windows every `stride` inputs; full: every unit sees every input. density: share of the weights of each layer that there are,
    drawn at random by network (mask `own`), by family, or once for all networks of a cell (`shared`). Weights of a unit with fewer inputs start
    larger by √(all/those), so that its pre-activation has the dense one's variance (Evci et al. 2022). pruning: found by training.
    tied: any other weight sharing, for each parameter (in the order of kernels.Architecture.layout) a whole number; those of one number are one.
    lean: `lean` times the teacher's first layer, its units in a random order for each family, is added to the initial one: starts whose overlap
    with the teacher does not vanish with the number of inputs.
    """

    hidden: Annotated[tuple[Count, ...], Field(strict=False)]
    activation: str = "relu"
    biases: bool = True
    negative_slope: float = 0.01
    normalise: bool = False
    residual: bool = False
    connectivity: Literal["full", "random", "local", "convolutional"] = "full"
    receptive_field: Count | None = None
    stride: Count = 1
    density: Annotated[float, Field(gt=0, le=1)] = 1.0
    mask: Literal["own", "family", "shared"] = "own"
    pruning: PruningSpec | None = None
    tied: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] | None = None
    initialisation: Literal["kaiming", "xavier", "torch", "committee", "mean_field"] = "kaiming"
    scale: NotNegative = 1.0
    lean: NotNegative = 0.0

    def build(self, n_inputs: int, n_outputs: int) -> kernels.Architecture:
        """The architecture between these inputs and outputs."""
        widths = (n_inputs, *self.hidden, n_outputs)
        architecture = kernels.Architecture(
            widths, self.activation, self.biases, self.negative_slope, self.normalise, self.residual
        )
        if self.receptive_field is not None:
            windows(architecture, self.receptive_field, self.stride)
        return architecture

    def build_hidden(self) -> kernels.Architecture:
        """The hidden layers between one input and one output, for what does not depend on these."""
        return kernels.Architecture(
            (1, *self.hidden, 1), self.activation, self.biases, self.negative_slope, self.normalise, self.residual
        )

    @property
    def sparse(self) -> bool:
        """Whether some weights are not there."""
        return self.connectivity != "full" or self.density < 1 or self.pruning is not None

    @model_validator(mode="after")
    def _check(self) -> ArchitectureSpec:
        self.build_hidden()
        if self.connectivity != "full" and self.receptive_field is None:
            raise ValueError(
                f"receptive_field is missing: the inputs that a unit of a {self.connectivity} first layer sees."
            )
        if self.connectivity == "convolutional" and (self.density < 1 or self.pruning is not None):
            raise ValueError(
                "connectivity 'convolutional' shares weights, which a random or pruned mask would tear apart: use 'local' there."
            )
        if self.tied is not None and (self.sparse or self.lean):
            raise ValueError(
                "tied shares weights as it says: leave out connectivity, density, pruning and lean, which would tear them apart."
            )
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

    frozen: share of the weights of each layer, drawn once for all networks of a cell, that keep their initial values (partial-gradient masks);
    frozen_layers: numbers of affine layers that do so whole, biases too, the first being 0.

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
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    stop_below: float | None = None
    frozen: Annotated[float, Field(ge=0, lt=1)] = 0.0
    frozen_layers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
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
            label_smoothing=self.label_smoothing,
            clip_norm=self.clip_norm,
            stop_below=self.stop_below,
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
    rate_factor: the learning rate of sibling k is multiplied by rate_factor^k (one initialisation, different rates).
    """

    families: Count
    siblings: Count = 2
    rate_factor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    spawn_step: Annotated[int, Field(ge=0)] = 0
    pairs: Annotated[tuple[PairKind, ...], Field(strict=False, min_length=1)] = ("independent", "siblings")
    independent_pairs: Count | None = None

    @property
    def n_networks(self) -> int:
        """Networks in one cell."""
        return self.families * self.siblings

    @property
    def n_possible(self) -> int:
        """Pairs between families that there are."""
        return self.families * (self.families - 1) // 2 * self.siblings**2

    @property
    def n_independent(self) -> int:
        """Independent pairs to draw in one cell."""
        return (self.independent_pairs or self.families) if "independent" in self.pairs else 0

    @model_validator(mode="after")
    def _check(self) -> EnsembleSpec:
        if "siblings" in self.pairs and self.siblings < 2:
            raise ValueError("siblings must be at least 2 when pairs asks for siblings, not 1.")
        if self.n_independent > self.n_possible:
            raise ValueError(
                f"independent_pairs must be at most {self.n_possible}, the pairs between {self.families} families of {self.siblings}, "
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
    if sorted(set(value)) != list(value) or not any(0 < a < 1 for a in value):
        raise ValueError("alphas must rise strictly, with at least one number between 0 and 1.")
    return tuple(float(a) for a in value)


class MeasureSpec(Section):
    """Where on the path, on how many test samples, and what analysis is held against it.

    alphas: a count of evenly spaced points from 0 to 1 (an odd one holds α = ½), or a list, which may go on past the ends: curves are then measured
        there too, barriers always between 0 and 1.
    permutations: also whether the two students of a pair have specialised to different permutations of the teacher's units.
    alignment: every path also after B's hidden units were permuted (and flipped, for odd activations) to be near A: `weights` and `activations`
        by matching; `exhaustive`, the least training barrier of all permutations (and flips); `reference`, both ends by weights to the first
        network of their cell. `canonical`: after both ends' units were rescaled so that their incoming and outgoing weights have one norm (relu,
        leaky_relu, identity); `canonical_weights`, then matched by weights too.
    also, on the training samples: `disagreement` of the ends' predictions; `sharpness`, largest eigenvalue and trace of the Hessian at the ends,
        at α = ¼ and ¾ and at ½; `perturbation`, the rise of the loss in random directions as long as half the path; `temperature`, the barrier
        after the best softmax temperature at each alpha; `features`, the residual of linear feature connectivity; `lemma_7`, whether Lin, Li &
        Wu's lemma says that two committees are connected; `bend`, the largest barrier of two segments over a point trained between the ends;
        `star`, of those over the centre of a star, trained to half of the cell's networks, eight at most: of pairs of the others.
    planes: so many pictures of the training loss on the plane through A, B and C, a pair of every so many cells; C is B after the first alignment,
        or a third network.
    """

    alphas: Annotated[tuple[float, ...], BeforeValidator(_alphas)] = 25  # type: ignore[assignment]
    test_samples: Annotated[int, Field(ge=2)] = 16384
    theory: Annotated[tuple[TheoryName, ...], Field(strict=False)] = ()
    permutations: bool = False
    alignment: Annotated[tuple[AlignmentName, ...], Field(strict=False)] = ()
    also: Annotated[tuple[MeasureName, ...], Field(strict=False)] = ()
    planes: Annotated[int, Field(ge=0, le=6)] = 0

    @property
    def between(self) -> tuple[float, ...]:
        """The alphas from 0 to 1."""
        return tuple(alpha for alpha in self.alphas if 0 <= alpha <= 1)
