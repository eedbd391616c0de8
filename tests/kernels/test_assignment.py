"""Linear assignment of many matrices, against scipy and against all permutations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from kernels import native
from kernels.assignment import assign


def value(scores, columns):
    return np.take_along_axis(scores, columns[:, :, None], 2)[:, :, 0].sum(1)


@given(
    st.integers(1, 40), st.sampled_from(["normal", "ties", "large", "zero"]), st.integers(0, 10_000), st.integers(1, 3)
)
def test_as_good_as_scipys(native_backend, m, kind, seed, threads):
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((5, m, m)) * {"normal": 1.0, "ties": 1.0, "large": 1e8, "zero": 0.0}[kind]
    if kind == "ties":
        scores = np.round(scores)
    columns = assign(scores, threads)
    assert (np.sort(columns, 1) == np.arange(m)).all()
    best = np.array([matrix[linear_sum_assignment(matrix, maximize=True)].sum() for matrix in scores])
    assert np.allclose(value(scores, columns), best, rtol=1e-12, atol=1e-12 * abs(scores).max(initial=1))


def test_the_best_of_all_permutations(native_backend):
    scores = np.random.default_rng(1).standard_normal((50, 5, 5))
    orders = np.array(list(itertools.permutations(range(5))))
    totals = scores[:, np.arange(5), orders].sum(2)
    assert np.array_equal(assign(scores), orders[totals.argmax(1)])


def test_without_the_native_kernel(monkeypatch):
    scores = np.random.default_rng(2).standard_normal((7, 6, 6))
    expected = assign(scores)
    monkeypatch.setattr(native, "missing", lambda: "not built")
    assert np.array_equal(assign(scores), expected)


def test_a_tensor_gives_a_tensor(native_backend):
    scores = np.random.default_rng(3).standard_normal((7, 6, 6)).astype(np.float32)
    columns = assign(torch.from_numpy(scores).requires_grad_().mT)
    assert columns.dtype is torch.int64 and np.array_equal(columns.numpy(), assign(scores.swapaxes(1, 2)))
    with pytest.raises(ValueError, match=r"scores must have shape \[n, m, m\], not \[2, 3\]"):
        assign(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="scores must be finite"):
        assign(torch.full((1, 2, 2), torch.inf))


@pytest.mark.parametrize("why", ["", "there is none"])
def test_a_gpus_tensor_goes_to_its_kernel_if_it_is_not_too_wide(native_backend, monkeypatch, why):
    matching = pytest.importorskip("kernels.gpu.matching", reason="Triton is not installed")
    taken = []
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr("kernels.gpu.missing", lambda: why)
    monkeypatch.setattr(matching, "WIDEST", 6)
    monkeypatch.setattr(matching, "assign", lambda scores: taken.append(scores.shape[1]))
    for m in (6, 7):
        found = assign(torch.eye(m)[None])
        assert found is None or torch.equal(found, torch.arange(m)[None])
    assert taken == ([] if why else [6])


def test_none_at_all_and_what_is_refused():
    assert assign(np.zeros((0, 3, 3))).shape == (0, 3)
    with pytest.raises(ValueError, match=r"scores must have shape \[n, m, m\]"):
        assign(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="scores must be finite"):
        assign(np.full((1, 2, 2), np.nan))
