"""Backward pass inside a kernel, of networks as `kernels.gpu.registers.network` has them."""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005, SIM108
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.functions import LARGE, gated
from kernels.gpu.registers.exchange import gate_of, input_of
from kernels.gpu.registers.network import (
    add_factored,
    add_matrix,
    add_row,
    add_vector,
    back,
    back_factored,
)


@triton.jit
def backward(theta, sums, x, h, gates, derivative, NET: tl.constexpr):
    """Adds to `sums` what the samples at hand contribute to the gradient.

    derivative: of the loss by the outputs, a tuple (what `exchange.at_units` gave). Returns the sums, in the order of
    the parameters.
    """
    top: tl.constexpr = NET.n_hidden
    rows, biases, upper = (), (), ()
    for o in tl.static_range(NET.n_outputs + 0):
        row = sums[NET.rows + o]
        if NET.factored and NET.degree > 0:
            row = row  # follows from the sums of the columns
        else:
            row = add_row(row, derivative[o] * h[top - 1], NET)
        rows = rows + (row,)
        if NET.biases:
            biases = biases + (add_row(sums[NET.rows + NET.n_outputs + o], derivative[o], NET),)
    value = derivative[0]  # ∂L/∂h of the top hidden layer; where the output's row is factored out, without it
    if not NET.factored and not NET.factored_top:
        value = derivative[0] * theta[NET.rows]
        for o in tl.static_range(1, NET.n_outputs + 0):
            value += derivative[o] * theta[NET.rows + o]
    gate = gates[top - 1]
    error = 1.0  # a factor of value, the same for all units
    for layer in tl.static_range(NET.n_hidden + 0, 1, -1):
        below = h[layer - 2]
        weight = theta[NET.hidden(layer)]
        total = sums[NET.hidden(layer)]
        bias = ()
        if NET.factored_top and layer == top:
            if NET.biases:
                bias = (add_row(sums[NET.hidden(layer) + 1], gate.to(value.dtype) * value, NET),)
            total = add_factored(total, value, gate, below, NET)
            error = value
            value = back_factored(weight, theta[NET.rows], gate, NET)
        else:
            value = value * error
            error = 1.0
            if NET.biases:
                bias = (add_vector(sums[NET.hidden(layer) + 1], value, 1.0, gate, NET),)
            total = add_matrix(total, value, gate, below, NET)
            value = back(weight, gated(value, gate), NET)
        upper = (total,) + bias + upper
        gate = gate_of(gates[layer - 2], below, NET)
    columns = ()
    if NET.wide:
        columns = columns + (add_matrix(sums[0], value * error, gate, x, NET),)
    else:
        large = value * LARGE if NET.clamps else value  # beside inputs in units of LARGE
        for i in tl.static_range(NET.n_inputs + 0):
            columns = columns + (add_vector(sums[i], large, input_of(x, i, NET) * error, gate, NET),)
    if NET.biases:
        columns = columns + (add_vector(sums[NET.columns], value, error, gate, NET),)
    return columns + upper + rows + biases


@triton.jit
def lost(theta, NET: tl.constexpr):
    """0 for each network, or NaN where a parameter was not finite before the step that led to theta: clamped values
    hide it, but not the gradient by the output's row, which is made of their products.
    """
    return tl.sum(theta[NET.rows] * 0.0, axis=0, keep_dims=True)


@triton.jit
def gradient(theta, sums, scale, NET: tl.constexpr):
    """The gradient from the sums over the step's samples, times `scale` (`step_scale`)."""
    result = ()
    if NET.factored:
        n_columns: tl.constexpr = NET.n_inputs + NET.biases
        row = theta[NET.rows]
        for k in tl.static_range(n_columns):
            result = result + (row * scale * sums[k],)
        if NET.degree > 0:
            inner = theta[0] * sums[0]
            for k in tl.static_range(1, n_columns):
                inner += theta[k] * sums[k]
            result = result + (inner * (scale / NET.degree),)
        else:
            result = result + (sums[NET.rows] * scale,)
        if NET.biases:
            result = result + (sums[NET.rows + 1] * scale,)
    else:
        for k in tl.static_range(len(sums)):
            total = sums[k] * scale
            if NET.factored_top and (k >= NET.hidden(NET.n_hidden) and k < NET.rows):
                total = sums[k] * (theta[NET.rows] * scale)
            result = result + (total,)
    return result
