"""The kernels of this folder for tiles in float32 on NVIDIA GPUs, in Gluon: every tensor lies as tensor cores leave
their results.

A program of `NET.warps` warps trains one network; the warps share the rows (units) of a layer. A product of float32
matrices is three of tf32: of a factor a tensor core reads the ten leading bits of its fraction and no others, so its
rest is multiplied besides, and only the product of two rests is left out: an error of 2⁻²² a term, as float32's own.
(`tl.dot` has this too, but chooses for itself where operands lie.)

Tensor cores multiply matrices A and Bᵀ whose rows lie alike, and so they are left: a product that sums over the
columns of what was a result needs nothing moved. Each layer's values, its weight and its error signals are needed the
other way round as well, and go through shared memory for it, once a turn.
"""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# mypy: ignore-errors

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.ampere import mma_v2
from triton.runtime.jit import constexpr_function

from kernels.gpu.common.dialect import in_gluon
from kernels.gpu.common.functions import gated
from kernels.gpu.registers import axes, network, paths, training

CHUNK = gl.constexpr(32)  # what tensor cores read is held for so many rows or columns at a time


@constexpr_function
def result_place(NET):
    """Who holds what of a product's result, and here of every tensor: warps share the rows."""
    return gl.NVMMADistributedLayout(version=[2, 0], warps_per_cta=[NET.warps, 1], instr_shape=[16, 8])


@constexpr_function
def left_place(NET):
    """Who holds what of a product's left operand."""
    return gl.DotOperandLayout(0, result_place(NET), 1)


@constexpr_function
def right_place(NET):
    """Who holds what of a product's right operand."""
    return gl.DotOperandLayout(1, result_place(NET), 1)


