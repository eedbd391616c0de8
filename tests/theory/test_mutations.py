"""Every numeric constant of the formulas is needed: change one, and a check of this folder fails.

A constant is a number that is an operand of + − × ÷ or a power, or a choice of np.where, in the functions
named below. It is changed in a copy of the module, and the checks, which compare with an independent route, must refuse the copy.
"""

import ast
import inspect
import types

import mpmath as mp
import numpy as np
import pytest
from scipy.special import erf

from theory import layers, symbolic
from theory.certified import checker, enclosure, intervals, path_jets
from theory.curves import curve, polynomials, smooth_curve
from theory.finite_data import deep, two_layer
from theory.linear import gradient_flow, networks
from theory.online import averages, order_parameters
from theory.population import bounds, gaussian_moments, hermite_series, loss
from theory.structure import cross_entropy, curvature, feature_connectivity, rebasin_counterexample, sphere_teacher

SYMBOLIC = (
    "gaussian_mean",
    "_pair_moment",
    "square_moment",
    "square_population",
    "linear_population",
    "linear_path",
    "depth_two_barrier",
)

rng = np.random.default_rng(0)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(50)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def close(found, expected, tolerance=1e-9):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


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


def check_moments(module):
    moment, point = module.second_moment, (0.5, -0.8, 1.3, 0.7, 0.9)
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
    close(module.first_moment("relu", 0.3, 2.0), above)
    close(module.first_moment("leaky_relu", 0.3, 2.0, negative_slope=0.1), above - 0.1 * below)
    smooth = {"identity": lambda u: u, "square": lambda u: u * u, "erf": lambda u: erf(u / np.sqrt(2))}
    u, w = 0.7 * NODES[:, None], 0.3 * NODES[:, None] + 0.4 * NODES[None, :]
    for first, f in smooth.items():
        close(module.first_moment(first, 0.4, 0.49), WEIGHTS @ f(0.4 + u[:, 0]))
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

            def partials(values, pair=pair, centred=centred):
                mean_u, mean_w, *c = (np.atleast_1d(value) for value in values)
                return module.pair_moment(*pair, *((None, None) if centred else (mean_u, mean_w)), *c, 0.3)

            here = partials(point)
            found = [here.mean_u, here.mean_w, here.log_c11 / point[2], here.c12, here.log_c22 / point[4]]
            for index in range(2 if centred else 0, 5):
                shift = 1e-5 * (np.arange(5) == index)
                close(found[index], (partials(point + shift).value - partials(point - shift).value) / 2e-5, 1e-8)


def draw(n, width, biased):
    return [
        (rng.standard_normal((n, width, 3)), rng.standard_normal((n, width)) if biased else None),
        (rng.standard_normal((n, 2, width)), rng.standard_normal((n, 2)) if biased else None),
    ]


PAIRS = {biased: (draw(2, 3, biased), draw(2, 3, biased), draw(1, 2, biased)) for biased in (False, True)}


def at(a, b, alpha):
    return [
        tuple(None if u is None else (1 - alpha) * u + alpha * w for u, w in zip(p, q, strict=True))
        for p, q in zip(a, b, strict=True)
    ]


def check_population(module):
    """identity on the 2³ corners of a cube, which have the Gaussian's moments; relu's derivative by differences."""
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    for a, b, teacher in PAIRS.values():
        curve = module.population_path(a, b, teacher, "identity")
        outputs = []
        for alpha in (0.0, 0.3, 1.0):
            f, target = (
                corners @ w1.swapaxes(1, 2) @ w2.swapaxes(1, 2)
                + (0 if b1 is None else (b1[:, None] @ w2.swapaxes(1, 2) + b2[:, None]))
                for (w1, b1), (w2, b2) in (at(a, b, alpha), teacher)
            )
            outputs.append(((f - target) ** 2).sum(axis=2).mean(axis=1) / 2)
        close(curve([0.0, 0.3, 1.0]), np.stack(outputs, axis=1))
        close(module.population_loss(a, teacher, "identity"), outputs[0])
        for activation in ("relu", "erf", "square"):
            curve = module.population_path(a, b, teacher, activation)
            for alpha in (0.2, 0.7):
                close(curve([alpha]), module.population_loss(at(a, b, alpha), teacher, activation)[:, None])
                slope = (curve([alpha + 1e-5]) - curve([alpha - 1e-5])) / 2e-5
                close(curve.derivative([alpha]), slope, 1e-7)


