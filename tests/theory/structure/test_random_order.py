"""Paths over all orders of one end's hidden units, against trying them, and against networks that were drawn apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import logsumexp

import theory
from theory.structure.feature_connectivity import FUNCTIONS

N_INPUTS, N_OUTPUTS, N_SAMPLES = 3, 4, 7


def network(rng, n_units, n_pairs=1, n_outputs=N_OUTPUTS, power=0.5):
    """Random networks; a unit's outgoing weights are of the order n_units^(−power)."""

    def normal(*shape):
        return rng.standard_normal((n_pairs, *shape))

    first = normal(n_units, N_INPUTS), normal(n_units)
    return [first, (normal(n_outputs, n_units) * n_units**-power, normal(n_outputs))]


def outputs(network, pair, x, function):
    (w, b), (v, c) = ((weight[pair], bias[pair]) for weight, bias in network)
    return function(x @ w.T + b) @ v.T + c


def in_order(network, order):
    (w, b), (v, c) = network
    return [(w[:, order], b[:, order]), (v[:, :, order], c)]


def between(a, b, alpha):
    return [
        tuple((1 - alpha) * p + alpha * q for p, q in zip(one, other, strict=True))
        for one, other in zip(a, b, strict=True)
    ]


@pytest.mark.parametrize("activation", [*FUNCTIONS, "leaky_relu"])
@pytest.mark.parametrize("alpha", [0.5, 0.2])
def test_moments_and_the_squared_loss_are_those_of_all_orders(activation, alpha):
    rng = np.random.default_rng(0)
    a, b = network(rng, 4, n_pairs=2), network(rng, 4, n_pairs=2)
    x, y = rng.standard_normal((N_SAMPLES, N_INPUTS)), rng.standard_normal((N_SAMPLES, N_OUTPUTS))
    function = FUNCTIONS.get(activation, lambda u: np.where(u > 0, u, 0.3 * u))
    found = theory.random_order(a, b, x, activation, alpha, negative_slope=0.3)
    for pair in range(2):
        orders = [list(order) for order in itertools.permutations(range(4))]
        tried = np.stack([outputs(between(a, in_order(b, order), alpha), pair, x, function) for order in orders])
        assert found.mean[pair] == pytest.approx(tried.mean(0), abs=1e-12)
        centred = tried - tried.mean(0)
        assert found.covariance[pair] == pytest.approx(
            np.einsum("qni,qnj->nij", centred, centred) / len(orders), abs=1e-12
        )
        loss = 0.5 * np.square(tried - y).sum(2).mean()
        assert found.squared_loss(y)[pair] == pytest.approx(loss, rel=1e-12)


def test_of_many_units_orders_are_nearly_normal():
    rng = np.random.default_rng(1)
    a, b = network(rng, 48), network(rng, 48)
    x = rng.standard_normal((200, N_INPUTS))
    relu = FUNCTIONS["relu"]
    labels = outputs(a, 0, x, relu).argmax(1)
    found = theory.random_order(a, b, x, "relu")
    wrong, losses = [], []
    for _ in range(1000):
        tried = outputs(between(a, in_order(b, rng.permutation(48)), 0.5), 0, x, relu)
        wrong.append((tried.argmax(1) != labels).mean())
        losses.append((logsumexp(tried, axis=1) - tried[np.arange(200), labels]).mean())
    assert 0.1 < np.mean(wrong) < 0.9
    assert found.misclassified(labels).item() == pytest.approx(np.mean(wrong), abs=0.01)
    assert found.cross_entropy(labels).item() == pytest.approx(np.mean(losses), rel=0.01)


def test_it_is_the_expected_loss_between_networks_that_were_drawn_apart():
    """Units drawn alike stand in no order: over pairs, as given and in a random order cost the same."""
    rng = np.random.default_rng(2)
    n_pairs = 3000
    a, b = network(rng, 5, n_pairs), network(rng, 5, n_pairs)
    x, y = rng.standard_normal((N_SAMPLES, N_INPUTS)), rng.standard_normal((N_SAMPLES, N_OUTPUTS))
    middle = between(a, b, 0.5)
    as_given = np.array(
        [0.5 * np.square(outputs(middle, pair, x, np.tanh) - y).sum(1).mean() for pair in range(n_pairs)]
    )
    difference = as_given - theory.random_order(a, b, x, "tanh").squared_loss(y)
    error = difference.std() / n_pairs**0.5
    assert abs(difference.mean()) < 4 * error
    assert error < 0.02 * as_given.mean()  # so that the line above could fail


@pytest.mark.parametrize(("power", "falls"), [(1.0, True), (0.5, False)])
def test_noise_falls_with_width_in_the_mean_field_alone(power, falls):
    """Parts of order 1/K about a function that all units share, against K^(−1/2) with parts that cancel."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((50, N_INPUTS))
    odds = []  # noise over what is shared
    for n_units in (32, 256):
        ends = [network(rng, n_units, n_pairs=8, n_outputs=1, power=power) for _ in range(2)]
        if power == 1:  # outgoing weights of one sign: parts add up
            ends = [[first, (abs(v), c)] for first, (v, c) in ends]
        noise = theory.random_order(*ends, x, "relu").noise()
        odds.append(np.median(noise / (1 - noise)))
    ratio = odds[1] / odds[0]
    assert (0.6 * 31 / 255 < ratio < 31 / 255 / 0.6) if falls else (0.5 < ratio < 2)


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
    a = network(rng, 6)
    x = rng.standard_normal((N_SAMPLES, N_INPUTS))
    alike = [tuple(part[:, :1].repeat(6, 1) for part in a[0]), (a[1][0][:, :, :1].repeat(6, 2), a[1][1])]
    found = theory.random_order(alike, alike, x, "relu")
    assert found.covariance == pytest.approx(0, abs=1e-12)
    assert found.mean[0] == pytest.approx(outputs(alike, 0, x, FUNCTIONS["relu"]), abs=1e-12)
    spread = theory.random_order(a, network(rng, 6), x, "relu")
    assert spread.noise().item() > 0.05
    assert spread.of_the_mean().noise().item() == 0
    assert spread.of_the_mean().squared_loss(np.zeros((N_SAMPLES, N_OUTPUTS))) < spread.squared_loss(
        np.zeros((N_SAMPLES, N_OUTPUTS))
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"activation": "rlu"}, "did you mean"),
        ({"x": np.ones((2, 5))}, "n_samples, 3"),
        ({"b": network(np.random.default_rng(0), 5)}, "one architecture"),
    ],
)
def test_bad_arguments_are_named(change, said):
    rng = np.random.default_rng(0)
    arguments = {"a": network(rng, 4), "b": network(rng, 4), "x": np.ones((2, N_INPUTS)), "activation": "relu"}
    with pytest.raises(ValueError, match=said):
        theory.random_order(**(arguments | change))


def test_one_unit_has_no_order_and_labels_are_checked():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="one hidden unit"):
        theory.random_order(network(rng, 1), network(rng, 1), np.ones((2, N_INPUTS)), "relu")
    found = theory.random_order(network(rng, 3), network(rng, 3), np.ones((2, N_INPUTS)), "relu")
    with pytest.raises(ValueError, match="no class"):
        found.misclassified([0, N_OUTPUTS])
    with pytest.raises(ValueError, match="labels has shape"):
        found.cross_entropy([0])
    with pytest.raises(ValueError, match="y has shape"):
        found.squared_loss(np.ones((2, 1)))
