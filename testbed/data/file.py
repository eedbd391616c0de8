"""The user's own samples, from a .npz: read, and refused in a sentence where they cannot be used.

A file is not trusted: the headers of its arrays are read before their data, so that nothing is unpacked that is not
asked for, or that this machine has no room for.
"""

from __future__ import annotations

import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.lib import format as npy
from pydantic import model_validator

from testbed import memory
from testbed.data.sampling import Arrays
from testbed.errors import StudyError
from testbed.section import Section
from testbed.sha256 import sha256_of

NAMES = ("x", "y", "x_test", "y_test")
WORD = 8  # bytes of a number
COPIES = 4  # of an array in memory: as it is read, as float64, rounded to the dtype of training, and as float64 again
DAMAGE = (  # what zipfile and numpy raise of bytes that are no .npz
    ValueError,
    OSError,
    EOFError,
    KeyError,
    RuntimeError,  # encrypted, or NotImplementedError: a compression that zipfile lacks
    SyntaxError,
    struct.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)


class FileData(Section):
    """The user's own .npz: x `[n, n_inputs]`, y float `[n, n_outputs]` or class numbers `[n]`.

    It may hold x_test and y_test besides. Classes are numbered 0, 1, … without gaps.

    path: relative to the study's file. sha256: of the file; filled in when the study is loaded, checked if given.
    """

    kind: Literal["file"]
    path: str
    sha256: str | None = None

    @model_validator(mode="after")
    def _is_a_path(self) -> FileData:
        if "\0" in self.path:
            raise ValueError(f"path must be that of a file, not {self.path!r}.")
        return self


def read(data: FileData, loss: str) -> tuple[Arrays, Arrays | None]:
    """The arrays of a .npz: (x, y) and, if the file has them, (x_test, y_test); StudyError names what is wrong.

    x float64. loss: `mse` asks for y of floats `[n, n_outputs]`, `cross_entropy` for class numbers `[n]`.
    """
    arrays = _load(data)
    train = _checked(arrays, "x", "y", loss)
    if loss == "cross_entropy":
        _check_classes(arrays["y"])
    if "x_test" not in arrays:
        return train, None
    test = _checked(arrays, "x_test", "y_test", loss)
    for train_array, test_array, name in zip(train, test, ("x_test", "y_test"), strict=True):
        if train_array.shape[1:] != test_array.shape[1:]:
            raise StudyError(
                f"data.{name} must have the columns of {name[0]}, {list(train_array.shape[1:])}, "
                f"not {list(test_array.shape[1:])}."
            )
    largest = {name: arrays[name].max() for name in ("y", "y_test")}
    if loss == "cross_entropy" and largest["y_test"] > largest["y"]:
        raise StudyError(
            f"data.y_test has samples of class {largest['y_test']}, and y has none: its classes are 0 to "
            f"{largest['y']}."
        )
    return train, test


def sizes(data: FileData) -> tuple[int, int, int, int]:
    """Inputs, outputs, training and test samples, by the headers of the file alone; of classes ten outputs are assumed.

    StudyError names what is wrong.
    """
    with _opened(data) as (_, archive):
        shapes = {name.removesuffix(".npy"): _header(archive, name)[0] for name in archive.namelist()}
    x, y, x_test = shapes["x"], shapes["y"], shapes.get("x_test", (0,))
    n_inputs = x[1] if len(x) > 1 else 1
    n_outputs = y[1] if len(y) > 1 else 10
    return max(n_inputs, 1), max(n_outputs, 1), x[0] if x else 0, x_test[0] if x_test else 0


def _load(data: FileData) -> dict[str, np.ndarray]:
    """The arrays of the file by name: x and y, and either both or none of x_test and y_test."""
    if data.sha256 is not None and Path(data.path).is_file() and sha256_of(data.path) != data.sha256:
        raise StudyError(f"data.sha256: {data.path} is not the file that the study names; it has changed.")
    with _opened(data) as (path, archive):
        _check_room(path, archive)
        return {name.removesuffix(".npy"): _read(archive, name) for name in archive.namelist()}


