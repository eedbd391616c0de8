"""The control of a midpoint: random directions that are half as long as the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import kernels
from kernels import streams
from testbed.kinds import Column, Measure, Work
from testbed.measures.points import mean_losses
from testbed.pair_set import PairSet, Samples

if TYPE_CHECKING:
    from torch import Tensor


def perturbation(
    architecture: kernels.Architecture, a: Tensor, b: Tensor, samples: Samples, loss: str, seeds: np.ndarray
) -> Tensor:
    """Mean loss at both ends moved by ½‖θ_A − θ_B‖ in random directions, less the mean of the ends, `[n_pairs]`.

    a, b: `[n_pairs, n_parameters]`. samples: x `[n_pairs, n_samples, n_inputs]` and y. seeds: int64 `[n_pairs]`, of the
    directions, which are uniform on the sphere.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 1), "identity", biases=False)
    >>> ends = torch.zeros(1, 2)
    >>> perturbation(architecture, ends, ends, (torch.ones(1, 4, 2), torch.zeros(1, 4, 1)), "mse", np.array([0]))
    tensor([0.], dtype=torch.float64)
    """
    import torch

    x, y = samples
    x = x.double()
    y = y.double() if loss == "mse" else y
    length = 0.5 * (a.double() - b.double()).norm(dim=1, keepdim=True)
    rise = torch.zeros(len(a), dtype=torch.float64)
    for draw, end in enumerate((a.double(), b.double())):
        direction = torch.from_numpy(streams.normals(streams.INITIAL, seeds, draw, end.shape[1]))
        moved = end + length * direction / direction.norm(dim=1, keepdim=True)
        before = mean_losses(architecture, end, x, y, loss)
        after = mean_losses(architecture, moved, x, y, loss)
        rise += 0.5 * (after - before)
    return rise


def _compute(pairs: PairSet) -> dict[str, Tensor]:
    rise = perturbation(pairs.architecture, pairs.a, pairs.b, pairs.samples_of_a, pairs.loss, pairs.seeds)
    return {"perturbation_loss_rise": rise}


MEASURE = Measure(
    name="perturbation",
    text="the rise of the loss in random directions as long as half the path",
    columns=(
        Column(
            "perturbation_loss_rise",
            "rise of the training loss from the ends, half the path's length away in random directions",
            "loss",
        ),
    ),
    compute=_compute,
    work=lambda extent: Work(arrays=4 * extent.step),
)
