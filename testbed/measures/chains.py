"""Paths of more than one segment, and the plane through three networks.

Gradients are those of `kernels.reference`, whole arrays of pairs at a time; samples are x `[n_samples, n_inputs]` and y, the same for all, or with a
leading axis a set for each. A parameter that is 0 in all networks that a point is trained between stays 0: masks are kept.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import kernels
import theory
from kernels import reference, streams

STAR_LEAVES = (
    8  # networks of a cell that a star's centre is trained to, at most: half of them if they are fewer than 16
)


@dataclass(frozen=True, eq=False)
class Plane:
    """Loss on the plane through three networks: loss `[resolution, resolution]` at u (columns) and v (rows), in units of weight distance.

    θ = θ_A + u e₁ + v e₂, e₁ along θ_B − θ_A, e₂ orthogonal to it towards θ_C; corners `[3, 2]` are the (u, v) of A, B and C.
    """

    u: np.ndarray
    v: np.ndarray
    loss: np.ndarray
    corners: np.ndarray


def trained_bends(
    architecture: kernels.Architecture,
    a: Tensor,
    b: Tensor,
    data: tuple[Tensor, Tensor],
    loss: str,
    *,
    steps: int = 1000,
    lr: float = 0.01,
    seed: int = 0,
) -> Tensor:
    """The bend φ of each chain A – φ – B that lowers the mean loss along both segments, `[n_pairs, n_parameters]`, float64.

    The polygonal chain of Garipov et al. (2018): φ starts at the midpoint; each step draws t ~ U(0, 1), takes the gradient at
    φ_t = (1 − s) end + s φ, s = 1 − |2t − 1|, and moves φ along s ∇L(φ_t) by Adam (rate `lr`). Ends stay as they are.
    """
    x, y = _samples(data, len(a), loss)
    ends = a.double(), b.double()
    place = torch.from_numpy(streams.uniforms(streams.INITIAL, streams.network_seeds(seed, len(a)), 0, steps))

    def gradient(bend: Tensor, step: int) -> Tensor:
        t = place[:, step, None]
        share = 1 - (2 * t - 1).abs()
        at = (1 - share) * torch.where(t < 0.5, ends[0], ends[1]) + share * bend
        return share * reference.loss_and_gradient(architecture, at, x, y, loss)[1] * there

    there = (ends[0] != 0) | (ends[1] != 0)
    return _adam(0.5 * (ends[0] + ends[1]), gradient, steps, lr)


def star_centre(
    architecture: kernels.Architecture,
    params: Tensor,
    data: tuple[Tensor, Tensor],
    loss: str,
    *,
    steps: int = 1000,
    lr: float = 0.01,
    seed: int = 0,
) -> Tensor:
    """One network whose segments to all of `params` `[n, n_parameters]` have a low mean loss, `[n_parameters]`, float64.

    A star domain's centre (Sonthalia et al. 2024): it starts at the first network; each step draws a point of every segment and takes the mean
    gradient, by Adam. Networks to test the star with should not be among `params`.
    """
    x, y = _samples(data, len(params), loss)
    leaves = params.double()
    place = torch.from_numpy(streams.uniforms(streams.INITIAL, streams.network_seeds(seed, len(params)), 0, steps))

    def gradient(centre: Tensor, step: int) -> Tensor:
        t = place[:, step, None]
        return ((1 - t) * reference.loss_and_gradient(architecture, (1 - t) * centre + t * leaves, x, y, loss)[1]).mean(
            0, keepdim=True
        ) * there

    there = (leaves != 0).any(0)
    return _adam(leaves[:1].clone(), gradient, steps, lr)[0]


def chain_barriers(
    architecture: kernels.Architecture,
    points: list[Tensor],
    data: tuple[Tensor, Tensor],
    loss: str,
    alphas: Tensor,
    *,
    dataset: np.ndarray | None = None,
    backend: str = "auto",
) -> np.ndarray:
    """The largest barrier (`linear`) of the segments of a chain of points `[n_pairs, n_parameters]`, one after the other: `[n_pairs]`."""
    found = []
    for one, other in itertools.pairwise(points):
        curves = kernels.path_losses(
            architecture, one.double(), other.double(), alphas, data, loss, dataset=dataset, backend=backend
        )
        found.append(theory.barriers_on_grid(alphas.numpy(), curves.loss.numpy(), "linear").value)
    return np.max(found, axis=0)


def plane(
    architecture: kernels.Architecture,
    corners: Tensor,
    data: tuple[Tensor, Tensor],
    loss: str,
    *,
    resolution: int = 41,
    margin: float = 0.25,
    backend: str = "auto",
) -> Plane:
    """The loss on the plane through three networks `[3, n_parameters]` and `margin` of its extent around them (Garipov et al. 2018, figure 1).

    ValueError if the three lie on one line.
    """
    a, b, c = corners.double()
    along, third = b - a, c - a
    if not along.norm():
        raise ValueError("the three networks lie on one line: there is no plane through them.")
    e1 = along / along.norm()
    rest = third - (third @ e1) * e1
    if rest.norm() <= 1e-9 * third.norm():
        raise ValueError("the three networks lie on one line: there is no plane through them.")
    e2 = rest / rest.norm()
    at = torch.tensor(
        [[0.0, 0.0], [float(along.norm()), 0.0], [float(third @ e1), float(third @ e2)]], dtype=torch.float64
    )
    low, high = at.min(0).values, at.max(0).values
    low, high = low - margin * (high - low), high + margin * (high - low)
    u, v = (torch.linspace(float(low[k]), float(high[k]), resolution, dtype=torch.float64) for k in range(2))
    points = a + u[None, :, None] * e1 + v[:, None, None] * e2
    flat = points.reshape(-1, len(a))
    values = kernels.path_losses(architecture, flat, flat, [0.0], data, loss, backend=backend).loss
    return Plane(u.numpy(), v.numpy(), values.reshape(resolution, resolution).numpy(), at.numpy())


def _adam(start: Tensor, gradient: object, steps: int, lr: float) -> Tensor:
    """`steps` of torch's Adam from `start`, the rate falling to 0 along a cosine."""
    point = start.clone()
    optimizer = torch.optim.Adam([point], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    for step in range(steps):
        point.grad = gradient(point, step)  # type: ignore[operator]
        optimizer.step()
        schedule.step()
    return point


def _samples(data: tuple[Tensor, Tensor], n: int, loss: str) -> tuple[Tensor, Tensor]:
    x, y = data
    y = y.double() if loss == "mse" else y
    return x.double().expand(n, *x.shape[-2:]), (y if x.ndim == 3 else y.expand(n, *y.shape))
