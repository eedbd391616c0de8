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
from testbed import datasets, pairs
from testbed.errors import StudyError
from testbed.study import Cell, Study

PER_NETWORK = ("lr", "momentum", "weight_decay")  # of the optimizer: arrays within one launch


@dataclass(frozen=True, eq=False)
class Launch:
    """Cells trained in one call. networks and pairs are its rows of the plan's tables; a network's `row` is its place in it.

    study: the settings that the cells share (and the first one's where they differ); data: the data sets that `dataset` numbers.
    """

    index: int
    study: Study
    cells: dict[int, Study]
    architecture: kernels.Architecture
    data: tuple[datasets.Dataset, ...]
    networks: pl.DataFrame
    pairs: pl.DataFrame

    @property
    def teacher(self) -> kernels.Teacher | None:
        """The data sets' teachers as one, numbered by `dataset`."""
        teachers = [data.teacher for data in self.data if data.teacher is not None]
        return kernels.Teacher(teachers[0].architecture, torch.stack([t.params for t in teachers])) if teachers else None

    def samples(self, part: str) -> tuple[Tensor, Tensor] | None:
        """`train` or `test` samples, x `[n_datasets, n, n_inputs]` and y, or None where there are none."""
        sets = [getattr(data, part) for data in self.data]
        return None if sets[0] is None else (torch.stack([x for x, _ in sets]), torch.stack([y for _, y in sets]))

    def training(self, networks: pl.DataFrame) -> kernels.Training:
        """The training of these networks, with the optimizer's numbers per network."""
        cell = networks["cell"].to_list()
        names = [name for name in PER_NETWORK if name in type(self.study.training.optimizer).model_fields]
        numbers = {name: np.array([getattr(self.cells[c].training.optimizer, name) for c in cell]) for name in names}
        return self.study.training.build(self.architecture.n_inputs, **numbers)

    def initial(self, networks: pl.DataFrame) -> Tensor:
        """Initial parameters of these networks, `[n_networks, n_parameters]` in the dtype of training."""
        parts = []
        for (cell,), rows in networks.group_by("cell", maintain_order=True):
            spec = self.cells[cell].architecture
            dtype = getattr(torch, self.study.training.dtype)
            seeds = rows["init_seed"].to_numpy(writable=True)
            parts.append(self.architecture.initial(len(rows), seeds, scheme=spec.initialisation, scale=spec.scale, dtype=dtype))
        return torch.cat(parts)


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
    for cell in cells:
        known = sets[launch_of[cell.index]]
        key = json.dumps(cell.study.resolved()["data"])
        if key not in known:
            known[key] = datasets.make(cell.study)
        dataset = list(known).index(key)
        networks.append(_networks(cell, study.seed, first_network, first_family, launch_of[cell.index], dataset, known[key].n_inputs))
        paths.append(_pairs(cell, study.seed, first_network, first_pair, launch_of[cell.index], dataset))
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
                group[0].study.architecture.build(data[0].n_inputs, data[0].n_outputs),
                tuple(data),
                all_networks.filter(launch=i),
                all_pairs.filter(launch=i),
            )
        )
    return Plan(study, tuple(launches), all_networks, all_pairs, _cells(study, cells))


def _static(study: Study) -> str:
    """What must be equal for two cells to share a launch."""
    raw = study.resolved()
    del raw["ensemble"]
    free = (
        (raw["architecture"], ("initialisation", "scale")),
        (raw["data"], ("seed",)),
        (raw["data"].get("teacher", {}), ("seed", "scale")),
        (raw["training"]["optimizer"], PER_NETWORK),
    )
    for table, names in free:
        for name in names:
            table.pop(name, None)
    return json.dumps(raw, sort_keys=True)


def _roots(seed: int, cell: int) -> dict[str, int]:
    """The five seeds that everything random in a cell derives from."""
    root = streams.network_seeds(seed, 1, first=cell)[0]
    return dict(zip(("init", "data", "spawn", "test", "pairs"), streams.network_seeds(root, 5).tolist(), strict=True))


def _networks(cell: Cell, seed: int, first: int, first_family: int, launch: int, dataset: int, n_inputs: int) -> pl.DataFrame:
    ensemble, roots = cell.study.ensemble, _roots(seed, cell.index)
    n = ensemble.n_networks
    family, sibling = np.divmod(np.arange(n), ensemble.siblings)
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
        }
    )


def _pairs(cell: Cell, seed: int, first_network: int, first: int, launch: int, dataset: int) -> pl.DataFrame:
    ensemble, roots = cell.study.ensemble, _roots(seed, cell.index)
    parts = {
        "independent": pairs.independent_pairs(ensemble.families, ensemble.siblings, ensemble.n_independent, roots["pairs"]),
        "siblings": pairs.sibling_pairs(ensemble.families, ensemble.siblings),
    }
    ends = np.concatenate([parts[kind] for kind in parts if kind in ensemble.pairs])
    kinds = [kind for kind in parts if kind in ensemble.pairs for _ in parts[kind]]
    n = len(ends)
    return pl.DataFrame(
        {
            "pair": first + np.arange(n),
            "cell": np.full(n, cell.index),
            "launch": np.full(n, launch),
            "dataset": np.full(n, dataset),
            "kind": kinds,
            "network_a": first_network + ends[:, 0],
            "network_b": first_network + ends[:, 1],
            "test_seed": streams.network_seeds(roots["test"], n),
        },
        schema_overrides={"kind": pl.String},
    )


def _cells(study: Study, cells: list[Cell]) -> pl.DataFrame:
    """Columns cell and one for each factor: numbers where all its values are (a list of one number counts), else text.

    Text is an Enum in the order of the study, so that tables and figures keep it; a list such as [8, 8] reads 8-8.
    """
    columns = [pl.Series("cell", [cell.index for cell in cells])]
    for key in study.vary:
        values = [cell.factors[key] for cell in cells]
        values = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            columns.append(pl.Series(key, values, strict=False))
        else:
            names = [_name(v) for v in values]
            columns.append(pl.Series(key, names, dtype=pl.Enum(list(dict.fromkeys(names)))))
    return pl.DataFrame(columns)


def _name(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(v, int) for v in value):
        return "-".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _check_batch(study: Study, data: datasets.Dataset) -> None:
    """A file's samples are counted only when it is read."""
    batch, sampling = study.training.batch_size, study.training.sampling
    if data.train is not None and batch is not None and sampling == "epoch" and batch > (n := len(data.train[0])):
        raise StudyError(f"training.batch_size ({batch}) must be at most the {n} training samples.")
