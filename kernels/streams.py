"""Counter-based random numbers: Philox 4x32-10, one stream per (purpose, seed, step).

A word is a function of its coordinates alone, so a network draws the same numbers whatever runs beside it, in
whatever order, on whatever machine: key = the network's 64-bit seed, counter = (block, step, step >> 32, purpose),
four 32-bit words a block (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"). This
module is the definition; the native and GPU backends repeat it in their own language and are tested against it:
integers bit for bit, normals to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kernels.checks import is_tensor, whole

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# purposes: the last counter word
SEED = 1  # seeds of networks, from one seed
INITIAL = 2  # initial parameters
PERMUTATION = 3  # keys of an epoch's permutation
REPLACEMENT = 4  # samples drawn with replacement
GAUSSIAN = 5  # fresh inputs

_U32 = np.uint32
_MASK = np.uint64(0xFFFFFFFF)


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Philox 4x32-10: counters `[…, 4]` and keys `[…, 2]` to words `[…, 4]`.

    All are uint32; counters and keys are broadcast against each other.

    >>> zero = np.zeros(4, np.uint32)  # the first vector of Random123's kat_vectors
    >>> [hex(word) for word in philox(zero, zero[:2])]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0 = key[..., 0].astype(_U32)
    k1 = key[..., 1].astype(_U32)
    for _ in range(10):
        p0 = c0 * np.uint64(0xD2511F53)
        p1 = c2 * np.uint64(0xCD9E8D57)
        c0 = (p1 >> np.uint64(32)) ^ c1 ^ k0
        c1 = p1 & _MASK
        c2 = (p0 >> np.uint64(32)) ^ c3 ^ k1
        c3 = p0 & _MASK
        with np.errstate(over="ignore"):
            k0 = k0 + _U32(0x9E3779B9)
            k1 = k1 + _U32(0xBB67AE85)
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), -1).astype(_U32)


def words(purpose: int, seeds: np.ndarray, step: int | np.ndarray, n: int, first_block: int = 0) -> np.ndarray:
    """The first n words of the streams (purpose, seeds, step), counted from block `first_block`: uint32 `[…seeds, n]`.

    seeds: int64 of any shape; step: one number, or an array that broadcasts against seeds.

    >>> seeds = np.array([7])
    >>> bool((words(INITIAL, seeds, 0, 8)[0, 4:] == words(INITIAL, seeds, 0, 4, first_block=1)[0]).all())
    True
    """
    seeds, steps = np.broadcast_arrays(np.asarray(seeds, np.int64), np.asarray(step, np.int64))
    seeds = seeds.astype(np.uint64)
    steps = steps.astype(np.uint64)
    n_blocks = -(-n // 4)
    key = np.stack([seeds & _MASK, seeds >> np.uint64(32)], -1)[..., None, :].astype(_U32)
    counter = np.empty((*seeds.shape, n_blocks, 4), np.uint64)
    counter[..., 0] = first_block + np.arange(n_blocks, dtype=np.uint64)
    counter[..., 1] = (steps & _MASK)[..., None]
    counter[..., 2] = (steps >> np.uint64(32))[..., None]
    counter[..., 3] = purpose
    return philox(counter, key).reshape(*seeds.shape, 4 * n_blocks)[..., :n]


def network_seeds(seed: int | Sequence[int] | np.ndarray | Tensor, n_networks: int, first: int = 0) -> np.ndarray:
    """Seeds of networks first … first + n_networks − 1: int64 `[n_networks]` in [0, 2⁶³).

    From one number, network k's seed is the first 63 bits of the stream (SEED, seed, k), so that a shard of an
    ensemble draws what the whole would. An array of seeds is checked (shape `[n_networks]`, whole numbers in [0,
    2⁶³)) and returned.

    >>> bool((network_seeds(0, 10)[4:] == network_seeds(0, 6, first=4)).all())  # a shard has the whole's seeds
    True
    """
    array = _checked(seed)
    if array.ndim:
        if array.shape != (n_networks,):
            raise ValueError(f"seeds must be one number or have shape [{n_networks}], not {list(array.shape)}.")
        return array
    whole("first", first)
    return derived_seeds(array, n_networks, first)


def _checked(seed: int | Sequence[int] | np.ndarray | Tensor) -> np.ndarray:
    """Seeds as an int64 array; ValueError for what is none."""
    array = seed.detach().cpu().numpy() if is_tensor(seed) else np.asarray(seed)
    if array.dtype.kind not in "iu" or (array.size and (array.min() < 0 or int(array.max()) >= 2**63)):
        raise ValueError(f"seeds must be whole numbers in [0, 2^63), not {seed!r}.")
    return array.astype(np.int64)


def seeds_on(device: torch.device, seed: int | Sequence[int] | np.ndarray | Tensor, n_networks: int) -> Tensor:
    """`network_seeds` as a tensor on `device`; from one number, a GPU or the native kernel derives them.

    >>> import torch
    >>> seeds_on(torch.device("cpu"), [4, 2], 2)
    tensor([4, 2])
    """
    import torch

    if isinstance(seed, int):
        root = seed if type(seed) is int and 0 <= seed < 2**63 else int(_checked(seed))
        if drawn_by_kernels(device):
            from kernels.gpu import draws as gpu_draws

            return gpu_draws.network_seeds(root, n_networks, device)
        from kernels.native import draws, missing

        if not missing():
            return draws.network_seeds(root, n_networks).to(device)
    return torch.from_numpy(network_seeds(seed, n_networks)).to(device)


def drawn_by_kernels(device: torch.device) -> bool:
    """Whether numbers on `device` are drawn there: on GPUs on which the kernels run.

    >>> import torch
    >>> drawn_by_kernels(torch.device("cpu"))
    False
    """
    if device.type != "cuda":
        return False
    from kernels import gpu

    return not gpu.missing()


def derived_seeds(seeds: np.ndarray, n: int, first: int = 0) -> np.ndarray:
    """Seeds first … first + n − 1 of each of `seeds`, derived as in `network_seeds`: int64 `[…seeds, n]`.

    >>> derived_seeds(np.array([3, 4]), 5).shape
    (2, 5)
    """
    return numbered_seeds(np.asarray(seeds)[..., None], first + np.arange(n))


def numbered_seeds(seed: int | np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The seeds of networks of these numbers, derived from `seed` as in `network_seeds`: int64, one for each.

    >>> bool((numbered_seeds(3, np.array([4, 2])) == network_seeds(3, 5)[[4, 2]]).all())
    True
    """
    w = words(SEED, np.asarray(seed), numbers, 2).astype(np.uint64)
    return ((w[..., 0] | (w[..., 1] << np.uint64(32))) >> np.uint64(1)).astype(np.int64)


