"""The random streams of `kernels.streams` inside a kernel: integers bit for bit, normals to a few units in the last
place.

Words and counters are uint32 of any shape, one per item (a network, or a sample of one network); every formula is
explained in `kernels.streams`. Steps and epochs stay below 2³¹, so the counter's third word is 0.
"""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels import streams
from kernels.gpu.common.functions import log1p_small, log_parts, polynomial

PERMUTATION = tl.constexpr(streams.PERMUTATION)
REPLACEMENT = tl.constexpr(streams.REPLACEMENT)
GAUSSIAN = tl.constexpr(streams.GAUSSIAN)

LN2_HIGH = tl.constexpr(0.693145751953125)  # 16 bits, so that its product with a whole exponent is exact in float32
LN2_LOW = tl.constexpr(1.42860682030941723212e-6)
SINE = tl.constexpr((-1 / 1307674368000, 1 / 6227020800, -1 / 39916800, 1 / 362880, -1 / 5040, 1 / 120, -1 / 6))
COSINE = tl.constexpr(
    (
        -1 / 6402373705728000,
        1 / 20922789888000,
        -1 / 87178291200,
        1 / 479001600,
        -1 / 3628800,
        1 / 40320,
        -1 / 720,
        1 / 24,
        -0.5,
    )
)


@triton.jit
def seed_key(seed):
    """The two words of a 64-bit seed."""
    return seed.to(tl.uint32), (seed >> 32).to(tl.uint32)


@triton.jit
def philox(c0, c1, c2, c3, k0, k1):
    """Philox 4x32-10: counter and key to four words."""
    for _ in tl.static_range(10):
        high_0, high_1 = tl.umulhi(c0, 0xD2511F53), tl.umulhi(c2, 0xCD9E8D57)
        low_0, low_1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0, k1 = k0 + 0x9E3779B9, k1 + 0xBB67AE85
    return c0, c1, c2, c3


@triton.jit
def words(purpose: tl.constexpr, key_low, key_high, step, block):
    """The four words of one block of the stream (purpose, seed, step); `block` and the key broadcast against each
    other.
    """
    c0 = block + tl.zeros_like(key_low)
    zero = tl.zeros_like(c0)
    return philox(c0, zero + step, zero, zero + purpose, key_low, key_high)


@triton.jit
def integers(word, n):
    """A word to a whole number in [0, n): ⌊word · n / 2³²⌋."""
    return tl.umulhi(word, tl.zeros_like(word) + n.to(tl.uint32))


@triton.jit
def murmur(h):
    """The finaliser of MurmurHash3."""
    h = (h ^ (h >> 16)) * 0x85EBCA6B
    h = (h ^ (h >> 13)) * 0xC2B2AE35
    return h ^ (h >> 16)


@triton.jit
def permutation_keys(key_low, key_high, epoch, ROUNDS: tl.constexpr):
    """The round keys of one epoch, a tuple of `ROUNDS` words."""
    keys = ()
    for i in tl.static_range(ROUNDS // 4):
        block = words(PERMUTATION, key_low, key_high, epoch, tl.zeros_like(key_low) + i)
        keys = keys + (block[0], block[1], block[2], block[3])
    return keys


@triton.jit
def encrypt(value, keys, low_bits, high_bits):
    """One pass of the alternating Feistel network on low_bits + high_bits bits."""
    one = tl.zeros_like(value) + 1
    low = low_bits.to(tl.uint32)
    low_mask = (one << low) - 1
    high_mask = (one << high_bits.to(tl.uint32)) - 1
    left = value >> low
    right = value & low_mask
    for i in tl.static_range(0, len(keys), 2):
        left = left ^ (murmur(right ^ keys[i]) & high_mask)
        right = right ^ (murmur(left ^ keys[i + 1]) & low_mask)
    return (left << low) | right


@triton.jit
def permute(position, keys, n, low_bits, high_bits):
    """Where the permutation of 0 … n − 1 with these keys sends each position `[…]` (uint32): walked until the value
    is below n.
    """
    limit = n.to(tl.uint32)
    value = encrypt(position, keys, low_bits, high_bits)
    while tl.max(tl.max((value >= limit).to(tl.int32), axis=1), axis=0) > 0:  # the items of a program walk together
        value = tl.where(value >= limit, encrypt(value, keys, low_bits, high_bits), value)
    return value


@triton.jit
def normals(a, b, dtype: tl.constexpr):
    """Two standard normals from two words (Box & Muller 1958): r cos ϑ and r sin ϑ."""
    u, v = (a.to(dtype) + 0.5) * 2.0**-32, ((a ^ 0xFFFFFFFF).to(dtype) + 0.5) * 2.0**-32
    exponent, fraction = log_parts(u)
    near_one = v < 0.25  # there 1 − u comes from the word's complement without rounding
    exponent, fraction = tl.where(near_one, 0.0, exponent), tl.where(near_one, -v, fraction)
    log_u = exponent * LN2_HIGH + (exponent * LN2_LOW + log1p_small(fraction))
    radius = tl.sqrt(-2 * log_u)
    # ϑ = 2π b/2³² = (quarter turns) π/2 + t, |t| ≤ π/4
    quarter = (b + 0x20000000) >> 30
    t = (b - (quarter << 30)).to(tl.int32, bitcast=True).to(dtype) * (6.28318530717958647692 * 2.0**-32)
    sine = t + t * t * t * polynomial(t * t, SINE)
    cosine = 1.0 + t * t * polynomial(t * t, COSINE)
    odd = (quarter & 1) != 0
    turned_cosine, turned_sine = tl.where(odd, sine, cosine), tl.where(odd, cosine, sine)
    turned_cosine = tl.where(((quarter + 1) & 2) != 0, -turned_cosine, turned_cosine)
    turned_sine = tl.where((quarter & 2) != 0, -turned_sine, turned_sine)
    return radius * turned_cosine, radius * turned_sine
