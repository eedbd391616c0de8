"""Barriers bounded by the curvature of the path: B ≤ max_α ½ α(1−α) sup (−L″)₊ = ⅛ sup (−L″)₊.

By Taylor's theorem with the Green's function G(α, s) = min(α, s) (1 − max(α, s)) of −d²/dα² on [0, 1],

    L(α) − [(1−α) L(0) + α L(1)] = ∫₀¹ G(α, s) (−L″(s)) ds,        ∫ G(α, s) ds = ½ α(1−α) ≤ ⅛,

and a kink at s, where L′ jumps by κ, adds G(α, s) (−κ) ≤ s(1−s) (−κ)₊. So two minima of one convex bowl have no
barrier, and a relu network's barrier is paid for by curvature inside pieces or by concave kinks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theory.arguments import Array
from theory.curves.polynomials import (
    PiecewisePolynomialCurve,
    PolynomialCurve,
    polynomial_derivative,
    polynomial_maximum,
    polynomial_value,
)
from theory.curves.smooth_curve import SmoothCurve


class CurvatureBound(NamedTuple):
    """The barrier `linear` is at most bound = smooth + kinks, each [n_pairs], in units of the loss.

    Attributes:
        bound: smooth + kinks.
        smooth: ⅛ sup (−L″)₊ inside the pieces.
        kinks: Σ s(1−s) (−κ)₊ over the places s where L′ jumps by κ, or ∫ s(1−s) (−L″)₊ where L″ is large but
            integrable.

    Example:
        >>> tent = PiecewisePolynomialCurve([0.0, 0.5], [[0.0, 1.0], [1.0, -1.0]], [0, 2])  # κ = −2 at s = ½
        >>> [part.tolist() for part in curvature_bound(tent)]
        [[0.5], [0.0], [0.5]]
    """

    bound: Array
    smooth: Array
    kinks: Array


def curvature_bound(curve: PolynomialCurve | PiecewisePolynomialCurve | SmoothCurve) -> CurvatureBound:
    """The bound of each path's barrier.

    sup (−L″)₊ is exact for polynomials and pieces of them. For a population path it is itself a bound
    (`population.bounds`, on 256 pieces), and a loose one: it adds up the sizes of all units.

    Args:
        curve: polynomials, pieces of polynomials, or a curve made with bounds of how far it bends.

    Raises:
        TypeError: it is another curve, so that nothing is known of its second derivative.

    Example:
        >>> quartic = PolynomialCurve([[0.0, 0.0, 1.0, -2.0, 1.0]])  # α²(1 − α)²: L″(½) = −1
        >>> curvature_bound(quartic).bound.tolist(), quartic.barrier().value.tolist()
        ([0.125], [0.0625])
    """
    if not curve.n_pairs:
        return CurvatureBound(np.empty(0), np.empty(0), np.empty(0))
    if isinstance(curve, SmoothCurve) and curve.bend_is_known:
        return _of_smooth_curve(curve)
    if isinstance(curve, PolynomialCurve):
        n = curve.n_pairs
        return _of_pieces(curve.coefficients, np.zeros(n), np.ones(n), np.arange(n))
    if isinstance(curve, PiecewisePolynomialCurve):
        return _of_pieces(curve.coefficients, curve.starts, curve.ends, curve.offsets[:-1])
    raise TypeError(
        "curvature_bound takes polynomials, their pieces and population paths; "
        f"of this {type(curve).__name__} no bound of L″ is known"
    )


def _of_smooth_curve(curve: SmoothCurve) -> CurvatureBound:
    edges = np.linspace(0.0, 1.0, 257)
    bend = curve.bend(edges)
    nearest_half = np.clip(0.5, edges[:-1], edges[1:])  # where s(1 − s) is largest on each piece
    kinks = np.vecdot(bend.kinks, nearest_half * (1 - nearest_half))
    smooth = bend.curvature.max(axis=1) / 8
    return CurvatureBound(smooth + kinks, smooth, kinks)


def _of_pieces(coefficients: Array, starts: Array, ends: Array, first: NDArray[np.int64]) -> CurvatureBound:
    """Of polynomial pieces; first [n_pairs] are the numbers of the first pieces of the pairs."""
    slopes = polynomial_derivative(coefficients)
    sharpest, _ = polynomial_maximum(-polynomial_derivative(slopes), starts, ends)
    smooth = np.maximum(np.maximum.reduceat(sharpest, first), 0.0) / 8
    jumps = np.zeros(starts.size)
    jumps[1:] = polynomial_value(slopes[1:], starts[1:]) - polynomial_value(slopes[:-1], starts[1:])
    jumps[first] = 0.0
    kinks = np.add.reduceat(starts * (1 - starts) * np.maximum(-jumps, 0.0), first)
    return CurvatureBound(smooth + kinks, smooth, kinks)
