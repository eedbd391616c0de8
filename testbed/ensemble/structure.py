"""Which parameters of the networks of a launch exist, which are one, and which move: masks, weight sharing, pruning, frozen weights."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from torch import Tensor

import kernels
from kernels.connectivity import first_layer, random_rows
from testbed.errors import StudyError
from testbed.study.study import Study


def tied(study: Study, architecture: kernels.Architecture) -> Tensor | None:
    """For each parameter a number, int64 `[n_parameters]`, those of one number being one; None without weight sharing.

    StudyError if `architecture.tied` is not as long as that.
    """
    spec = study.architecture
    if spec.tied is not None:
        if len(spec.tied) != architecture.n_parameters:
            raise StudyError(
                f"architecture.tied must have a number for each of the {architecture.n_parameters} parameters, not {len(spec.tied)}."
            )
        return torch.tensor(spec.tied)
    if spec.connectivity != "convolutional":
        return None
    assert spec.receptive_field is not None
    return first_layer(spec.connectivity, architecture, spec.receptive_field, spec.stride)[1]


def mask(study: Study, architecture: kernels.Architecture, networks: pl.DataFrame) -> Tensor | None:
    """Which parameters there are before any pruning, bool `[n_networks, n_parameters]`; None where all are. A function of `mask_seed`."""
    spec, seeds = study.architecture, networks["mask_seed"].to_numpy(writable=True)
    there = None
    if spec.connectivity != "full":
        assert spec.receptive_field is not None
        there = first_layer(spec.connectivity, architecture, spec.receptive_field, spec.stride, seeds)[0]
    if spec.density < 1:
        drawn = _weights_drawn(architecture, seeds, spec.density)
        there = drawn if there is None else there & drawn
    return None if there is None else there.expand(len(seeds), -1).contiguous()


def trainable(study: Study, architecture: kernels.Architecture, networks: pl.DataFrame) -> Tensor | None:
    """Which parameters move, bool `[n_networks, n_parameters]`; None where all do."""
    training = study.training
    if not training.frozen and not training.frozen_layers:
        return None
    seeds = networks["frozen_seed"].to_numpy(writable=True)
    moves = torch.ones(len(seeds), architecture.n_parameters, dtype=torch.bool)
    if training.frozen:
        moves &= ~(_weights_drawn(architecture, seeds, training.frozen) & is_weight(architecture))
    for number in training.frozen_layers:
        start = architecture.layout[number].weight
        moves[
            :,
            start : start
            + architecture.layout[number].fan_out * (architecture.layout[number].fan_in + architecture.biases),
        ] = False
    return moves


def fan_in_gain(architecture: kernels.Architecture, there: Tensor) -> Tensor:
    """√(inputs/inputs that a unit sees) for each weight, 1 for biases, float64 `[n_networks, n_parameters]`."""
    gain = torch.ones(there.shape, dtype=torch.float64)
    for (weights, _), (to, _) in zip(architecture.layers(there), architecture.layers(gain), strict=True):
        to.copy_((weights.shape[-1] / weights.sum(-1, keepdim=True).clamp(min=1).double()).sqrt().expand(weights.shape))
    return gain


def pruned(architecture: kernels.Architecture, params: Tensor, there: Tensor | None, keep: int) -> Tensor:
    """The mask that keeps the `keep` weights of largest magnitude, of those in `there`; biases stay. bool `[n_networks, n_parameters]`."""
    weight = is_weight(architecture)
    size = params.abs().double() if there is None else params.abs().double().masked_fill(~there, -1)
    size = size.masked_fill(~weight, torch.inf)
    chosen = torch.zeros(params.shape, dtype=torch.bool)
    chosen.scatter_(1, size.argsort(dim=1, descending=True, stable=True)[:, : keep + int((~weight).sum())], True)
    return chosen if there is None else chosen & there


def is_weight(architecture: kernels.Architecture) -> Tensor:
    """Which parameters are weights and not biases, bool `[n_parameters]`."""
    which = torch.zeros(architecture.n_parameters, dtype=torch.bool)
    for layer in architecture.layout:
        which[layer.weight : layer.weight + layer.fan_in * layer.fan_out] = True
    return which


def _weights_drawn(architecture: kernels.Architecture, seeds: np.ndarray, share: float) -> Tensor:
    """True for biases and for a random share of the weights of each layer, `[n_networks, n_parameters]`, at least one weight of each."""
    drawn = np.ones((len(seeds), architecture.n_parameters), bool)
    for number, layer in enumerate(architecture.layout):
        size = layer.fan_in * layer.fan_out
        drawn[:, layer.weight : layer.weight + size] = random_rows(
            seeds, 1, size, max(1, round(share * size)), first=number
        )[:, 0]
    return torch.from_numpy(drawn)
