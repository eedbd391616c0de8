"""The sections of a study that say what is trained: all that a measure, an alignment or a prediction may ask about."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.data.families import DataSpec
from testbed.data.sampling import Sampled
from testbed.data.teacher_student import TeacherSpec, TeacherStudentData
from testbed.sections.architecture import ArchitectureSpec
from testbed.sections.ensemble import EnsembleSpec
from testbed.sections.training import TrainingSpec


@dataclass(frozen=True)
class Setting:
    """Data, architecture, training and ensemble of one cell of a study."""

    data: DataSpec
    architecture: ArchitectureSpec
    training: TrainingSpec
    ensemble: EnsembleSpec

    @property
    def teacher(self) -> TeacherSpec | None:
        """The network that labels the samples, where one does."""
        return self.data.teacher if isinstance(self.data, TeacherStudentData) else None

    @property
    def one_training_set(self) -> bool:
        """Whether all networks are trained on the same samples, or on one set for each side of a shift."""
        return not isinstance(self.data, Sampled) or self.data.shared == 1
