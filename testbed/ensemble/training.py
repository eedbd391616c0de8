"""Some networks of a launch: trained, and pruned where the study says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import polars as pl
import torch
from torch import Tensor

import kernels
from testbed.ensemble import structure
from testbed.ensemble.plan import Launch

Progress = Callable[[int, int], None]


def train(launch: Launch, networks: pl.DataFrame, backend: str, progress: Progress | None = None) -> dict[str, Tensor]:
    """Train these networks of a launch (rows of its table).

    params `[n, n_parameters]` in the dtype of training; losses float64 `[n, n_records]`, of batches; diverged_at int64 `[n]`
    (−1: never); train_loss float64 `[n]`: of the final network on the whole training set (NaN if it diverged, or if training is
    online).
    """
    samples, training = launch.train_sets, launch.training(networks)
    data = samples if samples is not None else launch.teacher
    assert data is not None
    dataset = networks["dataset" if samples is None else "train_set"].to_numpy(writable=True)
    options: dict[str, Any] = {
        "data_seeds": networks["data_seed"].to_numpy(writable=True),
        "spawn_steps": networks["spawn_step"].to_numpy(writable=True),
        "spawn_seeds": networks["spawn_seed"].to_numpy(writable=True),
        "dataset": dataset,
        "trainable": launch.trainable(networks),
        "tied": launch.tied,
        "backend": backend,
    }
    params, mask, pruning = launch.initial(networks), launch.mask(networks), launch.study.architecture.pruning
    if pruning is not None:
        params, mask, dense = _pruned(launch, networks, params, mask, data, options)
    if pruning is None or pruning.retrain:
        run = kernels.train(launch.architecture, params, data, training, mask=mask, progress=progress, **options)
    else:
        assert mask is not None
        run = dataclasses.replace(dense, params=dense.params * mask)
    final = torch.full((len(networks),), torch.nan, dtype=torch.float64)
    good = run.diverged_at < 0
    if samples is not None and bool(good.any()):
        params = run.params[good]
        final[good] = kernels.path_losses(
            launch.architecture,
            params,
            params,
            [0.0],
            samples,
            training.loss,
            dataset=dataset[good.numpy()],
            backend=backend,
        ).loss[:, 0]
    return {
        "params": run.params,
        "stopped_at": run.stopped_at,
        "losses": run.losses.double(),
        "diverged_at": run.diverged_at,
        "train_loss": final,
    }


def _pruned(
    launch: Launch, networks: pl.DataFrame, params: Tensor, mask: Tensor | None, data: Any, options: dict[str, Any]
) -> tuple[Tensor, Tensor, kernels.Run]:
    """Where these networks begin, and their masks, after iterative magnitude pruning (PruningSpec); and the last round's training."""
    pruning, architecture = launch.study.architecture.pruning, launch.architecture
    assert pruning is not None
    if pruning.mask == "family":  # the family's own data order and rate, the same for every sibling
        networks, options = (
            networks.with_columns(sibling=pl.lit(0)),
            options | {"spawn_steps": None, "spawn_seeds": None},
        )
    training = launch.training(networks)
    stop_below = None if pruning.retrain else training.stop_below  # a setting of the training that is measured
    training = dataclasses.replace(
        training, snapshots=(min(pruning.rewind_step, training.steps),), stop_below=stop_below
    )
    weights = (
        structure.is_weight(architecture).expand(params.shape)
        if mask is None
        else structure.is_weight(architecture) & mask
    )
    for k in range(pruning.rounds):
        dense = kernels.train(architecture, params, data, training, mask=mask, **options)
        keep = round(pruning.density ** ((k + 1) / pruning.rounds) * int(weights[0].sum()))
        params, mask = dense.snapshots[0], structure.pruned(architecture, dense.params, mask, keep)
    assert mask is not None
    return params, mask, dense
