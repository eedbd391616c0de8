"""Exhaustive search: the best of all permutations, and of all signs, counted by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import kernels
import theory
from kernels import Architecture, reference
from testbed import PairSet, alignment
from tests.testbed.alignment.problems import ALPHAS, inputs, networks, shuffled


@pytest.mark.parametrize("widths", [(2, 4, 1), (2, 3, 3, 1)])
def test_exhaustive_search_bounds_every_matching(widths):
    architecture = Architecture(widths, "relu")
    a, b = networks(architecture, 10, 1), networks(architecture, 10, 2)
    data = (inputs(architecture, 30), inputs(architecture, 30, 1)[:, :1])

    def barrier(ends):
        loss = kernels.path_losses(architecture, a, ends, ALPHAS, data, "mse").loss
        return theory.barriers_on_grid(ALPHAS.numpy(), loss.numpy(), "linear").value

    best = barrier(alignment.exhaustive(PairSet.of(architecture, a, b, data, alphas=ALPHAS)).params)
    others = [
        b,
        alignment.match_weights(architecture, a, b).params,
        alignment.match_activations(architecture, a, b, data[0]).params,
    ]
    others += [shuffled(architecture, b, seed)[0] for seed in range(20)]
    for ends in others:
        assert (best <= barrier(ends) + 1e-12).all()
    moved, *_ = shuffled(architecture, a, 3)
    assert barrier(alignment.exhaustive(PairSet.of(architecture, a, moved, data, alphas=ALPHAS)).params).max() < 1e-12


@pytest.mark.parametrize("residual", [False, True])
def test_exhaustive_search_with_signs(residual):
    """tanh: all 3!·2³ choices by hand; a flipped and permuted copy is found; no choice without signs is better."""
    architecture = Architecture((2, 3, 3, 1), "tanh", residual=True) if residual else Architecture((2, 3, 1), "tanh")
    one = 2 * networks(architecture, 1, 1)
    x = inputs(architecture, 30)
    a, b = (one + 0.3 * networks(architecture, 40, seed) for seed in (2, 3))
    b = alignment.match_weights(
        architecture, networks(architecture, 40, 4), b, signs=True
    ).params  # in any order, of any signs
    data = (x, reference.forward(architecture, one, x[None])[0][0])

    def barrier(ends):
        loss = kernels.path_losses(architecture, a, ends, ALPHAS, data, "mse").loss
        return theory.barriers_on_grid(ALPHAS.numpy(), loss.numpy(), "linear").value

    def every():
        for order in itertools.permutations(range(3)):
            for sign in itertools.product((1.0, -1.0), repeat=3):
                orders = [torch.tensor(order).expand(40, -1)] * (len(architecture.widths) - 2)
                yield orders, [torch.tensor(sign, dtype=torch.float64).expand(40, -1)] * (len(architecture.widths) - 2)

    choices = [barrier(alignment.permute(architecture, b, tuple(orders), tuple(signs))) for orders, signs in every()]
    found = alignment.exhaustive(PairSet.of(architecture, a, b, data, alphas=ALPHAS), signs=True)
    assert (
        alignment.n_choices(architecture, signs=True) == len(choices) == 48 and alignment.n_choices(architecture) == 6
    )
    assert np.allclose(barrier(found.params), np.min(choices, axis=0), rtol=0, atol=1e-12)
    assert torch.equal(alignment.permute(architecture, b, found.permutations, found.signs), found.params)
    unsigned = barrier(alignment.exhaustive(PairSet.of(architecture, a, b, data, alphas=ALPHAS)).params)
    assert (barrier(found.params) <= unsigned + 1e-12).all() and (barrier(found.params) < unsigned - 1e-6).any()
    orders, signs = list(every())[29]
    moved = alignment.permute(architecture, a, tuple(orders), tuple(signs))
    assert (
        barrier(alignment.exhaustive(PairSet.of(architecture, a, moved, data, alphas=ALPHAS), signs=True).params).max()
        < 1e-12
    )


def test_networks_whose_losses_overflow_have_no_best_permutation():
    architecture = Architecture((2, 3, 1))
    a, b = networks(architecture, 2, 1), networks(architecture, 2, 2)
    a[1] *= 1e160
    data = (inputs(architecture), inputs(architecture, seed=1)[:, :1])
    with pytest.raises(ValueError, match=r"no permutation has a finite barrier between the ends of pairs \[1\]"):
        alignment.exhaustive(PairSet.of(architecture, a, b, data))
