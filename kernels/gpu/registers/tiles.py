"""The kernels of this folder for tiles in float32 on NVIDIA GPUs, in Gluon: every tensor lies as tensor cores leave
their results.

A program of `NET.warps` warps trains one network; the warps share the columns (units) of a layer. A product of
float32 matrices is three of tf32, each factor being split in its ten leading bits and the rest, whose product with
each other is left out: an error of 2⁻²² a term, as float32's own. (`tl.dot` has this too, but chooses for itself
where operands lie, by way of shared memory.)
"""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.ampere import mma_v2
from triton.runtime.jit import constexpr_function

from kernels.gpu.common.dialect import in_gluon
from kernels.gpu.common.functions import activate, gated
from kernels.gpu.registers import axes, network, paths, training


@constexpr_function
def result_place(NET):
    """Who holds what of a product's result, and here of every tensor."""
    return gl.NVMMADistributedLayout(version=[2, 0], warps_per_cta=[1, NET.warps], instr_shape=[16, 8])


@constexpr_function
def left_place(NET):
    """Who holds what of a product's left operand."""
    return gl.DotOperandLayout(0, result_place(NET), 1)


@constexpr_function
def right_place(NET):
    """Who holds what of a product's right operand."""
    return gl.DotOperandLayout(1, result_place(NET), 1)


@gluon.jit
def unit_axis(width: gl.constexpr, NET: gl.constexpr):
    """[1, width]."""
    PLACE: gl.constexpr = result_place(NET)
    return gl.arange(0, width, layout=gl.SliceLayout(0, PLACE))[None, :]


@gluon.jit
def item_axis(NET: gl.constexpr):
    """[1, 1]."""
    PLACE: gl.constexpr = result_place(NET)
    return gl.full([1, 1], 0, gl.int32, layout=PLACE)


@gluon.jit
def sample_axis(size: gl.constexpr, NET: gl.constexpr):
    """[size, 1]."""
    PLACE: gl.constexpr = result_place(NET)
    return gl.arange(0, size, layout=gl.SliceLayout(1, PLACE))[:, None]


@gluon.jit
def outputs_axis(width: gl.constexpr, NET: gl.constexpr):
    """[1, width]."""
    return unit_axis(width, NET)


@gluon.jit
def inputs_axis(width: gl.constexpr, NET: gl.constexpr):
    """[width, 1]."""
    return sample_axis(width, NET)


@gluon.jit
def leading(x):
    """x with the ten leading bits of its fraction: what a tensor core reads of it."""
    return (x.to(gl.int32, bitcast=True) & -8192).to(gl.float32, bitcast=True)


@gluon.jit
def product(left, right, total, NET: gl.constexpr):
    """total + left · right, two operands where the tensor cores read them."""
    left_leading = leading(left)
    right_leading = leading(right)
    total = mma_v2(left - left_leading, right_leading, total, input_precision="tf32")
    total = mma_v2(left_leading, right - right_leading, total, input_precision="tf32")
    return mma_v2(left_leading, right_leading, total, input_precision="tf32")


@gluon.jit
def values_below(h, theta, x, NET: gl.constexpr, layer: gl.constexpr):
    """Values of the layer below `layer`, [TILE, units], as a left operand: those of the first layer computed where
    they are needed.
    """
    LEFT: gl.constexpr = left_place(NET)
    if layer == 2 and NET.cheap:
        moved = ()
        for i in gl.static_range(NET.n_inputs + NET.biases):
            moved = moved + (gl.convert_layout(theta[i], LEFT),)
        inputs = ()
        for i in gl.static_range(NET.n_inputs + 0):
            inputs = inputs + (gl.convert_layout(x[i], LEFT),)
        return activate_here(first_layer_here(moved, inputs, NET), NET)[0]
    else:
        return gl.convert_layout(h, LEFT)


@gluon.jit
def values_across(h, theta, x, NET: gl.constexpr, layer: gl.constexpr):
    """The same, [units, TILE]."""
    LEFT: gl.constexpr = left_place(NET)
    if layer == 2 and NET.cheap:
        moved = ()
        for i in gl.static_range(NET.n_inputs + NET.biases):
            moved = moved + (gl.convert_layout(gl.permute(theta[i], (1, 0)), LEFT),)
        inputs = ()
        for i in gl.static_range(NET.n_inputs + 0):
            inputs = inputs + (gl.convert_layout(gl.permute(x[i], (1, 0)), LEFT),)
        return activate_here(first_layer_here(moved, inputs, NET), NET)[0]
    else:
        return gl.convert_layout(gl.permute(h, (1, 0)), LEFT)


@gluon.jit
def affine(theta, h, x, NET: gl.constexpr, layer: gl.constexpr):
    """Pre-activations of hidden layer `layer` ≥ 2 from the values of the one below."""
    PLACE: gl.constexpr = result_place(NET)
    RIGHT: gl.constexpr = right_place(NET)
    weight = theta[NET.hidden(layer)]
    zero = gl.zeros([h.shape[0], weight.shape[1]], gl.float32, PLACE)
    z = product(values_below(h, theta, x, NET, layer), gl.convert_layout(weight, RIGHT), zero, NET)
    return z + theta[NET.hidden(layer) + 1] if NET.biases else z


@gluon.jit
def back(weight, delta, NET: gl.constexpr):
    """Wᵀ δ."""
    PLACE: gl.constexpr = result_place(NET)
    LEFT: gl.constexpr = left_place(NET)
    RIGHT: gl.constexpr = right_place(NET)
    zero = gl.zeros([delta.shape[0], weight.shape[0]], gl.float32, PLACE)
    across = gl.convert_layout(gl.permute(weight, (1, 0)), RIGHT)
    return product(gl.convert_layout(delta, LEFT), across, zero, NET)


@gluon.jit
def add_matrix(total, value, gate, h, theta, x, NET: gl.constexpr, layer: gl.constexpr):
    """total + (σ′ · value) ⊗ h, summed over the samples at hand."""
    RIGHT: gl.constexpr = right_place(NET)
    delta = gl.convert_layout(gated_here(value, gate), RIGHT)
    return product(values_across(h, theta, x, NET, layer), delta, total, NET)


activate_here = in_gluon(activate, {})
first_layer_here = in_gluon(network.first_layer, {})
gated_here = in_gluon(gated, {})

PLACED = {
    axes.unit_axis: unit_axis,
    axes.item_axis: item_axis,
    axes.sample_axis: sample_axis,
    axes.outputs_axis: outputs_axis,
    axes.inputs_axis: inputs_axis,
    network.affine: affine,
    network.back: back,
    network.add_matrix: add_matrix,
    gated: gated_here,
    activate: activate_here,
    network.first_layer: first_layer_here,
}
train = in_gluon(training.train, PLACED)
path_losses = in_gluon(paths.path_losses, PLACED)
