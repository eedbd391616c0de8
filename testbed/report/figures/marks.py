"""How pairs and paths look in every figure: colours, markers and names. Those of paths are read off the registries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl

from testbed.alignment.registry import ALIGNMENTS
from testbed.kinds import Mark
from testbed.measures.registry import MEASURES

COLORS = {"independent": "C1", "siblings": "C0"}
MARKERS = {"independent": "o", "siblings": "s"}
PAIRS = {"independent": "independent pairs", "siblings": "sibling pairs"}
POINTS: dict[str, Any] = {"s": 5, "alpha": 0.4, "lw": 0, "rasterized": True}
AS_TRAINED = Mark("o", "as trained")
LIGHTEST = 0.6  # of viridis, which goes on to a yellow that nobody sees on white


def aligned_paths() -> dict[str, Mark]:
    """The mark of each alignment, by the path's name in columns.

    >>> aligned_paths()["weights"].label
    'after weight matching'
    """
    return {name: alignment.mark for name, alignment in ALIGNMENTS.items()}


def other_paths() -> dict[str, Mark]:
    """The mark of each measure that is of another path than the straight one, by the path's name in columns.

    >>> other_paths()["bend"].label
    'over a trained bend'
    """
    return {measure.path: measure.mark for measure in MEASURES.values() if measure.mark is not None}


def color_of(level: int, levels: Sequence[object]) -> Any:
    """The colour of one of the levels of a factor, from dark to light in their order.

    The lightest has a contrast of 3 to white, and more where a dark page shows figures inverted.
    """
    return mpl.colormaps["viridis"](level / max(len(levels) - 1, 1) * LIGHTEST)


def plain(level: object) -> str:
    r"""A level or a name as figures show it: a dollar sign is one, and begins no formula.

    >>> print(plain("$x$"))
    \$x\$
    """
    return str(level).replace("$", r"\$")
