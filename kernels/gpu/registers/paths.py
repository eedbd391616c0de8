"""The path kernel: losses of the networks on the straight lines between pairs; an item is one (pair, alpha), or a
sample of one.
"""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.functions import NAN_STAYS
from kernels.gpu.common.losses import largest, sample_loss, unit
from kernels.gpu.common.streams import seed_key
from kernels.gpu.registers.axes import as_outputs, at_items, at_samples
from kernels.gpu.registers.exchange import kept_inputs, parked
from kernels.gpu.registers.network import forward, load, places, teacher_places
from kernels.gpu.registers.samples import fresh, positions, table
from kernels.gpu.registers.training import block_of

UNSPECIALISED = ("n_pairs", "n_alphas", "n_samples", "n_datasets", "n_items")
POINTERS = (
    *("params_a", "params_b", "alphas", "seeds", "dataset", "x", "y", "teacher_parameters"),
    *("mean", "standard_error", "skewness", "error"),
)


@triton.jit
def summed(value, NET: tl.constexpr):
    """An item's numbers of the samples of a turn, summed."""
    return value if NET.lanes else at_items(tl.sum(value, axis=1, keep_dims=True), NET)


@triton.jit(do_not_specialize=UNSPECIALISED, do_not_specialize_on_alignment=POINTERS)
def path_losses(
    params_a, params_b,  # [n_parameters, n_pairs] (lanes) or [n_pairs, n_parameters] (tiles)
    alphas, seeds, dataset,  # [n_alphas], [n_pairs], [n_pairs]
    x, y,  # [n_datasets, n_samples, …]
    teacher_parameters,  # like params_a, of n_datasets teachers
    mean, standard_error, skewness, error,  # float64 [n_pairs, n_alphas]
    n_pairs, n_alphas, n_samples, n_datasets, n_items,
    NET: tl.constexpr, BATCH: tl.constexpr,
):  # fmt: skip
    """The evaluations of the grid of pairs and alphas; sums over samples are kept in float64.

    Moments are taken about the first sample's loss, so that a small variance survives a large mean.
    """
    item, valid = block_of(tl.program_id(0), n_items, NET)
    pair = item // n_alphas
    where, exists = places(pair, n_pairs, NET)
    alpha = tl.load(alphas + item % n_alphas)
    theta = parked(between(load(params_a, where, exists), load(params_b, where, exists), alpha, NET), NET)
    key = seed_key(at_samples(tl.load(seeds + pair), NET))
    data_set = tl.load(dataset + pair)
    teacher = ()
    if BATCH.sampling == "online":
        TEACHER: tl.constexpr = BATCH.teacher
        teacher_where, teacher_exists = teacher_places(data_set, n_datasets, TEACHER)
        teacher = parked(load(teacher_parameters, teacher_where, teacher_exists), TEACHER)

    first = at_samples(tl.zeros_like(alpha).to(tl.float64), NET)
    # in tiles a sum for every sample of a turn
    total = first + 0.0 * positions(0, 0, NET, BATCH)
    squares, cubes, wrong = total, total, total
    for start in range(0, n_samples, BATCH.unroll * BATCH.tile):
        for u in tl.static_range(BATCH.unroll + 0):
            position = positions(start, u, NET, BATCH)
            exists_here = position < n_samples
            if BATCH.sampling == "online":
                inputs, labels = fresh(key, 0, position, teacher, alpha.dtype, BATCH)
            else:
                inputs, labels = table(x, y, position, data_set, n_samples, exists_here, NET, BATCH)
            outputs = forward(theta, kept_inputs(inputs, NET), NET)[0]
            value = (sample_loss(outputs, labels, BATCH)[0] * unit(BATCH)).to(tl.float64)
            if NET.lanes:
                first += tl.where(position == 0, value, 0.0)
            elif start == 0:  # all of the first turn: tiles unroll none
                first = at_samples(summed(tl.where(position == 0, value, 0.0), NET), NET)
            centred = value - first
            if not BATCH.even:
                centred = tl.where(exists_here, centred, 0.0)
            total += centred
            squares += centred * centred
            cubes += centred * centred * centred
            if BATCH.loss != "mse":
                missed = tl.where(largest(outputs) != labels[0], 1.0, 0.0)
                missed = tl.where(value == value, missed, value)  # NaN: no class is the largest
                wrong += tl.where(exists_here, missed, 0.0)

    report(
        mean + item, standard_error + item, skewness + item, error + item,
        at_items(first, NET), summed(total, NET), summed(squares, NET), summed(cubes, NET), summed(wrong, NET),
        n_samples, valid,
    )  # fmt: skip


@triton.jit
def report(mean, standard_error, skewness, error, first, total, squares, cubes, wrong, n_samples, valid):
    """Write what follows from the sums of the powers of (loss − first) and of the errors over the samples."""
    n = n_samples.to(tl.float64)
    shift = total / n
    square = squares / n
    third = cubes / n
    variance = tl.maximum(square - shift * shift, 0.0, propagate_nan=NAN_STAYS)
    deviation = tl.sqrt(variance)
    third = third - 3.0 * shift * square + 2.0 * shift * shift * shift
    tl.store(mean, first + shift, mask=valid)
    tl.store(standard_error, deviation / tl.sqrt(tl.maximum(n - 1.0, 1.0)), mask=valid)
    cube = variance * deviation
    tl.store(skewness, tl.where(cube == 0.0, 0.0, third / cube), mask=valid)
    tl.store(error, wrong / n, mask=valid)


@triton.jit
def between(a, b, alpha, NET: tl.constexpr):
    """(1 − α) a + α b for tuples of parameters."""
    values = ()
    for k in tl.static_range(len(a)):
        share = as_outputs(alpha, NET) if len(a[k].shape) == 3 else alpha
        values = values + ((1.0 - share) * a[k] + share * b[k],)
    return values
