"""Barriers bounded by the curvature of the path: B ≤ max_α ½ α(1−α) sup (−L″)₊ = ⅛ sup (−L″)₊.

By Taylor's theorem with the Green's function G(α, s) = min(α, s) (1 − max(α, s)) of −d²/dα² on [0, 1],

    L(α) − [(1−α) L(0) + α L(1)] = ∫₀¹ G(α, s) (−L″(s)) ds,        ∫ G(α, s) ds = ½ α(1−α) ≤ ⅛,

and a kink at s, where L′ jumps by κ, adds G(α, s) (−κ) ≤ s(1−s) (−κ)₊. So two minima of one convex bowl have no barrier,
and a relu network's barrier is paid for by curvature inside pieces or by concave kinks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from theory.curves.polynomials import (
    PiecewisePolynomialCurve,
    PolynomialCurve,
    polynomial_derivative,
    polynomial_maximum,
    polynomial_value,
)
from theory.curves.smooth_curve import SmoothCurve
from theory.layers import Array


class CurvatureBound(NamedTuple):
    """The barrier `linear` is at most bound = smooth + kinks, each [n_pairs], in units of the loss.

    smooth  ⅛ sup (−L″)₊ inside the pieces
    kinks   Σ s(1−s) (−κ)₊ over the places s where L′ jumps by κ, or ∫ s(1−s) (−L″)₊ where L″ is large but integrable
    """

    bound: Array
    smooth: Array
    kinks: Array


def curvature_bound(curve: PolynomialCurve | PiecewisePolynomialCurve | SmoothCurve) -> CurvatureBound:
    """The bound of each path's barrier.

    sup (−L″)₊ is exact for polynomials and pieces of them. For a population path it is itself a bound
    (`bounds`, on 256 pieces), and a loose one: it adds up the sizes of all units.
    TypeError for other curves, and for a SmoothCurve made without `bend`: nothing is known of their second derivative.
    """
    if isinstance(curve, SmoothCurve) and curve.bend_is_known:
        edges = np.linspace(0.0, 1.0, 257)
        bend = curve.bend(edges)
        weight = np.clip(0.5, edges[:-1], edges[1:])  # s(1 − s) is largest there
        falls = np.vecdot(bend.kinks, weight * (1 - weight))
        most = bend.curvature.max(axis=1) / 8
        return CurvatureBound(most + falls, most, falls)
    if isinstance(curve, PolynomialCurve):
        coefficients, starts = curve.coefficients, np.zeros(curve.n_pairs)
        ends, first = np.ones(curve.n_pairs), np.arange(curve.n_pairs)
    elif isinstance(curve, PiecewisePolynomialCurve):
        coefficients, starts, first = curve.coefficients, curve.starts, curve.offsets[:-1]
        ends = np.append(starts[1:], 1.0)
        ends[curve.offsets[1:] - 1] = 1.0
    else:
        raise TypeError(
            f"curvature_bound takes polynomials, their pieces and population paths; of this {type(curve).__name__} no bound of L″ is known"
        )
    slopes = polynomial_derivative(coefficients)
    sharpest, _ = polynomial_maximum(-polynomial_derivative(slopes), starts, ends)
    smooth = np.maximum(np.maximum.reduceat(sharpest, first), 0.0) / 8
    jumps = np.zeros(starts.size)
    jumps[1:] = polynomial_value(slopes[1:], starts[1:]) - polynomial_value(slopes[:-1], starts[1:])
    jumps[first] = 0.0
    kinks = np.add.reduceat(starts * (1 - starts) * np.maximum(-jumps, 0.0), first)
    return CurvatureBound(smooth + kinks, smooth, kinks)
