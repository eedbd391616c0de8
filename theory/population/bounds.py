"""How far the population loss can bend between two points of a path: what makes its maximum certain.

With the residual r = f − f* and ‖·‖ the L² norm over x, L = ½‖r‖² has L′ = E r·f′ and L″ = ‖f′‖² + E r·f″, so that

    |L′| ≤ ‖r‖ ‖f′‖,        −L″ ≤ ‖r‖ ‖f″‖,        ‖r(α)‖ ≤ ½ (‖r(l)‖ + ‖r(r)‖ + (r − l) sup ‖f′‖) on [l, r].

f = Σ_i v_i σ(u_i) + c with u_i Gaussian and v_i, u_i affine in α gives, by Minkowski and Hölder,

    ‖f′‖ ≤ Σ_i |v_i′| ‖σ(u_i)‖ + |v_i| ‖σ′(u_i) u_i′‖ + |c′|,
    ‖f″‖ ≤ Σ_i 2 |v_i′| ‖σ′(u_i) u_i′‖ + |v_i| ‖σ″(u_i) u_i′²‖.

Where σ has a kink of height κ = 1 − negative_slope at 0, σ″ holds κ δ(u), whose share of −L″ is, with k = E u/√Var u,

    κ p_u(0) |E[u′² r·v | u = 0]| ≤ κ φ(k)/√(Var u) |v| √E[u′⁴ | u = 0] √E[|r|² | u = 0].

Its integral over [l, r] bounds how far L′ falls there. With zero means, u′ given u = 0 has variance |w⊥|² |Δw|²/|w|²,
so the integral is that of d/dα of (α − α*) |Δw|²/|w| = |Δw| sin φ: finite also where the unit passes through zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gamma, ndtr

from theory.arguments import Array, known
from theory.curves.smooth_curve import Bend
from theory.population.activations import Activation, as_polynomial, degree
from theory.population.moments import Moments
from theory.population.whitened import Whitened

# sup |σ|, sup |σ′|, sup |σ″| away from kinks; gelu′ = Φ + uφ is largest at √2
SUPREMA = {
    "relu": (np.inf, 1.0, 0.0),
    "erf": (1.0, np.sqrt(2 / np.pi), np.sqrt(2 / np.pi) * np.exp(-0.5)),
    "tanh": (1.0, 1.0, 4 / (3 * np.sqrt(3))),
    "gelu": (np.inf, float(ndtr(np.sqrt(2)) + np.exp(-1) / np.sqrt(np.pi)), np.sqrt(2 / np.pi)),
}


class Sizes(NamedTuple):
    """Gaussians with |means| ≤ `mean` and standard deviations ≤ `root`.

    Example:
        >>> round(float(Sizes(np.array(1.0), np.array(2.0)).norm(4)), 6)  # 1 + 2 · 3^¼
        3.632148
    """

    mean: Array
    root: Array

    def norm(self, p: float) -> Array:
        """(E|u|^p)^{1/p} ≤ |mean| + root (E|z|^p)^{1/p}."""
        return self.mean + self.root * (2 ** (p / 2) * gamma((p + 1) / 2) / np.sqrt(np.pi)) ** (1 / p)


def derivative_norm(order: int, activation: Activation, moments: Moments, units: Sizes, rates: Sizes) -> Array:
    """A bound of ‖σ^(order)(u) u′^order‖, kinks left out.

    It is ‖σ^(order)‖_∞ ‖u′^order‖ where that is finite; for polynomials ‖·‖_4 ‖·‖_4 by Hölder, and the triangle
    inequality.

    Args:
        order: 0, 1 or 2.
        activation: σ.
        moments: say the slope of leaky relus, and whether all means are zero.
        units: sizes of u.
        rates: sizes of u′.

    Raises:
        ValueError: no bound is known for the activation.

    Example:
        >>> unit, rate = Sizes(np.array(0.0), np.array(2.0)), Sizes(np.array(0.0), np.array(3.0))
        >>> moments = Moments("identity", "tanh", 0.0, True)
        >>> float(derivative_norm(0, "identity", moments, unit, rate))  # √E u²
        2.0
        >>> float(derivative_norm(1, "tanh", moments, unit, rate))  # |tanh′| ≤ 1
        3.0
    """
    polynomial = as_polynomial(activation)
    if polynomial is not None:
        derivative = np.abs(np.polynomial.polynomial.polyder(polynomial.coefficients, order))
        p = 4 if order else 2
        total = np.full_like(units.mean, derivative[0])
        total += sum(size * units.norm(p * k) ** k for k, size in enumerate(derivative[1:], 1))
        return np.asarray(total * (rates.norm(4 * order) ** order if order else 1.0))
    suprema = _suprema(str(activation), moments)
    if order == 0:
        return np.minimum(suprema[0], suprema[1] * units.norm(2))
    return np.asarray(suprema[order] * rates.norm(2 * order) ** order)


def _suprema(activation: str, moments: Moments) -> tuple[float, float, float]:
    """sup |σ|, sup |σ′|, sup |σ″| away from kinks, or what may stand for them where all means are zero."""
    slope = _slope_below_zero(activation, moments)
    if slope is not None and moments.centred:  # u and −u alike: E σ(u)² = ½ (1 + s²) E u²
        return np.inf, np.sqrt((1 + slope**2) / 2), 0.0
    if activation == "leaky_relu":
        return np.inf, max(1.0, abs(moments.negative_slope)), 0.0
    return SUPREMA[known("activation", activation, SUPREMA)]


def _slope_below_zero(activation: Activation, moments: Moments) -> float | None:
    """The slope of relu or leaky relu below 0, None for activations without a kink."""
    if activation == "relu":
        return 0.0
    return moments.negative_slope if activation == "leaky_relu" else None


def bend(
    start: Whitened,
    change: Whitened,
    teacher: Whitened,
    moments: Moments,
    pieces: Array,
    losses: Array,
) -> Bend:
    """How far the loss of the networks start + α change can bend, piece by piece.

    Args:
        start: one network for each piece.
        change: by how much it changes from α = 0 to 1.
        teacher: one for each piece, or one for all.
        moments: the activations of both, and whether all means are zero.
        pieces: [n_pieces, 2], the ends of each piece.
        losses: [n_pieces, 2], L there.

    Example:
        >>> one = np.ones((1, 1, 1))
        >>> start, teacher = (Whitened(w * one, np.zeros((1, 1)), one, np.zeros((1, 1))) for w in (1.0, 3.0))
        >>> change = Whitened(one, np.zeros((1, 1)), 0 * one, np.zeros((1, 1)))
        >>> moments = Moments("identity", "identity", 0.0, True)
        >>> found = bend(start, change, teacher, moments, np.array([[0.0, 1.0]]), np.array([[2.0, 0.5]]))
        >>> bool(found.slope[0] >= 2.0), found.curvature.tolist()  # L = ½ (2 − α)² has L′ = −2 at 0, and L″ = 1
        (True, [0.0])
    """
    sizes = _PathSizes.of(start, change, pieces)
    activation = moments.student
    size, by_rate, by_rate_twice = (
        derivative_norm(order, activation, moments, sizes.units, sizes.rates) for order in range(3)
    )
    width = pieces[:, 1] - pieces[:, 0]
    bias_rate = np.linalg.norm(change.bias, axis=1)
    f_rate = np.vecdot(sizes.output_rates, size) + np.vecdot(sizes.outputs, by_rate) + bias_rate
    f_rate_twice = 2 * np.vecdot(sizes.output_rates, by_rate) + np.vecdot(sizes.outputs, by_rate_twice)
    residual = (np.sqrt(2 * np.maximum(losses, 0.0)).sum(axis=1) + width * f_rate) / 2
    slope = _slope_below_zero(activation, moments)
    kinks = np.zeros(len(width))
    if slope is not None and slope != 1:
        falls = _falls_at_kinks(start, change, teacher, moments, pieces, sizes)
        weighted = np.multiply(sizes.outputs, falls, out=np.zeros_like(falls), where=sizes.outputs > 0)
        kinks = abs(1 - slope) * weighted.sum(axis=1)
    return Bend(residual * f_rate, residual * f_rate_twice, kinks)


@dataclass(frozen=True)
class _PathSizes:
    """Sizes of everything on pieces of paths, the larger of both ends; units are [n_pieces, width].

    outputs and output_rates are |v_i| and |v_i′|; norms [2, n_pieces, width] and means are |w_i| and |μ_i| at the ends.
    """

    units: Sizes
    rates: Sizes
    outputs: Array
    output_rates: Array
    norms: Array
    means: Array

    @classmethod
    def of(cls, start: Whitened, change: Whitened, pieces: Array) -> _PathSizes:
        (w, m, v, _), (dw, dm, dv, _) = start, change
        ends = pieces.T[:, :, None]
        norms = np.stack([np.linalg.norm(w + alpha[:, :, None] * dw, axis=2) for alpha in ends])
        means = np.abs(m + ends * dm)
        outputs = np.max([np.linalg.norm(v + alpha[:, :, None] * dv, axis=1) for alpha in ends], axis=0)
        return cls(
            units=Sizes(means.max(axis=0), norms.max(axis=0)),
            rates=Sizes(np.abs(dm), np.linalg.norm(dw, axis=2)),
            outputs=outputs,
            output_rates=np.linalg.norm(dv, axis=1),
            norms=norms,
            means=means,
        )


def _falls_at_kinks(
    start: Whitened,
    change: Whitened,
    teacher: Whitened,
    moments: Moments,
    pieces: Array,
    sizes: _PathSizes,
) -> Array:
    """How far L′ falls on each piece because of each unit's kink, over κ |v|, [n_pieces, width].

    Arguments as `bend`'s, with the sizes of everything on the pieces.
    """
    (w, m, _, c), (dw, dm, _, dc) = start, change
    ends = pieces.T[:, :, None]
    star = Sizes(np.abs(teacher.mean), np.linalg.norm(teacher.weight, axis=2))
    star_outputs = np.linalg.norm(teacher.output, axis=1)

    def sum_of_norms(order: int, ours: Sizes, theirs: Sizes) -> Array:
        """A bound of the sum of all units' norms, networks and teacher, times their output weights."""
        own = derivative_norm(order, moments.student, moments, sizes.units, ours)
        others = derivative_norm(order, moments.teacher, moments, star, theirs)
        return np.vecdot(sizes.outputs, own) + np.vecdot(star_outputs, others)

    gap = np.max([np.linalg.norm(c + alpha * dc - teacher.bias, axis=1) for alpha in ends], axis=0)
    still = (sum_of_norms(0, sizes.rates, star) + gap)[:, None]
    speed = sizes.rates.root
    nearest = -np.divide(np.vecdot(w, dw), speed**2, out=np.zeros_like(speed), where=speed > 0)  # α*
    if moments.centred:
        away = ends - nearest
        sines = np.divide(speed * away, sizes.norms, out=np.sign(away), where=sizes.norms > 0)
        return np.asarray(np.sqrt(3 / (2 * np.pi)) * speed * (sines[1] - sines[0]) * still)
    if (degree(moments.teacher) or 0) > 1:
        return np.full_like(speed, np.inf)  # the residual given u = 0 grows faster than k
    units = Sizes(0 * sizes.means[0], sizes.units.root)
    growth = sum_of_norms(1, units, Sizes(0 * star.mean, star.root))[:, None]
    closest = np.linalg.norm(w + np.clip(nearest, *ends)[:, :, None] * dw, axis=2)
    bottom = np.linalg.norm(w + nearest[:, :, None] * dw, axis=2)  # |w⊥|
    crosses = np.sign(m + ends[0] * dm) != np.sign(m + ends[1] * dm)
    least_mean = np.where(crosses, 0.0, sizes.means.min(axis=0))
    width = (pieces[:, 1] - pieces[:, 0])[:, None]
    return width * _density_of_kinks(least_mean, sizes.units, closest, bottom, sizes.rates, still, growth)


