"""Loss and error along paths, as the kernels measure them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import kernels
from testbed import columns
from testbed.kinds import Extent, Work
from testbed.pair_set import PairSet, TrainSamples

if TYPE_CHECKING:
    from torch import Tensor


def measured(pairs: PairSet, path: str = "") -> dict[str, Tensor]:
    """Loss and error on training samples and on test samples `[n_pairs, n_alphas]`, and the paths' length `[n_pairs]`.

    By the names of `testbed.columns` with this path in front, as float64. What there are no samples for is left out.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> a, b = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> sorted(measured(PairSet.of(architecture, a, b, (torch.ones(8, 2), torch.zeros(8, 1))), path="weights"))
    ['weights_distance', 'weights_train_loss']
    """
    found = {"distance": (pairs.a.double() - pairs.b.double()).norm(dim=1)}
    if pairs.train is not None:
        found |= _on_training_samples(pairs, pairs.train)
    if pairs.test is not None:
        found |= _on_test_samples(pairs)
    return {columns.along(name, path): values for name, values in found.items()}


def work(extent: Extent) -> Work:
    """Multiply-adds of one path: over the training samples and over the test samples."""
    samples = extent.n_train + extent.n_test
    return Work(kernels=float(extent.n_alphas * samples * extent.architecture.n_parameters))


def _on_training_samples(pairs: PairSet, train: TrainSamples) -> dict[str, Tensor]:
    """Where the ends were trained on different samples, the mean over both sets."""
    import torch

    sets = [train.set_a] if torch.equal(train.set_a, train.set_b) else [train.set_a, train.set_b]
    curves = [_curves(pairs, train.sets, dataset=dataset) for dataset in sets]
    found = {"train_loss": torch.stack([curve.loss for curve in curves]).mean(0)}
    errors = [curve.error for curve in curves if curve.error is not None]
    if errors:
        found["train_error"] = torch.stack(errors).mean(0)
    return found


def _on_test_samples(pairs: PairSet) -> dict[str, Tensor]:
    """On held-out samples; or on a teacher's fresh inputs, in the precision that the networks were trained in.

    Rounding to float32 moves a mean over fresh inputs by 1e-4 of its standard error at most, and halves the time.
    """
    assert pairs.test is not None
    fresh: dict[str, Any] = {}
    if pairs.teacher is not None:
        fresh = {"n_samples": pairs.test.n_fresh, "seeds": pairs.seeds, "dtype": pairs.a.dtype}
    curve = _curves(pairs, pairs.test.source, dataset=pairs.test.dataset, **fresh)
    found = {"test_loss": curve.loss, "test_standard_error": curve.standard_error, "test_skewness": curve.skewness}
    if curve.error is not None:
        found["test_error"] = curve.error
    return found


def _curves(pairs: PairSet, data: Any, **options: Any) -> kernels.PathLosses:
    return kernels.path_losses(
        pairs.architecture, pairs.a, pairs.b, pairs.alphas, data, pairs.loss, backend=pairs.backend, **options
    )
