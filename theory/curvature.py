"""Barriers bounded by the curvature of the path: B ≤ max_α ½ α(1−α) sup (−L″)₊ = ⅛ sup (−L″)₊.

By Taylor's theorem with the Green's function G(α, s) = min(α, s) (1 − max(α, s)) of −d²/dα² on [0, 1],

    L(α) − [(1−α) L(0) + α L(1)] = ∫₀¹ G(α, s) (−L″(s)) ds,        ∫ G(α, s) ds = ½ α(1−α) ≤ ⅛,

and a kink at s, where L′ jumps by κ, adds G(α, s) (−κ) ≤ s(1−s) (−κ)₊. So two minima of one convex bowl have no barrier,
and a relu network's barrier is paid for by curvature inside pieces or by concave kinks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from theory.layers import Array
from theory.polynomials import PiecewisePolynomialCurve, PolynomialCurve, polynomial_derivative, polynomial_maximum, polynomial_value


class CurvatureBound(NamedTuple):
    """The barrier `linear` is at most bound = smooth + kinks, each [n_pairs], in units of the loss.

    smooth  ⅛ sup (−L″)₊ inside the pieces
    kinks   Σ s(1−s) (−κ)₊ over the places s where L′ jumps by κ
    """

    bound: Array
    smooth: Array
    kinks: Array


def curvature_bound(curve: PolynomialCurve | PiecewisePolynomialCurve) -> CurvatureBound:
    """The bound for polynomials and pieces of them, where sup (−L″)₊ is exact.

    TypeError for other curves: their second derivative is not known in closed form.
    """
    if isinstance(curve, PolynomialCurve):
        coefficients, starts = curve.coefficients, np.zeros(curve.n_pairs)
        ends, first = np.ones(curve.n_pairs), np.arange(curve.n_pairs)
    elif isinstance(curve, PiecewisePolynomialCurve):
        coefficients, starts, first = curve.coefficients, curve.starts, curve.offsets[:-1]
        ends = np.append(starts[1:], 1.0)
        ends[curve.offsets[1:] - 1] = 1.0
    else:
        raise TypeError(f"curvature_bound takes polynomial and piecewise polynomial curves, not {type(curve).__name__}: L″ must be known exactly")
    slopes = polynomial_derivative(coefficients)
    sharpest, _ = polynomial_maximum(-polynomial_derivative(slopes), starts, ends)
    smooth = np.maximum(np.maximum.reduceat(sharpest, first), 0.0) / 8
    jumps = np.zeros(starts.size)
    jumps[1:] = polynomial_value(slopes[1:], starts[1:]) - polynomial_value(slopes[:-1], starts[1:])
    jumps[first] = 0.0
    kinks = np.add.reduceat(starts * (1 - starts) * np.maximum(-jumps, 0.0), first)
    return CurvatureBound(smooth + kinks, smooth, kinks)
