"""Residuals of feature connectivity: the identity behind them, and where the theorem says they vanish."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.theory.problems import networks
from theory import feature_residuals, piecewise_path
from theory.structure.feature_connectivity import FUNCTIONS


def features(a, b, alpha, x, sigma):
    """Pre-activations of each layer of the interpolated networks, list of [n, n_samples, units]."""
    h, found = x, []
    for (wa, ba), (wb, bb) in zip(a, b, strict=True):
        z = h @ ((1 - alpha) * wa + alpha * wb).swapaxes(1, 2) + ((1 - alpha) * ba + alpha * bb)[:, None]
        found.append(z)
        h = sigma(z)
    return found


@given(seed=st.integers(0, 2**32 - 1), activation=st.sampled_from([*FUNCTIONS, "leaky_relu"]), depth=st.integers(1, 4))
def test_feature_residuals_and_their_identity(seed, activation, depth):
    rng = np.random.default_rng(seed)
    widths = [2, *rng.integers(1, 5, depth)]
    a, b, x = networks(rng, 2, widths), networks(rng, 2, widths), rng.standard_normal((6, 2))
    sigma = FUNCTIONS.get(activation, lambda u: np.where(u > 0, u, 0.3 * u))
    found = feature_residuals(a, b, x, activation, [0.3], negative_slope=0.3)
    start, end, between = (features(a, b, alpha, x, sigma) for alpha in (0.0, 1.0, 0.3))
    for layer in range(depth):
        act = sigma if layer < depth - 1 else (lambda u: u)
        bar = 0.7 * act(start[layer]) + 0.3 * act(end[layer])
        gap = ((act(between[layer]) - bar) ** 2).sum(axis=2).mean(axis=1)
        size = (bar**2).sum(axis=2).mean(axis=1)
        expected = np.where(
            size > 0, gap / np.where(size > 0, size, 1), np.where(gap > 0, np.inf, 0)
        )  # both ends dead, the middle alive
        np.testing.assert_allclose(found.residual[:, layer, 0], expected, atol=1e-12)
        norms = np.linalg.norm(act(between[layer]), axis=2) * np.linalg.norm(bar, axis=2)
        cosine = np.where(norms > 0, (act(between[layer]) * bar).sum(axis=2) / np.where(norms > 0, norms, 1), 0).mean(
            axis=1
        )
        np.testing.assert_allclose(found.cosine[:, layer, 0], cosine, atol=1e-12)
        if layer == 0:
            continue
        # z(α) − z̄ = W(α) (h(α) − h̄) − α (1 − α) ΔW Δh, on the layer below.
        below = 0.7 * sigma(start[layer - 1]) + 0.3 * sigma(end[layer - 1])
        weight = 0.7 * a[layer][0] + 0.3 * b[layer][0]
        product_of_changes = (sigma(end[layer - 1]) - sigma(start[layer - 1])) @ (b[layer][0] - a[layer][0]).swapaxes(
            1, 2
        )
        identity = (sigma(between[layer - 1]) - below) @ weight.swapaxes(1, 2) - 0.21 * product_of_changes
        np.testing.assert_allclose(between[layer] - (0.7 * start[layer] + 0.3 * end[layer]), identity, atol=1e-11)
        np.testing.assert_allclose(
            found.commutativity[:, layer - 1], (product_of_changes**2).sum(axis=2).mean(axis=1), atol=1e-12
        )
        straight = sigma(0.7 * start[layer - 1] + 0.3 * end[layer - 1])
        np.testing.assert_allclose(
            found.additivity[:, layer - 1, 0], ((straight - below) ** 2).sum(axis=2).mean(axis=1), atol=1e-12
        )


def test_feature_residuals_on_inputs_of_each_pair():
    rng = np.random.default_rng(5)
    a, b, x = networks(rng, 3, (2, 4, 3, 1)), networks(rng, 3, (2, 4, 3, 1)), rng.standard_normal((3, 7, 2))
    together = feature_residuals(a, b, x, "relu")
    for k in range(3):
        one, other = ([(w[k : k + 1], c[k : k + 1]) for w, c in side] for side in (a, b))
        for found, alone in zip(together, feature_residuals(one, other, x[k], "relu"), strict=True):
            np.testing.assert_allclose(found[k], alone[0], rtol=1e-12)
    with pytest.raises(ValueError, match=r"x has shape \(2, 7, 2\)"):
        feature_residuals(a, b, x[:2], "relu")


def test_features_interpolate_where_the_theorem_says():
    """One first layer at both ends: h is one too, commutativity and additivity hold, the barrier is 0."""
    rng = np.random.default_rng(2)
    a, x = networks(rng, 3, (2, 5, 1)), rng.standard_normal((30, 2))
    b = [a[0], networks(rng, 3, (2, 5, 1))[1]]
    found = feature_residuals(a, b, x, "relu")
    np.testing.assert_allclose(found.commutativity, 0, atol=1e-25)
    np.testing.assert_allclose(found.residual, 0, atol=1e-25)
    np.testing.assert_allclose(found.cosine[:, -1], 1, atol=1e-12)
    np.testing.assert_allclose(piecewise_path(a, b, x, rng.standard_normal((30, 1))).barrier().value, 0, atol=1e-14)
    with pytest.raises(ValueError, match=r"activation 'relus' is not known; did you mean 'relu'\?"):
        feature_residuals(a, b, x, "relus")
    with pytest.raises(ValueError, match=r"x has shape \(30, 3\) and alphas \(3,\); give \[n_samples, 2\]"):
        feature_residuals(a, b, np.zeros((30, 3)), "relu")
