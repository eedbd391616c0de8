"""Which inputs a unit of the first layer sees, and which units share their weights: sparsity and weight sharing told apart.

A layer of `channels` units at each of `positions` windows of the input has unit number position · channels + channel. Fully connected, randomly
masked, locally connected and convolutional first layers of the same receptive fields then differ in one thing at a time:
    full           every unit sees every input;
    random         every unit sees as many inputs as a window has, drawn at random;
    local          every unit sees its window;
    convolutional  the same, and the units of a channel have one filter and one bias.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kernels import streams
from kernels.checks import nearest, whole
from kernels.network import Architecture

CONNECTIVITIES = ("full", "random", "local", "convolutional")


def windows(architecture: Architecture, field: int, stride: int) -> tuple[int, int]:
    """Positions of a window of `field` inputs every `stride` of them, and channels at each; ValueError if they do not fit the widths."""
    inputs, units = architecture.widths[:2]
    whole("receptive_field", field, least=1)
    whole("stride", stride, least=1)
    if field > inputs:
        raise ValueError(f"receptive_field must be at most the {inputs} inputs, not {field}.")
    if (inputs - field) % stride:
        raise ValueError(f"stride: windows of {field} every {stride} do not end at the last of {inputs} inputs.")
    positions = (inputs - field) // stride + 1
    if units % positions or len(architecture.widths) < 3:
        raise ValueError(f"the first hidden layer must have as many units at each of its {positions} windows, not {units} in all.")
    return positions, units // positions


def first_layer(kind: str, architecture: Architecture, field: int, stride: int = 1, seed: int = 0) -> tuple[Tensor | None, Tensor | None]:
    """mask bool `[n_parameters]` and tied int64 `[n_parameters]` of such a first layer, as `kernels.train` takes them; None where not needed.

    kind: one of CONNECTIVITIES. seed: of the inputs that units see, for `random`.
    """
    nearest("connectivity", kind, CONNECTIVITIES)
    _, channels = windows(architecture, field, stride)
    if kind == "full":
        return None, None
    inputs, units = architecture.widths[:2]
    position = np.arange(units) // channels
    if kind == "random":
        # the inputs with the smallest of `inputs` uniform numbers each, a draw without replacement
        order = np.argsort(streams.uniforms(streams.INITIAL, streams.network_seeds(seed, units), 0, inputs), axis=1)
        sees = np.argsort(order, axis=1) < field
    else:
        offset = np.arange(inputs) - stride * position[:, None]
        sees = (offset >= 0) & (offset < field)
    mask = np.ones(architecture.n_parameters, bool)
    first = architecture.layout[0]
    mask[first.weight : first.weight + units * inputs] = sees.ravel()
    if kind != "convolutional":
        return torch.from_numpy(mask), None
    tied = np.arange(architecture.n_parameters)
    channel = np.arange(units) % channels
    # a weight's number: that of the same offset in the channel's first window; what the mask holds at 0 stays by itself
    weight = tied[: units * inputs].reshape(units, inputs)
    weight[sees] = (channel[:, None] * inputs + offset)[sees]
    if first.bias is not None:
        tied[first.bias : first.bias + units] = first.bias + channel
    return torch.from_numpy(mask), torch.from_numpy(tied)
