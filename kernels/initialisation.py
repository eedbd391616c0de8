"""Random initial parameters: one table of schemes, each the standard deviations of weights and biases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels import streams
from kernels.activations import TABLE

if TYPE_CHECKING:
    from kernels.network import Architecture

INITIALISATIONS = ("kaiming", "xavier", "torch", "committee", "mean_field")


def initial_parameters(architecture: Architecture, seeds: np.ndarray, scheme: str, scale: float) -> np.ndarray:
    """Initial parameters float64 `[n_networks, n_parameters]`, as `Architecture.initial` says; seeds `[n_networks]`.

    >>> from kernels.network import Architecture
    >>> initial_parameters(Architecture((2, 3, 1)), np.array([5, 6]), "kaiming", 1.0).shape
    (2, 13)
    """
    if scheme == "torch":
        values = 2 * streams.uniforms(streams.INITIAL, seeds, 0, architecture.n_parameters) - 1
    else:
        values = streams.normals(streams.INITIAL, seeds, 0, architecture.n_parameters)
    initial = scale * deviations(architecture, scheme) * values
    if scheme == "committee":
        for layer in architecture.layout[1:]:
            initial[:, layer.weight : layer.weight + layer.fan_out * layer.fan_in] = 1.0
    return initial


def deviations(architecture: Architecture, scheme: str) -> np.ndarray:
    """What the drawn numbers are multiplied by, float64 `[n_parameters]`; 0 where nothing is drawn.

    The standard deviation of a normal, or for `torch` the bound of a uniform number.

    >>> from kernels.network import Architecture
    >>> deviations(Architecture((4, 1, 1)), "torch")
    array([0.5, 0.5, 0.5, 0.5, 0.5, 1. , 1. ])
    """
    deviation = np.zeros(architecture.n_parameters)
    last = len(architecture.layout) - 1
    for index, layer in enumerate(architecture.layout):
        stop = layer.weight + layer.fan_out * layer.fan_in
        gain = TABLE[architecture.activation].gain if index < last else 1.0
        if scheme == "torch":
            deviation[layer.weight : stop + layer.fan_out * architecture.biases] = layer.fan_in**-0.5
        elif scheme == "committee":
            deviation[layer.weight : stop] = layer.fan_in**-0.5 if index == 0 else 0.0
        elif scheme == "xavier":
            deviation[layer.weight : stop] = (2 / (layer.fan_in + layer.fan_out)) ** 0.5
        elif scheme == "mean_field" and index == last:
            deviation[layer.weight : stop] = 1 / layer.fan_in
        else:  # kaiming, and the hidden layers of mean_field
            deviation[layer.weight : stop] = (gain / layer.fan_in) ** 0.5
    return deviation
