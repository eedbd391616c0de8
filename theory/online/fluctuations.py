"""Twin students at a finite number of inputs: the covariance of their order parameters, and what it says of barriers.

At finite d the order parameters y (overlaps and second layers) fluctuate about the solution ȳ of `order_parameters` by
d^(−1/2) ξ. One sample changes y by c/d, c as in the drift there, so that in a unit of time d samples add a variance
Cov(c)/d, and the linear-noise approximation (van Kampen 1961; for committee machines Barber, Saad & Sollich 1996) is

    dV/dt = J V + V Jᵀ + D,        V = Cov ξ, J = ∂(dȳ/dt)/∂y, D = Cov(c).

Students that see samples of their own have D = Cov(c_A) + Cov(c_B). A function b(y), such as the barrier at the
midpoint, then has the standard deviation √(∇bᵀ V ∇b / d) about its predicted value.

From starts that lean to no order of the teacher's units the solution stays on the symmetric plateau for ever, and which
order is taken is decided by the start's overlaps and the plateau's noise, both O(d^(−1/2)). With the start's covariance
as V(0) the specialisations X of twins, R[unit, target] less the means of rows and columns, are jointly Gaussian while
they are small. The plateau is symmetric in units and in targets, under which the (K − 1)(M − 1) numbers of X are one
irreducible representation that occurs once in a student's state: all of X grows at one rate (by J's eigenvalues 0.028
for three units each, η = η_v = 1, t = 40, in which nothing else grows), its entries have one variance, and those of
twins one correlation ρ. Let a student end in the order that is the best assignment of X: by symmetry where one side has
two units, an assumption for more. Then `orders` gives the probability of different orders, arccos(ρ)/π for two units
each (Sheppard 1898). It does not depend on d, but for what `borders` adds where student and teacher differ.

J is taken by central differences of the rates. D is an average over 2¹³ points of a scrambled Sobol sequence, of
normals 1.3 times as wide, weighted: twins part by rare samples, of which plain normals have too few. Between scrambles
the noise of the specialisations has a relative standard deviation of 1 to 2 %, and probabilities half of that.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm
from scipy.special import erf
from scipy.stats import norm, qmc

from theory.arguments import Array, number
from theory.layers import Layers
from theory.online.order_parameters import TwinStudents, _rates, check_times, twin_students
from theory.online.orders import different_order_probability
from theory.shown import Short

POINTS = 2**13  # of the averages
WIDTH = 1.3  # of the normals that are drawn for them
STEP = 1e-5  # of the central differences
LEAN = 1e-6  # of overlaps; rounding, grown on the plateau, stays below it


@dataclass(frozen=True, repr=False)
class Fluctuations(Short):
    """The solution of `twin_fluctuations`, of one pair.

    Attributes:
        twins: the solution for infinitely many inputs, at the same times.
        rows: [n_state], with columns the entries of the Gram matrix that the first part of the state holds.
        columns: [n_state]; −1 where the state is an output weight, whose number is then in rows (A's, then B's).
        covariance: V, [n_times, n_state, n_state].

    Example:
        >>> teacher = [([[1.0, 0.0]], None), ([[1.0]], None)]
        >>> start = [([[0.5, 0.1]], None), ([[1.0]], None)]
        >>> found = twin_fluctuations(start, start, teacher, [1.0, 2.0], learning_rate=0.5)
        >>> found.covariance.shape, bool((found.barrier_deviation() > 0).all())
        ((2, 7, 7), True)
    """

    twins: TwinStudents
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    covariance: Array

    def barrier_deviation(self) -> Array:
        """√d times the standard deviation of the barrier `midpoint` about the predicted one, [n_times]."""
        found = []
        for time in range(len(self.twins.times)):
            gram, outputs = _perturbed(self, self.twins.overlaps[time, 0], self.twins.outputs[time, 0])
            near = TwinStudents(self.twins.times[:1], gram[None], outputs[None], self.twins.teacher_outputs)
            plus, minus = np.split(near.path(0).barrier("midpoint").value, 2)
            slope = (plus - minus) / (2 * STEP)
            found.append(np.sqrt(slope @ self.covariance[time] @ slope))
        return np.array(found)

    def correlation(self) -> Array:
        """ρ of the specialisations of A and B, of units that lean to none of the teacher's, [n_times].

        It settles while specialisations grow.

        Raises:
            ValueError: students or teacher have fewer than two units; or a student leans.
        """
        width, n_teacher = self._units()
        if width < 2 or n_teacher < 2:
            raise ValueError(
                f"orders are told apart of two units or more in students and teacher; "
                f"these have {width} and {n_teacher}"
            )
        centred, centred_teacher = (np.eye(n) - 1 / n for n in (width, n_teacher))
        overlaps = self.twins.overlaps[:, 0, : 2 * width, 2 * width :].reshape(-1, 2, width, n_teacher)
        if np.abs(centred @ overlaps @ centred_teacher).max() > LEAN:
            raise ValueError("a student leans to an order of the teacher's units: it is no matter of chance alone")
        place = np.flatnonzero(self.columns >= 2 * width).reshape(2, -1)  # of R[unit, target], by rows
        blocks = self.covariance[:, place[:, :, None, None], place]
        moments = np.einsum("ij,tajbi->tab", np.kron(centred, centred_teacher), blocks)  # traces over what is centred
        size = np.sqrt(moments[:, 0, 0] * moments[:, 1, 1])
        return np.asarray(np.clip(moments[:, 0, 1] / size, -1, 1))

    def different_order(self) -> Array:
        """The probability that A and B end in different orders of the teacher's units, [n_times].

        `orders.different_order_probability` of the correlation at each time; it settles with it.

        Raises:
            ValueError: as `correlation`, or it is not there for so many units.
        """
        return different_order_probability(self.correlation(), *self._units())

    def _units(self) -> tuple[int, int]:
        """How many units a student has, and the teacher."""
        width = self.twins.outputs.shape[-1]
        return width, self.twins.overlaps.shape[-1] - 2 * width


def twin_fluctuations(
    a: Layers,
    b: Layers,
    teacher: Layers,
    times: ArrayLike,
    *,
    learning_rate: float,
    output_rate: float = 0.0,
    spawn_time: float = 0.0,
    start_scale: float = 0.0,
    step: float = 0.1,
) -> Fluctuations:
    """The covariance of √d times the order parameters' fluctuations, of one pair; arguments as `twin_students`.

    Args:
        a: one network; the solution for infinitely many inputs starts from its overlaps.
        b: the same.
        teacher: one.
        times: [n_times], increasing.
        learning_rate: η.
        output_rate: η_v.
        spawn_time: t_s.
        start_scale: s of random starts w ~ N(0, s²/d) whose overlaps with the teacher and each other are chance, and
            which both students share (siblings); 0: starts are given, V(0) = 0.
        step: of time, in which V is moved on by the matrix exponential of J at its middle.

    Raises:
        ValueError: as `twin_students`, there are several pairs, or step or start_scale is out of its range.

    Example:
        >>> teacher = [(np.eye(2, 6), None), (np.ones((1, 2)), None)]
        >>> start = [(0.5 * np.eye(2, 6, 4), None), (np.ones((1, 2)), None)]  # siblings that lean to neither order
        >>> parted = twin_fluctuations(
        ...     start, start, teacher, [20.0], learning_rate=1.0, output_rate=1.0,
        ...     spawn_time=10.0, start_scale=0.5, step=1.0)
        >>> parted.different_order().round(2)  # by t = 20, at any number of inputs
        array([0.06])
    """
    grid = check_times(times)
    if not number("step", step) > 0 or number("start_scale", start_scale) < 0:
        raise ValueError(f"step {step} must be above 0 and start_scale {start_scale} at least 0")
    spawn_time = number("spawn_time", spawn_time)
    edges = _edges(grid, spawn_time, step)
    middles = (edges[1:] + edges[:-1]) / 2
    along = twin_students(
        a,
        b,
        teacher,
        np.unique(np.concatenate([middles, grid])),
        learning_rate=learning_rate,
        output_rate=output_rate,
        spawn_time=spawn_time,
    )
    if along.overlaps.shape[1] != 1:
        raise ValueError(f"fluctuations are of one pair; these are {along.overlaps.shape[1]}")
    place = {float(time): k for k, time in enumerate(along.times)}
    n_units, width = along.overlaps.shape[-1], along.outputs.shape[-1]
    kept = [place[float(time)] for time in grid]
    twins = TwinStudents(grid, along.overlaps[kept], along.outputs[kept], along.teacher_outputs)
    rows, columns = state_entries(n_units, width)
    found = Fluctuations(twins, rows, columns, np.zeros((len(grid), len(rows), len(rows))))
    covariance = _of_random_starts(found, start_scale)
    points = noise_points(n_units)
    for begin, end in itertools.pairwise(edges):
        found.covariance[grid == begin] = covariance
        at = place[float((begin + end) / 2)]
        gram, outputs = along.overlaps[at, 0], along.outputs[at, 0]
        shared = end <= spawn_time
        jacobian = state_jacobian(found, gram, outputs, learning_rate, output_rate, shared)
        noise = state_diffusion(found, gram, outputs, learning_rate, output_rate, shared, *points)
        grown = expm(jacobian * (end - begin))
        covariance = grown @ covariance @ grown.T + (end - begin) / 2 * (grown @ noise @ grown.T + noise)
    found.covariance[grid == edges[-1]] = covariance
    return found


def _edges(times: Array, spawn_time: float, step: float) -> Array:
    """Times from 0 to the last, at most `step` apart, with all of `times` and the split among them."""
    stops = np.unique(np.concatenate([[0.0, min(spawn_time, times[-1])], times]))
    parts = [np.linspace(x, y, 1 + int(np.ceil((y - x) / step))) for x, y in itertools.pairwise(stops)]
    return np.unique(np.concatenate([stops, *parts]))


def state_entries(n_units: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which entries of the Gram matrix move, of the upper triangle; then the output weights.

    Args:
        n_units: of both students and the teacher.
        width: of one student.

    Example:
        >>> rows, columns = state_entries(3, 1)  # two students of one unit, and a teacher of one
        >>> list(zip(rows.tolist(), columns.tolist()))  # w·w, w·w', w·w*, w'·w', w'·w*, v, v'
        [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (0, -1), (1, -1)]
    """
    rows, columns = np.triu_indices(n_units)
    moving = rows < 2 * width
    outputs = np.arange(2 * width)
    return np.concatenate([rows[moving], outputs]), np.concatenate([columns[moving], np.full(2 * width, -1)])


