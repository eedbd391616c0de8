"""The loss on the plane through three networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import kernels
from kernels.shown import Short
from testbed.pair_set import Samples

MARGIN = 0.25  # of the extent of the three networks, on every side


class OnOneLine(ValueError):
    """Three networks that lie on one line: there is no plane through them."""


@dataclass(frozen=True, eq=False, repr=False)
class Plane(Short):
    """Loss on the plane through three networks, in units of weight distance.

    loss `[resolution, resolution]` at u (columns) and v (rows): θ = θ_A + u e₁ + v e₂, e₁ along θ_B − θ_A, e₂
    orthogonal to it towards θ_C. corners `[3, 2]`: the (u, v) of A, B and C.
    """

    u: np.ndarray
    v: np.ndarray
    loss: np.ndarray
    corners: np.ndarray


def plane(
    architecture: kernels.Architecture,
    corners: Tensor,
    samples: Samples,
    loss: str,
    *,
    resolution: int = 41,
    backend: str = "auto",
) -> Plane:
    """The loss around three networks `[3, n_parameters]` and a quarter of their extent (Garipov et al. 2018, figure 1).

    samples: x `[n_samples, n_inputs]` and y. OnOneLine, a ValueError, if the three lie on one line.

    >>> architecture = kernels.Architecture((2, 1), "identity", biases=False)
    >>> corners = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]])
    >>> plane(architecture, corners, (torch.eye(2), torch.zeros(2, 1)), "mse").corners.tolist()
    [[0.0, 0.0], [2.0, 0.0], [1.0, 3.0]]
    """
    origin, along, towards, places = _axes(corners.double())
    low = places.min(0).values
    high = places.max(0).values
    extent = high - low
    low = low - MARGIN * extent
    high = high + MARGIN * extent
    u, v = (torch.linspace(float(low[k]), float(high[k]), resolution, dtype=torch.float64) for k in range(2))
    points = origin + u[None, :, None] * along + v[:, None, None] * towards
    flat = points.reshape(-1, len(origin))
    values = kernels.path_losses(architecture, flat, flat, [0.0], samples, loss, backend=backend).loss
    return Plane(u.numpy(), v.numpy(), values.reshape(resolution, resolution).numpy(), places.numpy())


def _axes(corners: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """θ_A, the unit vectors e₁ and e₂, and the (u, v) of the three corners, `[3, 2]`."""
    a, b, c = corners
    to_b = b - a
    to_c = c - a
    if not to_b.norm():
        raise OnOneLine("the three networks lie on one line: there is no plane through them.")
    along = to_b / to_b.norm()
    rest = to_c - (to_c @ along) * along
    if rest.norm() <= 1e-9 * to_c.norm():
        raise OnOneLine("the three networks lie on one line: there is no plane through them.")
    towards = rest / rest.norm()
    places = [[0.0, 0.0], [float(to_b.norm()), 0.0], [float(to_c @ along), float(to_c @ towards)]]
    return a, along, towards, torch.tensor(places, dtype=torch.float64)
