"""The curves that theory predicts, their compiled twins, and what each asks of a study."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

import kernels
import theory
from kernels.native import missing, piecewise
from kernels.native import population as native_population
from testbed.columns import DEFINITIONS
from testbed.kinds import Extent, Predicted, Prediction, Twin, Work
from testbed.measures.twin_check import ONE_IN
from testbed.pair_set import PairSet, layers
from testbed.sections.setting import Setting
from theory.population.activations import known_activation
from theory.structure.output_expansion import DERIVATIVES

if TYPE_CHECKING:
    from torch import Tensor

EXPANDED = tuple(DERIVATIVES)  # activations
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
    return _of_curve(population_curve(pairs), pairs.alphas.numpy())


def exact_training(pairs: PairSet) -> Predicted:
    """The training loss as a piecewise polynomial, on the samples of both ends; these are one set but for a shift.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> a, b = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> pairs = PairSet.of(architecture, a, b, (torch.ones(8, 2), torch.ones(8, 1)), alphas=5)
    >>> exact_training(pairs).loss.shape, exact_training(pairs).barriers.shape
    (torch.Size([4, 5]), torch.Size([4, 4, 2]))
    """
    import torch

    alphas = pairs.alphas.numpy()
    slope = piecewise.SLOPES.get(pairs.architecture.activation, pairs.architecture.negative_slope)
    loss = torch.empty(len(pairs), len(alphas), dtype=torch.float64)
    barriers = torch.empty(len(pairs), len(DEFINITIONS), 2, dtype=torch.float64)
    for rows, x, y in _by_training_samples(pairs):
        a, b = pairs[rows].ends
        exact = theory.piecewise_barriers(a, b, x, y, alphas, negative_slope=slope, n_threads=1)
        loss[rows] = torch.from_numpy(exact.losses)
        barriers[rows] = _stacked([exact.barriers[definition] for definition in DEFINITIONS])
    return Predicted(loss, barriers)


def _by_training_samples(pairs: PairSet) -> Iterator[tuple[Tensor, np.ndarray, np.ndarray]]:
    """The rows of pairs with the same training sets, and the samples of these, x `[n, n_inputs]` and y."""
    import torch

    train = pairs.training_samples
    sets = torch.stack([train.set_a, train.set_b], 1).numpy()
    different, number = np.unique(sets, axis=0, return_inverse=True)
    for k, (set_a, set_b) in enumerate(different.tolist()):
        chosen = [set_a] if set_a == set_b else [set_a, set_b]
        x, y = (samples[chosen].flatten(0, 1).numpy() for samples in train.sets)
        yield torch.from_numpy(np.flatnonzero(number == k)), x, y


def expanded(pairs: PairSet, order: int) -> Predicted:
    """The training loss with the outputs to this order along the path, on the samples of both ends.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 3, 1), "identity")
    >>> a, b = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> pairs = PairSet.of(architecture, a, b, (torch.ones(8, 2), torch.ones(8, 1)), alphas=5)
    >>> expanded(pairs, order=1).loss.shape
    torch.Size([4, 5])
    """
    import torch

    alphas = pairs.alphas.numpy()
    loss = torch.empty(len(pairs), len(alphas), dtype=torch.float64)
    barriers = torch.empty(len(pairs), len(DEFINITIONS), 2, dtype=torch.float64)
    for rows, x, y in _by_training_samples(pairs):
        a, b = pairs[rows].ends
        predicted = _of_curve(theory.expanded_path(a, b, x, y, pairs.architecture.activation, order), alphas)
        loss[rows] = predicted.loss
        barriers[rows] = predicted.barriers
    return Predicted(loss, barriers)


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


def compiled_exact_training(pairs: PairSet) -> Predicted:
    """`exact_training` by the compiled kernel.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> a, b = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> pairs = PairSet.of(architecture, a, b, (torch.ones(8, 2), torch.ones(8, 1)), alphas=5)
    >>> not _takes_exact_training(pairs) or torch.allclose(
    ...     compiled_exact_training(pairs).barriers[..., 0], exact_training(pairs).barriers[..., 0], atol=1e-12)
    True
    """
    import torch

    train = pairs.training_samples
    found = piecewise.piecewise_losses(
        pairs.architecture,
        pairs.a.cpu(),
        pairs.b.cpu(),
        *train.sets,
        pairs.alphas,
        torch.stack([train.set_a, train.set_b], 1).numpy(),
    )
    return Predicted(found.losses, found.barriers)


def _takes_population(pairs: PairSet) -> bool:
    if pairs.backend == "reference" or missing() or pairs.teacher is None:
        return False
    return not native_population.lacks(pairs.architecture, pairs.teacher.architecture)


def _takes_exact_training(pairs: PairSet) -> bool:
    return pairs.backend != "reference" and not missing() and not piecewise.lacks(pairs.architecture)


def twin_students(pairs: PairSet) -> Predicted:
    """The order-parameter equations from the pairs' initial networks, for the pairs of a group at once."""
    import torch

    start = pairs.start
    if start is None or pairs.test is None:
        raise ValueError("twin_students follows pairs from their initial networks: they must have been trained online.")
    loss = torch.empty(len(pairs), len(pairs.alphas), dtype=torch.float64)
    barriers = torch.empty(len(pairs), len(DEFINITIONS), 2, dtype=torch.float64)
    for group in np.unique(start.group):
        rows = torch.from_numpy(np.flatnonzero(start.group == group))
        some = pairs[rows]
        assert some.start is not None
        rate = float(some.start.learning_rate[0])
        twins = theory.twin_students(
            layers(pairs.architecture, some.start.a),
            layers(pairs.architecture, some.start.b),
            [(weight[0], None) for weight, _ in some.teacher_layers],
            [float(some.start.duration[0])],
            learning_rate=rate,
            output_rate=rate,
            spawn_time=float(some.start.spawn_time[0]),
        )
        predicted = _of_curve(twins.path(0), pairs.alphas.numpy())
        loss[rows] = predicted.loss
        barriers[rows] = predicted.barriers
    return Predicted(loss, barriers)


