"""Gaussian moments against 1-D quadrature in 20 digits, Gauss-Hermite, Monte Carlo and each other."""

import itertools

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from tests.theory.problems import partial_derivatives
from theory import first_moment, second_moment
from theory.population.activations import CLOSED_FORM_ACTIVATIONS
from theory.population.bivariate_normal import GaussianPair
from theory.population.gaussian_moments import pair_moment

FUNCTIONS = {
    "identity": lambda u: u,
    "square": lambda u: u * u,
    "relu": lambda u: np.maximum(u, 0.0),
    "leaky_relu": lambda u: np.where(u > 0, u, 0.3 * u),
    "erf": lambda u: erf(u / np.sqrt(2)),
}
ELEMENTARY = [
    pair
    for pair in itertools.product(CLOSED_FORM_ACTIVATIONS, repeat=2)
    if not ("erf" in pair and {"relu", "leaky_relu"} & set(pair))
]


def by_quadrature(activation, mean_u, mean_w, c11, c12, c22):
    """E σ(u) σ(w) by integrating E[σ(w) | u], known in one dimension, over u; 20 digits."""
    with mp.workdps(20):
        mean_u, mean_w, c11, c12, c22 = (mp.mpf(float(value)) for value in (mean_u, mean_w, c11, c12, c22))
        slope = c12 / c11
        spread = mp.sqrt(max(c22 - c12 * slope, 0))

        def conditional(u):
            m = mean_w + slope * (u - mean_u)
            if activation == "erf":
                return mp.erf(m / mp.sqrt(2 * (1 + spread**2)))
            if spread == 0:
                return max(m, 0)
            return m * mp.ncdf(m / spread) + spread * mp.npdf(m / spread)

        deviation = mp.sqrt(c11)
        low, high = mean_u - 12 * deviation, mean_u + 12 * deviation
        kink = mean_u - mean_w / slope if slope != 0 else mean_u  # where the conditional mean is 0
        width = spread / abs(slope) if slope != 0 else deviation
        points = {low, high, mean_u}
        points |= {kink + j * width for j in (-12, -4, -1, 0, 1, 4, 12)} | {mp.mpf(0)}
        if activation == "relu":
            low = max(low, mp.mpf(0))
            if high <= low:
                return 0.0
        points = [low, *sorted(p for p in points if low < p < high), high]
        sigma = (lambda u: mp.erf(u / mp.sqrt(2))) if activation == "erf" else (lambda u: u)

        def integrand(u):
            return sigma(u) * mp.npdf(u, mean_u, deviation) * conditional(u)

        return float(mp.quad(integrand, points, method="gauss-legendre"))  # smooth between the points


def edge_cases():
    for rho in (0.0, 0.4, -0.7, 1 - 1e-3, 1 - 1e-8, 1 - 1e-15, -1 + 1e-3, -1 + 1e-8, -1 + 1e-15):
        for mean_u, mean_w in ((0.0, 0.0), (0.6, -0.4), (0.6, 0.6000001), (-1.3, 0.0), (-0.2, 0.3), (-4.0, -5.0)):
            yield mean_u, mean_w, 1.0, rho, 1.0
    yield 0.3, 0.7, 1e-8, 0.5e-8, 4.0
    yield 2.0, -3.0, 1e-12, -3e-7, 1.0
    yield 0.3, 0.15, 4.0, 2.0, 1.0  # proportional, δ = 0
    yield 0.3, -0.15, 4.0, -2.0, 1.0


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_accuracy_to_the_edge(activation):
    for case in edge_cases():
        expected = by_quadrature(activation, *case)
        found = second_moment(activation, activation, *case)
        scale = 1.0 if activation == "erf" else np.sqrt((case[0] ** 2 + case[2]) * (case[1] ** 2 + case[4]))
        assert abs(found - expected) < 1e-13 * scale, case
        if case[0] == case[1] == 0.0:
            assert abs(second_moment(activation, activation, None, None, *case[2:]) - expected) < 1e-13 * scale