def check_linear(module):
    a, b, teacher = PAIRS[True]
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    moments = module.SecondMoments.gaussian_teacher(None, teacher)
    close(
        module.linear_path(a, b, moments)([0.0, 0.3, 1.0]),
        loss.population_path(a, b, teacher, "identity")([0.0, 0.3, 1.0]),
    )
    (w1, b1), (w2, b2) = teacher
    from_data = module.SecondMoments.from_data(corners, ((corners @ w1[0].T + b1[0]) @ w2[0].T + b2[0]))
    close(module.linear_path(a, b, from_data)([0.3]), module.linear_path(a, b, moments)([0.3]))
    first, second = [(np.eye(2), None), (np.eye(2), None)], [(2 * np.eye(2), None), (np.eye(2) / 2, None)]
    close(module.depth_two_barrier(first, second), 2 * (9 / 8 - 1) ** 2 / 2)
    w = np.array([1.0, 2.0])
    h = np.array([[1.0, 0.5], [0.5, 2.0]])
    for _ in range(3):
        w = w - 0.3 * h @ (w - 4)
    close(module.gradient_descent_solution([1.0, 2.0], h, [4.0, 4.0], 0.3, 3), w)


def check_piecewise(module):
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((7, 2))
    for (a, b, _), slope in ((PAIRS[False], 0.0), (PAIRS[True], 0.2)):
        expected = []
        for alpha in (0.0, 0.3, 0.8, 1.0):
            (w1, b1), (w2, b2) = at(a, b, alpha)
            z = x @ w1.swapaxes(1, 2) + (0 if b1 is None else b1[:, None])
            f = np.where(z > 0, z, slope * z) @ w2.swapaxes(1, 2) + (0 if b2 is None else b2[:, None])
            expected.append(((f - y) ** 2).sum(axis=2).mean(axis=1) / 2)
        close(module.piecewise_path(a, b, x, y, negative_slope=slope)([0.0, 0.3, 0.8, 1.0]), np.stack(expected, axis=1))


def check_deep_piecewise(module):
    x, y = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
    a, b = (
        [(rng.standard_normal((2, o, i)), rng.standard_normal((2, o))) for i, o in ((3, 3), (3, 2), (2, 2))]
        for _ in range(2)
    )
    alphas, expected = [0.0, 0.3, 0.8, 1.0], []
    for alpha in alphas:
        f = x
        for layer, (w, bias) in enumerate(at(a, b, alpha)):
            f = (np.where(f > 0, f, 0.2 * f) if layer else f) @ w.swapaxes(1, 2) + bias[:, None]
        expected.append(((f - y) ** 2).sum(axis=2).mean(axis=1) / 2)
    close(module.deep_piecewise_path(a, b, x, y, negative_slope=0.2)(alphas), np.stack(expected, axis=1))


def check_gradient_flow(module):
    """One mode, u' = 2u(s − u) for u(0) = 0.1, s = 2; the aligned weights; and the loss ½(1 − 2)² + … by hand."""
    moments = networks.SecondMoments(np.eye(1), [[2.0]], [[5.0]], [0.0], [0.0])
    t = np.array([0.0, 0.3, 1.0])
    u = 2 * np.exp(4 * t) / (np.exp(4 * t) - 1 + 20)
    start = [([[0.1**0.5]], None), ([[0.1**0.5]], None)]
    close(module.flow_overlaps(start, moments, t)[0], u[:, None, None] * np.ones((2, 2)))
    close(module.flow_losses(start, moments, t)[0], (u - 2) ** 2 / 2 + 0.5)
    (w1, _), (w2, _) = module.aligned_flow(moments, [0.1], [[1.0]], t)
    close(w1[:, 0, 0] * w2[:, 0, 0], u)
    close(np.abs(w1), np.abs(w2))
    still = networks.SecondMoments(np.eye(1), [[0.0]], [[5.0]], [0.0], [0.0])  # u' = −2u²
    close(module.flow_overlaps(start, still, t)[0, :, 1, 0], 0.1 / (1 + 0.2 * t))
    (w1, _), (w2, _) = module.aligned_flow(still, [0.1], [[1.0]], t)
    close((w2 @ w1)[:, 0, 0], 0.1 / (1 + 0.2 * t))


def check_cross_entropy(module):
    """Logits (0, z), label 0: the loss is log(1 + e^z)."""
    z = np.array([1.0, 4.0, 2.0])
    parts = module.cross_entropy_parts([0.0, 0.25, 1.0], np.stack([0 * z, z], axis=-1)[None, :, None], [0])
    loss, bar = np.log1p(np.exp(z)), np.log1p(np.exp(1.25))
    close(parts.height[0], [0, loss[1] - 0.75 * loss[0] - 0.25 * loss[2], 0])
    close(parts.lse_shift[0, 1], loss[1] - bar)
    close(parts.jensen_gap[0, 1], 0.75 * loss[0] + 0.25 * loss[2] - bar)
    close(parts.label_shift[0], 0)
    close(parts.bound[0, 1] + parts.jensen_gap[0, 1], 2 * 2.75)
    labelled = module.cross_entropy_parts([0.0, 0.25, 1.0], np.stack([0 * z, z], axis=-1)[None, :, None], [1])
    close(labelled.label_shift[0, 1], 2.75)


