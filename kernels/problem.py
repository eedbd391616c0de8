"""The two problems that a backend solves, and what it returns.

`train` and `path_losses` build a problem from what a user passes: checked, every setting an array with one number per
network, all on one device and in one dtype. The backends read nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from kernels.arguments import (
    Alphas,
    Seeds,
    alpha_grid,
    first_of_group,
    float_dtype,
    item_seeds,
    network_params,
    switches,
)
from kernels.checks import instance, per_network, whole
from kernels.network import Architecture
from kernels.samples import Data, Datasets, Samples, checked_samples
from kernels.shown import Short
from kernels.training import SGD, Adam, AdamW, Training


@dataclass(frozen=True, eq=False, repr=False)
class TrainingProblem(Short):
    """An ensemble to train. All tensors on `params.device`; floating ones in `params.dtype`, whole numbers int64.

    params `[n, n_parameters]`: initial ones, 0 where a mask is False.
    batch_size: samples a step, a number even for the full batch.
    lr, momentum, weight_decay, data_seeds, spawn_steps, spawn_seeds `[n]`.
    mask, trainable: bool `[n, n_parameters]`, or None for all true.
    tied: int64 `[n_parameters]`, for each parameter the index of the first parameter of its tied group (its own where
        it is tied to none); or None for no ties.
    factors: float64 `[steps]`, the schedule.
    rates `[n_parameters]`: factors of the learning rate, or None for 1 everywhere.

    >>> architecture = Architecture((1, 2, 1))
    >>> samples = torch.ones(4, 1), torch.ones(4, 1)
    >>> training_problem(architecture, architecture.initial(3), samples, Training(steps=2)).sampling
    'full'
    """

    architecture: Architecture
    training: Training
    params: Tensor
    samples: Samples
    batch_size: int
    lr: Tensor
    momentum: Tensor
    weight_decay: Tensor
    data_seeds: Tensor
    spawn_steps: Tensor
    spawn_seeds: Tensor
    mask: Tensor | None
    trainable: Tensor | None
    tied: Tensor | None
    factors: np.ndarray
    rates: Tensor | None = None

    @property
    def sampling(self) -> str:
        """One of full, epoch, replacement, online."""
        if self.samples.teacher is not None:
            return "online"
        return "full" if self.training.batch_size is None else self.training.sampling


@dataclass(frozen=True, eq=False, repr=False)
class PathProblem(Short):
    """Paths to evaluate: params_a, params_b `[n_pairs, n_parameters]`, alphas `[n_alphas]`, seeds int64 `[n_pairs]`.

    >>> architecture = Architecture((1, 2, 1))
    >>> samples = torch.ones(4, 1), torch.ones(4, 1)
    >>> path_problem(architecture, architecture.initial(3), architecture.initial(3, 1), [0, 1], samples).alphas
    tensor([0., 1.], dtype=torch.float64)
    """

    architecture: Architecture
    params_a: Tensor
    params_b: Tensor
    alphas: Tensor
    samples: Samples
    loss: str
    seeds: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Trained(Short):
    """What a backend makes of a TrainingProblem.

    params `[n, n_parameters]`: after the last step.
    losses `[n, n_records]`: of the batches of `training.loss_steps`.
    snapshots `[n_snapshots, n, n_parameters]`: after as many updates as `training.snapshots` says.
    diverged_at int64 `[n]`: the first step whose batch loss was not finite, −1 for none.
    stopped_at int64 `[n]`: the first step whose batch loss was below `stop_below`, −1 for none.

    >>> none = torch.full((1,), -1)
    >>> Trained(torch.ones(1, 2), torch.ones(1, 1), torch.ones(0, 1, 2), none, none).params
    tensor([[1., 1.]])
    """

    params: Tensor
    losses: Tensor
    snapshots: Tensor
    diverged_at: Tensor
    stopped_at: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class PathMoments(Short):
    """What a backend makes of a PathProblem, float64 `[n_pairs, n_alphas]` each.

    mean: of the samples' losses.
    standard_error: of that mean, as an estimate of the population's.
    skewness: of the samples' losses.
    error: share of the samples misclassified, NaN where the loss of one is NaN (0 for mse).

    >>> zero = torch.zeros(1, 2)
    >>> PathMoments(mean=zero, standard_error=zero, skewness=zero, error=zero).mean.shape
    torch.Size([1, 2])
    """

    mean: Tensor
    standard_error: Tensor
    skewness: Tensor
    error: Tensor


def training_problem(
    architecture: Architecture,
    params: Tensor,
    data: Data,
    training: Training,
    *,
    data_seeds: Seeds = 0,
    spawn_steps: Tensor | np.ndarray | Sequence[int] | int | None = None,
    spawn_seeds: Seeds | None = None,
    dataset: Datasets = None,
    mask: Tensor | None = None,
    trainable: Tensor | None = None,
    tied: Tensor | np.ndarray | Sequence[int] | None = None,
) -> TrainingProblem:
    """The checked form of what `train` was given; ValueError names the argument that does not fit.

    >>> architecture = Architecture((1, 2, 1))
    >>> training_problem(architecture, torch.ones(3, 5), (torch.ones(4, 1), torch.ones(4, 1)), Training(steps=2))
    Traceback (most recent call last):
    ValueError: params must have shape [n_networks, 7], not [3, 5].
    """
    instance("architecture", architecture, Architecture, "Architecture((2, 16, 1))")
    instance("training", training, Training, "Training(steps=1000)")
    params = network_params("params", architecture, params, "networks")
    n = len(params)
    device = params.device
    dtype = params.dtype
    samples = checked_samples(architecture, data, training.loss, dataset, n, "networks", params)
    batch_size = _batch_size(training, samples)
    if (spawn_steps is None) != (spawn_seeds is None):
        raise ValueError("spawn_steps and spawn_seeds go together: give both or neither.")
    seeds = item_seeds("data_seeds", data_seeds, n, device)
    if spawn_steps is None or spawn_seeds is None:
        steps = torch.full((n,), training.steps, device=device)
        spawned = seeds
    else:
        steps = per_network("spawn_steps", spawn_steps, n, torch.int64)
        spawned = item_seeds("spawn_seeds", spawn_seeds, n, device)
        if bool((steps < 0).any()):
            raise ValueError(f"spawn_steps must be at least 0, not {int(steps.min())}.")
    mask = switches("mask", mask, params)
    if mask is not None:
        params = torch.where(mask, params, 0.0)  # whatever stood there: 0 · NaN is NaN
    trainable = switches("trainable", trainable, params)
    if mask is not None:
        training = _without_zero_over_zero(training, dtype)
    optimizer = training.optimizer
    momentum = optimizer.momentum if isinstance(optimizer, SGD) else 0.0
    first = None if tied is None else first_of_group(tied, params, mask, trainable)
    return TrainingProblem(
        architecture=architecture,
        training=training,
        params=params,
        samples=samples,
        batch_size=batch_size,
        lr=per_network("lr", optimizer.lr, n, dtype).to(device),
        momentum=per_network("momentum", momentum, n, dtype).to(device),
        weight_decay=per_network("weight_decay", optimizer.weight_decay, n, dtype).to(device),
        data_seeds=seeds,
        spawn_steps=steps.to(device),
        spawn_seeds=spawned,
        mask=mask,
        trainable=trainable,
        tied=first,
        factors=training.schedule.factors(training.steps),
        rates=_rates(architecture, training, params, first),
    )


def path_problem(
    architecture: Architecture,
    params_a: Tensor,
    params_b: Tensor,
    alphas: Alphas,
    data: Data,
    *,
    loss: str = "mse",
    dtype: torch.dtype | None = None,
    dataset: Datasets = None,
    n_samples: int | None = None,
    seeds: Seeds = 0,
) -> PathProblem:
    """The checked form of what `path_losses` was given; ValueError names the argument that does not fit.

    >>> architecture = Architecture((1, 2, 1))
    >>> path_problem(architecture, torch.ones(3, 7), torch.ones(2, 7), [0, 1], (torch.ones(4, 1), torch.ones(4, 1)))
    Traceback (most recent call last):
    ValueError: params_a and params_b must have one shape, not [3, 7] and [2, 7].
    """
    instance("architecture", architecture, Architecture, "Architecture((2, 16, 1))")
    dtype = float_dtype(dtype, default=torch.float64)
    a = network_params("params_a", architecture, params_a, "pairs").to(dtype)
    b = network_params("params_b", architecture, params_b, "pairs").to(dtype)
    if a.shape != b.shape:
        raise ValueError(f"params_a and params_b must have one shape, not {list(a.shape)} and {list(b.shape)}.")
    if a.device != b.device:
        raise ValueError(f"params_a and params_b must lie on one device, not on {a.device} and {b.device}.")
    grid = alpha_grid(alphas).to(a.device)
    samples = checked_samples(architecture, data, loss, dataset, len(a), "pairs", a)
    own_seeds = torch.zeros(len(a), dtype=torch.int64, device=a.device)  # a table of samples needs none
    if samples.teacher is not None:
        own_seeds = item_seeds("seeds", seeds, len(a), a.device)
        if n_samples is None:
            raise ValueError(
                "n_samples must say how many fresh inputs a pair is measured on when a teacher makes the samples."
            )
        samples = replace(samples, n_samples=whole("n_samples", n_samples, 2))
    elif n_samples is not None:
        raise ValueError("n_samples goes with a teacher's fresh inputs; with (x, y) every sample counts.")
    return PathProblem(
        architecture=architecture,
        params_a=a,
        params_b=b,
        alphas=grid,
        samples=samples,
        loss=loss,
        seeds=own_seeds,
    )


def bias_corrections(optimizer: SGD | Adam | AdamW, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Adam's 1/(1 − β₁ᵗ) and 1/√(1 − β₂ᵗ) for t = 1 … steps, float64 `[steps]` each; ones for SGD.

    >>> bias_corrections(Adam(betas=(0.5, 0.75)), 2)[0]  # 1/(1 − ½), 1/(1 − ¼)
    array([2.        , 1.33333333])
    """
    if isinstance(optimizer, SGD):
        return np.ones(steps), np.ones(steps)
    t = np.arange(1, steps + 1)
    beta_1, beta_2 = optimizer.betas
    return 1 / (1 - beta_1**t), 1 / np.sqrt(1 - beta_2**t)