def _perturbed(state: Fluctuations, gram: Array, outputs: Array) -> tuple[Array, Array]:
    """Each number of the state a little more, then each a little less: [2 n_state, n, n] and [2 n_state, 2, width]."""
    n_state = len(state.rows)
    grams = np.repeat(gram[None], 2 * n_state, axis=0)
    weights = np.repeat(outputs.reshape(1, -1), 2 * n_state, axis=0)
    for k, (row, column) in enumerate(zip(state.rows, state.columns, strict=True)):
        for place, change in ((k, STEP), (n_state + k, -STEP)):
            if column < 0:
                weights[place, row] += change
            else:
                grams[place, row, column] = grams[place, column, row] = gram[row, column] + change
    return grams, weights.reshape(-1, *outputs.shape)


def _flat(state: Fluctuations, gram: Array, outputs: Array) -> Array:
    """The state's numbers of Gram matrices [..., n, n] and output weights [..., 2, width]."""
    of_outputs = state.columns < 0
    weights = outputs.reshape(*outputs.shape[:-2], -1)
    return np.where(of_outputs, weights[..., np.where(of_outputs, state.rows, 0)], gram[..., state.rows, state.columns])


def state_jacobian(
    state: Fluctuations, gram: Array, outputs: Array, learning_rate: float, output_rate: float, shared: bool
) -> Array:
    """∂(dy/dt)/∂y, [n_state, n_state].

    Args:
        state: whose numbers y are.
        gram: overlaps of all units, [n, n].
        outputs: the students' output weights, [2, width].
        learning_rate: of the first layer.
        output_rate: of the second.
        shared: whether both students see the same samples.

    Example:
        >>> teacher = [([[1.0, 0.0]], None), ([[1.0]], None)]
        >>> same = twin_fluctuations(teacher, teacher, teacher, [1.0], learning_rate=0.5)
        >>> gram, outputs = np.ones((3, 3)), np.ones((2, 1))  # all is learnt: what is off comes back, or stays
        >>> bool((np.linalg.eigvals(state_jacobian(same, gram, outputs, 0.5, 0.5, True)).real < 1e-6).all())
        True
    """
    near = _perturbed(state, gram, outputs)
    changes = _flat(state, *_rates(*near, state.twins.teacher_outputs, learning_rate, output_rate, shared))
    plus, minus = np.split(changes, 2)
    return (plus - minus).T / (2 * STEP)


