"""Seeds of networks and initial parameters, drawn by the native kernel to the bits of `kernels.streams` and
`kernels.initialisation`.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int64, c_void_p

import numpy as np
import torch
from torch import Tensor

from kernels.native.compiled import call, loaded, missing, thread_count
from kernels.native.structures import DrawSpec, Monitor, address

NUMBERS_OF_A_THREAD = 2**17  # at least: starting a thread takes as long as some ten thousand


def network_seeds(seed: int, n: int) -> Tensor:
    """What `kernels.streams.network_seeds` derives from one number in [0, 2⁶³), int64 `[n]`."""
    seeds = np.empty(n, np.int64)
    loaded().lmc_seeds(c_int64(n), c_int64(seed), c_void_p(address(seeds)))
    return torch.from_numpy(seeds)


def fits(uniform: bool, dtype: torch.dtype) -> bool:
    """Whether `initial_parameters` draws such numbers here: normal ones as float32, uniform ones as float64 too.

    >>> fits(False, torch.float64)
    False
    """
    return not missing() and (dtype is torch.float32 or (uniform and dtype is torch.float64))


def initial_parameters(
    seeds: Tensor, deviations: np.ndarray, uniform: bool, dtype: torch.dtype, threads: int | None = None
) -> tuple[Tensor, Tensor]:
    """`deviations` `[n_parameters]` times the normal (or uniform) numbers of the streams (INITIAL, seed, 0), for every
    seed `[n]`: `[n, n_parameters]`; and which rows to draw anew, bool `[n]`.

    Those are the rows, one in some ten thousand, where a float32 could be another than that next to numpy's float64.
    """
    seeds = seeds.contiguous()
    deviations = np.ascontiguousarray(deviations, np.float64)
    # numpy's arrays: see kernels.native.train
    params = np.empty((len(seeds), len(deviations)), np.float64 if dtype is torch.float64 else np.float32)
    in_doubt = np.empty(len(seeds), np.bool_)
    monitor = Monitor()
    spec = DrawSpec(
        n=len(seeds),
        n_parameters=len(deviations),
        threads=min(thread_count(threads), 1 + params.size // NUMBERS_OF_A_THREAD),
        is_double=dtype is torch.float64,
        uniform=uniform,
        seeds=address(seeds),
        deviations=address(deviations),
        params=address(params),
        in_doubt=address(in_doubt),
        monitor=ctypes.addressof(monitor),
    )
    if params.size < NUMBERS_OF_A_THREAD:  # over before another thread has begun
        loaded().lmc_draw(ctypes.byref(spec))
    else:
        call(loaded().lmc_draw, spec, monitor, len(seeds), (seeds, deviations, params, in_doubt))
    return torch.from_numpy(params), torch.from_numpy(in_doubt)


def normals_of_numpy(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel makes of pairs of words, uint32 `[n, 2]` with n a multiple of 8: normals as numpy's in
    `kernels.streams`, float64 `[n, 2]`, and which pairs are in doubt, bool `[n]`.
    """
    words = np.ascontiguousarray(words, np.uint32)
    normals = np.empty(words.shape)
    in_doubt = np.empty(len(words), np.bool_)
    loaded().lmc_normals_of_numpy(
        c_int64(len(words)), c_void_p(address(words)), c_void_p(address(normals)), c_void_p(address(in_doubt))
    )
    return normals, in_doubt
