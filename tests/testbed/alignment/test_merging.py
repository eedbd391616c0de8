"""All networks of a cell matched at once: against all permutations, and around cycles."""

from __future__ import annotations

import itertools

import pytest
import torch

import testbed
from kernels import Architecture
from testbed.alignment import match_all, match_weights, permute, to_reference
from testbed.ensemble.measuring import Trained, measure
from testbed.ensemble.plan import plan
from testbed.ensemble.training import train

ARCHITECTURE = Architecture((2, 3, 1), "tanh")


def spread(params):
    params = params.double()
    return float((params - params.mean(0)).square().sum())


def every_order(params, width):
    orders = torch.tensor(list(itertools.permutations(range(width))))
    return permute(ARCHITECTURE, params.expand(len(orders), -1), (orders,))


def test_the_spread_is_that_of_the_best_of_all_permutations_nearly_always():
    """Of three networks of three units, all 36 ways; alternating steps may end in a local minimum, and rarely do."""
    found_best = 0
    for seed in range(40):
        params = ARCHITECTURE.initial(3, seed=seed, dtype=torch.float64)
        ways = itertools.product(every_order(params[1:2], 3), every_order(params[2:3], 3))
        least = min(spread(torch.stack([params[0], b, c])) for b, c in ways)
        found = spread(match_all(ARCHITECTURE, params).params)
        assert found >= least - 1e-12
        assert found <= spread(to_reference(ARCHITECTURE, params, params[0]).params) + 1e-12
        found_best += found <= least + 1e-9
    assert found_best >= 34


@pytest.mark.parametrize("widths", [(2, 6, 1), (2, 5, 4, 2)])
def test_copies_with_their_units_shuffled_are_one_network_again(widths):
    architecture = Architecture(widths, "relu")
    params = architecture.initial(1, seed=3).repeat(6, 1)
    generator = torch.Generator().manual_seed(0)
    orders = tuple(
        torch.stack([torch.randperm(width, generator=generator) for _ in range(6)]) for width in widths[1:-1]
    )
    matched = match_all(architecture, permute(architecture, params, orders)).params
    assert spread(matched) == 0


def test_functions_stay_and_signs_are_flipped_where_they_may_be():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(1))
    params = ARCHITECTURE.initial(5, seed=9, dtype=torch.float64)
    matched = match_all(ARCHITECTURE, params, signs=True).params
    kernels_of = [ARCHITECTURE.to_torch(network) for network in (*params, *matched)]
    before, after = (torch.stack([model(x.double()) for model in half]) for half in (kernels_of[:5], kernels_of[5:]))
    torch.testing.assert_close(after, before)
    assert spread(matched) < spread(match_all(ARCHITECTURE, params).params)


def test_pairs_of_a_study_are_in_one_frame(study):
    (launch,) = plan(study({"measure.alignment": ["cycle", "weights"], "measure.theory": []})).launches
    trained = Trained.joined(launch, [train(launch, launch.networks, "auto")])
    found = measure(launch, trained, launch.pairs, "auto")
    matched = match_all(launch.architecture, trained.params).params
    number = launch.networks["network"].to_list()
    for row, (a, b) in enumerate(launch.pairs.select("network_a", "network_b").rows()):
        apart = (matched[number.index(a)].double() - matched[number.index(b)].double()).norm()
        assert found["cycle_distance"][row] == pytest.approx(float(apart))
        assert found["cycle_distance"][row] >= found["weights_distance"][row] - 1e-6  # exact for one hidden layer


def test_pairs_matched_each_on_its_own_do_not_agree_around_a_cycle():
    """The reason for matching all at once: A to B to C is not A to C. Otherwise this alignment would be `weights`."""
    disagree = 0
    for seed in range(20):
        a, b, c = (ARCHITECTURE.initial(1, seed=[3 * seed + k], dtype=torch.float64) for k in range(3))
        b_to_a = match_weights(ARCHITECTURE, a, b).params
        through_b = match_weights(ARCHITECTURE, b_to_a, c).params
        disagree += not torch.equal(through_b, match_weights(ARCHITECTURE, a, c).params)
    assert disagree > 0


def test_many_networks_are_asked_for_as_one_list():
    params = ARCHITECTURE.initial(4, seed=0)
    data = (torch.ones(8, 2), torch.ones(8, 1))
    found = testbed.barrier(params, None, data, align=["cycle", "reference"], architecture=ARCHITECTURE)
    assert found.value(path="cycle").shape == (6,)
    with pytest.raises(ValueError, match="align='cycle' looks at all networks: give them as one list a, with b=None"):
        testbed.barrier(params, params, data, align="cycle", architecture=ARCHITECTURE)
