"""What a study measures: its choices are read off the registries of measures, alignments and predictions."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from testbed.alignment.registry import ALIGNMENTS
from testbed.measures.registry import MEASURES, PREDICTIONS
from testbed.section import Section

MOST_ALPHAS = 10_001
if TYPE_CHECKING:
    MeasureName: TypeAlias = str
    AlignmentName: TypeAlias = str
    PredictionName: TypeAlias = str
else:
    MeasureName = Literal[tuple(MEASURES)]
    AlignmentName = Literal[tuple(ALIGNMENTS)]
    PredictionName = Literal[tuple(PREDICTIONS)]


def _alphas(value: Any) -> Any:
    """A count n as n evenly spaced numbers; a list is checked."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 3:
            raise ValueError(f"alphas must be at least 3 points, such as 25, not {value}.")
        if value > MOST_ALPHAS:
            raise ValueError(f"alphas must be at most {MOST_ALPHAS:,} points, such as 25, not {value:,}.")
        return tuple(i / (value - 1) for i in range(value))
    if not isinstance(value, list | tuple) or any(isinstance(a, bool) or not isinstance(a, int | float) for a in value):
        raise ValueError(f"alphas must be a count, such as 25, or a list of numbers, not {value!r}.")
    if any(not math.isfinite(a) for a in value):
        raise ValueError(f"alphas must be finite, not {value!r}.")
    if 0 not in value or 1 not in value:
        raise ValueError("alphas must hold 0 and 1, the endpoints: every barrier is measured from them.")
    if sorted(set(value)) != list(value) or not any(0 < a < 1 for a in value):
        raise ValueError("alphas must rise strictly, with at least one number between 0 and 1.")
    return tuple(float(a) for a in value)


class MeasureSpec(Section):
    """Where on the path, on how many test samples, and what analysis is held against it.

    alphas: a count of evenly spaced points from 0 to 1 (an odd one holds α = ½), or a list, which may go on past the
        ends: curves are then measured there too, barriers always between 0 and 1.
    permutations: also whether the two students of a pair have specialised to different permutations of the teacher's
        units; where one side has more units, to different maps of all of its units onto all of the other's.
    planes: so many pictures of the training loss on the plane through A, B and C, a pair of every so many cells; C is B
        after the first alignment, or a third network.
    soups: also averages of each cell's networks (one of each family, 64 at most), of all and of a greedy choice, as
        trained and after those alignments that bring many networks into one frame: reference, cycle, canonical.
    """

    alphas: Annotated[tuple[float, ...], BeforeValidator(_alphas)] = 25  # type: ignore[assignment]
    test_samples: Annotated[int, Field(ge=2)] = 16384
    theory: Annotated[tuple[PredictionName, ...], Field(strict=False)] = ()
    permutations: bool = False
    alignment: Annotated[tuple[AlignmentName, ...], Field(strict=False)] = ()
    also: Annotated[tuple[MeasureName, ...], Field(strict=False)] = ()
    planes: Annotated[int, Field(ge=0, le=6)] = 0
    soups: bool = False

    @property
    def between(self) -> tuple[float, ...]:
        """The alphas from 0 to 1."""
        return tuple(alpha for alpha in self.alphas if 0 <= alpha <= 1)


def _choices(heading: str, texts: dict[str, str]) -> str:
    """A paragraph of a docstring: what each choice of a field means."""
    lines = [f"    {heading}"]
    for name, text in texts.items():
        lines += textwrap.wrap(f"`{name}`: {text}.", 112, initial_indent=" " * 8, subsequent_indent=" " * 12)
    return "\n".join(lines)


MeasureSpec.__doc__ = "\n".join(
    [
        (MeasureSpec.__doc__ or "").rstrip(),
        _choices(
            "theory: curves that are predicted from the parameters.",
            {name: prediction.text for name, prediction in PREDICTIONS.items()},
        ),
        _choices(
            "alignment: every path also after the ends were brought near each other.",
            {name: alignment.text for name, alignment in ALIGNMENTS.items()},
        ),
        _choices(
            "also: on the training samples.",
            {name: measure.text for name, measure in MEASURES.items()},
        ),
        "    ",
    ]
)
