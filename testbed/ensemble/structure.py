"""Which parameters of a launch's networks exist, which are one, and which move: masks, sharing, frozen weights."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from torch import Tensor

import kernels
from kernels.connectivity import first_layer, random_rows
from testbed.errors import StudyError
from testbed.study import Study


def tied(study: Study, architecture: kernels.Architecture) -> Tensor | None:
    """For each parameter a number, int64 `[n_parameters]`, those of one number being one; None without weight sharing.

    StudyError if `architecture.tied` is not as long as that.
    """
    spec = study.architecture
    if spec.tied is not None:
        if len(spec.tied) != architecture.n_parameters:
            raise StudyError(
                f"architecture.tied must have a number for each of the {architecture.n_parameters} parameters, "
                f"not {len(spec.tied)}."
            )
        return torch.tensor(spec.tied)
    if spec.connectivity != "convolutional":
        return None
    assert spec.receptive_field is not None
    return first_layer(spec.connectivity, architecture, spec.receptive_field, spec.stride)[1]


def mask(study: Study, architecture: kernels.Architecture, networks: pl.DataFrame) -> Tensor | None:
    """Which parameters exist before any pruning, bool `[n_networks, n_parameters]`; None where all do.

    A function of each network's `mask_seed`.
    """
    spec = study.architecture
    seeds = networks["mask_seed"].to_numpy(writable=True)
    exists = None
    if spec.connectivity != "full":
        assert spec.receptive_field is not None
        exists = first_layer(spec.connectivity, architecture, spec.receptive_field, spec.stride, seeds)[0]
    if spec.density < 1:
        drawn = _weights_drawn(architecture, seeds, spec.density)
        exists = drawn if exists is None else exists & drawn
    return None if exists is None else exists.expand(len(seeds), -1).contiguous()


def trainable(study: Study, architecture: kernels.Architecture, networks: pl.DataFrame) -> Tensor | None:
    """Which parameters move, bool `[n_networks, n_parameters]`; None where all do. A function of `frozen_seed`."""
    training = study.training
    if not training.frozen and not training.frozen_layers:
        return None
    seeds = networks["frozen_seed"].to_numpy(writable=True)
    moves = torch.ones(len(seeds), architecture.n_parameters, dtype=torch.bool)
    if training.frozen:
        moves &= ~(_weights_drawn(architecture, seeds, training.frozen) & is_weight(architecture))
    for number in training.frozen_layers:
        layer = architecture.layout[number]
        size = layer.fan_out * (layer.fan_in + architecture.biases)
        moves[:, layer.weight : layer.weight + size] = False
    return moves


def fan_in_gain(architecture: kernels.Architecture, exists: Tensor) -> Tensor:
    """√(inputs / inputs that a unit sees) for each weight, 1 for biases, float64 `[n_networks, n_parameters]`.

    exists: bool `[n_networks, n_parameters]`.
    """
    gain = torch.ones(exists.shape, dtype=torch.float64)
    layers = zip(architecture.layers(exists), architecture.layers(gain), strict=True)
    for (weight_exists, _), (weight_gain, _) in layers:
        seen = weight_exists.sum(-1, keepdim=True).clamp(min=1).double()
        weight_gain.copy_((weight_exists.shape[-1] / seen).sqrt().expand(weight_exists.shape))
    return gain


def pruned(architecture: kernels.Architecture, params: Tensor, exists: Tensor | None, keep: int) -> Tensor:
    """The mask that keeps the `keep` existing weights of largest magnitude, and all biases.

    bool `[n_networks, n_parameters]`. exists: the mask before (None: all parameters exist).
    """
    weight = is_weight(architecture)
    size = params.abs().double()
    if exists is not None:
        size = size.masked_fill(~exists, -1)
    size = size.masked_fill(~weight, torch.inf)
    n_kept = keep + int((~weight).sum())
    chosen = torch.zeros(params.shape, dtype=torch.bool)
    chosen.scatter_(1, size.argsort(dim=1, descending=True, stable=True)[:, :n_kept], True)
    return chosen if exists is None else chosen & exists


def is_weight(architecture: kernels.Architecture) -> Tensor:
    """Which parameters are weights and not biases, bool `[n_parameters]`.

    >>> is_weight(kernels.Architecture((1, 2, 1))).tolist()
    [True, True, False, False, True, True, False]
    """
    weights = torch.zeros(architecture.n_parameters, dtype=torch.bool)
    for layer in architecture.layout:
        weights[layer.weight : layer.weight + layer.fan_in * layer.fan_out] = True
    return weights


def _weights_drawn(architecture: kernels.Architecture, seeds: np.ndarray, share: float) -> Tensor:
    """True for biases and a random share of each layer's weights, at least one: bool `[n_networks, n_parameters]`."""
    drawn = np.ones((len(seeds), architecture.n_parameters), bool)
    for number, layer in enumerate(architecture.layout):
        size = layer.fan_in * layer.fan_out
        keep = max(1, round(share * size))
        drawn[:, layer.weight : layer.weight + size] = random_rows(seeds, 1, size, keep, first=number)[:, 0]
    return torch.from_numpy(drawn)
