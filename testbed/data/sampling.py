"""How training samples are drawn: in common, each network's own, or those of one side of a covariate shift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pydantic import model_validator

from kernels import streams
from testbed.section import Count, NotNegative, Section, Seed, Share

Arrays: TypeAlias = tuple[np.ndarray, np.ndarray]
Seeds: TypeAlias = Sequence[int | np.ndarray]
POOL = 4  # times n_train samples, from which the sides of a shift choose


class Sampled(Section):
    """Data whose samples are drawn from a distribution.

    n_train: training samples of a network.
    shared: share of the training samples that all networks have in common; the rest each network draws for itself
        (0: disjoint sets).
    shift: covariate shift between the ends of a pair. Networks of either side keep a training sample with probability
        1/(1 + exp(∓shift · s)), s its first input, standardised, so that p(y|x) is the same for both (0: none; large:
        each sees one half of the inputs). Siblings are of different sides in turn, and independent pairs are those of
        different sides.
    """

    if TYPE_CHECKING:  # each family has a name of its own, in the place that its fields give it
        kind: str
    n_train: Count | None = None
    shared: Share = 1.0
    shift: NotNegative = 0.0
    seed: Seed = 0

    @model_validator(mode="after")
    def _one_kind_of_own_samples(self) -> Sampled:
        if self.shift and self.shared != 1:
            raise ValueError("shift goes with shared = 1: both sides choose from one pool.")
        return self

    @property
    def n_inputs(self) -> int:
        """Number of inputs: the field `inputs`, or those of the plane."""
        return int(getattr(self, "inputs", 2))

    @property
    def n_outputs(self) -> int:
        """Number of outputs, or of classes."""
        return int(getattr(self, "outputs", getattr(self, "n_classes", 1)))

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n samples x `[…, n, n_inputs]` and y `[…, n, …]` for each of the seeds `[…]`.

        What is to be learnt is a function of `rule` alone, the samples of `seeds`.
        """
        raise NotImplementedError

    def noisy(self, x: np.ndarray, y: np.ndarray, seed: np.ndarray) -> Arrays:
        """Samples with the noise of training labels."""
        return x, y

    def train(self, own: np.ndarray | None = None, side: int = 1) -> Arrays:
        """The training samples x `[…, n_train, n_inputs]` and y, a set for each of the seeds `own` `[…]`.

        One set without `own`. Samples that are not shared are a function of their seed; a shift has the sign `side`.
        ValueError if a shift leaves too few.
        """
        assert self.n_train is not None
        rule, *seeds = streams.network_seeds(self.seed, 6).tolist()
        if self.shift:
            return self.noisy(*self._one_side(rule, seeds[:2], side), seeds[4])
        own_seeds = streams.derived_seeds(np.asarray(self.seed if own is None else own), 3)
        sets = own_seeds.shape[:-1]
        n_common = round(self.shared * self.n_train)
        n_own = self.n_train - n_common
        parts = []
        if n_common:
            common = self.noisy(*self.draw(n_common, rule, seeds[:2]), seeds[4])
            parts.append(tuple(np.broadcast_to(part, (*sets, *part.shape)) for part in common))
        if n_own:
            drawn = self.draw(n_own, rule, [own_seeds[..., 0], own_seeds[..., 1]])
            parts.append(self.noisy(*drawn, own_seeds[..., 2]))
        sample_axis = len(sets)
        return np.concatenate([x for x, _ in parts], sample_axis), np.concatenate([y for _, y in parts], sample_axis)

    def _one_side(self, rule: int, seeds: list[int], side: int) -> Arrays:
        """n_train samples that one side keeps, of a pool that both sides choose from."""
        from scipy import special

        assert self.n_train is not None
        x, y = self.draw(POOL * self.n_train, rule, seeds)
        standardised = (x[:, 0] - x[:, 0].mean()) / x[:, 0].std()
        uniform = uniforms(int(streams.network_seeds(seeds[0], 1)[0]), len(x))
        kept = np.flatnonzero(uniform < special.expit(side * self.shift * standardised))[: self.n_train]
        if len(kept) < self.n_train:
            raise ValueError(
                f"shift ({self.shift}) leaves {len(kept)} of {len(x)} samples, fewer than n_train; "
                "set n_train higher or shift lower."
            )
        return x[kept], y[kept]


def normals(seed: int | np.ndarray, n: int, columns: int) -> np.ndarray:
    """Standard normals `[…seed, n, columns]`.

    >>> normals(3, 5, 2).shape, normals(np.array([3, 4]), 5, 2).shape
    ((5, 2), (2, 5, 2))
    """
    return streams.gaussian_inputs(np.asarray(seed), 0, n, columns)


def uniforms(seed: int | np.ndarray, n: int) -> np.ndarray:
    """Uniform numbers in (0, 1), `[…seed, n]`.

    >>> uniforms(3, 5).shape
    (5,)
    """
    return streams.uniforms(streams.GAUSSIAN, np.asarray(seed), 0, n)
