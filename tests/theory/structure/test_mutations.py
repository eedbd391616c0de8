"""Every numeric constant of the structure results is needed: change one, and a check fails."""

import numpy as np
from scipy.special import erf

from tests.theory.mutations import assert_every_constant_is_needed, mutation_cases
from tests.theory.problems import close
from tests.theory.structure import test_loss_derivatives, test_random_order, test_sibling_gap
from theory.curves import polynomials, smooth_curve
from theory.structure import (
    cross_entropy,
    curvature,
    feature_connectivity,
    loss_derivatives,
    random_order,
    rebasin_counterexample,
    sibling_gap,
    sphere_teacher,
)


def check_cross_entropy():
    """Logits (0, z), label 0: the loss is log(1 + e^z)."""
    z = np.array([1.0, 4.0, 2.0])
    parts = cross_entropy.cross_entropy_parts([0.0, 0.25, 1.0], np.stack([0 * z, z], axis=-1)[None, :, None], [0])
    loss, bar = np.log1p(np.exp(z)), np.log1p(np.exp(1.25))
    close(parts.height[0], [0, loss[1] - 0.75 * loss[0] - 0.25 * loss[2], 0])
    close(parts.lse_shift[0, 1], loss[1] - bar)
    close(parts.jensen_gap[0, 1], 0.75 * loss[0] + 0.25 * loss[2] - bar)
    close(parts.label_shift[0], 0)
    close(parts.bound[0, 1] + parts.jensen_gap[0, 1], 2 * 2.75)
    labelled = cross_entropy.cross_entropy_parts([0.0, 0.25, 1.0], np.stack([0 * z, z], axis=-1)[None, :, None], [1])
    close(labelled.label_shift[0, 1], 2.75)


def check_features():
    """f = v relu(w x): w from 1 to 3, v from 2 to 1, x = 1: h = 1 + 2α, f = (1 + 2α)(2 − α), f̄ = 2 + α."""
    a, b = [([[1.0]], None), ([[2.0]], None)], [([[3.0]], None), ([[1.0]], None)]
    found = feature_connectivity.feature_residuals(a, b, [[1.0]], "relu", [0.25])
    close(found.residual[0, :, 0], [0.0, ((1.5 * 1.75 - 2.25) / 2.25) ** 2])
    close(found.commutativity, [[4.0]])
    close(found.cosine[0, :, 0], 1)
    bent = feature_connectivity.feature_residuals(
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
        ("silu", 2 / (1 + np.exp(-2.0))),
    ):
        close(feature_connectivity.FUNCTIONS[name](np.array(2.0)), value)


def check_sphere():
    """One neuron −e₁ against relu(x₁) in the plane: E relu(x)² = E x²/2, so L = ½ (¼ + ¼) there."""
    opposite, teacher = np.array([[[-1.0, 0.0]]]), np.array([[[1.0, 0.0]]])
    close(sphere_teacher.sphere_path(teacher, opposite, 1)([0.0, 1.0]), [[0.0, 0.25]])
    assert sphere_teacher.neuron_types(teacher, 1).tolist() == [[0]]
    split = np.array([[[0.5, 0.0], [0.5, 0.0], [0.0, 0.0]]])
    assert sphere_teacher.neuron_types(split, 1).tolist() == [[0, 0, -1]]


def check_curvature():
    found = curvature.curvature_bound(polynomials.PolynomialCurve([[1.0, 3.0, -2.0, 0.5]]))
    close(found.bound, 0.5)
    tent = polynomials.PiecewisePolynomialCurve([0.0, 0.25], [[0, 3.0], [1, -1.0]], [0, 2])
    close(curvature.curvature_bound(tent).bound, 0.75)

    def bend(rows, pieces, losses):
        return smooth_curve.Bend(
            *np.array([[0.0], [8.0], [1.0]]) * np.array([[1.0], [1.0], [1 / 256]]) * np.ones(len(rows))
        )

    found = curvature.curvature_bound(
        smooth_curve.SmoothCurve(1, lambda rows, alphas, slope: (0 * alphas, 0 * alphas), bend=bend)
    )
    close(found.smooth, 1.0)
    close(
        found.kinks, 1 / 6 + 1 / 4 / 256, 1e-4
    )  # ∫ s(1 − s), and what the larger end of 256 pieces adds: half its ups and downs


def check_rebasin():
    close(rebasin_counterexample.midpoint_errors(), [0.5, 0.25, 0.25, 0.25])
    x, y = rebasin_counterexample.counterexample_data(2)
    ticks = [-0.75, -0.25, 0.25, 0.75]
    close(x, [[first, second] for first in ticks for second in ticks])
    close(y, (x[:, 0] < 0) & (x[:, 1] > 0))


def check_derivatives():
    for activation in ("tanh", "erf", "gelu"):
        for loss in ("mse", "cross_entropy"):
            test_loss_derivatives.test_derivatives_are_those_of_automatic_differentiation(activation, loss)
    test_loss_derivatives.test_a_square_is_a_polynomial()


def check_sibling_gap():
    test_sibling_gap.test_gaussian_ends_of_a_quartic_by_quadrature()
    test_sibling_gap.test_ends_of_any_law_by_enumeration()


def check_random_order():
    test_random_order.test_moments_and_the_squared_loss_are_those_of_all_orders("leaky_relu", 0.2, True)
    test_random_order.test_noise_is_a_share_of_the_variance()


@mutation_cases(
    (cross_entropy, {"cross_entropy_parts"}, check_cross_entropy),
    (feature_connectivity, {"feature_residuals", "_mean_square"}, check_features),
    (sphere_teacher, {"neuron_types", "sphere_path"}, check_sphere),
    (curvature, {"_of_smooth_curve", "_of_pieces"}, check_curvature),
    (rebasin_counterexample, {"counterexample_data"}, check_rebasin),
    (
        loss_derivatives,
        {"_density", "_tanh", "_erf", "_gelu", "_square", "_activated", "_mse", "_cross_entropy"},
        check_derivatives,
    ),
    (sibling_gap, {"sibling_gap"}, check_sibling_gap),
    (random_order, {"random_order", "_moments", "squared_loss", "noise"}, check_random_order),
)
def test_every_constant_is_needed(module, functions, check):
    assert_every_constant_is_needed(module, functions, check)