def check_features(module):
    """f = v relu(w x): w from 1 to 3, v from 2 to 1, x = 1: h = 1 + 2α, f = (1 + 2α)(2 − α), f̄ = 2 + α."""
    a, b = [([[1.0]], None), ([[2.0]], None)], [([[3.0]], None), ([[1.0]], None)]
    found = module.feature_residuals(a, b, [[1.0]], "relu", [0.25])
    close(found.residual[0, :, 0], [0.0, ((1.5 * 1.75 - 2.25) / 2.25) ** 2])
    close(found.commutativity, [[4.0]])
    close(found.cosine[0, :, 0], 1)
    bent = module.feature_residuals(
        [([[1.0]], [1.0]), a[1]], [([[-3.0]], [-2.0]), b[1]], [[1.0]], "leaky_relu", [0.25], negative_slope=0.1
    )
    close(bent.additivity, (0.25 - (0.75 * 2 - 0.25 * 0.5)) ** 2)
    close(bent.residual[0, 0], bent.additivity[0, 0] / (0.75 * 2 - 0.25 * 0.5) ** 2)
    for name, value in (
        ("square", 4.0),
        ("identity", 2.0),
        ("tanh", np.tanh(2.0)),
        ("erf", erf(np.sqrt(2.0))),
        ("gelu", 1 + erf(np.sqrt(2.0))),
    ):
        close(module.FUNCTIONS[name](np.array(2.0)), value)


def check_sphere(module):
    """One neuron −e₁ against relu(x₁) in the plane: E relu(x)² = E x²/2, so L = ½ (¼ + ¼) there."""
    away, here = np.array([[[-1.0, 0.0]]]), np.array([[[1.0, 0.0]]])
    close(module.sphere_path(here, away, 1)([0.0, 1.0]), [[0.0, 0.25]])
    assert module.neuron_types(here, 1).tolist() == [[0]]
    split = np.array([[[0.5, 0.0], [0.5, 0.0], [0.0, 0.0]]])
    assert module.neuron_types(split, 1).tolist() == [[0, 0, -1]]


def check_curvature(module):
    found = module.curvature_bound(polynomials.PolynomialCurve([[1.0, 3.0, -2.0, 0.5]]))
    close(found.bound, 0.5)
    tent = polynomials.PiecewisePolynomialCurve([0.0, 0.25], [[0, 3.0], [1, -1.0]], [0, 2])
    close(module.curvature_bound(tent).bound, 0.75)

    def bend(rows, pieces, losses):
        return smooth_curve.Bend(
            *np.array([[0.0], [8.0], [1.0]]) * np.array([[1.0], [1.0], [1 / 256]]) * np.ones(len(rows))
        )

    found = module.curvature_bound(
        smooth_curve.SmoothCurve(1, lambda rows, alphas, slope: (0 * alphas, 0 * alphas), bend=bend)
    )
    close(found.smooth, 1.0)
    close(
        found.kinks, 1 / 6 + 1 / 4 / 256, 1e-4
    )  # ∫ s(1 − s), and what the larger end of 256 pieces adds: half its ups and downs


def check_rebasin(module):
    close(module.midpoint_errors(), [0.5, 0.25, 0.25, 0.25])
    x, y = module.counterexample_data(2)
    ticks = [-0.75, -0.25, 0.25, 0.75]
    close(x, [[first, second] for first in ticks for second in ticks])
    close(y, (x[:, 0] < 0) & (x[:, 1] > 0))


def check_curve(module):
    """Barriers of 3 − 2α, 1 + α − α² and 3α − 2α², known by hand."""
    coefficients = np.array([[3.0, -2.0, 0.0], [1.0, 1.0, -1.0], [0.0, 3.0, -2.0]])
    parabolas = type(
        "Parabolas",
        (module.Curve,),
        {
            "n_pairs": 3,
            "__call__": polynomials.PolynomialCurve.__call__,
            "coefficients": coefficients,
            "derivative": polynomials.PolynomialCurve.derivative,
            "tilted_maxima": polynomials.PolynomialCurve.tilted_maxima,
        },
    )()
    grid = np.linspace(0, 1, 41)
    expected = {
        "linear": [0, 0.25, 0.5],
        "mean_endpoints": [1, 0.25, 0.625],
        "max_endpoint": [0, 0.25, 0.125],
        "midpoint": [0, 0.25, 0.5],
    }
    for definition, values in expected.items():
        close(parabolas.barrier(definition).value, values)
        close(module.barriers_on_grid(grid, parabolas(grid), definition).value, values)
    parabolas.kind, parabolas.error = (
        "approximate",
        np.array([0.1, 0.2, 0.3]),
    )  # at the maximum, and in what it is measured from
    for definition in expected:
        close(parabolas.barrier(definition).error, [0.2, 0.4, 0.6])


