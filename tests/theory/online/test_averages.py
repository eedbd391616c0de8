"""Three- and four-point averages of erf units against quadrature and identities."""

import itertools

import numpy as np
import pytest
from scipy.special import erf

from theory.online.averages import four_point, three_point
from theory.population.gaussian_moments import second_moment

RULE = {3: np.polynomial.hermite_e.hermegauss(60), 4: np.polynomial.hermite_e.hermegauss(28)}


def g(u):
    return erf(u / np.sqrt(2))


def g_prime(u):
    return np.sqrt(2 / np.pi) * np.exp(-(u**2) / 2)


def fields(covariance):
    """Fields [n_nodes, n] with this covariance and their weights, by a product rule."""
    n = len(covariance)
    nodes, weights = RULE[n]
    z = np.array(list(itertools.product(nodes, repeat=n)))
    weight = np.array(list(itertools.product(weights / weights.sum(), repeat=n))).prod(axis=1)
    values, vectors = np.linalg.eigh(covariance)
    return z @ (vectors * np.sqrt(np.maximum(values, 0))).T, weight


@pytest.mark.parametrize("seed", range(6))
def test_three_point_is_the_integral(seed):
    root = np.random.default_rng(seed).standard_normal((3, 3)) / 2
    c = root @ root.T
    u, weight = fields(c)
    expected = weight @ (g_prime(u[:, 0]) * u[:, 1] * g(u[:, 2]))
    np.testing.assert_allclose(three_point(c[0, 0], c[0, 1], c[0, 2], c[1, 2], c[2, 2]), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_four_point_is_the_integral(seed):
    root = np.random.default_rng(seed).standard_normal((4, 4)) / 2.5
    c = root @ root.T
    u, weight = fields(c)
    expected = weight @ (g_prime(u[:, 0]) * g_prime(u[:, 1]) * g(u[:, 2]) * g(u[:, 3]))
    found = four_point(*(c[i, j] for i, j in itertools.combinations_with_replacement(range(4), 2)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def test_price():
    """∂E[g(u₁) g(u₂)]/∂c₁₂ = E[g′(u₁) g′(u₂)] (Price 1958), which I₄ becomes where u₃ = u₄ is so large that g² is 1."""
    c11, c22, step = 0.7, 1.3, 1e-5
    for c12 in (-0.8, 0.0, 0.4):
        slope = (
            second_moment("erf", "erf", None, None, c11, c12 + step, c22)
            - second_moment("erf", "erf", None, None, c11, c12 - step, c22)
        ) / (2 * step)
        zero, large = 0.0, 1e12
        found = four_point(*map(np.float64, (c11, c12, zero, zero, c22, zero, zero, large, large, large)))
        np.testing.assert_allclose(found, slope, rtol=1e-5)


def test_stein():
    """E[u₁ g(u₂)] = c₁₂ E[g′(u₂)] (Stein), which I₃ with a constant first unit becomes: g′(0) = √(2/π)."""
    found = three_point(*map(np.float64, (0.0, 0.0, 0.0, 0.3, 0.9)))
    np.testing.assert_allclose(found, np.sqrt(2 / np.pi) * 0.3 * np.sqrt(2 / np.pi) / np.sqrt(1 + 0.9), rtol=1e-12)
