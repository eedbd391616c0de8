"""Forward pass of one network, or of a block of networks, inside a kernel, and what both passes are made of.

Two layouts share this code. Values of a layer are [units, items], and the layouts differ in what an item is:

    lanes    a network: a lane (or a small group of lanes) holds all of its units
    tiles    a sample of the program's one network: maps between hidden layers are matrix products

An item's own numbers (an input, an output, a loss) are [1, BLOCK] or [1, TILE] and broadcast against a layer.
Parameters are one flat tuple: a column of the first weight per input, its bias, then weight and bias of every further
hidden layer, then a row of the last weight per output, and the output biases; in tiles the first weight of many inputs
(`wide`) is a matrix as the hidden ones are:

    lanes    columns, biases and rows [units, 1 → BLOCK], hidden weights [fan_out, fan_in, BLOCK], output biases
             [1, BLOCK]
    tiles    columns, biases and rows [units, 1], hidden weights [fan_out, fan_in], output biases [1, 1]

Units are padded to `padded` with zeros; zeros stay zeros under every update.
"""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.functions import LARGE, activate, add_gated, clamped, gated
from kernels.gpu.registers.axes import as_inputs, as_layer, as_outputs, inputs_axis, outputs_axis, unit_axis
from kernels.gpu.registers.exchange import input_of, kept


@triton.jit
def place(index, network, n_networks, NET: tl.constexpr):
    """Where parameter `index` of `network` lies: side by side for the networks of a block, or each network's in a row.

    32 bits do: see `kernels.gpu.launch`.
    """
    return index * n_networks + network if NET.lanes else network * NET.n_parameters + index


@triton.jit
def vector_place(start, stride, network, n_networks, NET: tl.constexpr, layer: tl.constexpr):
    """Places of the numbers start, start + stride, … that belong to the units of hidden layer `layer`, and which of
    them exist.
    """
    unit = unit_axis(NET.padded[layer], NET)
    index = start + tl.where(unit < NET.widths[layer], unit, 0) * stride
    where = place(index, network, n_networks, NET)
    return where, (unit < NET.widths[layer]) & (network >= 0)


@triton.jit
def matrix_place(network, n_networks, NET: tl.constexpr, layer: tl.constexpr):
    """Places of the weight into hidden layer `layer`, and which of them exist."""
    out = outputs_axis(NET.padded[layer], NET)
    into = inputs_axis(NET.padded[layer - 1], NET)
    owner = as_outputs(network, NET) if NET.lanes else network
    exists = (out < NET.widths[layer]) & (into < NET.widths[layer - 1])
    index = NET.starts[layer - 1] + tl.where(exists, out * NET.widths[layer - 1] + into, 0)
    return place(index, owner, n_networks, NET), exists & (owner >= 0)


@triton.jit
def places(network, n_networks, NET: tl.constexpr):
    """Places of all parameters, tuple by tuple, and which of them exist: two tuples in the order of the parameters."""
    where, exists = (), ()
    if NET.wide:
        pair = matrix_place(network, n_networks, NET, 1)
        where = where + (pair[0],)
        exists = exists + (pair[1],)
    else:
        for i in tl.static_range(NET.n_inputs + 0):
            pair = vector_place(NET.starts[0] + i, NET.widths[0], network, n_networks, NET, 1)
            where = where + (pair[0],)
            exists = exists + (pair[1],)
    if NET.biases:
        pair = vector_place(NET.starts[0] + NET.widths[1] * NET.widths[0], 1, network, n_networks, NET, 1)
        where = where + (pair[0],)
        exists = exists + (pair[1],)
    for layer in tl.static_range(2, NET.n_hidden + 1):
        pair = matrix_place(network, n_networks, NET, layer)
        where = where + (pair[0],)
        exists = exists + (pair[1],)
        if NET.biases:
            first_bias = NET.starts[layer - 1] + NET.widths[layer] * NET.widths[layer - 1]
            pair = vector_place(first_bias, 1, network, n_networks, NET, layer)
            where = where + (pair[0],)
            exists = exists + (pair[1],)
    top: tl.constexpr = NET.n_hidden
    for o in tl.static_range(NET.n_outputs + 0):
        pair = vector_place(NET.starts[top] + o * NET.widths[top], 1, network, n_networks, NET, top)
        where = where + (pair[0],)
        exists = exists + (pair[1],)
    if NET.biases:
        for o in tl.static_range(NET.n_outputs + 0):
            index = NET.starts[top] + NET.n_outputs * NET.widths[top] + o
            where = where + (place(index, network, n_networks, NET),)
            exists = exists + (network >= 0,)
    return where, exists


@triton.jit
def teacher_places(data_set, n_datasets, TEACHER: tl.constexpr):
    """`places` of the teachers of these data sets, in 64 bits: there may be as many as networks in all launches."""
    return places(data_set, n_datasets.to(tl.int64), TEACHER)


@triton.jit
def load(pointer, where, exists):
    """Numbers at `where`, a tuple; zero where none exists."""
    values = ()
    for k in tl.static_range(len(where)):
        values = values + (tl.load(pointer + where[k], mask=exists[k], other=0),)
    return values


