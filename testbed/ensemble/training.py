"""Some networks of a launch: trained, and pruned where the study says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

import kernels
from testbed.ensemble import structure
from testbed.ensemble.launch import Launch

FRESH = 16  # a teacher's samples that show whether a loss is finite
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class _Start:
    """Where networks begin: params `[n, n_parameters]`, and the mask of those that exist (None: all)."""

    params: Tensor
    mask: Tensor | None


def train(launch: Launch, networks: pl.DataFrame, backend: str, progress: Progress | None = None) -> dict[str, Tensor]:
    """Train these networks of a launch (rows of its table), those that are one network at several times once.

    params `[n, n_parameters]` in the dtype of training, when the network is measured; losses `[n, n_records]`, of
    batches, in that dtype, NaN from then on; diverged_at and stopped_at int64 `[n]` (−1: never until then); train_loss
    float64 `[n]`: of the network on the whole training set (NaN if it diverged, or if training is online). Where it is
    not finite, though no batch has shown that before the end, or a parameter is none that float32 could hold, the
    network diverged at the end.
    """
    updates = launch.updates(networks)
    trained = networks.unique(["family", "sibling"], keep="first", maintain_order=True)
    run = _trained(launch, trained, np.unique(updates), backend, progress)
    measured = _at(launch, run, _place(networks, trained), torch.from_numpy(updates))
    losses = _losses_at_the_end(launch, networks, measured, backend)
    beyond = measured["params"].abs().amax(1) > torch.finfo(torch.float32).max
    overflown = (measured["diverged_at"] < 0) & (~losses.isfinite() | beyond)
    diverged_at = torch.where(overflown, torch.from_numpy(updates), measured["diverged_at"])
    known = ~overflown if launch.train_sets is not None else torch.zeros_like(overflown)
    return measured | {"diverged_at": diverged_at, "train_loss": losses.where(known, torch.nan)}


def _place(networks: pl.DataFrame, trained: pl.DataFrame) -> Tensor:
    """The row of `trained` that holds the training of each network, int64 `[n]`."""
    rows = trained.select("family", "sibling").with_row_index("place")
    place = networks.join(rows, on=["family", "sibling"], maintain_order="left")["place"]
    return torch.from_numpy(place.to_numpy().astype(np.int64))


def _trained(
    launch: Launch, networks: pl.DataFrame, updates: np.ndarray, backend: str, progress: Progress | None
) -> kernels.Run:
    """These networks, trained (and pruned), with their parameters after each of these numbers of updates."""
    options = _options(launch, networks, backend)
    start = _Start(launch.initial(networks, backend), launch.mask(networks))
    pruning = launch.study.architecture.pruning
    if pruning is not None:
        start, dense = _pruned(launch, networks, start, options)
    if pruning is None or pruning.retrain:
        training = launch.training(networks)
        before_the_end = tuple(number for number in updates.tolist() if number < training.steps)
        return kernels.train(
            launch.architecture,
            start.params,
            _data(launch),
            dataclasses.replace(training, snapshots=before_the_end),
            mask=start.mask,
            progress=progress,
            **options,
        )
    assert start.mask is not None
    return dataclasses.replace(
        dense, params=dense.params * start.mask, snapshots=dense.snapshots[:0], snapshot_steps=()
    )


def _at(launch: Launch, run: kernels.Run, place: Tensor, updates: Tensor) -> dict[str, Tensor]:
    """What a training knew after some updates: of the networks in rows `place` of the run, both int64 `[n]`."""
    params = run.params[place]
    for step, snapshot in zip(run.snapshot_steps, run.snapshots, strict=True):
        rows = updates == step
        params[rows] = snapshot[place[rows]]
    training = launch.study.training.build(launch.architecture.n_inputs)
    diverged_at, stopped_at = run.diverged_at[place], run.stopped_at[place]
    recorded = torch.tensor(training.loss_steps) < updates[:, None]
    return {
        "params": params,
        "stopped_at": torch.where(stopped_at < updates, stopped_at, -1),
        "losses": torch.where(recorded, run.losses[place], torch.nan),
        "diverged_at": torch.where(diverged_at <= updates, diverged_at, -1),
    }


def _data(launch: Launch) -> tuple[Tensor, Tensor] | kernels.Teacher:
    """The training sets, or the teacher where training is online."""
    data = launch.train_sets or launch.teacher
    assert data is not None
    return data


def _options(launch: Launch, networks: pl.DataFrame, backend: str) -> dict[str, Any]:
    """What `kernels.train` is told of these networks besides their parameters and masks."""
    numbered = "dataset" if launch.train_sets is None else "train_set"
    return {
        "data_seeds": networks["data_seed"].to_numpy(writable=True),
        "spawn_steps": networks["spawn_step"].to_numpy(writable=True),
        "spawn_seeds": networks["spawn_seed"].to_numpy(writable=True),
        "dataset": networks[numbered].to_numpy(writable=True),
        "trainable": launch.trainable(networks),
        "tied": launch.tied,
        "backend": backend,
    }


def _losses_at_the_end(launch: Launch, networks: pl.DataFrame, measured: dict[str, Tensor], backend: str) -> Tensor:
    """Loss of each network on its whole training set, or on a few of a teacher's samples, float64 `[n]`; NaN where it
    diverged.
    """
    losses = torch.full((len(networks),), torch.nan, dtype=torch.float64)
    good = measured["diverged_at"] < 0
    if bool(good.any()):
        params = measured["params"][good]
        numbered = "dataset" if launch.train_sets is None else "train_set"
        losses[good] = kernels.path_losses(
            launch.architecture,
            params,
            params,
            [0.0],
            _data(launch),
            launch.study.training.loss,
            dataset=networks[numbered].to_numpy(writable=True)[good.numpy()],
            n_samples=None if launch.train_sets is not None else FRESH,
            backend="reference" if launch.train_sets is None else backend,  # few, and no GPU kernel of their own
        ).loss[:, 0]
    return losses


def _pruned(
    launch: Launch, networks: pl.DataFrame, start: _Start, options: dict[str, Any]
) -> tuple[_Start, kernels.Run]:
    """Where these networks begin after iterative magnitude pruning (PruningSpec), and the last round's training."""
    architecture = launch.architecture
    pruning = launch.study.architecture.pruning
    assert pruning is not None
    if pruning.mask == "family":  # the family's own data order and rate, the same for every sibling
        networks = networks.with_columns(sibling=pl.lit(0))
        options = options | {"spawn_steps": None, "spawn_seeds": None}
    training = launch.training(networks)
    training = dataclasses.replace(
        training,
        snapshots=(min(pruning.rewind_step, training.steps),),
        stop_below=None if pruning.retrain else training.stop_below,  # a setting of the training that is measured
    )
    weights = structure.is_weight(architecture)
    first = weights if start.mask is None else (weights & start.mask)[0]
    n_weights = int(first.sum())  # the same in every network
    for k in range(1, pruning.rounds + 1):
        dense = kernels.train(architecture, start.params, _data(launch), training, mask=start.mask, **options)
        keep = round(pruning.density ** (k / pruning.rounds) * n_weights)
        mask = structure.pruned(architecture, dense.params, start.mask, keep)
        start = _Start(dense.snapshots[0], mask)
    return start, dense
