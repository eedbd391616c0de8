"""Orders of two correlated students: closed forms, a quadrature of the angles, and drawn matrices."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from theory import different_order_probability


def drawn(rho, n_units, n, rng):
    """The share of n drawn pairs of matrices whose best assignments differ; rows and columns have means of any size."""
    one, other = rng.standard_normal((2, n, n_units, n_units))
    other = rho * one + np.sqrt(1 - rho**2) * other
    one = one + 3 * rng.standard_normal((n, n_units, 1)) + 3 * rng.standard_normal((n, 1, n_units))
    orders = np.array(list(itertools.permutations(range(n_units))))
    best = [np.argmax(x[:, np.arange(n_units), orders].sum(axis=2), axis=1) for x in (one, other)]
    return (best[0] != best[1]).mean()


@pytest.mark.parametrize(("n_units", "n_targets"), [(3, 2), (2, 3)])
@pytest.mark.parametrize("rho", [-0.5, 0.5, 0.9, 0.999])
def test_drawn_matrices_of_unequal_sides(n_units, n_targets, rho):
    """The best of the maps of the larger side onto the smaller, of drawn specialisations less their means."""
    n = 100_000
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal((2, n, n_units, n_targets))
    other = rho * one + np.sqrt(1 - rho**2) * other
    maps = np.array([chosen for chosen in itertools.product(range(2), repeat=3) if len(set(chosen)) == 2])
    best = []
    for x in (one, other):
        x = x - x.mean(axis=1, keepdims=True) - x.mean(axis=2, keepdims=True) + x.mean(axis=(1, 2), keepdims=True)
        of_three = x if n_units == 3 else x.swapaxes(1, 2)
        best.append(np.argmax(of_three[:, np.arange(3), maps].sum(axis=2), axis=1))
    expected = (best[0] != best[1]).mean()
    assert different_order_probability(rho, n_units, n_targets) == pytest.approx(
        expected, abs=4.5 * np.sqrt(expected * (1 - expected) / n)
    )


@pytest.mark.parametrize("rho", [-0.7, 0.2, 0.95])
def test_sectors_by_quadrature_of_the_angle(rho):
    """The density of the angle between two planar normal vectors (Goodman 1975), and the share in one sector."""

    def density(delta):
        b = rho * np.cos(delta)
        return (1 - rho**2) / (2 * np.pi * (1 - b**2)) * (1 + b * np.arccos(-b) / np.sqrt(1 - b**2))

    length = np.pi / 3
    same = 2 * quad(lambda x: (1 - x / length) * density(x), 0, length)[0]
    assert 2 * quad(density, 0, np.pi)[0] == pytest.approx(1, rel=1e-8)
    assert different_order_probability(rho, 3, 2) == pytest.approx(1 - same, rel=1e-7)


def test_sectors_at_the_edges():
    """Independent students, identical ones, and opposite ones, of which no two units agree."""
    found = different_order_probability([0.0, 1.0, -1.0], 2, 3)
    np.testing.assert_allclose(found, [5 / 6, 0, 1], atol=1e-12)


@pytest.mark.parametrize(("n_units", "rho"), [(2, 0.9), (3, -0.5), (3, 0.5), (3, 0.99), (4, 0.9)])
def test_drawn_matrices(n_units, rho):
    n = 100_000
    expected = drawn(rho, n_units, n, np.random.default_rng(0))
    assert different_order_probability(rho, n_units) == pytest.approx(
        expected, abs=4.5 * np.sqrt(expected * (1 - expected) / n), rel=0.005
    )


def test_two_units_are_sheppards():
    rho = np.linspace(-1, 1, 21).reshape(3, 7)
    np.testing.assert_allclose(different_order_probability(rho, 2), np.arccos(rho) / np.pi, atol=1e-12)


@pytest.mark.parametrize(("n_units", "within"), [(2, 1e-12), (3, 0.0015), (4, 0.003)])
def test_independent_and_identical_students(n_units, within):
    """Within five standard deviations between scrambles."""
    found = different_order_probability([0.0, 1.0], n_units)
    assert found[0] == pytest.approx(1 - 1 / math.factorial(n_units), abs=within)
    assert found[1] == pytest.approx(0, abs=1e-12)


def test_close_students_of_three_units():
    """θ/2π times the mean number of vertices, which are twice the external angles of the edges (Affentranger 1992).

    The three even permutations are an equilateral triangle about 0, the three odd ones another, orthogonal to it. Of an
    edge within a triangle the angle is that the other triangle's scores are below the edge's; of an edge between the
    two, that of both triangles the other scores are.
    """

    def inside(h):  # that a standard normal of the plane is in an equilateral triangle of inradius h
        return 6 * quad(lambda a: norm.pdf(a) * (norm.cdf(np.sqrt(3) * a) - 0.5), 0, h)[0]

    within = quad(lambda u: norm.pdf(u) * inside(u / 2), 0, np.inf)[0]
    between = quad(lambda u: norm.pdf(u) * (2 * norm.cdf(np.sqrt(1.5) * u) - 1) ** 2, 0, np.inf)[0]
    vertices = 2 * (6 * within + 9 * between)
    theta = 1e-3
    assert different_order_probability(np.cos(theta), 3) == pytest.approx(vertices * theta / (2 * np.pi), rel=0.003)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="between -1 and 1"):
        different_order_probability(1.1, 3)
    with pytest.raises(ValueError, match="or 2 in one and 3 in the other, not 5 and 5"):
        different_order_probability(0.5, 5)
    with pytest.raises(ValueError, match="not 4 and 2"):
        different_order_probability(0.5, 4, 2)
