"""The plan of a study: every network and every pair, with their seeds, before anything runs.

Cells that share shapes and static settings form a launch: one call of `kernels.train`, in which learning rate,
momentum, weight decay, data set, spawn step and seeds are arrays over networks. All seeds derive from the study's
through `kernels.streams`, cell by cell, so that a cell's networks do not depend on how large the other cells are.
Cells that differ in `training.snapshot` alone are one training: their networks have the same seeds and families, and
numbers next to each other, so that they are trained once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from torch import Tensor

import kernels
from kernels import streams
from testbed import given_networks
from testbed.data import datasets
from testbed.data.datasets import Dataset
from testbed.data.sampling import Sampled
from testbed.ensemble import bounds, pairs
from testbed.ensemble.launch import Launch
from testbed.ensemble.same_training import built, launch_key, training_key
from testbed.ensemble.train_sets import TrainSets
from testbed.errors import StudyError
from testbed.study import Study
from testbed.study.levels import levels
from testbed.study.study import Cell

OF_ALL = {int: pl.Int64, str: pl.String}  # a column that holds one thing, by its type


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that will run: launches, which have a row for each network and pair, and the factors of each cell."""

    study: Study
    launches: tuple[Launch, ...]
    cells: pl.DataFrame

    @property
    def n_networks(self) -> int:
        """Networks of all launches."""
        return sum(len(launch.networks) for launch in self.launches)

    @property
    def n_pairs(self) -> int:
        """Pairs of all launches."""
        return sum(len(launch.pairs) for launch in self.launches)


@dataclass(eq=False)
class _Draft:
    """A launch while it is planned: its number, its cells, the data sets that they name, and their training samples;
    and the networks and pairs of each cell.
    """

    index: int
    study: Study
    train_sets: TrainSets
    cells: dict[int, Study] = field(default_factory=dict)
    data: dict[str, Dataset] = field(default_factory=dict)
    networks: list[pl.DataFrame] = field(default_factory=list)
    pairs: list[pl.DataFrame] = field(default_factory=list)

    def dataset(self, study: Study) -> tuple[int, Dataset]:
        """The number and the samples of a cell's data set; made if it is new."""
        key = json.dumps(study.resolved()["data"])
        if key not in self.data:
            self.data[key] = datasets.make(
                study.hashed_data,
                loss=study.training.loss,
                n_test=study.measure.test_samples,
                dtype=study.training.torch_dtype,
            )
        return list(self.data).index(key), self.data[key]

    def launch(self) -> Launch:
        """The launch, with its networks in the order of their numbers."""
        data = tuple(self.data.values())
        _check_batch(self.study, data[0])
        architecture = built(self.study, data[0].n_inputs, data[0].n_outputs)
        return Launch(
            self.index,
            self.study,
            self.cells,
            architecture,
            data,
            self.train_sets.joined(),
            _in_order(pl.concat(self.networks)).with_columns(row=pl.int_range(pl.len())),
            pl.concat(self.pairs),
            _given(self.study, max(cell.ensemble.families for cell in self.cells.values()), architecture),
        )


def plan(study: Study) -> Plan:
    """The launches, networks and pairs of a study.

    StudyError if a data file or a combination of cells cannot be used, or needs more memory than there is.

    >>> made = plan(Study.load("teacher_student", quick=True))
    >>> len(made.launches), made.n_networks, made.n_pairs
    (6, 288, 696)
    """
    cells = study.cells()
    bounds.check_memory([cell.study for cell in cells])
    drafts: dict[str, _Draft] = {}
    n_pairs = 0
    first = _Numbers()
    trainings = _trainings(cells)
    for cell in cells:
        key = launch_key(cell.study)
        if key not in drafts:
            drafts[key] = _Draft(len(drafts), cell.study, TrainSets(cell.study.training.torch_dtype))
        draft = drafts[key]
        draft.cells[cell.index] = cell.study
        dataset, data = draft.dataset(cell.study)
        training = trainings[cell.index]
        if training.first is None:
            training.first = first
            first = first.after(cell.study, len(training.cells))
        place = _Place(cell.index, draft.index, dataset)
        roots = _roots(study.seed, min(training.cells))
        table = _networks(cell.study, place, roots, training, data.n_inputs)
        train_set = draft.train_sets.numbers(table, cell.study.data, dataset, data)
        draft.networks.append(table.with_columns(train_set=pl.Series(train_set, dtype=pl.Int64)))
        draft.pairs.append(_pairs(cell.study, place, roots, n_pairs, draft.networks[-1]))
        n_pairs += len(draft.pairs[-1])
    launches = tuple(draft.launch() for draft in drafts.values())
    return Plan(study, launches, _cells(study, cells))


