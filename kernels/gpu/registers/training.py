"""The training kernel: one launch takes a block of networks through many steps, their parameters in registers all the
while.
"""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.functions import finite
from kernels.gpu.common.losses import sample_loss, unit
from kernels.gpu.common.optimizers import load_settings, step_scale, update
from kernels.gpu.common.streams import seed_key
from kernels.gpu.registers.axes import at_samples, item_axis
from kernels.gpu.registers.exchange import at_units, kept_inputs, parked, unparked
from kernels.gpu.registers.gradients import backward, gradient, lost
from kernels.gpu.registers.network import forward, load, places, store, teacher_places, zeros
from kernels.gpu.registers.samples import chosen, epoch_keys, fresh, positions, table


@triton.jit
def block_of(program, n_items, NET: tl.constexpr):
    """Numbers of the program's items, [1, BLOCK] or [1, 1], and which of them are not repetitions of the last one."""
    number = program * NET.block + item_axis(NET)
    return tl.minimum(number, n_items - 1), number < n_items


@triton.jit
def turn(start, loss, sums, theta, source, NET: tl.constexpr, BATCH: tl.constexpr):
    """loss and sums with what the batch's samples start, start + 1, … of one turn of the loop add to them.

    source: where samples come from: x, y, teacher, the item's data set, key, step, place and size of the batch, keys
    of the epoch's permutation, samples of a data set, and bits of the halves of the permutation's domain.
    """
    x, y, teacher, data_set, key, step, begin, count, keys, n_samples, low_bits, high_bits = source
    rows = chosen(start, begin, key, step, keys, n_samples, low_bits, high_bits, NET, BATCH)
    samples = ()  # of a turn, loaded first: then ptxas keeps them in uniform registers, which have no banks
    for u in tl.static_range(BATCH.unroll + 0):
        position = positions(start, u, NET, BATCH)
        in_batch = position < count
        if BATCH.sampling == "online":
            inputs, labels = fresh(key, step, position, teacher, loss.dtype, BATCH)
        else:
            inputs, labels = table(x, y, rows[u], data_set, n_samples, in_batch, NET, BATCH)
        samples = samples + ((inputs, labels, in_batch),)
    for u in tl.static_range(BATCH.unroll + 0):
        inputs, labels, in_batch = samples[u]
        inputs = kept_inputs(inputs, NET)
        outputs, h, gates = forward(theta, inputs, NET)
        value, derivative = sample_loss(outputs, labels, BATCH)
        if not BATCH.even:
            value = tl.where(in_batch, value, 0.0)
            derivative = only(in_batch, derivative)
        value, derivative = at_units(value, derivative, NET)
        loss += value if NET.lanes else tl.sum(value, axis=1, keep_dims=True)
        sums = backward(theta, sums, inputs, h, gates, derivative, NET)
    return loss, sums


# Counts and steps change from call to call; a 16-byte hint on the parameters would make Triton spread a network over
# warps.
UNSPECIALISED = (
    *("n_networks", "n_samples", "batch_size", "record_every", "first_record", "first_step", "last_step", "n_steps"),
    *("n_datasets", "low_bits", "high_bits"),
)
POINTERS = (
    *("parameters", "first_moments", "second_moments", "mask", "lr", "momentum", "weight_decay"),
    *("data_seeds", "spawn_steps", "spawn_seeds", "dataset", "x", "y", "teacher_parameters", "schedule", "settings"),
    *("losses", "diverged_at"),
)


