"""Tasks whose inputs have a structure: a tree of clusters, a hidden manifold, a signal in one of several patches."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from kernels import streams
from testbed.data.sampling import Arrays, Seeds, normals, uniforms
from testbed.data.tasks import Task, labelled, unit_vectors
from testbed.section import Count, NotNegative


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
        directions = unit_vectors(rule, 2**self.levels - 1, self.inputs)
        x = normals(seeds[0], n, self.inputs)
        label = np.zeros(n, dtype=np.int64)
        for level in range(1, self.levels + 1):
            branches_before = leaf >> (self.levels - level + 1)
            branch = (leaf >> (self.levels - level)) & 1
            node = 2 ** (level - 1) - 1 + branches_before
            sign = (2 * branch - 1)[:, None]
            x += sign * self.separation * self.ratio ** (level - 1) * directions[node]
            label = branch if level == self.label_level else label
        return labelled(x, label)

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

    @property
    def n_inputs(self) -> int:
        """Those of all patches."""
        return self.patches * self.patch_inputs

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
        signal = unit_vectors(rule, 1, self.patch_inputs)[0]
        x += sign[..., None] * signal
        return labelled(x.reshape(*patch.shape, -1), label)
