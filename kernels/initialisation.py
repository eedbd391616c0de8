"""Random initial parameters: one table of schemes, each the standard deviations of weights and biases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kernels import streams
from kernels.activations import TABLE
from kernels.cores import cores

if TYPE_CHECKING:
    from kernels.network import Architecture

NUMBERS_AT_ONCE = 2**16  # that a thread draws
INITIALISATIONS = ("kaiming", "xavier", "torch", "committee", "mean_field")


def initial_parameters(
    architecture: Architecture, seeds: Tensor, scheme: str, scale: float, dtype: torch.dtype
) -> Tensor:
    """Initial parameters `[n_networks, n_parameters]`, as `Architecture.initial` says, on the device of the seeds
    `[n_networks]`.

    >>> from kernels.network import Architecture
    >>> initial_parameters(Architecture((2, 3, 1)), torch.tensor([5, 6]), "kaiming", 1.0, torch.float32).shape
    torch.Size([2, 13])
    """
    deviation = scale * deviations(architecture, scheme)
    uniform = scheme == "torch"
    if streams.drawn_by_kernels(seeds.device):
        from kernels.gpu import draws

        initial = draws.initial_parameters(seeds, torch.from_numpy(deviation), uniform, dtype)
    else:
        initial = _drawn(seeds.cpu(), deviation, uniform, dtype).to(seeds.device)
    if scheme == "committee":
        for layer in architecture.layout[1:]:
            initial[:, layer.weight : layer.weight + layer.fan_out * layer.fan_in] = 1.0
    return initial


def _drawn(seeds: Tensor, deviation: np.ndarray, uniform: bool, dtype: torch.dtype) -> Tensor:
    """`deviation` `[n_parameters]` times what the streams (INITIAL, seed, 0) draw: `[n_networks, n_parameters]`."""
    from kernels.native import draws

    if not draws.fits(uniform, dtype):
        return drawn_by_numpy(seeds, deviation, uniform, dtype)
    initial, in_doubt = draws.initial_parameters(seeds, deviation, uniform, dtype)
    if bool(in_doubt.any()):
        initial[in_doubt] = drawn_by_numpy(seeds[in_doubt], deviation, uniform, dtype)
    return initial


def drawn_by_numpy(seeds: Tensor, deviation: np.ndarray, uniform: bool, dtype: torch.dtype) -> Tensor:
    """`deviation` `[n_parameters]` times what the streams (INITIAL, seed, 0) draw, `[n_networks, n_parameters]`: the
    definition, which the native kernel repeats to the bit.

    For some networks at a time on every core: numpy lets go of Python's lock, and a part stays in the caches.

    >>> drawn_by_numpy(torch.tensor([5, 6]), np.ones(3), uniform=True, dtype=torch.float64).shape
    torch.Size([2, 3])
    """
    n_parameters = len(deviation)
    initial = torch.empty(len(seeds), n_parameters, dtype=dtype, device="cpu")

    def draw(part: tuple[Tensor, Tensor]) -> None:
        rows, numbers = part[0], part[1].numpy()
        if uniform:
            values = 2 * streams.uniforms(streams.INITIAL, numbers, 0, n_parameters) - 1
        else:
            values = streams.normals(streams.INITIAL, numbers, 0, n_parameters)
        rows.copy_(torch.from_numpy(deviation * values))

    size = max(1, NUMBERS_AT_ONCE // n_parameters)
    parts = list(zip(initial.split(size), seeds.split(size), strict=True))
    if len(parts) == 1:
        draw(parts[0])
        return initial
    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(draw, parts))
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
