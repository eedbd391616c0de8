"""Barriers with a proof, of a sample of the pairs: an interval that holds the true one, any activation and depth.

One pair in 64 and the first of every launch, those that compiled twins are checked on too (`twin_check.sample`): the
enclosure of interval branch and bound costs about as much as thousands of measured curves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import theory
from testbed.kinds import Column, Extent, Measure, Work
from testbed.measures.segments import chain_barriers
from testbed.measures.twin_check import ONE_IN, sample
from testbed.pair_set import PairSet
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1e-3  # width asked of an enclosure, in units of the loss
MOST_PIECES = 2000  # of [0, 1]; a search that stops there leaves a wider interval, which holds the barrier all the same


def enclosures(pairs: PairSet) -> Tensor:
    """[lo, hi] of each pair's barrier (training loss, `linear`), on the samples of A, `[n_pairs, 2]`.

    >>> import kernels, torch
    >>> architecture = kernels.Architecture((2, 3, 1), "tanh")
    >>> a, b = architecture.initial(2, seed=1), architecture.initial(2, seed=2)
    >>> pairs = PairSet.of(architecture, a, b, (torch.ones(8, 2), torch.ones(8, 1)))
    >>> found, measured = enclosures(pairs), torch.from_numpy(chain_barriers(pairs))
    >>> bool((measured <= found[:, 1]).all()), bool((found[:, 1] - found[:, 0] <= 2e-3).all())
    (True, True)
    """
    import torch

    found = torch.empty(len(pairs), 2, dtype=torch.float64)
    train = pairs.training_samples
    for number in train.set_a.unique().tolist():
        rows = torch.nonzero(train.set_a == number)[:, 0]
        a, b = pairs[rows].ends
        curve = theory.certified_path(
            a,
            b,
            train.x[number].double().numpy(),
            train.y[number].double().numpy(),
            pairs.architecture.activation,
            loss=pairs.loss,
            tol=TOLERANCE,
            negative_slope=pairs.architecture.negative_slope,
            most_pieces=MOST_PIECES,
        )
        found[rows] = torch.from_numpy(curve.enclosure("linear"))
    return found


def _compute(pairs: PairSet) -> dict[str, Tensor]:
    import torch

    found = {column.name: torch.full((len(pairs),), torch.nan, dtype=torch.float64) for column in MEASURE.columns}
    rows = sample(pairs)
    if len(rows):
        low, high = enclosures(pairs[rows]).unbind(1)
        found["certified_barrier"][rows] = low
        found["certified_gap"][rows] = high - low
        found["certified_missed"][rows] = (low - torch.from_numpy(chain_barriers(pairs[rows]))).clamp(min=0)
    return found


def _work(extent: Extent) -> Work:
    """Some 1,500 forward passes for each pair of the sample."""
    return Work(arrays=1500 / ONE_IN * extent.step)


def _lacks(setting: Setting) -> str | None:
    architecture = setting.architecture
    if architecture.normalise or architecture.residual:
        return "needs networks without architecture.normalise and architecture.residual"
    from theory.certified.intervals import ENCLOSED_ACTIVATIONS

    if architecture.activation not in ENCLOSED_ACTIVATIONS:
        return f"needs an architecture.activation of {', '.join(ENCLOSED_ACTIVATIONS)}"
    return None


MEASURE = Measure(
    name="certified",
    text=f"the barrier of the training loss with a proof, an interval that holds it, of one pair in {ONE_IN}",
    columns=(
        Column(
            "certified_barrier", "what the training barrier (linear) is at least, proved; null but of a sample", "loss"
        ),
        Column("certified_gap", "what it is at most, less that; null but of a sample", "loss"),
        Column("certified_missed", "by how much the grid of alphas misses it at least; null but of a sample", "loss"),
    ),
    compute=_compute,
    work=_work,
    lacks=_lacks,
)
