"""Twin students: the loss barrier between two online learners, predicted by ordinary differential equations.

Online SGD on fresh x ~ N(0, I_d): two students f_S(x) = Σ_k v_k g(w_k·x), g(u) = erf(u/√2), learn from a teacher f*(x) = Σ_m a_m g(w*_m·x)
by steps on ½ (f_S − f*)² with rate η/d for first layers and η_v/d for second ones. As d → ∞ at t = steps/d, the overlaps of
all weight vectors, the Gram matrix G [n, n] of (students A's units, B's units, the teacher's), follow (Saad & Solla 1995, eqs. 5 – 7;
second layers: Riegler & Biehl 1995)

    dG_ij/dt = η (F_ij + F_ji) + η² [i and j see one sample] v_i v_j E[g′(x_i) g′(x_j) Δ_i Δ_j]
    F_ij     = v_i E[g′(x_i) Δ_i x_j] for i a student's unit, 0 for the teacher's
    dv_i/dt  = η_v E[g(x_i) Δ_i]

with Δ_i = f* − f of i's own student and averages from `averages`. Students that share their samples until `spawn_time` see one
sample until then; afterwards the overlap of the two students has no η² term (Miyoshi, Hara & Okada 2004 for ensembles of perceptrons).
The straight path between the students has order parameters that are polynomials of G, so its population loss, and the barrier, are
functions of t. Siblings start alike; independent students start from their own overlaps, and share nothing (spawn_time 0).

Holds for d → ∞, erf, two layers, one output, no biases. For relu the η² average is not known in closed form: refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from theory.curves.smooth_curve import SmoothCurve
from theory.layers import Array, CheckedLayers, Layers, check_layers, check_pairs, finite
from theory.online.averages import four_point, three_point
from theory.population.bivariate_normal import GaussianPair
from theory.population.erf_moments import erf_moment
from theory.population.loss import population_path


@dataclass(frozen=True)
class TwinStudents:
    """The solution of `twin_students`.

    times    [n_times]                  steps / d
    overlaps [n_times, n_pairs, n, n]   Gram matrix of A's units, B's, the teacher's; n = 2 width + teacher width
    outputs  [n_times, n_pairs, 2, width]  second layers v of A and B
    teacher_outputs [teacher width]
    """

    times: Array
    overlaps: Array
    outputs: Array
    teacher_outputs: Array

    def path(self, time: int) -> SmoothCurve:
        """The population loss between the two students of every pair at times[time]: exact for these overlaps."""
        width = self.outputs.shape[-1]
        values, vectors = np.linalg.eigh(self.overlaps[time])
        weights = (
            vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        )  # any vectors with these overlaps have this loss
        student = [
            [(weights[:, side * width : (side + 1) * width], None), (self.outputs[time, :, side, None, :], None)]
            for side in (0, 1)
        ]
        teacher_outputs = np.broadcast_to(self.teacher_outputs, (len(weights), 1, len(self.teacher_outputs)))
        return population_path(
            student[0], student[1], [(weights[:, 2 * width :], None), (teacher_outputs, None)], "erf"
        )

    def losses(self) -> Array:
        """Population losses of A and B, [n_times, n_pairs, 2]."""
        return np.stack([self.path(i).endpoints for i in range(len(self.times))])

    def barriers(self, definition: str = "linear") -> Array:
        """B(t), [n_times, n_pairs], under one of `BARRIER_DEFINITIONS`."""
        return np.stack([self.path(i).barrier(definition).value for i in range(len(self.times))])


def twin_students(
    a: Layers,
    b: Layers,
    teacher: Layers,
    times: ArrayLike,
    *,
    learning_rate: float,
    output_rate: float = 0.0,
    spawn_time: float = 0.0,
    activation: str = "erf",
    tolerance: float = 1e-9,
) -> TwinStudents:
    """Solve the equations above from the students a and b at t = 0.

    a, b          W_1 [n_pairs, width, n_inputs], W_2 [n_pairs, 1, width], no biases; siblings start alike. Only overlaps matter:
                  vectors of any length that have the wanted ones will do
    teacher       the same with its own width, one for all pairs
    times         [n_times], increasing, t = steps/d ≥ 0
    learning_rate η (the step of a first layer is η/d); output_rate η_v, 0 for second layers that do not learn
    spawn_time    t_s: the students see the same samples before it and independent ones after
    tolerance     relative, of the integrator (absolute: a hundredth of it)

    ValueError where a condition does not hold; ArithmeticError if the solution leaves every bound (a rate beyond the stable ones).
    """
    if activation != "erf":
        raise ValueError(
            f"activation {activation!r}: twin students need erf, whose η² average is known in closed form; no other's is here"
        )
    first, second, n_pairs = check_pairs(a, b, 2)
    target = check_layers(teacher, "teacher", 2)
    for name, layers in (("a", first), ("b", second), ("teacher", target)):
        _committee(name, layers)
    if len(target[0][0]) != 1 or len(target[1][0]) != 1:
        raise ValueError("teacher holds several networks; give one for all pairs")
    if target[0][0].shape[2] != first[0][0].shape[2]:
        raise ValueError(
            f"teacher takes {target[0][0].shape[2]} inputs and the students {first[0][0].shape[2]}; they must be equal"
        )
    grid = finite("times", times)
    if grid.ndim != 1 or len(grid) == 0 or grid[0] < 0 or (np.diff(grid) <= 0).any():
        raise ValueError("times must be an increasing list of numbers ≥ 0")
    for name, value in (("learning_rate", learning_rate), ("output_rate", output_rate), ("spawn_time", spawn_time)):
        if not np.isfinite(value) or value < 0:
            raise ValueError(f"{name} is {value}; give a finite number ≥ 0")

    width = first[0][0].shape[1]
    teacher_outputs = target[1][0][0, 0]
    rows = np.concatenate(
        [first[0][0], second[0][0], np.broadcast_to(target[0][0], (n_pairs, *target[0][0].shape[1:]))], axis=1
    )
    overlaps = rows @ rows.swapaxes(1, 2)
    outputs = np.concatenate([first[1][0], second[1][0]], axis=1)
    n = overlaps.shape[1]
    state = np.concatenate([overlaps.reshape(n_pairs, -1), outputs.reshape(n_pairs, -1)], axis=1).ravel()

    def unpack(flat: Array) -> tuple[Array, Array]:
        table = flat.reshape(*flat.shape[:-1], n_pairs, n * n + 2 * width)
        return table[..., : n * n].reshape(*table.shape[:-1], n, n), table[..., n * n :].reshape(
            *table.shape[:-1], 2, width
        )

    # siblings are one student until they part; said outright, since rounding would grow where the student is unstable
    siblings = all(np.array_equal(one, other) for (one, _), (other, _) in zip(first, second, strict=True))
    one_student = np.concatenate([np.tile(np.arange(width), 2), np.arange(2 * width, n)])

    def rate(shared: bool, flat: Array) -> Array:
        gram_rate, output_change = _rates(*unpack(flat), teacher_outputs, learning_rate, output_rate, shared)
        if shared and siblings:
            gram_rate, output_change = gram_rate[:, one_student[:, None], one_student], output_change[:, [0, 0]]
        return np.concatenate([gram_rate.reshape(n_pairs, -1), output_change.reshape(n_pairs, -1)], axis=1).ravel()

    found = np.empty((len(grid), len(state)))
    begin = 0.0
    for end, shared in ((min(spawn_time, grid[-1]), True), (grid[-1], False)):
        wanted = (grid >= begin) & (grid <= end)
        if end > begin:
            solution = solve_ivp(
                lambda _, y, s=shared: rate(s, y),
                (begin, end),
                state,
                rtol=tolerance,
                atol=tolerance / 100,
                dense_output=True,
            )
            if not solution.success or not np.isfinite(solution.y).all():
                raise ArithmeticError(
                    f"the equations could not be followed beyond t = {solution.t[-1]:.4g}: {solution.message} Try lower rates."
                )
            if wanted.any():
                found[wanted] = solution.sol(grid[wanted]).T
            state, begin = solution.y[:, -1], end
        else:
            found[wanted] = state
    return TwinStudents(grid, *unpack(found), teacher_outputs)


def _committee(name: str, layers: CheckedLayers) -> None:
    if any(bias is not None and np.any(bias) for _, bias in layers):
        raise ValueError(f"{name} has biases; the order-parameter equations here hold without")
    if layers[1][0].shape[1] != 1:
        raise ValueError(f"{name} has {layers[1][0].shape[1]} outputs; the order-parameter equations here hold for one")


def _rates(
    gram: Array, outputs: Array, teacher_outputs: Array, rate: float, output_rate: float, shared: bool
) -> tuple[Array, Array]:
    """dG/dt [n_pairs, n, n] and dv/dt [n_pairs, 2, width]."""
    n_pairs, n, width = len(gram), gram.shape[1], outputs.shape[2]
    units = 2 * width
    # Δ of student S is Σ_f error[S, f] g(x_f); `error` for each of its units
    error = np.zeros((n_pairs, 2, n))
    error[:, 0, :width], error[:, 1, width:units] = -outputs[:, 0], -outputs[:, 1]
    error[:, :, units:] = teacher_outputs
    error = np.repeat(error, width, axis=1)  # [n_pairs, units, n]
    v = outputs.reshape(n_pairs, units)
    diagonal = np.diagonal(gram, axis1=1, axis2=2)
    student = diagonal[:, :units]

    # F_ij = v_i Σ_f error_if I₃(i, j, f)
    first = three_point(
        student[:, :, None, None],
        gram[:, :units, :, None],
        gram[:, :units, None, :],
        gram[:, None, :, :],
        diagonal[:, None, None, :],
    )
    drift = np.zeros((n_pairs, n, n))
    drift[:, :units] = v[:, :, None] * np.einsum("pijf,pif->pij", first, error)
    change = rate * (drift + drift.swapaxes(1, 2))

    # v_i v_j Σ_fh error_if error_jh I₄(i, j, f, h)
    rows = gram[:, :units]
    noise = four_point(
        student[:, :, None, None, None],
        rows[:, :, :units, None, None],
        rows[:, :, None, :, None],
        rows[:, :, None, None, :],
        student[:, None, :, None, None],
        rows[:, None, :, :, None],
        rows[:, None, :, None, :],
        diagonal[:, None, None, :, None],
        gram[:, None, None, :, :],
        diagonal[:, None, None, None, :],
    )
    squared = v[:, :, None] * v[:, None, :] * np.einsum("pijfh,pif,pjh->pij", noise, error, error)
    if not shared:  # two students, two samples
        squared[:, :width, width:] = squared[:, width:, :width] = 0.0
    change[:, :units, :units] += rate**2 * squared

    output_change = np.zeros_like(outputs)
    if output_rate:
        c11, c22 = np.broadcast_to(student[:, :, None], rows.shape), np.broadcast_to(diagonal[:, None, :], rows.shape)
        pairs = erf_moment(GaussianPair(None, None, c11, rows, c22)).value  # E[g(x_i) g(x_f)]
        output_change = output_rate * np.einsum("pif,pif->pi", pairs, error).reshape(outputs.shape)
    return change, output_change
