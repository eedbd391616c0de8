"""Many networks brought into one frame: cycle-consistent matching, from which averages of all can be taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import kernels
from testbed.alignment.matching import ROUNDING, to_reference
from testbed.pair_set import Aligned, joined

if TYPE_CHECKING:
    from torch import Tensor

MOST_ROUNDS = 50
MOST_ALONE = 64  # networks of which each is also matched to the mean of the others; beyond, its own share is small


def match_all(architecture: kernels.Architecture, params: Tensor, *, signs: bool = False) -> Aligned:
    """Permutations (and signs) of all networks that minimise Σ_i ‖π_i(θ_i) − mean‖².

    params: `[n_networks, n_parameters]`. Every network is matched by weights to the first; then, round after
    round, all of them to the mean of all, and up to MOST_ALONE of them one after the other to the mean of the others
    (MergeMany, algorithm 3 of Ainsworth, Hayase & Srinivasa 2023). Each round lowers the sum; it ends in a local
    minimum, nearly always the global one of small networks. Matching A to B and B to C so is matching A to C, which it
    is not where each pair is matched on its own (Crisostomi et al. 2024). signs and ValueError: as for `match_weights`.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 4, 1))
    >>> params = architecture.initial(1).repeat(3, 1)
    >>> from testbed.alignment import permute
    >>> params[1:] = permute(architecture, params[1:], (torch.tensor([[3, 2, 1, 0], [1, 0, 3, 2]]),))
    >>> bool((match_all(architecture, params).params == params[0]).all())
    True
    """

    def to_mean_of_all(params: Tensor) -> Aligned:
        mean = params.double().mean(0).to(params.dtype)
        return to_reference(architecture, params, mean, signs=signs)

    def to_mean_of_others(params: Tensor) -> Aligned:
        params = params.clone()
        parts = []
        for i in range(len(params)):
            others = (params.double().sum(0) - params[i].double()) / (len(params) - 1)
            parts.append(to_reference(architecture, params[i : i + 1], others.to(params.dtype), signs=signs))
            params[i] = parts[i].params[0]
        return joined(parts)

    matched = to_reference(architecture, params, params[0], signs=signs)
    matched = _descended(matched, to_mean_of_all)
    return _descended(matched, to_mean_of_others) if 1 < len(params) <= MOST_ALONE else matched


def _descended(networks: Aligned, step: Callable[[Tensor], Aligned]) -> Aligned:
    """The networks after as many steps as lower their spread."""
    for _ in range(MOST_ROUNDS):
        nearer = step(networks.params)
        if not _spread(nearer.params) < _spread(networks.params) * (1 - ROUNDING):
            break
        networks = nearer.after(networks)
    return networks


def _spread(params: Tensor) -> float:
    """Σ_i ‖θ_i − mean‖²."""
    params = params.double()
    return float((params - params.mean(0)).square().sum())
