"""The two problems that a backend solves, checked and in one form: every array per network, on one device, in one
dtype.

`train` and `path_losses` build these from what a user passes; the backends read nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernels import streams
from kernels.checks import per_network, whole
from kernels.network import Architecture
from kernels.training import SGD, Adam, AdamW, Teacher, Training

Data = tuple[Tensor, Tensor] | Teacher
Seeds = int | Sequence[int] | np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """Where samples come from: a table per data set, or a teacher that labels fresh Gaussian inputs.

    x `[n_datasets, n_samples, n_inputs]`, y `[n_datasets, n_samples, n_outputs]` (mse) or int64 `[n_datasets,
    n_samples]` (cross-entropy); with a teacher, x and y are None and teacher_params is `[n_datasets, n_parameters of
    the teacher]`.
    dataset: int64 `[n_networks]` (or `[n_pairs]`), which of them each network (or pair) sees.

    >>> Samples(n_samples=0, dataset=torch.zeros(3, dtype=torch.int64)).teacher is None
    True
    """

    n_samples: int
    dataset: Tensor
    x: Tensor | None = None
    y: Tensor | None = None
    teacher: Architecture | None = None
    teacher_params: Tensor | None = None


@dataclass(frozen=True, eq=False)
class TrainingProblem:
    """An ensemble to train. All tensors on `params.device`; floating ones in `params.dtype`, whole numbers int64.

    params `[n, n_parameters]`; mask and trainable bool `[n, n_parameters]` or None; tied int64 `[n_parameters]` or
    None: for each parameter the first of those that it is one with; lr, momentum, weight_decay, data_seeds,
    spawn_steps, spawn_seeds `[n]`; factors float64 `[steps]`, the schedule.

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

    @property
    def sampling(self) -> str:
        """One of full, epoch, replacement, online."""
        if self.samples.teacher is not None:
            return "online"
        return "full" if self.training.batch_size is None else self.training.sampling


@dataclass(frozen=True, eq=False)
class PathProblem:
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


@dataclass(frozen=True, eq=False)
class Trained:
    """What a backend makes of a TrainingProblem.

    params `[n, n_parameters]`: after the last step; losses `[n, n_records]`: of the batches of `training.loss_steps`;
    snapshots `[n_snapshots, n, n_parameters]`; diverged_at, stopped_at int64 `[n]`: the first step whose batch loss
    was not finite, or below `stop_below` (−1 for none).

    >>> none = torch.full((1,), -1)
    >>> Trained(torch.ones(1, 2), torch.ones(1, 1), torch.ones(0, 1, 2), none, none).params
    tensor([[1., 1.]])
    """

    params: Tensor
    losses: Tensor
    snapshots: Tensor
    diverged_at: Tensor
    stopped_at: Tensor


