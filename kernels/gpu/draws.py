"""Seeds and initial parameters drawn on the GPU, where a million networks begin in milliseconds: the streams of
`kernels.streams`, word for word.

Drawn in float64 and then rounded, so that float32 parameters are those of `kernels.initialisation` but where the two
machines' logarithms or cosines differ in their last place just between two float32 numbers (one in about 10⁸).
"""

# mypy: ignore-errors

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from kernels import streams
from kernels.gpu import on
from kernels.gpu.common.streams import normals, seed_key, words

SEED = tl.constexpr(streams.SEED)
INITIAL = tl.constexpr(streams.INITIAL)
SIZE = 256  # seeds, or blocks of four parameters, of a program
OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}
MOST_ITEMS = 2**31 - SIZE  # the kernels count in 32 bits


@triton.jit(do_not_specialize=("first", "n"), do_not_specialize_on_alignment=("seed", "seeds"))
def draw_seeds(seed, seeds, first, n, SIZE: tl.constexpr):
    """The first 63 bits of the streams (SEED, seed `[1]`, first + k), to seeds `[n]`."""
    k = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    key = seed_key(tl.load(seed + tl.zeros_like(k)))
    word = words(SEED, key[0], key[1], (first + k).to(tl.uint32), tl.zeros_like(key[0]))
    bits = word[0].to(tl.uint64) | (word[1].to(tl.uint64) << 32)
    tl.store(seeds + k, (bits >> 1).to(tl.int64), mask=k < n)


@triton.jit(
    do_not_specialize=("n_items", "n_blocks", "n_parameters"),
    do_not_specialize_on_alignment=("parameters", "seeds", "deviations"),
)
def draw_parameters(
    parameters, seeds, deviations, n_items, n_blocks, n_parameters, UNIFORM: tl.constexpr, SIZE: tl.constexpr
):  # fmt: skip
    """deviations `[n_parameters]` times what the streams (INITIAL, seed, 0) draw, to parameters `[n, n_parameters]`.

    An item is a block of four draws of a network.
    """
    item = tl.minimum(tl.program_id(0) * SIZE + tl.arange(0, SIZE), n_items - 1)
    network = item // n_blocks
    block = item % n_blocks
    key = seed_key(tl.load(seeds + network))
    word = words(INITIAL, key[0], key[1], 0, block.to(tl.uint32))
    row = parameters + network.to(tl.int64) * n_parameters
    for half in tl.static_range(2):
        if UNIFORM:
            pair = (symmetric(word[2 * half]), symmetric(word[2 * half + 1]))
        else:
            pair = normals(word[2 * half], word[2 * half + 1], tl.float64)
        for k in tl.static_range(2):
            place = 4 * block + 2 * half + k
            exists = place < n_parameters
            value = tl.load(deviations + place, mask=exists, other=0.0) * pair[k]
            tl.store(row + place, value.to(parameters.dtype.element_ty), mask=exists)


@triton.jit
def symmetric(word):
    """A word to a uniform number in (−1, 1), float64."""
    return (word.to(tl.float64) + 0.5) * 2.0**-31 - 1.0


def network_seeds(seed: int, n: int, device: torch.device, first: int = 0) -> Tensor:
    """What `kernels.streams.network_seeds` derives from one number, int64 `[n]` on `device`."""
    seeds = torch.empty(n, dtype=torch.int64, device=device)
    base = torch.tensor([seed], dtype=torch.int64, device=device)
    with on(device):
        draw_seeds[(triton.cdiv(n, SIZE),)](seed=base, seeds=seeds, first=first, n=n, SIZE=SIZE, **OPTIONS)
    return seeds


def initial_parameters(seeds: Tensor, deviations: Tensor, uniform: bool, dtype: torch.dtype) -> Tensor:
    """`deviations` `[n_parameters]` times the normal (or uniform) numbers of the streams (INITIAL, seed, 0), for every
    seed `[n]`: `[n, n_parameters]` on the seeds' device.
    """
    n_parameters = len(deviations)
    n_blocks = triton.cdiv(n_parameters, 4)
    params = torch.empty(len(seeds), n_parameters, dtype=dtype, device=seeds.device)
    most = max(MOST_ITEMS // n_blocks, 1)
    for some, rows in zip(seeds.split(most), params.split(most), strict=True):
        n_items = len(some) * n_blocks
        with on(seeds.device):
            draw_parameters[(triton.cdiv(n_items, SIZE),)](
                parameters=rows,
                seeds=some,
                deviations=deviations.to(seeds.device),
                n_items=n_items,
                n_blocks=n_blocks,
                n_parameters=n_parameters,
                UNIFORM=uniform,
                SIZE=SIZE,
                **OPTIONS,
            )
    return params