@constexpr_function
def turned_place(rows, columns, NET):
    """Who holds what of [rows, columns] that `turned` makes an operand's transpose: every warp all of it."""
    along = [[0, 1], *([0, 8 << bit] for bit in range((columns // 8).bit_length() - 1))]
    down = [[8 << bit, 0] for bit in range((rows // 8).bit_length() - 1)]
    lanes = [[0, 2], [0, 4], [1, 0], [2, 0], [4, 0]]
    warps = [[0, 0] for _ in range(NET.warps.bit_length() - 1)]
    return gl.DistributedLinearLayout([*along, *down], lanes, warps, [], [rows, columns])


@constexpr_function
def shared_place(columns, rows):
    """Where a result lies in shared memory: eight columns side by side, at places that change with every `rows` rows,
    so that lanes which read one column of four such groups read from different banks.
    """
    per_phase = max(rows, 32 // columns)
    return gl.SwizzledSharedLayout(8, per_phase, min(4, columns // 8), [1, 0])


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
    PLACE: gl.constexpr = result_place(NET)
    return gl.arange(0, size, layout=gl.SliceLayout(0, PLACE))[None, :]


@gluon.jit
def outputs_axis(width: gl.constexpr, NET: gl.constexpr):
    """[width, 1]."""
    return unit_axis(width, NET)


@gluon.jit
def inputs_axis(width: gl.constexpr, NET: gl.constexpr):
    """[1, width]."""
    return sample_axis(width, NET)


@gluon.jit
def rest(x):
    """x without the ten leading bits of its fraction, which are what a tensor core reads of it."""
    return x - (x.to(gl.int32, bitcast=True) & -8192).to(gl.float32, bitcast=True)


@gluon.jit
def product(left, right, total, small, EXACT: gl.constexpr, NET: gl.constexpr):
    """total + small + left · right, two operands where the tensor cores read them, in two parts: in `small` what the
    factors' rests give, so that neither part waits for the other, unless registers are short (not NET.apart).

    EXACT: "left" or "right" for a factor of zeros and ones, which has no rest; "" for none.
    """
    sum_of_rests = small if NET.apart else total
    if EXACT != "left":
        sum_of_rests = mma_v2(rest(left), right, sum_of_rests, input_precision="tf32")
    if EXACT != "right":
        sum_of_rests = mma_v2(left, rest(right), sum_of_rests, input_precision="tf32")
    if NET.apart:
        return mma_v2(left, right, total, input_precision="tf32"), sum_of_rests
    else:
        return mma_v2(left, right, sum_of_rests, input_precision="tf32"), small


@gluon.jit
def whole(total, small, NET: gl.constexpr):
    """The sum of the two parts."""
    return total + small if NET.apart else total


@gluon.jit
def turned(value):
    """value with its columns renamed: 8 j + 2 t + b becomes 8 j + 4 b + t. A lane holds two neighbouring columns of a
    result, 2 t and 2 t + 1, and of an operand the columns t and t + 4: so a result is an operand without being moved,
    and a sum over the columns does not ask for their order.
    """
    rows: gl.constexpr = value.shape[0]
    columns: gl.constexpr = value.shape[1]
    return value.reshape([rows, columns // 8, 4, 2]).permute([0, 1, 3, 2]).reshape([rows, columns])


@gluon.jit
def left(value, NET: gl.constexpr):
    """A result as the left operand of a product that sums over its columns, renamed."""
    LEFT: gl.constexpr = left_place(NET)
    return gl.convert_layout(turned(value), LEFT, assert_trivial=True)


@gluon.jit
def right(space, NET: gl.constexpr):
    """What lies in shared memory, [summed, columns], as the right operand of a product that sums over its rows, renamed
    as `turned` renames columns.
    """
    PLACE: gl.constexpr = turned_place(space.shape[1], space.shape[0], NET)
    RIGHT: gl.constexpr = right_place(NET)
    value = turned(space.permute([1, 0]).load(PLACE))
    return gl.convert_layout(gl.permute(value, (1, 0)), RIGHT, assert_trivial=True)


@gluon.jit
def kept(h, NET: gl.constexpr):
    """[units, TILE], in shared memory: others of a program's threads take it up in other orders."""
    SHARED: gl.constexpr = shared_place(h.shape[1], 2)
    return gl.allocate_shared_memory(gl.float32, h.shape, SHARED, h)


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
    TILE: gl.constexpr = h.shape[1]
    weight = theta[NET.hidden(layer)]
    total = gl.zeros([weight.shape[0], TILE], gl.float32, PLACE)
    if NET.biases:
        total += theta[NET.hidden(layer) + 1]
    total, small = chunks_of_columns(weight, h, total, gl.zeros_like(total), NET)
    return whole(total, small, NET)


@gluon.jit
def half(value, which: gl.constexpr, NET: gl.constexpr):
    """The first or the last half of a result's columns."""
    PLACE: gl.constexpr = result_place(NET)
    rows: gl.constexpr = value.shape[0]
    columns: gl.constexpr = value.shape[1]
    halves = value.reshape([rows, 2, columns // 2]).permute([0, 2, 1]).split()
    return gl.convert_layout(halves[which], PLACE, assert_trivial=True)


@gluon.jit
def chunks_of_columns(value, space, total, small, NET: gl.constexpr):
    """total + value · space, at most 32 columns at a time, so that few of what tensor cores read is held at once."""
    columns: gl.constexpr = value.shape[1]
    if columns > CHUNK:
        low, high = space.slice(0, columns // 2, 0), space.slice(columns // 2, columns // 2, 0)
        total, small = chunks_of_columns(half(value, 0, NET), low, total, small, NET)
        return chunks_of_columns(half(value, 1, NET), high, total, small, NET)
    else:
        return product(left(value, NET), right(space, NET), total, small, "", NET)


@gluon.jit
def back(weight, delta, NET: gl.constexpr):
    """Wᵀ δ."""
    return summed_over_rows(weight, delta, "", NET)


@gluon.jit
def back_factored(weight, gate, NET: gl.constexpr):
    """Wᵀ σ′ where gates are zeros and ones."""
    return summed_over_rows(weight, gate.to(gl.float32), "right", NET)


@gluon.jit
def summed_over_rows(a, b, EXACT: gl.constexpr, NET: gl.constexpr):
    """aᵀ b, by way of shared memory; EXACT as `product` has it."""
    PLACE: gl.constexpr = result_place(NET)
    LEFT: gl.constexpr = left_place(NET)
    RIGHT: gl.constexpr = right_place(NET)
    step: gl.constexpr = min(CHUNK, a.shape[0])
    a_space = gl.allocate_shared_memory(gl.float32, a.shape, shared_place(a.shape[1], 1), a)
    b_space = gl.allocate_shared_memory(gl.float32, b.shape, shared_place(b.shape[1], 1), b)
    total = gl.zeros([a.shape[1], b.shape[1]], gl.float32, PLACE)
    small = gl.zeros_like(total)
    for start in gl.static_range(0, a.shape[0], step):
        a_rows = a_space.slice(start, step, 0).permute([1, 0]).load(LEFT)
        b_rows = b_space.slice(start, step, 0).load(RIGHT)
        total, small = product(a_rows, b_rows, total, small, EXACT, NET)
    return whole(total, small, NET)


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


@gluon.jit
def add_columns(delta, h, factor, total, EXACT: gl.constexpr, NET: gl.constexpr):
    """total + δ (factor · h)ᵀ, at most CHUNK columns at a time; δ is where tensor cores read it, h in shared memory;
    factor counts with EXACT alone, which is as `product` has it.
    """
    PLACE: gl.constexpr = result_place(NET)
    rows: gl.constexpr = total.shape[0]
    columns: gl.constexpr = total.shape[1]
    if columns > CHUNK:
        low, high = h.slice(0, columns // 2, 0), h.slice(columns // 2, columns // 2, 0)
        first = add_columns(delta, low, factor, half(total, 0, NET), EXACT, NET)
        last = add_columns(delta, high, factor, half(total, 1, NET), EXACT, NET)
        both = gl.join(first, last).permute([0, 2, 1]).reshape([rows, columns])
        return gl.convert_layout(both, PLACE, assert_trivial=True)
    else:
        across = right(h.permute([1, 0]), NET)
        if EXACT == "left":
            across = across * factor
        total, small = product(delta, across, total, gl.zeros_like(total), EXACT, NET)
        return whole(total, small, NET)


gated_here = in_gluon(gated, {})

PLACED = {
    axes.unit_axis: unit_axis,
    axes.item_axis: item_axis,
    axes.sample_axis: sample_axis,
    axes.outputs_axis: outputs_axis,
    axes.inputs_axis: inputs_axis,
    network.kept: kept,
    network.gate_of: gate_of,
    network.affine: affine,
    network.back: back,
    network.back_factored: back_factored,
    network.add_matrix: add_matrix,
    network.add_factored: add_factored,
    gated: gated_here,
}
train = in_gluon(training.train, PLACED)
path_losses = in_gluon(paths.path_losses, PLACED)
