"""Exact population loss of two-layer networks on Gaussian inputs, and its curve along straight paths.

x ~ N(μ, Σ), student f(x) = V σ(W x + b) + c, teacher f*(x) = A τ(W* x + b*) + c*. The pre-activations are
jointly Gaussian, with means m = W μ + b and covariances (order parameters, Saad & Solla 1995)

    Q = W Σ Wᵀ      R = W Σ W*ᵀ      T = W* Σ W*ᵀ

and the loss depends on the weights through them alone: with δ = c − c*, I the moments of `gaussian_moments`,
e = E σ(u), e* = E τ(u*),

    L = ½ E‖f − f*‖² = ½ tr(VᵀV I(Q)) + ½ tr(AᵀA I(T)) − tr(VᵀA I(R)ᵀ) + ½‖δ‖² + δ·(V e − A e*).

Along θ(α) = (1−α) θ_A + α θ_B the matrices Q and VᵀV are quadratic in α and R, VᵀA, m, δ are linear, so L(α)
and dL/dα are exact at every α. Norms Q_ii(α) are kept as |w⊥|² + (α − α*)² |Δw|², which stays accurate where
a unit passes through zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.curves.smooth_curve import Bend, SmoothCurve
from theory.layers import (
    Array,
    CheckedLayers,
    Layers,
    check_layers,
    check_pairs,
    covariance_factor,
    finite,
    map_chunks,
    n_networks,
)
from theory.population.bounds import TwoLayers, bend
from theory.population.gaussian_moments import CLOSED_FORM_ACTIVATIONS, Moment, pair_moment, smoothed
from theory.population.hermite_series import (
    SMALLEST_VARIANCE,
    Activation,
    coefficients,
    known_activation,
    moment_of,
    tail,
    terms_needed,
)

BLOCK = 2**16  # elements of a temporary: a few of them fit a second-level cache


class _Units(NamedTuple):
    """Gaussian pre-activations [..., n_units]: means (None: zero), variances, coefficients of a series if one is used."""

    mean: Array | None
    norms: Array
    series: Array | None

    def take(self, units: NDArray[np.int64]) -> _Units:
        return _Units(*(None if part is None else part.take(units, -1) for part in self))  # type: ignore[arg-type]

    def at_every_alpha(self) -> _Units:
        return _Units(*(None if part is None else part[..., None, :] for part in self))  # type: ignore[arg-type]


def _moment(
    activation: Activation, other: Activation, u: _Units, w: _Units, c12: Array, slope: float, gradient: bool
) -> Moment:
    if u.series is not None and w.series is not None and not _is_elementary(activation, other):
        return moment_of(u.series, w.series, u.norms, c12, w.norms, gradient)
    assert isinstance(activation, str) and isinstance(other, str)
    return pair_moment(activation, other, u.mean, w.mean, u.norms, c12, w.norms, slope, gradient)


def _is_elementary(activation: Activation, other: Activation) -> bool:
    """Are the moments of both, and of one with the other, closed forms of `gaussian_moments`?"""
    names = {activation, other}
    return names <= set(CLOSED_FORM_ACTIVATIONS) and not ("erf" in names and names & {"relu", "leaky_relu"})


def population_loss(
    student: Layers,
    teacher: Layers,
    activation: Activation,
    *,
    teacher_activation: Activation | None = None,
    covariance: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    negative_slope: float = 0.01,
) -> Array:
    """L = ½ E‖f(x) − f*(x)‖² of each student, [n_networks]. Arguments and errors as for `population_path`."""
    curve = population_path(
        student,
        student,
        teacher,
        activation,
        teacher_activation=teacher_activation,
        covariance=covariance,
        mean=mean,
        negative_slope=negative_slope,
    )
    return curve(np.zeros(1))[:, 0]


def population_path(
    a: Layers,
    b: Layers,
    teacher: Layers,
    activation: Activation,
    *,
    teacher_activation: Activation | None = None,
    covariance: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    negative_slope: float = 0.01,
    tol: float = 1e-6,
) -> SmoothCurve:
    """The exact curve L(α) = ½ E‖f_α(x) − f*(x)‖², x ~ N(mean, covariance), between networks a and b.

    a, b       two layers, W_1 [n_pairs, width, n_inputs], b_1 [n_pairs, width] or None,
               W_2 [n_pairs, n_outputs, width], b_2 [n_pairs, n_outputs] or None; or single networks
    teacher    two layers of any width with the same inputs and outputs; one for all pairs, or one each
    activation identity, square, relu, leaky_relu or erf (meaning erf(u/√2)), in closed form; a `Polynomial`, exact; or
               tanh or gelu, or relu with erf, by Hermite series: then the curve's kind is "approximate", and its
               `error` [n_pairs] the estimate of `hermite_series` at both ends of the path
    teacher_activation  the teacher's, if it differs
    covariance [n_inputs, n_inputs], symmetric positive semidefinite; None is the identity
    mean       [n_inputs]; None is zero. Without it and first-layer biases, relu and erf are 20 times faster

    tol        how certain maxima are: `bounds` shows that L is nowhere higher than the one returned by more than
               tol max L; 1e-12 takes twice the time of 1e-6

    L is a difference of sums: its absolute error is about 1e-15 Σ_ij |(VᵀV)_ij I_ij|, also where L is 0.
    Raises ValueError where shapes do not fit, an activation is unknown, the covariance is not one, a number is
    not finite, or tol is not above 0.
    """
    path = _PopulationPath(
        a, b, teacher, activation, teacher_activation or activation, covariance, mean, negative_slope
    )
    curve = SmoothCurve(path.n_pairs, path.evaluate, bend=path.bend, tol=tol)
    if path.n_terms:
        error = path.series_error()
        if error.any():
            curve.kind, curve.error = "approximate", error
    return curve


class _PopulationPath:
    def __init__(
        self,
        a: Layers,
        b: Layers,
        teacher: Layers,
        activation: Activation,
        teacher_activation: Activation,
        covariance: ArrayLike | None,
        mean: ArrayLike | None,
        negative_slope: float,
    ) -> None:
        self.activation = known_activation(activation)
        self.teacher_activation = known_activation(teacher_activation, "teacher_activation")
        self.n_terms = (
            0
            if _is_elementary(activation, teacher_activation)
            else max(terms_needed(activation, activation), terms_needed(teacher_activation, teacher_activation))
        )  # 0: closed form
        self.slope = float(finite("negative_slope", negative_slope))
        layers_a, layers_b, self.n_pairs = check_pairs(a, b, depth=2)
        star = check_layers(teacher, "teacher", depth=2)
        n_inputs, n_outputs = layers_a[0][0].shape[2], layers_a[1][0].shape[1]
        if (star[0][0].shape[2], star[1][0].shape[1]) != (n_inputs, n_outputs):
            raise ValueError(
                f"teacher maps {star[0][0].shape[2]} inputs to {star[1][0].shape[1]} outputs, the networks {n_inputs} to {n_outputs}; they must agree"
            )
        if n_networks(star) not in (1, self.n_pairs):
            raise ValueError(
                f"teacher holds {n_networks(star)} networks; give one, or one for each of the {self.n_pairs} pairs"
            )
        factor = covariance_factor(covariance, n_inputs)
        centre = np.zeros(n_inputs) if mean is None else finite("mean", mean)
        if centre.shape != (n_inputs,):
            raise ValueError(f"mean has shape {centre.shape}; give [{n_inputs}]")

        self.centred = layers_a[0][1] is None and star[0][1] is None and not centre.any()
        self.start = _whitened(layers_a, factor, centre)
        (w, m, v, c), (w_b, m_b, v_b, c_b) = self.start, _whitened(layers_b, factor, centre)
        self.change = w_b - w, m_b - m, v_b - v, c_b - c
        self.teacher = _whitened(star, factor, centre)
        self.has_output_bias = layers_a[1][1] is not None or star[1][1] is not None
        self.teacher_mean, self.teacher_energy = self._teacher_terms()
        self.pairs_of_units = np.triu_indices(self.start[0].shape[1])

    def moment(self, other: Activation, u: _Units, w: _Units, c12: Array, gradient: bool) -> Moment:
        """E σ(u) τ(w) of student units u with units w of the activation `other`."""
        return _moment(self.activation, other, u, w, c12, self.slope, gradient)

    def units(self, activation: Activation, mean: Array, norms: Array) -> _Units:
        """Units with these means and variances [...]; for a series, with their coefficients."""
        series = coefficients(activation, mean, norms, self.n_terms + 2, self.slope) if self.n_terms else None
        return _Units(None if self.centred else mean, norms, series)

    def first_moments(self, units: _Units, mean: Array) -> list[Array]:
        """E σ(u), and its first and second derivative by the mean."""
        if units.series is None:
            assert isinstance(self.activation, str)
            return smoothed(self.activation, mean, units.norms, 2, self.slope)
        root = np.sqrt(np.maximum(units.norms, SMALLEST_VARIANCE))
        return [units.series[0], units.series[1] / root, np.sqrt(2) * units.series[2] / root**2]

    def series_error(self) -> Array:
        """Estimated error of L, [n_pairs]: of every moment at both ends, by the weight it has there."""
        star = tail(
            self.teacher_activation,
            self.teacher[1],
            np.vecdot(self.teacher[0], self.teacher[0]),
            self.n_terms,
            self.slope,
        )
        worst = np.zeros(self.n_pairs)
        for t in (0.0, 1.0):
            weight, mean, output, _ = (
                start + t * change for start, change in zip(self.start, self.change, strict=True)
            )
            own = tail(self.activation, mean, np.vecdot(weight, weight), self.n_terms, self.slope)
            ours = (self.activation, np.abs(output).sum(axis=1), *own)
            theirs = (self.teacher_activation, np.abs(self.teacher[2]).sum(axis=1), *star)
            total = np.zeros(self.n_pairs)
            for (sigma, sizes_u, cut_u, off_u), (tau, sizes_w, cut_w, off_w) in (
                (ours, ours),
                (ours, theirs),
                (theirs, theirs),
            ):
                if not _is_elementary(sigma, tau):
                    # the remainder √A_K √B_K of each pair of units, and 16 coefficients of order one that may be off
                    total = total + (sizes_u * cut_u).sum(axis=1) * (sizes_w * cut_w).sum(axis=1)
                    total = total + 16 * (
                        (sizes_u * off_u).sum(axis=1) * sizes_w.sum(axis=1)
                        + sizes_u.sum(axis=1) * (sizes_w * off_w).sum(axis=1)
                    )
            worst = np.maximum(worst, total)
        return worst

    def _teacher_terms(self) -> tuple[Array, Array]:
        """A e* [n_teachers, n_outputs] and ½ tr(AᵀA I(T)) [n_teachers]."""
        weight, mean, output, _ = self.teacher
        overlap = weight @ weight.swapaxes(1, 2)
        norms = np.einsum("nii->ni", overlap)
        units = self.units(self.teacher_activation, mean, norms)
        m = norms.shape[1]
        rows, columns = np.repeat(np.arange(m), m), np.tile(np.arange(m), m)
        both = self.teacher_activation
        moment = _moment(
            both, both, units.take(rows), units.take(columns), overlap.reshape(len(norms), m * m), self.slope, False
        )
        energy = ((output.swapaxes(1, 2) @ output).reshape(len(norms), m * m) * moment.value).sum(axis=1) / 2
        if units.series is None:
            assert isinstance(both, str)
            first = smoothed(both, mean, norms, 0, self.slope)[0]
        else:
            first = units.series[0]
        return (output @ first[:, :, None])[:, :, 0], energy

    def evaluate(self, rows: NDArray[np.int64], alphas: Array, with_derivative: bool) -> tuple[Array, Array | None]:
        """L and dL/dα [n_rows, n_alphas] of the pairs `rows` [n_rows] at alphas [n_rows, n_alphas]."""
        value = np.empty(alphas.shape)
        derivative = np.empty(alphas.shape) if with_derivative else None
        n_terms = self.pairs_of_units[0].size + self.start[0].shape[1] * (self.teacher[0].shape[1] + 2 * self.n_terms)
        alphas_per_block = max(1, BLOCK // n_terms)

        def chunk(part: slice) -> None:
            pairs = _PairTerms(self, rows[part])
            for first in range(0, alphas.shape[1], alphas_per_block):
                columns = slice(first, first + alphas_per_block)
                result = pairs.evaluate(alphas[part, columns], with_derivative)
                value[part, columns] = result[0]
                if derivative is not None:
                    derivative[part, columns] = result[1]

        n_columns = min(alphas.shape[1], alphas_per_block)
        # one thread: numpy's calls are too short here for two to share the interpreter lock without loss
        map_chunks(chunk, len(rows), BLOCK // (n_terms * max(1, n_columns)), n_threads=1)
        return value, derivative

    def bend(self, rows: NDArray[np.int64], pieces: Array, losses: Array) -> Bend:
        """How far the curves `rows` [n] can bend on pieces [n, 2] with these losses at their ends."""
        out = np.empty((3, len(rows)))
        one_teacher = len(self.teacher[0]) == 1

        def chunk(part: slice) -> None:
            start, change = _take(self.start, rows[part]), _take(self.change, rows[part])
            star = self.teacher if one_teacher else _take(self.teacher, rows[part])
            activations = (self.activation, self.teacher_activation)
            out[:, part] = bend(start, change, star, activations, self.slope, self.centred, pieces[part], losses[part])

        map_chunks(chunk, len(rows), BLOCK // self.start[0][0].size, n_threads=1)
        return Bend(*out)


class _PairTerms:
    """The coefficients in α of everything the loss of some pairs needs, and the loss itself."""

    def __init__(self, path: _PopulationPath, rows: NDArray[np.int64]) -> None:
        self.path = path
        self.start, self.change = _take(path.start, rows), _take(path.change, rows)
        star = path.teacher if len(path.teacher[0]) == 1 else _take(path.teacher, rows)
        star_norms = np.vecdot(star[0], star[0])
        self.star_units = path.units(path.teacher_activation, star[1], star_norms)
        single = len(path.teacher_energy) == 1
        self.teacher_mean, self.energy = (
            part if single else part[rows] for part in (path.teacher_mean, path.teacher_energy)
        )
        (w, _, v, c), (dw, _, dv, dc) = self.start, self.change
        vt, dvt = v.swapaxes(1, 2), dv.swapaxes(1, 2)
        self.overlaps = self._upper_triangle(w, dw)
        self.outputs = self._upper_triangle(vt, dvt) * np.where(
            path.pairs_of_units[0] == path.pairs_of_units[1], 1.0, 2.0
        )
        self.teacher_overlaps = _linear(w, dw, star[0])
        self.teacher_outputs = _linear(vt, dvt, star[2].swapaxes(1, 2))
        self.bias, self.has_bias = (c - star[3], dc), path.has_output_bias
        # |w(α)|² = |w⊥|² + (α − α*)² |Δw|²
        self.speed = np.vecdot(dw, dw)
        inverse = np.divide(1.0, self.speed, out=np.zeros_like(self.speed), where=self.speed > 0)
        self.nearest = -np.vecdot(w, dw) * inverse
        closest = w + self.nearest[:, :, None] * dw
        self.least = np.vecdot(closest, closest)

    def _upper_triangle(self, x: Array, dx: Array) -> Array:
        """Coefficients in α of the upper triangle of X Xᵀ, X = x + α dx, [n, 3, n_unit_pairs]."""
        n, m, _ = x.shape
        flat = self.path.pairs_of_units[0] * m + self.path.pairs_of_units[1]
        cross = x @ dx.swapaxes(1, 2)
        matrices = (x @ x.swapaxes(1, 2), cross + cross.swapaxes(1, 2), dx @ dx.swapaxes(1, 2))
        return np.stack([matrix.reshape(n, m * m).take(flat, axis=1) for matrix in matrices], axis=1)

    def evaluate(self, alphas: Array, with_derivative: bool) -> tuple[Array, Array | None]:
        """L and dL/dα at alphas [n, k]."""
        path, (first, second) = self.path, self.path.pairs_of_units
        width, n_teacher = self.speed.shape[1], self.star_units.norms.shape[1]
        t = alphas[:, :, None]
        powers = np.concatenate([np.ones_like(t), t, t * t], axis=2)  # [n, k, 3]
        away = t - self.nearest[:, None, :]
        norms = self.least[:, None, :] + away**2 * self.speed[:, None, :]  # [n, k, width]
        mean_rate = self.change[1][:, None, :]
        mean = self.start[1][:, None, :] + t * mean_rate

        # Students with each other: the upper triangle, [n, k, n_unit_pairs].
        units = path.units(path.activation, mean, norms)
        moment = path.moment(
            path.activation, units.take(first), units.take(second), powers @ self.overlaps, with_derivative
        )
        weights = self.outputs.swapaxes(1, 2)
        weighted = moment.value @ weights  # sums over unit pairs with each coefficient of VᵀV, [n, k, 3]
        value = np.vecdot(powers, weighted) / 2 + self.energy[:, None]

        # Students with the teacher, [n, k, width · teacher width].
        ours, theirs = np.repeat(np.arange(width), n_teacher), np.tile(np.arange(n_teacher), width)
        star = self.star_units.take(theirs).at_every_alpha()
        against = path.moment(
            path.teacher_activation, units.take(ours), star, powers[:, :, :2] @ self.teacher_overlaps, with_derivative
        )
        star_weights = self.teacher_outputs.swapaxes(1, 2)
        star_weighted = against.value @ star_weights
        value -= np.vecdot(powers[:, :, :2], star_weighted)

        if self.has_bias:
            gap_rate, output_rate = self.bias[1][:, None, :], self.change[2][:, None]
            gap = self.bias[0][:, None, :] + t * gap_rate
            output = self.start[2][:, None] + t[..., None] * output_rate
            e, e_by_mean, e_by_mean_twice = path.first_moments(units, mean)
            surplus = np.vecdot(output, e[:, :, None, :]) - self.teacher_mean[:, None, :]  # V e − A e*
            value += np.vecdot(gap, gap / 2 + surplus)
        if not with_derivative:
            return value, None

        power_rates = np.concatenate([np.zeros_like(t), np.ones_like(t), 2 * t], axis=2)
        norm_rate = 2 * away * self.speed[:, None, :]
        log_rate = np.divide(norm_rate, norms, out=np.zeros_like(norms), where=norms > 0)
        change = moment.c12 * (power_rates @ self.overlaps)
        change += moment.log_c11 * log_rate.take(first, 2)
        change += moment.log_c22 * log_rate.take(second, 2)
        star_change = against.c12 * self.teacher_overlaps[:, 1:]
        star_change += against.log_c11 * log_rate.repeat(n_teacher, 2)
        if not path.centred:
            change += moment.mean_u * mean_rate.take(first, 2) + moment.mean_w * mean_rate.take(second, 2)
            star_change += against.mean_u * mean_rate.repeat(n_teacher, 2)
        rate = (np.vecdot(power_rates, weighted) + np.vecdot(powers, change @ weights)) / 2
        rate -= star_weighted[:, :, 1] + np.vecdot(powers[:, :, :2], star_change @ star_weights)
        if self.has_bias:
            e_rate = e_by_mean * mean_rate + e_by_mean_twice * norm_rate / 2
            surplus_rate = np.vecdot(output_rate, e[:, :, None, :]) + np.vecdot(output, e_rate[:, :, None, :])
            rate += np.vecdot(gap_rate, gap + surplus) + np.vecdot(gap, surplus_rate)
        return value, rate


def _take(networks: TwoLayers, rows: NDArray[np.int64]) -> TwoLayers:
    weight, mean, output, bias = networks
    return weight[rows], mean[rows], output[rows], bias[rows]


def _whitened(layers: CheckedLayers, factor: Array, centre: Array) -> TwoLayers:
    """W Σ^½, the means W μ + b, V, and c of two-layer networks; zeros for biases that are not there."""
    (weight, bias), (output, output_bias) = layers
    mean = weight @ centre
    if bias is not None:
        mean = mean + bias
    return weight @ factor, mean, output, np.zeros(output.shape[:2]) if output_bias is None else output_bias


def _linear(x: Array, dx: Array, star: Array) -> Array:
    """Coefficients in α of (x + α dx) starᵀ, [n, 2, width · teacher width]."""
    star = star.swapaxes(1, 2)
    return np.stack([(part @ star).reshape(len(x), -1) for part in (x, dx)], axis=1)
