"""Every numeric constant of the enclosures and of their checker is needed: change one, and a check fails."""

import numpy as np
from scipy.special import erf

from tests.theory.mutations import assert_every_constant_is_needed, mutation_cases
from tests.theory.problems import close
from theory.certified import checker, enclosure, intervals, path_jets, search


def check_activation_table():
    """Values and derivatives of the enclosed activations against central differences, and their turning points."""
    u = np.array([-2.3, -1.2, -0.4, 0.3, 0.9, 1.7])
    for name in intervals.ENCLOSED_ACTIVATIONS:
        sigma = intervals.activation_named(name, 0.25)
        for order in (1, 2):
            (below, _), (function, _) = sigma.derivatives[order - 1], sigma.derivatives[order]
            close(function(u), (below(u + 1e-5) - below(u - 1e-5)) / 2e-5, 1e-8)
        for order in range(3):
            function, turns = sigma.derivatives[order]
            for turn in turns:
                ball = sigma.range(order, intervals.Ball(np.array([turn + 0.01]), np.array([0.3])))
                inside = function(np.linspace(turn - 0.29, turn + 0.31, 601))
                assert ball.low[0] <= inside.min() and inside.max() <= ball.high[0]
    close(intervals.activation_named("tanh").derivatives[0][0](u), np.tanh(u))
    close(intervals.activation_named("erf").derivatives[0][0](u), erf(u / np.sqrt(2)))
    close(intervals.activation_named("gelu").derivatives[0][0](u), u * (1 + erf(u / np.sqrt(2))) / 2)


def check_losses_of_jets():
    """½‖e‖², cross-entropy and their derivatives at a point: balls without a width."""
    ball, z, z_slope, z_curvature = (
        path_jets.Ball.exact,
        np.array([1.0, -0.5, 0.3]),
        np.array([0.4, 0.2, -1.0]),
        np.array([0.5, -0.3, 0.8]),
    )
    state = path_jets._State(
        *(ball(part[None, None]) for part in (z, z_slope, z, z_slope, z_curvature)), np.ones((1, 1, 1), dtype=bool)
    )
    target = np.array([[0.2, 0.1, -0.6]])
    value, slope, over, curvature = path_jets._mse(state, target)
    e = z - target[0]
    close(
        [value.mid.item(), slope.mid.item(), over.mid.item(), curvature.item()],
        [e @ e / 2, e @ z_slope, e @ z_slope, z_slope @ z_slope + e @ z_curvature],
    )
    p = np.exp(z) / np.exp(z).sum()
    value, slope, over, curvature = path_jets._cross_entropy(state, np.array([1]))
    mean = p @ z_slope
    close(
        [value.mid.item(), slope.mid.item(), over.mid.item()],
        [np.log(np.exp(z).sum()) - z[1], mean - z_slope[1], mean - z_slope[1]],
    )
    close(curvature.item(), p @ z_curvature - z_curvature[1] + p @ (z_slope - mean) ** 2)
    assert max(part.rad.max() for part in (value, slope, over)) < 1e-9


def check_search():
    """A parabola's top inside a piece, to the right, to the left; and the four barriers of enclosed numbers."""
    c, r = np.array([0.5]), np.array([0.25])
    for slope, bent, tilt in ((1.0, -8.0, 0.5), (1.0, 4.0, 0.5), (-1.0, 4.0, 0.5), (-0.5, -8.0, 0.0), (3.0, -2.0, 0.0)):
        bound = path_jets.Bound(
            path_jets.Ball.exact(np.array([2.0])), path_jets.Ball.exact(np.array([slope])), np.array([bent])
        )
        t = np.linspace(-0.25, 0.25, 100_001)
        close(
            search.upper_bounds(bound, c, r, np.array([[tilt]])),
            (2 + slope * t + bent / 2 * t**2 - tilt * (0.5 + t)).max(),
        )
    close(enclosure._mean(np.array([[1.0, 2.0]]), np.array([[3.0, 5.0]])), [[2.0, 3.5]])


def check_proofs():
    """The checker's own losses and slopes at points, against the search's; and what follows from a proof."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 2)), rng.standard_normal((5, 2))
    a, b = (
        [(rng.standard_normal((1, o, i)), rng.standard_normal((1, o))) for i, o in ((2, 3), (3, 2))] for _ in range(2)
    )
    alphas = np.array([0.0, 0.4, 1.0])
    for activation in intervals.ENCLOSED_ACTIVATIONS:
        for kind, target in (("mse", y), ("cross_entropy", np.array([0, 1, 1, 0, 1]))):
            problem = path_jets.PathProblem(a, b, x, target, activation, kind, 0.3)
            expected = problem.bounds(np.zeros(3, dtype=np.int64), alphas, alphas)
            value, slope = checker._Network(a, b, x, target, activation, kind, 0.3).loss(alphas, alphas)
            for found, known in ((value, expected.value), (slope, expected.slope)):
                close(found.low, known.mid)
                close(found.high, known.mid)
                assert (found.low <= known.high).all() and (found.high >= known.low).all()
    dip = checker._activation("gelu", checker._Interval(np.array([-2.0]), np.array([1.0])), 0.0)[0]
    close(dip.low, -0.1699712075, 1e-8)
    assert dip.low <= -0.169971207479990
    bent = checker._activation("leaky_relu", checker._Interval(np.array([-2.0]), np.array([1.0])), -0.5)
    close([end.item() for interval in bent for end in (interval.low, interval.high)], [0.0, 1.0, -0.5, 1.0])
    points = np.array([[1.0, 1.0], [0.0, 0.0], [3.0, 3.0]])

    def follows(definition, barrier, tilt, top):
        edges = np.array([0.0, 1.0])
        return checker._follows(
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


@mutation_cases(
    (intervals, {"activation_named", "_phi"}, check_activation_table),
    (path_jets, {"_mse", "_cross_entropy", "_softmax"}, check_losses_of_jets),
    (search, {"upper_bounds"}, check_search),
    (enclosure, {"_mean"}, check_search),
    (checker, {"_follows", "loss", "_of_samples", "_activation"}, check_proofs),
)
def test_every_constant_is_needed(module, functions, check):
    assert_every_constant_is_needed(module, functions, check)
