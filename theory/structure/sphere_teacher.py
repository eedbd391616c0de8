"""Which minima of a two-layer relu student are linearly connected: a decision procedure.

Teacher f*(x) = Σ_{j≤M} relu(x_j), student f(x) = Σ_i relu(w_i·x) with the second layer fixed to 1, x uniform on the
unit sphere of R^d, L = ½ E (f − f*)² (Lin, Li & Wu 2024, arXiv 2404.06391, lemma 7).

L(w) = 0 exactly where every row is a e_j with a > 0 and j ≤ M, or 0, and the rows of each type j sum to 1. For a kink
of f along another hyperplane cannot cancel, since all second-layer weights are 1, and rows a e_j with a < 0 leave a
linear part that nothing cancels. The straight path between two such minima has zero loss iff each neuron has the same
type at both ends, or is 0 at one of them; else a row inside the path is a mixture of two axes, and the loss is above 0
everywhere inside.

f − f* is homogeneous of degree 1, so that the loss on the sphere is that on x ~ N(0, 1), divided by d = E|x|²: the
exact curve is `population_path` with second layers 1/√d.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.arguments import Array, finite, is_whole
from theory.curves.smooth_curve import SmoothCurve
from theory.population.loss import population_path


def neuron_types(weights: ArrayLike, n_teacher: int, *, tolerance: float = 1e-9) -> NDArray[np.int64]:
    """The type of each neuron of minima: the axis j ≥ 0 of its row, or −1 for a zero row, [n_networks, width].

    Args:
        weights: first layers [n_networks, width, n_inputs].
        n_teacher: M ≤ n_inputs.
        tolerance: by how much an entry or a column sum may be off.

    Raises:
        ValueError: a network is no minimum, or shapes do not fit.

    Example:
        >>> neuron_types([[[0.5, 0.0], [0.0, 1.0], [0.5, 0.0], [0.0, 0.0]]], n_teacher=2)
        array([[ 0,  1,  0, -1]])
    """
    return _types(_weights("weights", weights, n_teacher), "weights", n_teacher, tolerance)


def _types(w: Array, name: str, n_teacher: int, tolerance: float) -> NDArray[np.int64]:
    """The types of checked weights; errors as `neuron_types`."""
    axis = w.argmax(axis=2)
    size = np.take_along_axis(w, axis[:, :, None], axis=2)[:, :, 0]
    others = np.abs(w)
    np.put_along_axis(others, axis[:, :, None], 0.0, axis=2)
    wrong = np.maximum(others.max(axis=2), -size).max(axis=1)
    sums = w.sum(axis=1) - (np.arange(w.shape[2]) < n_teacher)
    wrong = np.maximum(wrong, np.abs(sums).max(axis=1))
    bad = np.flatnonzero(wrong > tolerance)
    if bad.size:
        raise ValueError(
            f"{bad.size} networks of {name} are no minima (the first is {bad[0]}, by {wrong[bad[0]]:.3g}): "
            "rows must be a e_j with a > 0 or 0, "
            f"and columns sum to 1 for the {n_teacher} teacher neurons and to 0 elsewhere"
        )
    return np.where(size > tolerance, axis, -1)


def linearly_connected(a: ArrayLike, b: ArrayLike, n_teacher: int, *, tolerance: float = 1e-9) -> NDArray[np.bool_]:
    """Whether the loss is 0 on the whole straight path between the minima a and b, [n_pairs].

    Args:
        a: first-layer weights [n_pairs, width, n_inputs].
        b: the same.
        n_teacher: M ≤ n_inputs.
        tolerance: by how much an entry or a column sum may be off.

    Raises:
        ValueError: an endpoint is no minimum, or shapes do not fit.

    Example:
        >>> identity, swapped = [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
        >>> spare = [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]  # the second axis moved to the neuron that was zero
        >>> linearly_connected([identity, identity], [swapped, spare], 2)
        array([False,  True])
    """
    ends = {name: _weights(name, w, n_teacher) for name, w in (("a", a), ("b", b))}
    if ends["a"].shape != ends["b"].shape:
        raise ValueError(f"a has shape {ends['a'].shape} and b {ends['b'].shape}; they must agree")
    first, second = (_types(w, name, n_teacher, tolerance) for name, w in ends.items())
    return np.asarray(((first == second) | (first < 0) | (second < 0)).all(axis=1))


def sphere_path(a: ArrayLike, b: ArrayLike, n_teacher: int) -> SmoothCurve:
    """The exact curve ½ E (f_α − f*)², x uniform on the sphere, for any first-layer weights.

    Args:
        a: [n_pairs, width, n_inputs].
        b: the same.
        n_teacher: M ≤ n_inputs.

    Example:
        >>> curve = sphere_path([[[1.0, 0.0]]], [[[-1.0, 0.0]]], 1)  # from relu(x₁) to relu(−x₁)
        >>> curve([0.0, 1.0]).round(12).tolist()  # ½ (E relu(x₁)² + E relu(−x₁)²) = ½ E x₁² = ½ · ½
        [[0.0, 0.25]]
    """
    first, second = _weights("a", a, n_teacher), _weights("b", b, n_teacher)
    d = first.shape[2]

    def network(weights: Array) -> list[tuple[Array, None]]:
        return [(weights, None), (np.full((len(weights), 1, weights.shape[1]), 1 / np.sqrt(d)), None)]

    return population_path(network(first), network(second), network(np.eye(n_teacher, d)[None]), "relu")


def _weights(name: str, weights: ArrayLike, n_teacher: int) -> Array:
    """`weights` as [n_networks, width, n_inputs]; ValueError if they have another shape, or too few inputs."""
    w = finite(name, weights)
    if w.ndim != 3 or not w.shape[1] or not 1 <= n_teacher <= w.shape[2] or not is_whole(n_teacher):
        raise ValueError(
            f"{name} has shape {w.shape} and n_teacher is {n_teacher}; "
            "give [n_networks, width, n_inputs] and a whole number of 1 to n_inputs"
        )
    return w