def noise_points(n_units: int) -> tuple[Array, Array]:
    """Wide normals [POINTS, n_units], and the weights [POINTS] that make averages over them those of standard ones.

    Example:
        >>> points, weights = noise_points(2)
        >>> bool(np.allclose(weights @ points**2, 1, atol=0.01)), bool(np.allclose(weights @ points**4, 3, atol=0.1))
        (True, True)
    """
    wide = WIDTH * norm.ppf(qmc.Sobol(n_units, seed=0).random(POINTS).clip(1e-12, 1 - 1e-12))
    weights = np.exp((WIDTH**-2 - 1) / 2 * (wide**2).sum(axis=1))
    return wide, weights / weights.sum()


def state_diffusion(
    state: Fluctuations,
    gram: Array,
    outputs: Array,
    learning_rate: float,
    output_rate: float,
    shared: bool,
    fields: Array,
    weights: Array,
) -> Array:
    """D, the covariance of what one sample changes, times d, [n_state, n_state].

    Arguments are those of `state_jacobian`; the average is over `fields` with `weights` (`noise_points`).

    Example:
        >>> teacher = [([[1.0, 0.0]], None), ([[1.0]], None)]
        >>> same = twin_fluctuations(teacher, teacher, teacher, [1.0], learning_rate=0.5)
        >>> gram, outputs = np.ones((3, 3)), np.ones((2, 1))  # all is learnt: there is no error, and no noise
        >>> noise = state_diffusion(same, gram, outputs, 0.5, 0.5, True, *noise_points(3))
        >>> bool(abs(noise).max() < 1e-15)  # an eigenvalue of 0 comes out as 1e-16: errors of its root, squared
        True
    """
    values, vectors = np.linalg.eigh(gram)
    x = fields @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
    width = outputs.shape[1]
    n_students = 2 * width
    values_of = erf(x / np.sqrt(2))
    target = values_of[:, n_students:] @ state.twins.teacher_outputs
    error = np.stack([target - values_of[:, k * width : (k + 1) * width] @ outputs[k] for k in range(2)], 1)
    error = np.repeat(error, width, axis=1)
    slope = np.sqrt(2 / np.pi) * np.exp(-(x[:, :n_students] ** 2) / 2)
    move = np.zeros_like(x)
    move[:, :n_students] = outputs.ravel() * error * slope
    step = output_rate * error * values_of[:, :n_students]
    noise = np.zeros((len(state.rows), len(state.rows)))
    for seen in (slice(0, n_students),) if shared else (slice(0, width), slice(width, n_students)):
        mine = np.zeros(x.shape[1], dtype=bool)
        mine[seen] = True
        moves = move * mine
        cross = moves[:, :, None] * x[:, None]
        overlaps = (
            learning_rate * (cross + cross.swapaxes(1, 2)) + learning_rate**2 * moves[:, :, None] * moves[:, None]
        )
        steps = (step * mine[:n_students]).reshape(-1, 2, width)
        change = _flat(state, overlaps, steps)
        change = np.sqrt(weights)[:, None] * (change - weights @ change)
        noise += change.T @ change
    return noise


def _of_random_starts(state: Fluctuations, scale: float) -> Array:
    """d times the covariance of the overlaps of starts w ~ N(0, s²/d) that both students share, [n_state, n_state].

    The variance of w·w′ is s⁴/d, of w·w 2s⁴/d, and of w·w* s²/d; what is one number of one start moves together.
    """
    width = state.twins.outputs.shape[-1]

    def of_one_start(unit: int) -> int:
        return unit % width if unit < 2 * width else unit

    pairs = [
        tuple(sorted((of_one_start(int(row)), of_one_start(int(column))))) if column >= 0 else None
        for row, column in zip(state.rows, state.columns, strict=True)
    ]
    found = np.zeros((len(pairs), len(pairs)))
    for k, one in enumerate(pairs):
        for m, other in enumerate(pairs):
            if one is not None and one == other:
                teacher = one[1] >= 2 * width
                found[k, m] = scale**2 if teacher else scale**4 * (2 if one[0] == one[1] else 1)
    return found
