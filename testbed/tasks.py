"""Classification tasks: each knows its numbers and how to draw samples, and has a dial from easy to hard.

`draw(n, rule, seeds)` returns x float64 `[n, n_inputs]` and classes `[n]`. The task itself (means, directions, hidden networks) is a function of
the seed `rule`, a set of samples of `seeds` (two of them).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import special

from kernels import streams

Arrays: TypeAlias = tuple[np.ndarray, np.ndarray]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A table of a study: unknown keys and values of the wrong type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)


class Task(Section):
    """What all tasks have.

    n_train: training samples. label_noise: share of the training labels that are drawn anew, uniformly over the classes (1: they are random).
    shared: share of the training samples that all networks have in common; the rest each network draws for itself (0: disjoint sets).
    shift: covariate shift between the ends of a pair: networks of either side keep a training sample with probability 1/(1 + exp(∓shift · s)),
        s its first input, standardised, so that p(y|x) is the same for both (0: none; large: each sees one half of the inputs). Siblings
        are of different sides in turn, and independent pairs are those of different sides.
    """

    n_train: Count
    label_noise: Share = 0.0
    shared: Share = 1.0
    shift: NotNegative = 0.0
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_kind_of_own_samples(self) -> Task:
        if self.shift and self.shared != 1:
            raise ValueError("shift goes with shared = 1: both sides choose from one pool.")
        return self

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(getattr(self, "classes", 2))

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """n samples."""
        raise NotImplementedError

    def train(self, own: int | None = None, side: int = 1) -> Arrays:
        """The training samples; those that are not shared are a function of the seed `own`, a shift has the sign `side`."""
        rule, *seeds = streams.network_seeds(self.seed, 6).tolist()
        own_seeds = streams.network_seeds(self.seed if own is None else own, 3).tolist()
        if self.shift:
            return self._noisy(*self._one_side(rule, seeds[:2], side), seeds[4])
        common = round(self.shared * self.n_train)
        parts = [
            self._noisy(*self.draw(n, rule, s[:2]), s[2]) for n, s in ((common, [*seeds[:2], seeds[4]]), (self.n_train - common, own_seeds)) if n
        ]
        return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])

    def _one_side(self, rule: int, seeds: list[int], side: int) -> Arrays:
        """n_train of a pool that both sides choose from."""
        x, y = self.draw(4 * self.n_train, rule, seeds)
        standard = (x[:, 0] - x[:, 0].mean()) / x[:, 0].std()
        chance = _uniforms(int(streams.network_seeds(seeds[0], 1)[0]), len(x))
        kept = np.flatnonzero(chance < special.expit(side * self.shift * standard))[: self.n_train]
        if len(kept) < self.n_train:
            raise ValueError(f"shift ({self.shift}) leaves {len(kept)} of {len(x)} samples, fewer than n_train; set n_train higher or shift lower.")
        return x[kept], y[kept]

    def test(self, n: int) -> Arrays:
        """n test samples, labels without noise."""
        rule, *seeds = streams.network_seeds(self.seed, 6).tolist()
        return self.draw(n, rule, seeds[2:4])

    def _noisy(self, x: np.ndarray, y: np.ndarray, seed: int) -> Arrays:
        if not self.label_noise:
            return x, y
        chosen, drawn = _uniforms(seed, 2 * len(y)).reshape(2, -1)
        order = np.argsort(chosen)[: round(self.label_noise * len(y))]
        y = y.copy()
        y[order] = (drawn[order] * self.n_classes).astype(y.dtype)
        return x, y


def _normals(seed: int, n: int, columns: int) -> np.ndarray:
    return streams.gaussian_inputs(np.asarray(seed), 0, n, columns)


def _uniforms(seed: int, n: int) -> np.ndarray:
    return streams.uniforms(streams.GAUSSIAN, np.asarray(seed), 0, n)


def _unit(seed: int, n: int, columns: int) -> np.ndarray:
    """n directions `[n, columns]`, uniform on the sphere."""
    rows = _normals(seed, n, columns)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class GaussianMixtureData(Task):
    """As many classes as said, one Gaussian N(μ_c, I) each, the means uniform on the sphere of radius `separation`."""

    kind: Literal["gaussian_mixture"]
    inputs: Count
    classes: Annotated[int, Field(ge=2)] = 2
    separation: NotNegative = 3.0

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """n samples, the classes in turn."""
        means = _normals(rule, self.classes, self.inputs)
        means *= self.separation / np.linalg.norm(means, axis=1, keepdims=True)
        label = np.arange(n) % self.classes
        return means[label] + _normals(seeds[0], n, self.inputs), label


class SpiralsData(Task):
    """In the plane, one arm a class: radius r = √u with u uniform, angle 2π (turns · r + c/classes), plus noise · N(0, I)."""

    kind: Literal["spirals"]
    classes: Annotated[int, Field(ge=2)] = 2
    turns: NotNegative = 1.0
    noise: NotNegative = 0.02

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """n samples, the classes in turn."""
        label = np.arange(n) % self.classes
        radius = np.sqrt(_uniforms(seeds[1], n))
        angle = 2 * np.pi * (self.turns * radius + label / self.classes)
        arm = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
        return arm + self.noise * _normals(seeds[0], n, 2), label


class CirclesData(Task):
    """In the plane, class c on the circle of radius (c + 1)/classes, plus noise · N(0, I)."""

    kind: Literal["circles"]
    classes: Annotated[int, Field(ge=2)] = 2
    noise: NotNegative = 0.05

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """n samples, the classes in turn."""
        label = np.arange(n) % self.classes
        angle = 2 * np.pi * _uniforms(seeds[1], n)
        circle = np.stack([np.cos(angle), np.sin(angle)], 1) * ((label + 1) / self.classes)[:, None]
        return circle + self.noise * _normals(seeds[0], n, 2), label


class XorData(Task):
    """Four Gaussians N(separation · (±1, ±1), I) in the first two of `inputs` ≥ 2 inputs; the class says whether the two signs differ."""

    kind: Literal["xor"]
    inputs: Annotated[int, Field(ge=2)] = 2
    separation: NotNegative = 3.0

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """n samples, the Gaussians in turn."""
        corner = np.arange(n) % 4
        first, second = corner % 2, corner // 2
        x = _normals(seeds[0], n, self.inputs)
        x[:, :2] += self.separation * (2 * np.stack([first, second], 1) - 1)
        return x, first ^ second


class ParityData(Task):
    """k-sparse parity: x uniform on {−1, 1}^inputs, the class is the parity of the minus signs among the first `relevant` inputs."""

    kind: Literal["parity"]
    inputs: Count
    relevant: Count = 2

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """n samples."""
        minus = _uniforms(seeds[0], n * self.inputs).reshape(n, self.inputs) < 0.5
        return 1.0 - 2.0 * minus, minus[:, : self.relevant].sum(1) % 2

    @model_validator(mode="after")
    def _relevant_inputs_exist(self) -> ParityData:
        if self.relevant > self.inputs:
            raise ValueError(f"relevant must be at most data.inputs ({self.inputs}), not {self.relevant}.")
        return self


class HierarchicalData(Task):
    """Gaussians N(μ, I) at the 2^levels leaves of a binary tree; the class is the branch taken at level `label_level`.

    A branch at level l = 1, 2, … moves the mean by ± separation · ratio^(l − 1) along that node's own random direction: classes that are told
    apart at level 1 are far from each other, at a deeper level each class is a scatter of clusters.
    """

    kind: Literal["hierarchical"]
    inputs: Count
    levels: Annotated[int, Field(ge=1, le=12)] = 3
    label_level: Count = 1
    separation: NotNegative = 4.0
    ratio: NotNegative = 0.7

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """n samples, the leaves in turn."""
        leaf = np.arange(n) % 2**self.levels
        directions = _unit(rule, 2**self.levels - 1, self.inputs)  # node 2^(l−1) − 1 + (the first l − 1 branches) at level l
        x = _normals(seeds[0], n, self.inputs)
        label = np.zeros(n, dtype=np.int64)
        for level in range(1, self.levels + 1):
            above, branch = leaf >> (self.levels - level + 1), (leaf >> (self.levels - level)) & 1
            x += (2 * branch - 1)[:, None] * self.separation * self.ratio ** (level - 1) * directions[2 ** (level - 1) - 1 + above]
            label = branch if level == self.label_level else label
        return x, label

    @model_validator(mode="after")
    def _label_level_exists(self) -> HierarchicalData:
        if self.label_level > self.levels:
            raise ValueError(f"label_level must be at most data.levels ({self.levels}), not {self.label_level}.")
        return self


class HiddenManifoldData(Task):
    """The hidden manifold model (Goldt, Mézard, Krzakala & Zdeborová 2020): x = tanh(F c/√D), c ~ N(0, I_D), D = `latent`, F Gaussian.

    The class is the sign of a two-layer teacher on c, Σ_k v_k tanh(w_k·c/√D) with `teacher_units` Gaussian units and v Gaussian.
    """

    kind: Literal["hidden_manifold"]
    inputs: Count
    latent: Count = 4
    teacher_units: Count = 4

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """n samples."""
        features, teacher, second = streams.network_seeds(rule, 3).tolist()
        c = _normals(seeds[0], n, self.latent) / self.latent**0.5
        x = np.tanh(c @ _normals(features, self.inputs, self.latent).T)
        hidden = np.tanh(c @ _normals(teacher, self.teacher_units, self.latent).T)
        return x, (hidden @ _normals(second, 1, self.teacher_units)[0] > 0).astype(np.int64)


class DynamicSignalData(Task):
    """After Lahoti, Karp, Winston, Singh & Li (2024): `patches` of `patch_inputs` inputs, one of them drawn at random holds ± the signal.

    x = noise · N(0, I), plus ± w in that patch, w a unit vector; the class is the sign. A unit that sees one patch has less noise to carry
    (locality), and a filter that is shared between patches has seen more signals (weight sharing).
    """

    kind: Literal["dynamic_signal"]
    patches: Count
    patch_inputs: Count
    noise: NotNegative = 0.1

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """n samples, the classes in turn."""
        label = np.arange(n) % 2
        patch = (_uniforms(seeds[1], n) * self.patches).astype(np.int64)
        x = self.noise * _normals(seeds[0], n, self.patches * self.patch_inputs).reshape(n, self.patches, self.patch_inputs)
        x[np.arange(n), patch] += (2 * label - 1)[:, None] * _unit(rule, 1, self.patch_inputs)
        return x.reshape(n, -1), label


class RebasinCounterexampleData(Task):
    """Git Re-Basin's counterexample (Ainsworth, Hayase & Srinivasa 2023): x ~ U([−1, 1]²), class 1 where x₁ < 0 and x₂ > 0."""

    kind: Literal["rebasin_counterexample"]

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """n samples."""
        x = 2 * _uniforms(seeds[0], 2 * n).reshape(n, 2) - 1
        return x, ((x[:, 0] < 0) & (x[:, 1] > 0)).astype(np.int64)


