"""Every numeric constant of the population loss and its moments is needed: change one, and a check fails."""

import mpmath as mp
import numpy as np
from scipy.special import erf

from tests.theory.mutations import assert_every_constant_is_needed, mutation_cases
from tests.theory.problems import close, forward, identity, interpolate, losses_along, networks, partial_derivatives
from theory.population import (
    activations,
    bivariate_normal,
    bounds,
    erf_moments,
    gaussian_moments,
    hermite_coefficients,
    hermite_series,
    loss,
    moments,
    path_terms,
    problem,
    relu_moments,
    smoothing,
    stein_moments,
)
from theory.population.whitened import Whitened

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(50)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
INTEGRALS: dict[tuple, float] = {}


def with_relu(sigma, mean_u, mean_w, c11, c12, c22):
    """E σ(u) relu(w) = ∫₀^∞ w p(w) E[σ(u) | w] dw, 20 digits, for identity, square or relu."""
    key = (sigma, mean_u, mean_w, c11, c12, c22)
    if key not in INTEGRALS:
        with mp.workdps(20):
            mean_u, mean_w, c11, c12, c22 = map(mp.mpf, key[1:])
            spread = mp.sqrt(max(c11 - c12**2 / c22, 0))

            def conditional(m):
                if sigma == "identity":
                    return m
                if sigma == "square":
                    return m**2 + spread**2
                return max(m, 0) if spread == 0 else m * mp.ncdf(m / spread) + spread * mp.npdf(m / spread)

            kink = max(mean_w - mean_u * c22 / c12, mp.mpf(0))
            INTEGRALS[key] = float(
                mp.quad(
                    lambda w: w * mp.npdf(w, mean_w, mp.sqrt(c22)) * conditional(mean_u + c12 / c22 * (w - mean_w)),
                    sorted({mp.mpf(0), kink, mp.mpf(3), mp.mpf(20)}),
                )
            )
    return INTEGRALS[key]


def with_leaky(slope_u, slope_w, mean_u, mean_w, c11, c12, c22):
    """E leaky(u) leaky(w), since leaky(u) = relu(u) − s relu(−u)."""
    return sum(
        factor_u * factor_w * with_relu("relu", sign_u * mean_u, sign_w * mean_w, c11, sign_u * sign_w * c12, c22)
        for sign_u, factor_u in ((1, 1.0), (-1, -slope_u))
        for sign_w, factor_w in ((1, 1.0), (-1, -slope_w))
    )


def check_moments():
    moment, point = gaussian_moments.second_moment, (0.5, -0.8, 1.3, 0.7, 0.9)
    for case in (point, (0.0, 0.0, *point[2:]), (0.3, -0.15, 4.0, -2.0, 1.0)):
        close(moment("relu", "relu", *case), with_relu("relu", *case))
        close(moment("leaky_relu", "leaky_relu", *case, negative_slope=0.3), with_leaky(0.3, 0.3, *case))
        close(moment("leaky_relu", "relu", *case, negative_slope=0.3), with_leaky(0.3, 0.0, *case))
        close(moment("square", "relu", *case), with_relu("square", *case))
        close(moment("identity", "relu", *case), with_relu("identity", *case))
    close(moment("relu", "relu", None, None, *point[2:]), with_relu("relu", 0.0, 0.0, *point[2:]))
    close(
        moment("leaky_relu", "relu", None, None, *point[2:], negative_slope=0.3),
        with_leaky(0.3, 0.0, 0.0, 0.0, *point[2:]),
    )
    above, below = (float(mp.quad(lambda x, m=m: x * mp.npdf(x, m, mp.sqrt(2)), [0, 3, 20])) for m in (0.3, -0.3))
    close(gaussian_moments.first_moment("relu", 0.3, 2.0), above)
    close(gaussian_moments.first_moment("leaky_relu", 0.3, 2.0, negative_slope=0.1), above - 0.1 * below)
    smooth = {"identity": lambda u: u, "square": lambda u: u * u, "erf": lambda u: erf(u / np.sqrt(2))}
    u, w = 0.7 * NODES[:, None], 0.3 * NODES[:, None] + 0.4 * NODES[None, :]
    for first, f in smooth.items():
        close(gaussian_moments.first_moment(first, 0.4, 0.49), WEIGHTS @ f(0.4 + u[:, 0]))
        for second, g in smooth.items():
            close(moment(first, second, None, None, 0.49, 0.21, 0.25), WEIGHTS @ (f(u) * g(w)) @ WEIGHTS)
            close(moment(first, second, 0.4, -0.2, 0.49, 0.21, 0.25), WEIGHTS @ (f(u + 0.4) * g(w - 0.2)) @ WEIGHTS)
    for pair in (
        ("relu", "relu"),
        ("leaky_relu", "leaky_relu"),
        ("erf", "erf"),
        ("square", "erf"),
        ("square", "relu"),
        ("identity", "leaky_relu"),
        ("square", "square"),
    ):
        for centred in (False, True):

            def moment_at(values, pair=pair, centred=centred):
                mean_u, mean_w, *c = (np.atleast_1d(value) for value in values)
                means = (None, None) if centred else (mean_u, mean_w)
                return gaussian_moments.pair_moment(
                    *pair, bivariate_normal.GaussianPair(*means, *c), negative_slope=0.3
                )

            found = partial_derivatives(moment_at(point), point[2], point[4])
            for index in range(2 if centred else 0, 5):
                shift = 1e-5 * (np.arange(5) == index)
                close(found[index], (moment_at(point + shift).value - moment_at(point - shift).value) / 2e-5, 1e-8)


