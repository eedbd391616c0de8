"""Chains of straight segments: points trained so that the loss along them is low, and the barriers of a chain.

Gradients are those of `kernels.reference`, whole arrays of pairs at a time. Samples are x `[n_samples, n_inputs]` and
y, the same for all, or with a leading axis a set for each pair. A parameter that is 0 in all networks that a point is
trained between stays 0, so that masks are kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import kernels
import theory
from kernels import streams
from testbed.pair_set import PairSet, Samples

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Descent:
    """How a point of a chain is trained: `steps` of Adam, the rate falling from `lr` to 0 along a cosine."""

    steps: int = 1000
    lr: float = 0.01


def trained_bends(
    architecture: kernels.Architecture,
    ends: tuple[Tensor, Tensor],
    samples: Samples,
    loss: str,
    descent: Descent = Descent(),
    seeds: np.ndarray | None = None,
) -> Tensor:
    """The bend φ of each chain A – φ – B that lowers the mean loss along both segments, `[n_pairs, n_parameters]`.

    The polygonal chain of Garipov et al. (2018): φ starts at the midpoint; each step draws t ~ U(0, 1), takes the
    gradient at φ_t = (1 − s) end + s φ, s = 1 − |2t − 1|, and moves φ along s ∇L(φ_t). The ends `[n_pairs,
    n_parameters]` stay as they are. seeds: int64 `[n_pairs]`, of t. Float64.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> ends = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> trained_bends(architecture, ends, (torch.ones(8, 2), torch.ones(8, 1)), "mse", Descent(steps=5)).shape
    torch.Size([4, 13])
    """
    import torch

    from kernels import reference

    a, b = (end.double() for end in ends)
    x, y = _for_each_network(samples, len(a), loss)
    seeds = streams.network_seeds(0, len(a)) if seeds is None else seeds
    places = torch.from_numpy(streams.uniforms(streams.INITIAL, seeds, 0, descent.steps))
    free = (a != 0) | (b != 0)

    def gradient(bend: Tensor, step: int) -> Tensor:
        t = places[:, step, None]
        share = 1 - (2 * t - 1).abs()
        point = (1 - share) * torch.where(t < 0.5, a, b) + share * bend
        return share * reference.loss_and_gradient(architecture, point, x, y, loss)[1] * free

    return _descend(0.5 * (a + b), gradient, descent)


def star_centre(
    architecture: kernels.Architecture,
    leaves: Tensor,
    samples: Samples,
    loss: str,
    descent: Descent = Descent(),
) -> Tensor:
    """One network whose segments to all `leaves` `[n, n_parameters]` have a low mean loss, `[n_parameters]`, float64.

    The centre of a star domain (Sonthalia et al. 2024): it starts at the first leaf; each step draws a point of every
    segment and takes the mean gradient. Networks to test the star with should not be among the leaves.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> leaves = architecture.initial(4)
    >>> star_centre(architecture, leaves, (torch.ones(8, 2), torch.ones(8, 1)), "mse", Descent(steps=5)).shape
    torch.Size([13])
    """
    import torch

    from kernels import reference

    leaves = leaves.double()
    x, y = _for_each_network(samples, len(leaves), loss)
    seeds = streams.network_seeds(0, len(leaves))
    places = torch.from_numpy(streams.uniforms(streams.INITIAL, seeds, 0, descent.steps))
    free = (leaves != 0).any(0)

    def gradient(centre: Tensor, step: int) -> Tensor:
        t = places[:, step, None]
        points = (1 - t) * centre + t * leaves
        pull = (1 - t) * reference.loss_and_gradient(architecture, points, x, y, loss)[1]
        return pull.mean(0, keepdim=True) * free

    return _descend(leaves[:1].clone(), gradient, descent)[0]


def chain_barriers(pairs: PairSet, middle: Tensor | None = None) -> np.ndarray:
    """The largest barrier (training loss, `linear`) of the segments A – middle – B, `[n_pairs]`.

    middle: `[n_pairs, n_parameters]`; None: of A – B alone. Measured at the alphas between 0 and 1, on the samples of
    A, in float64.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 1), "identity")  # a convex loss has no barriers
    >>> a, b = architecture.initial(3, seed=1), architecture.initial(3, seed=2)
    >>> chain_barriers(PairSet.of(architecture, a, b, (torch.ones(4, 2), torch.ones(4, 1)))).tolist()
    [0.0, 0.0, 0.0]
    """
    points = [pairs.a, pairs.b] if middle is None else [pairs.a, middle, pairs.b]
    train = pairs.training_samples
    alphas = pairs.between
    barriers = []
    for start, end in itertools.pairwise(points):
        curves = kernels.path_losses(
            pairs.architecture,
            start.double(),
            end.double(),
            alphas,
            train.sets,
            pairs.loss,
            dataset=train.set_a,
            backend=pairs.backend,
        )
        barriers.append(theory.barriers_on_grid(alphas.numpy(), curves.loss.numpy(), "linear").value)
    return np.max(barriers, axis=0)


def _descend(start: Tensor, gradient: Callable[[Tensor, int], Tensor], descent: Descent) -> Tensor:
    """torch's Adam from `start`, gradient(point, step) being the gradient of each step."""
    import torch

    point = start.clone()
    optimizer = torch.optim.Adam([point], lr=descent.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(descent.steps, 1))
    for step in range(descent.steps):
        point.grad = gradient(point, step)
        optimizer.step()
        schedule.step()
    return point


def _for_each_network(samples: Samples, n: int, loss: str) -> Samples:
    """Float64 samples with a leading axis of n networks."""
    x, y = samples
    y = y.double() if loss == "mse" else y
    return x.double().expand(n, *x.shape[-2:]), (y if x.ndim == 3 else y.expand(n, *y.shape))