def check_smooth_curve(module):
    """Cubics and their tops, and bounds of arches by hand."""
    for cubic in ([2.0, -1.0, 5.0, -4.0], [2.0, 3.0, -4.0, 0.7]):
        value, slope = np.polynomial.Polynomial(cubic), np.polynomial.Polynomial(cubic).deriv()
        close(module._hermite(value(0), value(1), slope(0), slope(1), 0.3), value(0.3))
        top, place = module._hermite_top(*(np.array([v]) for v in (value(0), value(1), slope(0), slope(1))), 1.0)
        close(place, next(root for root in slope.roots() if 0 < root < 1 and slope.deriv()(root) < 0))
        close(top, value(place))
    rising = module._hermite_top(np.zeros(1), np.ones(1), np.ones(1), np.ones(1), 1.0)
    close(rising, ([1.0], [1.0]))
    # from 1 to 2 over a width of ½, tilted by −1: from 1 + ½ a to 2 + ½ (a + ½), with an arch of ½ 8/4 + 3/2 = 2.5
    ends, losses, slopes = np.array([[0.25, 0.75]]), np.array([[1.0, 2.0]]), np.array([[-1.0]])
    rise, middle, arch = 1.5, 2.0, 2.5
    bend = module.Bend(np.array([100.0]), np.array([8.0]), np.array([3.0]))
    close(module._highest(ends, losses, bend, slopes), middle + arch / 4 + rise**2 / (4 * arch))
    close(module._highest(ends, losses, bend._replace(slope=np.array([2.0])), slopes), 2.0 + 0.5 * 3.0 / 2)
    close(module._highest(ends, losses, module.Bend(np.array([100.0]), np.array([1.0]), np.array([0.0])), slopes), 2.75)


def check_series(module):
    """Moments of tanh, gelu, erf and relu by sums over the plane, and partials by differences."""
    named = {"tanh": np.tanh, "erf": lambda u: erf(u / np.sqrt(2)), "gelu": lambda u: u * (1 + erf(u / np.sqrt(2))) / 2}
    z = np.linspace(-8, 8, 129)
    weights = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    u, w = 0.4 + 0.7 * z[:, None], -0.2 + 0.3 * z[:, None] + 0.4 * z[None, :]
    for first, f in named.items():
        for second, g in named.items():
            close(
                module.series_moment(first, second, 0.4, -0.2, 0.49, 0.21, 0.25)[0], weights @ (f(u) * g(w)) @ weights
            )
    for pair in (("relu", "square"), ("leaky_relu", "erf"), ("square", "identity")):
        if "erf" not in pair:
            close(
                module.series_moment(*pair, 0.4, -0.2, 0.49, 0.21, 0.25)[0],
                gaussian_moments.second_moment(*pair, 0.4, -0.2, 0.49, 0.21, 0.25),
            )
    mean = np.array(0.4)
    relu = module.coefficients("relu", mean, np.array(0.49), 7)
    close(
        (relu * module.coefficients("relu", mean, np.array(0.49), 7))[:1],
        gaussian_moments.first_moment("relu", 0.4, 0.49) ** 2,
    )
    leaky = module.coefficients("leaky_relu", mean, np.array(0.49), 7, 0.3)
    close(leaky[2:], 0.7 * relu[2:])
    close(leaky[0], gaussian_moments.first_moment("leaky_relu", 0.4, 0.49, negative_slope=0.3))
    point = np.array([0.5, -0.8, 1.3, 0.7, 0.9])

    def partials(values):
        mean_u, mean_w, c11, c12, c22 = (np.atleast_1d(value) for value in values)
        a, b = module.coefficients("gelu", mean_u, c11, 42), module.coefficients("erf", mean_w, c22, 42)
        return module.moment_of(a, b, c11, c12, c22, True)

    here = partials(point)
    found = [here.mean_u, here.mean_w, here.log_c11 / point[2], here.c12, here.log_c22 / point[4]]
    for index in range(5):
        shift = 1e-5 * (np.arange(5) == index)
        close(found[index], (partials(point + shift).value - partials(point - shift).value) / 2e-5, 1e-8)