def check_population():
    """identity on the 2³ corners of a cube, which have the Gaussian's moments; derivatives by differences."""
    rng = np.random.default_rng(0)
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    alphas = [0.0, 0.3, 1.0]
    for biased in (False, True):
        a, b, teacher = (networks(rng, n, (3, width, 2), biased) for n, width in ((2, 3), (2, 3), (1, 2)))
        targets = forward(teacher, corners, identity)
        losses = losses_along(a, b, corners, targets, alphas, identity)
        close(loss.population_path(a, b, teacher, "identity")(alphas), losses)
        close(loss.population_loss(a, teacher, "identity"), losses[:, 0])
        for activation in ("relu", "erf", "square", "gelu"):
            curve = loss.population_path(a, b, teacher, activation)
            for alpha in (0.2, 0.7):
                between = interpolate(a, b, alpha)
                close(curve([alpha]), loss.population_loss(between, teacher, activation)[:, None])
                slope = (curve([alpha + 1e-5]) - curve([alpha - 1e-5])) / 2e-5
                close(curve.derivative([alpha]), slope, 1e-7)


def check_series():
    """Moments of tanh, gelu, erf and relu by sums over the plane, and partials by differences."""
    named = {"tanh": np.tanh, "erf": lambda u: erf(u / np.sqrt(2)), "gelu": lambda u: u * (1 + erf(u / np.sqrt(2))) / 2}
    z = np.linspace(-8, 8, 129)
    weights = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    u, w = 0.4 + 0.7 * z[:, None], -0.2 + 0.3 * z[:, None] + 0.4 * z[None, :]
    for first, f in named.items():
        for second, g in named.items():
            close(
                hermite_series.series_moment(first, second, 0.4, -0.2, 0.49, 0.21, 0.25)[0],
                weights @ (f(u) * g(w)) @ weights,
            )
    for pair in (("relu", "square"), ("leaky_relu", "erf"), ("square", "identity")):
        if "erf" not in pair:
            close(
                hermite_series.series_moment(*pair, 0.4, -0.2, 0.49, 0.21, 0.25)[0],
                gaussian_moments.second_moment(*pair, 0.4, -0.2, 0.49, 0.21, 0.25),
            )
    mean = np.array(0.4)
    relu = hermite_coefficients.coefficients("relu", mean, np.array(0.49), 7)
    close(
        (relu * hermite_coefficients.coefficients("relu", mean, np.array(0.49), 7))[:1],
        gaussian_moments.first_moment("relu", 0.4, 0.49) ** 2,
    )
    leaky = hermite_coefficients.coefficients("leaky_relu", mean, np.array(0.49), 7, 0.3)
    close(leaky[2:], 0.7 * relu[2:])
    close(leaky[0], gaussian_moments.first_moment("leaky_relu", 0.4, 0.49, negative_slope=0.3))
    point = np.array([0.5, -0.8, 1.3, 0.7, 0.9])

    def moment_at(values):
        mean_u, mean_w, c11, c12, c22 = (np.atleast_1d(value) for value in values)
        a, b = (
            hermite_coefficients.coefficients("gelu", mean_u, c11, 42),
            hermite_coefficients.coefficients("erf", mean_w, c22, 42),
        )
        return hermite_series.moment_of(a, b, c11, c12, c22, True)

    found = partial_derivatives(moment_at(point), point[2], point[4])
    for index in range(5):
        shift = 1e-5 * (np.arange(5) == index)
        close(found[index], (moment_at(point + shift).value - moment_at(point - shift).value) / 2e-5, 1e-8)


