"""Samples of a network in device memory: inputs and labels from a table or a teacher, and the loss with its
derivative.
"""

# Constants of the compiler choose between blocks here, and only one of them exists:
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.streams import GAUSSIAN, normals, words
from kernels.gpu.memory.network import DELTA, columns, forward, h_rows, spare_rows, z_rows


@triton.jit
def sample_losses(
    params, values, teacher_params, teacher_values, x, y,
    row, key, step, position, exists, smoothing, NET: tl.constexpr, BATCH: tl.constexpr,
):  # fmt: skip
    """Losses over `losses.unit` of the samples at hand and, for cross-entropy, their labels, `[TILE, 1]` each.

    row: the samples' places in the tables x and y; or key, step and position in the stream of a teacher, whose own
    values lie at `teacher_values`. The loss's derivative by the outputs goes to DELTA.
    """
    TILE: tl.constexpr = BATCH.tile
    TEACHER: tl.constexpr = BATCH.teacher
    if BATCH.sampling == "online":
        draw(values, teacher_values, key, step, position, NET, TILE)
        forward(teacher_params, teacher_values, TEACHER, TILE)
    else:
        fetch(values, x, row, exists, NET, TILE)
    forward(params, values, NET, TILE)
    label = row
    if BATCH.loss == "mse":
        if BATCH.sampling == "online":
            targets = z_rows(teacher_values, TEACHER, TILE, TEACHER.n_hidden + 1)
        else:
            targets = y + row * NET.n_outputs
        value = squared_error(values, targets, exists, NET, TILE)
    else:
        if BATCH.sampling == "online":
            label = largest(teacher_values, TEACHER, TILE)
        else:
            label = tl.load(y + row, mask=exists, other=0)
        value = cross_entropy(values, label, exists, smoothing, NET, TILE)
    return value, label


@triton.jit
def squared_error(values, targets, in_batch, NET: tl.constexpr, TILE: tl.constexpr):
    """‖f − y‖² of the samples `[TILE, 1]`, targets pointing at their rows of y; its half's derivative goes to DELTA."""
    top: tl.constexpr = NET.n_hidden + 1
    SPAN: tl.constexpr = NET.span(top, TILE)
    outputs = z_rows(values, NET, TILE, top)
    delta = spare_rows(values, DELTA + top % 2, NET, TILE, top)
    value = tl.zeros([TILE, 1], values.dtype.element_ty)
    for first in range(0, NET.n_outputs, SPAN):
        out, exists = columns(first, NET.n_outputs, SPAN)
        wanted = exists & in_batch
        output = tl.load(outputs + out, mask=exists, other=0.0)
        target = tl.load(targets + out, mask=wanted, other=0.0)
        e = tl.where(wanted, output - target, 0.0)
        value += tl.sum(e * e, axis=1, keep_dims=True)
        tl.store(delta + out, e, mask=exists)
    tl.debug_barrier()
    return value


@triton.jit
def cross_entropy(values, label, in_batch, smoothing, NET: tl.constexpr, TILE: tl.constexpr):
    """Cross-entropy of the samples `[TILE, 1]` with (1 − ε) + ε/K on the class `label` and ε/K elsewhere; its
    derivative goes to DELTA.
    """
    top: tl.constexpr = NET.n_hidden + 1
    SPAN: tl.constexpr = NET.span(top, TILE)
    outputs = z_rows(values, NET, TILE, top)
    delta = spare_rows(values, DELTA + top % 2, NET, TILE, top)
    most = highest(values, NET, TILE)
    total = tl.zeros([TILE, 1], values.dtype.element_ty)
    aimed = total  # Σ target · (output − largest)
    for first in range(0, NET.n_outputs, SPAN):
        out, exists = columns(first, NET.n_outputs, SPAN)
        centred = tl.where(exists, tl.load(outputs + out, mask=exists, other=0.0) - most, 0.0)
        target = tl.where(out == label, 1.0 - smoothing, 0.0) + smoothing / NET.n_outputs
        total += tl.sum(tl.where(exists, tl.exp(centred), 0.0), axis=1, keep_dims=True)
        aimed += tl.sum(tl.where(target > 0.0, target * centred, 0.0), axis=1, keep_dims=True)
    for first in range(0, NET.n_outputs, SPAN):
        out, exists = columns(first, NET.n_outputs, SPAN)
        centred = tl.load(outputs + out, mask=exists, other=0.0) - most
        target = tl.where(out == label, 1.0 - smoothing, 0.0) + smoothing / NET.n_outputs
        tl.store(delta + out, tl.where(in_batch, tl.exp(centred) / total - target, 0.0), mask=exists)
    tl.debug_barrier()
    return tl.where(in_batch, tl.log(total) - aimed, 0.0)


