"""Where a step's samples come from inside a kernel: a table, whole or drawn from, or a teacher that labels fresh
Gaussian inputs.
"""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.losses import largest
from kernels.gpu.common.streams import GAUSSIAN, REPLACEMENT, integers, normals, permutation_keys, permute, words
from kernels.gpu.registers.axes import at_features, at_samples, features_axis, sample_axis, stack_axis
from kernels.gpu.registers.exchange import kept_inputs
from kernels.gpu.registers.network import forward


@triton.jit
def positions(start, u, NET: tl.constexpr, BATCH: tl.constexpr):
    """Numbers of the samples at hand within the step's batch: one number, or [1, TILE].

    64 bits, so that u can join a load's constant offset.
    """
    zero = tl.program_id(0).to(tl.int64) * 0  # a number of 64 bits in both dialects and in the interpreter
    position = zero + start + u
    return position if NET.lanes else position + sample_axis(BATCH.tile, NET)


@triton.jit
def chosen(start, first, key, step, keys, n_samples, low_bits, high_bits, NET: tl.constexpr, BATCH: tl.constexpr):
    """Which samples of the table the batch's samples `start`, … are, a tuple of `unroll` tensors of items.

    first: place of the batch in its epoch; keys: round keys of the epoch's permutation.
    """
    result = ()
    for u in tl.static_range(BATCH.unroll + 0):
        position = positions(start, u, NET, BATCH)
        if BATCH.sampling == "epoch":
            # clamped: a walk from outside the permutation's domain might never end
            position = tl.minimum(position + first, n_samples - 1).to(tl.uint32) + tl.zeros_like(key[0])
            position = permute(position, keys, n_samples, low_bits, high_bits).to(tl.int64)
        elif BATCH.sampling == "replacement":
            word = words(REPLACEMENT, key[0], key[1], step, (position >> 2).to(tl.uint32))
            if NET.lanes:  # a turn is a block of four words: the compiler sees that it is drawn once
                drawn = word[u]
            else:
                odd = (position & 1) != 0
                late = (position & 2) != 0
                drawn = tl.where(late, tl.where(odd, word[3], word[2]), tl.where(odd, word[1], word[0]))
            position = integers(drawn, n_samples).to(tl.int64)
        result = result + (position,)
    return result


@triton.jit
def number(pointer, valid, BATCH: tl.constexpr):
    """The number at `pointer`; where a turn may be cut short, 0 for the samples that are not `valid`."""
    if BATCH.even:
        return tl.load(pointer)
    else:
        return tl.load(pointer, mask=valid, other=0)


@triton.jit
def features(x, row, valid, NET: tl.constexpr):
    """All inputs of the samples in these rows of x, [inputs, TILE]; zeros for what does not exist."""
    feature = features_axis(NET.padded[0], NET)
    place = at_features(tl.where(valid, row, -1), NET)
    exists = (place >= 0) & (feature < NET.n_inputs)
    return tl.load(x + tl.where(exists, place * NET.n_inputs + feature, 0), mask=exists, other=0)


@triton.jit
def table(x, y, index, dataset, n_samples, valid, NET: tl.constexpr, BATCH: tl.constexpr):
    """Inputs and labels of the samples `index` of the items' data sets: two tuples of items (the inputs of a wide
    network one tensor).
    """
    row = index if BATCH.shared else index + at_samples(dataset, NET) * n_samples
    inputs, labels = (), ()
    if NET.wide:
        inputs = inputs + (features(x, row, valid, NET),)
    else:
        for i in tl.static_range(NET.n_inputs + 0):
            inputs = inputs + (number(x + row * NET.n_inputs + i, valid, BATCH),)
    if BATCH.loss == "mse":
        for o in tl.static_range(NET.n_outputs + 0):
            labels = labels + (number(y + row * NET.n_outputs + o, valid, BATCH),)
    else:
        labels = labels + (tl.load(y + row, mask=valid, other=0).to(inputs[0].dtype),)
    return inputs, labels


@triton.jit
def stacked(inputs, NET: tl.constexpr):
    """A tuple of inputs as one tensor, [inputs, TILE]."""
    feature = stack_axis(NET.padded[0], NET)
    x = tl.where(feature == 0, inputs[0], 0.0)
    for i in tl.static_range(1, NET.n_inputs + 0):
        x = tl.where(feature == i, inputs[i], x)
    return x


@triton.jit
def fresh(key, step, position, teacher, dtype: tl.constexpr, BATCH: tl.constexpr):
    """Samples `position` of the items' streams, labelled by their teachers: two tuples of items."""
    TEACHER: tl.constexpr = BATCH.teacher
    blocks: tl.constexpr = (TEACHER.n_inputs + 3) // 4
    inputs = ()
    for b in tl.static_range(blocks):
        word = words(GAUSSIAN, key[0], key[1], step, (position * blocks + b).to(tl.uint32))
        first, second = normals(word[0], word[1], dtype)
        inputs = inputs + (first,)
        if 4 * b + 1 < TEACHER.n_inputs:
            inputs = inputs + (second,)
        if 4 * b + 2 < TEACHER.n_inputs:
            first, second = normals(word[2], word[3], dtype)
            inputs = inputs + (first,)
        if 4 * b + 3 < TEACHER.n_inputs:
            inputs = inputs + (second,)
    if TEACHER.wide:
        inputs = (stacked(inputs, TEACHER),)
    outputs = forward(teacher, kept_inputs(inputs, TEACHER), TEACHER)[0]
    if BATCH.loss == "mse":
        return inputs, outputs
    else:
        return inputs, (largest(outputs),)


@triton.jit
def epoch_keys(key, step, n_samples, batch_size, BATCH: tl.constexpr):
    """For one step: where its batch begins in the epoch, how many samples it has, and the keys of the epoch's
    permutation.
    """
    if BATCH.sampling == "epoch":
        per_epoch = (n_samples + batch_size - 1) // batch_size
        begin = step % per_epoch * batch_size
        count = tl.minimum(batch_size, n_samples - begin)
        keys = permutation_keys(key[0], key[1], step // per_epoch, BATCH.rounds)
        return begin, count, keys
    else:
        return 0, batch_size, ()
