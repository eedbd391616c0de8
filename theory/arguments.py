"""Numbers as arguments: the checks that all results share. Every refusal names the argument."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

SYMMETRY_TOLERANCE = 1e-12  # of the largest entry: what a product X Xᵀ may be asymmetric by through rounding


def finite(name: str, value: ArrayLike) -> Array:
    """`value` as a float64 array that holds finite numbers only.

    Args:
        name: what the caller calls the value, for the error message.
        value: numbers of any shape.

    Raises:
        ValueError: `value` is no array of real numbers (a ragged list, complex numbers, a tensor that torch keeps
            gradients of), or holds a NaN or an infinity.

    Example:
        >>> finite("x", [1, 2])
        array([1., 2.])
        >>> finite("x", [1, float("nan")])
        Traceback (most recent call last):
        ValueError: x holds 1 non-finite numbers of 2; drop diverged networks first
    """
    array = real(name, value)
    if not np.isfinite(array).all():
        n_bad = int(np.size(array) - np.isfinite(array).sum())
        raise ValueError(f"{name} holds {n_bad} non-finite numbers of {array.size}; drop diverged networks first")
    return array


def real(name: str, value: ArrayLike) -> Array:
    """`value` as a float64 array; errors as `finite`, which refuses NaNs and infinities besides.

    Example:
        >>> real("x", ["one"])
        Traceback (most recent call last):
        ValueError: x is no array of real numbers: it is of type <U3
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind in "cSU":
            raise TypeError(f"it is of type {array.dtype}")
        return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:  # torch's, of a tensor with gradients, is a RuntimeError
        raise ValueError(f"{name} is no array of real numbers: {str(error).splitlines()[0]}") from error


def number(name: str, value: ArrayLike) -> float:
    """`value` as one finite number.

    Raises:
        ValueError: it is an array of several, none, or not finite.

    Example:
        >>> number("tol", [0.1, 0.2])
        Traceback (most recent call last):
        ValueError: tol has shape (2,); give one number
    """
    array = finite(name, value)
    if array.ndim:
        raise ValueError(f"{name} has shape {array.shape}; give one number")
    return float(array)


def is_whole(value: float) -> bool:
    """Whether a number is whole.

    Example:
        >>> is_whole(2.0), is_whole(2.5), is_whole(float("nan"))
        (True, False, False)
    """
    return bool(np.isfinite(value)) and value == int(value)


def classes(name: str, value: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """`value` as an array of classes, whole numbers from 0 to n_classes − 1.

    Raises:
        ValueError: it holds another number.

    Example:
        >>> classes("labels", [0.0, 1.0], 2)
        array([0, 1])
        >>> classes("labels", [2], 2)
        Traceback (most recent call last):
        ValueError: labels holds numbers that are no class; outputs have 2 classes, numbered from 0
    """
    array = finite(name, value)
    if ((array != np.floor(array)) | (array < 0) | (array >= n_classes)).any():
        raise ValueError(f"{name} holds numbers that are no class; outputs have {n_classes} classes, numbered from 0")
    return array.astype(np.int64)


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """`name`, if it is one of `names`.

    Raises:
        ValueError: it is not; the message names the nearest known name, and all of them.

    Example:
        >>> known("loss", "mse", ("mse", "cross_entropy"))
        'mse'
        >>> known("loss", "mze", ("mse", "cross_entropy"))
        Traceback (most recent call last):
        ValueError: loss 'mze' is not known; did you mean 'mse'? known are 'mse', 'cross_entropy'
    """
    names = list(names)
    if name in names:
        return name
    nearest = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise ValueError(f"{kind} {name!r} is not known; {hint}known are {', '.join(map(repr, names))}")


def together(**arrays: Array) -> tuple[Array, ...]:
    """The arrays, broadcast.

    Raises:
        ValueError: they do not broadcast; the message has their names and shapes.

    Example:
        >>> together(mean=np.zeros(2), variance=np.ones(3))
        Traceback (most recent call last):
        ValueError: shapes do not broadcast: mean (2,), variance (3,)
    """
    try:
        return tuple(np.broadcast_arrays(*arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"shapes do not broadcast: {shapes}") from None


def check_symmetric(name: str, matrix: Array) -> None:
    """ValueError unless a square matrix is symmetric, to `SYMMETRY_TOLERANCE`.

    Example:
        >>> check_symmetric("hessian", np.array([[1.0, 2.0], [0.0, 1.0]]))
        Traceback (most recent call last):
        ValueError: hessian is not symmetric: entries differ from their mirror images by up to 2
    """
    asymmetry = np.abs(matrix - matrix.T).max(initial=0.0)
    if asymmetry > SYMMETRY_TOLERANCE * np.abs(matrix).max(initial=0.0):
        raise ValueError(f"{name} is not symmetric: entries differ from their mirror images by up to {asymmetry:.3g}")
