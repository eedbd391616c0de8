"""What every table of a study is built on: a frozen section, checked when it is made, and its kinds of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

import kernels
from kernels.training import LOSSES, SAMPLING, SCHEDULES

Count: TypeAlias = Annotated[int, Field(ge=1)]
Step: TypeAlias = Annotated[int, Field(ge=0)]
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Widths: TypeAlias = Annotated[tuple[Count, ...], Field(strict=False)]
if TYPE_CHECKING:  # words of the kernels' own lists
    ActivationName: TypeAlias = str
    LossName: TypeAlias = str
    SamplingName: TypeAlias = str
    ScheduleName: TypeAlias = str
else:
    ActivationName = Literal[kernels.ACTIVATIONS]
    LossName = Literal[LOSSES]
    SamplingName = Literal[SAMPLING]
    ScheduleName = Literal[SCHEDULES]


class Section(BaseModel):
    """A table of a study: unknown keys and values of the wrong type are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)