@dataclass(frozen=True, eq=False)
class PathMoments:
    """What a backend makes of a PathProblem, float64 `[n_pairs, n_alphas]` each.

    mean: of the samples' losses; standard_error: of that mean, as an estimate of the population's; skewness: of the
        samples' losses;
    error: share of the samples misclassified (0 for mse).

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
    dataset: Tensor | np.ndarray | Sequence[int] | None = None,
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
    params = _params("params", architecture, params)
    n, device, dtype = len(params), params.device, params.dtype
    samples = _samples(architecture, data, training.loss, dataset, n, "networks", params)
    if samples.teacher is not None:
        if training.batch_size is None:
            raise ValueError("batch_size must be a number when a teacher makes the samples: there is no full batch.")
        batch_size = training.batch_size
    else:
        batch_size = training.batch_size or samples.n_samples
        if training.sampling == "epoch" and batch_size > samples.n_samples:
            raise ValueError(f"batch_size ({batch_size}) must be at most the number of samples ({samples.n_samples}).")
    if (spawn_steps is None) != (spawn_seeds is None):
        raise ValueError("spawn_steps and spawn_seeds go together: give both or neither.")
    seeds = torch.from_numpy(streams.network_seeds(data_seeds, n))
    if spawn_steps is None or spawn_seeds is None:
        steps, spawned = torch.full((n,), training.steps), seeds
    else:
        steps = per_network("spawn_steps", spawn_steps, n, torch.int64)
        spawned = torch.from_numpy(streams.network_seeds(spawn_seeds, n))
        if bool((steps < 0).any()):
            raise ValueError(f"spawn_steps must be at least 0, not {int(steps.min())}.")
    mask, trainable = _switches("mask", mask, params), _switches("trainable", trainable, params)
    first = None if tied is None else _first_of_each(tied, architecture, (mask, trainable))
    optimizer = training.optimizer
    momentum = optimizer.momentum if isinstance(optimizer, SGD) else 0.0
    return TrainingProblem(
        architecture=architecture,
        training=training,
        params=params,
        samples=samples,
        batch_size=batch_size,
        lr=per_network("lr", optimizer.lr, n, dtype).to(device),
        momentum=per_network("momentum", momentum, n, dtype).to(device),
        weight_decay=per_network("weight_decay", optimizer.weight_decay, n, dtype).to(device),
        data_seeds=seeds.to(device),
        spawn_steps=steps.to(device),
        spawn_seeds=spawned.to(device),
        mask=mask,
        trainable=trainable,
        tied=None if first is None else first.to(device),
        factors=training.schedule.factors(training.steps),
    )


def path_problem(
    architecture: Architecture,
    params_a: Tensor,
    params_b: Tensor,
    alphas: Tensor | np.ndarray | Sequence[float],
    data: Data,
    *,
    loss: str = "mse",
    dtype: torch.dtype = torch.float64,
    dataset: Tensor | np.ndarray | Sequence[int] | None = None,
    n_samples: int | None = None,
    seeds: Seeds = 0,
) -> PathProblem:
    """The checked form of what `path_losses` was given; ValueError names the argument that does not fit.

    >>> architecture = Architecture((1, 2, 1))
    >>> path_problem(architecture, torch.ones(3, 7), torch.ones(2, 7), [0, 1], (torch.ones(4, 1), torch.ones(4, 1)))
    Traceback (most recent call last):
    ValueError: params_a and params_b must have one shape, not [3, 7] and [2, 7].
    """
    if params_a.shape != params_b.shape:
        raise ValueError(
            f"params_a and params_b must have one shape, not {list(params_a.shape)} and {list(params_b.shape)}."
        )
    a, b = _params("params_a", architecture, params_a).to(dtype), _params("params_b", architecture, params_b).to(dtype)
    grid = torch.as_tensor(alphas, dtype=torch.float64).to(a.device)
    if grid.ndim != 1 or not len(grid) or not bool(torch.isfinite(grid).all()):
        raise ValueError("alphas must be a list of finite numbers.")
    samples = _samples(architecture, data, loss, dataset, len(a), "pairs", a)
    own_seeds = torch.zeros(len(a), dtype=torch.int64)  # a table of samples needs none
    if samples.teacher is not None:
        own_seeds = torch.from_numpy(streams.network_seeds(seeds, len(a)))
        if n_samples is None:
            raise ValueError(
                "n_samples must say how many fresh inputs a pair is measured on when a teacher makes the samples."
            )
        samples = Samples(
            whole("n_samples", n_samples, 2), samples.dataset, None, None, samples.teacher, samples.teacher_params
        )
    elif n_samples is not None:
        raise ValueError("n_samples goes with a teacher's fresh inputs; with (x, y) every sample counts.")
    return PathProblem(architecture, a, b, grid, samples, loss, own_seeds.to(a.device))


def bias_corrections(optimizer: SGD | Adam | AdamW, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Adam's 1/(1 − β₁ᵗ) and 1/√(1 − β₂ᵗ) for t = 1 … steps, float64 `[steps]` each; ones for SGD.

    >>> bias_corrections(Adam(betas=(0.5, 0.75)), 2)[0]  # 1/(1 − ½), 1/(1 − ¼)
    array([2.        , 1.33333333])
    """
    if isinstance(optimizer, SGD):
        return np.ones(steps), np.ones(steps)
    t = np.arange(1, steps + 1)
    return 1 / (1 - optimizer.betas[0] ** t), 1 / np.sqrt(1 - optimizer.betas[1] ** t)


def _params(field: str, architecture: Architecture, params: Tensor) -> Tensor:
    if params.ndim != 2 or params.shape[1] != architecture.n_parameters or not len(params):
        raise ValueError(
            f"{field} must have shape [n_networks, {architecture.n_parameters}], not {list(params.shape)}."
        )
    if params.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{field} must be float32 or float64, not {params.dtype}.")
    return params.detach().contiguous()


def _switches(field: str, value: Tensor | None, params: Tensor) -> Tensor | None:
    """A bool for every parameter of every network, from one per parameter or per network and parameter."""
    if value is None:
        return None
    if value.dtype is not torch.bool or value.shape not in (params.shape[1:], params.shape):
        raise ValueError(
            f"{field} must be a bool tensor of shape [{params.shape[1]}] or {list(params.shape)}, "
            f"not {value.dtype} {list(value.shape)}."
        )
    return value.to(params.device).expand(params.shape).contiguous()


