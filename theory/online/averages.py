"""Three- and four-point averages of erf units, which drive the learning of soft committee machines.

(u₁, u₂, u₃, u₄) ~ N(0, c), g(u) = erf(u/√2), g′(u) = √(2/π) exp(−u²/2). Saad & Solla 1995, "On-line learning in soft
committee machines", Phys. Rev. E 52, eqs. (A2) and (A3):

    I₃ = E[g′(u₁) u₂ g(u₃)]           = (2/π) [c₂₃ (1 + c₁₁) − c₁₂ c₁₃] / [(1 + c₁₁) √Λ₃]
    I₄ = E[g′(u₁) g′(u₂) g(u₃) g(u₄)] = (4/π²) arcsin(Λ₀ / √(Λ₁ Λ₂)) / √Λ₄

with

    Λ₃ = (1 + c₁₁)(1 + c₃₃) − c₁₃²
    Λ₄ = (1 + c₁₁)(1 + c₂₂) − c₁₂²
    Λ₀ = Λ₄ c₃₄ − c₂₃ c₂₄ (1 + c₁₁) − c₁₃ c₁₄ (1 + c₂₂) + c₁₂ c₁₃ c₂₄ + c₁₂ c₁₄ c₂₃
    Λ₁ = Λ₄ (1 + c₃₃) − c₂₃² (1 + c₁₁) − c₁₃² (1 + c₂₂) + 2 c₁₂ c₁₃ c₂₃,        Λ₂ the same with 4 for 3

Each covariance is an argument of its own, of any shapes that broadcast. Together they must be positive semidefinite;
they may be singular, so that units may repeat. The two-point average I₂ = E[g(u₁) g(u₂)] is
`population.erf_moments.erf_moment`.
"""

from __future__ import annotations

import numpy as np

from theory.arguments import Array


def three_point(c11: Array, c12: Array, c13: Array, c23: Array, c33: Array) -> Array:
    """I₃ = E[g′(u₁) u₂ g(u₃)]; it does not depend on c₂₂.

    Example:
        >>> c = np.array(1.0)  # u₂ = u₃, independent of u₁: E g′ · E u g(u), each √(2/π)/√2
        >>> bool(np.isclose(three_point(c, 0 * c, 0 * c, c, c), 1 / np.pi))
        True
    """
    wide = 1 + c11
    return 2 / np.pi * (c23 * wide - c12 * c13) / (wide * np.sqrt(wide * (1 + c33) - c13**2))


def four_point(
    c11: Array,
    c12: Array,
    c13: Array,
    c14: Array,
    c22: Array,
    c23: Array,
    c24: Array,
    c33: Array,
    c34: Array,
    c44: Array,
) -> Array:
    """I₄ = E[g′(u₁) g′(u₂) g(u₃) g(u₄)].

    Example:
        >>> one, zero = np.array(1.0), np.array(0.0)  # u₁, u₂ independent, u₃ = u₄: (1/π) · (2/π) arcsin ½
        >>> average = four_point(one, zero, zero, zero, one, zero, zero, one, one, one)
        >>> bool(np.isclose(average, 1 / np.pi * 1 / 3))
        True
    """
    wide_1, wide_2 = 1 + c11, 1 + c22
    lambda_4 = wide_1 * wide_2 - c12**2
    lambda_0 = lambda_4 * c34 - c23 * c24 * wide_1 - c13 * c14 * wide_2 + c12 * c13 * c24 + c12 * c14 * c23
    lambda_1 = lambda_4 * (1 + c33) - c23**2 * wide_1 - c13**2 * wide_2 + 2 * c12 * c13 * c23
    lambda_2 = lambda_4 * (1 + c44) - c24**2 * wide_1 - c14**2 * wide_2 + 2 * c12 * c14 * c24
    # |Λ₀| ≤ √(Λ₁Λ₂) by Cauchy and Schwarz; rounding may exceed it by an ulp only for variances near 10¹⁶
    angle = np.arcsin(np.clip(lambda_0 / np.sqrt(lambda_1 * lambda_2), -1, 1))
    return 4 / np.pi**2 * angle / np.sqrt(lambda_4)
