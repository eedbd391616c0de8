"""The training samples of a launch while it is planned, numbered as they come."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from torch import Tensor

from testbed.data.datasets import Dataset, train_samples
from testbed.data.families import DataSpec
from testbed.data.sampling import Sampled


class TrainSets:
    """Training sets of one launch: x `[n, n_inputs]` and y each, in the order in which networks asked for them."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._parts: list[tuple[Tensor, Tensor]] = []
        self._count = 0
        self._known: dict[tuple[int, int | bytes], int] = {}  # by data set, and side or the networks' own seeds

    def numbers(self, networks: pl.DataFrame, spec: DataSpec, dataset: int, data: Dataset) -> np.ndarray:
        """The number of each network's training set, `[n]`; sets that are new are added.

        spec: the family that the samples are drawn from. dataset: the number of `data` in the launch.
        """
        n = len(networks)
        if data.train is None:
            return np.zeros(n, np.int64)
        if isinstance(spec, Sampled) and spec.shared < 1:
            own_seeds = networks["own_seed"].to_numpy()
            key = dataset, own_seeds.tobytes()
            if key not in self._known:
                self._known[key] = self._add(train_samples(spec, self._dtype, own_seeds))
            return self._known[key] + np.arange(n)
        plus = self._of_side(dataset, 1, data.train)
        if not isinstance(spec, Sampled) or not spec.shift:
            return np.full(n, plus)
        if (dataset, -1) not in self._known:
            self._of_side(dataset, -1, train_samples(spec, self._dtype, side=-1))
        minus = self._known[dataset, -1]
        return np.where(networks["side"].to_numpy() > 0, plus, minus)

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
