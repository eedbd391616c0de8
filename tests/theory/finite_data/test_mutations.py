"""Every numeric constant of the exact training loss is needed: change one, and a check fails."""

import numpy as np

from tests.theory.mutations import assert_every_constant_is_needed, mutation_cases
from tests.theory.problems import close, leaky, losses_along, networks
from theory.finite_data import deep, pieces, two_layer


def check_two_layer():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((7, 2))
    alphas = [0.0, 0.3, 0.8, 1.0]
    for biased, slope in ((False, 0.0), (True, 0.2)):
        a, b = networks(rng, 2, (3, 3, 2), biased), networks(rng, 2, (3, 3, 2), biased)
        expected = losses_along(a, b, x, y, alphas, leaky(slope))
        close(two_layer.piecewise_path(a, b, x, y, negative_slope=slope)(alphas), expected)


def check_deep():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
    a, b = networks(rng, 2, (3, 3, 2, 2)), networks(rng, 2, (3, 3, 2, 2))
    alphas = [0.0, 0.3, 0.8, 1.0]
    expected = losses_along(a, b, x, y, alphas, leaky(0.2))
    close(deep.deep_piecewise_path(a, b, x, y, negative_slope=0.2)(alphas), expected)


@mutation_cases(
    (two_layer, {"pieces", "_half_mean_square", "_add_jumps"}, check_two_layer),
    (pieces, {"sum_jumps"}, check_deep),
    (deep, {"pieces", "_squared_norm"}, check_deep),
)
def test_every_constant_is_needed(module, functions, check):
    assert_every_constant_is_needed(module, functions, check)
