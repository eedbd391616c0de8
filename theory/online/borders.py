"""How often twins end in different orders at a finite number of inputs: noise after the plateau, near a border.

For three units and a teacher of two, or two and three, `Fluctuations.different_order` is the limit of many inputs: on
the plateau the specialisations X are a vector in a plane, of length r of order d^(−1/2), and its direction decides.
A border between two orders is a line about which the equations are symmetric, the reflection that exchanges the first
and the last of the three units and the two of the other side. A solution that starts on it stays on it; beside it, at
an angle φ, the odd part y of the state follows dy/dt = J y and gains a variance D/d in a unit of time, J and D those of
the solution on the border. With ℓ the derivative of what tells the orders apart at the end T, the difference of two
cosines, noise since the split turns the direction by an angle of variance

    S(r)/d = (1/d) ∫ ℓ(t)ᵀ D ℓ(t) dt / (ℓ(t)ᵀ ∂y/∂φ)²,   ℓ(t) = Φ(T, t)ᵀ ℓ,

whose denominator is a constant. If the plateau lasted for ever this were S₀/r², which is what the correlation ρ holds.
The rest, S − S₀/r², grows only as log 1/r, so that probabilities of late splits differ from the limit by √(log d / d):
hardly for three units and a teacher of two, who fit it, and whose noise ends with their error; a great deal for two and
a teacher of three, whose error stays and whose units turn slowly towards what they end in.

Turns are taken as normal, with one variance in a sector, that at its borders. S₀ is multiplied by the number that makes
the probability without the rest `different_order`'s: 1.02 to 1.1 for splits on the plateau (more for earlier ones,
whose noise before `PLATEAU` is not in S₀). Beyond `AMPLITUDES`, as for more than some 10⁴ inputs or fewer than 50, the
rest is that of the last of them. Of two units and a teacher of three the probabilities were within the 95 % intervals
of 320 measured pairs at 16 of 16 splits and numbers of inputs, of three units and a teacher of two at 13.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm
from scipy.optimize import brentq
from scipy.special import erf

from theory.arguments import Array
from theory.layers import Layers
from theory.online.fluctuations import (
    Fluctuations,
    noise_points,
    state_diffusion,
    state_entries,
    state_jacobian,
    twin_fluctuations,
)
from theory.online.order_parameters import TwinStudents, twin_students

PLATEAU = 20.0  # the time at which directions are taken
STEP = 0.5  # of time
AMPLITUDES = (0.01, 0.03, 0.08, 0.15, 0.24)  # r for which S is computed; between them it is interpolated in log r
LENGTHS = 40  # quantiles of r over which probabilities are averaged
BORDER = np.array([1, 0, -1]) / np.sqrt(2)  # of the three units' specialisations
BESIDE = np.array([1, -2, 1]) / np.sqrt(6)


@dataclass(frozen=True)
class _Course:
    """Students of n_units and a teacher of n_targets, trained until `until` (the arguments of `different_order_at`)."""

    n_units: int
    n_targets: int
    until: float
    learning_rate: float
    output_rate: float
    start_scale: float

    def start(self) -> tuple[Layers, Layers]:
        """A student that leans to nothing, as infinitely many inputs have it, and the teacher."""
        n_inputs = 2 * self.n_units + self.n_targets
        weights = self.start_scale * np.eye(self.n_units, n_inputs, self.n_targets)
        student = [(weights, None), (np.ones((1, self.n_units)), None)]
        return student, [(np.eye(self.n_targets, n_inputs), None), (np.ones((1, self.n_targets)), None)]

    def solution(self, student: Layers, teacher: Layers, times: Array) -> TwinStudents:
        """Of one student, twice."""
        return twin_students(
            student,
            student,
            teacher,
            times,
            learning_rate=self.learning_rate,
            output_rate=self.output_rate,
            spawn_time=self.until,
        )


def different_order_at(
    n_inputs: ArrayLike,
    n_units: int,
    n_targets: int,
    *,
    split: float,
    until: float,
    learning_rate: float,
    output_rate: float,
    start_scale: float,
) -> Array:
    """The probability that siblings of n_units end in different orders of a teacher's n_targets, of every n_inputs.

    Students start from w ~ N(0, s²/d) and second layers of 1; the teacher's units are orthonormal, with outputs 1.
    It takes about a minute for the first split, and seconds for others until the same time.

    Args:
        n_inputs: d, numbers or infinity.
        n_units: 3 or 2.
        n_targets: 2 or 3, the other.
        split: t_s, the time from which siblings see samples of their own.
        until: T, the time of the end.
        learning_rate: η.
        output_rate: η_v.
        start_scale: s.

    Raises:
        ValueError: other numbers of units, no inputs, until ≤ max(split, `PLATEAU`), or as `twin_fluctuations`.

    Example:
        >>> found = different_order_at([100, np.inf], 2, 3, split=60, until=200, learning_rate=1, output_rate=1,
        ...                            start_scale=0.5)  # doctest: +SKIP
        array([0.0867, 0.0357])
    """
    inputs = np.asarray(n_inputs, dtype=np.float64)
    if not (inputs > 0).all():
        raise ValueError("n_inputs must be above 0")
    if (n_units, n_targets) not in ((3, 2), (2, 3)):
        raise ValueError(f"borders are here for 3 units and 2 targets, or 2 and 3, not {n_units} and {n_targets}")
    since = max(split, PLATEAU)
    if until <= since:
        raise ValueError(f"until must be above {since:g}, not {until:g}")
    course = _Course(n_units, n_targets, until, learning_rate, output_rate, start_scale)
    start, teacher = course.start()
    linear = twin_fluctuations(
        start,
        start,
        teacher,
        [*np.linspace(0.125, 4, 32), since, until],  # of steps of this length, as long as it moves fast
        learning_rate=learning_rate,
        output_rate=output_rate,
        spawn_time=split,
        start_scale=start_scale,
        step=1.0,
    )
    limit = float(linear.different_order()[-1])
    times, on_plateau, growth = _noise_at_border(course, 0.0)
    after = times > since
    mean_square = _size_of_specialisations(linear, -2) / np.interp(since, times, growth) ** 2
    more = [
        (_noise_at_border(course, amplitude)[1] - on_plateau)[after].sum() * STEP / amplitude**2
        for amplitude in AMPLITUDES
    ]
    plateau = on_plateau[after].sum() * STEP
    found = [
        _probability(limit, share * mean_square, share * plateau, share * np.array(more)) if share else limit
        for share in 1 / inputs.ravel()
    ]
    return np.array(found).reshape(inputs.shape)


def _probability(limit: float, mean_square: float, plateau: float, more: Array) -> float:
    """P(different), averaged over lengths r: noise turns by a variance plateau/r², times a factor, plus `more`(r).

    mean_square: of r. plateau: S₀/d. more: of `AMPLITUDES`. The factor gives the limit without `more`.
    """
    lengths = np.sqrt(-mean_square * np.log(1 - (np.arange(LENGTHS) + 0.5) / LENGTHS))
    of_plateau = plateau / lengths**2
    of_rest = np.interp(np.log(lengths), np.log(AMPLITUDES), more)
    factor = brentq(lambda some: _apart(some * of_plateau).mean() - limit, 1e-3, 1e3)
    return float(_apart(np.maximum(factor * of_plateau + of_rest, 0.0)).mean())


def _apart(variance: Array) -> Array:
    """That two angles of this variance each about one, which is anywhere, are in different ones of the six sectors."""
    edge = np.pi / 3 / np.sqrt(2 * np.maximum(variance, 1e-300))  # in deviations of their difference
    return np.asarray(1 - erf(edge / np.sqrt(2)) - (np.exp(-(edge**2) / 2) - 1) * np.sqrt(2 / np.pi) / edge)


def _size_of_specialisations(linear: Fluctuations, time: int) -> float:
    """d E‖X‖² of one student."""
    width = linear.twins.outputs.shape[-1]
    n_targets = linear.twins.overlaps.shape[-1] - 2 * width
    place = np.flatnonzero((linear.rows < width) & (linear.columns >= 2 * width))
    centred, centred_targets = (np.eye(n) - 1 / n for n in (width, n_targets))
    return float(np.trace(np.kron(centred, centred_targets) @ linear.covariance[time][np.ix_(place, place)]))


@functools.lru_cache(maxsize=64)
def _noise_at_border(course: _Course, amplitude: float) -> tuple[Array, Array, Array]:
    """Times; the variance of the length beside the border that noise at them adds in a unit of time, times d; growth.

    [n] each. Lengths are those of X at `PLATEAU`, where the solution has this amplitude along the border. Growth is how
    many times as long X beside it is by then.
    """
    n_units, n_targets = course.n_units, course.n_targets
    solution = _along_border(course, amplitude)
    rows, columns = state_entries(2 * n_units + n_targets, n_units)
    state = Fluctuations(solution, rows, columns, np.zeros((1, 1, 1)))
    mine = np.flatnonzero((rows < n_units) & ((columns < n_units) | (columns >= 2 * n_units)))
    rows, columns = rows[mine], columns[mine]
    odd = _odd_part(rows, columns, n_units, n_targets)
    beside = np.zeros(len(mine))
    of_targets = columns >= 2 * n_units
    beside[of_targets] = _pattern(BESIDE, n_units)[rows[of_targets], columns[of_targets] - 2 * n_units]
    points = noise_points(2 * n_units + n_targets)
    moves: list[Array] = []
    noise: list[Array] = []
    for gram, outputs in zip(solution.overlaps[:-1, 0], solution.outputs[:-1, 0], strict=True):
        arguments = (gram, outputs, course.learning_rate, course.output_rate, False)
        moves.append(expm(STEP * odd @ state_jacobian(state, *arguments)[np.ix_(mine, mine)] @ odd))
        noise.append(odd @ state_diffusion(state, *arguments, *points)[np.ix_(mine, mine)] @ odd)
    decides = odd @ _decision(solution.overlaps[-1, 0], rows, columns, n_units)
    added, slopes = np.zeros(len(moves)), np.zeros(len(moves))
    for k in range(len(moves) - 1, -1, -1):
        after, decides = decides, decides @ moves[k]
        added[k] = (after @ noise[k] @ after + decides @ noise[k] @ decides) / 2
        slopes[k] = decides @ beside
    return solution.times[:-1] + PLATEAU, added / slopes[0] ** 2, slopes[0] / slopes


def _along_border(course: _Course, amplitude: float) -> TwinStudents:
    """The solution from the plateau and this amplitude along the border: at the middles of steps, and at the end."""
    n_units, n_targets = course.n_units, course.n_targets
    plateau = course.solution(*course.start(), np.array([PLATEAU]))
    gram = plateau.overlaps[0, 0]
    overlaps = gram[:n_units, 2 * n_units :] + amplitude * _pattern(BORDER, n_units)
    own = np.linalg.cholesky(gram[:n_units, :n_units] - overlaps @ overlaps.T)  # what is orthogonal to the teacher
    student = [(np.concatenate([overlaps, own], axis=1), None), (plateau.outputs[0, 0, :1], None)]
    teacher = [(np.eye(n_targets, n_targets + n_units), None), (np.ones((1, n_targets)), None)]
    length = course.until - PLATEAU
    return course.solution(student, teacher, np.array([*np.arange(STEP / 2, length, STEP), length]))


def _pattern(three: Array, n_units: int) -> Array:
    """X, [n_units, n_targets], that is `three` for one of the two on the other side, and its negative for the other."""
    pattern = np.outer(three, [1, -1]) / np.sqrt(2)
    return pattern if n_units == 3 else pattern.T


def _odd_part(rows: NDArray[np.int64], columns: NDArray[np.int64], n_units: int, n_targets: int) -> Array:
    """The projection of a student's state on what the reflection turns to its negative."""
    entries = list(zip(rows.tolist(), columns.tolist(), strict=True))
    reflection = np.zeros((len(entries), len(entries)))
    for k, (row, column) in enumerate(entries):
        unit = n_units - 1 - row
        if column < 0:
            image = (unit, column)
        elif column < n_units:
            image = (n_units - 1 - column, unit)  # of the upper triangle
        else:
            image = (unit, 4 * n_units + n_targets - 1 - column)
        reflection[k, entries.index(image)] = 1
    return np.asarray((np.eye(len(entries)) - reflection) / 2)


def _decision(gram: Array, rows: NDArray[np.int64], columns: NDArray[np.int64], n_units: int) -> Array:
    """The derivative of the difference of the two cosines of the middle one of three units, on the border."""
    found = np.zeros(len(rows))
    middle = [1, 1] if n_units == 3 else [0, 1]
    targets = [2 * n_units, 2 * n_units + 1] if n_units == 3 else [2 * n_units + 1] * 2
    for sign, unit, target in zip((1, -1), middle, targets, strict=True):
        norm = np.sqrt(gram[unit, unit])
        found[(rows == unit) & (columns == target)] += sign / norm
        found[(rows == unit) & (columns == unit)] -= sign * gram[unit, target] / (2 * norm**3)
    return found
