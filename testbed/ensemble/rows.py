"""The rows of a plan: networks and pairs of one cell, made when they are asked for.

Every number of a network is a function of its place in its cell, and of the cell's seeds. So a plan holds nothing for a
network, and for a pair which two networks it joins; a million of each with all their columns take a quarter of a
gigabyte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl

from kernels import streams
from testbed.data.sampling import Sampled
from testbed.ensemble import pairs
from testbed.ensemble.train_sets import Numbering
from testbed.study import Study

Column: TypeAlias = "np.ndarray | pl.Series | int | str"
OF_ALL = {int: pl.Int64, str: pl.String}  # a column that holds one thing, by its type


@dataclass(frozen=True, eq=False)
class CellRows:
    """The networks and pairs of one cell.

    cell, launch, dataset: its numbers. roots: the seeds that everything random in it derives from. first_network and
    first_family: those of the training that it measures, which n_turns cells measure; turn: its place among these.
    spawn_step: in updates. train_sets: how its networks' training sets are numbered. first_pair: the number of its
    first pair; ends: whole numbers `[n_pairs, 2]`, the places of the networks that a pair joins; kinds: how many pairs
    of each kind there are, one kind after the other.
    """

    study: Study
    cell: int
    launch: int
    dataset: int
    roots: dict[str, int]
    first_network: int
    first_family: int
    turn: int
    n_turns: int
    spawn_step: int
    train_sets: Numbering
    first_pair: int
    ends: np.ndarray
    kinds: dict[str, int]

    @property
    def n_networks(self) -> int:
        """How many networks the cell has."""
        return self.study.ensemble.n_networks

    def networks(self, place: np.ndarray) -> pl.DataFrame:
        """One row for each of these networks of the cell, by their places in it, int64 `[n]` from 0."""
        ensemble = self.study.ensemble
        family, sibling = np.divmod(place, ensemble.siblings)
        one_mask = {"own": place, "family": family, "shared": np.zeros_like(place)}[self.study.architecture.mask]
        own: dict[str, Column] = {} if ensemble.start is None else {"given": family}
        return _table(
            {
                "network": self._network(place),
                "cell": self.cell,
                "launch": self.launch,
                "dataset": self.dataset,
                "family": self.first_family + family,
                "sibling": sibling,
                "init_seed": self._seeds("init", family),
                "data_seed": self._seeds("data", family),
                "spawn_seed": self._seeds("spawn", place),
                "spawn_step": self.spawn_step,
                "mask_seed": self._seeds("mask", one_mask),
                "frozen_seed": self.roots["frozen"],
                "own_seed": self._seeds("own", place),
                "side": side(self.study, place),
                **own,
                "train_set": self._train_set(place),
            }
        )

    def pairs(self, place: np.ndarray) -> pl.DataFrame:
        """One row for each of these pairs of the cell, by their places in it, int64 `[n]` from 0."""
        ends = dict(zip("ab", self.ends[place].astype(np.int64).T, strict=True))
        siblings = self.study.ensemble.siblings
        return _table(
            {
                "pair": self.first_pair + place,
                "cell": self.cell,
                "launch": self.launch,
                "dataset": self.dataset,
                "kind": self._kind(place),
                **{f"network_{end}": self._network(network) for end, network in ends.items()},
                **{f"family_{end}": self.first_family + network // siblings for end, network in ends.items()},
                **{f"train_set_{end}": self._train_set(network) for end, network in ends.items()},
                "test_seed": self._seeds("test", place),
            }
        )

    def _network(self, place: np.ndarray) -> np.ndarray:
        """Numbers of networks: those of cells that measure one training take turns."""
        return self.first_network + self.n_turns * place + self.turn

    def _train_set(self, place: np.ndarray) -> np.ndarray:
        return self.train_sets.of(place, side(self.study, place))

    def _seeds(self, purpose: str, numbers: np.ndarray) -> np.ndarray:
        return streams.numbered_seeds(self.roots[purpose], numbers)

    def _kind(self, place: np.ndarray) -> str | pl.Series:
        names = list(self.kinds)
        if len(names) == 1:
            return names[0]
        last = np.cumsum(list(self.kinds.values()))
        return pl.Series(names, dtype=pl.String).gather(np.searchsorted(last, place, side="right"))


def side(study: Study, place: np.ndarray) -> np.ndarray:
    """1 or −1 for each of these networks of a cell: under a covariate shift, the side that its samples are from."""
    family, sibling = np.divmod(place, study.ensemble.siblings)
    return 1 - 2 * ((family + sibling) % 2)


def joined_by_pairs(study: Study, seed: int) -> tuple[np.ndarray, dict[str, int]]:
    """The places of the networks that the pairs of a cell join, `[n_pairs, 2]`, and how many there are of each kind."""
    ensemble = study.ensemble
    parts = {
        "independent": _independent(study, seed),
        "siblings": pairs.sibling_pairs(ensemble.families, ensemble.siblings),
    }
    asked = {kind: part for kind, part in parts.items() if kind in ensemble.pairs}
    narrow = np.min_scalar_type(ensemble.n_networks)
    ends = np.concatenate([part.astype(narrow) for part in asked.values()])
    return ends, {kind: len(part) for kind, part in asked.items()}


def _independent(study: Study, seed: int) -> np.ndarray:
    """The independent pairs of a cell, `[n, 2]` rows of its networks; under a shift those of different sides alone."""
    ensemble = study.ensemble
    if not isinstance(study.data, Sampled) or not study.data.shift:
        return pairs.independent_pairs(ensemble.families, ensemble.siblings, ensemble.n_independent, seed)
    possible = pairs.independent_pairs(ensemble.families, ensemble.siblings, ensemble.n_possible, seed)
    side_a, side_b = side(study, possible).T
    apart = possible[side_a != side_b]
    chosen = np.random.default_rng(seed).permutation(len(apart))[: ensemble.n_independent]
    return apart[np.sort(chosen)]


def _table(columns: dict[str, Column]) -> pl.DataFrame:
    """A table of these columns; one number or word is that of all rows, and takes no memory for each."""
    arrays = {name: column for name, column in columns.items() if not isinstance(column, int | str)}
    constants = {name: column for name, column in columns.items() if name not in arrays}
    literals = {name: pl.lit(value, dtype=OF_ALL[type(value)]) for name, value in constants.items()}
    return pl.DataFrame(arrays).with_columns(**literals).select(list(columns))
