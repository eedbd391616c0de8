"""The path kernel of networks in device memory: one program an evaluation (pair, alpha), whose network is mixed
first.
"""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.losses import unit
from kernels.gpu.common.streams import seed_key
from kernels.gpu.memory.network import STRIDE, columns
from kernels.gpu.memory.samples import largest, sample_losses
from kernels.gpu.registers import paths
from kernels.gpu.registers.paths import UNSPECIALISED, report
from kernels.gpu.registers.samples import positions

POINTERS = (*paths.POINTERS, "theta", "values")


@triton.jit
def add(total, value):
    """total (float64) + value, summed over the samples at hand."""
    return total + tl.sum(value.to(tl.float64), axis=0, keep_dims=True)


@triton.jit(do_not_specialize=UNSPECIALISED, do_not_specialize_on_alignment=POINTERS)
def path_losses(
    params_a, params_b,  # [n_pairs, n_parameters]
    alphas, seeds, dataset,  # [n_alphas], [n_pairs], [n_pairs]
    x, y,  # [n_datasets, n_samples, …]
    teacher_parameters,  # [n_datasets, n_parameters of the teacher]
    mean, standard_error, skewness, error,  # float64 [n_pairs, n_alphas]
    n_pairs, n_alphas, n_samples, n_datasets, n_items,
    theta,  # [n_items, n_parameters]
    values,  # [n_items, …]: rows of the samples at hand, of the network and then of its teacher
    NET: tl.constexpr, BATCH: tl.constexpr,
):  # fmt: skip
    """The evaluations of the grid of pairs and alphas, as `kernels.gpu.registers.paths.path_losses` makes them."""
    TILE: tl.constexpr = BATCH.tile
    program = tl.program_id(0).to(tl.int64)
    item = tl.full([1, 1], 0, tl.int64) + program
    pair = program // n_alphas
    alpha = tl.load(alphas + program % n_alphas)
    data_set = tl.load(dataset + pair)
    key = seed_key(tl.load(seeds + item // n_alphas))
    theta += program * NET.n_parameters
    values += program * BATCH.values
    teacher_values = values + NET.n_values * TILE
    for start in range(0, NET.n_parameters, STRIDE):
        index, exists = columns(start, NET.n_parameters, STRIDE)
        a = tl.load(params_a + pair * NET.n_parameters + index, mask=exists, other=0.0)
        b = tl.load(params_b + pair * NET.n_parameters + index, mask=exists, other=0.0)
        tl.store(theta + index, (1.0 - alpha) * a + alpha * b, mask=exists)
    if BATCH.sampling == "online":
        TEACHER: tl.constexpr = BATCH.teacher
        teacher_parameters += data_set * TEACHER.n_parameters
    tl.debug_barrier()

    first = tl.full([1, 1], 0.0, tl.float64)
    total, squares, cubes, wrong = first, first, first, first
    for start in range(0, n_samples, TILE):
        position = tl.trans(positions(start, 0, NET, BATCH))
        exists = position < n_samples
        row = position + data_set * n_samples
        value, label = sample_losses(
            theta, values, teacher_parameters, teacher_values, x, y,
            row, key, 0, position, exists, 0.0, NET, BATCH,
        )  # fmt: skip
        if BATCH.loss != "mse":
            missed = tl.where(largest(values, NET, TILE) != label, 1.0, 0.0)
            missed = tl.where(value == value, missed, value)  # NaN: no class is the largest
            wrong = add(wrong, tl.where(exists, missed, 0.0))
        value = (value * unit(BATCH)).to(tl.float64)
        first += tl.sum(tl.where(position == 0, value, 0.0), axis=0, keep_dims=True)
        centred = tl.where(exists, value - first, 0.0)
        total = add(total, centred)
        squares = add(squares, centred * centred)
        cubes = add(cubes, centred * centred * centred)
    report(
        mean + item, standard_error + item, skewness + item, error + item,
        first, total, squares, cubes, wrong, n_samples, True,
    )  # fmt: skip
