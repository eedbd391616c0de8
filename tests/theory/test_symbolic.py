"""What sympy derives equals what the numeric modules compute, and refuses a formula that is wrong."""

import numpy as np
import pytest
import sympy as sp

from theory import SecondMoments, depth_two_barrier, linear_path, population_loss, second_moment
from theory.symbolic import DERIVATIONS, _agree, derive, gaussian_mean

rng = np.random.default_rng(0)


@pytest.mark.parametrize("activation", ["identity", "square"])
def test_moments(activation):
    c11, c22, correlation = rng.uniform(0.2, 2, 50), rng.uniform(0.2, 2, 50), rng.uniform(-1, 1, 50)
    c12 = correlation * np.sqrt(c11 * c22)
    found = derive(f"{activation}-moment").function()(c11, c12, c22)
    np.testing.assert_allclose(found, second_moment(activation, activation, None, None, c11, c12, c22), rtol=1e-12)


def test_square_population():
    student, teacher = (
        [(rng.standard_normal((1, k, 3)), None), (rng.standard_normal((1, 1, k)), None)] for k in (4, 2)
    )
    form = [w[0].T @ np.diag(v[0, 0]) @ w[0] for (w, _), (v, _) in (student, teacher)]
    d = form[0] - form[1]
    found = derive("square-population").function()(*d[np.triu_indices(3)])
    np.testing.assert_allclose(found, population_loss(student, teacher, "square")[0], rtol=1e-10)


def test_linear_population():
    student, teacher = (
        [(rng.standard_normal((1, k, 2)), None), (rng.standard_normal((1, 2, k)), None)] for k in (3, 2)
    )
    root = rng.standard_normal((2, 2))
    sigma = root @ root.T
    d = student[1][0][0] @ student[0][0][0] - teacher[1][0][0] @ teacher[0][0][0]
    found = derive("linear-population").function()(*d.ravel(), sigma[0, 0], sigma[0, 1], sigma[1, 1])
    np.testing.assert_allclose(found, population_loss(student, teacher, "identity", covariance=sigma)[0], rtol=1e-10)


def test_linear_path():
    a, b, m, s = rng.standard_normal(3), rng.standard_normal(3), 0.7, 1.9
    layers = [[(np.full((1, 1, 1), w), None) for w in network] for network in (a, b)]
    moments = SecondMoments(
        np.full((1, 1), s), np.full((1, 1), s * m), np.full((1, 1), s * m**2), np.zeros(1), np.zeros(1)
    )
    alphas = np.linspace(0, 1, 9)
    derivation = derive("linear-path")
    np.testing.assert_allclose(
        derivation.function()(alphas, *a, *b, m, s), linear_path(*layers, moments)(alphas)[0], rtol=1e-10, atol=1e-12
    )
    assert sp.Poly(derivation.result, derivation.symbols[0]).degree() == 6


def test_depth_two_barrier():
    w1, w2, change = rng.standard_normal((1, 3, 2)), rng.standard_normal((1, 2, 3)), rng.standard_normal((1, 3, 3))
    a, b = [(w1, None), (w2, None)], [(change @ w1, None), (w2 @ np.linalg.inv(change), None)]
    size = ((b[1][0] - w2) @ (b[0][0] - w1))[0]
    found = derive("depth-two-barrier").function()((size**2).sum())
    np.testing.assert_allclose(found, depth_two_barrier(a, b, tolerance=1e-6)[0], rtol=1e-9)


def test_gaussian_means_of_monomials():
    z, w = sp.symbols("z w")
    assert gaussian_mean(z**6 + 3 * z**2 * w**2 - z**3 + 5, z, w) == 15 + 3 + 5
    with pytest.raises(ValueError, match="is not a polynomial"):
        gaussian_mean(sp.exp(z), z)


@pytest.mark.parametrize("name", DERIVATIONS)
def test_every_derivation_prints_latex(name):
    derivation = derive(name)
    assert sp.latex(derivation.result) in str(derivation) and set(derivation.result.free_symbols) <= set(
        derivation.symbols
    )
    assert len(derivation.steps) >= 2


def test_a_wrong_constant_is_refused():
    d = sp.Symbol("d")
    with pytest.raises(ArithmeticError, match="not at"):
        _agree(2 * d**2, d**2)
    with pytest.raises(ValueError, match="did you mean 'square-moment'"):
        derive("square-momen")
