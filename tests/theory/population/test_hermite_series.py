"""Hermite series against closed forms, a two-dimensional trapezoidal sum, Monte Carlo, and their own error."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf, ndtr

from tests.theory.problems import forward, interpolate, partial_derivatives
from theory import first_moment, population_loss, population_path, second_moment
from theory.population import moments
from theory.population.activations import Polynomial
from theory.population.hermite_coefficients import coefficients, hermite
from theory.population.hermite_series import moment_of, series_moment, terms_needed

CUBIC = Polynomial((1.0, -0.5, 0.3, 0.2))
FUNCTIONS = {
    "tanh": np.tanh,
    "gelu": lambda u: u * ndtr(u),
    "erf": lambda u: erf(u / np.sqrt(2)),
    "relu": lambda u: np.maximum(u, 0.0),
    CUBIC: CUBIC,
}
SMOOTH = ["tanh", "gelu", "erf", CUBIC]
Z = np.linspace(-9, 9, 181)
WEIGHTS = np.exp(-Z * Z / 2) / np.exp(-Z * Z / 2).sum()
POINTS = [(0.0, 0.0, 1.0, 0.5, 1.0), (0.5, -0.3, 1.3, -1.1, 1.0), (0.2, 0.2, 0.8, 0.8, 0.8), (0.4, 0.1, 2.0, 0.3, 0.1)]


def by_sum(pair, mean_u, mean_w, c11, c12, c22):
    """E σ(u) τ(w) by a trapezoidal sum over the plane, for smooth σ, τ."""
    slope = c12 / np.sqrt(c11)
    u = mean_u + np.sqrt(c11) * Z[:, None]
    w = mean_w + slope * Z[:, None] + np.sqrt(max(c22 - slope**2, 0.0)) * Z
    return WEIGHTS @ (FUNCTIONS[pair[0]](u) * FUNCTIONS[pair[1]](w)) @ WEIGHTS


def test_moments():
    """Against sums over the plane, closed forms, and, for slow series, within the error they tell."""
    for pair in itertools.product(SMOOTH, repeat=2):
        for point in POINTS:
            value, error = series_moment(*pair, *point)
            assert abs(value - by_sum(pair, *point)) <= 4 * error + 2e-13
            assert error < 1e-9
    for point in POINTS:
        for pair in (("relu", "square"), ("leaky_relu", "identity"), ("erf", "erf"), ("square", "square")):
            value, error = series_moment(*pair, *point, negative_slope=0.3)
            assert abs(value - second_moment(*pair, *point, negative_slope=0.3)) <= error + 2e-13
    value, error = series_moment("relu", "relu", 0.4, 0.1, 1.0, 0.3, 1.0)
    assert abs(value - second_moment("relu", "relu", 0.4, 0.1, 1.0, 0.3, 1.0)) <= error + 1e-14


def test_relu_with_erf_by_conditioning():
    """E relu(u) erf(w/√2) = ∫ relu(u) p(u) erf(m(u)/√(2 (1 + s²))) du, on half lines where it is smooth."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    for mean_u, mean_w, c11, c12, c22 in POINTS:
        u = (nodes + 1) * (abs(mean_u) + 10 * np.sqrt(c11)) / 2
        density = np.exp(-((u - mean_u) ** 2) / (2 * c11)) / np.sqrt(2 * np.pi * c11)
        inner = erf((mean_w + c12 / c11 * (u - mean_u)) / np.sqrt(2 * (1 + c22 - c12**2 / c11)))
        expected = weights @ (u * density * inner) * (abs(mean_u) + 10 * np.sqrt(c11)) / 2
        value, error = series_moment("relu", "erf", mean_u, mean_w, c11, c12, c22)
        assert abs(value - expected) <= error + 1e-13
        assert error < 1e-12


def test_error_is_told_where_a_series_is_too_short():
    """tanh of variance 25 is nearly a sign: 64 terms are few, and the error says how few."""
    value, error = series_moment("tanh", "tanh", 0.0, 0.0, 25.0, 24.9, 25.0)
    z = np.linspace(-9, 9, 2001)
    weights = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    truth = weights @ (np.tanh(5 * z[:, None]) * np.tanh(4.98 * z[:, None] + np.sqrt(25 - 4.98**2) * z)) @ weights
    assert 1e-8 < error < 0.05
    assert abs(value - truth) <= error


