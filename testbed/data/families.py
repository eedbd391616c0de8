"""The data families that a study may name as `data.kind`. A new one is a class, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias, Union

from pydantic import Field

from testbed.data import structured, tasks
from testbed.data.digits import DigitsData
from testbed.data.file import FileData
from testbed.data.sampling import Sampled
from testbed.data.teacher_student import TeacherStudentData

FAMILIES = (
    TeacherStudentData,
    tasks.GaussianMixtureData,
    tasks.SpiralsData,
    tasks.CirclesData,
    tasks.MoonsData,
    tasks.XorData,
    tasks.ParityData,
    structured.HierarchicalData,
    structured.HiddenManifoldData,
    structured.DynamicSignalData,
    tasks.RebasinCounterexampleData,
    DigitsData,
    FileData,
)

if TYPE_CHECKING:  # to a type checker, what all families have in common
    DataSpec: TypeAlias = Sampled | FileData
else:
    DataSpec = Annotated[Union[FAMILIES], Field(discriminator="kind")]  # noqa: UP007
