"""Which settings of a study go together. Sentences name the field and what would be right.

What a measure, an alignment or a prediction asks of a study stands with it, and is only put into a sentence here.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.alignment.registry import ALIGNMENTS
from testbed.data.file import FileData
from testbed.data.sampling import Sampled
from testbed.data.teacher_student import TeacherStudentData
from testbed.measures.permutations import MOST_UNITS
from testbed.measures.registry import MEASURES, PREDICTIONS
from testbed.sections.architecture import ArchitectureSpec
from testbed.sections.setting import Setting
from testbed.study.measure_section import MeasureSpec


def refusals(setting: Setting, measure: MeasureSpec) -> Iterator[str]:
    """A sentence for each way in which the sections of a study without vary do not fit each other."""
    yield from _of_samples(setting)
    yield from _of_siblings(setting)
    yield from _of_architecture(setting)
    yield from _of_permutations(setting, measure)
    yield from _of_alignments(setting, measure)
    yield from _of_measures(setting, measure)
    yield from _of_soups(setting, measure)
    yield from _of_predictions(setting, measure)


def _of_samples(setting: Setting) -> Iterator[str]:
    """Loss, batches and training set go with the data."""
    data = setting.data
    training = setting.training
    if isinstance(data, FileData):
        if training.online:
            yield "training.online needs data of kind 'teacher_student', not 'file'."
        return
    right_loss = "mse" if isinstance(data, TeacherStudentData) else "cross_entropy"
    if training.loss != right_loss:
        yield f"training.loss must be {right_loss!r} for data of kind {data.kind!r}, not {training.loss!r}."
    if training.online:
        yield from _of_online(setting)
    elif data.n_train is None:
        yield "data.n_train is missing: the number of training samples."
    elif training.batch_size is not None and training.sampling == "epoch" and training.batch_size > data.n_train:
        yield f"training.batch_size ({training.batch_size}) must be at most data.n_train ({data.n_train})."


def _of_online(setting: Setting) -> Iterator[str]:
    """Fresh samples at every step come from a teacher."""
    data = setting.data
    if not isinstance(data, TeacherStudentData):
        yield f"training.online needs data of kind 'teacher_student', not {data.kind!r}."
        return
    if data.n_train is not None or data.noise or data.shared != 1 or data.shift:
        yield ("training.online draws fresh samples without noise: leave out data.n_train, noise, shared and shift.")
    if setting.training.batch_size is None:
        yield "training.batch_size must be a number when training is online: there is no full batch."


def _of_siblings(setting: Setting) -> Iterator[str]:
    """Siblings have batches to differ in, and split before training ends."""
    training = setting.training
    ensemble = setting.ensemble
    if "siblings" not in ensemble.pairs:
        return
    if training.batch_size is None:
        yield (
            "ensemble.pairs: siblings differ in their data order alone, and a full batch has none: "
            "set training.batch_size."
        )
    if ensemble.spawn_step > training.steps:
        yield (f"ensemble.spawn_step ({ensemble.spawn_step}) must be at most training.steps ({training.steps}).")


def _of_architecture(setting: Setting) -> Iterator[str]:
    """What is frozen, pruned or leant is there, and each layer's rate."""
    architecture = setting.architecture
    training = setting.training
    n_layers = len(architecture.hidden) + 1
    if training.frozen_layers and max(training.frozen_layers) >= n_layers:
        yield (
            f"training.frozen_layers must be below {n_layers}, the number of affine layers, "
            f"not {max(training.frozen_layers)}."
        )
    if training.layer_rates and len(training.layer_rates) != n_layers:
        yield (
            f"training.layer_rates must be {n_layers} numbers, one for each affine layer, "
            f"not {len(training.layer_rates)}."
        )
    if setting.ensemble.start is not None:
        drawn = ("initialisation", "scale", "lean")
        default = ArchitectureSpec(hidden=())
        if changed := [name for name in drawn if getattr(architecture, name) != getattr(default, name)]:
            yield f"architecture.{changed[0]} is for networks that are drawn, and ensemble.from gives them; drop it."
    pruning = architecture.pruning
    if pruning is not None and pruning.rewind_step > training.steps:
        yield (
            f"architecture.pruning.rewind_step ({pruning.rewind_step}) must be at most "
            f"training.steps ({training.steps})."
        )
    if pruning is not None and not pruning.retrain and training.snapshot is not None:
        yield (
            "training.snapshot goes with architecture.pruning.retrain = true: networks that are left as they were "
            "pruned have no training to look into."
        )
    teacher = setting.teacher
    if architecture.lean and (teacher is None or teacher.hidden[:1] != architecture.hidden[:1]):
        yield (
            "architecture.lean needs data of kind 'teacher_student' whose teacher's first layer is as wide as "
            "the students'."
        )


def _of_permutations(setting: Setting, measure: MeasureSpec) -> Iterator[str]:
    """Students and teacher have one hidden layer each, of so few units that all orders can be tried."""
    if not measure.permutations:
        return
    teacher = setting.teacher
    if teacher is None:
        yield "measure.permutations needs a teacher, by whose units students' are told: data of kind 'teacher_student'."
        return
    layers = {"architecture.hidden": setting.architecture.hidden, "data.teacher.hidden": teacher.hidden}
    for field, hidden in layers.items():
        if len(hidden) != 1 or hidden[0] > MOST_UNITS:
            yield (
                f"measure.permutations needs one hidden layer of at most {MOST_UNITS} units in {field}, "
                f"not {list(hidden)}."
            )


def _of_alignments(setting: Setting, measure: MeasureSpec) -> Iterator[str]:
    if measure.alignment and not setting.architecture.hidden:
        yield "measure.alignment permutes hidden units: architecture.hidden is empty."
        return
    for name in measure.alignment:
        if why := ALIGNMENTS[name].lacks(setting):
            yield f"measure.alignment: {name!r} {why}."


def _of_measures(setting: Setting, measure: MeasureSpec) -> Iterator[str]:
    online = setting.training.online
    if measure.also and online:
        yield "measure.also needs a training set, and training.online has none."
    if measure.planes and online:
        yield "measure.planes draws the training loss, and training.online has none."
    for name in measure.also:
        if why := MEASURES[name].lacks(setting):
            yield f"measure.also: {name!r} {why}."


def _of_soups(setting: Setting, measure: MeasureSpec) -> Iterator[str]:
    """Averages are of two networks or more that learnt the same samples, by whose loss the greedy one chooses."""
    if not measure.soups:
        return
    if setting.training.online:
        yield "measure.soups chooses by the training loss, and training.online has none."
    if isinstance(setting.data, Sampled) and (setting.data.shared < 1 or setting.data.shift):
        yield "measure.soups averages networks that learnt the same samples: data.shared must be 1, data.shift 0."
    if setting.ensemble.families < 2:
        yield "measure.soups averages one network of each family: ensemble.families must be at least 2, not 1."


def _of_predictions(setting: Setting, measure: MeasureSpec) -> Iterator[str]:
    if measure.theory and len(measure.between) < len(measure.alphas):
        yield ("measure.alphas: theory speaks of paths from 0 to 1; leave out the alphas beyond, or measure.theory.")
    for name in measure.theory:
        if why := PREDICTIONS[name].lacks(setting):
            yield f"measure.theory: {name!r} needs {why}."