def _density_of_kinks(
    least_mean: Array, units: Sizes, closest: Array, bottom: Array, rates: Sizes, still: Array, growth: Array
) -> Array:
    """sup p_u(0) √E[u′⁴ | u = 0] √E[|r|² | u = 0] on each piece, for units with means, [n_pieces, width].

    With k = |μ|/√c: given u = 0 the mean of u′ is at most |μ′| + k |Δw|, its deviation |Δw| |w⊥|/√c, and
    ‖r‖ ≤ still + k growth, since there every other unit's mean is at most |μ_j| + k √c_jj. Hence φ(k)/√c times a cubic
    in k, whose every term k^n φ(k) is largest at √n.

    Args:
        least_mean: the least |μ| on the piece.
        units: the largest |μ| and √c.
        closest: the least √c on the piece.
        bottom: |w⊥|, the least √c on the whole line.
        rates: |μ′| and |Δw|.
        still: the residual's norm where k = 0 [n_pieces, 1].
        growth: by how much it grows with k [n_pieces, 1].
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        k = np.stack([least_mean / units.root, units.mean / closest])
        base = rates.mean + 3**0.25 * rates.root * np.minimum(1.0, bottom / closest)
        square = base**2, 2 * base * rates.root, rates.root**2
        cubic = (
            square[0] * still,
            square[1] * still + square[0] * growth,
            square[2] * still + square[1] * growth,
            square[2] * growth,
        )
        places = [np.clip(np.sqrt(n), *k) for n in range(4)]
        total = sum(
            size * place**n * np.exp(-(place**2) / 2) for n, (size, place) in enumerate(zip(cubic, places, strict=True))
        )
        density = total / (np.sqrt(2 * np.pi) * closest)
    unmoved = (rates.mean == 0) & (rates.root == 0)
    constant = (units.root == 0) & (least_mean > 0)
    return np.where(unmoved | constant, 0.0, np.where(closest > 0, density, np.inf))
