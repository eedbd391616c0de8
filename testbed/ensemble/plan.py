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

import polars as pl
from torch import Tensor

import kernels
from kernels import streams
from testbed import given_networks
from testbed.data import datasets
from testbed.data.datasets import Dataset
from testbed.ensemble import bounds
from testbed.ensemble.launch import Launch
from testbed.ensemble.rows import CellRows, joined_by_pairs
from testbed.ensemble.same_training import built, launch_key, training_key
from testbed.ensemble.train_sets import TrainSets
from testbed.errors import StudyError
from testbed.study import Study
from testbed.study.levels import levels
from testbed.study.study import Cell


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that will run: launches, which know each network and pair, and the factors of each cell."""

    study: Study
    launches: tuple[Launch, ...]
    cells: pl.DataFrame

    @property
    def n_networks(self) -> int:
        """Networks of all launches."""
        return sum(launch.n_networks for launch in self.launches)

    @property
    def n_pairs(self) -> int:
        """Pairs of all launches."""
        return sum(launch.n_pairs for launch in self.launches)


@dataclass(eq=False)
class _Draft:
    """A launch while it is planned: its number, its cells, the data sets that they name, their training samples; and
    what the networks and pairs of each cell are made from.
    """

    index: int
    study: Study
    train_sets: TrainSets
    cells: dict[int, Study] = field(default_factory=dict)
    data: dict[str, Dataset] = field(default_factory=dict)
    made_of: list[CellRows] = field(default_factory=list)

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
        """The launch."""
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
            tuple(self.made_of),
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
        roots = _roots(study.seed, min(training.cells))
        ends, kinds = joined_by_pairs(cell.study, roots["pairs"])
        draft.made_of.append(
            CellRows(
                cell.study,
                cell.index,
                draft.index,
                dataset,
                roots,
                training.first.network,
                training.first.family,
                turn=training.cells.index(cell.index),
                n_turns=len(training.cells),
                spawn_step=cell.study.ensemble.spawn_step * cell.study.training.unit(data.n_inputs),
                train_sets=draft.train_sets.numbering(
                    cell.study.data, dataset, data, roots["own"], cell.study.ensemble.n_networks
                ),
                first_pair=n_pairs,
                ends=ends,
                kinds=kinds,
            )
        )
        n_pairs += len(ends)
    launches = tuple(draft.launch() for draft in drafts.values())
    return Plan(study, launches, _cells(study, cells))


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
