"""What the predictions of `registry.PREDICTIONS` share: a curve as a table holds it, and what they ask of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

import theory
from testbed.columns import DEFINITIONS
from testbed.kinds import Predicted, Work
from testbed.measures.twin_check import ONE_IN
from testbed.pair_set import PairSet
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor


def of_curve(curve: theory.Curve, alphas: np.ndarray) -> Predicted:
    """A curve at the alphas, and its barriers."""
    import torch

    barriers = [curve.barrier(definition) for definition in DEFINITIONS]
    return Predicted(torch.from_numpy(curve(alphas)), stacked(barriers))


def stacked(barriers: Sequence[theory.Barrier]) -> Tensor:
    """Value and argmax under each definition, `[n_pairs, 4, 2]`."""
    import torch

    by_definition = [np.stack([barrier.value, barrier.argmax], 1) for barrier in barriers]
    return torch.from_numpy(np.stack(by_definition, 1))


def by_training_samples(pairs: PairSet) -> Iterator[tuple[Tensor, np.ndarray, np.ndarray]]:
    """The rows of pairs with the same training sets, and the samples of these, x `[n, n_inputs]` and y."""
    import torch

    train = pairs.training_samples
    sets = torch.stack([train.set_a, train.set_b], 1).numpy()
    different, number = np.unique(sets, axis=0, return_inverse=True)
    for k, (set_a, set_b) in enumerate(different.tolist()):
        chosen = [set_a] if set_a == set_b else [set_a, set_b]
        x, y = (samples[chosen].flatten(0, 1).numpy() for samples in train.sets)
        yield torch.from_numpy(np.flatnonzero(number == k)), x, y


def lacks_two_layers(setting: Setting) -> str | None:
    """What predictions of two layers ask for, as the end of a sentence that says what is needed."""
    if setting.training.loss != "mse":
        return "training.loss 'mse'"
    if setting.architecture.normalise:
        return "networks without architecture.normalise"
    if len(setting.architecture.hidden) != 1:
        return f"one hidden layer, not architecture.hidden = {list(setting.architecture.hidden)}"
    return None


def shared(of_theory: Work, of_kernel: Work, compiled: bool) -> Work:
    """What is left of theory's work where a compiled twin predicts, and theory a sample of the pairs."""
    return Work(kernels=of_kernel.kernels, arrays=of_theory.arrays / ONE_IN) if compiled else of_theory