def integers(word: np.ndarray, n: int) -> np.ndarray:
    """Words (uint32) to integers in [0, n): ⌊word · n / 2³²⌋, uniform up to n/2³².

    >>> integers(np.array([0, 2**31, 2**32 - 1], np.uint32), 10)
    array([0, 5, 9])
    """
    return ((word.astype(np.uint64) * np.uint64(n)) >> np.uint64(32)).astype(np.int64)


def uniforms(purpose: int, seeds: np.ndarray, step: int | np.ndarray, n: int, first_block: int = 0) -> np.ndarray:
    """n uniforms in (0, 1), (word + ½)/2³²: float64 `[…seeds, n]`.

    >>> drawn = uniforms(INITIAL, np.arange(1000), 0, 100)
    >>> drawn.shape, bool(abs(drawn.mean() - 0.5) < 0.005)
    ((1000, 100), True)
    """
    return (words(purpose, seeds, step, n, first_block) + 0.5) * 2.0**-32


def normals(purpose: int, seeds: np.ndarray, step: int | np.ndarray, n: int, first_block: int = 0) -> np.ndarray:
    """n standard normals, float64 `[…seeds, n]`, by Box & Muller (1958): words (a, b) give r cos ϑ and r sin ϑ.

    r = √(−2 ln((a + ½)/2³²)) and ϑ = 2π b/2³²; the largest |normal| is 6.77. A float32 backend rounds these same
    numbers.

    >>> drawn = normals(INITIAL, np.arange(1000), 0, 100)
    >>> bool(abs(drawn.mean()) < 0.02), bool(abs(drawn.var() - 1) < 0.02)
    (True, True)
    """
    u = words(purpose, seeds, step, n + n % 2, first_block)
    radius = np.sqrt(-2 * np.log((u[..., 0::2] + 0.5) * 2.0**-32))
    angle = u[..., 1::2] * (2 * np.pi * 2.0**-32)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).reshape(u.shape)[..., :n]


