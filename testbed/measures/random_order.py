"""The barrier half-way if the units of one end stood in a random order: what to expect of independent networks.

theory.random_order gives the outputs' mean and covariance over all orders of B's hidden units, exactly; squared losses
follow exactly, cross-entropy and errors with outputs that are normal. Beside it what the mean outputs alone would have,
without the spread that which units meet makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import kernels
import theory
from testbed.columns import barrier
from testbed.kinds import Column, Extent, Measure, Work
from testbed.measures.predicted import by_training_samples
from testbed.pair_set import PairSet
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

PAIRS_AT_A_TIME = 64
NOISE = "random_order_noise"
PATHS = {
    "random_order": "predicted for a random order of B's units",
    "shared_by_orders": "of the mean outputs over all orders of B's units",
}
QUANTITIES = {"train_loss": ("training loss", "loss"), "train_error": ("share misclassified", "share")}


def expected(pairs: PairSet) -> dict[str, Tensor]:
    """Barriers half-way (`midpoint`), predicted and of the mean outputs, and the order's share of the variance.

    Errors are NaN for mse. Every column `[n_pairs]`, float64.

    >>> import kernels, torch
    >>> architecture = kernels.Architecture((2, 3, 1), "tanh")
    >>> a, b = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> found = expected(PairSet.of(architecture, a, b, (torch.ones(8, 2), torch.ones(8, 1))))
    >>> sorted(found)[0], found[sorted(found)[0]].shape
    ('random_order_noise', torch.Size([4]))
    """
    import torch

    found = {name: torch.full((len(pairs),), torch.nan, dtype=torch.float64) for name in _COLUMNS}
    for rows, x, y in by_training_samples(pairs):
        for some in rows.split(PAIRS_AT_A_TIME):
            for name, values in _of(pairs[some], x, y).items():
                found[name][some] = torch.from_numpy(values)
    return found


def _of(pairs: PairSet, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """The columns that exist of pairs with the same training samples."""
    architecture = pairs.architecture
    half_way = theory.random_order(*pairs.ends, x, architecture.activation, negative_slope=architecture.negative_slope)
    ends = [_quantities(_known(architecture, end, x), y, pairs.loss) for end in (pairs.a, pairs.b)]
    found = {NOISE: half_way.noise()}
    for path, order in zip(PATHS, (half_way, half_way.of_the_mean()), strict=True):
        for quantity, values in _quantities(order, y, pairs.loss).items():
            found[barrier(quantity, "midpoint", path)] = values - (ends[0][quantity] + ends[1][quantity]) / 2
    return found


def _known(architecture: kernels.Architecture, params: Tensor, x: np.ndarray) -> theory.RandomOrder:
    """The outputs of networks, which no order changes."""
    import torch

    from kernels import reference

    samples = torch.from_numpy(x).double().expand(len(params), -1, -1)
    outputs = reference.forward(architecture, params.double().cpu(), samples)[0].numpy()
    return theory.RandomOrder(outputs, np.zeros((*outputs.shape, outputs.shape[2])))


def _quantities(order: theory.RandomOrder, y: np.ndarray, loss: str) -> dict[str, np.ndarray]:
    """Losses, and of classes errors, `[n_pairs]`."""
    if loss == "mse":
        return {"train_loss": order.squared_loss(y)}
    return {"train_loss": order.cross_entropy(y), "train_error": order.misclassified(y)}


def _work(extent: Extent) -> Work:
    """Every unit of A with every one of B."""
    _, units, outputs = extent.architecture.widths
    return Work(arrays=4 * extent.n_train * units**2 * (outputs + 2))


def _lacks(setting: Setting) -> str | None:
    from theory.structure.feature_connectivity import FUNCTIONS

    architecture, activations = setting.architecture, (*FUNCTIONS, "leaky_relu")
    needs = {
        f"one hidden layer, not architecture.hidden = {list(architecture.hidden)}": len(architecture.hidden) == 1,
        "at least two hidden units": min(architecture.hidden, default=0) > 1,
        "networks without architecture.normalise and architecture.residual": not (
            architecture.normalise or architecture.residual
        ),
        f"an architecture.activation of {', '.join(activations)}": architecture.activation in activations,
        "a training set, and training.online has none": not setting.training.online,
    }
    return next((f"needs {need}" for need, met in needs.items() if not met), None)


_COLUMNS = {
    barrier(quantity, "midpoint", path): Column(
        barrier(quantity, "midpoint", path), f"barrier (midpoint) of the {what}, {of_path}; one hidden layer", unit
    )
    for path, of_path in PATHS.items()
    for quantity, (what, unit) in QUANTITIES.items()
} | {
    NOISE: Column(NOISE, "share of the variance of the outputs half-way that is that of a random order", "share"),
}
MEASURE = Measure(
    name="random_order",
    text="the barrier half-way (midpoint) if the units of one end stood in a random order, as those of independent "
    "networks do, from the outputs' mean and covariance over all orders (one hidden layer)",
    columns=tuple(_COLUMNS.values()),
    compute=expected,
    work=_work,
    lacks=_lacks,
)
