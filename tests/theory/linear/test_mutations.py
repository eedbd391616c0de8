"""Every numeric constant of linear networks and their gradient flow is needed: change one, and a check fails."""

import numpy as np

from tests.theory.mutations import assert_every_constant_is_needed, mutation_cases
from tests.theory.problems import close
from tests.theory.problems import networks as random_networks
from theory.linear import gradient_flow, networks
from theory.population import loss


def check_linear():
    """The polynomial of any depth against the population loss of the identity, and moments taken on the 2³ corners."""
    rng = np.random.default_rng(0)
    a, b, teacher = (random_networks(rng, n, (3, width, 2)) for n, width in ((2, 3), (2, 3), (1, 2)))
    corners = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    moments = networks.SecondMoments.gaussian_teacher(None, teacher)
    close(
        networks.linear_path(a, b, moments)([0.0, 0.3, 1.0]),
        loss.population_path(a, b, teacher, "identity")([0.0, 0.3, 1.0]),
    )
    (w1, b1), (w2, b2) = teacher
    from_data = networks.SecondMoments.from_data(corners, ((corners @ w1[0].T + b1[0]) @ w2[0].T + b2[0]))
    close(networks.linear_path(a, b, from_data)([0.3]), networks.linear_path(a, b, moments)([0.3]))
    first, second = [(np.eye(2), None), (np.eye(2), None)], [(2 * np.eye(2), None), (np.eye(2) / 2, None)]
    close(networks.depth_two_barrier(first, second), 2 * (9 / 8 - 1) ** 2 / 2)
    w = np.array([1.0, 2.0])
    h = np.array([[1.0, 0.5], [0.5, 2.0]])
    for _ in range(3):
        w = w - 0.3 * h @ (w - 4)
    close(networks.gradient_descent_solution([1.0, 2.0], h, [4.0, 4.0], 0.3, 3), w)


def check_gradient_flow():
    """One mode, u' = 2u(s − u) for u(0) = 0.1, s = 2; the aligned weights; and the loss ½(1 − 2)² + … by hand."""
    moments = networks.SecondMoments(np.eye(1), [[2.0]], [[5.0]], [0.0], [0.0])
    t = np.array([0.0, 0.3, 1.0])
    u = 2 * np.exp(4 * t) / (np.exp(4 * t) - 1 + 20)
    start = [([[0.1**0.5]], None), ([[0.1**0.5]], None)]
    close(gradient_flow.flow_overlaps(start, moments, t)[0], u[:, None, None] * np.ones((2, 2)))
    close(gradient_flow.flow_losses(start, moments, t)[0], (u - 2) ** 2 / 2 + 0.5)
    (w1, _), (w2, _) = gradient_flow.aligned_flow(moments, [0.1], [[1.0]], t)
    close(w1[:, 0, 0] * w2[:, 0, 0], u)
    close(np.abs(w1), np.abs(w2))
    between = gradient_flow.flow_barriers(moments, [0.1], [[1.0], [0.0]], [[0.0], [1.0]], t)
    close(between[0], (2 - u) * u / 2 + u**2 / 8)
    still = networks.SecondMoments(np.eye(1), [[0.0]], [[5.0]], [0.0], [0.0])  # u' = −2u²
    close(gradient_flow.flow_overlaps(start, still, t)[0, :, 1, 0], 0.1 / (1 + 0.2 * t))
    (w1, _), (w2, _) = gradient_flow.aligned_flow(still, [0.1], [[1.0]], t)
    close((w2 @ w1)[:, 0, 0], 0.1 / (1 + 0.2 * t))


@mutation_cases(
    (networks, {"linear_path", "depth_two_barrier", "gradient_descent_solution", "_end_to_end"}, check_linear),
    (gradient_flow, {"flow_overlaps", "flow_losses", "aligned_flow", "flow_barriers"}, check_gradient_flow),
)
def test_every_constant_is_needed(module, functions, check):
    assert_every_constant_is_needed(module, functions, check)
