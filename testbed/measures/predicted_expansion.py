"""The training loss in the lazy and the quadratic limit: outputs to first and second order along the path."""

from __future__ import annotations

import theory
from testbed.columns import DEFINITIONS
from testbed.kinds import Extent, Predicted, Prediction, Work
from testbed.measures.predicted import by_training_samples, of_curve
from testbed.pair_set import PairSet
from testbed.sections.setting import Setting
from theory.structure.output_expansion import DERIVATIVES

EXPANDED = tuple(DERIVATIVES)  # activations


def expanded(pairs: PairSet, order: int) -> Predicted:
    """The training loss with the outputs to this order along the path, on the samples of both ends.

    >>> import kernels, torch
    >>> architecture = kernels.Architecture((2, 3, 1), "identity")
    >>> a, b = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> pairs = PairSet.of(architecture, a, b, (torch.ones(8, 2), torch.ones(8, 1)), alphas=5)
    >>> expanded(pairs, order=1).loss.shape
    torch.Size([4, 5])
    """
    import torch

    alphas = pairs.alphas.numpy()
    loss = torch.empty(len(pairs), len(alphas), dtype=torch.float64)
    barriers = torch.empty(len(pairs), len(DEFINITIONS), 2, dtype=torch.float64)
    for rows, x, y in by_training_samples(pairs):
        a, b = pairs[rows].ends
        predicted = of_curve(theory.expanded_path(a, b, x, y, pairs.architecture.activation, order), alphas)
        loss[rows] = predicted.loss
        barriers[rows] = predicted.barriers
    return Predicted(loss, barriers)


def _expanded_lacks(setting: Setting) -> str | None:
    architecture = setting.architecture
    needs = {
        "training.loss 'mse'": setting.training.loss == "mse",
        "a training set, and training.online has none": not setting.training.online,
        "networks without architecture.normalise and architecture.residual": not (
            architecture.normalise or architecture.residual
        ),
        f"an activation of {', '.join(EXPANDED)}": architecture.activation in EXPANDED,
    }
    return next((need for need, met in needs.items() if not met), None)


def _expanded_work(extent: Extent) -> Work:
    """Three passes, of a value and two derivatives each."""
    return Work(arrays=9 * extent.step)


LAZY = Prediction(
    name="lazy",
    text="the training loss of networks that are linear in their parameters between the ends (the lazy limit, mse)",
    curve="training loss with outputs that are linear along the path",
    source="in the lazy limit, outputs linear along the path: never above 0",
    predict=lambda pairs: expanded(pairs, order=1),
    work=_expanded_work,
    lacks=_expanded_lacks,
)


QUADRATIC = Prediction(
    name="quadratic",
    text="the training loss of networks that are quadratic in their parameters between the ends, from the outputs' "
    "second derivative at the midpoint (mse)",
    curve="training loss with outputs that are quadratic along the path, their curvature that at the midpoint",
    source="with outputs quadratic along the path, their curvature that at the midpoint",
    predict=lambda pairs: expanded(pairs, order=2),
    work=_expanded_work,
    lacks=_expanded_lacks,
)
