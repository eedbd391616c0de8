"""Git Re-Basin's counterexample: two solutions, and what no permutation of one brings."""

from itertools import product

import numpy as np

from theory import BARRIER_DEFINITIONS, barriers_on_grid, counterexample_data, midpoint_errors
from theory.structure.rebasin_counterexample import SOLUTION_A, SOLUTION_B, permuted_solutions, predicted_class

GRID = np.linspace(0, 1, 401)


def test_no_permutation_connects_the_two_solutions():
    x, y = counterexample_data(64)
    for network in (SOLUTION_A, SOLUTION_B, *permuted_solutions()):
        np.testing.assert_array_equal(predicted_class(network, x), y)
    np.testing.assert_array_equal(midpoint_errors(), [0.5, 0.25, 0.25, 0.25])
    assert len({tuple(np.concatenate([w.ravel() for w, _ in network])) for network in permuted_solutions()}) == 4
    for other, expected in zip(permuted_solutions(), midpoint_errors(), strict=True):
        errors = []
        for alpha in GRID[::10]:
            f = x
            for layer, ((wa, _), (wb, _)) in enumerate(zip(SOLUTION_A, other, strict=True)):
                f = (np.maximum(f, 0) if layer else f) @ ((1 - alpha) * wa + alpha * wb).T
            errors.append(((f[:, 0] > 0) != y).mean())
        assert abs(errors[20] - expected) <= 1 / 128  # cells on the diagonal
        for definition in BARRIER_DEFINITIONS:
            assert barriers_on_grid(GRID[::10], np.array([errors]), definition).value[0] >= expected - 1 / 128


def test_the_four_permutations_are_all():
    """Every pair of orders of the two hidden layers gives one of the four, and the same function."""
    x = np.random.default_rng(1).uniform(-1, 1, (100, 2))
    for first, second in product(([0, 1], [1, 0]), repeat=2):
        w1, w2, w3 = SOLUTION_B[0][0][first], SOLUTION_B[1][0][np.ix_(second, first)], SOLUTION_B[2][0][:, second]
        assert any(
            all(np.array_equal(u, w) for u, (w, _) in zip((w1, w2, w3), other, strict=True))
            for other in permuted_solutions()
        )
        f = np.maximum(np.maximum(x @ w1.T, 0) @ w2.T, 0) @ w3.T
        np.testing.assert_allclose(f[:, 0], np.minimum(np.maximum(-x[:, 0], 0), np.maximum(x[:, 1], 0)), atol=1e-15)
