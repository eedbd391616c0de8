"""Linear assignment of many small matrices at once: what aligning two networks' units comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

from kernels import gpu, native
from kernels.checks import is_tensor

if TYPE_CHECKING:
    from torch import Tensor


@overload
def assign(scores: np.ndarray, threads: int | None = None) -> np.ndarray: ...
@overload
def assign(scores: Tensor, threads: int | None = None) -> Tensor: ...
def assign(scores: np.ndarray | Tensor, threads: int | None = None) -> np.ndarray | Tensor:
    """For each matrix the permutation π that maximises Σ_i scores[i, π_i]: int64 `[n, m]`, exactly.

    scores `[n, m, m]`, finite; an array, or a tensor on whose device the result is. Shortest augmenting paths (Jonker &
    Volgenant 1987) in C++ or, of a tensor on a GPU and up to 4,096 columns, in Triton, to the same permutations; wider
    matrices on a GPU are copied to the CPU. Without the native kernel scipy's, one matrix after the other. Raises
    ValueError for other shapes and for numbers that are not finite.

    >>> assign(np.array([[[1.0, 9.0], [2.0, 3.0]]]))  # 9 + 2 beats 1 + 3
    array([[1, 0]])
    """
    if is_tensor(scores):
        return _of_a_tensor(scores, threads)
    scores = np.ascontiguousarray(scores, np.float64)
    _check(list(scores.shape), bool(np.isfinite(scores).all()))
    return _on_cpu(scores, threads)


def _of_a_tensor(scores: Tensor, threads: int | None) -> Tensor:
    import torch

    scores = scores.detach().double().contiguous()
    _check(list(scores.shape), bool(scores.isfinite().all()))
    if scores.is_cuda and not gpu.missing():
        from kernels.gpu import matching

        if scores.shape[1] <= matching.WIDEST:
            return matching.assign(scores)
    return torch.from_numpy(_on_cpu(scores.cpu().numpy(), threads)).to(scores.device)


def _check(shape: list[int], finite: bool) -> None:
    if len(shape) != 3 or shape[1] != shape[2]:
        raise ValueError(f"scores must have shape [n, m, m], not {shape}.")
    if not finite:
        raise ValueError("scores must be finite.")


def _on_cpu(scores: np.ndarray, threads: int | None) -> np.ndarray:
    """Of float64 scores that were checked."""
    if native.missing():
        from scipy.optimize import linear_sum_assignment

        columns = [linear_sum_assignment(matrix, maximize=True)[1] for matrix in scores]
        return np.array(columns, np.int64).reshape(scores.shape[:2])
    return native.assign(scores, threads)
