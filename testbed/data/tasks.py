"""Classification tasks: each knows its numbers and how to draw samples, and has a dial from easy to hard.

`draw(n, rule, seeds)` returns x float64 `[…, n, n_inputs]` and classes `[…, n]`. The task itself (means, directions,
hidden networks) is a function of the seed `rule`; the samples are one of `seeds`: two of them, whole numbers or arrays
`[…]`, a set of samples for each.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from kernels import streams
from testbed.data.sampling import Arrays, Sampled, Seeds, normals, uniforms
from testbed.section import Count, NotNegative, Share


class Task(Sampled):
    """What all tasks have, besides `Sampled`.

    label_noise: share of the training labels that are drawn anew, uniformly over the classes (1: they are random).
    """

    n_train: Count
    label_noise: Share = 0.0

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(getattr(self, "classes", 2))

    def test(self, n: int) -> Arrays:
        """n test samples, labels without noise."""
        rule, *seeds = streams.network_seeds(self.seed, 6).tolist()
        return self.draw(n, rule, seeds[2:4])

    def noisy(self, x: np.ndarray, y: np.ndarray, seed: np.ndarray) -> Arrays:
        """The samples with the labels' noise, of as many seeds as there are sets of samples."""
        n = y.shape[-1]
        n_noisy = round(self.label_noise * n)
        if not n_noisy:
            return x, y
        uniform = uniforms(seed, 2 * n).reshape(*np.shape(seed), 2, n)
        ranks, labels = np.moveaxis(uniform, -2, 0)
        noisy = np.argsort(ranks, axis=-1)[..., :n_noisy]
        drawn = np.take_along_axis(labels, noisy, -1) * self.n_classes
        y = y.copy()
        np.put_along_axis(y, noisy, drawn.astype(y.dtype), -1)
        return x, y


def _labelled(x: np.ndarray, label: np.ndarray) -> Arrays:
    """The same labels for every set of samples."""
    return x, np.broadcast_to(label, x.shape[:-1])


def _unit(seed: int, n: int, columns: int) -> np.ndarray:
    """n directions `[n, columns]`, uniform on the sphere."""
    rows = normals(seed, n, columns)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class GaussianMixtureData(Task):
    """One Gaussian N(μ_c, I) for each of the classes, the means uniform on the sphere of radius `separation`."""

    kind: Literal["gaussian_mixture"]
    inputs: Count
    classes: Annotated[int, Field(ge=2)] = 2
    separation: NotNegative = 3.0

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples, the classes in turn.

        >>> x, y = GaussianMixtureData(kind="gaussian_mixture", inputs=4, classes=3, n_train=6).train()
        >>> x.shape, y.tolist()
        ((6, 4), [0, 1, 2, 0, 1, 2])
        """
        means = normals(rule, self.classes, self.inputs)
        means *= self.separation / np.linalg.norm(means, axis=1, keepdims=True)
        label = np.arange(n) % self.classes
        return _labelled(means[label] + normals(seeds[0], n, self.inputs), label)


class SpiralsData(Task):
    """In the plane, one arm for each class c: radius r = √u, u uniform, angle 2π (turns · r + c/classes).

    Plus noise · N(0, I).
    """

    kind: Literal["spirals"]
    classes: Annotated[int, Field(ge=2)] = 2
    turns: NotNegative = 1.0
    noise: NotNegative = 0.02

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples, the classes in turn.

        >>> x, y = SpiralsData(kind="spirals", n_train=4).train()
        >>> x.shape, y.tolist()
        ((4, 2), [0, 1, 0, 1])
        """
        label = np.arange(n) % self.classes
        radius = np.sqrt(uniforms(seeds[1], n))
        angle = 2 * np.pi * (self.turns * radius + label / self.classes)
        arm = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
        return _labelled(arm + self.noise * normals(seeds[0], n, 2), label)


