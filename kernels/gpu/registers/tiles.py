"""The kernels of this folder for tiles in float32 on NVIDIA GPUs, in Gluon: every tensor of a layer lies as tensor
cores leave their results (`places`), and maps between hidden layers are their products (`products`).

A program of `NET.warps` warps trains one network; the warps share the rows (units) of a layer. A sample's own numbers
(inputs, outputs, losses) are computed once, by one lane, and reach the units by way of shared memory. Each layer's
values, its weight and its error signals are needed in two orders, and go through it as well, once a turn; weights of
programs of four warps and more lie there throughout a step (`NET.parked`).
"""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005, SIM108
# mypy: ignore-errors

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from kernels.gpu.common.dialect import in_gluon
from kernels.gpu.common.functions import gated
from kernels.gpu.registers import axes, exchange, network, paths, training
from kernels.gpu.registers.places import features_place, result_place, right_place, row_place, samples_place
from kernels.gpu.registers.products import (
    add_columns,
    chunks_of_columns,
    columns_in_shared,
    in_shared,
    left,
    rows_in_shared,
    summed_over_rows,
    turned,
    whole,
)


@gluon.jit
def unit_axis(width: gl.constexpr, NET: gl.constexpr):
    """[width, 1]."""
    PLACE: gl.constexpr = result_place(NET)
    return gl.arange(0, width, layout=gl.SliceLayout(1, PLACE))[:, None]


@gluon.jit
def item_axis(NET: gl.constexpr):
    """[1, 1]."""
    PLACE: gl.constexpr = result_place(NET)
    return gl.full([1, 1], 0, gl.int32, layout=PLACE)


@gluon.jit
def sample_axis(size: gl.constexpr, NET: gl.constexpr):
    """[1, size]."""
    PLACE: gl.constexpr = samples_place(NET)
    return gl.arange(0, size, layout=gl.SliceLayout(0, PLACE))[None, :]


@gluon.jit
def outputs_axis(width: gl.constexpr, NET: gl.constexpr):
    """[width, 1]."""
    return unit_axis(width, NET)


@gluon.jit
def inputs_axis(width: gl.constexpr, NET: gl.constexpr):
    """[1, width]."""
    PLACE: gl.constexpr = result_place(NET)
    return gl.arange(0, width, layout=gl.SliceLayout(0, PLACE))[None, :]


@gluon.jit
def features_axis(width: gl.constexpr, NET: gl.constexpr):
    """[width, 1]."""
    PLACE: gl.constexpr = features_place(NET)
    return gl.arange(0, width, layout=gl.SliceLayout(1, PLACE))[:, None]


@gluon.jit
def stack_axis(width: gl.constexpr, NET: gl.constexpr):
    """[width, 1]."""
    PLACE: gl.constexpr = samples_place(NET)
    return gl.arange(0, width, layout=gl.SliceLayout(1, PLACE))[:, None]


@gluon.jit
def at_features(value, NET: gl.constexpr):
    """[1, TILE]."""
    PLACE: gl.constexpr = features_place(NET)
    return gl.convert_layout(value, PLACE)


@gluon.jit
def at_samples(value, NET: gl.constexpr):
    """[1, 1]."""
    PLACE: gl.constexpr = samples_place(NET)
    return gl.convert_layout(value, PLACE, assert_trivial=True)


@gluon.jit
def at_items(value, NET: gl.constexpr):
    """[1, 1]."""
    PLACE: gl.constexpr = result_place(NET)
    return gl.convert_layout(value, PLACE, assert_trivial=True)


@gluon.jit
def parked(theta, NET: gl.constexpr):
    """The weights between hidden layers in shared memory, so that no registers hold them during a step."""
    values = ()
    for k in gl.static_range(len(theta)):
        if NET.parked and theta[k].shape[1] > 1:
            values = values + (in_shared(theta[k], 1),)
        else:
            values = values + (theta[k],)
    return values


@gluon.jit
def unparked(theta, NET: gl.constexpr):
    """All parameters in registers."""
    PLACE: gl.constexpr = result_place(NET)
    values = ()
    for k in gl.static_range(len(theta)):
        if NET.parked and theta[k].shape[1] > 1:
            values = values + (theta[k].load(PLACE),)
        else:
            values = values + (theta[k],)
    return values


@gluon.jit
def kept_rows(rows):
    """A tuple of [1, TILE], in shared memory."""
    SHARED: gl.constexpr = row_place()
    spaces = ()
    for i in gl.static_range(len(rows)):
        spaces = spaces + (gl.allocate_shared_memory(gl.float32, rows[i].shape, SHARED, rows[i]),)
    return spaces


@gluon.jit
def kept_inputs(x, NET: gl.constexpr):
    """A tuple of [1, TILE], or [inputs, TILE], in shared memory."""
    return kept(x[0], NET) if NET.wide else kept_rows(x)


@gluon.jit
def input_of(x, i: gl.constexpr, NET: gl.constexpr):
    """[1, TILE]."""
    return x[i].load(result_place(NET))


