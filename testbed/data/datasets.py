"""Data sets: what a student is trained on and what it is tested on.

Every number is a function of the seeds in `[data]` through `kernels.streams`. Values are rounded to the dtype of training once,
so that losses are measured, and predicted, on precisely the numbers that the networks saw.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

import kernels
from testbed.data.sampling import Arrays, Sampled
from testbed.data.tasks import Task
from testbed.errors import StudyError
from testbed.sections.spec import FileData, TeacherStudentData
from testbed.study.study import Study


@dataclass(frozen=True, eq=False)
class Dataset:
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


def make(study: Study) -> Dataset:
    """The data set of a study without vary; StudyError if its file cannot be used."""
    data, n_test, dtype = study.data, study.measure.test_samples, getattr(torch, study.training.dtype)
    if isinstance(data, TeacherStudentData):
        train = None if data.n_train is None else own_samples(study)
        return Dataset(data.inputs, data.outputs, train, teacher=_teacher(data, dtype))
    if isinstance(data, Task):
        train = own_samples(study)
        return Dataset(train[0].shape[1], data.n_classes, train, _tensors(data.test(n_test), dtype))
    arrays, held_out = _read(data, study.training.loss)
    labels = [y for _, y in (arrays, held_out or arrays)]
    n_outputs = arrays[1].shape[1] if arrays[1].ndim == 2 else 1 + int(max(y.max() for y in labels))
    return Dataset(
        arrays[0].shape[1], n_outputs, _tensors(arrays, dtype), None if held_out is None else _tensors(held_out, dtype)
    )


def own_samples(study: Study, own: np.ndarray | None = None, side: int = 1) -> tuple[Tensor, Tensor]:
    """Training samples as `Sampled.train` draws them, a set for each of the seeds `own`; StudyError if a shift leaves too few."""
    data, dtype = study.data, getattr(torch, study.training.dtype)
    assert isinstance(data, Sampled)
    try:
        x, y = _tensors(data.train(own, side), dtype)
    except ValueError as error:
        raise StudyError(f"data.{error}") from None
    if isinstance(data, TeacherStudentData):
        teacher = _teacher(data, dtype)
        y = (y + teacher.architecture.to_torch(teacher.params)(x).detach()).to(dtype).double()
    return x, y


class TrainSets:
    """The training samples of a launch while it is planned, numbered as they come."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor]] = []
        self._count = 0
        self._known: dict[tuple[int, int], int] = {}  # by data set and side

    def of(self, study: Study, networks: pl.DataFrame, dataset: int, data: Dataset) -> np.ndarray:
        """The number of each network's training samples, `[n]`; those that are not there yet are added."""
        drawn, n = study.data if isinstance(study.data, Sampled) else None, len(networks)
        if data.train is None:
            return np.zeros(n, np.int64)
        if drawn is not None and drawn.shared < 1:
            return self._add(own_samples(study, networks["own_seed"].to_numpy())) + np.arange(n)
        x, y = data.train
        if (dataset, 1) not in self._known:
            self._known[dataset, 1] = self._add((x[None], y[None]))
        if drawn is None or not drawn.shift:
            return np.full(n, self._known[dataset, 1])
        if (dataset, -1) not in self._known:
            x, y = own_samples(study, side=-1)
            self._known[dataset, -1] = self._add((x[None], y[None]))
        return np.where(networks["side"].to_numpy() > 0, self._known[dataset, 1], self._known[dataset, -1])

    def _add(self, sets: tuple[Tensor, Tensor]) -> int:
        """Number of the first of these sets."""
        self._parts.append(sets)
        self._count += len(sets[0])
        return self._count - len(sets[0])

    def joined(self) -> tuple[Tensor, Tensor] | None:
        """All sets in the order of their numbers."""
        return (torch.cat([x for x, _ in self._parts]), torch.cat([y for _, y in self._parts])) if self._parts else None