@triton.jit
def highest(values, NET: tl.constexpr, TILE: tl.constexpr):
    """The largest output of each sample, `[TILE, 1]`."""
    top: tl.constexpr = NET.n_hidden + 1
    SPAN: tl.constexpr = NET.span(top, TILE)
    outputs = z_rows(values, NET, TILE, top)
    most = tl.zeros([TILE, 1], values.dtype.element_ty) + float("-inf")
    for first in range(0, NET.n_outputs, SPAN):
        out, exists = columns(first, NET.n_outputs, SPAN)
        output = tl.load(outputs + out, mask=exists, other=float("-inf"))
        most = tl.maximum(most, tl.max(output, axis=1, keep_dims=True))
    return most


@triton.jit
def largest(values, NET: tl.constexpr, TILE: tl.constexpr):
    """Number of the largest output of each sample, the first of equals, `[TILE, 1]`."""
    top: tl.constexpr = NET.n_hidden + 1
    SPAN: tl.constexpr = NET.span(top, TILE)
    outputs = z_rows(values, NET, TILE, top)
    most = highest(values, NET, TILE)
    number = tl.full([TILE, 1], NET.n_outputs, tl.int32)
    for first in range(0, NET.n_outputs, SPAN):
        out, exists = columns(first, NET.n_outputs, SPAN)
        equal = exists & (tl.load(outputs + out, mask=exists, other=float("-inf")) == most)
        number = tl.minimum(number, tl.min(tl.where(equal, out, NET.n_outputs), axis=1, keep_dims=True))
    return number


@triton.jit
def fetch(values, x, row, in_batch, NET: tl.constexpr, TILE: tl.constexpr):
    """Inputs of the samples in the rows `row` `[TILE, 1]` of x, to h_0."""
    SPAN: tl.constexpr = NET.span(0, TILE)
    h = h_rows(values, NET, TILE, 0)
    for first in range(0, NET.n_inputs, SPAN):
        i, exists = columns(first, NET.n_inputs, SPAN)
        tl.store(h + i, tl.load(x + row * NET.n_inputs + i, mask=exists & in_batch, other=0.0), mask=exists)
    tl.debug_barrier()


@triton.jit
def draw(values, teacher_values, key, step, position, NET: tl.constexpr, TILE: tl.constexpr):
    """Gaussian inputs of the samples `position` `[TILE, 1]` of the network's stream, to h_0 and, for its teacher, to
    the h_0 of `teacher_values`.
    """
    BLOCKS: tl.constexpr = NET.span(0, TILE)
    blocks: tl.constexpr = (NET.n_inputs + 3) // 4
    h = h_rows(values, NET, TILE, 0)
    copy = h_rows(teacher_values, NET, TILE, 0)
    for first in range(0, blocks, BLOCKS):
        block = first + tl.arange(0, BLOCKS)[None, :]
        word = words(GAUSSIAN, key[0], key[1], step, (position * blocks + block).to(tl.uint32))
        for half in tl.static_range(2):
            pair = normals(word[2 * half], word[2 * half + 1], values.dtype.element_ty)
            for k in tl.static_range(2):
                i = 4 * block + 2 * half + k
                tl.store(h + i, pair[k], mask=i < NET.n_inputs)
                tl.store(copy + i, pair[k], mask=i < NET.n_inputs)
    tl.debug_barrier()
