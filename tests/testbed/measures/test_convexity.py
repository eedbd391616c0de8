"""Convexity and the bounds of the barrier by curvature, against theory's exact curves and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import theory
from kernels import Architecture
from testbed import PairSet, alignment
from testbed.measures.convexity import MEASURE, curve_shape
from testbed.pair_set import layers
from tests.testbed.measures.problems import DOUBLE

GRIDS = [torch.linspace(0, 1, 13, dtype=DOUBLE), torch.tensor([0, 0.1, 0.15, 0.5, 0.6, 0.95, 1], dtype=DOUBLE)]


@pytest.mark.parametrize("alphas", GRIDS)
def test_the_bounds_hold_on_any_grid_and_the_gap_is_that_of_all_chords(alphas):
    curves = torch.randn(50, len(alphas), dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    shape = curve_shape(alphas, curves)
    barrier = torch.from_numpy(theory.barriers_on_grid(alphas.numpy(), curves.numpy(), "linear").value)
    assert (barrier <= shape["concave_bound"] + 1e-12).all()
    assert (shape["concave_bound"] <= shape["curvature_bound"] + 1e-12).all()
    assert (barrier <= shape["convexity_gap"] + 1e-12).all()
    assert torch.allclose(shape["curvature_tightness"], barrier / shape["curvature_bound"], atol=1e-12)
    grid, first = alphas.tolist(), curves[0].tolist()
    gaps = [
        first[b] - np.interp(grid[b], [grid[a], grid[c]], [first[a], first[c]])
        for a, b, c in itertools.combinations(range(len(grid)), 3)
    ]
    assert shape["convexity_gap"][0].item() == pytest.approx(max(*gaps, 0.0))


def test_a_convex_curve_has_neither_gap_nor_bound():
    alphas = GRIDS[1]
    shape = curve_shape(alphas, (alphas - 0.3).square()[None])
    assert shape["convexity_gap"].item() < 1e-15 and shape["curvature_bound"].item() < 1e-14


@pytest.mark.slow
def test_a_fine_grid_has_the_exact_bound_of_a_polynomial():
    """α²(1 − α)²: sup −L″ = 1 at ½."""
    alphas = torch.linspace(0, 1, 1001, dtype=DOUBLE)
    shape = curve_shape(alphas, (alphas * (1 - alphas)).square()[None])
    assert shape["curvature_bound"].item() == pytest.approx(1 / 8, rel=1e-5)
    assert shape["curvature_tightness"].item() == pytest.approx(0.5, rel=1e-5)


@pytest.mark.slow
def test_linear_networks_have_theorys_bound_before_and_after_matching():
    """Two layers of identities: the loss is a quartic, whose bound theory has exactly."""
    architecture = Architecture((3, 4, 2), "identity", biases=False)
    a, b = (2 * architecture.initial(20, seed, dtype=DOUBLE) for seed in (1, 2))
    x = torch.randn(40, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    y = x @ torch.ones(3, 2, dtype=DOUBLE)
    found = MEASURE.compute(PairSet.of(architecture, a, b, (x, y), alphas=401))
    matched = alignment.match_weights(architecture, a, b, signs=True).params
    moments = theory.SecondMoments.from_data(x.numpy(), y.numpy())
    for path, end in (("", b), ("weights_", matched)):
        curve = theory.linear_path(layers(architecture, a), layers(architecture, end), moments)
        exact = theory.curvature_bound(curve).bound
        assert (exact > 0.01).any()
        assert np.allclose(found[f"{path}curvature_bound"].numpy(), exact, rtol=1e-3, atol=1e-4)