class CirclesData(Task):
    """In the plane, class c on the circle of radius (c + 1)/classes, plus noise · N(0, I)."""

    kind: Literal["circles"]
    classes: Annotated[int, Field(ge=2)] = 2
    noise: NotNegative = 0.05

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples, the classes in turn.

        >>> x, y = CirclesData(kind="circles", n_train=4).train()
        >>> x.shape, y.tolist()
        ((4, 2), [0, 1, 0, 1])
        """
        label = np.arange(n) % self.classes
        angle = 2 * np.pi * uniforms(seeds[1], n)
        circle = np.stack([np.cos(angle), np.sin(angle)], -1) * ((label + 1) / self.classes)[:, None]
        return _labelled(circle + self.noise * normals(seeds[0], n, 2), label)


class XorData(Task):
    """Four Gaussians N(separation · (±1, ±1), I) in the first two of `inputs` ≥ 2 inputs.

    The class says whether the two signs differ.
    """

    kind: Literal["xor"]
    inputs: Annotated[int, Field(ge=2)] = 2
    separation: NotNegative = 3.0

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples, the Gaussians in turn.

        >>> x, y = XorData(kind="xor", inputs=3, n_train=4).train()
        >>> x.shape, y.tolist()
        ((4, 3), [0, 1, 1, 0])
        """
        corner = np.arange(n) % 4
        first, second = corner % 2, corner // 2
        x = normals(seeds[0], n, self.inputs)
        x[..., :2] += self.separation * (2 * np.stack([first, second], 1) - 1)
        return _labelled(x, first ^ second)


class ParityData(Task):
    """Sparse parity: x uniform on {−1, 1}^inputs, the class is the parity of minus signs among the first `relevant`."""

    kind: Literal["parity"]
    inputs: Count
    relevant: Count = 2

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples.

        >>> x, y = ParityData(kind="parity", inputs=5, n_train=6).train()
        >>> x.shape, y.shape
        ((6, 5), (6,))
        """
        minus = uniforms(seeds[0], n * self.inputs).reshape(*np.shape(seeds[0]), n, self.inputs) < 0.5
        return 1.0 - 2.0 * minus, minus[..., : self.relevant].sum(-1) % 2

    @model_validator(mode="after")
    def _relevant_inputs_exist(self) -> ParityData:
        if self.relevant > self.inputs:
            raise ValueError(f"relevant must be at most data.inputs ({self.inputs}), not {self.relevant}.")
        return self


class HierarchicalData(Task):
    """Gaussians N(μ, I) at the 2^levels leaves of a binary tree; the class is the branch taken at level `label_level`.

    A branch at level l = 1, 2, … moves the mean by ± separation · ratio^(l − 1) along that node's own random direction:
    classes that are told apart at level 1 are far from each other, at a deeper level each class is a scatter of
    clusters.
    """

    kind: Literal["hierarchical"]
    inputs: Count
    levels: Annotated[int, Field(ge=1, le=12)] = 3
    label_level: Count = 1
    separation: NotNegative = 4.0
    ratio: NotNegative = 0.7

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples, the leaves in turn.

        >>> x, y = HierarchicalData(kind="hierarchical", inputs=8, levels=2, n_train=4).train()
        >>> x.shape, y.tolist()
        ((4, 8), [0, 0, 1, 1])
        """
        leaf = np.arange(n) % 2**self.levels
        directions = _unit(rule, 2**self.levels - 1, self.inputs)
        x = normals(seeds[0], n, self.inputs)
        label = np.zeros(n, dtype=np.int64)
        for level in range(1, self.levels + 1):
            branches_before = leaf >> (self.levels - level + 1)
            branch = (leaf >> (self.levels - level)) & 1
            node = 2 ** (level - 1) - 1 + branches_before
            sign = (2 * branch - 1)[:, None]
            x += sign * self.separation * self.ratio ** (level - 1) * directions[node]
            label = branch if level == self.label_level else label
        return _labelled(x, label)

    @model_validator(mode="after")
    def _label_level_exists(self) -> HierarchicalData:
        if self.label_level > self.levels:
            raise ValueError(f"label_level must be at most data.levels ({self.levels}), not {self.label_level}.")
        return self