@pytest.mark.parametrize("pair", ELEMENTARY, ids="-".join)
def test_monte_carlo(pair):
    rng = np.random.default_rng(5)
    samples = rng.standard_normal((400_000, 2))
    for mean, root in (((0.5, -0.8), ((1.2, 0.0), (0.7, 0.4))), ((0.0, 0.0), ((0.9, 0.0), (-1.1, 0.5)))):
        factor = np.array(root)
        u = samples @ factor.T + mean
        products = FUNCTIONS[pair[0]](u[:, 0]) * FUNCTIONS[pair[1]](u[:, 1])
        c = factor @ factor.T
        expected = second_moment(*pair, *mean, c[0, 0], c[0, 1], c[1, 1], negative_slope=0.3)
        assert abs(products.mean() - expected) < 4.5 * products.std() / np.sqrt(len(u))


def test_gauss_hermite():
    """Smooth activations on a 60 x 60 Gauss-Hermite rule; relu's first moment by its defining integral."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    factor, mean = np.array([[0.7, 0.0], [0.3, 0.4]]), np.array([0.4, -0.2])
    u = mean[0] + factor[0, 0] * nodes[:, None]
    w = mean[1] + factor[1, 0] * nodes[:, None] + factor[1, 1] * nodes[None, :]
    c = factor @ factor.T
    for pair in itertools.product(("identity", "square", "erf"), repeat=2):
        expected = weights @ (FUNCTIONS[pair[0]](u) * FUNCTIONS[pair[1]](w)) @ weights
        assert second_moment(*pair, *mean, c[0, 0], c[0, 1], c[1, 1]) == pytest.approx(expected, abs=1e-13)
    for name in ("identity", "square", "erf"):
        assert first_moment(name, 0.4, 0.49) == pytest.approx(weights @ FUNCTIONS[name](u[:, 0]), abs=1e-13)
    for mean, variance in ((0.3, 2.0), (-1.0, 0.25)):
        with mp.workdps(20):
            expected = float(mp.quad(lambda x, m=mean, v=variance: x * mp.npdf(x, m, mp.sqrt(v)), [0, 1, 3, 15]))
        assert first_moment("relu", mean, variance) == pytest.approx(expected, abs=1e-13)
        leaky = 0.3 * mean + 0.7 * expected
        assert first_moment("leaky_relu", mean, variance, negative_slope=0.3) == pytest.approx(leaky, abs=1e-13)


def test_partial_derivatives():
    """Every partial derivative against central differences, with means and without."""
    point = np.array([0.5, -0.8, 1.3, 0.7, 0.9])
    step = 1e-5
    for pair in ELEMENTARY:
        for centred in (False, True):

            def moment(values, pair=pair, centred=centred):
                mean_u, mean_w, *c = (np.atleast_1d(value) for value in values)
                means = (None, None) if centred else (mean_u, mean_w)
                return pair_moment(*pair, GaussianPair(*means, *c), negative_slope=0.3)

            partials = partial_derivatives(moment(point), point[2], point[4])
            for index in range(2 if centred else 0, 5):
                shift = step * (np.arange(5) == index)
                slope = (moment(point + shift).value - moment(point - shift).value) / (2 * step)
                assert partials[index] == pytest.approx(slope, abs=2e-9), (pair, centred, index)


@pytest.mark.parametrize("pair", ELEMENTARY, ids="-".join)
def test_zero_means_agree_with_no_means(pair):
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((200, 2, 2))
    c = factors @ factors.swapaxes(1, 2)
    arguments = (c[:, 0, 0], c[:, 0, 1], c[:, 1, 1])
    with_means = second_moment(*pair, 0.0, 0.0, *arguments)
    np.testing.assert_allclose(with_means, second_moment(*pair, None, None, *arguments), rtol=1e-13, atol=1e-13)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), activation=st.sampled_from(CLOSED_FORM_ACTIVATIONS), n_units=st.integers(1, 6))
def test_gram_matrices_are_positive(seed, activation, n_units):
    rng = np.random.default_rng(seed)
    weights, means = rng.standard_normal((n_units, 3)), rng.standard_normal(n_units)
    c = weights @ weights.T
    d = np.diag(c)
    gram = second_moment(activation, activation, means[:, None], means[None, :], d[:, None], c, d[None, :])
    assert np.linalg.eigvalsh(gram).min() > -1e-12 * np.trace(gram)
    np.testing.assert_allclose(gram, gram.T, atol=1e-12 * np.trace(gram))
    first = first_moment(activation, means, d)  # a covariance is positive too
    assert np.linalg.eigvalsh(gram - np.outer(first, first)).min() > -1e-12 * np.trace(gram)


@settings(deadline=None, max_examples=40)
@given(rho=st.floats(-1, 1), mean_u=st.floats(-3, 3), mean_w=st.floats(-3, 3), slope=st.floats(-1, 1))
def test_leaky_relu_is_linear_in_relu_and_identity(rho, mean_u, mean_w, slope):
    arguments = (mean_u, mean_w, 1.0, rho, 1.0)

    def moment(*pair):
        return second_moment(*pair, *arguments, negative_slope=slope)

    combined = (
        slope**2 * moment("identity", "identity")
        + slope * (1 - slope) * (moment("identity", "relu") + moment("relu", "identity"))
        + (1 - slope) ** 2 * moment("relu", "relu")
    )
    assert moment("leaky_relu", "leaky_relu") == pytest.approx(combined, abs=1e-12)
    # relu(u) − relu(−u) = u
    flipped = second_moment("relu", "relu", -mean_u, mean_w, 1.0, -rho, 1.0)
    assert moment("relu", "relu") - flipped == pytest.approx(moment("identity", "relu"), abs=1e-12)


def test_limits_of_erf():
    rho = np.linspace(-0.99, 0.99, 7)
    sign = second_moment("erf", "erf", None, None, 1e12, 1e12 * rho, 1e12)
    np.testing.assert_allclose(sign, 2 / np.pi * np.arcsin(rho), atol=1e-9)
    small = second_moment("erf", "erf", None, None, 1e-8, 1e-8 * rho, 1e-8)
    np.testing.assert_allclose(small, 2 / np.pi * 1e-8 * rho, rtol=3e-8)


@pytest.mark.parametrize("activation", CLOSED_FORM_ACTIVATIONS)
def test_zero_variances_are_constants(activation):
    sigma = FUNCTIONS[activation]
    for mean_u, mean_w in ((0.5, 0.7), (-0.5, 0.7), (0.0, 1.0), (-1.0, -2.0), (0.0, 0.0)):
        both = second_moment(activation, activation, mean_u, mean_w, 0.0, 0.0, 0.0, negative_slope=0.3)
        assert both == pytest.approx(float(sigma(mean_u) * sigma(mean_w)), abs=1e-15)
        one = second_moment(activation, activation, mean_u, mean_w, 0.0, 0.0, 2.0, negative_slope=0.3)
        first = first_moment(activation, mean_w, 2.0, negative_slope=0.3)
        assert one == pytest.approx(float(sigma(mean_u) * first), abs=1e-14)
        pair = GaussianPair(*(np.array([v]) for v in (mean_u, mean_w, 0.0, 0.0, 2.0)))
        assert all(np.isfinite(part).all() for part in pair_moment(activation, activation, pair))
    assert second_moment(activation, activation, None, None, 0.0, 0.0, 0.0) == 0.0


def test_shapes_broadcast():
    assert second_moment("relu", "relu", None, None, np.ones((4, 1)), np.zeros((4, 3)), np.ones(3)).shape == (4, 3)
    assert second_moment("relu", "relu", 0.1, np.zeros((2, 1, 1)), 1.0, 0.5, np.ones((4, 3))).shape == (2, 4, 3)
    assert first_moment("erf", np.zeros((2, 1)), np.ones(3)).shape == (2, 3)


def test_refusals():
    with pytest.raises(ValueError, match=r"activation 'relo' is not known; did you mean 'relu'\?"):
        first_moment("relo", 0.0, 1.0)
    with pytest.raises(ValueError, match="'relu' with 'erf' is not provided; use one activation for both"):
        second_moment("relu", "erf", None, None, 1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="variance holds -1; a variance is at least 0"):
        first_moment("relu", 0.0, -1.0)
    with pytest.raises(ValueError, match="no Gaussian has these covariances"):
        second_moment("relu", "relu", None, None, 1.0, 1.1, 1.0)
    with pytest.raises(ValueError, match="give both means, or None for both"):
        second_moment("relu", "relu", 0.0, None, 1.0, 0.0, 1.0)
    for activation, c12 in (("relu", 1e199), ("erf", 1e190), ("leaky_relu", 1e200)):
        with pytest.raises(ValueError, match="products of these means and variances are beyond float64"):
            second_moment(activation, activation, None, None, 1e200, c12, 1e200)
    with pytest.raises(ValueError, match="c12 holds 1 non-finite"):
        second_moment("relu", "relu", None, None, 1.0, np.nan, 1.0)
