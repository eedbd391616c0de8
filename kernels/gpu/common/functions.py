"""Elementwise mathematics of the kernels: activations with their derivatives, and what float32 and float64 share of
the logarithm.

A gate is what the derivative σ′ needs: the sign of the pre-activation for relu (bool), σ′ itself for the others.
"""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu import shapes

SQRT_HALF = tl.constexpr(0.70710678118654752440)
SQRT_TWO_OVER_PI = tl.constexpr(0.79788456080286535588)
ONE_OVER_SQRT_TWO_PI = tl.constexpr(0.39894228040143267794)
LOG_SERIES = tl.constexpr((2 / 23, 2 / 21, 2 / 19, 2 / 17, 2 / 15, 2 / 13, 2 / 11, 2 / 9, 2 / 7, 2 / 5, 2 / 3))
NAN_STAYS = tl.constexpr(tl.PropagateNan.ALL)  # of `tl.maximum`: a NaN is not hidden by the other operand
INFINITY = tl.constexpr(float("inf"))
LARGE = tl.constexpr(shapes.LARGE)
SMALL = tl.constexpr(1 / shapes.LARGE)


@triton.jit
def finite(x):
    """Whether x is neither infinite nor NaN.

    A comparison, since `x - x == 0` relies on two roundings being the same: contracted to a fused multiply-add it
    compares a product with its own rounding error.
    """
    return tl.abs(x) < INFINITY


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
def sigmoid(z):
    """1/(1 + e⁻ᶻ) from e^(−|z|), which never overflows."""
    t = tl.exp(-tl.abs(z))
    return tl.where(z < 0, t, 1.0) / (1.0 + t)


@triton.jit
def activate(z, NET: tl.constexpr):
    """σ(z) and its gate, of the activations of `kernels.activations`."""
    NAME: tl.constexpr = NET.activation
    if NAME == "identity":
        h = z
        gate = tl.zeros_like(z) + 1.0
    elif NAME == "relu":
        h = tl.maximum(z, 0.0, propagate_nan=NAN_STAYS)
        gate = h > 0
    elif NAME == "leaky_relu":
        gate = tl.where(z > 0, tl.zeros_like(z) + 1.0, tl.zeros_like(z) + NET.slope)
        h = z * gate
    elif NAME == "erf":
        h = tl.erf(z * SQRT_HALF)
        gate = tl.exp(-0.5 * z * z) * SQRT_TWO_OVER_PI
    elif NAME == "tanh":
        h = tanh(z)
        gate = 1.0 - h * h
    elif NAME == "square":
        h = z * z
        gate = 2.0 * z
    elif NAME == "gelu":
        below = 0.5 + 0.5 * tl.erf(z * SQRT_HALF)  # Φ(z)
        h = z * below
        gate = below + z * tl.exp(-0.5 * z * z) * ONE_OVER_SQRT_TWO_PI
    elif NAME == "silu":
        share = sigmoid(z)
        h = z * share
        gate = share + h * (1.0 - share)
    else:
        tl.static_assert(False, "kernels/gpu/common/functions.py: activate() does not know this activation")
    return h, gate


@triton.jit
def clamped(a, b, c):
    """a · b + c, and 0 below 0, and 1 above 1: one instruction of NVIDIA GPUs (`registers.lanes`). NaN becomes 0."""
    return tl.minimum(tl.maximum(a * b + c, 0.0), 1.0)


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
