"""Where the samples of a problem come from: tables of them, or a teacher that labels fresh Gaussian inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kernels.checks import all_finite, described, numbers, per_network
from kernels.network import Architecture
from kernels.shown import Short
from kernels.training import Teacher

Data = tuple[Tensor, Tensor] | Teacher
Datasets = Tensor | np.ndarray | Sequence[int] | None  # number of the data set of each network, or pair


@dataclass(frozen=True, eq=False, repr=False)
class Samples(Short):
    """One table of samples a data set, or one teacher a data set.

    n_samples: rows of a table; of a teacher the fresh inputs that a path is measured on, 0 in training.
    dataset: int64 `[n_networks]` (or `[n_pairs]`), number of the data set that each network (or pair) sees.
    x `[n_datasets, n_samples, n_inputs]`; y `[n_datasets, n_samples, n_outputs]` (mse) or class numbers, int64
        `[n_datasets, n_samples]` (cross-entropy). None with a teacher.
    teacher, teacher_params `[n_datasets, n_parameters of the teacher]`. None with tables.

    >>> Samples(n_samples=0, dataset=torch.zeros(3, dtype=torch.int64)).teacher is None
    True
    """

    n_samples: int
    dataset: Tensor
    x: Tensor | None = None
    y: Tensor | None = None
    teacher: Architecture | None = None
    teacher_params: Tensor | None = None


def checked_samples(
    architecture: Architecture, data: Data, loss: str, dataset: Datasets, n_items: int, items: str, like: Tensor
) -> Samples:
    """The checked form of `data`, on the device and in the dtype of `like`; ValueError names what does not fit.

    n_items: how many networks or pairs see the samples; items: what they are called in an error.

    >>> line = Architecture((1, 1))
    >>> checked_samples(line, (torch.ones(4, 1), torch.ones(4, 1)), "mse", None, 3, "networks", torch.ones(1)).x.shape
    torch.Size([1, 4, 1])
    """
    if loss == "cross_entropy" and architecture.n_outputs < 2:
        raise ValueError("loss 'cross_entropy' needs at least two outputs, one per class.")
    if isinstance(data, Teacher):
        teacher_params = _teacher_params(architecture, data, like)
        index = _dataset(dataset, n_items, len(teacher_params), items)
        return Samples(0, index.to(like.device), teacher=data.architecture, teacher_params=teacher_params)
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(
            f"data must be (x, y) or a Teacher, not {described(data)}. x, y = map(torch.cat, zip(*loader)) "
            "collects the batches of a DataLoader; those of a TensorDataset are its .tensors."
        )
    x = _inputs(architecture, data[0], like)
    y = _labels(architecture, data[1], loss, x)
    index = _dataset(dataset, n_items, len(x), items)
    return Samples(x.shape[1], index.to(like.device), x, y)


def _teacher_params(architecture: Architecture, teacher: Teacher, like: Tensor) -> Tensor:
    """Parameters of the teachers `[n_datasets, n_parameters of the teacher]`."""
    params = torch.atleast_2d(teacher.params).to(like)
    if not all_finite(params):
        raise ValueError(f"the teacher's params must be finite in {like.dtype}.")
    for side in ("n_inputs", "n_outputs"):
        teachers = getattr(teacher.architecture, side)
        networks = getattr(architecture, side)
        if teachers != networks:
            raise ValueError(f"the teacher's {side} ({teachers}) must equal the networks' ({networks}).")
    return params.contiguous()


def _inputs(architecture: Architecture, given: Tensor, like: Tensor) -> Tensor:
    """x `[n_datasets, n_samples, n_inputs]`."""
    x = numbers("x", given)
    if x.ndim not in (2, 3) or x.shape[-1] != architecture.n_inputs or 0 in x.shape:
        raise ValueError(
            f"x must have shape [n_samples, {architecture.n_inputs}], or [n_datasets, n_samples, "
            f"{architecture.n_inputs}], not {list(x.shape)}."
        )
    x = (x if x.ndim == 3 else x[None]).to(like).contiguous()
    if not all_finite(x):
        raise ValueError("x must be finite.")
    return x


def _labels(architecture: Architecture, given: Tensor, loss: str, x: Tensor) -> Tensor:
    """y `[n_datasets, n_samples, n_outputs]` for mse, int64 `[n_datasets, n_samples]` for cross-entropy."""
    y = numbers("y", given)
    expected = (*x.shape[:2], architecture.n_outputs) if loss == "mse" else tuple(x.shape[:2])
    one_set = len(x) == 1 and tuple(y.shape) == expected[1:]
    if not one_set and tuple(y.shape) != expected:
        shape = list(expected[1:] if len(x) == 1 else expected)
        what = "the outputs" if loss == "mse" else "a class number"
        raise ValueError(f"y must have shape {shape}, {what} for each sample of x, not {list(y.shape)}.")
    if loss == "mse":
        y = y.reshape(expected).to(x)
        if not all_finite(y):
            raise ValueError("y must be finite.")
        return y.contiguous()
    if y.is_floating_point() or not 0 <= int(y.min()) <= int(y.max()) < architecture.n_outputs:
        found = f"{y.dtype}" if y.is_floating_point() else f"{int(y.min())} to {int(y.max())}"
        raise ValueError(
            f"y must hold class numbers from 0 to {architecture.n_outputs - 1} for loss 'cross_entropy', not {found}."
        )
    return y.reshape(expected).to(x.device, torch.int64).contiguous()


def _dataset(dataset: Datasets, n_items: int, n_datasets: int, items: str) -> Tensor:
    """Number of the data set of each network or pair, int64 `[n_items]`; None stands for the only one."""
    if dataset is None:
        if n_datasets > 1:
            raise ValueError(
                f"dataset must say which of the {n_datasets} data sets each of the {n_items} {items} sees."
            )
        return torch.zeros(n_items, dtype=torch.int64, device="cpu")
    index = per_network("dataset", dataset, n_items, torch.int64)
    if bool((index < 0).any()) or bool((index >= n_datasets).any()):
        raise ValueError(f"dataset must lie in 0 … {n_datasets - 1}.")
    return index
