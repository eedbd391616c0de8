"""Checks of arguments.

Each raises ValueError with a sentence that names the field, what was found and what would be right.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor


def whole(field: str, value: Any, least: int = 0) -> int:
    """`value` as an int of at least `least`.

    >>> whole("steps", 3)
    3
    >>> whole("steps", 2.5)
    Traceback (most recent call last):
    ValueError: steps must be a whole number of at least 0, not 2.5.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{field} must be a whole number of at least {least}, not {value!r}.")
    return int(value)


def nearest(field: str, value: Any, known: Iterable[str]) -> str:
    """`value` if it is one of `known`; else the sentence suggests the nearest.

    >>> nearest("loss", "msee", ("mse", "cross_entropy"))
    Traceback (most recent call last):
    ValueError: loss must be one of mse, cross_entropy, not 'msee'. Did you mean 'mse'?
    """
    known = tuple(known)
    if value in known:
        return str(value)
    close = difflib.get_close_matches(str(value), known, 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(f"{field} must be one of {', '.join(known)}, not {value!r}.{hint}")


def finite(field: str, value: Any, least: float = -np.inf) -> None:
    """Every number of `value` (a number, an array or a tensor) is finite and at least `least`.

    >>> finite("lr", [0.1, -0.1], least=0)
    Traceback (most recent call last):
    ValueError: lr must be at least 0, not -0.1.
    """
    if isinstance(value, bool) or not isinstance(value, Real | Tensor | np.ndarray | list | tuple):
        raise ValueError(f"{field} must be a number or one number per network, not {value!r}.")
    tensor = torch.as_tensor(value)
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{field} must be finite.")
    if bool((tensor < least).any()):
        raise ValueError(f"{field} must be at least {least:g}, not {tensor.min().item():g}.")


def per_network(field: str, value: Any, n_networks: int, dtype: torch.dtype) -> Tensor:
    """`value`, one number or one per network, as a contiguous CPU tensor `[n_networks]`.

    >>> per_network("lr", 0.5, 3, torch.float64)
    tensor([0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """
    # through numpy, where 0.1 is a double and not torch's default float
    tensor = (value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))).detach().cpu()
    if not dtype.is_floating_point and (tensor.is_floating_point() or tensor.dtype is torch.bool):
        raise ValueError(f"{field} must be whole numbers, not {tensor.dtype}.")
    if tensor.shape not in ((), (n_networks,)):
        raise ValueError(
            f"{field} must be one number or have shape [{n_networks}] (one per network), not {list(tensor.shape)}."
        )
    return tensor.to(dtype).expand(n_networks).contiguous()
