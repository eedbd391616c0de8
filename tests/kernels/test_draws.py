"""Initial parameters that the native kernel draws are numpy's, to the bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import Architecture, streams
from kernels.initialisation import INITIALISATIONS, deviations, drawn_by_numpy, initial_parameters
from kernels.native import compiled, draws

MARGIN = 64 * 2.0**-52  # kMargin of draws.cpp, relative to the power of two at or below a number


def same_bits(one, other):
    assert one.dtype == other.dtype and one.shape == other.shape
    words = torch.int32 if one.dtype is torch.float32 else torch.int64
    return torch.equal(one.view(words), other.view(words))


def with_and_without_the_kernel(architecture, seeds, scheme, scale, dtype):
    arguments = (architecture, torch.as_tensor(seeds), scheme, scale, dtype)
    drawn = initial_parameters(*arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "opened", lambda: "it is left out")
        return drawn, initial_parameters(*arguments)


@given(
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    scheme=st.sampled_from(INITIALISATIONS),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    n=st.sampled_from([1, 7, 8, 9, 33]),
    seed=st.integers(0, 2**63 - 1) | st.integers(2**63 - 40, 2**63 - 1),
    scale=st.sampled_from([1.0, 0.1, 0.0, 3e-38, 1e-44, 1e38, 1e300]),
    biases=st.booleans(),
)
def test_the_kernel_draws_what_numpy_does(native_backend, widths, scheme, dtype, n, seed, scale, biases):
    """Of floats too small to be normal, of those that overflow, and of zeros the sign."""
    seeds = [(seed - k) % 2**63 for k in range(n)]
    drawn, want = with_and_without_the_kernel(Architecture(widths, biases=biases), seeds, scheme, scale, dtype)
    assert same_bits(drawn, want)


def test_the_kernel_is_what_draws(native_backend, monkeypatch):
    monkeypatch.setattr("kernels.initialisation.drawn_by_numpy", None)
    for dtype, scheme in ((torch.float32, "kaiming"), (torch.float32, "torch"), (torch.float64, "torch")):
        assert Architecture((2, 16, 1)).initial(50, scheme=scheme, dtype=dtype).any()


def from_middle(seeds, deviation):
    """How near numpy's doubles of each network come to the middle between two floats, relative as MARGIN: `[n]`."""
    exact = drawn_by_numpy(seeds, deviation, False, torch.float64)
    unit = 2.0 ** (exact.abs().frexp()[1] - 1).double()
    distance = ((exact - exact.float().double()).abs() / unit - 2.0**-24).abs()
    return torch.where(exact == 0, 1.0, distance).amin(1)


def test_networks_in_doubt_are_those_next_to_the_middle_between_two_floats(native_backend):
    deviation = deviations(Architecture((2, 16, 1)), "kaiming")
    seeds = torch.from_numpy(streams.network_seeds(5, 400_000))
    _, in_doubt = draws.initial_parameters(seeds, deviation, False, torch.float32)
    assert 1 <= in_doubt.sum() <= 20  # 48 weights, 129 places of 2²⁹: 4.6 expected
    assert (from_middle(seeds[in_doubt], deviation) < 1.2 * MARGIN).all()
    assert not in_doubt[:50_000][from_middle(seeds[:50_000], deviation) > 1.2 * MARGIN].any()


def test_seeds_are_numpys(native_backend):
    for seed in (0, 7, 2**32 + 5, 2**63 - 1):
        assert draws.network_seeds(seed, 37).tolist() == streams.network_seeds(seed, 37).tolist()


def test_normals_are_within_the_margin_of_numpys_everywhere(native_backend):
    """Next to a quarter turn, where a cosine or sine vanishes, and next to u = 1, where the logarithm does."""
    some = np.random.default_rng(0).integers(0, 2**32, 2048, dtype=np.uint32)
    near = np.concatenate([np.arange(64) - 32, 2 ** np.arange(6, 30), -(2 ** np.arange(6, 30))])
    edges = (np.arange(5)[:, None] * 2**30 + near).ravel() % 2**32
    first = np.concatenate([np.resize(some, len(edges)), edges, some])
    second = np.concatenate([edges, np.resize(some, len(edges)), some[::-1]])
    words = np.stack([first, second], 1).astype(np.uint32)
    normals, in_doubt = draws.normals_of_numpy(words)
    radius = np.sqrt(-2 * np.log((words[:, 0] + 0.5) * 2.0**-32))
    angle = words[:, 1] * (2 * np.pi * 2.0**-32)
    want = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    apart = np.abs(normals.view(np.int64) - want.view(np.int64)).max(1)
    assert apart[~in_doubt].max() <= 8
    assert (words[in_doubt, 1] % 2**30 == 0).all()  # 0 and the quarter turns themselves, and nothing else
