"""Which teacher unit each student unit has become: the permutation that a trained committee has chosen."""

from __future__ import annotations

import itertools

import numpy as np

MOST_UNITS = 6  # all permutations are tried


def permutations_chosen(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """The permutation π that maximises Σ_i cos(w_i, w*_π(i)), as its number in lexical order: int64 `[n]`.

    student: first-layer weights `[n, units, n_inputs]`; teacher: `[n, units, n_inputs]`. All permutations are tried.
    """

    def unit(w: np.ndarray) -> np.ndarray:
        return w / np.maximum(np.linalg.norm(w, axis=2, keepdims=True), 1e-300)

    overlaps = unit(student) @ unit(teacher).swapaxes(1, 2)  # [n, student unit, teacher unit]
    orders = np.array(list(itertools.permutations(range(student.shape[1]))))
    return np.argmax(overlaps[:, np.arange(student.shape[1]), orders].sum(2), axis=1)
