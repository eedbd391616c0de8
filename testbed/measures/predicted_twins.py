"""The population loss of students that were trained online, from their initial overlaps alone."""

from __future__ import annotations

import numpy as np

import theory
from testbed.columns import DEFINITIONS
from testbed.kinds import Extent, Predicted, Prediction, Work
from testbed.measures.predicted import lacks_two_layers, of_curve
from testbed.measures.predicted_population import lacks_moments
from testbed.pair_set import PairSet, layers
from testbed.sections.setting import Setting


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
        predicted = of_curve(twins.path(0), pairs.alphas.numpy())
        loss[rows] = predicted.loss
        barriers[rows] = predicted.barriers
    return Predicted(loss, barriers)


def _twin_students_lack(setting: Setting) -> str | None:
    """The order-parameter equations are of plain online SGD, one sample at a time, between erf committees."""
    if why := lacks_two_layers(setting):
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
    return unmet or lacks_moments(setting)


def _twin_students_work(extent: Extent) -> Work:
    """About as much as the population's moments, by theory's own route."""
    return Work(arrays=1e4 * extent.architecture.widths[1] ** 2)


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
