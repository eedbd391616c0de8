"""A launch: cells that are trained in one call of `kernels.train`, and what each of their networks is trained with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

import kernels
from kernels import streams
from testbed.data.datasets import Dataset
from testbed.ensemble import structure
from testbed.ensemble.same_training import PER_NETWORK
from testbed.study import Study


@dataclass(frozen=True, eq=False)
class Launch:
    """Cells trained in one call.

    index: its number. study: the settings that the cells share (and the first one's where they differ); cells: the
    study of each, by number. data: the data sets that `dataset` numbers. train_sets: the training samples that
    `train_set` numbers, x `[n_train_sets, n, n_inputs]` and y; None when training is online. networks and pairs: its
    rows of the plan's tables; a network's `row` is its place among them. given: parameters that networks start from,
    `[n_given, n_parameters]`, by their number `given`; None: they are drawn.
    """

    index: int
    study: Study
    cells: dict[int, Study]
    architecture: kernels.Architecture
    data: tuple[Dataset, ...]
    train_sets: tuple[Tensor, Tensor] | None
    networks: pl.DataFrame
    pairs: pl.DataFrame
    given: Tensor | None = None

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
        device = "cuda" if backend == "gpu" and torch.cuda.is_available() else "cpu"
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
