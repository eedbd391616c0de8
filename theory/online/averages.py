"""Three- and four-point averages of erf units, which drive the learning of soft committee machines.

(u₁, u₂, u₃, u₄) ~ N(0, c), g(u) = erf(u/√2), g′(u) = √(2/π) exp(−u²/2). Saad & Solla 1995, "On-line learning in soft committee machines",
Phys. Rev. E 52, eqs. (A2) and (A3):

    I₃ = E[g′(u₁) u₂ g(u₃)]           = (2/π) [c₂₃ (1 + c₁₁) − c₁₂ c₁₃] / [(1 + c₁₁) √Λ₃],     Λ₃ = (1 + c₁₁)(1 + c₃₃) − c₁₃²
    I₄ = E[g′(u₁) g′(u₂) g(u₃) g(u₄)] = (4/π²) arcsin(Λ₀ / √(Λ₁ Λ₂)) / √Λ₄,                    Λ₄ = (1 + c₁₁)(1 + c₂₂) − c₁₂²
    Λ₀ = Λ₄ c₃₄ − c₂₃ c₂₄ (1 + c₁₁) − c₁₃ c₁₄ (1 + c₂₂) + c₁₂ c₁₃ c₂₄ + c₁₂ c₁₄ c₂₃
    Λ₁ = Λ₄ (1 + c₃₃) − c₂₃² (1 + c₁₁) − c₁₃² (1 + c₂₂) + 2 c₁₂ c₁₃ c₂₃,                        Λ₂ the same with 4 for 3

Each covariance is an argument of its own, of any shapes that broadcast. The field's covariance must be positive semidefinite; it may
be singular, so that units may repeat. The two-point average I₂ = E[g(u₁) g(u₂)] is among the `gaussian_moments`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def three_point(c11: Array, c12: Array, c13: Array, c23: Array, c33: Array) -> Array:
    """I₃ = E[g′(u₁) u₂ g(u₃)]; it does not depend on c₂₂."""
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
    """I₄ = E[g′(u₁) g′(u₂) g(u₃) g(u₄)]."""
    one, two = 1 + c11, 1 + c22
    area = one * two - c12**2  # Λ₄
    cross = area * c34 - c23 * c24 * one - c13 * c14 * two + c12 * c13 * c24 + c12 * c14 * c23
    third = area * (1 + c33) - c23**2 * one - c13**2 * two + 2 * c12 * c13 * c23
    fourth = area * (1 + c44) - c24**2 * one - c14**2 * two + 2 * c12 * c14 * c24
    # |Λ₀| ≤ √(Λ₁Λ₂) by Cauchy and Schwarz; rounding may exceed it by an ulp only for variances near 10¹⁶
    return 4 / np.pi**2 * np.arcsin(np.clip(cross / np.sqrt(third * fourth), -1, 1)) / np.sqrt(area)
