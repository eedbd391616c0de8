"""How far the population loss can bend between two points of a path: what makes its maximum certain.

With the residual r = f − f* and ‖·‖ the L² norm over x, L = ½‖r‖² has L′ = E r·f′ and L″ = ‖f′‖² + E r·f″, so that

    |L′| ≤ ‖r‖ ‖f′‖,        −L″ ≤ ‖r‖ ‖f″‖,        ‖r(α)‖ ≤ ½ (‖r(l)‖ + ‖r(r)‖ + (r − l) sup ‖f′‖) on [l, r].

f = Σ_i v_i σ(u_i) + c with u_i Gaussian and v_i, u_i affine in α gives, by Minkowski and Hölder,

    ‖f′‖ ≤ Σ_i |v_i′| ‖σ(u_i)‖ + |v_i| ‖σ′(u_i) u_i′‖ + |c′|,        ‖f″‖ ≤ Σ_i 2 |v_i′| ‖σ′(u_i) u_i′‖ + |v_i| ‖σ″(u_i) u_i′²‖.

Where σ has a kink of height κ = 1 − negative_slope at 0, σ″ holds κ δ(u), whose share of −L″ is, with k = E u/√Var u,

    κ p_u(0) |E[u′² r·v | u = 0]| ≤ κ φ(k)/√(Var u) |v| √E[u′⁴ | u = 0] √E[|r|² | u = 0].

Its integral over [l, r] bounds how far L′ falls there. With zero means, u′ given u = 0 has variance |w⊥|² |Δw|²/|w|², so
the integral is that of d/dα of (α − α*) |Δw|²/|w| = |Δw| sin φ: finite also where the unit passes through zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gamma, ndtr

from theory.curves.smooth_curve import Bend
from theory.layers import Array
from theory.population.hermite_series import Activation, Polynomial, degree

TwoLayers = tuple[Array, Array, Array, Array]  # W, means, V, c of networks whose inputs are N(0, 1)

# sup |σ|, sup |σ′|, sup |σ″| away from kinks; gelu′ = Φ + uφ is largest at √2
SUPREMA = {
    "relu": (np.inf, 1.0, 0.0),
    "erf": (1.0, np.sqrt(2 / np.pi), np.sqrt(2 / np.pi) * np.exp(-0.5)),
    "tanh": (1.0, 1.0, 4 / (3 * np.sqrt(3))),
    "gelu": (np.inf, float(ndtr(np.sqrt(2)) + np.exp(-1) / np.sqrt(np.pi)), np.sqrt(2 / np.pi)),
}


class Sizes(NamedTuple):
    """Gaussians with |means| ≤ `mean` and standard deviations ≤ `root`."""

    mean: Array
    root: Array

    def norm(self, p: float) -> Array:
        """(E|u|^p)^{1/p} ≤ |mean| + root (E|z|^p)^{1/p}."""
        return self.mean + self.root * (2 ** (p / 2) * gamma((p + 1) / 2) / np.sqrt(np.pi)) ** (1 / p)


def derivative_norm(
    order: int, activation: Activation, negative_slope: float, centred: bool, units: Sizes, rates: Sizes
) -> Array:
    """A bound of ‖σ^(order)(u) u′^order‖, kinks left out, for units u and their rates u′; order 0, 1 or 2.

    ‖σ^(order)‖_∞ ‖u′^order‖ where that is finite; polynomials by Hölder, ‖·‖_4 ‖·‖_4, and the triangle inequality.
    """
    if isinstance(activation, Polynomial) or activation in ("identity", "square"):
        powers = (
            activation.coefficients
            if isinstance(activation, Polynomial)
            else {"identity": (0, 1), "square": (0, 0, 1)}[activation]
        )
        derivative = np.abs(np.polynomial.polynomial.polyder(powers, order))
        p = 4 if order else 2
        total = derivative[0] + sum(size * units.norm(p * k) ** k for k, size in enumerate(derivative[1:], 1))
        return np.asarray(total * (rates.norm(4 * order) ** order if order else 1.0))
    suprema = (np.inf, max(1.0, abs(negative_slope)), 0.0) if activation == "leaky_relu" else SUPREMA[activation]
    if centred and activation in ("relu", "leaky_relu"):  # u and −u alike: E σ(u)² = ½ (1 + s²) E u²
        slope = negative_slope if activation == "leaky_relu" else 0.0
        suprema = (np.inf, np.sqrt((1 + slope**2) / 2), 0.0)
    if order == 0:
        return np.minimum(suprema[0], suprema[1] * units.norm(2))
    return np.asarray(suprema[order] * rates.norm(2 * order) ** order)


def bend(
    start: TwoLayers,
    change: TwoLayers,
    teacher: TwoLayers,
    activations: tuple[Activation, Activation],
    negative_slope: float,
    centred: bool,
    pieces: Array,
    losses: Array,
) -> Bend:
    """`Bend` of the two-layer networks start + α change against their teachers, piece by piece.

    start, change  W [n_pieces, width, n_inputs], means [n_pieces, width], V [n_pieces, n_outputs, width], c [n_pieces, n_outputs]
    teacher        the same of its own width; [1, …] serves all
    activations    the networks', and the teacher's
    centred        all means are zero
    pieces, losses [n_pieces, 2] the ends of each piece, and L there
    """
    (w, m, v, c), (dw, dm, dv, dc) = start, change
    activation, of_teacher = activations
    ends = pieces.T[:, :, None]
    width = pieces[:, 1] - pieces[:, 0]
    norms = np.stack([np.linalg.norm(w + t[:, :, None] * dw, axis=2) for t in ends])
    means = np.abs(m + ends * dm)
    outputs = np.max([np.linalg.norm(v + t[:, :, None] * dv, axis=1) for t in ends], axis=0)
    units, rates = Sizes(means.max(axis=0), norms.max(axis=0)), Sizes(np.abs(dm), np.linalg.norm(dw, axis=2))
    output_rates = np.linalg.norm(dv, axis=1)

    size, by_rate, by_rate_twice = (
        derivative_norm(order, activation, negative_slope, centred, units, rates) for order in range(3)
    )
    f_rate = np.vecdot(output_rates, size) + np.vecdot(outputs, by_rate) + np.linalg.norm(dc, axis=1)
    f_rate_twice = 2 * np.vecdot(output_rates, by_rate) + np.vecdot(outputs, by_rate_twice)
    residual = (np.sqrt(2 * np.maximum(losses, 0.0)).sum(axis=1) + width * f_rate) / 2
    kinks = np.zeros(len(width))
    height = (
        {"relu": 1.0, "leaky_relu": abs(1 - negative_slope)}.get(activation, 0.0)
        if isinstance(activation, str)
        else 0.0
    )
    if height:
        star = Sizes(np.abs(teacher[1]), np.linalg.norm(teacher[0], axis=2))
        star_outputs = np.linalg.norm(teacher[2], axis=1)

        def sum_of_norms(order: int, ours: Sizes, theirs: Sizes) -> Array:
            """A bound of the sum of all units' norms, networks and teacher, times their output weights."""
            own = derivative_norm(order, activation, negative_slope, centred, units, ours)
            others = derivative_norm(order, of_teacher, negative_slope, centred, star, theirs)
            return np.vecdot(outputs, own) + np.vecdot(star_outputs, others)

        gap = np.max([np.linalg.norm(c + t * dc - teacher[3], axis=1) for t in ends], axis=0)
        still = (sum_of_norms(0, rates, star) + gap)[:, None]
        speed = rates.root
        nearest = -np.divide(np.vecdot(w, dw), speed**2, out=np.zeros_like(speed), where=speed > 0)  # α*
        if centred:
            sines = np.divide(speed * (ends - nearest), norms, out=np.sign(ends - nearest), where=norms > 0)
            falls = np.sqrt(3 / (2 * np.pi)) * speed * (sines[1] - sines[0]) * still
        elif (degree(of_teacher) or 0) > 1:
            falls = np.full_like(speed, np.inf)  # the residual given u = 0 grows faster than k
        else:
            growth = sum_of_norms(1, Sizes(0 * means[0], units.root), Sizes(0 * star.mean, star.root))[:, None]
            closest = np.linalg.norm(w + np.clip(nearest, *ends)[:, :, None] * dw, axis=2)
            bottom = np.linalg.norm(w + nearest[:, :, None] * dw, axis=2)  # |w⊥|
            crosses = np.sign(m + ends[0] * dm) != np.sign(m + ends[1] * dm)
            least_mean = np.where(crosses, 0.0, means.min(axis=0))
            falls = width[:, None] * _density_of_kinks(least_mean, units, closest, bottom, rates, still, growth)
        kinks = height * np.multiply(outputs, falls, out=np.zeros_like(falls), where=outputs > 0).sum(axis=1)
    return Bend(residual * f_rate, residual * f_rate_twice, kinks)


def _density_of_kinks(
    least_mean: Array, units: Sizes, closest: Array, bottom: Array, rates: Sizes, still: Array, growth: Array
) -> Array:
    """sup p_u(0) √E[u′⁴ | u = 0] √E[|r|² | u = 0] on each piece, for units with means.

    With k = |μ|/√c: given u = 0 the mean of u′ is at most |μ′| + k |Δw|, its deviation |Δw| |w⊥|/√c, and ‖r‖ ≤ still + k growth,
    since there every other unit's mean is at most |μ_j| + k √c_jj. Hence φ(k)/√c times a cubic in k, whose every term
    k^n φ(k) is largest at √n.
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
    off = (units.root == 0) & (least_mean > 0)
    return np.where(unmoved | off, 0.0, np.where(closest > 0, density, np.inf))
