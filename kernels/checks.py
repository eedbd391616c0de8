"""Checks of arguments.

Each raises ValueError with a sentence that names the field, what was found and what would be right. torch is imported
where there are tensors: a study is read, and refused, without it.
"""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from typing_extensions import TypeIs

MOST_WHOLE = 2**63 - 1


class Refused(ValueError):
    """Several things that are wrong: a sentence of `args` for each.

    >>> str(Refused("steps must be at least 0.", "loss must be 'mse'."))
    "steps must be at least 0. loss must be 'mse'."
    """

    def __str__(self) -> str:
        return " ".join(self.args)


def sentences_of(error: Exception) -> list[str]:
    """What an error says: several things if its `args` are several sentences.

    >>> sentences_of(Refused("Too few.", "Too late.")), sentences_of(ValueError("Too few."))
    (['Too few.', 'Too late.'], ['Too few.'])
    """
    are_sentences = bool(error.args) and all(isinstance(part, str) for part in error.args)
    return list(error.args) if are_sentences else [str(error)]


@contextmanager
def together() -> Iterator[Callable[..., None]]:
    """Checks that are all made before any of them is raised.

    >>> with together() as check:
    ...     check(whole, "steps", -1)
    ...     check(whole, "batch_size", 0, least=1)
    Traceback (most recent call last):
    kernels.checks.Refused: steps must be a whole number of at least 0, not -1. batch_size must be a whole number of \
at least 1, not 0.
    """
    sentences: list[str] = []

    def check(function: Callable[..., object], *arguments: Any, **options: Any) -> None:
        try:
            function(*arguments, **options)
        except ValueError as error:
            sentences.extend(sentences_of(error))

    yield check
    if sentences:
        raise ValueError(*sentences) if len(sentences) == 1 else Refused(*sentences)


def is_tensor(value: Any) -> TypeIs[Tensor]:
    """Whether a value is a tensor, without importing torch: before it is imported there are none.

    >>> is_tensor(np.zeros(2))
    False
    """
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def described(value: Any) -> str:
    """What a value is, in a few words of an error.

    >>> import torch
    >>> described(torch.zeros(2, 3)), described("fast"), described(np.zeros(2)), described([1] * 99)
    ('torch.float32 [2, 3]', "'fast'", 'float64 [2]', 'a list')
    """
    if is_tensor(value) or isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    text = repr(value)
    plain = len(text) <= 80 and "\n" not in text and not text.startswith("<")
    return text if plain else f"a {type(value).__name__}"


def instance(field: str, value: Any, kind: type, example: str) -> None:
    """`value` is of this kind.

    >>> instance("schedule", "cosine", dict, "{}")
    Traceback (most recent call last):
    ValueError: schedule must be a dict, such as {}, not 'cosine'.
    """
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ValueError(f"{field} must be {article} {kind.__name__}, such as {example}, not {described(value)}.")


def listed(field: str, value: Any) -> list[Any]:
    """What an array or anything else that can be gone through holds.

    >>> listed("widths", np.array([2, 16, 1]))
    [2, 16, 1]
    >>> listed("widths", 3)
    Traceback (most recent call last):
    ValueError: widths must be a list, not 3.
    """
    if is_tensor(value) or isinstance(value, np.ndarray):
        value = numbers(field, value).tolist()
    if not isinstance(value, Iterable) or isinstance(value, str):
        raise ValueError(f"{field} must be a list, not {described(value)}.")
    return list(value)


def numbers(field: str, value: Any) -> Tensor:
    """`value` as a tensor of real numbers, without a gradient: a tensor, an array of numpy's kind, or nested lists.

    Memory is shared where that is possible. Numbers of lists become float64 or int64.

    >>> numbers("x", np.ones((1, 2), ">f4")), numbers("alphas", [0, 1])
    (tensor([[1., 1.]]), tensor([0, 1]))
    >>> numbers("x", [[1, 2], [3]])
    Traceback (most recent call last):
    ValueError: x must be a tensor, an array or lists of real numbers, not [[1, 2], [3]].
    """
    import torch

    array = None if is_tensor(value) else _plain_array(value)
    tensor = value.detach() if is_tensor(value) else None if array is None else torch.from_numpy(array)
    usable = tensor is not None and not (tensor.is_complex() or tensor.is_meta or tensor.is_nested)
    if tensor is None or not usable or tensor.layout is not torch.strided:
        raise ValueError(f"{field} must be a tensor, an array or lists of real numbers, not {described(value)}.")
    if tensor.dtype not in (torch.uint16, torch.uint32, torch.uint64):  # torch can hardly compute in these
        return tensor
    signed = tensor.to(torch.int64)
    if tensor.dtype is torch.uint64 and bool((signed < 0).any()):
        raise ValueError(f"{field} must be below 2^63.")
    return signed


