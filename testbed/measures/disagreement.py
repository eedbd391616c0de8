"""How far the predictions of the two ends are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kernels
from testbed.kinds import Column, Measure, Work
from testbed.pair_set import PairSet

if TYPE_CHECKING:
    from torch import Tensor


def disagreement(architecture: kernels.Architecture, a: Tensor, b: Tensor, x: Tensor, loss: str) -> Tensor:
    """Share of inputs that A and B put in different classes, `[n_pairs]`; for mse √(mean ‖f_A − f_B‖²).

    NaN where an output is NaN: it puts an input in no class.
    a, b: `[n_pairs, n_parameters]`; x: `[n_pairs, n_samples, n_inputs]`, a set for each pair.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 1), "identity", biases=False)
    >>> a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0]])
    >>> disagreement(architecture, a, b, torch.ones(1, 5, 2), "mse")
    tensor([2.], dtype=torch.float64)
    """
    import torch

    from kernels import reference

    outputs_a, outputs_b = (reference.forward(architecture, end.double(), x.double())[0] for end in (a, b))
    if loss == "mse":
        return (outputs_a - outputs_b).square().sum(2).mean(1).sqrt()
    apart = (outputs_a.argmax(2) != outputs_b.argmax(2)).double()
    nowhere = (outputs_a.isnan() | outputs_b.isnan()).any(2)
    return torch.where(nowhere, torch.nan, apart).mean(1)


def _compute(pairs: PairSet) -> dict[str, Tensor]:
    x, _ = pairs.samples_of_a
    return {"disagreement": disagreement(pairs.architecture, pairs.a, pairs.b, x, pairs.loss)}


MEASURE = Measure(
    name="disagreement",
    text="how far the predictions of the two ends are apart",
    columns=(
        Column(
            "disagreement",
            "share of training samples that the two ends put in different classes "
            "(mse: root mean square difference of outputs)",
            "share",
        ),
    ),
    compute=_compute,
    work=lambda extent: Work(arrays=2 * extent.step),
)
