"""The assignment kernel, interpreted, chooses what the native one chooses, and weight matching by it is the same."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from kernels import Architecture, native
from kernels.gpu import matching
from testbed import alignment
from tests.kernels.gpu.scores import KINDS, scores_of


def assign(scores: np.ndarray) -> np.ndarray:
    return matching.assign(torch.from_numpy(scores)).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [1, 6])
def test_the_native_kernels_choices_and_scipys_value(native_backend, kind, m):
    scores = scores_of(kind, 2, m)
    columns = assign(scores)
    assert np.array_equal(columns, native.assign(scores))
    rows = np.arange(m)
    for matrix, found in zip(scores, columns, strict=True):
        best = matrix[linear_sum_assignment(matrix, maximize=True)].sum()
        assert matrix[rows, found].sum() == pytest.approx(best, rel=1e-12, abs=0.0)


@settings(max_examples=8)
@given(m=st.integers(1, 6), values=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_of_equal_sums_it_takes_the_same(native_backend, m, values, seed):
    scores = np.random.default_rng(seed).integers(0, values, (1, m, m)).astype(float)
    assert np.array_equal(assign(scores), native.assign(scores))


def test_none_at_all():
    assert assign(np.zeros((0, 3, 3))).shape == (0, 3) and assign(np.zeros((2, 0, 0))).shape == (2, 0)


@contextlib.contextmanager
def taken_for_a_gpus():
    """Tensors say that they are a GPU's: torch matches them, and the interpreted kernel solves every assignment.
    Gives how many matrices each launch had.
    """
    launched = []
    right = matching.assign

    def assign(scores):
        launched.append(len(scores))
        return right(scores)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "is_cpu", False)
        patch.setattr(torch.Tensor, "is_cuda", True)
        patch.setattr(matching, "assign", assign)
        yield launched


ARCHITECTURES = [
    Architecture((2, 6, 1)),
    Architecture((2, 4, 3, 5, 1), "tanh"),
    Architecture((2, 5, 5, 2), "relu", normalise=True, residual=True),
]


def equal(found, want) -> bool:
    mine, others = ((*of.permutations, *of.signs, of.params) for of in (found, want))
    return all(torch.equal(a, b) for a, b in zip(mine, others, strict=True))


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=str)
@pytest.mark.parametrize("whole", [False, True])
def test_weight_matching(native_backend, architecture, whole):
    """Equal to the native kernel's to the last bit: with whole numbers, whose sums are exact and often equal, and with
    others, where only a score that is known to no better than its rounding could be another choice.
    """
    signs = alignment.has_signs(architecture)
    if whole:
        generator = torch.Generator().manual_seed(0)
        a, b = (torch.randint(-1, 2, (3, architecture.n_parameters), generator=generator).double() for _ in range(2))
    else:
        a, b = (architecture.initial(3, seed, scheme="torch", dtype=torch.float64) for seed in (1, 2))
    with taken_for_a_gpus() as launched:
        found = alignment.match_weights(architecture, a, b, signs=signs)
    assert launched[0] == 3 and (len(launched) == 1) == (len(architecture.widths) == 3)
    assert equal(found, alignment.match_weights(architecture, a, b, signs=signs))


def test_to_a_reference_and_by_activations(native_backend):
    architecture = ARCHITECTURES[1]
    params = architecture.initial(3, 1)
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    with taken_for_a_gpus() as launched:
        to_first = alignment.to_reference(architecture, params, params[0], signs=True)
        of_weights = len(launched)
        by_activations = alignment.match_activations(architecture, params.flip(0), params, x, signs=True)
    assert of_weights and launched[of_weights:] == [3, 3, 3]
    assert equal(to_first, alignment.to_reference(architecture, params, params[0], signs=True))
    assert equal(by_activations, alignment.match_activations(architecture, params.flip(0), params, x, signs=True))