def check_activation_table(module):
    """Values and derivatives of the enclosed activations against central differences, and their turning points."""
    u = np.array([-2.3, -1.2, -0.4, 0.3, 0.9, 1.7])
    for name in module.ENCLOSED_ACTIVATIONS:
        sigma = module.activation_named(name, 0.25)
        for order in (1, 2):
            (below, _), (function, _) = sigma.derivatives[order - 1], sigma.derivatives[order]
            close(function(u), (below(u + 1e-5) - below(u - 1e-5)) / 2e-5, 1e-8)
        for order in range(3):
            function, turns = sigma.derivatives[order]
            for turn in turns:
                ball = sigma.range(order, module.Ball(np.array([turn + 0.01]), np.array([0.3])))
                inside = function(np.linspace(turn - 0.29, turn + 0.31, 601))
                assert ball.low[0] <= inside.min() and inside.max() <= ball.high[0]
    close(module.activation_named("tanh").derivatives[0][0](u), np.tanh(u))
    close(module.activation_named("erf").derivatives[0][0](u), erf(u / np.sqrt(2)))
    close(module.activation_named("gelu").derivatives[0][0](u), u * (1 + erf(u / np.sqrt(2))) / 2)


def check_bounds(module):
    """The bounds of `population.bounds` put together again for one unit, by hand and by integrals."""
    gaussian = {2: 1.0, 4: 3.0, 6: 15.0, 8: 105.0}  # E z^p = (p − 1)!!

    def norm(p, mean, root):
        return mean + root * gaussian[p] ** (1 / p)

    units, rates = module.Sizes(np.array(0.5), np.array(0.7)), module.Sizes(np.array(0.2), np.array(0.4))
    for p in gaussian:
        close(units.norm(p), norm(p, 0.5, 0.7))
    cubic, u, rate = hermite_series.Polynomial((0.1, -1.0, 0.3, 0.2)), (0.5, 0.7), (0.2, 0.4)
    size = module.derivative_norm
    close(size(0, cubic, 0.0, False, units, rates), 0.1 + norm(2, *u) + 0.3 * norm(4, *u) ** 2 + 0.2 * norm(6, *u) ** 3)
    close(size(1, cubic, 0.0, False, units, rates), (1 + 0.6 * norm(4, *u) + 0.6 * norm(8, *u) ** 2) * norm(4, *rate))
    close(size(2, cubic, 0.0, False, units, rates), (0.6 + 1.2 * norm(4, *u)) * norm(8, *rate) ** 2)
    close(size(1, "square", 0.0, False, units, rates), 2 * norm(4, *u) * norm(4, *rate))
    close(size(0, "identity", 0.0, False, units, rates), norm(2, *u))
    close(size(0, "erf", 0.0, False, units, rates), np.sqrt(2 / np.pi) * norm(2, *u))
    close(size(0, "erf", 0.0, False, module.Sizes(np.array(3.0), np.array(0.7)), rates), 1.0)
    close(size(2, "tanh", 0.0, False, units, rates), 4 / np.sqrt(27) * norm(4, *rate) ** 2)
    close(size(1, "leaky_relu", -1.5, False, units, rates), 1.5 * norm(2, *rate))
    close(size(1, "leaky_relu", 0.3, True, units, rates), np.sqrt(1.09 / 2) * norm(2, *rate))
    close(size(0, "relu", 0.0, True, units, rates), np.sqrt(0.5) * norm(2, *u))

    w, dw, v, dv = np.array([[[1.0, 0.2]]]), np.array([[[-2.0, 0.5]]]), np.array([[[0.7]]]), np.array([[[0.3]]])
    c, dc = np.array([[0.1]]), np.array([[0.2]])
    star = (np.array([[[0.3, 0.4]]]), np.array([[0.0]]), np.array([[[2.0]]]), np.array([[0.4]]))
    pieces, losses = np.array([[0.2, 0.6]]), np.array([[0.08, 0.18]])
    path = ((w, np.zeros((1, 1)), v, c), (dw, np.zeros((1, 1)), dv, dc), star)

    def at(alpha):
        return np.linalg.norm(w + alpha * dw)

    speed, output, largest = np.linalg.norm(dw), 0.7 + 0.6 * 0.3, max(at(0.2), at(0.6))
    for activation, s, kink in (
        ("erf", np.sqrt(2 / np.pi), 0.0),
        ("relu", np.sqrt(0.5), 1.0),
        ("leaky_relu", np.sqrt(1.04 / 2), 0.8),
    ):
        found = module.bend(*path, (activation, activation), 0.2, True, pieces, losses)
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
        (w, np.full((1, 1), mean), v, c),
        (dw, np.full((1, 1), mean_rate), dv, dc),
        (star[0], np.array([[star_mean]]), *star[2:]),
    )
    found = module.bend(*path, ("relu", "erf"), 0.0, False, pieces, losses)
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
    steep = module.bend(*path, ("relu", "square"), 0.0, False, pieces, losses)
    assert np.isinf(steep.kinks).all()


