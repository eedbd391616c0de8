"""Every numeric constant of the checks and of the derivations is needed: change one, and a check fails."""

import numpy as np

from tests.theory.mutations import assert_every_constant_is_needed, mutation_cases
from tests.theory.problems import close
from theory import layers, symbolic


def check_layers():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3))
    factor = layers.covariance_factor(root @ root.T, 3)
    close(factor @ factor.T, root @ root.T)


def check_symbolic():
    """Results at numbers, against sums over signs or the plane and the definitions."""
    rng = np.random.default_rng(0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()
    z, w = np.meshgrid(nodes, nodes, indexing="ij")
    u, other = 0.7 * z, 0.3 * z + 0.4 * w
    for name, sigma in (("identity", lambda x: x), ("square", lambda x: x**2)):
        close(
            symbolic.derive(f"{name}-moment").function()(0.49, 0.21, 0.25),
            weights @ (sigma(u) * sigma(other)) @ weights,
        )
    d = rng.standard_normal((3, 3))
    d = d + d.T
    x = np.stack([part.ravel() for part in np.meshgrid(nodes, nodes, nodes, indexing="ij")])
    chance = np.prod([part.ravel() for part in np.meshgrid(weights, weights, weights, indexing="ij")], axis=0)
    close(
        symbolic.derive("square-population").function()(*d[np.triu_indices(3)]),
        0.5 * chance @ np.einsum("is,ij,js->s", x, d, x) ** 2,
    )
    d, root = rng.standard_normal((2, 2)), rng.standard_normal((2, 2))
    sigma = root @ root.T
    z = np.stack([part.ravel() for part in np.meshgrid(nodes, nodes, indexing="ij")])
    chance = np.outer(weights, weights).ravel()
    loss = 0.5 * chance @ ((d @ root @ z) ** 2).sum(0)
    close(symbolic.derive("linear-population").function()(*d.ravel(), sigma[0, 0], sigma[0, 1], sigma[1, 1]), loss)
    a, b = rng.standard_normal(3), rng.standard_normal(3)
    along = np.prod(0.7 * a + 0.3 * b)
    close(symbolic.derive("linear-path").function()(0.3, *a, *b, 0.8, 1.9), 0.5 * 1.9 * (along - 0.8) ** 2)
    close(symbolic.derive("depth-two-barrier").function()(2.0), 0.5 * (1 / 4) ** 2 * 2.0)


@mutation_cases(
    (layers, {"covariance_factor"}, check_layers),
    (
        symbolic,
        {
            "gaussian_mean",
            "_pair_moment",
            "square_moment",
            "square_population",
            "linear_population",
            "linear_path",
            "depth_two_barrier",
        },
        check_symbolic,
    ),
)
def test_every_constant_is_needed(module, functions, check):
    assert_every_constant_is_needed(module, functions, check)