def _in_order(networks: pl.DataFrame) -> pl.DataFrame:
    """Networks by their numbers; those of cells that measure one training take turns."""
    return networks if networks["network"].is_sorted() else networks.sort("network")


@dataclass(frozen=True)
class _Numbers:
    """The first network and family of a training."""

    network: int = 0
    family: int = 0

    def after(self, study: Study, n_cells: int) -> _Numbers:
        """Those of the training that follows one that so many cells of this study measure."""
        ensemble = study.ensemble
        return _Numbers(self.network + n_cells * ensemble.n_networks, self.family + ensemble.families)


@dataclass(eq=False)
class _Training:
    """The cells, by number, that measure one training, in the order of their snapshots; and its first numbers."""

    cells: list[int]
    first: _Numbers | None = None


@dataclass(frozen=True)
class _Place:
    """The numbers of a cell, of its launch, and of its data set within the launch."""

    cell: int
    launch: int
    dataset: int


def _given(study: Study, families: int, architecture: kernels.Architecture) -> Tensor | None:
    """The networks that the families of a launch start from, `[n_given, n_parameters]`; None: they are drawn."""
    files = study.ensemble.start
    if files is None:
        return None
    params = given_networks.read(given_networks.found(files, Path()), study.files or {}, architecture)
    if families > len(params):
        raise StudyError(f"ensemble.families ({families}) must be at most the {len(params)} networks of ensemble.from.")
    return params


def _trainings(cells: list[Cell]) -> list[_Training]:
    """The training of each cell, in their order."""
    together: dict[str, list[Cell]] = {}
    keys: list[str] = []
    for cell in cells:
        keys.append(training_key(cell.study))
        together.setdefault(keys[-1], []).append(cell)
    trainings = {
        key: _Training([cell.index for cell in sorted(some, key=lambda cell: cell.study.training.measured_at)])
        for key, some in together.items()
    }
    return [trainings[key] for key in keys]


def _roots(seed: int, cell: int) -> dict[str, int]:
    """The seeds that everything random in a cell derives from."""
    root = streams.network_seeds(seed, 1, first=cell)[0]
    names = ("init", "data", "spawn", "test", "pairs", "mask", "frozen", "own")
    return dict(zip(names, streams.network_seeds(root, len(names)).tolist(), strict=True))


def _networks(study: Study, place: _Place, roots: dict[str, int], training: _Training, n_inputs: int) -> pl.DataFrame:
    """One row a network of a cell."""
    assert training.first is not None
    n_cells = len(training.cells)
    ensemble = study.ensemble
    n = ensemble.n_networks
    family, sibling = np.divmod(np.arange(n), ensemble.siblings)
    one_mask = {"own": np.arange(n), "family": family, "shared": np.zeros(n, int)}[study.architecture.mask]
    return _table(
        {
            "network": training.first.network + n_cells * np.arange(n) + training.cells.index(place.cell),
            "cell": place.cell,
            "launch": place.launch,
            "dataset": place.dataset,
            "family": training.first.family + family,
            "sibling": sibling,
            "init_seed": streams.network_seeds(roots["init"], ensemble.families)[family],
            "data_seed": streams.network_seeds(roots["data"], ensemble.families)[family],
            "spawn_seed": streams.network_seeds(roots["spawn"], n),
            "spawn_step": ensemble.spawn_step * study.training.unit(n_inputs),
            "mask_seed": streams.network_seeds(roots["mask"], n)[one_mask],
            "frozen_seed": roots["frozen"],
            "own_seed": streams.network_seeds(roots["own"], n),
            "side": 1 - 2 * ((family + sibling) % 2),
        }
        | ({} if ensemble.start is None else {"given": family})
    )