def check_committee(module):
    """I₃ and I₄ by Gauss–Hermite sums over four independent normals."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    z = np.stack([part.ravel() for part in np.meshgrid(*[nodes] * 4, indexing="ij")])
    chance = np.prod([part.ravel() for part in np.meshgrid(*[weights / weights.sum()] * 4, indexing="ij")], axis=0)
    root = np.array([[0.5, 0.1, -0.2, 0.3], [0.2, 0.6, 0.1, -0.1], [-0.3, 0.2, 0.4, 0.2], [0.1, -0.4, 0.3, 0.5]])
    u, c = root @ z, root @ root.T
    g, slope = erf(u / np.sqrt(2)), np.sqrt(2 / np.pi) * np.exp(-(u**2) / 2)
    close(module.three_point(c[0, 0], c[0, 1], c[0, 2], c[1, 2], c[2, 2]), chance @ (slope[0] * u[1] * g[2]))
    upper = c[np.triu_indices(4)]
    close(module.four_point(*upper), chance @ (slope[0] * slope[1] * g[2] * g[3]))


def check_twins(module):
    """dG/dt and dv/dt of two students of one unit and a teacher of one, by sums over the space of their fields."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    z = np.stack([part.ravel() for part in np.meshgrid(*[nodes] * 3, indexing="ij")])
    chance = np.prod([part.ravel() for part in np.meshgrid(*[weights / weights.sum()] * 3, indexing="ij")], axis=0)
    root = np.array([[0.5, 0.1, -0.2], [0.2, 0.6, 0.1], [-0.3, 0.2, 0.4]])
    u, eta, eta_v, v, teacher = root @ z, 0.7, 0.3, np.array([0.9, -0.7]), 1.2
    g, slope = erf(u / np.sqrt(2)), np.sqrt(2 / np.pi) * np.exp(-(u**2) / 2)
    error = teacher * g[2] - v[:, None] * g[:2]
    move = np.concatenate([v[:, None] * slope[:2] * error, np.zeros((1, z.shape[1]))])  # dw over η x
    expected = eta * np.einsum("is,js,s->ij", move, u, chance)
    expected = expected + expected.T + eta**2 * np.einsum("is,js,s->ij", move, move, chance)
    gram, outputs = (root @ root.T)[None], v.reshape(1, 2, 1)
    close(module._rates(gram, outputs, np.array([teacher]), eta, eta_v, True)[0][0], expected)
    found, output_change = module._rates(gram, outputs, np.array([teacher]), eta, eta_v, False)
    expected[0, 1] -= eta**2 * (move[0] * move[1]) @ chance
    expected[1, 0] = expected[0, 1]
    close(found[0], expected)
    close(output_change.ravel(), eta_v * (g[:2] * error) @ chance)


def check_losses_of_jets(module):
    """½‖e‖², cross-entropy and their derivatives at a point: balls without a width."""
    ball, z, z_slope, z_curvature = (
        module.Ball.exact,
        np.array([1.0, -0.5, 0.3]),
        np.array([0.4, 0.2, -1.0]),
        np.array([0.5, -0.3, 0.8]),
    )
    state = module._State(
        *(ball(part[None, None]) for part in (z, z_slope, z, z_slope, z_curvature)), np.ones((1, 1, 1), dtype=bool)
    )
    target = np.array([[0.2, 0.1, -0.6]])
    value, slope, over, curvature = module._mse(state, target)
    e = z - target[0]
    close(
        [value.mid.item(), slope.mid.item(), over.mid.item(), curvature.item()],
        [e @ e / 2, e @ z_slope, e @ z_slope, z_slope @ z_slope + e @ z_curvature],
    )
    p = np.exp(z) / np.exp(z).sum()
    value, slope, over, curvature = module._cross_entropy(state, np.array([1]))
    mean = p @ z_slope
    close(
        [value.mid.item(), slope.mid.item(), over.mid.item()],
        [np.log(np.exp(z).sum()) - z[1], mean - z_slope[1], mean - z_slope[1]],
    )
    close(curvature.item(), p @ z_curvature - z_curvature[1] + p @ (z_slope - mean) ** 2)
    assert max(part.rad.max() for part in (value, slope, over)) < 1e-9


