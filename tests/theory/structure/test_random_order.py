"""Paths over all orders of one end's hidden units, against trying them, and against networks that were drawn apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

import theory
from tests.theory.problems import forward, interpolate, leaky, networks
from theory.structure.feature_connectivity import FUNCTIONS

WIDTHS = (3, 4, 4)
RELU = FUNCTIONS["relu"]


def in_order(layers, order):
    """The same networks with their units in this order."""
    (w, b), (v, c) = layers
    return [(w[:, order], None if b is None else b[:, order]), (v[:, :, order], c)]


def normal(rng, *shape):
    return rng.standard_normal(shape)


@pytest.mark.parametrize("activation", [*FUNCTIONS, "leaky_relu"])
@pytest.mark.parametrize(("alpha", "biased"), [(0.5, True), (0.2, (True, False))])
def test_moments_and_the_squared_loss_are_those_of_all_orders(activation, alpha, biased):
    rng = np.random.default_rng(0)
    a, b = networks(rng, 2, WIDTHS, biased), networks(rng, 2, WIDTHS, biased)
    x, y = normal(rng, 7, 3), normal(rng, 7, 4)
    found = theory.random_order(a, b, x, activation, alpha, negative_slope=0.3)
    orders = [list(order) for order in itertools.permutations(range(WIDTHS[1]))]
    function = FUNCTIONS.get(activation, leaky(0.3))
    tried = np.stack([forward(interpolate(a, in_order(b, order), alpha), x, function) for order in orders])
    assert found.mean == pytest.approx(tried.mean(0), abs=1e-12)
    centred = tried - tried.mean(0)
    assert found.covariance == pytest.approx(np.einsum("qpni,qpnj->pnij", centred, centred) / len(orders), abs=1e-12)
    assert found.squared_loss(y) == pytest.approx(0.5 * np.square(tried - y).sum(3).mean((0, 2)), rel=1e-12)


@given(st.permutations(range(WIDTHS[1])), st.permutations(range(WIDTHS[1])), st.floats(0, 1), st.integers(0, 99))
def test_neither_the_order_of_units_nor_of_ends_matters(order_a, order_b, alpha, seed):
    rng = np.random.default_rng(seed)
    a, b, x = networks(rng, 1, WIDTHS), networks(rng, 1, WIDTHS), normal(rng, 5, 3)
    found = theory.random_order(a, b, x, "tanh", alpha)
    others = (
        theory.random_order(in_order(a, order_a), in_order(b, order_b), x, "tanh", alpha),
        theory.random_order(b, a, x, "tanh", 1 - alpha),
    )
    for other in others:
        assert other.mean == pytest.approx(found.mean, abs=1e-12)
        assert other.covariance == pytest.approx(found.covariance, abs=1e-12)


def test_of_many_units_orders_are_nearly_normal():
    rng = np.random.default_rng(1)
    a, b = networks(rng, 1, (3, 48, 4)), networks(rng, 1, (3, 48, 4))
    x = normal(rng, 200, 3)
    labels = forward(a, x, RELU)[0].argmax(1)
    found = theory.random_order(a, b, x, "relu")
    orders = [rng.permutation(48) for _ in range(1000)]
    tried = np.concatenate([forward(interpolate(a, in_order(b, order), 0.5), x, RELU) for order in orders])
    wrong = (tried.argmax(2) != labels).mean()
    loss = (logsumexp(tried, axis=2) - tried[:, np.arange(200), labels]).mean()
    assert 0.1 < wrong < 0.9
    assert found.misclassified(labels).item() == pytest.approx(wrong, abs=0.01)
    assert found.cross_entropy(labels).item() == pytest.approx(loss, rel=0.01)


def test_it_is_the_expected_loss_between_networks_that_were_drawn_apart():
    """Units drawn alike stand in no order: over pairs, as given and in a random order cost the same."""
    rng = np.random.default_rng(2)
    a, b = networks(rng, 3000, (3, 5, 4)), networks(rng, 3000, (3, 5, 4))
    x, y = normal(rng, 7, 3), normal(rng, 7, 4)
    as_given = 0.5 * np.square(forward(interpolate(a, b, 0.5), x, np.tanh) - y).sum(2).mean(1)
    difference = as_given - theory.random_order(a, b, x, "tanh").squared_loss(y)
    error = difference.std() / len(difference) ** 0.5
    assert abs(difference.mean()) < 4 * error
    assert error < 0.01 * as_given.mean()  # so that the line above could fail


@pytest.mark.parametrize("mean_field", [True, False])
def test_noise_falls_with_width_in_the_mean_field_alone(mean_field):
    """Parts of order 1/K that add up, against K^(−1/2) with parts that cancel: noise over what is shared."""
    rng = np.random.default_rng(3)
    x = normal(rng, 50, 3)
    odds = []
    for n_units in (32, 256):
        ends = [networks(rng, 8, (3, n_units, 1)) for _ in range(2)]
        if mean_field:
            ends = [[first, (abs(v) * n_units**-0.5, c)] for first, (v, c) in ends]
        noise = theory.random_order(*ends, x, "relu").noise()
        odds.append(np.median(noise / (1 - noise)))
    ratio = odds[1] / odds[0]
    assert (0.6 * 31 / 255 < ratio < 31 / 255 / 0.6) if mean_field else (0.5 < ratio < 2)


def test_noise_is_a_share_of_the_variance():
    one = theory.RandomOrder(np.array([[[1.0], [-1.0]]]), np.full((1, 2, 1, 1), 3.0))
    assert one.noise().item() == pytest.approx(0.75)
    outputs = np.array([[[3.0, 1.0], [1.0, 3.0]]])  # less their mean ±1, so that samples vary by 2
    two = theory.RandomOrder(outputs, np.broadcast_to(np.eye(2), (1, 2, 2, 2)))
    assert two.noise().item() == pytest.approx(1 / 3)
    shift = theory.RandomOrder(outputs, np.ones((1, 2, 2, 2)))  # both outputs by the same
    assert shift.noise().item() == pytest.approx(0, abs=1e-12)
    nothing = theory.RandomOrder(np.zeros((1, 2, 1)), np.zeros((1, 2, 1, 1)))
    assert nothing.noise().item() == 0


def test_what_all_orders_share_has_no_noise():
    rng = np.random.default_rng(4)
    [(w, b), (v, c)] = networks(rng, 1, WIDTHS)
    x, zeros = normal(rng, 7, 3), np.zeros((7, 4))
    alike = in_order([(w, b), (v, c)], [0, 0, 0, 0])
    found = theory.random_order(alike, alike, x, "relu")
    assert found.covariance == pytest.approx(0, abs=1e-12)
    assert found.mean == pytest.approx(forward(alike, x, RELU), abs=1e-12)
    spread = theory.random_order([(w, b), (v, c)], networks(rng, 1, WIDTHS), x, "relu")
    assert spread.noise().item() > 0.05
    mean = spread.of_the_mean()
    assert mean.noise().item() == 0
    assert mean.squared_loss(zeros).item() == pytest.approx(0.5 * np.square(spread.mean).sum(2).mean())
    assert mean.misclassified(zeros[:, 0]).item() == (spread.mean[0].argmax(1) != 0).mean()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"activation": "rlu"}, "did you mean"),
        ({"x": np.ones((2, 5))}, "n_samples, 3"),
        ({"b": networks(np.random.default_rng(0), 1, (3, 5, 4))}, "one architecture"),
        (dict.fromkeys("ab", networks(np.random.default_rng(0), 1, (3, 1, 4))), "one hidden unit"),
    ],
)
def test_bad_arguments_are_named(change, said):
    a = networks(np.random.default_rng(0), 1, WIDTHS)
    with pytest.raises(ValueError, match=said):
        theory.random_order(**({"a": a, "b": a, "x": np.ones((2, 3)), "activation": "relu"} | change))


def test_bad_labels_and_targets_are_named():
    a = networks(np.random.default_rng(0), 1, WIDTHS)
    found = theory.random_order(a, a, np.ones((2, 3)), "relu")
    with pytest.raises(ValueError, match="no class"):
        found.misclassified([0, 4])
    with pytest.raises(ValueError, match="labels has shape"):
        found.cross_entropy([0])
    with pytest.raises(ValueError, match="y has shape"):
        found.squared_loss(np.ones((2, 1)))
