"""Compiled twins of theory, held to theory: the pairs that are computed by both routes, and how far these are apart."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from kernels import streams
from testbed.kinds import Predicted
from testbed.pair_set import PairSet

if TYPE_CHECKING:
    from torch import Tensor

ONE_IN = 64  # pairs that theory computes too, drawn by their seeds
ROUNDING = 1e-9  # how far losses by the two routes may be apart, in units of the largest on the path
FLOOR = 1e-3  # of the loss: below it, rounding is that of the moments or samples which it is the difference of


def sample(pairs: PairSet) -> Tensor:
    """Rows of the pairs that are computed by both routes: one in ONE_IN, and the first of every launch.

    The seeds of the pairs draw them, so that a study has the same sample however it is cut.

    >>> import torch
    >>> import kernels
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> params = architecture.initial(1000)
    >>> pairs = PairSet.of(architecture, params, params, (torch.ones(8, 2), torch.ones(8, 1)))
    >>> rows = sample(pairs)
    >>> int(rows[0]), 5 < len(rows) < 30, torch.equal(sample(pairs[rows]), torch.arange(len(rows)))
    (0, True, True)
    """
    import torch

    drawn = streams.integers(streams.words(streams.SEED, pairs.seeds, 0, 1)[..., 0], ONE_IN) == 0
    return torch.from_numpy(np.flatnonzero(drawn | (pairs.row == 0)))


def checked(name: str, by_twin: Predicted, by_theory: Predicted | None, rows: Tensor, tolerance: float) -> Predicted:
    """What the twin predicted, with how far theory is from it at `rows` (None: there are none).

    tolerance: of barriers, which each route knows to that much of the largest loss.

    Raises:
        ArithmeticError: they are too far apart for rounding; one of them is wrong.

    >>> import torch
    >>> one = torch.ones(3, 5, dtype=torch.float64)
    >>> found, theirs = (Predicted(loss, torch.zeros(len(loss), 4, 2)) for loss in (one, one[:1]))
    >>> checked("population", found, theirs, torch.tensor([1]), 0.0).check.tolist()
    [nan, 0.0, nan]
    """
    import torch

    check = torch.full((len(by_twin.loss),), torch.nan, dtype=torch.float64)
    if by_theory is None:
        return dataclasses.replace(by_twin, check=check)
    size = by_theory.loss.abs().amax(1).clamp(min=FLOOR)
    losses = (by_twin.loss[rows] - by_theory.loss).abs().amax(1) / size
    barriers = (by_twin.barriers[rows] - by_theory.barriers)[..., 0].abs().amax(1) / size
    if not bool((losses <= ROUNDING).all() and (barriers <= ROUNDING + tolerance).all()):
        raise ArithmeticError(
            f"The compiled kernel and theory differ over the prediction {name!r} by {float(losses.max()):.2g} in "
            f"losses and {float(barriers.max()):.2g} in barriers, of the largest loss on a path: one of them is wrong. "
            "Please report it; with --backend reference a study runs without the compiled kernel."
        )
    check[rows] = torch.maximum(losses, barriers)
    return dataclasses.replace(by_twin, check=check)
