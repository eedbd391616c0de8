"""The table of soups: the loss of averages of a cell's networks, beside that of the networks themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from testbed.alignment.averages import NETWORKS, averages, frames
from testbed.columns import QUANTITIES
from testbed.ensemble.launch import Launch
from testbed.ensemble.measuring import Trained
from testbed.ensemble.plan import Plan
from testbed.measures import paths
from testbed.pair_set import HeldOut, PairSet, TrainSamples

MOST_AVERAGED = 64  # networks of a cell; the greedy average looks at one after the other
SCHEMA = pl.Schema(
    {
        "cell": pl.Int64,
        "path": pl.String,
        "recipe": pl.String,
        "members": pl.Int64,
        **dict.fromkeys(QUANTITIES, pl.Float64),
    }
)


def table(plan: Plan, trained: list[Trained], backend: str) -> pl.DataFrame:
    """Averages of the networks of every cell, one of each family and MOST_AVERAGED at most, none that diverged.

    trained: of each launch. For each path, as trained and after those alignments of the study that bring many networks
    into one frame, the uniform and the greedy average, which chooses by the training loss. Before them the mean and the
    best (in training loss) of the networks. All of a cell are tested on the same samples.
    """
    parts = [pl.DataFrame(schema=SCHEMA)]
    for launch, networks in zip(plan.launches, trained, strict=True):
        for cell in sorted(launch.cells):
            parts += _of_cell(launch, networks, cell, backend)
    return pl.concat(parts).sort("cell", maintain_order=True).join(plan.cells, on="cell", maintain_order="left")


def _of_cell(launch: Launch, trained: Trained, cell: int, backend: str) -> Iterator[pl.DataFrame]:
    rows = launch.rows_of_cell(cell)
    networks = launch.networks_at(rows[trained.diverged_at.numpy()[rows] < 0])
    networks = networks.filter(sibling=0).sort("family").head(MOST_AVERAGED)
    if len(networks) < 2:
        return
    params = trained.params[torch.from_numpy(networks["row"].to_numpy(writable=True))]
    taste = _Taste(launch, networks, backend)
    own = taste(params)
    best = int(np.argmin(own["train_loss"]))
    asked = [name for name in frames() if name in launch.study.measure.alignment]
    found = averages(
        launch.architecture, params, ["", *asked], lambda some: taste(some, only_training=True)["train_loss"]
    )
    of_soups = taste(torch.stack([average.params for average in found]))
    means, bests = ({name: float(of(values)) for name, values in own.items()} for of in (np.mean, lambda v: v[best]))
    yield _row(cell, "", NETWORKS[0], len(params), means)
    yield _row(cell, "", NETWORKS[1], 1, bests)
    for k, average in enumerate(found):
        measured = {name: float(values[k]) for name, values in of_soups.items()}
        yield _row(cell, average.path, average.recipe, len(average.members), measured)


class _Taste:
    """Losses and errors of networks `[n, n_parameters]` on the samples of a cell, `[n]` each."""

    def __init__(self, launch: Launch, networks: pl.DataFrame, backend: str) -> None:
        assert launch.train_sets is not None
        self.launch = launch
        self.backend = backend
        self.train_set = int(networks["train_set"][0])
        self.dataset = int(networks["dataset"][0])
        cell = launch.of_cell(networks["cell"][0])
        self.seed = int(cell.pairs(np.zeros(1, int))["test_seed"][0]) if len(cell.ends) else 0

    def __call__(self, params: Tensor, only_training: bool = False) -> dict[str, np.ndarray]:
        n = len(params)
        launch = self.launch
        assert launch.train_sets is not None
        sets = torch.full((n,), self.train_set)
        dataset = torch.full((n,), self.dataset)
        test: HeldOut | None = None
        if launch.teacher is not None and not only_training:
            test = HeldOut(launch.teacher, dataset, n_fresh=launch.study.measure.test_samples)
        elif launch.test_sets is not None and not only_training:
            test = HeldOut(launch.test_sets, dataset)
        points = PairSet(
            launch.architecture,
            params,
            params,
            torch.zeros(1, dtype=torch.float64),
            launch.study.training.loss,
            seeds=np.full(n, self.seed),
            row=np.arange(n),
            train=TrainSamples(*launch.train_sets, sets, sets),
            test=test,
            backend=self.backend,
        )
        found = paths.measured(points)
        return {name: found[name][:, 0].numpy() for name in QUANTITIES if name in found}


def _row(cell: int, path: str, recipe: str, members: int, measured: dict[str, float]) -> pl.DataFrame:
    row: dict[str, Any] = {"cell": cell, "path": path, "recipe": recipe, "members": members, **measured}
    return pl.DataFrame([{name: row.get(name) for name in SCHEMA}], schema=SCHEMA)
