"""The barrier that is left at the best softmax temperature: what of it is more than a matter of confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kernels
import theory
from testbed import columns
from testbed.kinds import Column, Mark, Measure, Work
from testbed.measures.points import for_each_point, points_on_paths
from testbed.pair_set import PairSet, Samples
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1e-12  # nats that calibration may leave
MOST_STEPS = 100
LARGEST_BETA = 2.0**20


def calibrated_losses(
    architecture: kernels.Architecture, a: Tensor, b: Tensor, alphas: Tensor, samples: Samples
) -> Tensor:
    """Cross-entropy along the path after the best softmax temperature at each alpha, `[n_pairs, n_alphas]`.

    min over β = 1/T ∈ [0, 2²⁰] of mean[LSE(β z) − β z_y], z the outputs and z_y that of the right class.
    samples: x `[n_pairs, n_samples, n_inputs]` and class numbers `[n_pairs, n_samples]`.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 2), "identity", biases=False)
    >>> right = torch.eye(2).reshape(1, 4)  # the class is the larger input: at a low temperature, no loss
    >>> samples = (torch.eye(2)[None], torch.tensor([[0, 1]]))
    >>> bool((calibrated_losses(architecture, right, right, torch.tensor([0.0]), samples) < 1e-6).all())
    True
    """
    from kernels import reference

    n_alphas = len(alphas)
    x, classes = samples
    outputs = reference.forward(architecture, points_on_paths(a, b, alphas), for_each_point(x.double(), n_alphas))[0]
    right = outputs.gather(2, for_each_point(classes, n_alphas)[:, :, None])[:, :, 0]
    beta = best_inverse_temperature(outputs, right)
    losses = (beta[:, None, None] * outputs).logsumexp(2) - beta[:, None] * right
    return losses.mean(1).view(len(a), n_alphas)


def best_inverse_temperature(outputs: Tensor, right: Tensor) -> Tensor:
    """The β that minimises mean[LSE(β z) − β z_y] of each network, `[n]`; outputs z `[n, n_samples, n_classes]`.

    The mean is convex in β: Newton's method, kept between bounds where the slope has either sign, with a bisection
    every fourth step, until the next step would gain no more than TOLERANCE nats.
    """
    import torch

    rounding = 1e-15 * outputs.abs().amax((1, 2))
    low = torch.zeros(len(outputs), dtype=torch.float64)
    high = torch.full((len(outputs),), LARGEST_BETA, dtype=torch.float64)
    beta = torch.ones(len(outputs), dtype=torch.float64)
    for step in range(MOST_STEPS):
        probabilities = (beta[:, None, None] * outputs).softmax(2)
        mean = (probabilities * outputs).sum(2)
        slope = (mean - right).mean(1)
        curvature = (probabilities * (outputs - mean[:, :, None]).square()).sum(2).mean(1)
        at_a_bound = ((beta == 0) & (slope > 0)) | ((beta == LARGEST_BETA) & (slope < 0))
        done = at_a_bound | (slope.square() <= TOLERANCE * curvature) | (slope.abs() <= rounding)
        if bool(done.all()):
            break
        low = torch.where(slope < 0, beta, low)
        high = torch.where(slope < 0, high, beta)
        newton = (beta - slope / curvature).clamp(0, LARGEST_BETA)
        take_newton = (newton >= low) & (newton <= high) & (step % 4 < 3)
        moved = torch.where(take_newton, newton, 0.5 * (low + high))
        beta = torch.where(done, beta, moved)
    return beta


def _compute(pairs: PairSet) -> dict[str, Tensor]:
    import torch

    alphas = pairs.between
    losses = calibrated_losses(pairs.architecture, pairs.a, pairs.b, alphas, pairs.samples_of_a)
    barrier = theory.barriers_on_grid(alphas.numpy(), losses.numpy(), "linear").value
    return {BARRIER: torch.from_numpy(barrier)}


def _lacks(setting: Setting) -> str | None:
    return None if setting.training.loss == "cross_entropy" else "needs training.loss 'cross_entropy'"


PATH = "calibrated"
BARRIER = columns.barrier("train_loss", path=PATH)
MEASURE = Measure(
    name="temperature",
    text="the barrier that is left at the best softmax temperature at each alpha",
    columns=(
        Column(
            BARRIER,
            "barrier of the training loss (linear, on the grid) after the best softmax temperature at each alpha",
            "loss",
        ),
    ),
    compute=_compute,
    work=lambda extent: Work(arrays=2 * extent.n_alphas * extent.step),
    lacks=_lacks,
    held=lambda pairs: len(pairs.between),
    mark=Mark("x", "at the best temperature"),
    path=PATH,
)
