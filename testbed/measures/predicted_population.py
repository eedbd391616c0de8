"""The exact population loss along the paths, by theory and by its compiled twin."""

from __future__ import annotations

import kernels
import theory
from kernels.native import missing
from kernels.native import population as native_population
from testbed.kinds import Extent, Predicted, Prediction, Twin, Work
from testbed.measures.predicted import lacks_two_layers, of_curve, shared
from testbed.pair_set import PairSet
from testbed.sections.setting import Setting
from theory.population.activations import known_activation

TOLERANCE = 1e-4  # of the population loss, far below what sampling can tell; 1e-6 would take half as long again


def population_curve(pairs: PairSet) -> theory.Curve:
    """The exact population loss along the paths, each with its own teacher (Gaussian moments)."""
    assert pairs.teacher is not None
    students = pairs.architecture
    teacher = pairs.teacher.architecture
    a, b = pairs.ends
    return theory.population_path(
        a,
        b,
        pairs.teacher_layers,
        students.activation,
        teacher_activation=teacher.activation,
        negative_slope=students.negative_slope if students.activation == "leaky_relu" else teacher.negative_slope,
        tol=TOLERANCE,
    )


def population(pairs: PairSet) -> Predicted:
    """The population loss at the alphas, and its barriers."""
    return of_curve(population_curve(pairs), pairs.alphas.numpy())


def compiled_population(pairs: PairSet) -> Predicted:
    """`population` by the compiled kernel."""
    assert pairs.teacher is not None and pairs.test is not None
    found = native_population.population_losses(
        pairs.architecture,
        pairs.a.cpu(),
        pairs.b.cpu(),
        pairs.teacher,
        pairs.alphas,
        TOLERANCE,
        pairs.test.dataset.numpy(),
    )
    return Predicted(found.losses, found.barriers)


def _takes_population(pairs: PairSet) -> bool:
    if pairs.backend == "reference" or missing() or pairs.teacher is None:
        return False
    return not native_population.lacks(pairs.architecture, pairs.teacher.architecture)


def lacks_moments(setting: Setting) -> str | None:
    """What a setting would need for the exact population loss, as a refusal says it; None: nothing is missing."""
    if why := lacks_two_layers(setting):
        return why
    teacher = setting.teacher
    students = setting.architecture
    if teacher is None:
        return f"Gaussian inputs and a teacher, data of kind 'teacher_student', not {setting.data.kind!r}"
    if len(teacher.hidden) != 1:
        return f"a teacher with one hidden layer, not data.teacher.hidden = {list(teacher.hidden)}"
    try:
        known_activation(students.activation)
        known_activation(teacher.activation, "teacher_activation")
    except ValueError as error:
        return f"activations whose Gaussian moments are known: {str(error).rstrip('.')}"
    slope = kernels.Architecture((1, 1)).negative_slope
    if students.activation == teacher.activation == "leaky_relu" and students.negative_slope != slope:
        return f"the teacher's slope, architecture.negative_slope = {slope}, not {students.negative_slope}"
    return None


def _population_work(extent: Extent) -> Work:
    """About 10⁴ moments, of pairs of hidden units, for each alpha; of a sample where the kernel has the rest."""
    of_theory = Work(arrays=1e4 * extent.architecture.widths[1] ** 2)
    compiled = not missing() and extent.architecture.activation in native_population.ACTIVATIONS
    return shared(of_theory, Work(kernels=4e3 * extent.architecture.widths[1] ** 2), compiled)


POPULATION = Prediction(
    name="population",
    text="the exact population loss (Gaussian moments)",
    curve="exact expected loss over x ~ N(0, I), labels without noise",
    source="of the exact population loss (Gaussian moments)",
    predict=population,
    work=_population_work,
    lacks=lacks_moments,
    twin=Twin(_takes_population, compiled_population, tolerance=2 * TOLERANCE),
)
