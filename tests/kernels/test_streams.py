"""The random streams: known answers, distributions, and the native kernel's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kernels import native, streams


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [  # the known-answer file of Random123 (Salmon et al. 2011), philox4x32, 10 rounds
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    got = streams.philox(np.array(counter, np.uint32), np.array(key, np.uint32))
    assert got.tolist() == expected


def test_network_seeds_do_not_depend_on_the_shard():
    whole = streams.network_seeds(7, 1000)
    assert (streams.network_seeds(7, 100, first=300) == whole[300:400]).all()
    assert len(np.unique(whole)) == 1000 and whole.min() >= 0
    assert (streams.network_seeds(whole, 1000) == whole).all()
    assert not (streams.network_seeds(8, 1000) == whole).any()


@pytest.mark.parametrize("seed", [-1, 1.5, 2**63, [1, 2, 3]])
def test_seeds_that_do_not_fit_are_refused(seed):
    with pytest.raises(ValueError, match="seeds must"):
        streams.network_seeds(seed, 2)


def test_normals_and_integers_have_their_distributions():
    seeds = streams.network_seeds(3, 200)
    z = streams.normals(streams.GAUSSIAN, seeds, 5, 1000)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(z[:, 0::2].ravel(), z[:, 1::2].ravel())[0, 1]) < 4.5 / math.sqrt(1e5)
    counts = np.bincount(streams.integers(streams.words(streams.REPLACEMENT, seeds, 0, 1000), 37).ravel(), minlength=37)
    assert len(counts) == 37 and stats.chisquare(counts).pvalue > 1e-3


def test_a_sample_is_a_function_of_its_own_index():
    seeds = streams.network_seeds(0, 3)
    whole = streams.gaussian_inputs(seeds, 2, 20, 5)
    assert (streams.gaussian_inputs(seeds, 2, 7, 5, first=9) == whole[:, 9:16]).all()


@given(n=st.integers(1, 3000), epoch=st.integers(0, 2**40), seed=st.integers(0, 2**63 - 1))
def test_permutation_is_one(n, epoch, seed):
    sent = streams.permutation(np.array([seed]), epoch, np.arange(n), n)[0]
    assert (np.sort(sent) == np.arange(n)).all()


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_small_permutations_are_uniform(n):
    sent = streams.permutation(streams.network_seeds(1, 60_000), 3, np.arange(n), n)
    code = (sent * n ** np.arange(n)).sum(1)
    counts = np.unique(code, return_counts=True)[1]
    assert len(counts) == math.factorial(n)
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("n", [10, 16, 33])
def test_triples_of_a_permutation_are_uniform(n):
    sent = streams.permutation(streams.network_seeds(2, 100_000), 1, np.array([0, 1, n - 1]), n)
    counts = np.unique((sent * n ** np.arange(3)).sum(1), return_counts=True)[1]
    expected = n * (n - 1) * (n - 2)
    statistic = ((counts - 1e5 / expected) ** 2).sum() / (1e5 / expected) + (expected - len(counts)) * 1e5 / expected
    assert stats.chi2(expected - 1).sf(statistic) > 1e-3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@given(
    step=st.integers(0, 2**40), position=st.integers(0, 10_000), limit=st.integers(1, 2**31), seed=st.integers(0, 2**62)
)
def test_the_native_kernel_draws_the_same(native_backend, dtype, step, position, limit, seed):
    seeds = streams.network_seeds(seed, 37)
    integer, permuted, normal = native.stream_samples(seeds, step, position, limit, dtype)
    assert (
        integer == streams.integers(streams.words(streams.REPLACEMENT, seeds, step, position + 1), limit)[:, position]
    ).all()
    assert (permuted == streams.permutation(seeds, step, np.array([position % limit]), limit)[:, 0]).all()
    expected = streams.normals(streams.GAUSSIAN, seeds, step, position + 1)[:, position]
    # ulps of the radius: next to a zero of the cosine the angle's own rounding counts
    unit = torch.finfo(dtype).eps * 6.8
    assert np.abs(normal.double().numpy() - expected).max() < 4 * unit
