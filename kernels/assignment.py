"""Linear assignment of many small matrices at once: what aligning two networks' units comes to."""

from __future__ import annotations

import numpy as np

from kernels import native


def assign(scores: np.ndarray, threads: int | None = None) -> np.ndarray:
    """For each matrix the permutation π that maximises Σ_i scores[i, π_i]: int64 `[n, m]`, exactly.

    scores `[n, m, m]`, finite. Shortest augmenting paths (Jonker & Volgenant 1987) in C++; without the native kernel
    scipy's, one matrix after the other. Raises ValueError for other shapes and for numbers that are not finite.

    >>> assign(np.array([[[1.0, 9.0], [2.0, 3.0]]]))  # 9 + 2 beats 1 + 3
    array([[1, 0]])
    """
    from scipy.optimize import linear_sum_assignment

    scores = np.ascontiguousarray(scores, np.float64)
    if scores.ndim != 3 or scores.shape[1] != scores.shape[2]:
        raise ValueError(f"scores must have shape [n, m, m], not {list(scores.shape)}.")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite.")
    if native.missing():
        columns = [linear_sum_assignment(matrix, maximize=True)[1] for matrix in scores]
        return np.array(columns, np.int64).reshape(scores.shape[:2])
    return native.assign(scores, threads)
