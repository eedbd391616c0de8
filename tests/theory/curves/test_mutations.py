"""Every numeric constant of the barriers and of the search for maxima is needed: change one, and a check fails."""

import numpy as np

from tests.theory.mutations import assert_every_constant_is_needed, mutation_cases
from tests.theory.problems import close
from theory.curves import cubics, curve, polynomials, smooth_curve


def check_curve():
    """Barriers of 3 − 2α, 1 + α − α² and 3α − 2α², known by hand."""
    coefficients = np.array([[3.0, -2.0, 0.0], [1.0, 1.0, -1.0], [0.0, 3.0, -2.0]])
    parabolas = type(
        "Parabolas",
        (curve.Curve,),
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
        close(curve.barriers_on_grid(grid, parabolas(grid), definition).value, values)
    parabolas.kind, parabolas.error = (
        "approximate",
        np.array([0.1, 0.2, 0.3]),
    )  # at the maximum, and in what it is measured from
    for definition in expected:
        close(parabolas.barrier(definition).error, [0.2, 0.4, 0.6])


def check_smooth_curve():
    """Cubics and their tops, and bounds of arches by hand."""
    for cubic in ([2.0, -1.0, 5.0, -4.0], [2.0, 3.0, -4.0, 0.7]):
        value, slope = np.polynomial.Polynomial(cubic), np.polynomial.Polynomial(cubic).deriv()
        close(cubics.cubic_value(value(0), value(1), slope(0), slope(1), 0.3), value(0.3))
        top, place = cubics.cubic_top(*(np.array([v]) for v in (value(0), value(1), slope(0), slope(1))), 1.0)
        close(place, next(root for root in slope.roots() if 0 < root < 1 and slope.deriv()(root) < 0))
        close(top, value(place))
    rising = cubics.cubic_top(np.zeros(1), np.ones(1), np.ones(1), np.ones(1), 1.0)
    close(rising, ([1.0], [1.0]))
    # from 1 to 2 over a width of ½, tilted by −1: from 1 + ½ a to 2 + ½ (a + ½), with an arch of ½ 8/4 + 3/2 = 2.5
    ends, losses, slopes = np.array([[0.25, 0.75]]), np.array([[1.0, 2.0]]), np.array([[-1.0]])
    rise, middle, arch = 1.5, 2.0, 2.5
    bend = smooth_curve.Bend(np.array([100.0]), np.array([8.0]), np.array([3.0]))
    close(smooth_curve._highest(ends, losses, bend, slopes), middle + arch / 4 + rise**2 / (4 * arch))
    close(smooth_curve._highest(ends, losses, bend._replace(slope=np.array([2.0])), slopes), 2.0 + 0.5 * 3.0 / 2)
    close(
        smooth_curve._highest(
            ends, losses, smooth_curve.Bend(np.array([100.0]), np.array([1.0]), np.array([0.0])), slopes
        ),
        2.75,
    )


@mutation_cases(
    (curve, {"barrier", "level_of_ends", "barriers_on_grid"}, check_curve),
    (smooth_curve, {"_highest"}, check_smooth_curve),
    (cubics, {"cubic_value", "cubic_top"}, check_smooth_curve),
)
def test_every_constant_is_needed(module, functions, check):
    assert_every_constant_is_needed(module, functions, check)
