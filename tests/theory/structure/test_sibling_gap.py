"""The mean gap of siblings to fourth order, against quadrature, enumeration, Monte Carlo and the law exp(−L/τ)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sympy as sp

from theory.structure.loss_derivatives import loss_derivatives
from theory.structure.sibling_gap import quadratic_spread, sibling_gap
from theory.symbolic import derive

ALPHAS = np.linspace(0, 1, 9)
rng = np.random.default_rng(0)


def symmetric(order, n=3):
    """A random symmetric tensor."""
    tensor = rng.standard_normal((n,) * order)
    return sum(np.transpose(tensor, axes) for axes in itertools.permutations(range(order))) / 24


def quartic(g, h, t, f, w):
    """g·w + ½ H:ww + (1/6) T:www + (1/24) F:wwww at rows w."""
    first = w @ g + 0.5 * np.einsum("ij,ni,nj->n", h, w, w)
    return first + np.einsum("ijk,ni,nj,nk->n", t, w, w, w) / 6 + np.einsum("ijkl,ni,nj,nk,nl->n", f, w, w, w, w) / 24


def test_gaussian_ends_of_a_quartic_by_quadrature():
    """w is Gaussian of covariance (1 − 2u) Σ, so that one Gauss–Hermite rule gives every mean, exactly."""
    g, h, t, f = (symmetric(order) for order in (1, 2, 3, 4))
    root = rng.standard_normal((3, 3))
    sigma = root @ root.T
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    grid = np.stack(np.meshgrid(nodes, nodes, nodes), -1).reshape(-1, 3)
    weight = np.prod(np.stack(np.meshgrid(weights, weights, weights), -1).reshape(-1, 3), 1)
    weight /= weight.sum()
    means = [weight @ quartic(g, h, t, f, np.sqrt(1 - 2 * a * (1 - a)) * grid @ root.T) for a in ALPHAS]
    expected = np.array(means) - means[0]
    found = sibling_gap(np.sum(h * sigma), np.einsum("ijkl,ij,kl", f, sigma, sigma))(ALPHAS)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_ends_of_any_law_by_enumeration():
    """Every pair of five points, which are as skew as they fall."""
    g, h, t, f = (symmetric(order) for order in (1, 2, 3, 4))
    points = rng.standard_exponential((5, 3))
    share = rng.dirichlet(np.ones(5))
    points = points - share @ points
    first, second = (index.ravel() for index in np.meshgrid(range(5), range(5)))
    weight = share[first] * share[second]
    means = [weight @ quartic(g, h, t, f, (1 - a) * points[first] + a * points[second]) for a in ALPHAS]
    sigma = np.einsum("n,ni,nj->ij", share, points, points)
    found = sibling_gap(
        np.sum(h * sigma),
        np.einsum("ijkl,ij,kl", f, sigma, sigma),
        skewness=np.einsum("n,ijk,ni,nj,nk", share, t, *[points] * 3),
        fourth_moment=np.einsum("n,ijkl,ni,nj,nk,nl", share, f, *[points] * 4),
    )(ALPHAS)[0]
    np.testing.assert_allclose(found, np.array(means) - means[0], rtol=1e-9, atol=1e-9)


def test_the_law_of_a_temperature():
    """exp(−L/τ), L = ½ h x² + t x³/6 + f x⁴/24.

    About the minimum third order enters twice: the mean is off by −½ tΣ/h, and the law is skew.
    """
    h, t, f = 1.3, 0.9, 1.6
    x = np.linspace(-12, 12, 200_001)

    def loss(z):
        return h * z**2 / 2 + t * z**3 / 6 + f * z**4 / 24

    left = []
    for tau in (0.01, 0.02):
        weight = np.exp(-loss(x) / tau)
        weight /= weight.sum()
        mean = weight @ x
        sigma, skew, fourth = (weight @ (x - mean) ** k for k in (2, 3, 4))
        assert mean == pytest.approx(-t * (tau / h) / (2 * h), rel=0.1)
        few = np.linspace(-1.4, 1.4, 1401)
        w = np.exp(-loss(few) / tau)
        w /= w.sum()
        middle = w @ loss((few[:, None] + few) / 2) @ w
        curvature = (h + t * mean + f * mean**2 / 2) * sigma
        known = sibling_gap(curvature, f * sigma**2, skewness=(t + f * mean) * skew, fourth_moment=f * fourth)
        assert known([0.5])[0, 0] == pytest.approx(middle - w @ loss(few), abs=1e-12)  # L is a quartic: exact
        exact = known([0.5])[0, 0]
        skew_left_out = sibling_gap(curvature, f * sigma**2)([0.5])[0, 0]
        shift_left_out = sibling_gap(h * sigma, f * sigma**2)([0.5])[0, 0]
        left.append((abs(skew_left_out - exact), abs(shift_left_out - exact)))
    # both are of the order τ² that fourth order itself is of
    for low, high in zip(*left, strict=True):
        assert high / low == pytest.approx(4, rel=0.25)


def test_a_tiny_network_by_monte_carlo():
    """Ends spread by 0.15 I about a tanh network: fourth order's part of the mean gap is the sampled one.

    With ±a, ±b odd orders are gone from the sample, and second order, known draw by draw, is taken off.
    """
    own = np.random.default_rng(1)
    x, y = own.standard_normal((6, 2)), own.integers(2, size=6)
    centre, spread, n = own.standard_normal(12), 0.15, 200_000

    def network(theta):
        w1, b1, w2, b2 = np.split(theta, [4, 6, 10], axis=1)
        return [(w1.reshape(-1, 2, 2), b1), (w2.reshape(-1, 2, 2), b2)]

    def loss(theta):
        (w1, b1), (w2, b2) = network(theta)
        f = np.tanh(x @ w1.swapaxes(1, 2) + b1[:, None]) @ w2.swapaxes(1, 2) + b2[:, None]
        return (np.log(np.exp(f).sum(2)) - f[:, np.arange(6), y]).mean(1)

    def derivatives(along):
        at = network(np.broadcast_to(centre, along.shape))
        return loss_derivatives(at, network(along), x, y, "tanh", loss="cross_entropy")

    unit = np.eye(12)
    i, j = (index.ravel() for index in np.indices((12, 12)))
    plus, minus, one = derivatives(unit[i] + unit[j]), derivatives(unit[i] - unit[j]), derivatives(unit)
    hessian = ((plus - minus)[:, 2] / 4).reshape(12, 12)
    f_iijj = (plus + minus)[:, 4] / 12 - (one[i] + one[j])[:, 4] / 6
    fourth_alone = sibling_gap(0.0, spread**4 * f_iijj.sum())([0.5])[0, 0]
    a, b = spread * own.standard_normal((2, n, 12))
    middle = (a + b) / 2

    def beyond_second(w):
        return (loss(centre + w) + loss(centre - w)) / 2 - 0.5 * np.einsum("ni,ij,nj->n", w, hessian, w)

    sampled = beyond_second(middle) - (beyond_second(a) + beyond_second(b)) / 2
    error = sampled.std() / np.sqrt(n)
    assert abs(fourth_alone) > 30 * error
    assert sampled.mean() == pytest.approx(fourth_alone, abs=4.5 * error + 0.15 * abs(fourth_alone))  # and sixth order


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_the_spread_is_that_of_simulated_sgd(momentum):
    """100,000 walks of 30 steps on a quadratic with a flat and a negative direction."""
    root = rng.standard_normal((3, 3))
    hessian = root @ np.diag([2.0, 0.0, -0.5]) @ root.T
    mixed = rng.standard_normal((3, 3))
    n, steps, rate = 100_000, 30, 0.03
    theta, velocity = np.zeros((n, 3)), np.zeros((n, 3))
    for _ in range(steps):
        velocity = momentum * velocity + theta @ hessian + rng.standard_normal((n, 3)) @ mixed.T
        theta = theta - rate * velocity
    found = quadratic_spread(hessian, mixed @ mixed.T, learning_rate=rate, steps=steps, momentum=momentum)
    size = np.sqrt(np.outer(np.diag(found), np.diag(found)))
    assert np.abs((np.cov(theta.T) - found) / size).max() < 4.5 * np.sqrt(2 / n) * 1.5


def test_the_derivation_is_the_formula():
    """sympy's, in one dimension."""
    found = derive("sibling-gap").function()
    alpha, h, f, sigma = sp.Rational(1, 3), 2.0, -3.0, 0.5
    expected = sibling_gap(h * sigma, f * sigma**2)([float(alpha)])[0, 0]
    assert found(float(alpha), h, f, sigma) == pytest.approx(expected, rel=1e-12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="momentum"):
        quadratic_spread([[1.0]], [[1.0]], learning_rate=0.1, steps=3, momentum=1.0)
    with pytest.raises(ValueError, match="noise"):
        quadratic_spread([[1.0]], [1.0], learning_rate=0.1, steps=3)
    with pytest.raises(ValueError, match="numbers or"):
        sibling_gap([[1.0]], [[1.0]])
