"""The user's own samples, from a .npz: read, and refused in a sentence where they cannot be used."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from testbed.data.sampling import Arrays
from testbed.errors import StudyError
from testbed.section import Section


class FileData(Section):
    """The user's own .npz: x `[n, n_inputs]`, y float `[n, n_outputs]` or class numbers `[n]`.

    It may hold x_test and y_test besides.

    path: relative to the study's file. sha256: of the file; filled in when the study is loaded, checked if given.
    """

    kind: Literal["file"]
    path: str
    sha256: str | None = None


def read(data: FileData, loss: str) -> tuple[Arrays, Arrays | None]:
    """The arrays of a .npz: (x, y) and, if the file has them, (x_test, y_test); StudyError names what is wrong.

    loss: `mse` asks for y of floats `[n, n_outputs]`, `cross_entropy` for class numbers `[n]`.
    """
    arrays = _load(data)
    train = _checked(arrays, "x", "y", loss)
    if "x_test" not in arrays:
        return train, None
    test = _checked(arrays, "x_test", "y_test", loss)
    for train_array, test_array, name in zip(train, test, ("x_test", "y_test"), strict=True):
        if train_array.shape[1:] != test_array.shape[1:]:
            raise StudyError(
                f"data.{name} must have the columns of {name[0]}, {list(train_array.shape[1:])}, "
                f"not {list(test_array.shape[1:])}."
            )
    return train, test


def _load(data: FileData) -> dict[str, np.ndarray]:
    """The arrays of the file by name: x and y, and either both or none of x_test and y_test."""
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
    has_test = bool({"x_test", "y_test"} & set(arrays))
    for name in ("x", "y", "x_test", "y_test") if has_test else ("x", "y"):
        if name not in arrays:
            raise StudyError(f"data.path: {path} has no array {name!r}.")
    return arrays


def _checked(arrays: dict[str, np.ndarray], name_x: str, name_y: str, loss: str) -> Arrays:
    """Inputs as float64 and labels, of these names."""
    x = arrays[name_x]
    y = arrays[name_y]
    if x.dtype.kind not in "fiu" or x.ndim != 2 or not x.size:
        raise StudyError(
            f"data.{name_x} must be numbers of shape [n_samples, n_inputs], not {x.dtype} {list(x.shape)}."
        )
    _check_finite(name_x, x)
    if y.ndim == 0 or len(x) != len(y):
        raise StudyError(f"data.{name_y} must have as many samples as {name_x}, {len(x)}, not shape {list(y.shape)}.")
    if loss == "mse":
        if y.dtype.kind != "f" or y.ndim != 2:
            raise StudyError(
                f"data.{name_y} must be floats of shape [n_samples, n_outputs] for loss 'mse', "
                f"not {y.dtype} {list(y.shape)}."
            )
        _check_finite(name_y, y)
    elif y.dtype.kind not in "iu" or y.ndim != 1 or y.min() < 0 or (name_y == "y" and y.max() < 1):
        span = f" from {y.min()} to {y.max()}" if y.dtype.kind in "iu" and y.size else ""
        raise StudyError(
            f"data.{name_y} must be class numbers 0, 1, … of shape [n_samples] for loss 'cross_entropy', "
            f"not {y.dtype} {list(y.shape)}{span}."
        )
    return x.astype(np.float64), y


def _check_finite(name: str, values: np.ndarray) -> None:
    wrong = np.count_nonzero(~np.isfinite(values))
    if wrong:
        raise StudyError(f"data.{name} must be finite; it has {wrong} values that are not.")
