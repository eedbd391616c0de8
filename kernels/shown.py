"""How what holds arrays shows itself: in a line, by their shapes."""

from __future__ import annotations

import dataclasses
from typing import Any

FEW = 8  # elements of a tuple that are all written out


class Short:
    """Gives a dataclass a representation of one line.

    >>> import torch
    >>> from dataclasses import dataclass
    >>> @dataclass(repr=False)
    ... class Found(Short):
    ...     losses: torch.Tensor
    ...     steps: tuple
    >>> Found(torch.zeros(3, 2), tuple(range(100)))
    Found(losses: float32 [3, 2], steps: 0 … 99 (100))
    """

    def __repr__(self) -> str:
        """The name and value of every field; of arrays their type and shape, of long tuples the ends and the length."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        values = {field.name: getattr(self, field.name) for field in fields}
        inside = ", ".join(f"{name}: {_short(value)}" for name, value in values.items() if value is not None)
        return f"{type(self).__name__}({inside})"


def _short(value: Any) -> str:
    if hasattr(value, "dtype") and hasattr(value, "shape"):  # a tensor, or numpy's
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, tuple):
        if len(value) > FEW:
            return f"{_short(value[0])} … {_short(value[-1])} ({len(value)})"
        return f"({', '.join(map(_short, value))})"
    return repr(value)