class DigitsData(Task):
    """scikit-learn's handwritten digits (Alpaydin & Kaynak 1998): 1,797 images of 8 × 8 pixels, here in [0, 1], ten classes, in random order.

    Training samples are the first n_train, test samples the rest.
    """

    kind: Literal["digits"]
    n_train: Annotated[int, Field(ge=1, le=1700)] = 1000

    @property
    def n_classes(self) -> int:
        """Ten."""
        return 10

    def draw(self, n: int, rule: int, seeds: list[int]) -> Arrays:
        """The first n images."""
        x, y = self._images()
        return x[:n], y[:n]

    def test(self, n: int) -> Arrays:
        """At most n of those that are not trained on."""
        x, y = self._images()
        return x[self.n_train :][:n], y[self.n_train :][:n]

    def _images(self) -> Arrays:
        from sklearn.datasets import load_digits  # half a second, for this task alone

        x, y = load_digits(return_X_y=True)
        order = np.argsort(_uniforms(self.seed, len(y)))
        return x[order] / 16, y[order].astype(np.int64)

    @model_validator(mode="after")
    def _too_few_for_sets_of_their_own(self) -> DigitsData:
        if self.shared != 1 or self.shift:
            raise ValueError("shared and shift are not for digits, of which there are too few for sets of their own.")
        return self


TASKS = (
    GaussianMixtureData,
    SpiralsData,
    CirclesData,
    XorData,
    ParityData,
    HierarchicalData,
    HiddenManifoldData,
    DynamicSignalData,
    RebasinCounterexampleData,
    DigitsData,
)
