"""First layers that differ in sparsity and in weight sharing, one at a time.

A layer of `channels` units at each of `positions` windows of the input has unit number position · channels + channel.
First layers of the same receptive fields, each of which differs from the one before in one thing:
    full           every unit sees every input;
    random         every unit sees as many inputs as a window has, drawn at random;
    local          every unit sees its window;
    convolutional  the same, and the units of a channel have one filter and one bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels import streams
from kernels.checks import nearest, whole
from kernels.network import Architecture

if TYPE_CHECKING:
    from torch import Tensor

CONNECTIVITIES = ("full", "random", "local", "convolutional")


def windows(architecture: Architecture, field: int, stride: int) -> tuple[int, int]:
    """How many positions a window of `field` inputs takes in steps of `stride`, and how many channels each has.

    ValueError if they do not fit the widths.

    >>> windows(Architecture((5, 4, 1)), field=3, stride=2)  # two positions, two channels
    (2, 2)
    """
    inputs, units = architecture.widths[:2]
    whole("receptive_field", field, least=1)
    whole("stride", stride, least=1)
    if field > inputs:
        raise ValueError(f"receptive_field must be at most the {inputs} inputs, not {field}.")
    if (inputs - field) % stride:
        raise ValueError(f"stride: windows of {field} every {stride} do not end at the last of {inputs} inputs.")
    positions = (inputs - field) // stride + 1
    if units % positions or len(architecture.widths) < 3:
        raise ValueError(
            f"the first hidden layer must have as many units at each of its {positions} windows, not {units} in all."
        )
    return positions, units // positions


def random_rows(seeds: np.ndarray, rows: int, size: int, keep: int, first: int = 0) -> np.ndarray:
    """bool `[n, rows, size]`: in each row `keep` places are true, drawn without replacement.

    seeds `[n]`; first: number of the stream, so that several draws of one seed differ.

    >>> random_rows(np.array([1, 2]), rows=3, size=5, keep=2).sum(-1)
    array([[2, 2, 2],
           [2, 2, 2]])
    """
    # the places of the smallest of `size` uniform numbers
    drawn = streams.uniforms(streams.INITIAL, seeds, first, rows * size).reshape(len(seeds), rows, size)
    chosen = np.zeros(drawn.shape, bool)
    np.put_along_axis(chosen, np.argsort(drawn, axis=2, kind="stable")[:, :, :keep], True, axis=2)
    return chosen


def first_layer(
    kind: str, architecture: Architecture, field: int, stride: int = 1, seeds: int | np.ndarray = 0
) -> tuple[Tensor | None, Tensor | None]:
    """mask bool `[n_parameters]` and tied int64 `[n_parameters]` of a first layer, as `kernels.train` takes them.

    Each is None if the layer needs none.

    kind: one of CONNECTIVITIES. seeds: of the inputs that units see, for `random`: one for all networks, or `[n]` for
        masks `[n, n_parameters]`.

    >>> mask, tied = first_layer("local", Architecture((4, 3, 1)), field=2)
    >>> mask[:12].reshape(3, 4).int()  # each unit sees a window of two inputs
    tensor([[1, 1, 0, 0],
            [0, 1, 1, 0],
            [0, 0, 1, 1]], dtype=torch.int32)
    """
    import torch

    nearest("connectivity", kind, CONNECTIVITIES)
    _, channels = windows(architecture, field, stride)
    if kind == "full":
        return None, None
    inputs, units = architecture.widths[:2]
    position = np.arange(units) // channels
    offset = np.arange(inputs) - stride * position[:, None]
    sees = (offset >= 0) & (offset < field)
    if kind == "random":
        many = random_rows(np.atleast_1d(seeds), units, inputs, field)
        sees = many if np.ndim(seeds) else many[0]
    mask = np.ones((*sees.shape[:-2], architecture.n_parameters), bool)
    first = architecture.layout[0]
    mask[..., first.weight : first.weight + units * inputs] = sees.reshape(*sees.shape[:-2], -1)
    if kind != "convolutional":
        return torch.from_numpy(mask), None
    tied = np.arange(architecture.n_parameters)
    channel = np.arange(units) % channels
    # a weight's number: that of the same offset in the channel's first window; masked weights are tied to none
    weight = tied[: units * inputs].reshape(units, inputs)
    weight[sees] = (channel[:, None] * inputs + offset)[sees]
    if first.bias is not None:
        tied[first.bias : first.bias + units] = first.bias + channel
    return torch.from_numpy(mask), torch.from_numpy(tied)
