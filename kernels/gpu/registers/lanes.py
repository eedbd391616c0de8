"""The kernels of this folder for lanes, in Gluon: the same source, with the place of every element spelled out.

A program is one warp. Of its lanes, `NET.group` share a network: member g holds units g, g + group, …; networks lie
along the other axis. Left to itself, Triton 3.7 chooses this too, but 3.6 chooses otherwise and spills. Gluon is part
of Triton and has no interpreter: interpreted, `training` and `paths` run as they are.
"""

# mypy: ignore-errors

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.runtime.jit import constexpr_function

from kernels.gpu.common import functions, optimizers
from kernels.gpu.common.dialect import in_gluon
from kernels.gpu.registers import axes, paths, training


@constexpr_function
def layer_place(NET):
    """Who holds what of [units, BLOCK]."""
    return gl.BlockedLayout([1, 1], [NET.group, NET.block], [1, 1], [0, 1])


@constexpr_function
def weight_place(NET):
    """Who holds what of [fan_out, fan_in, BLOCK]: a lane holds a whole network, since deeper ones are not shared."""
    return gl.BlockedLayout([1, 1, 1], [1, 1, NET.block], [1, 1, 1], [1, 0, 2])


@gluon.jit
def unit_axis(width: gl.constexpr, NET: gl.constexpr):
    """[width, 1]."""
    PLACE: gl.constexpr = layer_place(NET)
    return gl.arange(0, width, layout=gl.SliceLayout(1, PLACE))[:, None]


@gluon.jit
def item_axis(NET: gl.constexpr):
    """[1, BLOCK]."""
    PLACE: gl.constexpr = layer_place(NET)
    return gl.arange(0, NET.block, layout=gl.SliceLayout(0, PLACE))[None, :]


@gluon.jit
def outputs_axis(width: gl.constexpr, NET: gl.constexpr):
    """[width, 1, 1]."""
    PLACE: gl.constexpr = weight_place(NET)
    return gl.arange(0, width, layout=gl.SliceLayout(1, gl.SliceLayout(2, PLACE)))[:, None][:, :, None]


@gluon.jit
def inputs_axis(width: gl.constexpr, NET: gl.constexpr):
    """[1, width, 1]."""
    PLACE: gl.constexpr = weight_place(NET)
    return gl.arange(0, width, layout=gl.SliceLayout(0, gl.SliceLayout(2, PLACE)))[None, :][:, :, None]


@gluon.jit
def as_inputs(value, NET: gl.constexpr):
    """[units, BLOCK] → [1, units, BLOCK]."""
    PLACE: gl.constexpr = weight_place(NET)
    return gl.convert_layout(value, gl.SliceLayout(0, PLACE))[None, :, :]


@gluon.jit
def as_outputs(value, NET: gl.constexpr):
    """[units, BLOCK] → [units, 1, BLOCK]."""
    PLACE: gl.constexpr = weight_place(NET)
    return gl.convert_layout(value, gl.SliceLayout(1, PLACE))[:, None, :]


@gluon.jit
def as_layer(value, NET: gl.constexpr):
    """[units, BLOCK] as the values of a layer lie."""
    PLACE: gl.constexpr = layer_place(NET)
    return gl.convert_layout(value, PLACE)


@gluon.jit
def expand(value, like):
    """A number per network [1, BLOCK] as it broadcasts against a tensor of parameters."""
    if len(like.shape) == 3:
        return gl.convert_layout(value, gl.SliceLayout(1, like.type.layout))[:, None, :]
    else:
        return value


@gluon.jit
def clamped(a, b, c):
    """a · b + c, clamped to 0 … 1."""
    return gl.inline_asm_elementwise(
        "fma.rn.sat.f32 $0, $1, $2, $3;", "=f,f,f,f", [a, b, c], dtype=gl.float32, is_pure=True, pack=1
    )


PLACED = {
    functions.clamped: clamped,
    axes.unit_axis: unit_axis,
    axes.item_axis: item_axis,
    axes.outputs_axis: outputs_axis,
    axes.inputs_axis: inputs_axis,
    axes.as_inputs: as_inputs,
    axes.as_outputs: as_outputs,
    axes.as_layer: as_layer,
    optimizers.expand: expand,
}
train = in_gluon(training.train, PLACED)
path_losses = in_gluon(paths.path_losses, PLACED)