def _of_curve(curve: theory.Curve, alphas: np.ndarray) -> Predicted:
    import torch

    barriers = [curve.barrier(definition) for definition in DEFINITIONS]
    return Predicted(torch.from_numpy(curve(alphas)), _stacked(barriers))


def _stacked(barriers: Sequence[theory.Barrier]) -> Tensor:
    """Value and argmax under each definition, `[n_pairs, 4, 2]`."""
    import torch

    by_definition = [np.stack([barrier.value, barrier.argmax], 1) for barrier in barriers]
    return torch.from_numpy(np.stack(by_definition, 1))


def _lacks_two_layers(setting: Setting) -> str | None:
    """What all predictions ask for, as the end of a sentence that says what is needed."""
    if setting.training.loss != "mse":
        return "training.loss 'mse'"
    if setting.architecture.normalise:
        return "networks without architecture.normalise"
    if len(setting.architecture.hidden) != 1:
        return f"one hidden layer, not architecture.hidden = {list(setting.architecture.hidden)}"
    return None


def _exact_training_lacks(setting: Setting) -> str | None:
    if why := _lacks_two_layers(setting):
        return why
    activation = setting.architecture.activation
    if activation not in ("relu", "leaky_relu", "identity"):
        return f"a piecewise linear activation (relu, leaky_relu, identity), not {activation!r}"
    if not setting.one_training_set:
        return "one training set for all pairs, data.shared = 1"
    return "a training set, and training.online has none" if setting.training.online else None


def _expanded_lacks(setting: Setting) -> str | None:
    architecture = setting.architecture
    needs = {
        "training.loss 'mse'": setting.training.loss == "mse",
        "a training set, and training.online has none": not setting.training.online,
        "networks without architecture.normalise and architecture.residual": not (
            architecture.normalise or architecture.residual
        ),
        f"an activation of {', '.join(EXPANDED)}": architecture.activation in EXPANDED,
    }
    return next((need for need, met in needs.items() if not met), None)


def _population_lacks(setting: Setting) -> str | None:
    if why := _lacks_two_layers(setting):
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


