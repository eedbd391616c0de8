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

from theory import (
    cross_entropy,
    curvature,
    curve,
    deep_piecewise,
    feature_connectivity,
    gaussian_moments,
    gradient_flow,
    hermite_series,
    intervals,
    linear_networks,
    piecewise,
    polynomials,
    population,
    rebasin_counterexample,
    sphere_teacher,
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
    close(moment("leaky_relu", "relu", None, None, *point[2:], negative_slope=0.3), with_leaky(0.3, 0.0, 0.0, 0.0, *point[2:]))
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
    return [tuple(None if u is None else (1 - alpha) * u + alpha * w for u, w in zip(p, q, strict=True)) for p, q in zip(a, b, strict=True)]


def check_population(module):
    """identity on the 2³ corners of a cube, which have the Gaussian's moments; relu's derivative by differences."""
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    for a, b, teacher in PAIRS.values():
        curve = module.population_path(a, b, teacher, "identity")
        outputs = []
        for alpha in (0.0, 0.3, 1.0):
            f, target = (
                corners @ w1.swapaxes(1, 2) @ w2.swapaxes(1, 2) + (0 if b1 is None else (b1[:, None] @ w2.swapaxes(1, 2) + b2[:, None]))
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
    close(module.linear_path(a, b, moments)([0.0, 0.3, 1.0]), population.population_path(a, b, teacher, "identity")([0.0, 0.3, 1.0]))
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
    a, b = ([(rng.standard_normal((2, o, i)), rng.standard_normal((2, o))) for i, o in ((3, 3), (3, 2), (2, 2))] for _ in range(2))
    alphas, expected = [0.0, 0.3, 0.8, 1.0], []
    for alpha in alphas:
        f = x
        for layer, (w, bias) in enumerate(at(a, b, alpha)):
            f = (np.where(f > 0, f, 0.2 * f) if layer else f) @ w.swapaxes(1, 2) + bias[:, None]
        expected.append(((f - y) ** 2).sum(axis=2).mean(axis=1) / 2)
    close(module.deep_piecewise_path(a, b, x, y, negative_slope=0.2)(alphas), np.stack(expected, axis=1))


def check_gradient_flow(module):
    """One mode, u' = 2u(s − u) for u(0) = 0.1, s = 2; the aligned weights; and the loss ½(1 − 2)² + … by hand."""
    moments = linear_networks.SecondMoments(np.eye(1), [[2.0]], [[5.0]], [0.0], [0.0])
    t = np.array([0.0, 0.3, 1.0])
    u = 2 * np.exp(4 * t) / (np.exp(4 * t) - 1 + 20)
    start = [([[0.1**0.5]], None), ([[0.1**0.5]], None)]
    close(module.flow_overlaps(start, moments, t)[0], u[:, None, None] * np.ones((2, 2)))
    close(module.flow_losses(start, moments, t)[0], (u - 2) ** 2 / 2 + 0.5)
    (w1, _), (w2, _) = module.aligned_flow(moments, [0.1], [[1.0]], t)
    close(w1[:, 0, 0] * w2[:, 0, 0], u)
    close(np.abs(w1), np.abs(w2))
    still = linear_networks.SecondMoments(np.eye(1), [[0.0]], [[5.0]], [0.0], [0.0])  # u' = −2u²
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
    bent = module.feature_residuals([([[1.0]], [1.0]), a[1]], [([[-3.0]], [-2.0]), b[1]], [[1.0]], "leaky_relu", [0.25], negative_slope=0.1)
    close(bent.additivity, (0.25 - (0.75 * 2 - 0.25 * 0.5)) ** 2)
    close(bent.residual[0, 0], bent.additivity[0, 0] / (0.75 * 2 - 0.25 * 0.5) ** 2)
    for name, value in (("square", 4.0), ("identity", 2.0), ("tanh", np.tanh(2.0)), ("erf", erf(np.sqrt(2.0))), ("gelu", 1 + erf(np.sqrt(2.0)))):
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
    expected = {"linear": [0, 0.25, 0.5], "mean_endpoints": [1, 0.25, 0.625], "max_endpoint": [0, 0.25, 0.125], "midpoint": [0, 0.25, 0.5]}
    for definition, values in expected.items():
        close(parabolas.barrier(definition).value, values)
        close(module.barriers_on_grid(grid, parabolas(grid), definition).value, values)
    parabolas.kind, parabolas.error = "approximate", np.array([0.1, 0.2, 0.3])  # at the maximum, and in what it is measured from
    for definition in expected:
        close(parabolas.barrier(definition).error, [0.2, 0.4, 0.6])
    smooth = module.SmoothCurve(
        3,
        lambda rows, alphas, _: (
            polynomials.polynomial_value(coefficients[rows][:, None], alphas),
            polynomials.polynomial_value(polynomials.polynomial_derivative(coefficients)[rows][:, None], alphas),
        ),
    )
    close(smooth.barrier("max_endpoint").value, expected["max_endpoint"])
    for cubic in ([2.0, -1.0, 5.0, -4.0], [2.0, 3.0, -4.0, 0.7]):
        value, slope = np.polynomial.Polynomial(cubic), np.polynomial.Polynomial(cubic).deriv()
        close(module._hermite(value(0), value(1), slope(0), slope(1), 0.3), value(0.3))
        top, place = module._hermite_top(*(np.array([v]) for v in (value(0), value(1), slope(0), slope(1))), 1.0)
        close(place, next(root for root in slope.roots() if 0 < root < 1 and slope.deriv()(root) < 0))
        close(top, value(place))
    rising = module._hermite_top(np.zeros(1), np.ones(1), np.ones(1), np.ones(1), 1.0)
    close(rising, ([1.0], [1.0]))


def check_series(module):
    """Moments of tanh, gelu, erf and relu by sums over the plane, and partials by differences."""
    named = {"tanh": np.tanh, "erf": lambda u: erf(u / np.sqrt(2)), "gelu": lambda u: u * (1 + erf(u / np.sqrt(2))) / 2}
    z = np.linspace(-8, 8, 129)
    weights = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    u, w = 0.4 + 0.7 * z[:, None], -0.2 + 0.3 * z[:, None] + 0.4 * z[None, :]
    for first, f in named.items():
        for second, g in named.items():
            close(module.series_moment(first, second, 0.4, -0.2, 0.49, 0.21, 0.25)[0], weights @ (f(u) * g(w)) @ weights)
    for pair in (("relu", "square"), ("leaky_relu", "erf"), ("square", "identity")):
        if "erf" not in pair:
            close(module.series_moment(*pair, 0.4, -0.2, 0.49, 0.21, 0.25)[0], gaussian_moments.second_moment(*pair, 0.4, -0.2, 0.49, 0.21, 0.25))
    mean = np.array(0.4)
    relu = module.coefficients("relu", mean, np.array(0.49), 7)
    close((relu * module.coefficients("relu", mean, np.array(0.49), 7))[:1], gaussian_moments.first_moment("relu", 0.4, 0.49) ** 2)
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


def mutants(module, functions):
    """(label, copy) for each constant of the named functions (or methods), changed in the copy."""
    source = inspect.getsource(module)

    def operands(tree):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name in functions:
                for inner in ast.walk(node):
                    if isinstance(inner, ast.BinOp):
                        numbers, is_power = [inner.left, inner.right], isinstance(inner.op, ast.Pow)
                    elif isinstance(inner, ast.Call) and getattr(inner.func, "attr", "") == "where":
                        numbers, is_power = inner.args, False
                    else:
                        continue
                    for number in numbers:
                        value = getattr(number, "value", None)
                        if isinstance(value, (int, float)) and abs(value) > 1e-6:  # smaller is a tolerance
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
        (population, {"_teacher_terms", "evaluate", "__init__"}, check_population),
        (linear_networks, {"linear_path", "depth_two_barrier", "gradient_descent_solution", "_end_to_end"}, check_linear),
        (piecewise, {"pieces", "_square", "_add_jumps"}, check_piecewise),
        (deep_piecewise, {"pieces", "_sum_of_samples"}, check_deep_piecewise),
        (hermite_series, {"coefficients", "_of_erf", "hermite", "moment_of"}, check_series),
        (intervals, {"activation_named", "_phi"}, check_activation_table),
        (gradient_flow, {"flow_overlaps", "flow_losses", "aligned_flow"}, check_gradient_flow),
        (cross_entropy, {"cross_entropy_parts"}, check_cross_entropy),
        (feature_connectivity, {"feature_residuals"}, check_features),
        (sphere_teacher, {"neuron_types", "sphere_path"}, check_sphere),
        (curvature, {"curvature_bound"}, check_curvature),
        (rebasin_counterexample, {"counterexample_data"}, check_rebasin),
        (curve, {"barrier", "barriers_on_grid", "_hermite", "_hermite_top"}, check_curve),
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
