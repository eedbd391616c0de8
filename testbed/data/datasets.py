"""Data sets: what a student is trained on and what it is tested on.

Every number is a function of the seeds in `[data]` through `kernels.streams`. Values are rounded to the dtype of
training once, so that losses are measured, and predicted, on precisely the numbers that the networks saw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import kernels
from kernels.shown import Short
from testbed.data import file
from testbed.data.families import DataSpec
from testbed.data.sampling import Arrays, Sampled
from testbed.data.tasks import Task
from testbed.data.teacher_student import TeacherStudentData
from testbed.errors import StudyError


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Short):
    """Training and test samples of one data set, float64 (class numbers int64).

    train: x `[n, n_inputs]` and y `[n, n_outputs]` (regression) or `[n]` (classes); None when training is online.
    test: the same held out; None where there is none, or where `teacher` makes fresh ones.
    teacher: the network that labels x ~ N(0, I), without noise.
    """

    n_inputs: int
    n_outputs: int
    train: tuple[Tensor, Tensor] | None
    test: tuple[Tensor, Tensor] | None = None
    teacher: kernels.Teacher | None = None


def make(
    data: DataSpec, *, loss: str = "cross_entropy", n_test: int = 1024, dtype: torch.dtype = torch.float32
) -> Dataset:
    """The data set of a family: its training samples, and n_test test samples unless a teacher makes fresh ones.

    loss: `mse` or `cross_entropy`, what the labels of a file are for. dtype: of training, to which values are rounded.
    StudyError if a file cannot be used, or if its own settings leave too few samples.

    >>> from testbed.data.tasks import SpiralsData
    >>> spirals = make(SpiralsData(kind="spirals", n_train=100), n_test=50)
    >>> spirals.train[0].shape, spirals.test[0].shape, spirals.n_outputs
    (torch.Size([100, 2]), torch.Size([50, 2]), 2)
    """
    if isinstance(data, TeacherStudentData):
        train = None if data.n_train is None else train_samples(data, dtype)
        return Dataset(data.inputs, data.outputs, train, teacher=_teacher(data, dtype))
    if isinstance(data, Task):
        train = train_samples(data, dtype)
        held_out = _tensors(data.test(n_test), dtype)
        _check_finite(data, dtype, *held_out)
        return Dataset(train[0].shape[1], data.n_classes, train, held_out)
    assert isinstance(data, file.FileData)
    arrays, test_arrays = file.read(data, loss)
    x, y = arrays
    largest = max(int(labels.max()) for _, labels in (arrays, test_arrays or arrays))
    n_outputs = y.shape[1] if y.ndim == 2 else 1 + largest
    train = _tensors(arrays, dtype)
    test = None if test_arrays is None else _tensors(test_arrays, dtype)
    if not all(bool(torch.isfinite(part).all()) for samples in (train, test or train) for part in samples):
        raise StudyError(
            f"data.path: {data.path} holds numbers that are too large for {str(dtype)[6:]}: scale them, or set "
            'training.dtype = "float64".'
        )
    return Dataset(x.shape[1], n_outputs, train, test)


def train_samples(
    data: Sampled, dtype: torch.dtype, own_seeds: np.ndarray | None = None, side: int = 1
) -> tuple[Tensor, Tensor]:
    """Training samples as `Sampled.train` draws them, rounded to dtype; StudyError if a shift leaves too few.

    own_seeds: `[n_sets]`, a set for each; None: one set. side: 1 or −1, the side of a covariate shift.

    >>> from testbed.data.tasks import SpiralsData
    >>> x, y = train_samples(SpiralsData(kind="spirals", n_train=6, shared=0.5), torch.float32, np.array([1, 2]))
    >>> x.shape, bool((x[0, :3] == x[1, :3]).all())
    (torch.Size([2, 6, 2]), True)
    """
    try:
        x, y = _tensors(data.train(own_seeds, side), dtype)
    except ValueError as error:
        raise StudyError(f"data.{error}") from None
    if isinstance(data, TeacherStudentData):
        teacher = _teacher(data, dtype)
        labels = teacher.architecture.to_torch(teacher.params)(x).detach()
        y = (y + labels).to(dtype).double()
    _check_finite(data, dtype, x, y)
    return x, y


def _check_finite(data: Sampled, dtype: torch.dtype, *samples: Tensor) -> None:
    """StudyError where settings of [data] are so large that samples are not finite in the type of training."""
    if not all(bool(part.isfinite().all()) for part in samples):
        raise StudyError(
            f"data: samples of kind {data.kind!r} with these settings are not finite in {str(dtype)[6:]}; "
            "lower the scale of what they are drawn from."
        )


def _tensors(samples: Arrays, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Float64, rounded to dtype; class numbers int64."""
    x, y = (torch.from_numpy(np.array(array)) for array in samples)
    labels = y.to(dtype).double() if y.is_floating_point() else y.long()
    return x.to(dtype).double(), labels


def _teacher(data: TeacherStudentData, dtype: torch.dtype) -> kernels.Teacher:
    """The family's teacher, its parameters rounded to dtype."""
    architecture = data.teacher.build(data.inputs, data.outputs)
    if data.teacher.initialisation == "orthonormal":
        params = _orthonormal(data)
    else:
        params = architecture.initial(1, data.teacher.seed, scale=data.teacher.scale, dtype=torch.float64)[0]
    params = params.to(dtype).double()
    _check_finite(data, dtype, params)
    return kernels.Teacher(architecture, params)


def _orthonormal(data: TeacherStudentData) -> Tensor:
    """A soft committee machine: unit k is the k-th input, every output weight 1, all times the teacher's scale."""
    units = data.teacher.hidden[0]
    if units > data.inputs:
        raise StudyError(
            f"data.teacher.hidden: {units} orthonormal units need as many inputs, and data.inputs is {data.inputs}."
        )
    first = torch.eye(units, data.inputs, dtype=torch.float64).flatten()
    second = torch.ones(data.outputs * units, dtype=torch.float64)
    return torch.cat([first, second]) * data.teacher.scale
