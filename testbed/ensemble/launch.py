"""A launch: cells that are trained in one call of `kernels.train`, and what each of their networks is trained with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import torch
from torch import Tensor

import kernels
from kernels import streams
from testbed.data.datasets import Dataset
from testbed.ensemble import structure
from testbed.ensemble.rows import CellRows
from testbed.ensemble.same_training import PER_NETWORK
from testbed.study import Study


@dataclass(frozen=True, eq=False)
class Launch:
    """Cells trained in one call.

    index: its number. study: the settings that the cells share (and the first one's where they differ); cells: the
    study of each, by number. data: the data sets that `dataset` numbers. train_sets: the training samples that
    `train_set` numbers, x `[n_train_sets, n, n_inputs]` and y; None when training is online. made_of: what the networks
    and pairs of each cell are made from. given: parameters that networks start from, `[n_given, n_parameters]`, by
    their number `given`; None: they are drawn.
    """

    index: int
    study: Study
    cells: dict[int, Study]
    architecture: kernels.Architecture
    data: tuple[Dataset, ...]
    train_sets: tuple[Tensor, Tensor] | None
    made_of: tuple[CellRows, ...]
    given: Tensor | None = None

    @cached_property
    def trainings(self) -> list[list[CellRows]]:
        """The cells that measure one training, in their turns, for each training in the order of its numbers."""
        together: dict[int, list[CellRows]] = {}
        for cell in sorted(self.made_of, key=lambda cell: (cell.first_network, cell.turn)):
            together.setdefault(cell.first_network, []).append(cell)
        return list(together.values())

    @cached_property
    def n_networks(self) -> int:
        """How many networks there are."""
        return sum(cell.n_networks for cell in self.made_of)

    @cached_property
    def n_pairs(self) -> int:
        """How many pairs there are."""
        return sum(len(cell.ends) for cell in self.made_of)

    @property
    def networks(self) -> pl.DataFrame:
        """One row a network, in the order of their numbers; of a long launch take `networks_at`."""
        return self.networks_at(slice(0, self.n_networks))

    @property
    def pairs(self) -> pl.DataFrame:
        """One row a pair, in the order of their numbers; of a long launch take `pairs_at`."""
        return self.pairs_at(slice(0, self.n_pairs))

    @cached_property
    def network_numbers(self) -> np.ndarray:
        """The number of each network, in rising order, int64 `[n_networks]`."""
        return np.concatenate(
            [
                cells[0].first_network + np.arange(sum(cell.n_networks for cell in cells), dtype=np.int64)
                for cells in self.trainings
            ]
        )

    @cached_property
    def pair_numbers(self) -> np.ndarray:
        """The number of each pair, in rising order, int64 `[n_pairs]`."""
        return np.concatenate([cell.first_pair + np.arange(len(cell.ends), dtype=np.int64) for cell in self.made_of])

    def of_cell(self, number: int) -> CellRows:
        """What the networks and pairs of the cell of this number are made from."""
        return next(cell for cell in self.made_of if cell.cell == number)

    def rows_of_cell(self, number: int) -> np.ndarray:
        """The rows of a cell's networks, rising, int64 `[n]`."""
        found = self.of_cell(number)
        earlier = sum(cell.n_networks for cell in self.made_of if cell.first_network < found.first_network)
        return earlier + found.n_turns * np.arange(found.n_networks) + found.turn

    def networks_at(self, rows: slice | np.ndarray) -> pl.DataFrame:
        """Networks at these rows of the launch: from start to stop, or rising numbers; `row` says which."""
        rows = _numbers(rows)
        parts = []
        sizes = [sum(cell.n_networks for cell in cells) for cells in self.trainings]
        for cells, places in zip(self.trainings, _cut(rows, sizes), strict=True):
            for cell in cells if len(places) else ():
                own = places[places % cell.n_turns == cell.turn]
                parts.append(cell.networks(own // cell.n_turns))
        if not parts:
            return self.made_of[0].networks(rows).with_columns(row=pl.Series(rows))
        found = pl.concat(parts)
        found = found if found["network"].is_sorted() else found.sort("network")
        return found.with_columns(row=pl.Series(rows))

    def pairs_at(self, rows: slice | np.ndarray) -> pl.DataFrame:
        """Pairs at these rows of the launch: from start to stop, or rising numbers."""
        rows = _numbers(rows)
        cut = zip(self.made_of, _cut(rows, [len(cell.ends) for cell in self.made_of]), strict=True)
        parts = [cell.pairs(places) for cell, places in cut if len(places)]
        return pl.concat(parts) if parts else self.made_of[0].pairs(rows)

    @property
    def dtype(self) -> torch.dtype:
        """Of the arithmetic of training."""
        return self.study.training.torch_dtype

    @property
    def teacher(self) -> kernels.Teacher | None:
        """The data sets' teachers as one, numbered by `dataset`."""
        teachers = [data.teacher for data in self.data if data.teacher is not None]
        if not teachers:
            return None
        return kernels.Teacher(teachers[0].architecture, torch.stack([teacher.params for teacher in teachers]))

    @property
    def test_sets(self) -> tuple[Tensor, Tensor] | None:
        """The test samples that `dataset` numbers, x `[n_datasets, n, n_inputs]` and y.

        None where there are none, or a teacher makes them.
        """
        sets = [data.test for data in self.data if data.test is not None]
        if not sets:
            return None
        return torch.stack([x for x, _ in sets]), torch.stack([y for _, y in sets])

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

    def updates(self, networks: pl.DataFrame) -> np.ndarray:
        """Parameter updates after which these networks are measured, int64 `[n_networks]`."""
        unit = self.study.training.unit(self.architecture.n_inputs)
        cells, place = np.unique(networks["cell"].to_numpy(), return_inverse=True)
        return np.array([self.cells[cell].training.measured_at * unit for cell in cells.tolist()])[place]

    def initial(self, networks: pl.DataFrame, backend: str = "reference") -> Tensor:
        """Initial parameters of these networks, `[n_networks, n_parameters]` in the dtype of training, on the CPU; for
        the backend "gpu" drawn on the GPU.
        """
        device = "cuda" if backend == "gpu" and kernels.gpu.present() else "cpu"
        params = torch.empty(len(networks), self.architecture.n_parameters, dtype=self.dtype)
        for (cell,), some in networks.with_row_index("place").group_by("cell", maintain_order=True):
            params[torch.from_numpy(some["place"].to_numpy().astype(np.int64))] = self._initial_of_cell(
                cell, some, device
            )
        mask = self.mask(networks)
        if mask is None:
            return params
        return (params * structure.fan_in_gain(self.architecture, mask) * mask).to(params.dtype)

    def _initial_of_cell(self, cell: int, networks: pl.DataFrame, device: str) -> Tensor:
        """Before any mask: the given ones, or such as are drawn.

        Where the cell's networks lean, their first layers have a share of the teacher's added.
        """
        if self.given is not None:
            return self.given[torch.from_numpy(networks["given"].to_numpy(writable=True))].to(self.dtype)
        spec = self.cells[cell].architecture
        seeds = networks["init_seed"].to_numpy(writable=True)
        params = self.architecture.initial(
            len(networks), seeds, scheme=spec.initialisation, scale=spec.scale, dtype=self.dtype, device=device
        ).cpu()
        if spec.lean:
            assert self.teacher is not None
            teachers = self.teacher.params[networks["dataset"].to_numpy(writable=True)].to(self.dtype)
            target = self.teacher.architecture.layers(teachers)[0][0]
            order = np.argsort(streams.uniforms(streams.INITIAL, seeds, 1, target.shape[1]), axis=1)
            shuffled = target[torch.arange(len(networks))[:, None], torch.from_numpy(order)]
            self.architecture.layers(params)[0][0].add_(spec.lean * shuffled)
        return params

    def mask(self, networks: pl.DataFrame) -> Tensor | None:
        """Which parameters of these networks exist, before any pruning."""
        return structure.mask(self.study, self.architecture, networks)

    @property
    def tied(self) -> Tensor | None:
        """Which parameters are one."""
        return structure.tied(self.study, self.architecture)

    def trainable(self, networks: pl.DataFrame) -> Tensor | None:
        """Which parameters of these networks move."""
        return structure.trainable(self.study, self.architecture, networks)


def _numbers(rows: slice | np.ndarray) -> np.ndarray:
    return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows


def _cut(rows: np.ndarray, sizes: Sequence[int]) -> Iterator[np.ndarray]:
    """Rising rows of blocks that follow each other, as places in each block."""
    first = np.cumsum([0, *sizes])
    cuts = np.searchsorted(rows, first)
    for k in range(len(sizes)):
        yield rows[cuts[k] : cuts[k + 1]] - first[k]
