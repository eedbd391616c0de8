"""Averages of several networks ("soups"): of all of them, and of those that each lower the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import kernels
from kernels.shown import Short
from testbed.alignment.registry import ALIGNMENTS

if TYPE_CHECKING:
    from torch import Tensor

RECIPES = ("uniform", "greedy")
NETWORKS = ("mean of networks", "best network")  # in tables of averages, the rows of what was averaged


@dataclass(frozen=True, eq=False, repr=False)
class Average(Short):
    """An average: the places of its members among the networks, in the order they were taken, and its parameters.

    path: "", or the alignment before it. recipe: one of RECIPES. params `[n_parameters]`, in the networks' precision.
    """

    path: str
    recipe: str
    members: tuple[int, ...]
    params: Tensor


def frames() -> tuple[str, ...]:
    """The alignments that bring many networks into one frame, so that an average of all can be taken.

    >>> frames()
    ('reference', 'cycle', 'canonical')
    """
    return tuple(name for name, alignment in ALIGNMENTS.items() if alignment.frame is not None)


def averages(
    architecture: kernels.Architecture,
    params: Tensor,
    paths: Sequence[str],
    losses: Callable[[Tensor], np.ndarray],
) -> list[Average]:
    """The uniform and the greedy average of networks `[n_networks, n_parameters]` along each of `paths`.

    The uniform one is of all networks. The greedy one takes them in the order of their losses, each only if the loss of
    the average does not rise (Wortsman et al. 2022, recipe 1). Sums are taken in float64.

    paths: "" as the networks are, or alignments of `frames()`. losses: of networks `[n, n_parameters]`, `[n]`, on the
    samples by which the greedy average chooses.

    >>> architecture = kernels.Architecture((1, 1), biases=False)
    >>> import torch
    >>> params = torch.tensor([[1.0], [2.0], [9.0]])
    >>> found = averages(architecture, params, [""], lambda params: abs(params[:, 0] - 1.4).numpy())
    >>> [(average.recipe, average.members, average.params.tolist()) for average in found]
    [('uniform', (0, 1, 2), [4.0]), ('greedy', (0, 1), [1.5])]
    """
    order = np.argsort(losses(params), kind="stable").tolist()
    found = []
    for path in paths:
        frame = ALIGNMENTS[path].frame if path else None
        there = params if frame is None else frame(architecture, params)
        for recipe, members in (("uniform", tuple(range(len(params)))), ("greedy", _greedy(there, order, losses))):
            mean = there[list(members)].double().mean(0).to(params.dtype)
            found.append(Average(path, recipe, members, mean))
    return found


def _greedy(params: Tensor, order: list[int], losses: Callable[[Tensor], np.ndarray]) -> tuple[int, ...]:
    """The members of the greedy average, in the order in which they were taken."""
    members = [order[0]]
    total = params[members[0]].double()
    least = float(losses(params[members])[0])
    for candidate in order[1:]:
        average = (total + params[candidate].double()) / (len(members) + 1)
        found = float(losses(average.to(params.dtype)[None])[0])
        if found <= least:
            least = found
            total = total + params[candidate].double()
            members.append(candidate)
    return tuple(members)