def test_partials():
    """Partial derivatives against central differences."""
    n, step = 40, 1e-5
    point = np.array([0.5, -0.8, 1.3, 0.7, 0.9])
    for pair in itertools.product(("tanh", "gelu", "erf", "relu"), ("tanh", "gelu")):

        def moment(values, pair=pair):
            mean_u, mean_w, c11, c12, c22 = (np.atleast_1d(value) for value in values)
            a, b = coefficients(pair[0], mean_u, c11, n + 2), coefficients(pair[1], mean_w, c22, n + 2)
            return moment_of(a, b, c11, c12, c22, True)

        found = partial_derivatives(moment(point), point[2], point[4])
        for index in range(5):
            shift = step * (np.arange(5) == index)
            slope = (moment(point + shift).value - moment(point - shift).value) / (2 * step)
            np.testing.assert_allclose(found[index], slope, atol=3e-9)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), activation=st.sampled_from(SMOOTH), n_units=st.integers(1, 6))
def test_gram_matrices_are_positive(seed, activation, n_units):
    rng = np.random.default_rng(seed)
    weights, means = rng.standard_normal((n_units, 3)) / 2, rng.standard_normal(n_units)
    c = weights @ weights.T
    d = np.diag(c)
    gram, error = series_moment(activation, activation, means[:, None], means[None, :], d[:, None], c, d[None, :])
    assert np.linalg.eigvalsh(gram).min() > -1e-12 * np.trace(gram) - error.sum()
    np.testing.assert_allclose(gram, gram.T, atol=1e-12 * np.trace(gram))


def test_coefficients_are_projections():
    z = np.linspace(-14, 14, 561)
    basis, weights = hermite(z, 12), np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    np.testing.assert_allclose((basis * weights) @ basis.T, np.eye(12), atol=1e-9)
    for name in SMOOTH:
        for mean, variance in ((0.0, 1.0), (-0.7, 0.3), (1.2, 2.0)):
            expected = (basis * weights) @ FUNCTIONS[name](mean + np.sqrt(variance) * z)
            np.testing.assert_allclose(coefficients(name, np.array(mean), np.array(variance), 12), expected, atol=1e-10)
    for name in ("relu", "leaky_relu", "erf", "identity", "square"):
        assert coefficients(name, np.array(0.3), np.array(2.0), 3)[0] == pytest.approx(
            first_moment(name, 0.3, 2.0), abs=1e-14
        )


def networks(rng, n, width, biased, n_inputs=3, n_outputs=2):
    """Weights and biases of standard deviation ½, for which series are short."""
    return [
        (rng.standard_normal((n, width, n_inputs)) / 2, rng.standard_normal((n, width)) / 2 if biased else None),
        (rng.standard_normal((n, n_outputs, width)) / 2, rng.standard_normal((n, n_outputs)) / 2 if biased else None),
    ]


@pytest.mark.parametrize(
    "pair", [("tanh", "tanh"), ("gelu", "gelu"), ("relu", "erf"), (CUBIC, "gelu"), (CUBIC, CUBIC)], ids=str
)
@pytest.mark.parametrize("biased", [False, True])
def test_population_paths(pair, biased):
    """Monte Carlo, reversal, permutation, and the derivative by differences."""
    rng = np.random.default_rng(3)
    a, b, teacher = networks(rng, 3, 4, biased), networks(rng, 3, 4, biased), networks(rng, 1, 2, biased)
    curve = population_path(a, b, teacher, pair[0], teacher_activation=pair[1])
    assert curve.kind == ("exact" if pair == (CUBIC, CUBIC) else "approximate")
    if curve.error is not None:
        assert (curve.error < 1e-5).all()
    x = rng.standard_normal((40_000, 3))

    alphas = np.array([0.0, 0.35, 1.0])
    losses = curve(alphas)
    for alpha, of_alpha in zip(alphas, losses.T, strict=True):
        between = interpolate(a, b, alpha)
        samples = ((forward(between, x, FUNCTIONS[pair[0]]) - forward(teacher, x, FUNCTIONS[pair[1]])) ** 2).sum(
            axis=2
        ) / 2
        assert (np.abs(samples.mean(axis=1) - of_alpha) < 4.5 * samples.std(axis=1) / 200).all()
        np.testing.assert_allclose(
            population_loss(between, teacher, pair[0], teacher_activation=pair[1]), of_alpha, rtol=1e-11
        )
    slope = (curve(alphas[1:2] + 1e-5) - curve(alphas[1:2] - 1e-5)) / 2e-5
    np.testing.assert_allclose(curve.derivative(alphas[1:2]), slope, atol=1e-7)
    np.testing.assert_allclose(
        population_path(b, a, teacher, pair[0], teacher_activation=pair[1])(1 - alphas), losses, rtol=1e-11
    )
    order = rng.permutation(4)
    permuted = [
        [(w1[:, order], None if b1 is None else b1[:, order]), (w2[:, :, order], b2)] for (w1, b1), (w2, b2) in (a, b)
    ]
    np.testing.assert_allclose(
        population_path(*permuted, teacher, pair[0], teacher_activation=pair[1])(alphas), losses, rtol=1e-11
    )


