"""How what holds arrays shows itself: with the first and last of their numbers."""

from __future__ import annotations

import dataclasses

import numpy as np

FEW = 8  # numbers of an array that are all written out


class Short:
    """Gives a dataclass a representation whose length does not grow with its arrays.

    Example:
        >>> from theory import Barrier
        >>> len(repr(Barrier("linear", np.arange(1000.0), np.full(1000, 0.5)))) < 150
        True
    """

    def __repr__(self) -> str:
        """Every field by name that is not None; of long arrays the first two and the last two."""
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        with np.printoptions(threshold=FEW, edgeitems=2):
            parts = [f"{f.name}={value!r}" for f in fields if (value := getattr(self, f.name)) is not None]
        return f"{type(self).__name__}({', '.join(parts)})"