def gaussian_inputs(seeds: np.ndarray, step: int, n_samples: int, n_inputs: int, first: int = 0) -> np.ndarray:
    """Fresh inputs x ~ N(0, I): samples first … first + n_samples − 1 of the streams (GAUSSIAN, seeds, step).

    float64 `[…seeds, n_samples, n_inputs]`. Every sample begins a new block, so that it is a function of its own index.

    >>> gaussian_inputs(np.array([5]), step=0, n_samples=3, n_inputs=2).shape
    (1, 3, 2)
    """
    blocks = -(-n_inputs // 4)
    z = normals(GAUSSIAN, seeds, step, 4 * blocks * n_samples, first * blocks)
    return z.reshape(*z.shape[:-1], n_samples, 4 * blocks)[..., :n_inputs]


def permutation_rounds(n: int) -> int:
    """Feistel rounds of a permutation of n.

    As many as make all permutations (n ≤ 8) or all triples of positions (larger n) equally likely in 400,000 draws.

    >>> permutation_rounds(1000)
    12
    """
    return 32 if n <= 8 else 12


def permutation(seeds: np.ndarray, epoch: int | np.ndarray, positions: np.ndarray, n: int) -> np.ndarray:
    """Where a keyed random permutation of 0 … n − 1 sends `positions`: int64 `[…, n_positions]`.

    seeds `[…]`, epoch a number or `[…]`, positions `[…, n_positions]` or `[n_positions]`. No table is kept, so that a
    lane of a GPU can do it: an alternating Feistel network on ⌈log₂ n⌉ bits, `permutation_rounds(n)` rounds with keys
    from the stream (PERMUTATION, seed, epoch) and the finaliser of MurmurHash3 as round function, walked along its
    cycle until the value is below n (Black & Rogaway 2002; Mitchell, Stokes, Frank & Holmes 2022).

    >>> images = permutation(np.array(3), epoch=0, positions=np.arange(10), n=10)
    >>> sorted(images.tolist()) == list(range(10))
    True
    """
    bits = max(1, (n - 1).bit_length())
    low = bits - bits // 2
    low_mask = _U32((1 << low) - 1)
    high_mask = _U32((1 << (bits - low)) - 1)
    rounds = permutation_rounds(n)
    keys = words(PERMUTATION, seeds, epoch, rounds)
    value = np.broadcast_to(np.asarray(positions), (*np.shape(seeds), np.shape(positions)[-1])).astype(_U32)

    def encrypt(v: np.ndarray) -> np.ndarray:
        left = v >> _U32(low)
        right = v & low_mask
        for i in range(0, rounds, 2):
            left = left ^ (_murmur(right ^ keys[..., i, None]) & high_mask)
            right = right ^ (_murmur(left ^ keys[..., i + 1, None]) & low_mask)
        return (left << _U32(low)) | right

    value = encrypt(value)
    while (outside := value >= n).any():
        value = np.where(outside, encrypt(value), value)
    return value.astype(np.int64)


def _murmur(h: np.ndarray) -> np.ndarray:
    """The finaliser of MurmurHash3: every bit of h changes about half of the result's."""
    with np.errstate(over="ignore"):
        h = (h ^ (h >> _U32(16))) * _U32(0x85EBCA6B)
        h = (h ^ (h >> _U32(13))) * _U32(0xC2B2AE35)
    return h ^ (h >> _U32(16))