def _without_zero_over_zero(training: Training, dtype: torch.dtype) -> Training:
    """The same, with the least normal number for Adam's eps = 0: √v̂ + eps is √v̂ to the last bit unless that is 0."""
    optimizer = training.optimizer
    if isinstance(optimizer, SGD) or optimizer.eps > 0:
        return training
    return replace(training, optimizer=replace(optimizer, eps=torch.finfo(dtype).tiny))


def _rates(architecture: Architecture, training: Training, params: Tensor, tied: Tensor | None) -> Tensor | None:
    """The factor of each parameter's learning rate, `[n_parameters]`; None where all are 1."""
    factors = training.layer_rates
    if not factors:
        return None
    n_layers = len(architecture.layout)
    if len(factors) != n_layers:
        raise ValueError(f"layer_rates must be {n_layers} numbers, one for each affine layer, not {len(factors)}.")
    rates = params.new_empty(1, params.shape[1])
    for (weight, bias), factor in zip(architecture.layers(rates), factors, strict=True):
        weight.fill_(factor)
        if bias is not None:
            bias.fill_(factor)
    if tied is not None and not torch.equal(rates[:, tied], rates):
        raise ValueError("layer_rates must be alike for layers that have tied parameters in common.")
    return None if bool((rates == 1).all()) else rates[0]


def _batch_size(training: Training, samples: Samples) -> int:
    """Samples a step."""
    if samples.teacher is not None:
        if training.batch_size is None:
            raise ValueError("batch_size must be a number when a teacher makes the samples: there is no full batch.")
        return training.batch_size
    batch_size = training.batch_size or samples.n_samples
    if training.sampling == "epoch" and batch_size > samples.n_samples:
        raise ValueError(f"batch_size ({batch_size}) must be at most the number of samples ({samples.n_samples}).")
    return batch_size
