"""The exact training loss along the paths, by theory and by its compiled twin."""

from __future__ import annotations

import theory
from kernels.native import missing, piecewise
from testbed.columns import DEFINITIONS
from testbed.kinds import Extent, Predicted, Prediction, Twin, Work
from testbed.measures.predicted import by_training_samples, lacks_two_layers, shared, stacked
from testbed.pair_set import PairSet
from testbed.sections.setting import Setting


def exact_training(pairs: PairSet) -> Predicted:
    """The training loss as a piecewise polynomial, on the samples of both ends; these are one set but for a shift.

    >>> import kernels, torch
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> a, b = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> pairs = PairSet.of(architecture, a, b, (torch.ones(8, 2), torch.ones(8, 1)), alphas=5)
    >>> exact_training(pairs).loss.shape, exact_training(pairs).barriers.shape
    (torch.Size([4, 5]), torch.Size([4, 4, 2]))
    """
    import torch

    alphas = pairs.alphas.numpy()
    slope = piecewise.SLOPES.get(pairs.architecture.activation, pairs.architecture.negative_slope)
    loss = torch.empty(len(pairs), len(alphas), dtype=torch.float64)
    barriers = torch.empty(len(pairs), len(DEFINITIONS), 2, dtype=torch.float64)
    for rows, x, y in by_training_samples(pairs):
        a, b = pairs[rows].ends
        exact = theory.piecewise_barriers(a, b, x, y, alphas, negative_slope=slope, n_threads=1)
        loss[rows] = torch.from_numpy(exact.losses)
        barriers[rows] = stacked([exact.barriers[definition] for definition in DEFINITIONS])
    return Predicted(loss, barriers)


def compiled_exact_training(pairs: PairSet) -> Predicted:
    """`exact_training` by the compiled kernel.

    >>> import kernels, torch
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> a, b = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> pairs = PairSet.of(architecture, a, b, (torch.ones(8, 2), torch.ones(8, 1)), alphas=5)
    >>> not _takes_exact_training(pairs) or torch.allclose(
    ...     compiled_exact_training(pairs).barriers[..., 0], exact_training(pairs).barriers[..., 0], atol=1e-12)
    True
    """
    import torch

    train = pairs.training_samples
    found = piecewise.piecewise_losses(
        pairs.architecture,
        pairs.a.cpu(),
        pairs.b.cpu(),
        *train.sets,
        pairs.alphas,
        torch.stack([train.set_a, train.set_b], 1).numpy(),
    )
    return Predicted(found.losses, found.barriers)


def _takes_exact_training(pairs: PairSet) -> bool:
    return pairs.backend != "reference" and not missing() and not piecewise.lacks(pairs.architecture)


def _exact_training_lacks(setting: Setting) -> str | None:
    if why := lacks_two_layers(setting):
        return why
    activation = setting.architecture.activation
    if activation not in ("relu", "leaky_relu", "identity"):
        return f"a piecewise linear activation (relu, leaky_relu, identity), not {activation!r}"
    if not setting.one_training_set:
        return "one training set for all pairs, data.shared = 1"
    return "a training set, and training.online has none" if setting.training.online else None


def _exact_training_work(extent: Extent) -> Work:
    """Each of a path's pieces, about one for every sample and unit, has a polynomial of its own."""
    of_theory = Work(arrays=50.0 * extent.n_train * extent.architecture.n_parameters)
    compiled = not missing() and not piecewise.lacks(extent.architecture)
    return shared(of_theory, Work(kernels=100.0 * extent.step), compiled)


EXACT_TRAINING = Prediction(
    name="exact_training",
    text="the exact training loss (piecewise polynomial)",
    curve="training loss from the exact piecewise polynomial",
    source="of the exact training loss (piecewise polynomial), maximum over all of [0, 1]",
    predict=exact_training,
    work=_exact_training_work,
    lacks=_exact_training_lacks,
    twin=Twin(_takes_exact_training, compiled_exact_training, tolerance=0.0),
)