def _first_of_each(
    tied: Tensor | np.ndarray | Sequence[int], architecture: Architecture, switches: tuple[Tensor | None, ...]
) -> Tensor:
    """For each parameter the first one that has its number in `tied`, int64 `[n_parameters]`."""
    number = (tied.detach().cpu() if isinstance(tied, Tensor) else torch.from_numpy(np.array(tied))).numpy()
    if number.dtype.kind not in "iu" or number.shape != (architecture.n_parameters,):
        raise ValueError(
            f"tied must be whole numbers of shape [{architecture.n_parameters}], "
            f"not {number.dtype} {list(number.shape)}."
        )
    _, first, group = np.unique(number, return_index=True, return_inverse=True)
    index = torch.from_numpy(first[group].astype(np.int64))
    for field, value in zip(("mask", "trainable"), switches, strict=True):
        if value is not None and not bool((value == value[:, index.to(value.device)]).all()):
            raise ValueError(f"tied: parameters that are one must be alike in {field}.")
    return index


def _samples(
    architecture: Architecture,
    data: Data,
    loss: str,
    dataset: Tensor | np.ndarray | Sequence[int] | None,
    n: int,
    unit: str,
    like: Tensor,
) -> Samples:
    """Samples from (x, y) or a Teacher, on the device and in the dtype of `like`."""
    if loss == "cross_entropy" and architecture.n_outputs < 2:
        raise ValueError("loss 'cross_entropy' needs at least two outputs, one per class.")
    if isinstance(data, Teacher):
        teacher_params = torch.atleast_2d(data.params).detach().to(like)
        if teacher_params.shape[1] != data.architecture.n_parameters:
            raise ValueError(
                f"the teacher's params must have {data.architecture.n_parameters} columns, "
                f"not {teacher_params.shape[1]}."
            )
        for side in ("n_inputs", "n_outputs"):
            of_teacher, of_networks = getattr(data.architecture, side), getattr(architecture, side)
            if of_teacher != of_networks:
                raise ValueError(f"the teacher's {side} ({of_teacher}) must equal the networks' ({of_networks}).")
        index = _dataset(dataset, n, len(teacher_params), unit)
        return Samples(0, index.to(like.device), teacher=data.architecture, teacher_params=teacher_params.contiguous())
    x, y = data
    x = (x if x.ndim == 3 else x[None]).detach().to(like).contiguous()
    y = y.detach()
    if x.ndim != 3 or x.shape[2] != architecture.n_inputs or not x.shape[1]:
        raise ValueError(
            f"x must have shape [n_samples, {architecture.n_inputs}], with data sets in front, "
            f"not {list(data[0].shape)}."
        )
    if not bool(torch.isfinite(x).all()):
        raise ValueError("x must be finite.")
    if loss == "mse":
        expected = (*x.shape[:2], architecture.n_outputs)
        y = (y if y.ndim == 3 else y[None]).to(like)
        if not bool(torch.isfinite(y).all()):
            raise ValueError("y must be finite.")
    else:
        expected = tuple(x.shape[:2])
        y = y if y.ndim == 2 else y[None]
        if y.dtype.is_floating_point or (y.numel() and not 0 <= int(y.min()) <= int(y.max()) < architecture.n_outputs):
            raise ValueError(
                f"y must hold class numbers from 0 to {architecture.n_outputs - 1} for loss 'cross_entropy'."
            )
        y = y.to(like.device, torch.int64)
    if tuple(y.shape) != expected:
        raise ValueError(
            f"y must have shape {list(expected[1:])} to go with x and the outputs, not {list(data[1].shape)}."
        )
    return Samples(x.shape[1], _dataset(dataset, n, len(x), unit).to(like.device), x, y.contiguous())


def _dataset(dataset: Tensor | np.ndarray | Sequence[int] | None, n: int, n_datasets: int, unit: str) -> Tensor:
    if dataset is None:
        if n_datasets > 1:
            raise ValueError(f"dataset must say which of the {n_datasets} data sets each of the {n} {unit} sees.")
        return torch.zeros(n, dtype=torch.int64)
    index = per_network("dataset", dataset, n, torch.int64)
    if bool((index < 0).any()) or bool((index >= n_datasets).any()):
        raise ValueError(f"dataset must lie in 0 … {n_datasets - 1}.")
    return index