def test_error_of_a_population_loss():
    """tanh at variances of about 2 against the same loss from four times as many terms: off by less than told."""
    rng = np.random.default_rng(5)
    a, teacher = networks(rng, 20, 4, False), networks(rng, 1, 2, False)
    curve = population_path(a, a, teacher, "tanh")
    assert curve.error is not None

    def moments(first, second):
        norms = [(w**2).sum(axis=2) for w in (first, second)]
        value, _ = series_moment(
            "tanh", "tanh", 0, 0, norms[0][:, :, None], first @ second.swapaxes(1, 2), norms[1][:, None], n_terms=256
        )
        return value

    ((w, _), (v, _)), ((w_star, _), (v_star, _)) = a, teacher
    own, cross, star = moments(w, w), moments(w, w_star), moments(w_star, w_star)
    expected = (np.einsum("noi,nij,noj->n", v, own, v) + np.einsum("noi,nij,noj->n", v_star, star, v_star)) / 2
    expected -= np.einsum("noi,nij,noj->n", v, cross, np.broadcast_to(v_star, (20, *v_star.shape[1:])))
    off = np.abs(curve([0.0])[:, 0] - expected)
    assert (off <= curve.error + 1e-13).all()
    assert off.max() > 1e-9  # there is something to tell


@pytest.mark.parametrize("definition", ["linear", "mean_endpoints", "max_endpoint", "midpoint"])
def test_error_of_a_barrier_holds_that_of_the_curve(monkeypatch, definition):
    """tanh from 12 terms against the same barriers from the usual number: off by less than told, and by something."""
    rng = np.random.default_rng(6)
    a, b, teacher = networks(rng, 20, 4, False), networks(rng, 20, 4, False), networks(rng, 1, 2, False)
    fine = population_path(a, b, teacher, "tanh").barrier(definition)
    monkeypatch.setattr(moments, "terms_needed", lambda *_: 12)
    coarse = population_path(a, b, teacher, "tanh").barrier(definition)
    assert fine.error is not None and coarse.error is not None
    off = np.abs(coarse.value - fine.value)
    assert (off <= coarse.error + fine.error).all() and off.max() > 1e-7 and coarse.error.max() < 1


