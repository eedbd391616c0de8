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
The difference S − S₀/r² stays finite as r → 0, so that probabilities differ from the limit by O(d^(−1/2)) at late
splits: hardly for three units and a teacher of two, who fit it, and whose noise ends with their error; a great deal for
two and a teacher of three, whose error stays and whose units turn slowly towards what they end in.

Angles are taken as normal and small beside a sector, but for the noise on the plateau, whose S₀ is multiplied by a
number so near to 1 that the limit is `different_order`'s. Twins that have left the plateau before they split (late
splits, few inputs) are on the border solution too.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import expm
from scipy.optimize import brentq
from scipy.special import erf

from theory.layers import Array, finite
from theory.online.fluctuations import (
    Fluctuations,
    _diffusion,
    _entries,
    _jacobian,
    _points,
    twin_fluctuations,
)
from theory.online.order_parameters import TwinStudents, twin_students
from theory.online.orders import SECTORS

PLATEAU = 20.0  # the time at which directions are taken
STEP = 0.5  # of time
AMPLITUDES = (0.01, 0.03, 0.08, 0.15, 0.24)  # r for which S is computed; between them it is interpolated in log r
LENGTHS = 40  # quantiles of r over which probabilities are averaged
BORDER = np.array([1, 0, -1]) / np.sqrt(2)  # of the three units' specialisations
BESIDE = np.array([1, -2, 1]) / np.sqrt(6)


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
    """The probability that siblings of n_units ends in different orders of a teacher's n_targets, at each n_inputs.

    Students start from w ~ N(0, s²/d) and second layers of 1; the teacher's units are orthonormal, with outputs 1.

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
        ValueError: other numbers of units, or until ≤ max(split, `PLATEAU`).
    """
    inputs = finite("1 / n_inputs", 1 / np.asarray(n_inputs, dtype=np.float64))
    if (n_units, n_targets) not in ((3, 2), (2, 3)):
        raise ValueError(f"borders are here for 3 units and 2 targets, or 2 and 3, not {n_units} and {n_targets}")
    if until <= max(split, PLATEAU):
        raise ValueError(f"until must be above {max(split, PLATEAU):g}, not {until:g}")
    since = max(split, PLATEAU)
    start, teacher = _start(n_units, n_targets, start_scale)
    linear = twin_fluctuations(
        start,
        start,
        teacher,
        [*np.linspace(0.125, 4, 32), since, until],
        learning_rate=learning_rate,
        output_rate=output_rate,
        spawn_time=split,
        start_scale=start_scale,
        step=1.0,
    )
    rates = (until, learning_rate, output_rate, start_scale)
    times, forever, growth = _noise_at_border(n_units, n_targets, 0.0, *rates)
    after = times > since
    size = _size_of_specialisations(linear, -2) / np.interp(since, times, growth) ** 2  # d E r², had it stayed PLATEAU's
    plateau = forever[after].sum() * STEP
    more = [
        (_noise_at_border(n_units, n_targets, r, *rates)[1][after] - forever[after]).sum() * STEP / r**2
        for r in AMPLITUDES
    ]
    limit = float(linear.different_order()[-1])
    found = [
        _probability(limit, size * share, share * plateau, share * np.array(more)) if share else limit
        for share in inputs.ravel()
    ]
    return np.array(found).reshape(inputs.shape)


def _probability(limit: float, mean_square: float, plateau: float, more: Array) -> float:
    """P(different): over lengths r of mean square d E r²/d, a turn of plateau/r² by noise, and `more` by AMPLITUDES."""
    lengths = np.sqrt(-mean_square * np.log(1 - (np.arange(LENGTHS) + 0.5) / LENGTHS))
    of_plateau = plateau / lengths**2
    rest = np.interp(np.log(lengths), np.log(AMPLITUDES), more)

    def apart(factor: float) -> float:
        return float(_apart(factor * of_plateau).mean()) - limit

    factor = brentq(apart, 1e-3, 1e3)
    return float(_apart(np.maximum(factor * of_plateau + rest, 0.0)).mean())


def _apart(variance: Array) -> Array:
    """That two directions of this variance each about one, itself anywhere, are in different of six sectors."""
    n = SECTORS[3, 2]
    sector, width = 2 * np.pi / n, np.sqrt(2 * np.maximum(variance, 1e-300))
    edge = sector / width
    # E (sector − |N(0, width²)|)₊ over the sector
    inside = erf(edge / np.sqrt(2)) - 2 * (1 - np.exp(-(edge**2) / 2)) / (edge * np.sqrt(2 * np.pi))
    return np.asarray(1 - inside)


def _start(n_units: int, n_targets: int, scale: float) -> tuple[list[tuple[Array, None]], list[tuple[Array, None]]]:
    """A student that leans to nothing, as infinitely many inputs have it, and the teacher."""
    weights = scale * np.eye(n_units, 2 * n_units + n_targets, n_targets)
    teacher = np.eye(n_targets, 2 * n_units + n_targets)
    return [(weights, None), (np.ones((1, n_units)), None)], [(teacher, None), (np.ones((1, n_targets)), None)]


def _size_of_specialisations(linear: Fluctuations, time: int) -> float:
    """d E‖X‖² of one student."""
    width = linear.twins.outputs.shape[-1]
    n_targets = linear.twins.overlaps.shape[-1] - 2 * width
    place = np.flatnonzero((linear.rows < width) & (linear.columns >= 2 * width))
    centred, centred_targets = (np.eye(n) - 1 / n for n in (width, n_targets))
    return float(np.trace(np.kron(centred, centred_targets) @ linear.covariance[time][np.ix_(place, place)]))