def check_bounds():
    """The bounds of `population.bounds` put together again for one unit, by hand and by integrals."""
    gaussian = {2: 1.0, 4: 3.0, 6: 15.0, 8: 105.0}  # E z^p = (p − 1)!!

    def norm(p, mean, root):
        return mean + root * gaussian[p] ** (1 / p)

    units, rates = bounds.Sizes(np.array(0.5), np.array(0.7)), bounds.Sizes(np.array(0.2), np.array(0.4))
    for p in gaussian:
        close(units.norm(p), norm(p, 0.5, 0.7))
    cubic = activations.Polynomial((0.1, -1.0, 0.3, 0.2))
    u, rate = (0.5, 0.7), (0.2, 0.4)
    size = bounds.derivative_norm

    def setting(negative_slope, centred):
        return moments.Moments("relu", "relu", negative_slope, centred)

    smooth = setting(0.0, False)
    value = 0.1 + norm(2, *u) + 0.3 * norm(4, *u) ** 2 + 0.2 * norm(6, *u) ** 3
    close(size(0, cubic, smooth, units, rates), value)
    slope = 1 + 0.6 * norm(4, *u) + 0.6 * norm(8, *u) ** 2
    close(size(1, cubic, smooth, units, rates), slope * norm(4, *rate))
    close(size(2, cubic, smooth, units, rates), (0.6 + 1.2 * norm(4, *u)) * norm(8, *rate) ** 2)
    close(size(1, "square", smooth, units, rates), 2 * norm(4, *u) * norm(4, *rate))
    close(size(0, "identity", smooth, units, rates), norm(2, *u))
    close(size(0, "erf", smooth, units, rates), np.sqrt(2 / np.pi) * norm(2, *u))
    close(size(0, "erf", smooth, bounds.Sizes(np.array(3.0), np.array(0.7)), rates), 1.0)
    close(size(2, "tanh", smooth, units, rates), 4 / np.sqrt(27) * norm(4, *rate) ** 2)
    close(size(1, "leaky_relu", setting(-1.5, False), units, rates), 1.5 * norm(2, *rate))
    close(size(1, "leaky_relu", setting(0.3, True), units, rates), np.sqrt(1.09 / 2) * norm(2, *rate))
    close(size(0, "relu", setting(0.0, True), units, rates), np.sqrt(0.5) * norm(2, *u))

    w, dw, v, dv = np.array([[[1.0, 0.2]]]), np.array([[[-2.0, 0.5]]]), np.array([[[0.7]]]), np.array([[[0.3]]])
    c, dc = np.array([[0.1]]), np.array([[0.2]])
    star = (np.array([[[0.3, 0.4]]]), np.array([[0.0]]), np.array([[[2.0]]]), np.array([[0.4]]))
    pieces, losses = np.array([[0.2, 0.6]]), np.array([[0.08, 0.18]])
    still_units = np.zeros((1, 1))
    path = Whitened(w, still_units, v, c), Whitened(dw, still_units, dv, dc), Whitened(*star)

    def at(alpha):
        return np.linalg.norm(w + alpha * dw)

    speed, output, largest = np.linalg.norm(dw), 0.7 + 0.6 * 0.3, max(at(0.2), at(0.6))
    for activation, s, kink in (
        ("erf", np.sqrt(2 / np.pi), 0.0),
        ("relu", np.sqrt(0.5), 1.0),
        ("leaky_relu", np.sqrt(1.04 / 2), 0.8),
    ):
        found = bounds.bend(*path, moments.Moments(activation, activation, 0.2, True), pieces, losses)
        f_rate = 0.3 * min(s * largest, 1.0 if activation == "erf" else np.inf) + output * s * speed + 0.2
        residual = (0.4 + 0.6 + 0.4 * f_rate) / 2
        close(found.slope, residual * f_rate)
        twice = np.sqrt(2 / np.pi / np.e) * np.sqrt(3) * speed**2 if activation == "erf" else 0.0
        close(found.curvature, residual * (2 * 0.3 * s * speed + output * twice))
        nearest = -np.vdot(w, dw) / speed**2
        still = output * s * largest + 2 * s * 0.5 + max(abs(0.1 + 0.2 * alpha - 0.4) for alpha in (0.2, 0.6))
        turns = mp.quad(lambda alpha, n=nearest: speed**2 * at(n) ** 2 / at(float(alpha)) ** 3, [0.2, nearest, 0.6])
        close(found.kinks, kink * output * still * float(turns) * np.sqrt(3 / (2 * np.pi)), 1e-6)

    mean, mean_rate, star_mean = 0.3, 0.4, 0.25
    path = (
        Whitened(w, np.full((1, 1), mean), v, c),
        Whitened(dw, np.full((1, 1), mean_rate), dv, dc),
        Whitened(star[0], np.array([[star_mean]]), *star[2:]),
    )
    found = bounds.bend(*path, moments.Moments("relu", "erf", 0.0, False), pieces, losses)
    means, closest, bottom = (0.38, 0.54), at(np.clip(nearest, 0.2, 0.6)), at(nearest)
    still = output * (means[1] + largest) + 2 * min(1.0, np.sqrt(2 / np.pi) * (0.25 + 0.5)) + 0.26
    growth = output * largest + 2 * np.sqrt(2 / np.pi) * 0.5
    base = mean_rate + 3**0.25 * speed * min(1.0, bottom / closest)
    k = np.linspace(means[0] / largest, means[1] / closest, 200_001)
    # (base + speed k)² (still + growth k), power by power, each times the largest k^n φ(k)
    cubic = np.polynomial.polynomial.polymul(np.array([base, speed])[None][0], [base, speed])
    cubic = np.polynomial.polynomial.polymul(cubic, [still, growth])
    density = (
        sum(size * (k**n * np.exp(-(k**2) / 2)).max() for n, size in enumerate(cubic)) / np.sqrt(2 * np.pi) / closest
    )
    close(found.kinks, output * 0.4 * density, 1e-6)
    steep = bounds.bend(*path, moments.Moments("relu", "square", 0.0, False), pieces, losses)
    assert np.isinf(steep.kinks).all()


@mutation_cases(
    (bivariate_normal, {"normal_density", "orthant_probability"}, check_moments),
    (smoothing, {"smoothed", "_square", "_erf", "_relu", "_derivatives_of_density"}, check_moments),
    (stein_moments, {"stein_moment"}, check_moments),
    (relu_moments, {"relu_moment", "_centred", "_arc_cosine_kernel", "_with_means"}, check_moments),
    (erf_moments, {"_centred", "_with_means"}, check_moments),
    (problem, {"_teacher_terms"}, check_population),
    (
        path_terms,
        {"_at", "evaluate", "__init__", "_students_with_each_other", "_students_with_teacher", "_biases"},
        check_population,
    ),
    (moments, {"first_moments"}, check_population),
    (
        hermite_coefficients,
        {"coefficients", "_of_erf", "_of_gelu", "_of_relu", "_of_polynomial", "hermite"},
        check_series,
    ),
    (hermite_series, {"moment_of"}, check_series),
    (bounds, {"norm", "derivative_norm", "_suprema", "bend", "_falls_at_kinks", "_density_of_kinks"}, check_bounds),
)
def test_every_constant_is_needed(module, functions, check):
    assert_every_constant_is_needed(module, functions, check)
