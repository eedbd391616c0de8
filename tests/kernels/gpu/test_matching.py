"""Assignment on a GPU: compiled for all targets on a launch's own path, and what the compiler made of it, run on numpy,
chooses what the native kernel chooses.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import native
from tests.kernels.gpu import ptx
from tests.kernels.gpu.scores import KINDS, scores_of

compiler = pytest.importorskip("kernels.gpu.compile", reason="Triton is not installed")
matching = pytest.importorskip("kernels.gpu.matching", reason="Triton is not installed")

WIDTHS = (1, 32, 33, 512, 513, matching.WIDEST)


@pytest.mark.parametrize("target", ["sm_80", "sm_90", "sm_100", "sm_120", "gfx942"])
@pytest.mark.parametrize("m", WIDTHS)
def test_every_width_goes_down_the_launch_path(m, target):
    """No warp exchanges anything through shared memory, nor waits at a barrier, before there are two of them."""
    kernel = compiler.compile_assignment(m, target)
    assert kernel.metadata.num_warps == (1 if m <= 512 else 2 if m == 513 else 8)
    assert kernel.asm["hsaco" if target == "gfx942" else "cubin"]
    if m <= 512:
        assert kernel.metadata.shared == 0
        assert target == "gfx942" or "bar.sync" not in kernel.asm["ptx"]


def test_maxima_and_lookups_of_a_warp_are_one_instruction_each():
    """Three and two in the search, four on the way back."""
    text = compiler.compile_assignment(64, "sm_90").asm["ptx"]
    assert text.count("redux.sync") == 9 and "shfl.sync" not in text


class OnNumpy:
    """The kernel, whose launches run its PTX on numpy."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        def launch(**given):
            with compiler.standing_in("sm_80"):
                kernel = self.kernel.warmup(grid=grid, **given)
            values = [given[name] for name in self.kernel.arg_names if name != "SIZE"]
            arrays = [value.numpy() if isinstance(value, torch.Tensor) else value for value in values]
            ptx.run(kernel.asm["ptx"], arrays, grid[0], kernel.metadata.shared)

        return launch


def assign(scores: np.ndarray) -> np.ndarray:
    """What is compiled, run on numpy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "solve", OnNumpy(matching.solve))
        return matching.assign(torch.from_numpy(scores)).numpy()


def check(scores: np.ndarray) -> None:
    assert np.array_equal(assign(scores), native.assign(scores))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [1, 2, 7, 32, 33])
def test_what_is_compiled(native_backend, m, kind):
    check(scores_of(kind, 2, m, seed=m))


@settings(max_examples=25)
@given(m=st.integers(1, 24), values=st.integers(1, 4), seed=st.integers(0, 10**6))
def test_of_equal_sums_it_takes_the_same(native_backend, m, values, seed):
    """So few values that most choices are between equals."""
    check(np.random.default_rng(seed).integers(0, values, (1, m, m)).astype(float))


def test_it_ends_where_sums_pass_the_largest_number():
    """In some permutation: a loop without an end would hang a GPU."""
    scores = np.random.default_rng(0).uniform(-1, 1, (2, 30, 30)) * 1.7e308
    assert (np.sort(assign(scores), 1) == np.arange(30)).all()


@pytest.mark.parametrize("kind", ["normal", "ties"])
def test_several_warps(native_backend, monkeypatch, kind):
    """Of matrices with more columns than a warp's registers hold; here four warps of one column a lane."""
    monkeypatch.setattr(matching, "FULL", 32)
    scores = scores_of(kind, 1, 70)
    assert matching.arguments(torch.from_numpy(scores), torch.empty(1, 70))["num_warps"] == 4
    check(scores)


@pytest.mark.slow
@pytest.mark.parametrize("m", [500, 520])
def test_wide_matrices(native_backend, m):
    """In which most rows have a column that is theirs, or the search would take minutes."""
    rng = np.random.default_rng(m)
    check(rng.standard_normal((1, m, m)) + 5 * np.eye(m)[rng.permutation(m)])