@triton.jit(do_not_specialize=UNSPECIALISED, do_not_specialize_on_alignment=POINTERS)
def train(
    # [n_parameters, n_networks] (lanes) or the other way round (tiles)
    parameters, first_moments, second_moments, mask,
    lr, momentum, weight_decay, data_seeds, spawn_steps, spawn_seeds, dataset,  # [n_networks]
    x, y,  # [n_datasets, n_samples, …]
    teacher_parameters,  # like parameters, of n_datasets teachers
    schedule,  # [3, n_steps], see kernels.gpu.common.optimizers
    settings,  # [8], see there
    losses,  # [n_records, n_networks]
    diverged_at,  # [n_networks]
    n_networks, n_samples, batch_size, record_every, first_record, first_step, last_step, n_steps, n_datasets,
    low_bits, high_bits,  # of the halves of the epoch's permutation
    NET: tl.constexpr, OPTIMIZER: tl.constexpr, BATCH: tl.constexpr,
):  # fmt: skip
    """Steps first_step … last_step − 1 of the networks; parameters and moments hold the state before and after.

    first_record: number of the first loss that falls due in these steps.
    """
    network, valid = block_of(tl.program_id(0), n_networks, NET)
    where, exists = places(network, n_networks, NET)
    theta = load(parameters, where, exists)
    moment_1, moment_2 = (), ()
    if OPTIMIZER.kind != "sgd" or OPTIMIZER.momentum:
        moment_1 = load(first_moments, where, exists)
    if OPTIMIZER.kind != "sgd":
        moment_2 = load(second_moments, where, exists)
    rate = tl.load(lr + network)
    friction = tl.load(momentum + network)
    decay = tl.load(weight_decay + network)
    numbers = load_settings(settings)
    data_set = tl.load(dataset + network)
    diverged = tl.load(diverged_at + network)
    own_seed = tl.load(data_seeds + network)
    spawn_seed = tl.load(spawn_seeds + network)
    spawn_step = tl.load(spawn_steps + network)
    teacher = ()
    if BATCH.sampling == "online":
        TEACHER: tl.constexpr = BATCH.teacher
        teacher_where, teacher_exists = teacher_places(data_set, n_datasets, TEACHER)
        teacher = parked(load(teacher_parameters, teacher_where, teacher_exists), TEACHER)

    record = first_record + 0
    due = first_record * record_every
    for step in range(first_step, last_step):
        key = seed_key(at_samples(tl.where(step >= spawn_step, spawn_seed, own_seed), NET))
        begin, count, keys = epoch_keys(key, step, n_samples, batch_size, BATCH)
        sums = zeros(theta)
        theta = parked(theta, NET)
        loss = tl.zeros_like(rate)
        source = (x, y, teacher, data_set, key, step, begin, count, keys, n_samples, low_bits, high_bits)
        if BATCH.single:
            loss, sums = turn(0, loss, sums, theta, source, NET, BATCH)
        else:
            for start in range(0, count, BATCH.unroll * BATCH.tile):
                loss, sums = turn(start, loss, sums, theta, source, NET, BATCH)
        scale = 1.0 / count.to(rate.dtype)
        loss *= scale * unit(BATCH)
        if not NET.clamps:
            diverged = first_bad(diverged, loss, step)
            if step == due:
                tl.store(losses + record.to(tl.int64) * n_networks + network, loss, mask=valid)
                record += 1
                due += record_every
        theta = unparked(theta, NET)
        grads = gradient(theta, sums, step_scale(scale, rate, schedule, step, n_steps, OPTIMIZER), NET)
        theta, moment_1, moment_2 = update(
            theta, grads, moment_1, moment_2, mask, where, exists,
            rate, friction, decay, numbers, schedule, step, n_steps, OPTIMIZER,
        )  # fmt: skip
        if NET.clamps:  # only now is it known
            loss += lost(theta, NET)
            diverged = first_bad(diverged, loss, step)
            if step == due:
                tl.store(losses + record.to(tl.int64) * n_networks + network, loss, mask=valid)
                record += 1
                due += record_every

    store(parameters, where, exists, theta, valid, NET)
    if OPTIMIZER.kind != "sgd" or OPTIMIZER.momentum:
        store(first_moments, where, exists, moment_1, valid, NET)
    if OPTIMIZER.kind != "sgd":
        store(second_moments, where, exists, moment_2, valid, NET)
    tl.store(diverged_at + network, diverged, mask=valid)


@triton.jit
def first_bad(diverged, loss, step):
    """The first step with a loss that is not finite, or −1."""
    return tl.where((diverged < 0) & ~finite(loss), step, diverged)


@triton.jit
def only(condition, values):
    """A tuple of items, zero where the condition does not hold."""
    result = ()
    for k in tl.static_range(len(values)):
        result = result + (tl.where(condition, values[k], 0.0),)
    return result
