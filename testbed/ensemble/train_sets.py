"""The training samples of a launch while it is planned, numbered as they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernels import streams
from testbed.data.datasets import Dataset, train_samples
from testbed.data.families import DataSpec
from testbed.data.sampling import Sampled


@dataclass(frozen=True)
class Numbering:
    """How the networks of a cell number their training sets: one for each side, or one for each network.

    plus, minus: that of the first network of either side; step: 1 where every network has its own, else 0.
    """

    plus: int
    minus: int
    step: int = 0

    def of(self, place: np.ndarray, side: np.ndarray) -> np.ndarray:
        """The number of the training set of each network, by its place in the cell and its side, int64 `[n]`.

        >>> Numbering(4, 5).of(np.array([0, 1, 2]), np.array([1, -1, 1]))
        array([4, 5, 4])
        """
        return np.where(side > 0, self.plus, self.minus) + self.step * place


class TrainSets:
    """Training sets of one launch: x `[n, n_inputs]` and y each, in the order in which cells asked for them."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._parts: list[tuple[Tensor, Tensor]] = []
        self._count = 0
        self._known: dict[tuple[int, ...], int] = {}  # by data set, and side or the seed and number of networks

    def numbering(self, spec: DataSpec, dataset: int, data: Dataset, own: int, n: int) -> Numbering:
        """How n networks of a cell number their sets; sets that are new are added.

        spec: the family that the samples are drawn from. dataset: the number of `data` in the launch. own: the seed
        that networks' own samples derive from.
        """
        if data.train is None:
            return Numbering(0, 0)
        if isinstance(spec, Sampled) and spec.shared < 1:
            key = dataset, own, n
            if key not in self._known:
                self._known[key] = self._add(train_samples(spec, self._dtype, streams.network_seeds(own, n)))
            return Numbering(self._known[key], self._known[key], step=1)
        plus = self._of_side(dataset, 1, data.train)
        if not isinstance(spec, Sampled) or not spec.shift:
            return Numbering(plus, plus)
        if (dataset, -1) not in self._known:
            self._of_side(dataset, -1, train_samples(spec, self._dtype, side=-1))
        return Numbering(plus, self._known[dataset, -1])

    def joined(self) -> tuple[Tensor, Tensor] | None:
        """All sets in the order of their numbers, x `[n_sets, n, n_inputs]` and y; None without any."""
        if not self._parts:
            return None
        return torch.cat([x for x, _ in self._parts]), torch.cat([y for _, y in self._parts])

    def _of_side(self, dataset: int, side: int, samples: tuple[Tensor, Tensor]) -> int:
        """The number of the set of one side of a data set; it is added if it is new."""
        if (dataset, side) not in self._known:
            x, y = samples
            self._known[dataset, side] = self._add((x[None], y[None]))
        return self._known[dataset, side]

    def _add(self, sets: tuple[Tensor, Tensor]) -> int:
        """Number of the first of these sets."""
        first = self._count
        self._parts.append(sets)
        self._count += len(sets[0])
        return first
