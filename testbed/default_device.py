"""Whatever device a user has made the default (`torch.set_default_device("cuda")`), the testbed's own is the CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def on_cpu(function: Callable[P, R]) -> Callable[P, R]:
    """A function within which a tensor that is made without a device lies on the CPU, as without a default device.

    Not for what calls a user's own model or data loader, which may count on the default.

    >>> import torch
    >>> with torch.device("meta"):
    ...     print(torch.zeros(1).device, on_cpu(torch.zeros)(1).device)
    meta cpu
    """

    @wraps(function)
    def called(*args: P.args, **options: P.kwargs) -> R:
        import torch

        if torch.empty(0).device.type == "cpu":  # within `with`, every operation of torch takes twice as long
            return function(*args, **options)
        with torch.device("cpu"):
            return function(*args, **options)

    return called
