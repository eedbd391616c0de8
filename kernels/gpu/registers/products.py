"""Products of float32 matrices by tensor cores, for tiles in Gluon.

A product is three of tf32: of a factor a tensor core reads the ten leading bits of its fraction and no others, so its
rest is multiplied besides, and only the product of two rests is left out: an error of 2⁻²² a term, as float32's own.
(`tl.dot` has this too, but chooses for itself where operands lie.)

Tensor cores multiply matrices A and Bᵀ whose rows lie alike, and so they are left: a product that sums over the
columns of what was a result needs nothing moved. What is needed the other way round is taken up from shared memory.
"""

# mypy: ignore-errors

from __future__ import annotations

from triton.experimental import gluon
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.language.nvidia.ampere import mma_v2

from kernels.gpu.registers.places import left_place, result_place, right_place, shared_place, turned_place

CHUNK = gl.constexpr(32)  # what tensor cores read is held for so many rows or columns at a time


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
def in_shared(value, rows: gl.constexpr):
    """A result in shared memory; rows as `shared_place` has it."""
    SHARED: gl.constexpr = shared_place(value.shape[1], rows)
    return gl.allocate_shared_memory(gl.float32, value.shape, SHARED, value)


@gluon.jit
def columns_in_shared(value, space, total, small, NET: gl.constexpr):
    """total + value · space, both in shared memory, at most 32 columns of value at a time."""
    LEFT: gl.constexpr = left_place(NET)
    RIGHT: gl.constexpr = right_place(NET)
    SUMMED: gl.constexpr = value.shape[1]
    step: gl.constexpr = min(CHUNK, SUMMED)
    for start in gl.static_range(0, SUMMED, step):
        columns = value.slice(start, step, 1).load(LEFT)
        total, small = product(columns, space.slice(start, step, 0).load(RIGHT), total, small, "", NET)
    return total, small


@gluon.jit
def summed_over_rows(a, b, EXACT: gl.constexpr, NET: gl.constexpr):
    """aᵀ b, by way of shared memory; EXACT as `product` has it."""
    return rows_in_shared(in_shared(a, 1), (), b, EXACT, NET)


@gluon.jit
def rows_in_shared(a, factor, b, EXACT: gl.constexpr, NET: gl.constexpr):
    """aᵀ b, or with a factor of every row (factor · a)ᵀ b; a lies in shared memory, and so does factor, a tuple of
    one [1, rows] or of none.
    """
    PLACE: gl.constexpr = result_place(NET)
    LEFT: gl.constexpr = left_place(NET)
    RIGHT: gl.constexpr = right_place(NET)
    ROWS: gl.constexpr = a.shape[0]
    COLUMNS: gl.constexpr = a.shape[1]
    step: gl.constexpr = min(CHUNK, ROWS)
    b_space = in_shared(b, 1)
    total = gl.zeros([COLUMNS, b.shape[1]], gl.float32, PLACE)
    small = gl.zeros_like(total)
    for start in gl.static_range(0, ROWS, step):
        a_rows = a.slice(start, step, 0).permute([1, 0]).load(LEFT)
        if len(factor) > 0:
            a_rows = a_rows * factor[0].slice(start, step, 1).load(LEFT)
        total, small = product(a_rows, b_space.slice(start, step, 0).load(RIGHT), total, small, EXACT, NET)
    return whole(total, small, NET)


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