def check_search(module):
    """A parabola's top inside a piece, to the right, to the left; and the four barriers of enclosed numbers."""
    c, r = np.array([0.5]), np.array([0.25])
    for slope, bent, tilt in ((1.0, -8.0, 0.5), (1.0, 4.0, 0.5), (-1.0, 4.0, 0.5), (-0.5, -8.0, 0.0), (3.0, -2.0, 0.0)):
        bound = path_jets.Bound(
            path_jets.Ball.exact(np.array([2.0])), path_jets.Ball.exact(np.array([slope])), np.array([bent])
        )
        t = np.linspace(-0.25, 0.25, 100_001)
        close(
            module.upper_bounds(bound, c, r, np.array([[tilt]])),
            (2 + slope * t + bent / 2 * t**2 - tilt * (0.5 + t)).max(),
        )
    close(module._mean(np.array([[1.0, 2.0]]), np.array([[3.0, 5.0]])), [[2.0, 3.5]])


def check_proofs(module):
    """The checker's own losses and slopes at points, against the search's; and what follows from a proof."""
    x, y = rng.standard_normal((5, 2)), rng.standard_normal((5, 2))
    a, b = (
        [(rng.standard_normal((1, o, i)), rng.standard_normal((1, o))) for i, o in ((2, 3), (3, 2))] for _ in range(2)
    )
    alphas = np.array([0.0, 0.4, 1.0])
    for activation in intervals.ENCLOSED_ACTIVATIONS:
        for kind, target in (("mse", y), ("cross_entropy", np.array([0, 1, 1, 0, 1]))):
            problem = path_jets.PathProblem(a, b, x, target, activation, kind, 0.3)
            expected = problem.bounds(np.zeros(3, dtype=np.int64), alphas, alphas)
            value, slope = module._Network(a, b, x, target, activation, kind, 0.3).loss(alphas, alphas)
            for found, known in ((value, expected.value), (slope, expected.slope)):
                close(found.low, known.mid)
                close(found.high, known.mid)
                assert (found.low <= known.high).all() and (found.high >= known.low).all()
    dip = module._activation("gelu", module._Interval(np.array([-2.0]), np.array([1.0])), 0.0)[0]
    close(dip.low, -0.1699712075, 1e-8)
    assert dip.low <= -0.169971207479990
    bent = module._activation("leaky_relu", module._Interval(np.array([-2.0]), np.array([1.0])), -0.5)
    close([part.item() for interval in bent for part in interval], [0.0, 1.0, -0.5, 1.0])
    points = np.array([[1.0, 1.0], [0.0, 0.0], [3.0, 3.0]])

    def follows(definition, barrier, tilt, top):
        edges = np.array([0.0, 1.0])
        return module._follows(
            enclosure.Proof(definition, np.array(barrier), tilt, edges, np.array([top]), 0.5, top, top, points)
        )

    for definition, barrier, tilt, top in (
        ("linear", 0.5, 2.0, 1.5),
        ("mean_endpoints", 1.5, 0.0, 3.5),
        ("max_endpoint", 0.5, 0.0, 3.5),
    ):
        assert follows(definition, [barrier, barrier], tilt, top)
        for barriers in ([barrier + 0.01, barrier + 0.02], [barrier - 0.02, barrier - 0.01]):
            assert not follows(definition, barriers, tilt, top)


def check_layers(module):
    root = rng.standard_normal((3, 3))
    factor = module.covariance_factor(root @ root.T, 3)
    close(factor @ factor.T, root @ root.T)


