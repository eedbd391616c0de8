"""Elementwise mathematics of the kernels: activations with their derivatives, and what float32 and float64 share of the logarithm.

A gate is what the derivative σ′ needs: the sign of the pre-activation for relu (bool), σ′ itself for the others.
"""

from __future__ import annotations

import triton
import triton.language as tl

SQRT_HALF = tl.constexpr(0.70710678118654752440)
SQRT_TWO_OVER_PI = tl.constexpr(0.79788456080286535588)
LOG_SERIES = tl.constexpr((2 / 23, 2 / 21, 2 / 19, 2 / 17, 2 / 15, 2 / 13, 2 / 11, 2 / 9, 2 / 7, 2 / 5, 2 / 3))


@triton.jit
def polynomial(x, coefficients: tl.constexpr):
    """Σ c_i x^(n−i) by Horner's rule, highest power first."""
    value = tl.zeros_like(x) + coefficients.value[0]
    for i in tl.static_range(1, len(coefficients.value)):
        value = value * x + coefficients.value[i]
    return value


@triton.jit
def log_parts(x):
    """Exponent n and fraction f with x = 2ⁿ (1 + f), √½ ≤ 1 + f < √2, for normal x > 0."""
    if x.dtype == tl.float64:
        bits = x.to(tl.int64, bitcast=True)
        exponent = (bits - 0x3FE6A09E667F3BCD) >> 52
        mantissa = (bits - (exponent << 52)).to(tl.float64, bitcast=True)
    else:
        bits = x.to(tl.int32, bitcast=True)
        exponent = (bits - 0x3F3504F3) >> 23
        mantissa = (bits - (exponent << 23)).to(tl.float32, bitcast=True)
    return exponent.to(x.dtype), mantissa - 1.0


@triton.jit
def log1p_small(f):
    """ln(1 + f) = 2 atanh(f/(2 + f)) for |f| ≤ 0.42; 2s = f − s f keeps small f accurate."""
    s = f / (2.0 + f)
    square = s * s
    return f - s * (f - square * polynomial(square, LOG_SERIES))


@triton.jit
def tanh(z):
    """Hyperbolic tangent, to rounding of 1 (not of small values)."""
    t = tl.exp(-2.0 * tl.abs(z))
    magnitude = (1.0 - t) / (1.0 + t)
    return tl.where(z < 0, -magnitude, magnitude)


@triton.jit
def activate(z, ACTIVATION: tl.constexpr, SLOPE: tl.constexpr):
    """σ(z) and its gate."""
    if ACTIVATION == "relu":
        h, gate = tl.maximum(z, 0.0, propagate_nan=tl.PropagateNan.ALL), z > 0
    elif ACTIVATION == "leaky_relu":
        gate = tl.where(z > 0, tl.full(z.shape, 1.0, z.dtype), tl.full(z.shape, SLOPE, z.dtype))
        h = z * gate
    elif ACTIVATION == "identity":
        h, gate = z, tl.zeros_like(z) + 1.0
    elif ACTIVATION == "erf":
        h, gate = tl.erf(z * SQRT_HALF), tl.exp(-0.5 * z * z) * SQRT_TWO_OVER_PI
    elif ACTIVATION == "tanh":
        h = tanh(z)
        gate = 1.0 - h * h
    else:  # square
        h, gate = z * z, 2.0 * z
    return h, gate


@triton.jit
def gated(value, gate):
    """σ′ times value."""
    if gate.dtype == tl.int1:
        return tl.where(gate, value, 0.0)
    else:
        return gate * value


@triton.jit
def add_gated(total, value, factor, gate):
    """total + σ′ · value · factor; for relu one predicated multiply-add."""
    if gate.dtype == tl.int1:
        return tl.where(gate, total + value * factor, total)
    else:
        return total + (gate * value) * factor
