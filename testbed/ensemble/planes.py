"""The table of planes: the loss on the plane through a pair and a third network, of some cells of a study."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import torch
from torch import Tensor

from testbed.alignment.registry import ALIGNMENTS
from testbed.ensemble.launch import Launch
from testbed.ensemble.measuring import Trained, pair_set
from testbed.ensemble.plan import Plan
from testbed.measures.plane import OnOneLine, Plane, plane
from testbed.pair_set import PairSet

SCHEMA = pl.Schema(
    {
        "cell": pl.Int64,
        "pair": pl.Int64,
        "third": pl.String,
        "corner": pl.String,
        "u": pl.Float64,
        "v": pl.Float64,
        "loss": pl.Float64,
    }
)


def table(plan: Plan, trained: list[Trained], backend: str) -> pl.DataFrame:
    """Planes of `measure.planes` cells, evenly spread over the study's, each of its first pair that did not diverge.

    trained: of each launch. Rows of the grid have u, v and loss (training samples of A); rows with a corner, A, B or C,
    say where the networks are. A cell whose three networks lie on one line has none.
    """
    cells = plan.cells["cell"].to_numpy()
    n_planes = min(plan.study.measure.planes, len(cells))
    chosen = cells[np.linspace(0, len(cells) - 1, n_planes).round().astype(int)]
    parts = [pl.DataFrame(schema=SCHEMA)]
    for launch, networks in zip(plan.launches, trained, strict=True):
        good = pl.Series(launch.network_numbers[networks.diverged_at.numpy() < 0]).implode()
        pairs = launch.pairs.filter(pl.col("network_a").is_in(good) & pl.col("network_b").is_in(good))
        for cell in chosen:
            first = pairs.filter(cell=cell).sort("pair").head(1)
            if len(first):
                parts += _planes_of(launch, pair_set(launch, networks, first, backend), first)
    return pl.concat(parts)


def _planes_of(launch: Launch, pair: PairSet, row: pl.DataFrame) -> list[pl.DataFrame]:
    """The plane through a pair and the first third network that does not lie on their line; none if all do."""
    x, y = pair.samples_of_a
    for name, third in _thirds(launch, pair):
        corners = torch.stack([pair.a[0].double(), pair.b[0].double(), third.double()])
        try:
            found = plane(pair.architecture, corners, (x[0], y[0]), pair.loss, backend=pair.backend)
        except OnOneLine:
            continue
        return [_rows(found, {"cell": row["cell"][0], "pair": row["pair"][0], "third": name})]
    return []


def _thirds(launch: Launch, pair: PairSet) -> Iterator[tuple[str, Tensor]]:
    """What C may be: B after the study's first alignment, or else another network of the cell, with its name."""
    for name in launch.study.measure.alignment[:1]:
        alignment = ALIGNMENTS[name]
        yield f"B {alignment.phrase}", alignment.align(pair).b[0]
    assert pair.origin is not None
    others = pair.origin.of_cell(int(pair.origin.cell[0]))
    is_an_end = np.isin(others.number, [pair.origin.a[0], pair.origin.b[0]])
    for k in np.flatnonzero(~is_an_end)[:1]:
        yield f"network {others.number[k]}", others.params[k]


def _rows(found: Plane, head: dict[str, object]) -> pl.DataFrame:
    """The three corners, then the grid, with the same `head` in every row."""
    u, v = np.meshgrid(found.u, found.v)
    rows = {
        "corner": [*"ABC", *[None] * u.size],
        "u": np.concatenate([found.corners[:, 0], u.ravel()]),
        "v": np.concatenate([found.corners[:, 1], v.ravel()]),
        "loss": [None] * 3 + found.loss.ravel().tolist(),
    }
    constant = {key: pl.lit(value) for key, value in head.items()}
    return pl.DataFrame(rows).with_columns(**constant).select(SCHEMA.names()).cast(SCHEMA)