@triton.jit
def store(pointer, where, exists, values, valid, NET: tl.constexpr):
    """Write a tuple of numbers back, for the networks that are `valid`."""
    for k in tl.static_range(len(where)):
        if len(where[k].shape) == 3:
            tl.store(pointer + where[k], values[k], mask=exists[k] & as_outputs(valid, NET))
        else:
            tl.store(pointer + where[k], values[k], mask=exists[k] & valid)


@triton.jit
def zeros(theta):
    """A tuple of zeros like the parameters."""
    values = ()
    for k in tl.static_range(len(theta)):
        values = values + (tl.zeros_like(theta[k]),)
    return values


@triton.jit
def first_layer(theta, x, NET: tl.constexpr):
    """Pre-activations of the first hidden layer from the inputs x (what `exchange.kept_inputs` gave); where
    multiply-adds clamp, their relu in units of `LARGE`.
    """
    if NET.clamps:
        last: tl.constexpr = NET.n_inputs - 1
        z = theta[NET.n_inputs] if NET.biases else tl.zeros_like(theta[0])
        for i in tl.static_range(last + 0):
            z = theta[i] * input_of(x, i, NET) + z
        z = clamped(theta[last], input_of(x, last, NET), z)
    elif NET.wide:
        z = affine(theta, x, NET, 1)
    else:
        z = theta[0] * input_of(x, 0, NET)
        if NET.biases:
            z = z + theta[NET.n_inputs]
        for i in tl.static_range(1, NET.n_inputs + 0):
            z = theta[i] * input_of(x, i, NET) + z
    return z


@triton.jit
def first_values(theta, x, NET: tl.constexpr):
    """Values of the first hidden layer, and their gates; where multiply-adds clamp, in units of `LARGE`."""
    z = first_layer(theta, x, NET)
    if NET.clamps:
        return z, z > 0
    else:
        return activate(z, NET)


@triton.jit
def affine(theta, h, NET: tl.constexpr, layer: tl.constexpr):
    """Pre-activations of hidden layer `layer` ≥ 2 from the values h of the one below."""
    weight = theta[NET.hidden(layer)]
    if NET.lanes:
        z = as_layer(tl.sum(weight * as_inputs(h, NET), axis=1), NET)
    else:
        z = tl.dot(weight, h, input_precision="ieee", out_dtype=h.dtype)
    return z + theta[NET.hidden(layer) + 1] if NET.biases else z


@triton.jit
def back(weight, delta, NET: tl.constexpr):
    """Wᵀ δ."""
    if NET.lanes:
        return as_layer(tl.sum(weight * as_outputs(delta, NET), axis=0), NET)
    else:
        # δᵀ W and not Wᵀ δ, which Triton 3.5 and 3.6 do not compile for AMD where the activation is tanh
        return tl.trans(tl.dot(tl.trans(delta), weight, input_precision="ieee", out_dtype=delta.dtype))


@triton.jit
def add_matrix(total, value, gate, h, NET: tl.constexpr):
    """total + (σ′ · value) ⊗ h, summed over the samples at hand: the gradient by the weight into a hidden layer whose
    layer below has the values h.
    """
    if NET.lanes:
        return add_gated(total, as_outputs(value, NET), as_inputs(h, NET), as_outputs(gate, NET))
    else:
        return total + tl.dot(gated(value, gate), tl.trans(h), input_precision="ieee", out_dtype=value.dtype)


@triton.jit
def add_factored(total, value, gate, h, NET: tl.constexpr):
    """`add_matrix` where value is the same for all units, [1, TILE], and gates are zeros and ones."""
    return add_matrix(total, value, gate, h, NET)


@triton.jit
def back_factored(weight, row, gate, NET: tl.constexpr):
    """Wᵀ (w ⊙ σ′) where gates are zeros and ones, and w is the output's row."""
    return back(weight * row, gate.to(weight.dtype), NET)


@triton.jit
def add_vector(total, value, factor, gate, NET: tl.constexpr):
    """total + σ′ · value · factor, summed over the samples at hand."""
    if NET.lanes:
        return add_gated(total, value, factor, gate)
    else:
        return total + tl.sum(gated(value, gate) * factor, axis=1, keep_dims=True)


@triton.jit
def add_row(total, value, NET: tl.constexpr):
    """total + value, summed over the samples at hand."""
    return total + value if NET.lanes else total + tl.sum(value, axis=1, keep_dims=True)


@triton.jit
def readout(theta, h, NET: tl.constexpr):
    """Outputs (a tuple of items) from the values of the top hidden layer."""
    outputs = ()
    for o in tl.static_range(NET.n_outputs + 0):
        out = tl.sum(h * theta[NET.rows + o], axis=0, keep_dims=True)
        if NET.clamps:
            out *= LARGE
        if NET.biases:
            out += theta[NET.rows + NET.n_outputs + o]
        outputs = outputs + (out,)
    return outputs


@triton.jit
def forward(theta, x, NET: tl.constexpr):
    """Outputs (a tuple of items), values of the hidden layers and their gates (tuples).

    theta: what `exchange.parked` gave; x: what `exchange.kept_inputs` gave.
    """
    pair = first_values(theta, x, NET)
    h = ()
    gates = (pair[1],)
    for layer in tl.static_range(2, NET.n_hidden + 1):
        h = h + (kept(pair[0], NET),)
        pair = activate(affine(theta, h[layer - 2], NET, layer), NET)
        gates = gates + (pair[1],)
    h = h + (pair[0],)
    return readout(theta, h[NET.n_hidden - 1], NET), h, gates