@contextmanager
def _opened(data: FileData) -> Iterator[tuple[Path, zipfile.ZipFile]]:
    """The file, which has the right names; StudyError if it is not there, or if what is read of it is no .npz."""
    path = Path(data.path)
    try:
        if not path.is_file():
            raise StudyError(f"data.path: there is no file {path}.")
    except OSError as error:  # too long a name
        raise StudyError(f"data.path: {error}.") from None
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(path, [name.removesuffix(".npy") for name in archive.namelist()])
            yield path, archive
    except (StudyError, PermissionError):
        raise
    except DAMAGE:
        raise StudyError(
            f"data.path: {path} is not a .npz of plain number arrays, as numpy.savez writes them."
        ) from None


def _check_names(path: Path, names: list[str]) -> None:
    """StudyError unless a file holds what it must, and nothing else."""
    if extra := sorted(set(names) - set(NAMES)):
        raise StudyError(f"data.path: {path} holds {extra[0]!r}; it may hold x, y, x_test and y_test.")
    has_test = bool({"x_test", "y_test"} & set(names))
    for name in NAMES if has_test else ("x", "y"):
        if name not in names:
            raise StudyError(f"data.path: {path} has no array {name!r}.")


def _check_room(path: Path, archive: zipfile.ZipFile) -> None:
    """StudyError where the arrays, as their headers have them, are more than this machine has room for."""
    size = 0
    for name in archive.namelist():
        shape, dtype = _header(archive, name)
        size += math.prod(shape) * max(dtype.itemsize, WORD)
    if COPIES * size > memory.limit():
        raise StudyError(
            f"data.path: the arrays of {path} need about {memory.readable(COPIES * size)}, and this machine has "
            f"{memory.readable(memory.limit())}; give fewer samples."
        )


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array in the .npy format; ValueError if it is none of plain numbers."""
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    with archive.open(name) as member:
        shape, _, dtype = readers[npy.read_magic(member)](member)
    if dtype.hasobject:
        raise ValueError("objects are no numbers.")
    return shape, dtype


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """An array, in the byte order of this machine."""
    with archive.open(name) as member:
        array = npy.read_array(member, allow_pickle=False)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _checked(arrays: dict[str, np.ndarray], name_x: str, name_y: str, loss: str) -> Arrays:
    """Inputs and outputs as float64, class numbers as int64, of these names."""
    x = arrays[name_x]
    y = arrays[name_y]
    if x.dtype.kind not in "fiu" or x.ndim != 2 or not x.size:
        raise StudyError(
            f"data.{name_x} must be numbers of shape [n_samples, n_inputs], not {x.dtype} {list(x.shape)}."
        )
    if y.ndim == 0 or len(x) != len(y):
        raise StudyError(f"data.{name_y} must have as many samples as {name_x}, {len(x)}, not shape {list(y.shape)}.")
    if loss == "mse":
        if y.dtype.kind != "f" or y.ndim != 2 or not y.size:
            raise StudyError(
                f"data.{name_y} must be floats of shape [n_samples, n_outputs] for loss 'mse', "
                f"not {y.dtype} {list(y.shape)}."
            )
        return _finite(name_x, x), _finite(name_y, y)
    if y.dtype.kind not in "iu" or y.ndim != 1 or y.min() < 0 or (name_y == "y" and y.max() < 1):
        span = f" from {y.min()} to {y.max()}" if y.dtype.kind in "iu" and y.size else ""
        raise StudyError(
            f"data.{name_y} must be class numbers 0, 1, … of shape [n_samples] for loss 'cross_entropy', "
            f"not {y.dtype} {list(y.shape)}{span}."
        )
    return _finite(name_x, x), y.astype(np.int64)


def _check_classes(y: np.ndarray) -> None:
    """StudyError where a class below the largest has no sample: an output that nothing is trained to be."""
    classes = np.unique(y)
    if len(classes) <= classes[-1]:
        first = int(np.flatnonzero(classes != np.arange(len(classes)))[0])
        raise StudyError(
            f"data.y must number its classes 0, 1, … without gaps: it holds {len(classes)} classes up to "
            f"{classes[-1]}, and class {first} has no sample. numpy.unique(y, return_inverse=True)[1] numbers them."
        )


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    """As float64; StudyError where some are not finite."""
    with np.errstate(over="ignore"):
        converted = values.astype(np.float64)
    wrong = np.count_nonzero(~np.isfinite(converted))
    if wrong:
        raise StudyError(f"data.{name} must be finite; it has {wrong} values that are not.")
    return converted