@functools.lru_cache(maxsize=64)
def _noise_at_border(
    n_units: int,
    n_targets: int,
    amplitude: float,
    until: float,
    learning_rate: float,
    output_rate: float,
    start_scale: float,
) -> tuple[Array, Array, Array]:
    """Times [n]; d times the variance by length beside the border that noise at them adds in a unit of time, [n]; growth.

    Lengths are those of X at `PLATEAU`, where the solution has the amplitude along the border; growth, [n], is how many
    times as long X beside it is by then, if the amplitude is 0.
    """
    solution = _along_border(n_units, n_targets, amplitude, until, learning_rate, output_rate, start_scale)
    rows, columns = _entries(2 * n_units + n_targets, n_units)
    state = Fluctuations(solution, rows, columns, np.zeros((1, 1, 1)))
    mine = np.flatnonzero((rows < n_units) & ((columns < n_units) | (columns >= 2 * n_units)))
    odd = _odd_part(rows[mine], columns[mine], n_units, n_targets)
    beside = np.zeros(len(mine))
    of_targets = columns[mine] >= 2 * n_units
    beside[of_targets] = _pattern(BESIDE, n_units)[rows[mine][of_targets], columns[mine][of_targets] - 2 * n_units]
    moves, noise = [], []
    points = _points(2 * n_units + n_targets)
    for gram, outputs in zip(solution.overlaps[:-1, 0], solution.outputs[:-1, 0], strict=True):
        arguments = (gram, outputs, learning_rate, output_rate, False)
        jacobian = _jacobian(state, *arguments)[np.ix_(mine, mine)]
        diffusion = _diffusion(state, *arguments, *points)[np.ix_(mine, mine)]
        moves.append(expm(STEP * odd @ jacobian @ odd))
        noise.append(odd @ diffusion @ odd)
    decides = odd @ _decision(solution.overlaps[-1, 0], rows[mine], columns[mine], n_units)
    added, slopes = np.zeros(len(moves)), np.zeros(len(moves))
    for k in range(len(moves) - 1, -1, -1):
        after, decides = decides, decides @ moves[k]
        added[k] = (after @ noise[k] @ after + decides @ noise[k] @ decides) / 2
        slopes[k] = decides @ beside
    return solution.times[:-1] + PLATEAU, added / slopes[0] ** 2, slopes[0] / slopes


def _along_border(
    n_units: int,
    n_targets: int,
    amplitude: float,
    until: float,
    learning_rate: float,
    output_rate: float,
    start_scale: float,
) -> TwinStudents:
    """The solution from the plateau and this amplitude along the border: at the middles of steps, and at the end."""
    start, teacher = _start(n_units, n_targets, start_scale)
    rates = {"learning_rate": learning_rate, "output_rate": output_rate, "spawn_time": until}
    plateau = twin_students(start, start, teacher, [PLATEAU], **rates)
    gram, outputs = plateau.overlaps[0, 0], plateau.outputs[0, :, :1]
    overlaps = gram[:n_units, 2 * n_units :] + amplitude * _pattern(BORDER, n_units)
    own = np.linalg.cholesky(gram[:n_units, :n_units] - overlaps @ overlaps.T)  # what is orthogonal to the teacher
    student = [(np.concatenate([overlaps, own], axis=1), None), (outputs[0], None)]
    target = [(np.eye(n_targets, n_targets + n_units), None), (np.ones((1, n_targets)), None)]
    middles = np.arange(STEP / 2, until - PLATEAU, STEP)
    return twin_students(student, student, target, [*middles, until - PLATEAU], **rates)


def _pattern(three: Array, n_units: int) -> Array:
    """X of length 1, [n_units, n_targets], of specialisations of the three."""
    pattern = np.outer(three, [1, -1]) / np.sqrt(2)
    return pattern if n_units == 3 else pattern.T


def _odd_part(rows: Array, columns: Array, n_units: int, n_targets: int) -> Array:
    """The projection of a student's state on what the reflection turns to its negative."""
    entries = list(zip(rows.tolist(), columns.tolist(), strict=True))
    reflected = np.zeros((len(entries), len(entries)))
    for k, (row, column) in enumerate(entries):
        unit = n_units - 1 - row
        if column < 0:
            image = (unit, column)
        elif column < n_units:
            image = (min(unit, n_units - 1 - column), max(unit, n_units - 1 - column))
        else:
            image = (unit, 4 * n_units + n_targets - 1 - column)
        reflected[k, entries.index(image)] = 1
    return np.asarray((np.eye(len(entries)) - reflected) / 2)


def _decision(gram: Array, rows: Array, columns: Array, n_units: int) -> Array:
    """The derivative of the difference of the two cosines of the middle one of three units, on the border."""
    found = np.zeros(len(rows))
    pairs = ((1, 2 * n_units), (1, 2 * n_units + 1)) if n_units == 3 else ((0, 2 * n_units + 1), (1, 2 * n_units + 1))
    for sign, (unit, target) in zip((1, -1), pairs, strict=True):
        norm, overlap = np.sqrt(gram[unit, unit]), gram[unit, target]
        found[(rows == unit) & (columns == target)] += sign / norm
        found[(rows == unit) & (columns == unit)] -= sign * overlap / (2 * norm**3)
    return found
