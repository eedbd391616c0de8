"""The kernels' random streams: integers bit for bit those of `kernels.streams`, normals to a few units in the last
place.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from kernels import streams
from kernels.gpu.common.streams import integers, normals, permutation_keys, permute, seed_key, words


@triton.jit
def draw(
    seeds,
    word,
    integer,
    permuted,
    normal,
    step,
    block,
    limit,
    low_bits,
    high_bits,
    ROUNDS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    network = tl.arange(0, BLOCK)[None, :]
    key = seed_key(tl.load(seeds + network))
    drawn = words(4, key[0], key[1], step, tl.full([1, 1], block, tl.uint32))
    for w in tl.static_range(4):
        tl.store(word + w * BLOCK + network, drawn[w].to(tl.int64))
        tl.store(integer + w * BLOCK + network, integers(drawn[w], limit).to(tl.int64))
    position = (tl.load(permuted + network) + tl.zeros_like(network)).to(tl.uint32)
    keys = permutation_keys(key[0], key[1], step, ROUNDS)
    tl.store(permuted + network, permute(position, keys, limit, low_bits, high_bits).to(tl.int64))
    dtype: tl.constexpr = normal.dtype.element_ty
    drawn = words(5, key[0], key[1], step, tl.full([1, 1], block, tl.uint32))
    first, second = normals(drawn[0], drawn[1], dtype)
    third, fourth = normals(drawn[2], drawn[3], dtype)
    tl.store(normal + network, first)
    tl.store(normal + BLOCK + network, second)
    tl.store(normal + 2 * BLOCK + network, third)
    tl.store(normal + 3 * BLOCK + network, fourth)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("step", "block", "limit"),
    [(0, 0, 1), (1, 0, 2), (7, 3, 5), (2**31 - 1, 2**31 - 1, 8), (123456, 77, 1000), (5, 1, 2**31 - 1), (9, 9, 1025)],
)
def test_streams(dtype, step, block, limit):
    n, bits = 256, max(1, (limit - 1).bit_length())
    seeds = np.concatenate([[0, 1, 2**32 - 1, 2**32, 2**63 - 1], streams.network_seeds(5, n - 5)])
    positions = np.arange(n) * 7919 % limit
    word, integer = torch.zeros(4, n, dtype=torch.int64), torch.zeros(4, n, dtype=torch.int64)
    permuted, normal = torch.from_numpy(positions.copy()), torch.zeros(4, n, dtype=dtype)
    draw[(1,)](
        *(torch.from_numpy(seeds), word, integer, permuted, normal, step, block, limit, bits - bits // 2, bits // 2),
        ROUNDS=streams.permutation_rounds(limit),
        BLOCK=n,
    )
    expected = streams.words(streams.REPLACEMENT, seeds, step, 4, block)
    assert (expected == word.numpy().T).all()
    assert (streams.integers(expected, limit) == integer.numpy().T).all()
    assert (permuted.numpy() == streams.permutation(seeds, step, positions[:, None], limit)[:, 0]).all()
    unit = (
        torch.finfo(dtype).eps * 6.8
    )  # ulps of the radius: next to a zero of the cosine the angle's own rounding counts
    assert np.abs(normal.double().numpy().T - streams.normals(streams.GAUSSIAN, seeds, step, 4, block)).max() < 4 * unit


def test_normals_at_the_ends():
    """The largest and smallest words, where ln u and 1 − u need care."""
    ends = np.array([0, 1, 2, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 3 * 2**30], np.uint32)
    a, b = (g.ravel() for g in np.meshgrid(ends, ends))
    for dtype in (torch.float64, torch.float32):
        out = torch.zeros(2, 64, dtype=dtype)
        ends_kernel[(1,)](torch.from_numpy(a.astype(np.int64)), torch.from_numpy(b.astype(np.int64)), out, BLOCK=64)
        radius, angle = np.sqrt(-2 * np.log1p(-(2.0**32 - a - 0.5) * 2.0**-32)), b * (2 * np.pi * 2.0**-32)
        small = a < 2**31
        radius[small] = np.sqrt(-2 * np.log((a[small] + 0.5) * 2.0**-32))
        error = np.abs(out.double().numpy() - np.stack([radius * np.cos(angle), radius * np.sin(angle)]))
        assert (error <= 4 * torch.finfo(dtype).eps * np.maximum(radius, 1e-300)).all()


@triton.jit
def ends_kernel(a, b, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)[None, :]
    first, second = normals(tl.load(a + i).to(tl.uint32), tl.load(b + i).to(tl.uint32), out.dtype.element_ty)
    tl.store(out + i, first)
    tl.store(out + BLOCK + i, second)


@pytest.mark.parametrize("seed", [0, 5, 2**62 + 12345])
def test_seeds_of_networks(seed):
    from kernels.gpu import draws

    found = draws.network_seeds(seed, 700, torch.device("cpu"), first=3)
    assert torch.equal(found, torch.from_numpy(streams.network_seeds(seed, 700, first=3)))


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("n_parameters", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (13, 64))])
def test_initial_parameters(monkeypatch, uniform, n_parameters):
    """Float32 to the bit, in one launch or in many; float64 to a few units in the last place."""
    from kernels.gpu import draws

    seeds = streams.network_seeds(9, 301)
    deviations = torch.linspace(0.1, 2, n_parameters, dtype=torch.float64)
    draw = streams.uniforms if uniform else streams.normals
    want = torch.from_numpy(draw(streams.INITIAL, seeds, 0, n_parameters))
    want = deviations * (2 * want - 1 if uniform else want)
    for most in (draws.MOST_ITEMS, 100):
        monkeypatch.setattr(draws, "MOST_ITEMS", most)
        exact = draws.initial_parameters(torch.from_numpy(seeds), deviations, uniform, torch.float64)
        rounded = draws.initial_parameters(torch.from_numpy(seeds), deviations, uniform, torch.float32)
        assert torch.allclose(exact, want, rtol=1e-14, atol=1e-14)
        assert torch.equal(rounded, want.float())
