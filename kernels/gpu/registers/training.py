"""The training kernel: one launch takes a block of networks through many steps, their parameters in registers all the while."""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.losses import sample_loss, unit
from kernels.gpu.common.optimizers import update
from kernels.gpu.common.streams import seed_key
from kernels.gpu.registers.network import backward, forward, gradient, load, places, store, zeros
from kernels.gpu.registers.samples import chosen, epoch_keys, fresh, positions, table


@triton.jit
def block_of(item, n_items, NET: tl.constexpr, BLOCK: tl.constexpr):
    """Numbers of the program's items, [1, BLOCK] or [1, 1], and which of them are not repetitions of the last one."""
    number = item * BLOCK + tl.arange(0, BLOCK)[None, :] if NET.lanes else tl.full([1, 1], 0, tl.int32) + item
    return tl.minimum(number, n_items - 1), number < n_items


# counts and steps change from call to call; a 16-byte hint on the parameters would make Triton spread a network over warps
UNSPECIALISED = (
    *("n_networks", "n_samples", "batch_size", "record_every", "first_record", "first_step", "last_step", "n_steps"),
    *("n_datasets", "low_bits", "high_bits"),
)
POINTERS = (
    *(
        "params",
        "first",
        "second",
        "mask",
        "lr",
        "momentum",
        "weight_decay",
        "data_seeds",
        "spawn_steps",
        "spawn_seeds",
    ),
    *("dataset", "x", "y", "teacher_params", "schedule", "numbers", "losses", "diverged_at"),
)


@triton.jit(do_not_specialize=UNSPECIALISED, do_not_specialize_on_alignment=POINTERS)
def train(
    params, first, second, mask,  # [n_parameters, n_networks] (lanes) or [n_networks, n_parameters] (tiles)
    lr, momentum, weight_decay, data_seeds, spawn_steps, spawn_seeds, dataset,  # [n_networks]
    x, y,  # [n_datasets, n_samples, …]
    teacher_params,  # like params, of n_datasets teachers
    schedule,  # [3, n_steps]: the rate's factor and Adam's two corrections
    numbers,  # β₁, β₂, 1 − β₁, 1 − β₂, ε
    losses,  # [n_records, n_networks]
    diverged_at,  # [n_networks]
    n_networks, n_samples, batch_size, record_every, first_record, first_step, last_step, n_steps, n_datasets, low_bits, high_bits,
    NET: tl.constexpr, OPTIMIZER: tl.constexpr, BATCH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Steps first_step … last_step − 1 of the networks; params, first and second hold the state before and after.

    first_record: number of the first loss that falls due in these steps.
    """
    network, valid = block_of(tl.program_id(0), n_networks, NET, BLOCK)
    where, exists = places(network, n_networks, NET)
    theta, moment_1, moment_2 = load(params, where, exists), (), ()
    if OPTIMIZER.kind != "sgd" or OPTIMIZER.momentum:
        moment_1 = load(first, where, exists)
    if OPTIMIZER.kind != "sgd":
        moment_2 = load(second, where, exists)
    rate, velocity, decay = tl.load(lr + network), tl.load(momentum + network), tl.load(weight_decay + network)
    beta = (tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2), tl.load(numbers + 3), tl.load(numbers + 4))
    which, diverged = tl.load(dataset + network), tl.load(diverged_at + network)
    own, spawned, spawn = tl.load(data_seeds + network), tl.load(spawn_seeds + network), tl.load(spawn_steps + network)
    teacher = ()
    if BATCH.sampling == "online":
        at = places(which, n_datasets, BATCH.teacher)
        teacher = load(teacher_params, at[0], at[1])

    record, due = first_record + 0, first_record * record_every
    for step in range(first_step, last_step):
        key = seed_key(tl.where(step >= spawn, spawned, own))
        begin, count, keys = epoch_keys(key, step, n_samples, batch_size, BATCH)
        sums, loss = zeros(theta), tl.zeros_like(rate)
        for start in range(0, count, BATCH.unroll * BATCH.tile):
            indices = chosen(start, begin, key, step, keys, n_samples, low_bits, high_bits, NET, BATCH)
            for u in tl.static_range(BATCH.unroll + 0):
                position = positions(start, u, NET, BATCH)
                here = position < count
                if BATCH.sampling == "online":
                    inputs, labels = fresh(key, step, position, teacher, rate.dtype, BATCH)
                else:
                    inputs, labels = table(x, y, indices[u], which, n_samples, here, NET, BATCH)
                outputs, h, gates = forward(theta, inputs, NET)
                value, d = sample_loss(outputs, labels, BATCH.loss)
                if not BATCH.even:
                    value = tl.where(here, value, 0.0)
                    d = only(here, d)
                loss += value if NET.lanes else tl.sum(value, axis=0, keep_dims=True)
                sums = backward(theta, sums, inputs, h, gates, d, NET)
        scale = 1.0 / count.to(rate.dtype)
        loss *= scale * unit(BATCH.loss)
        diverged = tl.where((diverged < 0) & (loss - loss != 0.0), step, diverged)
        if step == due:
            tl.store(losses + record.to(tl.int64) * n_networks + network, loss, mask=valid)
            record, due = record + 1, due + record_every
        grads = gradient(theta, sums, scale, NET)
        numbers_now = (
            tl.load(schedule + step),
            tl.load(schedule + n_steps + step),
            tl.load(schedule + 2 * n_steps + step),
        )
        theta, moment_1, moment_2 = update(
            theta, grads, moment_1, moment_2, mask, where, exists, rate, velocity, decay, beta, numbers_now, OPTIMIZER
        )

    store(params, where, exists, theta, valid)
    if OPTIMIZER.kind != "sgd" or OPTIMIZER.momentum:
        store(first, where, exists, moment_1, valid)
    if OPTIMIZER.kind != "sgd":
        store(second, where, exists, moment_2, valid)
    tl.store(diverged_at + network, diverged, mask=valid)


@triton.jit
def only(here, values):
    """A tuple of items, zero outside `here`."""
    result = ()
    for k in tl.static_range(len(values)):
        result = result + (tl.where(here, values[k], 0.0),)
    return result
