"""Weight matching of many pairs at once, computed by the native kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from kernels.native import described_network
from kernels.native.compiled import call, loaded, thread_count
from kernels.native.structures import MatchingSpec, Monitor, address
from kernels.network import Architecture


def match_weights(
    architecture: Architecture,
    params_a: Tensor,
    params_b: Tensor,
    signs: bool,
    most_sweeps: int,
    rounding: float,
    threads: int | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Params_b with its hidden units in the order that brings it nearest params_a: algorithm 1 of Ainsworth, Hayase &
    Srinivasa (2023), pair by pair.

    params_a, params_b: finite, `[n_pairs, n_parameters]`, float32 or float64. Groups of layers (those that residual
    connections join) are assigned one after the other, until no overlap Σ θ_A θ_B grows by more than `rounding` times
    the product of the norms in a sweep of all groups, or there were most_sweeps. signs: units may also change their
    sign. Returns params `[n_pairs, n_parameters]`, and of each hidden layer the order (int64) and the signs (float64)
    of units, `[n_pairs, width]`. Scores and overlaps are sums in float64.
    """
    dtype = params_b.dtype if params_a.dtype is params_b.dtype else torch.float64
    a, b = (params.to(dtype).contiguous() for params in (params_a, params_b))
    widths = architecture.widths[1:-1]
    # numpy's arrays: see kernels.native.train
    matched = np.empty(b.shape, np.float64 if dtype is torch.float64 else np.float32)
    orders = np.empty((len(b), sum(widths)), np.int64)
    flips = np.empty((len(b), sum(widths)))
    monitor = Monitor()
    keep: list[np.ndarray] = []
    spec = MatchingSpec(
        net=described_network(architecture, keep),
        n_pairs=len(b),
        most_sweeps=most_sweeps,
        threads=thread_count(threads),
        is_double=dtype is torch.float64,
        signs=signs,
        rounding=rounding,
        params_a=address(a),
        params_b=address(b),
        matched=address(matched),
        orders=address(orders),
        flips=address(flips),
        monitor=ctypes.addressof(monitor),
    )
    call(loaded().lmc_match, spec, monitor, len(b), (keep, a, b, matched, orders, flips))
    return torch.from_numpy(matched).to(params_b.dtype), _layers(orders, widths), _layers(flips, widths)


def _layers(found: np.ndarray, widths: Sequence[int]) -> list[Tensor]:
    """Numbers of all hidden units `[n, …]` as those of each layer `[n, width]`."""
    return [part.contiguous() for part in torch.from_numpy(found).split(list(widths), 1)]
