"""Matching: the function stays, planted permutations are found, the nearest or the most alike of all orders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import Architecture, reference
from testbed import PairSet, alignment
from testbed.alignment import matching
from tests.testbed.alignment.problems import ARCHITECTURES, inputs, networks, shuffled


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
@given(seed=st.integers(0, 1000))
def test_a_permuted_network_is_the_same_function(architecture, seed):
    params = networks(architecture, 3, seed)
    odd = architecture.activation in alignment.ODD and not architecture.normalise
    moved, *_ = shuffled(architecture, params, seed, signs=odd)
    x = inputs(architecture).expand(3, -1, -1)
    assert torch.allclose(
        reference.forward(architecture, moved, x)[0],
        reference.forward(architecture, params, x)[0],
        rtol=1e-10,
        atol=1e-12,
    )
    assert not torch.equal(moved, params)


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
@pytest.mark.parametrize("method", ["weights", "activations"])
def test_a_planted_permutation_is_recovered(architecture, method):
    params = networks(architecture, 20, 4)
    odd = architecture.activation in alignment.ODD and not architecture.normalise
    moved, *_ = shuffled(architecture, params, 5, signs=odd)
    if method == "weights":
        found = alignment.match_weights(architecture, params, moved, signs=odd)
    else:
        found = alignment.match_activations(architecture, params, moved, inputs(architecture, 400), signs=odd)
    back = (found.params - params).abs().amax(1) < 1e-12
    if len(architecture.widths) == 3:
        assert back.all()
    elif method == "weights":
        assert back.float().mean() >= 0.3  # the coordinate descent may stop at a local optimum
    else:
        # units that are dead, or proportional to one another, may change places: every unit correlates with its partner
        x = inputs(architecture, 400)
        hidden_a, hidden_b = (matching.standardised_activations(architecture, p, x) for p in (params, moved))
        for a, b, order, sign in zip(hidden_a, hidden_b, found.permutations, found.signs, strict=True):
            matched = b.gather(2, order[:, None].expand_as(b)) * sign[:, None]
            assert torch.allclose((a * matched).mean(1), a.square().mean(1), atol=1e-9)
    assert torch.equal(alignment.permute(architecture, moved, found.permutations, found.signs), found.params)


def test_weight_matching_is_the_nearest_of_all_permutations():
    """One hidden layer of 4 units, with and without signs, against every possibility."""
    architecture = Architecture((3, 4, 2), "tanh")
    a, b = networks(architecture, 12, 1), networks(architecture, 12, 2)
    for signs in (False, True):
        found = alignment.match_weights(architecture, a, b, signs=signs)
        nearest = torch.full((12,), torch.inf, dtype=torch.float64)
        for order in itertools.permutations(range(4)):
            for flip in itertools.product([1.0, -1.0] if signs else [1.0], repeat=4):
                orders = torch.tensor([order]).expand(12, -1)
                flips = torch.tensor([flip], dtype=torch.float64).expand(12, -1)
                moved = alignment.permute(architecture, b, (orders,), (flips,))
                nearest = torch.minimum(nearest, (moved - a).norm(dim=1))
        assert torch.allclose((found.params - a).norm(dim=1), nearest, rtol=1e-12)


@pytest.mark.parametrize("each_its_own", [False, True], ids=["inputs in common", "each pair its own"])
@pytest.mark.parametrize(("activation", "signs"), [("relu", False), ("tanh", False), ("tanh", True)])
def test_activation_matching_has_the_largest_sum_of_correlations(activation, signs, each_its_own):
    """Hidden layers of 4 and 3 units, against every order, on inputs far from 0: activations by numpy, and its own
    correlations; of signs the better one.
    """
    architecture = Architecture((2, 4, 3, 1), activation)
    a, b = networks(architecture, 10, 1), networks(architecture, 10, 2)
    x = 1.5 + (
        torch.stack([inputs(architecture, 40, seed) for seed in range(10)]) if each_its_own else inputs(architecture)
    )
    found = alignment.match_activations(architecture, a, b, x, signs=signs)
    sigma = np.tanh if activation == "tanh" else lambda z: np.maximum(z, 0)

    def hidden(params, pair):
        h = (x[pair] if each_its_own else x).numpy()
        for weight, bias in architecture.layers(params)[:-1]:
            h = sigma(h @ weight[pair].numpy().T + bias[pair].numpy())
            yield h

    for pair in range(10):
        for layer, (one, other) in enumerate(zip(hidden(a, pair), hidden(b, pair), strict=True)):
            n = one.shape[1]
            with np.errstate(invalid="ignore"):  # of units that do not vary
                correlation = np.nan_to_num(np.corrcoef(one.T, other.T)[:n, n:])
            score = abs(correlation) if signs else correlation
            best = max(score[range(n), order].sum() for order in itertools.permutations(range(n)))
            order, sign = found.permutations[layer][pair].numpy(), found.signs[layer][pair].numpy()
            assert (correlation[range(n), order] * sign).sum() == pytest.approx(best, abs=1e-9)


@given(seed=st.integers(0, 200))
def test_matching_never_moves_away(seed):
    architecture = ARCHITECTURES[2 + seed % 3]
    a, b = networks(architecture, 6, seed), networks(architecture, 6, seed + 1)
    found = alignment.match_weights(architecture, a, b)
    assert ((found.params - a).norm(dim=1) <= (b - a).norm(dim=1) + 1e-12).all()


def test_all_to_one_reference():
    architecture = Architecture((3, 5, 2), "relu")
    one = networks(architecture, 1, 7)
    moved = torch.cat([shuffled(architecture, one, seed)[0] for seed in range(6)])
    assert torch.equal(alignment.to_reference(architecture, moved, one[0]).params, one.expand_as(moved))


def test_what_is_no_symmetry_is_refused():
    relu = Architecture((2, 3, 1), "relu")
    normal = Architecture((2, 3, 1), "tanh", normalise=True)
    for architecture in (relu, normal):
        params = networks(architecture, 2, 0)
        with pytest.raises(ValueError, match="signs flip units of odd activations"):
            alignment.match_weights(architecture, params, params, signs=True)
    samples = (torch.zeros(2, 2), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="signs flip units of odd activations"):
        alignment.exhaustive(PairSet.of(relu, networks(relu, 1, 0), networks(relu, 1, 1), samples), signs=True)
    wide = Architecture((2, 10, 1))
    with pytest.raises(ValueError, match="exhaustive search takes at most 1,000,000 permutations"):
        alignment.exhaustive(PairSet.of(wide, networks(wide, 1, 0), networks(wide, 1, 1), samples))
    with pytest.raises(ValueError, match="units can be rescaled for relu"):
        alignment.canonical(normal, networks(normal, 1, 0))


ALIGNED = {
    "weights": lambda architecture, a, b: alignment.match_weights(architecture, a, b),
    "activations": lambda architecture, a, b: alignment.match_activations(architecture, a, b, inputs(architecture)),
    "exhaustive": lambda architecture, a, b: alignment.exhaustive(
        PairSet.of(architecture, a, b, (inputs(architecture), inputs(architecture, seed=1)[:, :1]))
    ),
    "reference": lambda architecture, a, b: alignment.to_reference(architecture, b, a),
}
ENDS = {"reference": ("reference", "params"), "exhaustive": (r"pairs\.a", r"pairs\.b")}


@pytest.mark.parametrize("method", ALIGNED)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_diverged_networks_are_refused_by_their_rows(method, bad):
    architecture = Architecture((2, 3, 1))
    a, b = networks(architecture, 9, 1), networks(architecture, 9, 2)
    ALIGNED[method](architecture, a, b)
    for ends, name in zip(((a, b), (b, a)), ENDS.get(method, ("params_a", "params_b")), strict=True):
        diverged = a.clone()
        diverged[2, -1] = diverged[5, 0] = bad
        given = [diverged if end is a else end for end in ends]
        with pytest.raises(ValueError, match=rf"{name} must be finite to be matched, and rows 2, 5 are not"):
            ALIGNED[method](architecture, *given)


@pytest.mark.parametrize("method", ["weights", "activations", "reference"])
def test_unequal_pairs_are_refused(method):
    architecture = Architecture((2, 3, 1))
    with pytest.raises(ValueError, match=r"must have one shape, not \[3, 13\] and \[2, 13\]"):
        ALIGNED[method](architecture, networks(architecture, 3, 1), networks(architecture, 2, 2))


@pytest.mark.parametrize("method", ["weights", "activations", "reference"])
def test_arrays_and_parameters_with_gradients_are_matched(method):
    architecture = Architecture((2, 3, 1))
    a, b = networks(architecture, 3, 1), networks(architecture, 3, 2)
    found = ALIGNED[method](architecture, a.numpy(), b.clone().requires_grad_())
    assert torch.equal(found.params, ALIGNED[method](architecture, a, b).params)


def test_inputs_of_another_shape_are_refused():
    architecture = Architecture((2, 3, 1))
    a = networks(architecture, 3, 1)
    for x in (torch.zeros(5, 3), torch.zeros(2, 5, 2), torch.zeros(2)):
        with pytest.raises(ValueError, match=r"x must have shape \[n_samples, 2\] or \[3, n_samples, 2\]"):
            alignment.match_activations(architecture, a, a, x)
    with pytest.raises(ValueError, match="x must be finite"):
        alignment.match_activations(architecture, a, a, torch.full((5, 2), torch.nan))


RESIDUAL = Architecture((2, 3, 3, 1), residual=True)
ORDER = torch.tensor([[2, 0, 1], [0, 1, 2]])
NO_PERMUTATIONS = {
    "a unit twice": ((torch.tensor([[0, 1, 2], [0, 0, 2]]),), r"each of 0 … 2 once .* row 1 is \[0, 0, 2\]"),
    "a negative unit": ((torch.tensor([[0, 1, -1], [0, 1, 2]]),), r"row 0 is \[0, 1, -1\]"),
    "fractions": ((ORDER + 0.0,), "as whole numbers"),
    "one for all networks": ((ORDER[0],), r"permutations\[0\] must have shape \[2, 3\], not \[3\]"),
    "a layer too few": ((), r"one tensor for each of 1 hidden layers"),
    "no list of layers": (ORDER, r"one tensor for each of 1 hidden layers, not torch.int64 \[2, 3\]"),
}


@pytest.mark.parametrize("case", NO_PERMUTATIONS)
def test_what_is_no_permutation_is_refused(case):
    architecture = Architecture((2, 3, 1))
    permutations, sentence = NO_PERMUTATIONS[case]
    with pytest.raises(ValueError, match=sentence):
        alignment.permute(architecture, networks(architecture, 2, 1), permutations)


def test_what_is_no_sign_or_changes_the_function_is_refused():
    tanh = Architecture((2, 3, 1), "tanh")
    for sign in (torch.zeros(2, 3), torch.full((2, 3), 0.5), torch.full((2, 3), torch.nan)):
        with pytest.raises(ValueError, match="signs must be 1 or −1"):
            alignment.permute(tanh, networks(tanh, 2, 1), (ORDER,), (sign,))
    with pytest.raises(ValueError, match=r"permutations\[1\] must equal permutations\[0\]: a residual connection"):
        alignment.permute(RESIDUAL, networks(RESIDUAL, 2, 1), (ORDER, ORDER.flip(0)))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
def test_networks_on_another_device_stay_there(monkeypatch, architecture):
    """On torch's device that holds no numbers: an array of the CPU that met one of its would be an error."""

    def assign(scores):
        return torch.zeros(scores.shape[:2], dtype=torch.int64, device=scores.device)

    monkeypatch.setattr("kernels.assignment.assign", assign)
    a, b = (torch.empty(5, architecture.n_parameters, dtype=torch.float64, device="meta") for _ in range(2))
    swept, gained = matching._swept(architecture, a, b, a.norm(dim=1), signs=True)
    x = torch.empty(7, architecture.n_inputs, device="meta")
    hidden = matching.standardised_activations(architecture, a, x)
    found = [swept.params, *swept.permutations, *swept.signs, gained, *hidden]
    assert {tensor.device.type for tensor in found} == {"meta"}
