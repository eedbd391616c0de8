"""Which settings of a study go together, and what each theory asks of it. Sentences name the field and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import kernels
import theory
from testbed.alignment.matching import MOST_CHOICES, ODD, RESCALED, n_choices
from testbed.measures.permutations import MOST_UNITS
from testbed.sections.spec import FileData, TeacherStudentData

if TYPE_CHECKING:
    from testbed.study.study import Study


def check(study: Study) -> None:
    """ValueError where the sections of a study without vary do not fit each other."""
    data, training, ensemble, measure = study.data, study.training, study.ensemble, study.measure
    regression = isinstance(data, TeacherStudentData)
    if not isinstance(data, FileData):
        if regression != (training.loss == "mse"):
            right = "mse" if regression else "cross_entropy"
            raise ValueError(f"training.loss must be {right!r} for data of kind {data.kind!r}, not {training.loss!r}.")
        n_train = data.n_train
        if training.online:
            if not isinstance(data, TeacherStudentData):
                raise ValueError(f"training.online needs data of kind 'teacher_student', not {data.kind!r}.")
            if n_train is not None or data.noise or data.shared != 1 or data.shift:
                raise ValueError(
                    "training.online draws fresh samples without noise: leave out data.n_train, noise, shared and shift."
                )
            if training.batch_size is None:
                raise ValueError(
                    "training.batch_size must be a number when training is online: there is no full batch."
                )
        elif n_train is None:
            raise ValueError("data.n_train is missing: the number of training samples.")
        elif training.batch_size is not None and training.sampling == "epoch" and training.batch_size > n_train:
            raise ValueError(f"training.batch_size ({training.batch_size}) must be at most data.n_train ({n_train}).")
    elif training.online:
        raise ValueError("training.online needs data of kind 'teacher_student', not 'file'.")
    if "siblings" in ensemble.pairs:
        if training.batch_size is None:
            raise ValueError(
                "ensemble.pairs: siblings differ in their data order alone, and a full batch has none: set training.batch_size."
            )
        if ensemble.spawn_step > training.steps:
            raise ValueError(
                f"ensemble.spawn_step ({ensemble.spawn_step}) must be at most training.steps ({training.steps})."
            )
    layers = len(study.architecture.hidden) + 1
    if training.frozen_layers and max(training.frozen_layers) >= layers:
        raise ValueError(
            f"training.frozen_layers must be below {layers}, the number of affine layers, not {max(training.frozen_layers)}."
        )
    pruning = study.architecture.pruning
    if pruning is not None and pruning.rewind_step > training.steps:
        raise ValueError(
            f"architecture.pruning.rewind_step ({pruning.rewind_step}) must be at most training.steps ({training.steps})."
        )
    if study.architecture.lean and (
        not isinstance(data, TeacherStudentData) or data.teacher.hidden[:1] != study.architecture.hidden[:1]
    ):
        raise ValueError(
            "architecture.lean needs data of kind 'teacher_student' whose teacher's first layer is as wide as the students'."
        )
    if measure.permutations:
        units = list(study.architecture.hidden)
        if (
            not isinstance(data, TeacherStudentData)
            or list(data.teacher.hidden) != units
            or len(units) != 1
            or units[0] > MOST_UNITS
        ):
            raise ValueError(
                f"measure.permutations needs one hidden layer of at most {MOST_UNITS} units, and as many in data.teacher."
            )
    if measure.alignment and not study.architecture.hidden:
        raise ValueError("measure.alignment permutes hidden units: architecture.hidden is empty.")
    if training.online and (asked := {"activations", "exhaustive"} & set(measure.alignment)):
        raise ValueError(f"measure.alignment: {min(asked)!r} needs a training set, and training.online has none.")
    if "exhaustive" in measure.alignment and (n := _n_choices(study)) > MOST_CHOICES:
        raise ValueError(
            f"measure.alignment: 'exhaustive' takes at most {MOST_CHOICES:,} permutations (with signs), and these widths have {n:,}."
        )
    if asked := {"canonical", "canonical_weights"} & set(measure.alignment):
        architecture = study.architecture
        if architecture.activation not in RESCALED or architecture.normalise or architecture.residual:
            raise ValueError(
                f"measure.alignment: {min(asked)!r} rescales units, which {', '.join(RESCALED)} allow, without normalise and residual."
            )
    if measure.also and training.online:
        raise ValueError("measure.also needs a training set, and training.online has none.")
    if "temperature" in measure.also and training.loss != "cross_entropy":
        raise ValueError("measure.also: 'temperature' needs training.loss 'cross_entropy'.")
    if "features" in measure.also and (study.architecture.normalise or study.architecture.residual):
        raise ValueError(
            "measure.also: 'features' needs networks without architecture.normalise and architecture.residual."
        )
    if "lemma_7" in measure.also and not _committees(study):
        raise ValueError(
            "measure.also: 'lemma_7' needs an orthonormal relu teacher, and relu students without biases whose second layer is frozen at 1: "
            "data.teacher.initialisation 'orthonormal', architecture.initialisation 'committee', training.frozen_layers = [1]."
        )
    sharing = "connectivity 'convolutional'" if study.architecture.connectivity == "convolutional" else "tied"
    if (chains := {"bend", "star"} & set(measure.also)) and (sharing != "tied" or study.architecture.tied is not None):
        raise ValueError(
            f"measure.also: {min(chains)!r} trains a point whose weights are its own; architecture.{sharing} shares them."
        )
    if measure.planes and training.online:
        raise ValueError("measure.planes draws the training loss, and training.online has none.")
    if "star" in measure.also and study.ensemble.n_networks < 4:
        raise ValueError(
            f"measure.also: 'star' trains a centre to half of the networks of a cell and tests it on the others: {study.ensemble.n_networks} are "
            "too few, raise ensemble.families."
        )
    if measure.theory and len(measure.between) < len(measure.alphas):
        raise ValueError(
            "measure.alphas: theory speaks of paths from 0 to 1; leave out the alphas beyond, or measure.theory."
        )
    for name in measure.theory:
        if why := _lacks(study, name):
            raise ValueError(f"measure.theory: {name!r} needs {why}.")


def _committees(study: Study) -> bool:
    """Whether teacher and students are sums of relus that lemma 7 is about."""
    data, students = study.data, study.architecture
    teacher = data.teacher if isinstance(data, TeacherStudentData) else None
    right_teacher = (
        teacher is not None
        and teacher.initialisation == "orthonormal"
        and teacher.activation == "relu"
        and teacher.scale == 1
    )
    right_students = (
        students.initialisation == "committee"
        and students.activation == "relu"
        and not students.biases
        and len(students.hidden) == 1
    )
    return right_teacher and right_students and study.training.frozen_layers == (1,)


def _n_choices(study: Study) -> int:
    architecture = study.architecture.build_hidden()
    return n_choices(architecture, signs=architecture.activation in ODD and not architecture.normalise)


def _lacks(study: Study, name: str) -> str | None:
    """The condition of a theory that a study does not meet, as the end of a sentence."""
    data, architecture = study.data, study.architecture
    if study.training.loss != "mse":
        return "training.loss 'mse'"
    if architecture.normalise:
        return "networks without architecture.normalise"
    if len(architecture.hidden) != 1:
        return f"one hidden layer, not architecture.hidden = {list(architecture.hidden)}"
    if name == "exact_training":
        if architecture.activation not in ("relu", "leaky_relu", "identity"):
            return f"a piecewise linear activation (relu, leaky_relu, identity), not {architecture.activation!r}"
        if getattr(data, "shared", 1.0) != 1:
            return "one training set for all pairs, data.shared = 1"
        return "a training set, and training.online has none" if study.training.online else None
    if name == "twin_students" and (why := _no_twins(study)):
        return why
    if not isinstance(data, TeacherStudentData):
        return f"Gaussian inputs and a teacher, data of kind 'teacher_student', not {data.kind!r}"
    if len(data.teacher.hidden) != 1:
        return f"a teacher with one hidden layer, not data.teacher.hidden = {list(data.teacher.hidden)}"
    one = [(np.ones((1, 1, 1)), None)] * 2
    try:
        theory.population_path(one, one, one, architecture.activation, teacher_activation=data.teacher.activation)
    except ValueError as error:
        return f"activations whose Gaussian moments are known: {str(error).rstrip('.')}"
    slope = kernels.Architecture((1, 1)).negative_slope
    if architecture.activation == data.teacher.activation == "leaky_relu" and architecture.negative_slope != slope:
        return f"the teacher's slope, architecture.negative_slope = {slope}, not {architecture.negative_slope}"
    return None


def _no_twins(study: Study) -> str | None:
    """What a study lacks for the order-parameter equations of online learning, as the end of a sentence."""
    data, architecture, training = study.data, study.architecture, study.training
    teacher = data.teacher if isinstance(data, TeacherStudentData) else None
    plain = training.optimizer.kind == "sgd" and not training.optimizer.momentum and not training.optimizer.weight_decay
    needs = {
        "training.online = true": training.online,
        "training.clock = 'inputs'": training.clock == "inputs",
        "training.batch_size = 1": training.batch_size == 1,
        "training.optimizer 'sgd' without momentum and weight decay": plain,
        "architecture.activation 'erf'": architecture.activation == "erf",
        "data.teacher.activation 'erf'": teacher is not None and teacher.activation == "erf",
        "networks and a teacher without biases": not architecture.biases
        and not (teacher is not None and teacher.biases),
        "fully connected networks whose layers all learn at one rate": not architecture.sparse
        and architecture.tied is None
        and not training.frozen
        and not training.frozen_layers
        and study.ensemble.rate_factor == 1,
        "training without clip_norm and stop_below": training.clip_norm is None and training.stop_below is None,
        "one output": getattr(data, "outputs", 1) == 1,
    }
    return next((need for need, met in needs.items() if not met), None)
