"""Where the elements of tensors lie, for tiles in Gluon: in registers and in shared memory."""

# mypy: ignore-errors

from __future__ import annotations

from triton.experimental.gluon import language as gl
from triton.runtime.jit import constexpr_function


@constexpr_function
def result_place(NET):
    """Who holds what of a product's result, and here of every tensor: warps share the rows."""
    return gl.NVMMADistributedLayout(version=[2, 0], warps_per_cta=[NET.warps, 1], instr_shape=[16, 8])


@constexpr_function
def samples_place(NET):
    """Who holds what of the samples' own numbers [1, samples], and of terms of their sums [8 · warps, samples]: warps
    share the samples, one a lane, and its lanes the rows.
    """
    samples = 32 // NET.warps
    return gl.BlockedLayout([1, 1], [32 // samples, samples], [1, NET.warps], [0, 1])


@constexpr_function
def features_place(NET):
    """Who holds what of the inputs of samples, [inputs, samples], as they are loaded: eight lanes share a sample's."""
    return gl.BlockedLayout([1, 1], [8, 4], [1, NET.warps], [0, 1])


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


@constexpr_function
def row_place():
    """Where a number of every sample lies in shared memory."""
    return gl.SwizzledSharedLayout(1, 1, 1, [1, 0])
