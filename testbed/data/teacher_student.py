"""Teacher and student: Gaussian inputs, labelled by a fixed network."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

import kernels
from testbed.data.sampling import Arrays, Sampled, Seeds, normals
from testbed.section import ActivationName, Count, NotNegative, Section, Seed, Widths


class TeacherSpec(Section):
    """A fixed network: hidden widths, activation, biases, times `scale`.

    initialisation: `kaiming`, drawn by `Architecture.initial`; or `orthonormal`, one hidden layer whose units are the
        first coordinates and are added up (a soft committee machine), nothing random.
    """

    hidden: Widths
    activation: ActivationName = "relu"
    biases: bool = False
    initialisation: Literal["kaiming", "orthonormal"] = "kaiming"
    scale: NotNegative = 1.0
    seed: Seed = 0

    def build(self, n_inputs: int, n_outputs: int) -> kernels.Architecture:
        """The teacher's architecture.

        >>> TeacherSpec(hidden=(4,)).build(n_inputs=2, n_outputs=1).widths
        (2, 4, 1)
        """
        return kernels.Architecture((n_inputs, *self.hidden, n_outputs), self.activation, self.biases)

    @model_validator(mode="after")
    def _check(self) -> TeacherSpec:
        self.build(1, 1)
        if self.initialisation == "orthonormal" and (len(self.hidden) != 1 or self.biases):
            raise ValueError("initialisation 'orthonormal' is of one hidden layer without biases.")
        return self


class TeacherStudentData(Sampled):
    """x ~ N(0, I), y = teacher(x) + noise · N(0, I). n_train samples, or none when training is online."""

    kind: Literal["teacher_student"]
    inputs: Count
    outputs: Count = 1
    teacher: TeacherSpec
    noise: NotNegative = 0.0

    def draw(self, n: int, rule: int, seeds: Seeds) -> Arrays:
        """n inputs, and the noise of their labels.

        >>> teacher = TeacherSpec(hidden=(4,))
        >>> data = TeacherStudentData(kind="teacher_student", inputs=3, teacher=teacher, n_train=6)
        >>> data.train()[0].shape
        (6, 3)

        The teacher sees inputs rounded to the dtype of training, and adds its part there (`testbed.data.datasets`).
        """
        return normals(seeds[0], n, self.inputs), self.noise * normals(seeds[1], n, self.outputs)
