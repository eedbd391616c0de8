"""Which teacher unit each student unit has become: the order that a trained committee has chosen.

With as many units in student and teacher an order is a permutation. With more units on one side it is a map from all of
that side's units onto all of the other's: with more in the student every unit serves one teacher unit, and none of
these is left out; with more in the teacher every teacher unit is served by one student unit, and none of these is idle.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from testbed import columns
from testbed.pair_set import PairSet

if TYPE_CHECKING:
    from torch import Tensor

MOST_UNITS = 6  # all orders are tried: 1,800 at most


def orders(n_units: int, n_teacher: int) -> np.ndarray:
    """All orders in lexical order: int64 `[n_orders, the larger number of units]`, of units of the smaller side.

    >>> orders(2, 2).tolist(), orders(3, 2)[:3].tolist()
    ([[0, 1], [1, 0]], [[0, 0, 1], [0, 1, 0], [0, 1, 1]])
    """
    larger, smaller = max(n_units, n_teacher), min(n_units, n_teacher)
    maps = itertools.product(range(smaller), repeat=larger)
    return np.array([chosen for chosen in maps if len(set(chosen)) == smaller])


def orders_chosen(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """The order whose units have the largest sum of cosines, as its number in `orders`: int64 `[n]`.

    The sum is Σ_i cos(w_i, w*_π(i)) over the units i of a student that has as many as the teacher or more, else
    Σ_m cos(w_π(m), w*_m) over the teacher's. student: first-layer weights `[n, units, n_inputs]`; teacher: `[n, teacher
    units, n_inputs]`. All orders are tried.

    >>> teacher = np.eye(3)[None]
    >>> orders_chosen(teacher, teacher), orders_chosen(teacher[:, [0, 2, 1]], teacher)
    (array([0]), array([1]))
    >>> chosen = orders_chosen(np.array([[[1.0, 0, 0], [0, 1, 1]]]), teacher)  # the second unit serves two
    >>> orders(2, 3)[chosen]
    array([[0, 1, 1]])
    """
    overlaps = _unit(student) @ _unit(teacher).swapaxes(1, 2)  # [n, student unit, teacher unit]
    n_units, n_teacher = overlaps.shape[1:]
    of_larger = overlaps if n_units >= n_teacher else overlaps.swapaxes(1, 2)
    total = 0.0
    for unit, served in enumerate(orders(n_units, n_teacher).T):
        total = total + of_larger[:, unit, served]  # [n, n_orders]
    return np.argmax(total, axis=1)


def different_permutation(pairs: PairSet) -> dict[str, Tensor]:
    """1 where a pair's students have chosen different orders of the teacher's units, else 0, `[n_pairs]`."""
    import torch

    teacher = pairs.teacher_layers[0][0]
    chosen_a, chosen_b = (orders_chosen(end[0][0], teacher) for end in pairs.ends)
    return {columns.DIFFERENT_PERMUTATION: torch.from_numpy(chosen_a != chosen_b).double()}


def _unit(weights: np.ndarray) -> np.ndarray:
    return weights / np.maximum(np.linalg.norm(weights, axis=2, keepdims=True), 1e-300)