@gluon.jit
def at_units(value, derivative, NET: gl.constexpr):
    """[1, TILE], a tuple of [1, TILE]."""
    PLACE: gl.constexpr = result_place(NET)
    spaces = kept_rows((value,) + derivative)
    moved = ()
    for o in gl.static_range(len(derivative)):
        moved = moved + (spaces[o + 1].load(PLACE),)
    return spaces[0].load(PLACE), moved


@gluon.jit
def kept(h, NET: gl.constexpr):
    """[units, TILE], in shared memory: others of a program's threads take it up in other orders."""
    return in_shared(h, 1 if NET.parked else 2)


@gluon.jit
def gate_of(gate, h, NET: gl.constexpr):
    """The gates of a layer: those of relu follow from its values."""
    if gate.dtype == gl.int1:
        return h.load(result_place(NET)) > 0
    else:
        return gate


@gluon.jit
def affine(theta, h, NET: gl.constexpr, layer: gl.constexpr):
    """Pre-activations of hidden layer `layer` ≥ 2 from the values of the one below."""
    PLACE: gl.constexpr = result_place(NET)
    weight = theta[NET.hidden(layer)]
    UNITS: gl.constexpr = weight.shape[0]
    TILE: gl.constexpr = h.shape[1]
    total = gl.zeros([UNITS, TILE], gl.float32, PLACE)
    small = gl.zeros_like(total)
    if NET.biases:
        total += theta[NET.hidden(layer) + 1]
    if NET.parked:
        total, small = columns_in_shared(weight, h, total, small, NET)
    else:
        total, small = chunks_of_columns(weight, h, total, small, NET)
    return whole(total, small, NET)


@gluon.jit
def readout(theta, h, NET: gl.constexpr):
    """Outputs: a lane adds up the rows that it holds, a warp those of eight lanes and of all warps for its samples; of
    so many outputs at a time that 16 KiB of shared memory do.
    """
    TILE: gl.constexpr = h.shape[1]
    SAMPLES: gl.constexpr = samples_place(NET)
    sharing: gl.constexpr = min(NET.warps, h.shape[0] // 16)
    at_once: gl.constexpr = 16 // sharing
    outputs = ()
    for first in gl.static_range(0, NET.n_outputs + 0, at_once):
        spaces = ()
        for o in gl.static_range(first, first + at_once):
            if o < NET.n_outputs:
                terms = (h * theta[NET.rows + o]).reshape([h.shape[0] // (16 * sharing), sharing, 2, 8, TILE])
                terms = gl.sum(gl.sum(terms, axis=2), axis=0).reshape([8 * sharing, TILE])
                spaces = spaces + (in_shared(terms, 1),)
        for k in gl.static_range(len(spaces)):
            out = gl.sum(spaces[k].load(SAMPLES), axis=0, keep_dims=True)
            if NET.biases:
                out += at_samples(theta[NET.rows + NET.n_outputs + first + k], NET)
            outputs = outputs + (out,)
    return outputs


@gluon.jit
def back(weight, delta, NET: gl.constexpr):
    """Wᵀ δ."""
    if NET.parked:
        return rows_in_shared(weight, (), delta, "", NET)
    else:
        return summed_over_rows(weight, delta, "", NET)


@gluon.jit
def back_factored(weight, row, gate, NET: gl.constexpr):
    """Wᵀ (w ⊙ σ′) where gates are zeros and ones."""
    if NET.parked:
        factor = kept_rows((gl.permute(row, (1, 0)),))
        return rows_in_shared(weight, factor, gate.to(gl.float32), "right", NET)
    else:
        return summed_over_rows(weight * row, gate.to(gl.float32), "right", NET)


@gluon.jit
def add_matrix(total, value, gate, h, NET: gl.constexpr):
    """total + (σ′ · value) ⊗ h, summed over the samples at hand."""
    return add_columns(left(gated_here(value, gate), NET), h, 1.0, total, "", NET)


@gluon.jit
def add_factored(total, value, gate, h, NET: gl.constexpr):
    """The same where value is the same for all units, and gates are zeros and ones: σ′ ⊗ (value · h)."""
    RIGHT: gl.constexpr = right_place(NET)
    factor = gl.convert_layout(gl.permute(turned(value), (1, 0)), RIGHT)
    return add_columns(left(gate.to(gl.float32), NET), h, factor, total, "left", NET)


gated_here = in_gluon(gated, {})

PLACED = {
    axes.unit_axis: unit_axis,
    axes.item_axis: item_axis,
    axes.sample_axis: sample_axis,
    axes.outputs_axis: outputs_axis,
    axes.inputs_axis: inputs_axis,
    axes.features_axis: features_axis,
    axes.stack_axis: stack_axis,
    axes.at_features: at_features,
    axes.at_samples: at_samples,
    axes.at_items: at_items,
    exchange.parked: parked,
    exchange.unparked: unparked,
    exchange.kept_inputs: kept_inputs,
    exchange.input_of: input_of,
    exchange.at_units: at_units,
    exchange.kept: kept,
    exchange.gate_of: gate_of,
    network.affine: affine,
    network.readout: readout,
    network.back: back,
    network.back_factored: back_factored,
    network.add_matrix: add_matrix,
    network.add_factored: add_factored,
    gated: gated_here,
}
train = in_gluon(training.train, PLACED)
path_losses = in_gluon(paths.path_losses, PLACED)