def _twin_students_lack(setting: Setting) -> str | None:
    """The order-parameter equations are of plain online SGD, one sample at a time, between erf committees."""
    if why := _lacks_two_layers(setting):
        return why
    training = setting.training
    students = setting.architecture
    teacher = setting.teacher
    optimizer = training.optimizer
    plain_sgd = optimizer.kind == "sgd" and not optimizer.momentum and not optimizer.weight_decay
    fully_connected = not students.sparse and students.tied is None
    one_rate = not (training.frozen or training.frozen_layers or training.layer_rates)
    one_rate = one_rate and setting.ensemble.rate_factor == 1
    needs = {
        "training.online = true": training.online,
        "training.clock = 'inputs'": training.clock == "inputs",
        "training.batch_size = 1": training.batch_size == 1,
        "training.optimizer 'sgd' without momentum and weight decay": plain_sgd,
        "architecture.activation 'erf'": students.activation == "erf",
        "data.teacher.activation 'erf'": teacher is not None and teacher.activation == "erf",
        "networks and a teacher without biases": not students.biases and not (teacher is not None and teacher.biases),
        "fully connected networks whose layers all learn at one rate": fully_connected and one_rate,
        "training without clip_norm and stop_below": training.clip_norm is None and training.stop_below is None,
        "one output": getattr(setting.data, "outputs", 1) == 1,
    }
    unmet = next((need for need, met in needs.items() if not met), None)
    return unmet or _population_lacks(setting)


def _population_work(extent: Extent) -> Work:
    """About 10⁴ moments, of pairs of hidden units, for each alpha; of a sample where the kernel has the rest."""
    of_theory = Work(arrays=1e4 * extent.architecture.widths[1] ** 2)
    compiled = not missing() and extent.architecture.activation in native_population.ACTIVATIONS
    return _shared(of_theory, Work(kernels=4e3 * extent.architecture.widths[1] ** 2), compiled)


def _expanded_work(extent: Extent) -> Work:
    """Three passes, of a value and two derivatives each."""
    return Work(arrays=9 * extent.step)


def _exact_training_work(extent: Extent) -> Work:
    """Each of a path's pieces, about one for every sample and unit, has a polynomial of its own."""
    of_theory = Work(arrays=50.0 * extent.n_train * extent.architecture.n_parameters)
    compiled = not missing() and not piecewise.lacks(extent.architecture)
    return _shared(of_theory, Work(kernels=100.0 * extent.step), compiled)


def _shared(of_theory: Work, of_kernel: Work, compiled: bool) -> Work:
    """What is left of theory's work where a compiled twin predicts, and theory a sample of the pairs."""
    return Work(kernels=of_kernel.kernels, arrays=of_theory.arrays / ONE_IN) if compiled else of_theory


def _twin_students_work(extent: Extent) -> Work:
    """About as much as the population's moments, by theory's own route."""
    return Work(arrays=1e4 * extent.architecture.widths[1] ** 2)


POPULATION = Prediction(
    name="population",
    text="the exact population loss (Gaussian moments)",
    curve="exact expected loss over x ~ N(0, I), labels without noise",
    source="of the exact population loss (Gaussian moments)",
    predict=population,
    work=_population_work,
    lacks=_population_lacks,
    twin=Twin(_takes_population, compiled_population, tolerance=2 * TOLERANCE),
)
EXACT_TRAINING = Prediction(
    name="exact_training",
    text="the exact training loss (piecewise polynomial)",
    curve="training loss from the exact piecewise polynomial",
    source="of the exact training loss (piecewise polynomial), maximum over all of [0, 1]",
    predict=exact_training,
    work=_exact_training_work,
    lacks=_exact_training_lacks,
    twin=Twin(_takes_exact_training, compiled_exact_training, tolerance=0.0),
)
LAZY = Prediction(
    name="lazy",
    text="the training loss of networks that are linear in their parameters between the ends (the lazy limit, mse)",
    curve="training loss with outputs that are linear along the path",
    source="in the lazy limit, outputs linear along the path: never above 0",
    predict=lambda pairs: expanded(pairs, order=1),
    work=_expanded_work,
    lacks=_expanded_lacks,
)
QUADRATIC = Prediction(
    name="quadratic",
    text="the training loss of networks that are quadratic in their parameters between the ends, from the outputs' "
    "second derivative at the midpoint (mse)",
    curve="training loss with outputs that are quadratic along the path, their curvature that at the midpoint",
    source="with outputs quadratic along the path, their curvature that at the midpoint",
    predict=lambda pairs: expanded(pairs, order=2),
    work=_expanded_work,
    lacks=_expanded_lacks,
)
TWIN_STUDENTS = Prediction(
    name="twin_students",
    text="the order-parameter equations of online learning, from the initial overlaps",
    curve="population loss predicted by the order-parameter equations of online learning",
    source="predicted from the initial overlaps by the order-parameter equations of online learning, "
    "infinitely many inputs",
    predict=twin_students,
    work=_twin_students_work,
    lacks=_twin_students_lack,
    apart=False,  # the pairs of a group follow one solution
)