def _plain_array(value: Any) -> np.ndarray | None:
    """What numpy makes of a value, as torch takes it; None unless all are real numbers of 64 bits at most."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError, OverflowError):
        return None
    masks = sys.modules.get("numpy.ma")  # which takes a while to import; before, nothing is masked
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8 or (masks is not None and masks.is_masked(value)):
        return None
    # torch takes one name of each size, the machine's byte order, rising places in memory, and what may be written to
    kind = np.dtype(bool) if array.dtype.kind == "b" else np.dtype(f"{array.dtype.kind}{array.dtype.itemsize}")
    return np.require(array, kind, ["C", "W"])


def whole(field: str, value: Any, least: int = 0) -> int:
    """`value` as an int of at least `least`.

    >>> whole("steps", 3)
    3
    >>> whole("steps", 2.5)
    Traceback (most recent call last):
    ValueError: steps must be a whole number of at least 0, not 2.5.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{field} must be a whole number of at least {least}, not {described(value)}.")
    if int(value) > MOST_WHOLE:
        raise ValueError(f"{field} must be below 2^63, not {described(value)}.")
    return int(value)


def number(field: str, value: Any, least: float = -np.inf, below: float = np.inf) -> None:
    """`value` is one finite number of at least `least` and less than `below`.

    >>> number("label_smoothing", 1.5, least=0, below=1)
    Traceback (most recent call last):
    ValueError: label_smoothing must lie in [0, 1), not 1.5.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{field} must be a number, not {described(value)}.")
    if below < np.inf and not least <= float(value) < below:
        raise ValueError(f"{field} must lie in [{least:g}, {below:g}), not {value}.")
    finite(field, value, least)


def true_or_false(field: str, value: Any) -> None:
    """`value` is a bool.

    >>> true_or_false("biases", 1)
    Traceback (most recent call last):
    ValueError: biases must be true or false, not 1.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{field} must be true or false, not {described(value)}.")


def nearest(field: str, value: Any, known: Iterable[str]) -> str:
    """`value` if it is one of `known`; else the sentence suggests the nearest.

    >>> nearest("loss", "msee", ("mse", "cross_entropy"))
    Traceback (most recent call last):
    ValueError: loss must be one of mse, cross_entropy, not 'msee'. Did you mean 'mse'?
    """
    known = tuple(known)
    if isinstance(value, str) and value in known:
        return value
    close = difflib.get_close_matches(value, known, 1) if isinstance(value, str) else []
    hint = f" Did you mean {close[0]!r}?" if close else ""
    names = ", ".join(name or "''" for name in known)
    raise ValueError(f"{field} must be one of {names}, not {described(value)}.{hint}")


def finite(field: str, value: Any, least: float = -np.inf) -> None:
    """Every number of `value` (a number, an array or a tensor) is finite and at least `least`.

    >>> finite("lr", [0.1, -0.1], least=0)
    Traceback (most recent call last):
    ValueError: lr must be at least 0, not -0.1.
    """
    if type(value) is float and math.isfinite(value) and value >= least:
        return  # what most calls give, without an array
    if not (is_tensor(value) or isinstance(value, Real | np.ndarray | list | tuple)) or isinstance(value, bool):
        raise ValueError(f"{field} must be a number or one number per network, not {described(value)}.")
    array = _as_array(field, value)
    if not np.isfinite(array).all():
        raise ValueError(f"{field} must be finite.")
    if (array < least).any():
        raise ValueError(f"{field} must be at least {least:g}, not {array.min():g}.")


def all_finite(tensor: Tensor) -> bool:
    """Whether no number of a tensor is infinite or NaN: its ends tell, and torch finds these in one operation.

    >>> import torch
    >>> all_finite(torch.tensor([1.0, 2.0])), all_finite(torch.tensor([1.0, float("nan")])), all_finite(torch.ones(0))
    (True, False, True)
    """
    return not tensor.numel() or all(math.isfinite(end) for end in tensor.aminmax())


def least_of(field: str, value: Any) -> float:
    """The least number of `value`, a number, an array or a tensor.

    >>> least_of("momentum", [0.9, 0.5])
    0.5
    """
    return float(_as_array(field, value).min(initial=np.inf))


def _as_array(field: str, value: Any) -> np.ndarray:
    """`value` as float64; torch is needed for tensors alone, and for the sentence about what has no numbers."""
    plain = None if is_tensor(value) else _plain_array(value)
    return numbers(field, value).double().cpu().numpy() if plain is None else plain.astype(np.float64)


def per_network(field: str, value: Any, n_networks: int, dtype: torch.dtype) -> Tensor:
    """`value`, one number or one per network, as a contiguous CPU tensor `[n_networks]`.

    >>> import torch
    >>> per_network("lr", 0.5, 3, torch.float64)
    tensor([0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """
    import torch

    if isinstance(value, float) and dtype.is_floating_point:
        return torch.full((n_networks,), value, dtype=torch.float64, device="cpu").to(dtype)
    tensor = numbers(field, value).cpu()
    if not dtype.is_floating_point and (tensor.is_floating_point() or tensor.dtype is torch.bool):
        raise ValueError(f"{field} must be whole numbers, not {tensor.dtype}.")
    if tensor.shape not in ((), (n_networks,)):
        raise ValueError(
            f"{field} must be one number or have shape [{n_networks}] (one per network), not {list(tensor.shape)}."
        )
    return tensor.to(dtype).expand(n_networks).contiguous()
