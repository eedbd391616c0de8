"""Cross-entropy along a path is its parts, and its bound holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.theory.problems import networks
from theory import cross_entropy_parts


def features(a, b, alpha, x, sigma):
    """Pre-activations of each layer of the interpolated networks, list of [n, n_samples, units]."""
    h, found = x, []
    for (wa, ba), (wb, bb) in zip(a, b, strict=True):
        z = h @ ((1 - alpha) * wa + alpha * wb).swapaxes(1, 2) + ((1 - alpha) * ba + alpha * bb)[:, None]
        found.append(z)
        h = sigma(z)
    return found


@given(seed=st.integers(0, 2**32 - 1), n_classes=st.integers(2, 5))
def test_cross_entropy_is_its_parts(seed, n_classes):
    rng = np.random.default_rng(seed)
    a, b, x = networks(rng, 3, (2, 4, n_classes)), networks(rng, 3, (2, 4, n_classes)), 3 * rng.standard_normal((20, 2))
    labels, alphas = rng.integers(0, n_classes, 20), np.linspace(0, 1, 11)
    logits = np.stack([features(a, b, alpha, x, np.tanh)[-1] for alpha in alphas], axis=1)
    parts = cross_entropy_parts(alphas, logits, labels)
    probability = np.exp(logits) / np.exp(logits).sum(axis=3, keepdims=True)
    loss = -np.log(
        np.take_along_axis(probability, np.broadcast_to(labels[:, None], (*logits.shape[:3], 1)), axis=3)
    ).mean(axis=(2, 3))
    height = loss - ((1 - alphas) * loss[:, :1] + alphas * loss[:, -1:])
    np.testing.assert_allclose(parts.height, height, atol=1e-12)
    np.testing.assert_allclose(parts.lse_shift - parts.jensen_gap - parts.label_shift, height, atol=1e-12)
    assert (parts.jensen_gap >= -1e-15).all()
    assert (parts.jensen_gap[:, 5] > 1e-4).all()
    assert (parts.height <= parts.bound + 1e-12).all()
    mean_logits = (1 - alphas[:, None, None]) * logits[:, :1] + alphas[:, None, None] * logits[:, -1:]
    # Interpolated logits themselves: nothing but the Jensen gap, of which this is another form.
    straight = cross_entropy_parts(alphas, mean_logits, labels)
    np.testing.assert_allclose(straight.height, -straight.jensen_gap, atol=1e-12)
    np.testing.assert_allclose(straight.bound, -straight.jensen_gap, atol=1e-12)
    np.testing.assert_allclose(straight.jensen_gap, parts.jensen_gap, atol=1e-12)
    worst = np.abs(logits - mean_logits).max(axis=3).mean(axis=2)
    np.testing.assert_allclose(parts.bound + parts.jensen_gap, 2 * worst, atol=1e-12)


def test_cross_entropy_parts_refuse():
    with pytest.raises(ValueError, match="beginning with 0 and ending with 1"):
        cross_entropy_parts([0.0, 0.5], np.zeros((1, 2, 3, 2)), [0, 1, 0])
    with pytest.raises(ValueError, match=r"logits has shape \(1, 3, 3, 2\) and labels \(3,\)"):
        cross_entropy_parts([0.0, 1.0], np.zeros((1, 3, 3, 2)), [0, 1, 0])
    with pytest.raises(ValueError, match="labels holds numbers that are no class; outputs have 2 classes"):
        cross_entropy_parts([0.0, 1.0], np.zeros((1, 2, 3, 2)), [0, 1, 2])