def check_symbolic(module):
    """Results at numbers, against sums over signs or the plane and the definitions."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()
    z, w = np.meshgrid(nodes, nodes, indexing="ij")
    u, other = 0.7 * z, 0.3 * z + 0.4 * w
    for name, sigma in (("identity", lambda x: x), ("square", lambda x: x**2)):
        close(
            module.derive(f"{name}-moment").function()(0.49, 0.21, 0.25), weights @ (sigma(u) * sigma(other)) @ weights
        )
    d = rng.standard_normal((3, 3))
    d = d + d.T
    x = np.stack([part.ravel() for part in np.meshgrid(nodes, nodes, nodes, indexing="ij")])
    chance = np.prod([part.ravel() for part in np.meshgrid(weights, weights, weights, indexing="ij")], axis=0)
    close(
        module.derive("square-population").function()(*d[np.triu_indices(3)]),
        0.5 * chance @ np.einsum("is,ij,js->s", x, d, x) ** 2,
    )
    d, root = rng.standard_normal((2, 2)), rng.standard_normal((2, 2))
    sigma = root @ root.T
    z = np.stack([part.ravel() for part in np.meshgrid(nodes, nodes, indexing="ij")])
    chance = np.outer(weights, weights).ravel()
    loss = 0.5 * chance @ ((d @ root @ z) ** 2).sum(0)
    close(module.derive("linear-population").function()(*d.ravel(), sigma[0, 0], sigma[0, 1], sigma[1, 1]), loss)
    a, b = rng.standard_normal(3), rng.standard_normal(3)
    along = np.prod(0.7 * a + 0.3 * b)
    close(module.derive("linear-path").function()(0.3, *a, *b, 0.8, 1.9), 0.5 * 1.9 * (along - 0.8) ** 2)
    close(module.derive("depth-two-barrier").function()(2.0), 0.5 * (1 / 4) ** 2 * 2.0)


def is_margin(node):
    """A tolerance, or the unit of rounding: what is multiplied by one may as well be larger."""
    value = getattr(node, "value", None)
    return getattr(node, "id", "") in ("UNIT", "FUNCTION_ERROR") or (isinstance(value, float) and 0 < value <= 1e-6)


def mutants(module, functions):
    """(label, copy) for each constant of the named functions (or methods), changed in the copy."""
    source = inspect.getsource(module)

    def operands(tree):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name in functions:
                margins = {
                    part
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.BinOp) and any(is_margin(side) for side in (inner.left, inner.right))
                    for part in ast.walk(inner)
                }
                for inner in ast.walk(node):
                    if inner in margins:
                        continue
                    if isinstance(inner, ast.BinOp):
                        numbers, is_power = [inner.left, inner.right], isinstance(inner.op, ast.Pow)
                    elif isinstance(inner, ast.Call) and getattr(inner.func, "attr", "") in ("where", "array"):
                        numbers, is_power = inner.args, False
                    else:
                        continue
                    for number in numbers:
                        value = getattr(number, "value", None)
                        if isinstance(value, (int, float)) and value:
                            yield number, is_power

    for index in range(len(list(operands(ast.parse(source))))):
        tree = ast.parse(source)
        constant, is_power = list(operands(tree))[index]
        label = f"{module.__name__} line {constant.lineno}: {constant.value}"
        constant.value = constant.value + 1 if is_power else constant.value * 1.25
        copy = types.ModuleType(module.__name__)
        exec(compile(tree, module.__file__, "exec"), copy.__dict__)
        yield label, copy


@pytest.mark.parametrize(
    ("module", "functions", "check"),
    [
        (
            gaussian_moments,
            {
                "smoothed",
                "_polynomial_moment",
                "relu_centred",
                "_leaky_centred",
                "_leaky_moment",
                "_relu_moment",
                "_erf_centred",
                "_erf_moment",
                "_density",
                "_orthant",
            },
            check_moments,
        ),
        (loss, {"_teacher_terms", "evaluate", "__init__"}, check_population),
        (
            networks,
            {"linear_path", "depth_two_barrier", "gradient_descent_solution", "_end_to_end"},
            check_linear,
        ),
        (two_layer, {"pieces", "_square", "_add_jumps"}, check_piecewise),
        (deep, {"pieces", "_sum_of_samples"}, check_deep_piecewise),
        (hermite_series, {"coefficients", "_of_erf", "hermite", "moment_of"}, check_series),
        (intervals, {"activation_named", "_phi"}, check_activation_table),
        (gradient_flow, {"flow_overlaps", "flow_losses", "aligned_flow"}, check_gradient_flow),
        (cross_entropy, {"cross_entropy_parts"}, check_cross_entropy),
        (feature_connectivity, {"feature_residuals"}, check_features),
        (sphere_teacher, {"neuron_types", "sphere_path"}, check_sphere),
        (curvature, {"curvature_bound"}, check_curvature),
        (rebasin_counterexample, {"counterexample_data"}, check_rebasin),
        (curve, {"barrier", "level_of_ends", "barriers_on_grid"}, check_curve),
        (smooth_curve, {"_highest", "_hermite", "_hermite_top"}, check_smooth_curve),
        (bounds, {"norm", "derivative_norm", "bend", "_density_of_kinks"}, check_bounds),
        (averages, {"three_point", "four_point"}, check_committee),
        (order_parameters, {"_rates"}, check_twins),
        (path_jets, {"_mse", "_cross_entropy", "_softmax"}, check_losses_of_jets),
        (enclosure, {"upper_bounds", "_mean"}, check_search),
        (checker, {"_follows", "loss", "_of_samples", "_activation"}, check_proofs),
        (layers, {"covariance_factor"}, check_layers),
        (symbolic, set(SYMBOLIC), check_symbolic),
    ],
    ids=lambda value: value.__name__.split(".")[-1] if isinstance(value, types.ModuleType) else "",
)
def test_every_constant_is_needed(module, functions, check):
    check(module)
    survivors, n_mutants = [], 0
    for label, copy in mutants(module, functions):
        n_mutants += 1
        try:
            with np.errstate(all="ignore"):
                check(copy)
            survivors.append(label)
        except Exception:  # any failure refuses the copy
            pass
    assert n_mutants > 0
    assert survivors == [], survivors