def _pairs(study: Study, place: _Place, roots: dict[str, int], first: int, networks: pl.DataFrame) -> pl.DataFrame:
    """One row a pair of a cell, numbered from `first`."""
    ensemble = study.ensemble
    parts = {
        "independent": _independent(study, networks["side"].to_numpy(), roots["pairs"]),
        "siblings": pairs.sibling_pairs(ensemble.families, ensemble.siblings),
    }
    asked = [kind for kind in parts if kind in ensemble.pairs]
    ends = np.concatenate([parts[kind] for kind in asked])
    kinds = [pl.repeat(kind, len(parts[kind]), dtype=pl.String, eager=True) for kind in asked]
    n = len(ends)
    of_ends = {
        f"{name}_{side}": networks[name].to_numpy()[ends[:, end]]
        for name in ("network", "family", "train_set")
        for end, side in enumerate("ab")
    }
    return _table(
        {
            "pair": first + np.arange(n),
            "cell": place.cell,
            "launch": place.launch,
            "dataset": place.dataset,
            "kind": asked[0] if len(asked) == 1 else pl.concat(kinds),
            **of_ends,
            "test_seed": streams.network_seeds(roots["test"], n),
        }
    )


def _table(columns: dict[str, np.ndarray | pl.Series | int | str]) -> pl.DataFrame:
    """A table of these columns; one number or word is that of all rows, and takes no memory for each."""
    arrays = {name: column for name, column in columns.items() if not isinstance(column, int | str)}
    constants = {name: column for name, column in columns.items() if name not in arrays}
    literals = {name: pl.lit(value, dtype=OF_ALL[type(value)]) for name, value in constants.items()}
    return pl.DataFrame(arrays).with_columns(**literals).select(list(columns))


def _independent(study: Study, side: np.ndarray, seed: int) -> np.ndarray:
    """The independent pairs of a cell, `[n, 2]` rows of its networks; under a shift those of different sides alone."""
    ensemble = study.ensemble
    if not isinstance(study.data, Sampled) or not study.data.shift:
        return pairs.independent_pairs(ensemble.families, ensemble.siblings, ensemble.n_independent, seed)
    possible = pairs.independent_pairs(ensemble.families, ensemble.siblings, ensemble.n_possible, seed)
    apart = possible[side[possible[:, 0]] != side[possible[:, 1]]]
    chosen = np.random.default_rng(seed).permutation(len(apart))[: ensemble.n_independent]
    return apart[np.sort(chosen)]


def _cells(study: Study, cells: list[Cell]) -> pl.DataFrame:
    """Columns cell and one for each factor: numbers where all its values are (a list of one number counts), else text.

    Text is an Enum in the order of the study, so that tables and figures keep it; a list such as [8, 8] reads 8-8.
    """
    columns = [pl.Series("cell", [cell.index for cell in cells])]
    for key in study.factors:
        values = levels([cell.factors[key] for cell in cells])
        if isinstance(values[0], str):
            columns.append(pl.Series(key, values, dtype=pl.Enum(list(dict.fromkeys(values)))))
        else:
            columns.append(pl.Series(key, values, strict=False))
    return pl.DataFrame(columns)


def _check_batch(study: Study, data: Dataset) -> None:
    """A file's samples are counted only when it is read."""
    batch_size = study.training.batch_size
    if data.train is None or batch_size is None or study.training.sampling != "epoch":
        return
    n_samples = len(data.train[0])
    if batch_size > n_samples:
        raise StudyError(f"training.batch_size ({batch_size}) must be at most the {n_samples} training samples.")
