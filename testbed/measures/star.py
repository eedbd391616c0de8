"""The barrier of two segments over the centre of a star, which is trained to other networks of the same cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from testbed import columns
from testbed.kinds import Column, Extent, Mark, Measure, Work
from testbed.measures.bend import weights_are_their_own
from testbed.measures.segments import Descent, chain_barriers, star_centre
from testbed.pair_set import PairSet
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

PATH = "star"
BARRIER = columns.barrier("train_loss", path=PATH)
MOST_LEAVES = 8  # networks of a cell that a centre is trained to: half of them if they are fewer than 16


def _compute(pairs: PairSet) -> dict[str, Tensor]:
    """NaN for pairs that hold one of the leaves."""
    import torch

    if pairs.origin is None:
        raise ValueError("a star needs the other networks of each pair's cell.")
    origin = pairs.origin
    train = pairs.training_samples
    centres = torch.full(pairs.a.shape, torch.nan, dtype=torch.float64)
    for cell in np.unique(origin.cell):
        of_cell = origin.of_cell(cell)
        n_leaves = min(MOST_LEAVES, len(of_cell.number) // 2)
        leaves = of_cell.number[:n_leaves]
        samples = (train.x[of_cell.train_set[:n_leaves]], train.y[of_cell.train_set[:n_leaves]])
        centre = star_centre(pairs.architecture, of_cell.params[:n_leaves], samples, pairs.loss)
        holds_a_leaf = np.isin(origin.a, leaves) | np.isin(origin.b, leaves)
        centres[torch.from_numpy((origin.cell == cell) & ~holds_a_leaf)] = centre
    barriers = torch.full((len(pairs),), torch.nan, dtype=torch.float64)
    tested = torch.nonzero(~centres.isnan().any(1))[:, 0]
    if len(tested):
        barriers[tested] = torch.from_numpy(chain_barriers(pairs[tested], centres[tested]))
    return {BARRIER: barriers}


def _lacks(setting: Setting) -> str | None:
    if why := weights_are_their_own(setting):
        return why
    n_networks = setting.ensemble.n_networks
    if n_networks < 4:
        return (
            f"trains a centre to half of the networks of a cell and tests it on the others: {n_networks} are "
            "too few, raise ensemble.families"
        )
    return None


def _work(extent: Extent) -> Work:
    """Of the two segments."""
    return Work(kernels=2 * extent.n_alphas * extent.step)


def _centre_work(extent: Extent) -> Work:
    """A gradient, of about three forward passes, for every leaf and step."""
    return Work(arrays=3 * MOST_LEAVES * Descent().steps * extent.step)


MEASURE = Measure(
    name="star",
    text="the largest barrier of two segments over the centre of a star, which is trained to half of the cell's "
    "networks, eight at most; of pairs of the others",
    columns=(
        Column(
            BARRIER,
            "the same over the centre of a star of at most eight other networks, null for pairs that hold one of them",
            "loss",
        ),
    ),
    compute=_compute,
    work=_work,
    repeated=_centre_work,
    lacks=_lacks,
    held=None,
    mark=Mark("v", "over a star's centre"),
    path=PATH,
)