class HiddenManifoldData(Task):
    """The hidden manifold model (Goldt, Mézard, Krzakala & Zdeborová 2020).

    x = tanh(F c/√D), c ~ N(0, I_D), D = `latent`, F Gaussian. The class is the sign of a two-layer teacher on c,
    Σ_k v_k tanh(w_k·c/√D) with `teacher_units` Gaussian units and v Gaussian.
    """

    kind: Literal["hidden_manifold"]
    inputs: Count
    latent: Count = 4
    teacher_units: Count = 4

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples.

        >>> x, y = HiddenManifoldData(kind="hidden_manifold", inputs=12, n_train=4).train()
        >>> x.shape, y.shape
        ((4, 12), (4,))
        """
        features, teacher, second = streams.network_seeds(rule, 3).tolist()
        c = normals(seeds[0], n, self.latent) / self.latent**0.5
        x = np.tanh(c @ normals(features, self.inputs, self.latent).T)
        hidden = np.tanh(c @ normals(teacher, self.teacher_units, self.latent).T)
        return x, (hidden @ normals(second, 1, self.teacher_units)[0] > 0).astype(np.int64)


class DynamicSignalData(Task):
    """A signal in one of several patches (after Lahoti, Karp, Winston, Singh & Li 2024).

    There are `patches` of `patch_inputs` inputs; one of them, drawn at random, holds ± the signal: x = noise · N(0, I),
    plus ± w in that patch, w a unit vector; the class is the sign. A unit that sees one patch has less noise to carry
    (locality), and a filter that is shared between patches has seen more signals (weight sharing).
    """

    kind: Literal["dynamic_signal"]
    patches: Count
    patch_inputs: Count
    noise: NotNegative = 0.1

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples, the classes in turn.

        >>> x, y = DynamicSignalData(kind="dynamic_signal", patches=3, patch_inputs=2, n_train=4).train()
        >>> x.shape, y.tolist()
        ((4, 6), [0, 1, 0, 1])
        """
        label = np.arange(n) % 2
        patch = (uniforms(seeds[1], n) * self.patches).astype(np.int64)
        noise = self.noise * normals(seeds[0], n, self.patches * self.patch_inputs)
        x = noise.reshape(*patch.shape, self.patches, self.patch_inputs)
        sign = (2 * label - 1)[:, None] * (patch[..., None] == np.arange(self.patches))
        signal = _unit(rule, 1, self.patch_inputs)[0]
        x += sign[..., None] * signal
        return _labelled(x.reshape(*patch.shape, -1), label)


class RebasinCounterexampleData(Task):
    """Git Re-Basin's counterexample (Ainsworth et al. 2023): x ~ U([−1, 1]²), class 1 where x₁ < 0 and x₂ > 0."""

    kind: Literal["rebasin_counterexample"]

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples.

        >>> x, y = RebasinCounterexampleData(kind="rebasin_counterexample", n_train=4).train()
        >>> x.shape, y.shape
        ((4, 2), (4,))
        """
        x = 2 * uniforms(seeds[0], 2 * n).reshape(*np.shape(seeds[0]), n, 2) - 1
        return x, ((x[..., 0] < 0) & (x[..., 1] > 0)).astype(np.int64)


class DigitsData(Task):
    """scikit-learn's handwritten digits (Alpaydin & Kaynak 1998): 1,797 images of 8 × 8 pixels, here in [0, 1].

    Ten classes, in random order. Training samples are the first n_train, test samples the rest.
    """

    kind: Literal["digits"]
    n_train: Annotated[int, Field(ge=1, le=1700)] = 1000

    @property
    def n_classes(self) -> int:
        """Ten."""
        return 10

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """The first n images.

        >>> x, y = DigitsData(kind="digits", n_train=4).train()
        >>> x.shape, y.shape
        ((4, 64), (4,))
        """
        x, y = self._images()
        return x[:n], y[:n]

    def test(self, n: int) -> Arrays:
        """At most n of those that are not trained on."""
        x, y = self._images()
        return x[self.n_train :][:n], y[self.n_train :][:n]

    def _images(self) -> Arrays:
        from sklearn.datasets import load_digits  # half a second, for this task alone

        x, y = load_digits(return_X_y=True)
        order = np.argsort(uniforms(self.seed, len(y)))
        return x[order] / 16, y[order].astype(np.int64)

    @model_validator(mode="after")
    def _too_few_for_sets_of_their_own(self) -> DigitsData:
        if self.shared != 1 or self.shift:
            raise ValueError("shared and shift are not for digits, of which there are too few for sets of their own.")
        return self