@pytest.mark.parametrize("pair", [("gelu", "gelu"), ("relu", "erf"), ("erf", "relu"), ("tanh", "tanh")], ids="-".join)
def test_barriers_against_sums_over_the_plane(pair):
    """Inputs in the plane, in polar coordinates: 2,000 rays times Gauss–Legendre radii.

    A kink of relu is a ray, and costs the square of a step between rays.
    """
    rng = np.random.default_rng(7)
    a, b, teacher = (
        [(w[:, :, :2], None), (v[:, :1], None)] for (w, _), (v, _) in (networks(rng, n, 3, False) for n in (4, 4, 1))
    )
    curve = population_path(a, b, teacher, pair[0], teacher_activation=pair[1])
    assert curve.kind == "approximate"
    radius, at_radius = np.polynomial.legendre.leggauss(80)
    radius, at_radius = 5 * (radius + 1), 5 * at_radius
    at_radius = at_radius * radius * np.exp(-(radius**2) / 2)
    angles = np.linspace(0, 2 * np.pi, 2_000, endpoint=False)
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def output(w, v, activation):
        return FUNCTIONS[activation](radius[:, None, None] * (x @ w.T)) @ v

    def loss(alpha, n):
        w, v = ((1 - alpha) * a[k][0][n] + alpha * b[k][0][n] for k in range(2))
        gap = output(w, v[0], pair[0]) - output(teacher[0][0][0], teacher[1][0][0, 0], pair[1])
        return 0.5 * (at_radius @ gap**2).mean()

    for definition in ("linear", "max_endpoint"):
        barrier = curve.barrier(definition)
        assert barrier.error is not None and barrier.error.max() < 1e-3
        for n in range(4):
            ends = loss(0.0, n), loss(1.0, n)
            for step in (
                -0.02,
                0.0,
                0.02,
            ):  # the top that the curve reports is the quadrature's, and its neighbours are not higher
                alpha = np.clip(barrier.argmax[n] + step, 0, 1)
                height = loss(alpha, n) - (
                    max(ends) if definition == "max_endpoint" else (1 - alpha) * ends[0] + alpha * ends[1]
                )
                assert height <= barrier.value[n] + barrier.error[n] + 2e-6
                if step == 0:
                    assert height >= barrier.value[n] - barrier.error[n] - 2e-6


def test_polynomials_meet_the_closed_forms():
    rng = np.random.default_rng(4)
    a, b, teacher = networks(rng, 3, 4, True), networks(rng, 3, 4, True), networks(rng, 1, 2, True)
    for name, polynomial in (("identity", Polynomial((0.0, 1.0))), ("square", Polynomial((0.0, 0.0, 1.0)))):
        closed, series = population_path(a, b, teacher, name), population_path(a, b, teacher, polynomial)
        alphas = np.linspace(0, 1, 7)
        np.testing.assert_allclose(series(alphas), closed(alphas), rtol=1e-12)
        np.testing.assert_allclose(series.derivative(alphas), closed.derivative(alphas), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(series.barrier().value, closed.barrier().value, atol=1e-12)


def test_number_of_terms():
    assert terms_needed(CUBIC, "tanh") == 4
    assert terms_needed("square", CUBIC) == 3
    assert terms_needed("tanh", "erf", 30) == 30
    a, b = (coefficients(CUBIC, np.array(0.3), np.array(1.0), n) for n in (6, 9))
    np.testing.assert_array_equal(a, b[:6])
    assert moment_of(b, b, np.array(1.0), np.array(0.4), np.array(1.0), False).value.shape == ()


def test_refusals():
    with pytest.raises(ValueError, match=r"activation 'tahn' is not known; did you mean 'tanh'\?"):
        series_moment("tahn", "tanh", 0, 0, 1, 0, 1)
    with pytest.raises(ValueError, match="coefficients is empty; a polynomial has at least one"):
        Polynomial(())
    with pytest.raises(ValueError, match="coefficients holds 1 non-finite"):
        Polynomial((1.0, float("nan")))
    with pytest.raises(ValueError, match="c11 holds -1; a variance is at least 0"):
        series_moment("tanh", "tanh", 0, 0, -1, 0, 1)
    with pytest.raises(ValueError, match="no Gaussian has these covariances"):
        series_moment("tanh", "tanh", 0, 0, 1, 1.1, 1)


@pytest.mark.parametrize("name", ["tanh", "gelu", "erf", "relu"])
def test_first_moments(name):
    """E σ(u) is the moment with the constant 1: against sums over the line, and closed forms where there are."""
    z = np.linspace(-12, 12, 20_001)
    weights = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    for mean, variance in ((0.0, 1.0), (-0.7, 0.3), (1.2, 2.0)):
        value, error = series_moment(name, Polynomial((1.0,)), mean, 0.0, variance, 0.0, 1.0)
        assert abs(value - weights @ FUNCTIONS[name](mean + np.sqrt(variance) * z)) < 1e-7 and error < 1e-10
        if name in ("erf", "relu"):
            assert value == pytest.approx(first_moment(name, mean, variance), rel=1e-12)