def _tensors(samples: Arrays, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    x, y = (torch.from_numpy(np.array(array)) for array in samples)
    return x.to(dtype).double(), y.to(dtype).double() if y.is_floating_point() else y.long()


def _teacher(data: TeacherStudentData, dtype: torch.dtype) -> kernels.Teacher:
    architecture = data.teacher.build(data.inputs, data.outputs)
    if data.teacher.initialisation == "orthonormal":
        units = data.teacher.hidden[0]
        if units > data.inputs:
            raise StudyError(
                f"data.teacher.hidden: {units} orthonormal units need as many inputs, and data.inputs is {data.inputs}."
            )
        params = (
            torch.cat([torch.eye(units, data.inputs).flatten(), torch.ones(data.outputs * units)]).to(torch.float64)
            * data.teacher.scale
        )
    else:
        params = architecture.initial(1, data.teacher.seed, scale=data.teacher.scale, dtype=torch.float64)[0]
    return kernels.Teacher(architecture, params.to(dtype).double())


def _read(data: FileData, loss: str) -> tuple[Arrays, Arrays | None]:
    """The arrays of a .npz, checked: (x, y) and, if the file has them, (x_test, y_test)."""
    path = Path(data.path)
    if not path.is_file():
        raise StudyError(f"data.path: there is no file {path}.")
    if data.sha256 is not None and hashlib.sha256(path.read_bytes()).hexdigest() != data.sha256:
        raise StudyError(f"data.sha256: {path} is not the file that the study names; it has changed.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError):
        raise StudyError(
            f"data.path: {path} is not a .npz of plain number arrays, as numpy.savez writes them."
        ) from None
    known = {"x", "y", "x_test", "y_test"}
    if extra := sorted(set(arrays) - known):
        raise StudyError(f"data.path: {path} holds {extra[0]!r}; it may hold x, y, x_test and y_test.")
    for name in ("x", "y") + (("x_test", "y_test") if known & {"x_test", "y_test"} & set(arrays) else ()):
        if name not in arrays:
            raise StudyError(f"data.path: {path} has no array {name!r}.")
    train = _checked(arrays, "x", "y", loss)
    if "x_test" not in arrays:
        return train, None
    test = _checked(arrays, "x_test", "y_test", loss)
    for a, b, name in ((train[0], test[0], "x_test"), (train[1], test[1], "y_test")):
        if a.shape[1:] != b.shape[1:]:
            raise StudyError(
                f"data.{name} must have the columns of {name[0]}, {list(a.shape[1:])}, not {list(b.shape[1:])}."
            )
    return train, test


def _checked(arrays: dict[str, np.ndarray], name_x: str, name_y: str, loss: str) -> Arrays:
    x, y = arrays[name_x], arrays[name_y]
    if x.dtype.kind not in "fiu" or x.ndim != 2 or not x.size:
        raise StudyError(
            f"data.{name_x} must be numbers of shape [n_samples, n_inputs], not {x.dtype} {list(x.shape)}."
        )
    if not np.isfinite(x).all():
        raise StudyError(
            f"data.{name_x} must be finite; it has {np.count_nonzero(~np.isfinite(x))} values that are not."
        )
    if len(x) != len(y) if y.ndim else True:
        raise StudyError(f"data.{name_y} must have as many samples as {name_x}, {len(x)}, not shape {list(y.shape)}.")
    if loss == "mse":
        if y.dtype.kind != "f" or y.ndim != 2:
            raise StudyError(
                f"data.{name_y} must be floats of shape [n_samples, n_outputs] for loss 'mse', not {y.dtype} {list(y.shape)}."
            )
        if not np.isfinite(y).all():
            raise StudyError(
                f"data.{name_y} must be finite; it has {np.count_nonzero(~np.isfinite(y))} values that are not."
            )
    elif y.dtype.kind not in "iu" or y.ndim != 1 or y.min() < 0 or (name_y == "y" and y.max() < 1):
        raise StudyError(
            f"data.{name_y} must be class numbers 0, 1, … of shape [n_samples] for loss 'cross_entropy', not {y.dtype} "
            f"{list(y.shape)}" + (f" from {y.min()} to {y.max()}." if y.dtype.kind in "iu" and y.size else ".")
        )
    return x.astype(np.float64), y
