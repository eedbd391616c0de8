"""Two perfect classifiers that no permutation of hidden units connects.

Git Re-Basin (Ainsworth, Hayase & Srinivasa 2022, arXiv 2209.04836) shows by such an example that "one basin modulo
permutations" cannot hold for all networks: x uniform on [−1, 1]², y = 1 where x₁ < 0 and x₂ > 0, two hidden layers of
two relus. The weights here are ours. A network predicts 1 where f(x) > 0, and both compute min(p, q) of

    p = relu(−x₁), q = relu(x₂):        A: p − relu(p − q)        B: q − relu(q − p)

which is above 0 exactly on y = 1: no errors. Of the 2!·2! = 4 permutations of B's hidden layers none takes the midpoint
right: it predicts 1 where p + q > 0 (identity), where x₂ > x₁ (first layer swapped), or nowhere (second layer swapped,
with or without the first). There are no biases, so that f is homogeneous and predictions depend on the direction of x
alone; at the midpoint they change only at multiples of 45°, so that an error is a whole number of eighths.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from theory.arguments import Array, is_whole

Network = list[tuple[Array, None]]

SOLUTION_A: Network = [
    (np.array([[-1.0, 0.0], [0.0, 1.0]]), None),
    (np.array([[1.0, 0.0], [1.0, -1.0]]), None),
    (np.array([[1.0, -1.0]]), None),
]
SOLUTION_B: Network = [
    (np.array([[-1.0, 0.0], [0.0, 1.0]]), None),
    (np.array([[0.0, 1.0], [-1.0, 1.0]]), None),
    (np.array([[1.0, -1.0]]), None),
]


def counterexample_data(n: int) -> tuple[Array, NDArray[np.int64]]:
    """x [4 n², 2] at the centres of 2n × 2n equal cells of [−1, 1]², and y [4 n²], 0 or 1.

    Raises:
        ValueError: n is not a whole number of at least 1.

    Example:
        >>> x, y = counterexample_data(1)
        >>> x.tolist(), y.tolist()
        ([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]], [0, 1, 0, 0])
    """
    if n < 1 or not is_whole(n):
        raise ValueError(f"n must be whole and at least 1, not {n}")
    ticks = (np.arange(2 * n) - n + 0.5) / n
    x = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    return x, ((x[:, 0] < 0) & (x[:, 1] > 0)).astype(np.int64)


def permuted_solutions() -> list[Network]:
    """B under the four permutations of its hidden units.

    In the order (first layer, second layer): (01, 01), (01, 10), (10, 01), (10, 10).

    Example:
        >>> x = counterexample_data(4)[0]
        >>> [bool((predicted_class(b, x) == predicted_class(SOLUTION_B, x)).all()) for b in permuted_solutions()]
        [True, True, True, True]
    """
    (w1, _), (w2, _), (w3, _) = SOLUTION_B
    orders = [list(order) for order in permutations(range(2))]
    return [
        [(w1[first], None), (w2[second][:, first], None), (w3[:, second], None)]
        for first in orders
        for second in orders
    ]


def predicted_class(network: Network, x: Array) -> NDArray[np.int64]:
    """1 where f(x) > 0, else 0; x [n_samples, 2]. Exact for the weights here and x of few bits, since sums are.

    Example:
        >>> predicted_class(SOLUTION_A, np.array([[-1.0, 1.0], [1.0, 1.0]]))
        array([1, 0])
    """
    (w1, _), (w2, _), (w3, _) = network
    hidden = np.maximum(np.maximum(x @ w1.T, 0.0) @ w2.T, 0.0)
    return (hidden @ w3[0] > 0).astype(np.int64)


def midpoint_errors() -> Array:
    """The share of [−1, 1]² that the midpoint between A and each of the four permuted B takes wrong, [4].

    One point of each of the eight sectors between multiples of 45° stands for its sector, an eighth of the square. Both
    endpoints err nowhere, so that these are lower bounds of the error barrier under all four definitions.

    Example:
        >>> midpoint_errors()
        array([0.5 , 0.25, 0.25, 0.25])
    """
    x = np.array([[2.0, 1], [1, 2], [-1, 2], [-2, 1], [-2, -1], [-1, -2], [1, -2], [2, -1]])
    y = ((x[:, 0] < 0) & (x[:, 1] > 0)).astype(np.int64)
    wrong = []
    for other in permuted_solutions():
        middle: Network = [((wa + wb) / 2, None) for (wa, _), (wb, _) in zip(SOLUTION_A, other, strict=True)]
        wrong.append((predicted_class(middle, x) != y).mean())
    return np.array(wrong)
