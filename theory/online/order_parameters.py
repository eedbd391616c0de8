"""Twin students: the loss barrier between two online learners, predicted by ordinary differential equations.

Online SGD on fresh x ~ N(0, I_d): two students f_S(x) = Σ_k v_k g(w_k·x), g(u) = erf(u/√2), learn from a teacher f*(x)
= Σ_m a_m g(w*_m·x) by steps on ½ (f_S − f*)² with rate η/d for first layers and η_v/d for second ones. As d → ∞ at t =
steps/d, the overlaps of all weight vectors, the Gram matrix G [n, n] of (student A's units, student B's units, the
teacher's), follow (Saad & Solla 1995, eqs. 5 – 7; second layers: Riegler & Biehl 1995)

    dG_ij/dt = η (F_ij + F_ji) + η² [i and j see one sample] v_i v_j E[g′(x_i) g′(x_j) Δ_i Δ_j]
    F_ij     = v_i E[g′(x_i) Δ_i x_j] for i a student's unit, 0 for the teacher's
    dv_i/dt  = η_v E[g(x_i) Δ_i]

with Δ_i = f* − f of i's own student and the averages of `averages`. Students that share their samples until
`spawn_time` see one sample until then; afterwards the overlap of the two students has no η² term (Miyoshi, Hara & Okada
2004 for ensembles of perceptrons). The straight path between the students has order parameters that are polynomials of
G, so its population loss, and the barrier, are functions of t. Siblings start alike; independent students start from
their own overlaps, and share nothing (spawn_time 0).

Holds for d → ∞, erf, two layers, one output, no biases. For relu the η² average is not known in closed form: refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from theory.arguments import Array, finite, number
from theory.curves.smooth_curve import SmoothCurve
from theory.layers import CheckedLayers, Layers, check_layers, check_pairs
from theory.online.averages import four_point, three_point
from theory.population.bivariate_normal import GaussianPair
from theory.population.erf_moments import erf_moment
from theory.population.loss import population_path
from theory.shown import Short

SMALLEST_TOLERANCE = 3e-14  # scipy's integrators take no smaller one


@dataclass(frozen=True, repr=False)
class TwinStudents(Short):
    """The solution of `twin_students`.

    Attributes:
        times: [n_times], steps/d.
        overlaps: [n_times, n_pairs, n, n], the Gram matrix of A's units, B's and the teacher's; n = 2 width + teacher
            width.
        outputs: [n_times, n_pairs, 2, width], second layers v of A and B.
        teacher_outputs: [teacher width].

    Example:
        >>> alone = TwinStudents(np.zeros(1), np.eye(3)[None, None], np.ones((1, 1, 2, 1)), np.ones(1))
        >>> alone.losses().round(6).tolist()  # three orthogonal units: ½ (⅓ + ⅓)
        [[[0.333333, 0.333333]]]
    """

    times: Array
    overlaps: Array
    outputs: Array
    teacher_outputs: Array

    def path(self, time: int) -> SmoothCurve:
        """The population loss between the two students of every pair at times[time]: exact for these overlaps."""
        width = self.outputs.shape[-1]
        # any vectors with these overlaps have this loss: the symmetric root of the Gram matrix holds such
        values, vectors = np.linalg.eigh(self.overlaps[time])
        weights = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
        outputs = self.outputs[time]
        student_a = [(weights[:, :width], None), (outputs[:, 0, None, :], None)]
        student_b = [(weights[:, width : 2 * width], None), (outputs[:, 1, None, :], None)]
        teacher_outputs = np.broadcast_to(self.teacher_outputs, (len(weights), 1, len(self.teacher_outputs)))
        teacher = [(weights[:, 2 * width :], None), (teacher_outputs, None)]
        return population_path(student_a, student_b, teacher, "erf")

    def losses(self) -> Array:
        """Population losses of A and B, [n_times, n_pairs, 2]."""
        return np.stack([self.path(time).endpoints for time in range(len(self.times))])

    def barriers(self, definition: str = "linear") -> Array:
        """B(t), [n_times, n_pairs], under one of `BARRIER_DEFINITIONS`."""
        return np.stack([self.path(time).barrier(definition).value for time in range(len(self.times))])


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
    """Solve the equations of the module from the students a and b at t = 0.

    Args:
        a: W_1 [n_pairs, width, n_inputs], W_2 [n_pairs, 1, width], no biases. Only overlaps matter: vectors of any
            length that have the wanted ones will do.
        b: the same; siblings start alike.
        teacher: the same with its own width, one for all pairs.
        times: [n_times], increasing, t = steps/d ≥ 0.
        learning_rate: η; the step of a first layer is η/d.
        output_rate: η_v, 0 for second layers that do not learn.
        spawn_time: t_s; the students see the same samples before it and independent ones after.
        activation: erf alone.
        tolerance: relative, of the integrator; the absolute one is a hundredth of it.

    Raises:
        ValueError: a condition of the result does not hold.
        ArithmeticError: the solution leaves every bound (a rate beyond the stable ones).

    Example:
        >>> teacher = [([[1.0, 0.0]], None), ([[1.0]], None)]
        >>> a, b = ([([row], None), ([[1.0]], None)] for row in ([0.5, 0.1], [0.5, -0.1]))
        >>> solution = twin_students(a, b, teacher, [0.0, 100.0], learning_rate=1.0)
        >>> solution.overlaps[1, 0].round(3)  # one unit learns its teacher's: all overlaps go to 1
        array([[1., 1., 1.],
               [1., 1., 1.],
               [1., 1., 1.]])
    """
    if activation != "erf":
        raise ValueError(
            f"activation {activation!r}: twin students need erf, whose η² average is known in closed form; "
            "no other's is here"
        )
    first, second, n_pairs = check_pairs(a, b, 2)
    target = check_layers(teacher, "teacher", 2)
    for name, layers in (("a", first), ("b", second), ("teacher", target)):
        _check_committee(name, layers)
    if len(target[0][0]) != 1 or len(target[1][0]) != 1:
        raise ValueError("teacher holds several networks; give one for all pairs")
    if target[0][0].shape[2] != first[0][0].shape[2]:
        raise ValueError(
            f"teacher takes {target[0][0].shape[2]} inputs and the students {first[0][0].shape[2]}; they must be equal"
        )
    grid = check_times(times)
    learning_rate, output_rate, spawn_time, tolerance = (
        number(name, value)
        for name, value in (
            ("learning_rate", learning_rate),
            ("output_rate", output_rate),
            ("spawn_time", spawn_time),
            ("tolerance", tolerance),
        )
    )
    for name, value in (("learning_rate", learning_rate), ("output_rate", output_rate), ("spawn_time", spawn_time)):
        if value < 0:
            raise ValueError(f"{name} is {value}; give a finite number ≥ 0")
    if not SMALLEST_TOLERANCE <= tolerance < 1:
        raise ValueError(f"tolerance is {tolerance}; give a number from {SMALLEST_TOLERANCE:g} to below 1")
    if not n_pairs:
        raise ValueError("a and b hold no networks; give one pair at least")

    # siblings are one student until they part; said outright, since rounding would grow where the student is unstable
    siblings = all(np.array_equal(one, other) for (one, _), (other, _) in zip(first, second, strict=True))
    teacher_rows = np.broadcast_to(target[0][0], (n_pairs, *target[0][0].shape[1:]))
    rows = np.concatenate([first[0][0], second[0][0], teacher_rows], axis=1)
    outputs = np.concatenate([first[1][0], second[1][0]], axis=1)
    equations = _Equations(outputs.shape, rows.shape[1], target[1][0][0, 0], learning_rate, output_rate, siblings)
    solution = equations.solve(rows @ rows.swapaxes(1, 2), outputs, grid, spawn_time, tolerance)
    return TwinStudents(grid, *equations.unpack(solution), equations.teacher_outputs)


def check_times(times: ArrayLike) -> Array:
    """`times` as an array; ValueError unless they are an increasing list of numbers ≥ 0.

    Example:
        >>> check_times([0, 1])
        array([0., 1.])
    """
    grid = finite("times", times)
    if grid.ndim != 1 or len(grid) == 0 or grid[0] < 0 or (np.diff(grid) <= 0).any():
        raise ValueError("times must be an increasing list of numbers ≥ 0")
    return grid


def _check_committee(name: str, layers: CheckedLayers) -> None:
    """ValueError unless the networks have no biases and one output."""
    if any(bias is not None and np.any(bias) for _, bias in layers):
        raise ValueError(f"{name} has biases; the order-parameter equations here hold without")
    if layers[1][0].shape[1] != 1:
        raise ValueError(f"{name} has {layers[1][0].shape[1]} outputs; the order-parameter equations here hold for one")


@dataclass(frozen=True)
class _Equations:
    """The differential equations of all pairs, for a state that is one long vector.

    Attributes:
        shape: of the second layers, (n_pairs, 2, width).
        n: side of the Gram matrices.
        teacher_outputs: [teacher width].
        learning_rate: η.
        output_rate: η_v.
        siblings: both students start alike.
    """

    shape: tuple[int, ...]
    n: int
    teacher_outputs: Array
    learning_rate: float
    output_rate: float
    siblings: bool

    def pack(self, gram: Array, outputs: Array) -> Array:
        """The state of Gram matrices [n_pairs, n, n] and second layers [n_pairs, 2, width]."""
        n_pairs = self.shape[0]
        return np.concatenate([gram.reshape(n_pairs, -1), outputs.reshape(n_pairs, -1)], axis=1).ravel()

    def unpack(self, state: Array) -> tuple[Array, Array]:
        """Gram matrices [..., n_pairs, n, n] and second layers [..., n_pairs, 2, width] of states [..., size]."""
        n_pairs, _, width = self.shape
        table = state.reshape(*state.shape[:-1], n_pairs, self.n**2 + 2 * width)
        gram = table[..., : self.n**2].reshape(*table.shape[:-1], self.n, self.n)
        return gram, table[..., self.n**2 :].reshape(*table.shape[:-1], 2, width)

    def rate(self, shared: bool, state: Array) -> Array:
        """dstate/dt, where the students see shared samples or each its own."""
        gram, outputs = _rates(*self.unpack(state), self.teacher_outputs, self.learning_rate, self.output_rate, shared)
        if shared and self.siblings:
            width = self.shape[2]
            one_student = np.concatenate([np.tile(np.arange(width), 2), np.arange(2 * width, self.n)])
            gram, outputs = gram[:, one_student[:, None], one_student], outputs[:, [0, 0]]
        return self.pack(gram, outputs)

    def solve(self, gram: Array, outputs: Array, times: Array, spawn_time: float, tolerance: float) -> Array:
        """The states at `times`, [n_times, size]: shared samples until `spawn_time`, independent ones after."""
        state = self.pack(gram, outputs)
        found = np.empty((len(times), len(state)))
        begin = 0.0
        for end, shared in ((min(spawn_time, times[-1]), True), (times[-1], False)):
            in_part = (times >= begin) & (times <= end)
            if end <= begin:
                found[in_part] = state
                continue
            solution = solve_ivp(
                lambda _, y, shared=shared: self.rate(shared, y),
                (begin, end),
                state,
                rtol=tolerance,
                atol=tolerance / 100,
                dense_output=True,
            )
            if not solution.success or not np.isfinite(solution.y).all():
                raise ArithmeticError(
                    f"the equations could not be followed beyond t = {solution.t[-1]:.4g}: "
                    f"{solution.message} Try lower rates."
                )
            if in_part.any():
                found[in_part] = solution.sol(times[in_part]).T
            state = solution.y[:, -1]
            begin = end
        return found


def _rates(
    gram: Array, outputs: Array, teacher_outputs: Array, learning_rate: float, output_rate: float, shared: bool
) -> tuple[Array, Array]:
    """dG/dt [n_pairs, n, n] and dv/dt [n_pairs, 2, width], by the equations of the module.

    In the index strings p is the pair, i and j are units of students, f and h any of the n units.
    """
    n_pairs, n, width = len(gram), gram.shape[1], outputs.shape[2]
    n_students = 2 * width
    # Δ of student S is Σ_f error[S, f] g(x_f); then `error` [n_pairs, n_students, n] repeats it for each of its units
    error = np.zeros((n_pairs, 2, n))
    error[:, 0, :width] = -outputs[:, 0]
    error[:, 1, width:n_students] = -outputs[:, 1]
    error[:, :, n_students:] = teacher_outputs
    error = np.repeat(error, width, axis=1)
    v = outputs.reshape(n_pairs, n_students)
    norms = np.diagonal(gram, axis1=1, axis2=2)
    student_norms = norms[:, :n_students]
    rows = gram[:, :n_students]

    # F_ij = v_i Σ_f error_if I₃(i, j, f)
    i3 = three_point(
        c11=student_norms[:, :, None, None],
        c12=rows[:, :, :, None],
        c13=rows[:, :, None, :],
        c23=gram[:, None, :, :],
        c33=norms[:, None, None, :],
    )
    drift = np.zeros((n_pairs, n, n))
    drift[:, :n_students] = v[:, :, None] * np.einsum("pijf,pif->pij", i3, error)
    gram_rate = learning_rate * (drift + drift.swapaxes(1, 2))

    # v_i v_j Σ_fh error_if error_jh I₄(i, j, f, h)
    i4 = four_point(
        c11=student_norms[:, :, None, None, None],
        c12=rows[:, :, :n_students, None, None],
        c13=rows[:, :, None, :, None],
        c14=rows[:, :, None, None, :],
        c22=student_norms[:, None, :, None, None],
        c23=rows[:, None, :, :, None],
        c24=rows[:, None, :, None, :],
        c33=norms[:, None, None, :, None],
        c34=gram[:, None, None, :, :],
        c44=norms[:, None, None, None, :],
    )
    noise = v[:, :, None] * v[:, None, :] * np.einsum("pijfh,pif,pjh->pij", i4, error, error)
    if not shared:  # two students, two samples
        noise[:, :width, width:] = 0.0
        noise[:, width:, :width] = 0.0
    gram_rate[:, :n_students, :n_students] += learning_rate**2 * noise

    output_change = np.zeros_like(outputs)
    if output_rate:
        c11 = np.broadcast_to(student_norms[:, :, None], rows.shape)
        c22 = np.broadcast_to(norms[:, None, :], rows.shape)
        i2 = erf_moment(GaussianPair(None, None, c11, rows, c22)).value  # E[g(x_i) g(x_f)]
        output_change = output_rate * np.einsum("pif,pif->pi", i2, error).reshape(outputs.shape)
    return gram_rate, output_change
