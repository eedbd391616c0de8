"""Layerwise linear feature connectivity: whether the features half-way are the mean of those at the ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import kernels
import theory
from testbed.kinds import Column, Measure, Work
from testbed.pair_set import PairSet, layers
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor


def feature_residual(architecture: kernels.Architecture, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """The largest residual over hidden layers at α = ½, `[n_pairs]` (Zhou et al. 2023); 0 where features interpolate.

    x: `[n_pairs, n_samples, n_inputs]`, a set for each pair. ValueError for normalised and residual networks, whose
    features theory does not have.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 3, 1), "identity")
    >>> a, b = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> bool((feature_residual(architecture, a, b, torch.ones(4, 8, 2)) < 1e-12).all())
    True
    """
    import torch

    if architecture.normalise or architecture.residual:
        raise ValueError("feature residuals are of networks without normalise and residual.")
    found = theory.feature_residuals(
        layers(architecture, a),
        layers(architecture, b),
        x.double().numpy(),
        architecture.activation,
        (0.5,),
        negative_slope=architecture.negative_slope,
    )
    hidden = found.residual[:, :-1, 0]
    return torch.from_numpy(hidden.max(1) if hidden.shape[1] else np.zeros(len(a)))


def _compute(pairs: PairSet) -> dict[str, Tensor]:
    x, _ = pairs.samples_of_a
    return {"feature_residual": feature_residual(pairs.architecture, pairs.a, pairs.b, x)}


def _lacks(setting: Setting) -> str | None:
    if setting.architecture.normalise or setting.architecture.residual:
        return "needs networks without architecture.normalise and architecture.residual"
    return None


MEASURE = Measure(
    name="features",
    text="the residual of linear feature connectivity",
    columns=(
        Column(
            "feature_residual",
            "largest residual over hidden layers of linear feature connectivity at alpha = 1/2, on the training inputs",
            "relative",
        ),
    ),
    compute=_compute,
    work=lambda extent: Work(arrays=3 * extent.step),
    lacks=_lacks,
)
