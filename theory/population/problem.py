"""A population loss along paths, set up: checked networks, the teacher's share of the loss, evaluation in blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.arguments import Array, finite, number
from theory.curves.smooth_curve import Bend
from theory.layers import Layers, check_layers, check_pairs, covariance_factor, map_chunks, n_networks
from theory.population.activations import Activation, known_activation
from theory.population.bounds import bend
from theory.population.hermite_series import tail
from theory.population.moments import Moments, is_elementary
from theory.population.path_terms import PathTerms
from theory.population.whitened import Whitened, whitened

BLOCK = 2**16  # elements of a temporary: a few of them fit a second-level cache
DOUBTFUL_COEFFICIENTS = 16  # of order one, in a series whose coefficients are sums themselves


class _Tails(NamedTuple):
    """What units leave out of their series, each [n_networks, width]: see `hermite_series.tail`."""

    activation: Activation
    sizes: Array  # Σ_o |v_oi|, the weight of a unit in the outputs
    cut: Array  # √A_K
    wrong: Array  # the error of coefficients

    def sum_of_remainders(self) -> Array:
        return (self.sizes * self.cut).sum(axis=1)


class PopulationProblem:
    """The loss of students on the paths from a to b against a teacher; arguments and errors as `population_path`'s.

    Attributes:
        n_pairs: how many paths there are.
        moments: how moments of the two activations are computed.
        start: the students at α = 0.
        change: by how much they change from α = 0 to 1.
        teacher: one network, or one for each pair.
        teacher_mean: A e* [n_teachers, n_outputs] with e* = E τ(u*).
        teacher_energy: ½ tr(AᵀA I(T)) [n_teachers].

    Example:
        >>> one, two, target = ([(np.array([[w]]), None), (np.ones((1, 1)), None)] for w in (1.0, 2.0, 3.0))
        >>> problem = PopulationProblem(one, two, target, "identity", "identity")
        >>> problem.evaluate(np.array([0]), np.array([[0.0, 1.0]]), False)[0].tolist()  # ½ (3 − 1)², ½ (3 − 2)²
        [[2.0, 0.5]]
    """

    def __init__(
        self,
        a: Layers,
        b: Layers,
        teacher: Layers,
        activation: Activation,
        teacher_activation: Activation,
        *,
        covariance: ArrayLike | None = None,
        mean: ArrayLike | None = None,
        negative_slope: float = 0.01,
    ) -> None:
        known_activation(activation)
        known_activation(teacher_activation, "teacher_activation")
        layers_a, layers_b, self.n_pairs = check_pairs(a, b, depth=2)
        layers_teacher = check_layers(teacher, "teacher", depth=2)
        n_inputs, n_outputs = layers_a[0][0].shape[2], layers_a[1][0].shape[1]
        teacher_inputs, teacher_outputs = layers_teacher[0][0].shape[2], layers_teacher[1][0].shape[1]
        if (teacher_inputs, teacher_outputs) != (n_inputs, n_outputs):
            raise ValueError(
                f"teacher maps {teacher_inputs} inputs to {teacher_outputs} outputs, "
                f"the networks {n_inputs} to {n_outputs}; they must agree"
            )
        if n_networks(layers_teacher) not in (1, self.n_pairs):
            raise ValueError(
                f"teacher holds {n_networks(layers_teacher)} networks; "
                f"give one, or one for each of the {self.n_pairs} pairs"
            )
        factor = covariance_factor(covariance, n_inputs)
        centre = np.zeros(n_inputs) if mean is None else finite("mean", mean)
        if centre.shape != (n_inputs,):
            raise ValueError(f"mean has shape {centre.shape}; give [{n_inputs}]")

        centred = layers_a[0][1] is None and layers_teacher[0][1] is None and not centre.any()
        slope = number("negative_slope", negative_slope)
        self.moments = Moments(activation, teacher_activation, slope, centred)
        self.start = whitened(layers_a, factor, centre)
        self.change = whitened(layers_b, factor, centre).minus(self.start)
        self.teacher = whitened(layers_teacher, factor, centre)
        self.has_output_bias = layers_a[1][1] is not None or layers_teacher[1][1] is not None
        self.teacher_mean, self.teacher_energy = self._teacher_terms()

    def _teacher_terms(self) -> tuple[Array, Array]:
        """A e* [n_teachers, n_outputs] and ½ tr(AᵀA I(T)) [n_teachers]."""
        star = self.teacher
        activation = self.moments.teacher
        overlap = star.weight @ star.weight.swapaxes(1, 2)
        norms = np.einsum("nii->ni", overlap)
        units = self.moments.units(activation, star.mean, norms)
        n, width = norms.shape
        rows, columns = np.repeat(np.arange(width), width), np.tile(np.arange(width), width)
        c12 = overlap.reshape(n, width * width)
        moment = self.moments.moment(activation, activation, units.take(rows), units.take(columns), c12, False)
        outputs = (star.output.swapaxes(1, 2) @ star.output).reshape(n, width * width)
        energy = (outputs * moment.value).sum(axis=1) / 2
        first = self.moments.first_moments(activation, units, star.mean)[0]
        return (star.output @ first[:, :, None])[:, :, 0], energy

    def teacher_of(self, rows: NDArray[np.int64]) -> Whitened:
        """The teachers of the pairs `rows`; one that is all pairs' stays one."""
        return self.teacher if len(self.teacher.weight) == 1 else self.teacher.take(rows)

    def series_error(self) -> Array:
        """Estimated error of L from cutting series, [n_pairs]: the larger of both ends; zero in closed form.

        Each pair of units contributes its weight in the loss times the remainder √A_K √B_K, and DOUBTFUL_COEFFICIENTS
        coefficients of order one that may be off.
        """
        worst = np.zeros(self.n_pairs)
        teacher = self._tails(self.moments.teacher, self.teacher)
        for alpha in (0.0, 1.0):
            network = Whitened(*(start + alpha * change for start, change in zip(self.start, self.change, strict=True)))
            student = self._tails(self.moments.student, network)
            total = np.zeros(self.n_pairs)
            for u, w in ((student, student), (student, teacher), (teacher, teacher)):
                if not is_elementary(u.activation, w.activation):
                    total = total + u.sum_of_remainders() * w.sum_of_remainders()
                    wrong_u, wrong_w = (u.sizes * u.wrong).sum(axis=1), (w.sizes * w.wrong).sum(axis=1)
                    coefficients = wrong_u * w.sizes.sum(axis=1) + u.sizes.sum(axis=1) * wrong_w
                    total = total + DOUBTFUL_COEFFICIENTS * coefficients
            worst = np.maximum(worst, total)
        return worst

    def _tails(self, activation: Activation, network: Whitened) -> _Tails:
        """What the units of these networks leave out of their series."""
        moments = self.moments
        cut, wrong = tail(activation, network.mean, network.norms(), moments.n_terms, moments.negative_slope)
        return _Tails(activation, np.abs(network.output).sum(axis=1), cut, wrong)

    def evaluate(self, rows: NDArray[np.int64], alphas: Array, with_derivative: bool) -> tuple[Array, Array | None]:
        """L and dL/dα [n_rows, n_alphas] of the pairs `rows` [n_rows] at alphas [n_rows, n_alphas].

        Raises:
            ValueError: one of them is beyond float64, as powers that a `Polynomial` takes may be.
        """
        value = np.empty(alphas.shape)
        derivative = np.empty(alphas.shape) if with_derivative else None
        width, teacher_width = self.start.weight.shape[1], self.teacher.weight.shape[1]
        n_terms = width * (width + 1) // 2 + width * (teacher_width + 2 * self.moments.n_terms)
        alphas_per_block = max(1, BLOCK // n_terms)

        def chunk(part: slice) -> None:
            terms = PathTerms(self, rows[part])
            for first in range(0, alphas.shape[1], alphas_per_block):
                columns = slice(first, first + alphas_per_block)
                result = terms.evaluate(alphas[part, columns], with_derivative)
                value[part, columns] = result[0]
                if derivative is not None:
                    derivative[part, columns] = result[1]

        n_columns = min(alphas.shape[1], alphas_per_block)
        # one thread: numpy's calls are too short here for two to share the interpreter lock without loss
        with np.errstate(over="ignore", invalid="ignore"):
            map_chunks(chunk, len(rows), BLOCK // (n_terms * max(1, n_columns)), n_threads=1)
        if not np.isfinite(value).all():
            raise ValueError("powers of pre-activations are beyond float64; drop diverged networks first")
        return value, derivative

    def bend(self, rows: NDArray[np.int64], pieces: Array, losses: Array) -> Bend:
        """How far the curves `rows` [n] can bend on pieces [n, 2] with these losses at their ends."""
        out = np.empty((3, len(rows)))

        def chunk(part: slice) -> None:
            start, change = self.start.take(rows[part]), self.change.take(rows[part])
            out[:, part] = bend(start, change, self.teacher_of(rows[part]), self.moments, pieces[part], losses[part])

        map_chunks(chunk, len(rows), BLOCK // int(np.prod(self.start.weight.shape[1:])), n_threads=1)
        return Bend(*out)
