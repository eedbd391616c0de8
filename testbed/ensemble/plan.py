"""The plan of a study: every network and every pair, with their seeds, before anything runs.

Cells that share shapes and static settings form a launch: one call of `kernels.train`, in which learning rate, momentum, weight
decay, data set, spawn step and seeds are arrays over networks. All seeds derive from the study's through `kernels.streams`, cell
by cell, so that a cell's networks do not depend on how large the other cells are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

import kernels
from kernels import streams
from testbed.data import datasets
from testbed.data.sampling import Sampled
from testbed.ensemble import pairs, structure
from testbed.errors import StudyError
from testbed.study.study import Cell, Study

PER_NETWORK = ("lr", "momentum", "weight_decay")  # of the optimizer: arrays within one launch


@dataclass(frozen=True, eq=False)
class Launch:
    """Cells trained in one call. networks and pairs are its rows of the plan's tables; a network's `row` is its place in it.

    study: the settings that the cells share (and the first one's where they differ); data: the data sets that `dataset` numbers;
    train_sets: the training samples that `train_set` numbers, x `[n_train_sets, n, n_inputs]` and y; None when training is online.
    """

    index: int
    study: Study
    cells: dict[int, Study]
    architecture: kernels.Architecture
    data: tuple[datasets.Dataset, ...]
    train_sets: tuple[Tensor, Tensor] | None
    networks: pl.DataFrame
    pairs: pl.DataFrame

    @property
    def teacher(self) -> kernels.Teacher | None:
        """The data sets' teachers as one, numbered by `dataset`."""
        teachers = [data.teacher for data in self.data if data.teacher is not None]
        return (
            kernels.Teacher(teachers[0].architecture, torch.stack([t.params for t in teachers])) if teachers else None
        )

    @property
    def test_sets(self) -> tuple[Tensor, Tensor] | None:
        """The test samples that `dataset` numbers, x `[n_datasets, n, n_inputs]` and y; None where there are none, or a teacher makes them."""
        sets = [data.test for data in self.data if data.test is not None]
        return (torch.stack([x for x, _ in sets]), torch.stack([y for _, y in sets])) if sets else None

    def training(self, networks: pl.DataFrame) -> kernels.Training:
        """The training of these networks, with the optimizer's numbers per network."""
        cells, place = np.unique(networks["cell"].to_numpy(), return_inverse=True)
        studies = [self.cells[cell] for cell in cells.tolist()]
        names = [name for name in PER_NETWORK if name in type(self.study.training.optimizer).model_fields]
        numbers = {
            name: np.array([getattr(study.training.optimizer, name) for study in studies])[place] for name in names
        }
        factors = np.array([study.ensemble.rate_factor for study in studies])[place]
        numbers["lr"] = numbers["lr"] * factors ** networks["sibling"].to_numpy()
        return self.study.training.build(self.architecture.n_inputs, **numbers)

    def initial(self, networks: pl.DataFrame) -> Tensor:
        """Initial parameters of these networks, `[n_networks, n_parameters]` in the dtype of training."""
        parts = []
        for (cell,), rows in networks.group_by("cell", maintain_order=True):
            spec = self.cells[cell].architecture
            dtype = getattr(torch, self.study.training.dtype)
            seeds = rows["init_seed"].to_numpy(writable=True)
            params = self.architecture.initial(
                len(rows), seeds, scheme=spec.initialisation, scale=spec.scale, dtype=dtype
            )
            if spec.lean:
                assert self.teacher is not None
                targets = self.teacher.params[rows["dataset"].to_numpy(writable=True)].to(dtype)
                target = self.teacher.architecture.layers(targets)[0][0]
                order = np.argsort(streams.uniforms(streams.INITIAL, seeds, 1, target.shape[1]), axis=1)
                self.architecture.layers(params)[0][0].add_(
                    spec.lean * target[torch.arange(len(rows))[:, None], torch.from_numpy(order)]
                )
            parts.append(params)
        params, there = torch.cat(parts), self.mask(networks)
        return (
            params
            if there is None
            else (params * structure.fan_in_gain(self.architecture, there) * there).to(params.dtype)
        )

    def mask(self, networks: pl.DataFrame) -> Tensor | None:
        """Which parameters of these networks there are, before any pruning."""
        return structure.mask(self.study, self.architecture, networks)

    @property
    def tied(self) -> Tensor | None:
        """Which parameters are one."""
        return structure.tied(self.study, self.architecture)

    def trainable(self, networks: pl.DataFrame) -> Tensor | None:
        """Which parameters of these networks move."""
        return structure.trainable(self.study, self.architecture, networks)


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that will run. networks: one row a network; pairs: one row a pair; cells: one row a cell, with its factors."""

    study: Study
    launches: tuple[Launch, ...]
    networks: pl.DataFrame
    pairs: pl.DataFrame
    cells: pl.DataFrame


def plan(study: Study) -> Plan:
    """The launches, networks and pairs of a study; StudyError if a data file or a combination of cells cannot be used."""
    cells = study.cells()
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(_static(cell.study), []).append(cell)
    networks, paths = [], []
    first_network = first_pair = first_family = 0
    launch_of = {cell.index: i for i, group in enumerate(groups.values()) for cell in group}
    sets: list[dict[str, datasets.Dataset]] = [{} for _ in groups]
    train_sets = [datasets.TrainSets() for _ in groups]
    for cell in cells:
        known = sets[launch_of[cell.index]]
        key = json.dumps(cell.study.resolved()["data"])
        if key not in known:
            known[key] = datasets.make(cell.study)
        dataset = list(known).index(key)
        table = _networks(
            cell, study.seed, first_network, first_family, launch_of[cell.index], dataset, known[key].n_inputs
        )
        train_set = train_sets[launch_of[cell.index]].of(cell.study, table, dataset, known[key])
        networks.append(table.with_columns(train_set=pl.Series(train_set, dtype=pl.Int64)))
        paths.append(_pairs(cell, study.seed, networks[-1], first_pair, launch_of[cell.index], dataset))
        first_network += len(networks[-1])
        first_family += cell.study.ensemble.families
        first_pair += len(paths[-1])
    all_networks = pl.concat(networks).with_columns(row=pl.int_range(pl.len()).over("launch"))
    all_pairs = pl.concat(paths)
    launches = []
    for i, group in enumerate(groups.values()):
        data = list(sets[i].values())
        _check_batch(group[0].study, data[0])
        launches.append(
            Launch(
                i,
                group[0].study,
                {cell.index: cell.study for cell in group},
                _architecture(group[0].study, data[0]),
                tuple(data),
                train_sets[i].joined(),
                all_networks.filter(launch=i),
                all_pairs.filter(launch=i),
            )
        )
    return Plan(study, tuple(launches), all_networks, all_pairs, _cells(study, cells))


def _architecture(study: Study, data: datasets.Dataset) -> kernels.Architecture:
    try:
        return study.architecture.build(data.n_inputs, data.n_outputs)
    except ValueError as error:  # windows that do not fit the inputs
        raise StudyError(f"architecture.{error}") from None


def _static(study: Study) -> str:
    """What must be equal for two cells to share a launch."""
    raw = study.resolved()
    del raw["ensemble"]
    free = (
        (raw["architecture"], ("initialisation", "scale", "lean")),
        (raw["data"], ("seed",)),
        (raw["data"].get("teacher", {}), ("seed", "scale")),
        (raw["training"]["optimizer"], PER_NETWORK),
    )
    for table, names in free:
        for name in names:
            table.pop(name, None)
    return json.dumps(raw, sort_keys=True)


def _roots(seed: int, cell: int) -> dict[str, int]:
    """The seeds that everything random in a cell derives from."""
    root = streams.network_seeds(seed, 1, first=cell)[0]
    names = ("init", "data", "spawn", "test", "pairs", "mask", "frozen", "own")
    return dict(zip(names, streams.network_seeds(root, len(names)).tolist(), strict=True))


def _networks(
    cell: Cell, seed: int, first: int, first_family: int, launch: int, dataset: int, n_inputs: int
) -> pl.DataFrame:
    ensemble, roots = cell.study.ensemble, _roots(seed, cell.index)
    n = ensemble.n_networks
    family, sibling = np.divmod(np.arange(n), ensemble.siblings)
    one_mask = {"own": np.arange(n), "family": family, "shared": np.zeros(n, int)}[cell.study.architecture.mask]
    return pl.DataFrame(
        {
            "network": first + np.arange(n),
            "cell": np.full(n, cell.index),
            "launch": np.full(n, launch),
            "dataset": np.full(n, dataset),
            "family": first_family + family,
            "sibling": sibling,
            "init_seed": streams.network_seeds(roots["init"], ensemble.families)[family],
            "data_seed": streams.network_seeds(roots["data"], ensemble.families)[family],
            "spawn_seed": streams.network_seeds(roots["spawn"], n),
            "spawn_step": np.full(n, ensemble.spawn_step * cell.study.training.unit(n_inputs)),
            "mask_seed": streams.network_seeds(roots["mask"], n)[one_mask],
            "frozen_seed": np.full(n, roots["frozen"]),
            "own_seed": streams.network_seeds(roots["own"], n),
            "side": 1 - 2 * ((family + sibling) % 2),
        }
    )


def _pairs(cell: Cell, seed: int, networks: pl.DataFrame, first: int, launch: int, dataset: int) -> pl.DataFrame:
    ensemble, roots = cell.study.ensemble, _roots(seed, cell.index)
    parts = {
        "independent": _independent(cell.study, networks["side"].to_numpy(), roots["pairs"]),
        "siblings": pairs.sibling_pairs(ensemble.families, ensemble.siblings),
    }
    asked = [kind for kind in parts if kind in ensemble.pairs]
    ends = np.concatenate([parts[kind] for kind in asked])
    kinds = np.repeat(np.array(asked, dtype=object), [len(parts[kind]) for kind in asked])
    n, train_set, network = len(ends), networks["train_set"].to_numpy(), networks["network"].to_numpy()
    return pl.DataFrame(
        {
            "pair": first + np.arange(n),
            "cell": np.full(n, cell.index),
            "launch": np.full(n, launch),
            "dataset": np.full(n, dataset),
            "kind": kinds,
            "network_a": network[ends[:, 0]],
            "network_b": network[ends[:, 1]],
            "train_set_a": train_set[ends[:, 0]],
            "train_set_b": train_set[ends[:, 1]],
            "test_seed": streams.network_seeds(roots["test"], n),
        },
        schema_overrides={"kind": pl.String},
    )


def _independent(study: Study, side: np.ndarray, seed: int) -> np.ndarray:
    """The independent pairs of a cell, `[n, 2]` rows of its networks; under a covariate shift those of different sides alone."""
    ensemble = study.ensemble
    if not isinstance(study.data, Sampled) or not study.data.shift:
        return pairs.independent_pairs(ensemble.families, ensemble.siblings, ensemble.n_independent, seed)
    every = pairs.independent_pairs(ensemble.families, ensemble.siblings, ensemble.n_possible, seed)
    apart = every[side[every[:, 0]] != side[every[:, 1]]]
    chosen = np.random.default_rng(seed).permutation(len(apart))[: ensemble.n_independent]
    return apart[np.sort(chosen)]


def _cells(study: Study, cells: list[Cell]) -> pl.DataFrame:
    """Columns cell and one for each factor: numbers where all its values are (a list of one number counts), else text.

    Text is an Enum in the order of the study, so that tables and figures keep it; a list such as [8, 8] reads 8-8.
    """
    columns = [pl.Series("cell", [cell.index for cell in cells])]
    for key in study.factors:
        values = levels([cell.factors[key] for cell in cells])
        text = isinstance(values[0], str)
        columns.append(
            pl.Series(key, values, dtype=pl.Enum(list(dict.fromkeys(values))))
            if text
            else pl.Series(key, values, strict=False)
        )
    return pl.DataFrame(columns)


def levels(values: list[Any]) -> list[Any]:
    """A factor's values as the tables hold them: numbers if all are (a list of one number counts), else text."""
    values = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]
    return (
        values
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        else [_name(v) for v in values]
    )


def _name(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(v, int) for v in value):
        return "-".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _check_batch(study: Study, data: datasets.Dataset) -> None:
    """A file's samples are counted only when it is read."""
    batch, sampling = study.training.batch_size, study.training.sampling
    if data.train is not None and batch is not None and sampling == "epoch" and batch > (n := len(data.train[0])):
        raise StudyError(f"training.batch_size ({batch}) must be at most the {n} training samples.")
