"""Classification tasks, and those of simple geometry: each draws its own samples and has a dial from easy to hard.

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


def labelled(x: np.ndarray, label: np.ndarray) -> Arrays:
    """The same labels for every set of samples.

    >>> labelled(np.zeros((3, 4, 2)), np.array([0, 1, 0, 1]))[1].shape
    (3, 4)
    """
    return x, np.broadcast_to(label, x.shape[:-1])


def unit_vectors(seed: int, n: int, columns: int) -> np.ndarray:
    """n directions `[n, columns]`, uniform on the sphere.

    >>> np.linalg.norm(unit_vectors(0, 3, 5), axis=1).round(9).tolist()
    [1.0, 1.0, 1.0]
    """
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
        return labelled(means[label] + normals(seeds[0], n, self.inputs), label)


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
        return labelled(arm + self.noise * normals(seeds[0], n, 2), label)


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
        return labelled(circle + self.noise * normals(seeds[0], n, 2), label)


class MoonsData(Task):
    """In the plane, two half circles of radius 1 that reach into each other, (cos θ, sin θ) and (1 − cos θ, ½ − sin θ).

    θ uniform in [0, π]; plus noise · N(0, I). scikit-learn's make_moons, at random angles.
    """

    kind: Literal["moons"]
    noise: NotNegative = 0.1

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples, the moons in turn.

        >>> x, y = MoonsData(kind="moons", n_train=4).train()
        >>> x.shape, y.tolist()
        ((4, 2), [0, 1, 0, 1])
        """
        label = np.arange(n) % 2
        angle = np.pi * uniforms(seeds[1], n)
        upper = np.stack([np.cos(angle), np.sin(angle)], -1)
        moon = np.where(label[:, None] == 0, upper, np.array([1.0, 0.5]) - upper)
        return labelled(moon + self.noise * normals(seeds[0], n, 2), label)


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
        return labelled(x, first ^ second)


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
