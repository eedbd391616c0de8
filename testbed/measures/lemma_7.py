"""Whether a lemma says that two committees are connected, decided on their trained weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.kinds import Column, Measure, Work
from testbed.pair_set import PairSet
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

ZERO = -1  # the axis of a unit whose weights are 0


def lemma_7(a: Tensor, b: Tensor, n_teacher: int, tolerance: float = 1e-3) -> Tensor:
    """Whether lemma 7 of Lin, Li & Wu (2024) says that two minima are connected, 1 or 0, `[n_pairs]`.

    NaN where an end is no minimum. a, b: first-layer weights `[n_pairs, width, n_inputs]` of students Σ_i relu(w_i·x)
    of the teacher Σ_{j ≤ M} relu(x_j), M = n_teacher. A trained row counts as on an axis, or as 0, but for
    `tolerance`.

    >>> import torch
    >>> first, second = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]]), torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> lemma_7(first, first, 2), lemma_7(first, second, 2)
    (tensor([1.], dtype=torch.float64), tensor([0.], dtype=torch.float64))
    """
    import torch

    axes_a, minimum_a = axes_of_units(a.double(), n_teacher, tolerance)
    axes_b, minimum_b = axes_of_units(b.double(), n_teacher, tolerance)
    same_or_zero = (axes_a == axes_b) | (axes_a == ZERO) | (axes_b == ZERO)
    connected = same_or_zero.all(1).double()
    return torch.where(minimum_a & minimum_b, connected, torch.nan)


def axes_of_units(weights: Tensor, n_teacher: int, tolerance: float) -> tuple[Tensor, Tensor]:
    """The input that each unit has grown along, or ZERO, `[n, width]`; and whether the network is a minimum, `[n]`."""
    import torch

    size, axis = weights.max(2)
    off_axis = weights.scatter(2, axis[:, :, None], 0.0).abs().amax(2)
    target = (torch.arange(weights.shape[2]) < n_teacher).double()
    sums_are_the_teachers = ((weights.sum(1) - target).abs() < tolerance).all(1)
    minimum = (off_axis < tolerance).all(1) & sums_are_the_teachers
    return torch.where(size > tolerance, axis, ZERO), minimum


def _compute(pairs: PairSet) -> dict[str, Tensor]:
    first_layers = [pairs.architecture.layers(end)[0][0] for end in (pairs.a, pairs.b)]
    n_teacher = 0 if pairs.teacher is None else pairs.teacher.architecture.widths[1]
    return {"lemma_7_connected": lemma_7(first_layers[0], first_layers[1], n_teacher)}


def _lacks(setting: Setting) -> str | None:
    """Teacher and students must be sums of relus without biases, the teacher's along the axes."""
    teacher = setting.teacher
    students = setting.architecture
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
    if right_teacher and right_students and setting.training.frozen_layers == (1,):
        return None
    return (
        "needs an orthonormal relu teacher, and relu students without biases whose second layer is frozen at 1: "
        "data.teacher.initialisation 'orthonormal', architecture.initialisation 'committee', "
        "training.frozen_layers = [1]"
    )


MEASURE = Measure(
    name="lemma_7",
    text="whether Lin, Li & Wu's lemma says that two committees are connected",
    columns=(
        Column(
            "lemma_7_connected",
            "1 if lemma 7 of Lin, Li & Wu (2024) says that the ends are connected, 0 if not, "
            "null where an end is no minimum",
            "share",
        ),
    ),
    compute=_compute,
    work=lambda extent: Work(arrays=extent.architecture.n_parameters),
    lacks=_lacks,
)
