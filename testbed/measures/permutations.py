"""Which teacher unit each student unit has become: the permutation that a trained committee has chosen."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from testbed import columns
from testbed.pair_set import PairSet

if TYPE_CHECKING:
    from torch import Tensor

MOST_UNITS = 6  # all permutations are tried


def permutations_chosen(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """The permutation π that maximises Σ_i cos(w_i, w*_π(i)), as its number in lexical order: int64 `[n]`.

    student: first-layer weights `[n, units, n_inputs]`; teacher: `[n, units, n_inputs]`. All permutations are tried.

    >>> teacher = np.eye(2)[None]
    >>> permutations_chosen(teacher, teacher), permutations_chosen(teacher[:, ::-1], teacher)
    (array([0]), array([1]))
    """
    n_units = student.shape[1]
    overlaps = _unit(student) @ _unit(teacher).swapaxes(1, 2)  # [n, student unit, teacher unit]
    orders = np.array(list(itertools.permutations(range(n_units))))
    return np.argmax(overlaps[:, np.arange(n_units), orders].sum(2), axis=1)


def different_permutation(pairs: PairSet) -> dict[str, Tensor]:
    """1 where a pair's students have chosen different permutations of the teacher's units, else 0, `[n_pairs]`."""
    import torch

    teacher = pairs.teacher_layers[0][0]
    chosen_a, chosen_b = (permutations_chosen(end[0][0], teacher) for end in pairs.ends)
    return {columns.DIFFERENT_PERMUTATION: torch.from_numpy(chosen_a != chosen_b).double()}


def _unit(weights: np.ndarray) -> np.ndarray:
    return weights / np.maximum(np.linalg.norm(weights, axis=2, keepdims=True), 1e-300)
