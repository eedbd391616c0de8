"""The population loss along paths, from coefficients in α of the order parameters.

Along θ(α) = (1−α) θ_A + α θ_B the matrices Q and VᵀV are quadratic in α; R, VᵀA, the means and δ are linear. So their
coefficients are computed once for each pair, and L(α) and dL/dα at any α cost the moments I alone. Norms are kept as
Q_ii(α) = |w⊥|² + (α − α*)² |Δw|², which stays accurate where a unit passes through zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from theory.arguments import Array
from theory.population.moments import Units

if TYPE_CHECKING:
    from theory.population.problem import PopulationProblem


class _Point(NamedTuple):
    """The students at the alphas asked for: n pairs, k alphas, units of one width."""

    powers: Array  # 1, α, α² [n, k, 3]
    power_rates: Array  # 0, 1, 2α
    mean: Array  # of the pre-activations [n, k, width]
    mean_rate: Array  # dm/dα [n, 1, width]
    norm_rate: Array  # dQ_ii/dα [n, k, width]
    log_norm_rate: Array  # d log Q_ii/dα; 0 where Q_ii is 0
    units: Units  # [n, k, width]


class PathTerms:
    """The loss of the pairs `rows` of a problem, at any alphas.

    Args:
        problem: students, teacher and moments.
        rows: [n] numbers of pairs.

    Example:
        >>> from theory.population.problem import PopulationProblem
        >>> one, two, target = ([(np.array([[w]]), None), (np.ones((1, 1)), None)] for w in (1.0, 2.0, 3.0))
        >>> terms = PathTerms(PopulationProblem(one, two, target, "identity", "identity"), np.array([0]))
        >>> value, rate = terms.evaluate(np.array([[0.0, 0.5]]), True)  # ½ (2 − α)²
        >>> value.tolist(), rate.tolist()
        ([[2.0, 1.125]], [[-2.0, -1.5]])
    """

    def __init__(self, problem: PopulationProblem, rows: NDArray[np.int64]) -> None:
        self.moments = problem.moments
        self.start, self.change = problem.start.take(rows), problem.change.take(rows)
        teacher = problem.teacher_of(rows)
        single = len(problem.teacher_energy) == 1
        self.teacher_mean = problem.teacher_mean if single else problem.teacher_mean[rows]
        self.teacher_energy = problem.teacher_energy if single else problem.teacher_energy[rows]
        self.teacher_units = self.moments.units(self.moments.teacher, teacher.mean, teacher.norms())
        self.has_output_bias = problem.has_output_bias
        self.bias = self.start.bias - teacher.bias

        weight, weight_change = self.start.weight, self.change.weight
        outputs = self.start.output.swapaxes(1, 2)
        output_change = self.change.output.swapaxes(1, 2)
        # pairs (i, j) of units with i ≤ j; a pair of two different units counts twice
        self.first, self.second = np.triu_indices(weight.shape[1])
        self.same = np.flatnonzero(self.first == self.second)
        times = np.where(self.first == self.second, 1.0, 2.0)
        self.overlaps = self._of_pairs(weight, weight_change)
        self.output_weights = (self._of_pairs(outputs, output_change) * times).swapaxes(1, 2)
        self.teacher_overlaps = _linear(weight, weight_change, teacher.weight)
        self.teacher_weights = _linear(outputs, output_change, teacher.output.swapaxes(1, 2)).swapaxes(1, 2)

        self.speed = self.change.norms()  # |Δw|²
        inverse = np.divide(1.0, self.speed, out=np.zeros_like(self.speed), where=self.speed > 0)
        self.nearest = -np.vecdot(weight, weight_change) * inverse  # α*
        closest = weight + self.nearest[:, :, None] * weight_change
        self.least_norms = np.vecdot(closest, closest)  # |w⊥|²

    def _of_pairs(self, x: Array, dx: Array) -> Array:
        """Coefficients in α of X Xᵀ for the pairs of units i ≤ j, X = x + α dx, [n, 3, n_unit_pairs]."""
        n, width, _ = x.shape
        cross = x @ dx.swapaxes(1, 2)
        matrices = (x @ x.swapaxes(1, 2), cross + cross.swapaxes(1, 2), dx @ dx.swapaxes(1, 2))
        pairs = self.first * width + self.second
        return np.stack([matrix.reshape(n, width * width).take(pairs, axis=1) for matrix in matrices], axis=1)

    def evaluate(self, alphas: Array, with_derivative: bool) -> tuple[Array, Array | None]:
        """L and dL/dα (None where not asked for) at alphas [n, k], each [n, k]."""
        point = self._at(alphas)
        value, rate = self._students_with_each_other(point, with_derivative)
        value += self.teacher_energy[:, None]
        cross, cross_rate = self._students_with_teacher(point, with_derivative)
        value -= cross
        if rate is not None and cross_rate is not None:
            rate -= cross_rate
        if self.has_output_bias:
            surplus, surplus_rate = self._biases(point, alphas[:, :, None])
            value += surplus
            if rate is not None:
                rate += surplus_rate
        return value, rate

    def _at(self, alphas: Array) -> _Point:
        t = alphas[:, :, None]
        one = np.ones_like(t)
        away = t - self.nearest[:, None, :]
        norms = self.least_norms[:, None, :] + away**2 * self.speed[:, None, :]
        norm_rate = 2 * away * self.speed[:, None, :]
        mean_rate = self.change.mean[:, None, :]
        mean = self.start.mean[:, None, :] + t * mean_rate
        return _Point(
            powers=np.concatenate([one, t, t * t], axis=2),
            power_rates=np.concatenate([np.zeros_like(t), one, 2 * t], axis=2),
            mean=mean,
            mean_rate=mean_rate,
            norm_rate=norm_rate,
            log_norm_rate=np.divide(norm_rate, norms, out=np.zeros_like(norms), where=norms > 0),
            units=self.moments.units(self.moments.student, mean, norms),
        )

    def _students_with_each_other(self, point: _Point, with_derivative: bool) -> tuple[Array, Array | None]:
        """½ tr(VᵀV I(Q)) and its derivative by α, [n, k]."""
        activation = self.moments.student
        first, second = point.units.take(self.first), point.units.take(self.second)
        c12 = point.powers @ self.overlaps  # [n, k, n_unit_pairs]
        if activation == "erf":  # whose correlation with itself is below 1 by less than rounding, if weights are large
            c12[:, :, self.same] = point.units.norms
        moment = self.moments.moment(activation, activation, first, second, c12, with_derivative)
        weighted = moment.value @ self.output_weights  # Σ over unit pairs, with each coefficient of VᵀV [n, k, 3]
        value = np.vecdot(point.powers, weighted) / 2
        if not with_derivative:
            return value, None
        change = moment.c12 * (point.power_rates @ self.overlaps)
        change += moment.log_c11 * point.log_norm_rate.take(self.first, 2)
        change += moment.log_c22 * point.log_norm_rate.take(self.second, 2)
        if not self.moments.centred:
            by_mean_u = moment.mean_u * point.mean_rate.take(self.first, 2)
            by_mean_w = moment.mean_w * point.mean_rate.take(self.second, 2)
            change += by_mean_u + by_mean_w
        rate = np.vecdot(point.power_rates, weighted) + np.vecdot(point.powers, change @ self.output_weights)
        return value, rate / 2

    def _students_with_teacher(self, point: _Point, with_derivative: bool) -> tuple[Array, Array | None]:
        """tr(VᵀA I(R)ᵀ) and its derivative by α, [n, k]; pairs of units are [n, k, width · teacher width]."""
        width, teacher_width = self.speed.shape[1], self.teacher_units.norms.shape[1]
        students = point.units.take(np.repeat(np.arange(width), teacher_width))
        teachers = self.teacher_units.take(np.tile(np.arange(teacher_width), width)).at_every_alpha()
        linear = point.powers[:, :, :2]
        moment = self.moments.moment(
            self.moments.student,
            self.moments.teacher,
            students,
            teachers,
            linear @ self.teacher_overlaps,
            with_derivative,
        )
        weighted = moment.value @ self.teacher_weights  # with each coefficient of VᵀA [n, k, 2]
        value = np.vecdot(linear, weighted)
        if not with_derivative:
            return value, None
        change = moment.c12 * self.teacher_overlaps[:, 1:]
        change += moment.log_c11 * point.log_norm_rate.repeat(teacher_width, 2)
        if not self.moments.centred:
            change += moment.mean_u * point.mean_rate.repeat(teacher_width, 2)
        return value, weighted[:, :, 1] + np.vecdot(linear, change @ self.teacher_weights)

    def _biases(self, point: _Point, t: Array) -> tuple[Array, Array]:
        """½‖δ‖² + δ·(V e − A e*) and its derivative by α, [n, k]; t is α [n, k, 1]."""
        gap_rate = self.change.bias[:, None, :]
        gap = self.bias[:, None, :] + t * gap_rate  # δ
        output_rate = self.change.output[:, None]
        output = self.start.output[:, None] + t[..., None] * output_rate
        e, e_by_mean, e_by_mean_twice = self.moments.first_moments(self.moments.student, point.units, point.mean)
        surplus = np.vecdot(output, e[:, :, None, :]) - self.teacher_mean[:, None, :]
        # by the heat equation ∂e/∂Q_ii = ½ ∂²e/∂m²
        e_rate = e_by_mean * point.mean_rate + e_by_mean_twice * point.norm_rate / 2
        surplus_rate = np.vecdot(output_rate, e[:, :, None, :]) + np.vecdot(output, e_rate[:, :, None, :])
        value = np.vecdot(gap, gap / 2 + surplus)
        return value, np.vecdot(gap_rate, gap + surplus) + np.vecdot(gap, surplus_rate)


def _linear(x: Array, dx: Array, star: Array) -> Array:
    """Coefficients in α of (x + α dx) starᵀ, [n, 2, width · teacher width]."""
    transposed = star.swapaxes(1, 2)
    return np.stack([(part @ transposed).reshape(len(x), -1) for part in (x, dx)], axis=1)
