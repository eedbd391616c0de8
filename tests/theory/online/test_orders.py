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
    with pytest.raises(ValueError, match="2 to 4 units, not 5"):
        different_order_probability(0.5, 5)
