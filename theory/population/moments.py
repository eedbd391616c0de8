"""The moments that a population loss needs: in closed form where there is one, else as Hermite series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theory.arguments import Array
from theory.population.activations import Activation
from theory.population.bivariate_normal import GaussianPair, Moment
from theory.population.gaussian_moments import has_closed_form, pair_moment
from theory.population.hermite_coefficients import SMALLEST_VARIANCE, coefficients
from theory.population.hermite_series import moment_of, terms_needed
from theory.population.smoothing import smoothed


class Units(NamedTuple):
    """Gaussian pre-activations of units.

    Attributes:
        mean: [..., n_units], None where all means are zero.
        norms: [..., n_units], the variances.
        series: [n_terms, ..., n_units], the Hermite coefficients; None where moments have closed forms.

    Example:
        >>> units = Units(None, np.array([1.0, 4.0]), None)
        >>> units.take(np.array([1, 1, 0])).norms.tolist(), units.at_every_alpha().norms.shape
        ([4.0, 4.0, 1.0], (1, 2))
    """

    mean: Array | None
    norms: Array
    series: Array | None

    def take(self, units: NDArray[np.int64]) -> Units:
        """The units of these numbers."""
        return self._each(lambda part: part.take(units, -1))

    def at_every_alpha(self) -> Units:
        """With an axis of length 1 before the units', along which they stay the same."""
        return self._each(lambda part: part[..., None, :])

    def _each(self, function: Callable[[Array], Array]) -> Units:
        mean = None if self.mean is None else function(self.mean)
        series = None if self.series is None else function(self.series)
        return Units(mean, function(self.norms), series)


@dataclass(frozen=True)
class Moments:
    """How the moments of one pair of activations, a student's and a teacher's, are computed.

    Attributes:
        student: the students' activation.
        teacher: the teacher's.
        negative_slope: that of every leaky relu.
        centred: all means are zero.

    Example:
        >>> closed, series = Moments("relu", "square", 0.0, True), Moments("relu", "erf", 0.0, True)
        >>> closed.n_terms, series.n_terms
        (0, 64)
        >>> units = closed.units("relu", np.zeros(1), np.ones(1))
        >>> closed.moment("relu", "relu", units, units, np.ones(1), False).value.tolist()  # ½ E u²
        [0.5]
    """

    student: Activation
    teacher: Activation
    negative_slope: float
    centred: bool

    @property
    def n_terms(self) -> int:
        """Terms of the series; 0 where all moments have closed forms."""
        if is_elementary(self.student, self.teacher):
            return 0
        return max(terms_needed(self.student, self.student), terms_needed(self.teacher, self.teacher))

    def units(self, activation: Activation, mean: Array, norms: Array) -> Units:
        """Units with these means and variances [...]; for a series, with their coefficients."""
        series = None
        if self.n_terms:  # two more coefficients serve the partial derivatives
            series = coefficients(activation, mean, norms, self.n_terms + 2, self.negative_slope)
        return Units(None if self.centred else mean, norms, series)

    def moment(
        self, activation: Activation, other: Activation, u: Units, w: Units, c12: Array, gradient: bool
    ) -> Moment:
        """E σ(u) τ(w) of units u of the activation σ and w of the activation τ with covariances c12."""
        if is_elementary(activation, other):
            pair = GaussianPair(u.mean, w.mean, u.norms, c12, w.norms)
            return pair_moment(str(activation), str(other), pair, negative_slope=self.negative_slope, gradient=gradient)
        assert u.series is not None and w.series is not None
        return moment_of(u.series, w.series, u.norms, c12, w.norms, gradient)

    def first_moments(self, activation: Activation, units: Units, mean: Array) -> list[Array]:
        """E σ(u), and its first and second derivative by the mean."""
        if units.series is None:
            return smoothed(str(activation), mean, units.norms, 2, self.negative_slope)
        root = np.sqrt(np.maximum(units.norms, SMALLEST_VARIANCE))
        return [units.series[0], units.series[1] / root, np.sqrt(2) * units.series[2] / root**2]


def is_elementary(activation: Activation, other: Activation) -> bool:
    """Do both activations, and their pair, have closed forms?

    Example:
        >>> is_elementary("relu", "relu"), is_elementary("relu", "erf")
        (True, False)
    """
    return isinstance(activation, str) and isinstance(other, str) and has_closed_form(activation, other)
