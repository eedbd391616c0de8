"""Every numeric constant of the order-parameter equations is needed: change one, and a check fails."""

import numpy as np
from scipy.special import erf

from tests.theory.mutations import assert_every_constant_is_needed, mutation_cases
from tests.theory.problems import close
from theory.online import averages, order_parameters


def check_committee():
    """I₃ and I₄ by Gauss–Hermite sums over four independent normals."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    z = np.stack([part.ravel() for part in np.meshgrid(*[nodes] * 4, indexing="ij")])
    chance = np.prod([part.ravel() for part in np.meshgrid(*[weights / weights.sum()] * 4, indexing="ij")], axis=0)
    root = np.array([[0.5, 0.1, -0.2, 0.3], [0.2, 0.6, 0.1, -0.1], [-0.3, 0.2, 0.4, 0.2], [0.1, -0.4, 0.3, 0.5]])
    u, c = root @ z, root @ root.T
    g, slope = erf(u / np.sqrt(2)), np.sqrt(2 / np.pi) * np.exp(-(u**2) / 2)
    close(averages.three_point(c[0, 0], c[0, 1], c[0, 2], c[1, 2], c[2, 2]), chance @ (slope[0] * u[1] * g[2]))
    upper = c[np.triu_indices(4)]
    close(averages.four_point(*upper), chance @ (slope[0] * slope[1] * g[2] * g[3]))


def check_twins():
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
    close(order_parameters._rates(gram, outputs, np.array([teacher]), eta, eta_v, True)[0][0], expected)
    found, output_change = order_parameters._rates(gram, outputs, np.array([teacher]), eta, eta_v, False)
    expected[0, 1] -= eta**2 * (move[0] * move[1]) @ chance
    expected[1, 0] = expected[0, 1]
    close(found[0], expected)
    close(output_change.ravel(), eta_v * (g[:2] * error) @ chance)


@mutation_cases(
    (averages, {"three_point", "four_point"}, check_committee),
    (order_parameters, {"_rates"}, check_twins),
)
def test_every_constant_is_needed(module, functions, check):
    assert_every_constant_is_needed(module, functions, check)
