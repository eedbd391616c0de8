"""How what one thread computes reaches the others that need it: here Triton sees to it, and all is handed on as it is.

`kernels.gpu.registers.tiles` has a function of each name that puts it into shared memory, or takes it up from there.
"""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.functions import LARGE, SMALL


@triton.jit
def parked(theta, NET: tl.constexpr):
    """Parameters as `forward` and `backward` take them; where multiply-adds clamp, biases in units of `LARGE`."""
    return scaled_biases(theta, SMALL, NET) if NET.clamps else theta


@triton.jit
def unparked(theta, NET: tl.constexpr):
    """Parameters in registers again; theta: what `parked` gave."""
    return scaled_biases(theta, LARGE, NET) if NET.clamps else theta


@triton.jit
def scaled_biases(theta, scale, NET: tl.constexpr):
    """Parameters with the biases of the first layer times `scale`."""
    values = ()
    for k in tl.static_range(len(theta)):
        factor = scale if NET.biases and k == NET.columns else 1.0
        values = values + (theta[k] * factor,)
    return values


@triton.jit
def kept_inputs(x, NET: tl.constexpr):
    """Inputs (a tuple of items) as `input_of` takes them; of wide networks ([inputs, TILE] alone) as `affine` does."""
    return x[0] if NET.wide else x


@triton.jit
def input_of(x, i: tl.constexpr, NET: tl.constexpr):
    """Input i as it meets the units of a layer; x: what `kept_inputs` gave."""
    return x[i]


@triton.jit
def at_units(value, derivative, NET: tl.constexpr):
    """The samples' losses and their derivatives by the outputs (a tuple), as they meet the units of a layer."""
    return value, derivative


@triton.jit
def kept(h, NET: tl.constexpr):
    """Values of a hidden layer below another one, as `affine` and `add_matrix` take them."""
    return h


@triton.jit
def gate_of(gate, h, NET: tl.constexpr):
    """The gates of a hidden layer below another one, in the backward pass; h: what `kept` gave."""
    return gate
