"""The training kernel of networks in device memory: one program a network, any size, and every setting that a training run has."""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.losses import unit
from kernels.gpu.common.optimizers import update
from kernels.gpu.common.streams import seed_key
from kernels.gpu.memory.network import STRIDE, backward, columns
from kernels.gpu.memory.samples import sample_losses
from kernels.gpu.registers import training
from kernels.gpu.registers.samples import chosen, epoch_keys, positions

UNSPECIALISED = (*training.UNSPECIALISED, "n_groups")
POINTERS = (*training.POINTERS, "trainable", "tied", "members", "groups", "sums", "values", "stopped_at")


@triton.jit(do_not_specialize=UNSPECIALISED, do_not_specialize_on_alignment=POINTERS)
def train(
    params, first, second, mask,  # [n_networks, n_parameters]
    lr, momentum, weight_decay, data_seeds, spawn_steps, spawn_seeds, dataset,  # [n_networks]
    x, y,  # [n_datasets, n_samples, …]
    teacher_params,  # [n_datasets, n_parameters of the teacher]
    schedule,  # [3, n_steps]: the rate's factor and Adam's two corrections
    numbers,  # β₁, β₂, 1 − β₁, 1 − β₂, ε, label smoothing, the gradient's largest norm, the loss to stop below
    losses,  # [n_records, n_networks]
    diverged_at,  # [n_networks]
    n_networks, n_samples, batch_size, record_every, first_record, first_step, last_step, n_steps, n_datasets, low_bits, high_bits,
    trainable,  # like mask
    tied,  # [n_parameters]: the first of those that a parameter is one with
    members, groups,  # [n_parameters] by group, and where each group begins among them [n_groups + 1]
    sums,  # [n_networks, 2, n_parameters]: of the gradient, and of those that are one
    values,  # [n_networks, …]: rows of the samples at hand, of the network and then of its teacher
    stopped_at,  # [n_networks]
    n_groups,
    NET: tl.constexpr, OPTIMIZER: tl.constexpr, BATCH: tl.constexpr,
):  # fmt: skip
    """Steps first_step … last_step − 1 of the networks, as `kernels.gpu.registers.training.train` takes them."""
    TILE: tl.constexpr = BATCH.tile
    network = tl.full([1, 1], 0, tl.int64) + tl.program_id(0)
    here = tl.program_id(0).to(tl.int64)
    params, first, second = (
        params + here * NET.n_parameters,
        first + here * NET.n_parameters,
        second + here * NET.n_parameters,
    )
    mask, trainable, sums = (
        mask + here * NET.n_parameters,
        trainable + here * NET.n_parameters,
        sums + here * 2 * NET.n_parameters,
    )
    values = values + here * BATCH.values
    labels = values + NET.n_values * TILE
    rate, velocity, decay = tl.load(lr + network), tl.load(momentum + network), tl.load(weight_decay + network)
    beta = (tl.load(numbers), tl.load(numbers + 1), tl.load(numbers + 2), tl.load(numbers + 3), tl.load(numbers + 4))
    smoothing, most, enough = tl.load(numbers + 5), tl.load(numbers + 6), tl.load(numbers + 7)
    which, diverged, stopped = tl.load(dataset + network), tl.load(diverged_at + network), tl.load(stopped_at + network)
    own, spawned, spawn = tl.load(data_seeds + network), tl.load(spawn_seeds + network), tl.load(spawn_steps + network)
    if BATCH.sampling == "online":
        teacher_params = teacher_params + tl.load(dataset + here) * BATCH.teacher.n_parameters

    record, due = first_record + 0, first_record * record_every
    for step in range(first_step, last_step):
        key = seed_key(tl.where(step >= spawn, spawned, own))
        begin, count, keys = epoch_keys(key, step, n_samples, batch_size, BATCH)
        loss = tl.zeros_like(rate)
        for start in range(0, count, TILE):
            position = positions(start, 0, NET, BATCH)
            inside = position < count
            row = position
            if BATCH.sampling != "online":
                row = (
                    chosen(start, begin, key, step, keys, n_samples, low_bits, high_bits, NET, BATCH)[0]
                    + which * n_samples
                )
            value = sample_losses(
                params, values, teacher_params, labels, x, y, row, key, step, position, inside, smoothing, NET, BATCH
            )[0]
            loss += tl.sum(value, axis=0, keep_dims=True)
            backward(params, sums, values, start == 0, NET, TILE)
        scale = 1.0 / count.to(rate.dtype)
        loss *= scale * unit(BATCH.loss)
        diverged = tl.where((diverged < 0) & (loss - loss != 0.0), step, diverged)
        if OPTIMIZER.stops:
            stopped = tl.where((stopped < 0) & (loss < enough), step, stopped)
        if step == due:
            tl.store(losses + record.to(tl.int64) * n_networks + network, loss)
            record, due = record + 1, due + record_every

        if OPTIMIZER.tied:
            add_up(sums, mask, members, groups, n_groups, NET, OPTIMIZER)
            grads = sums + NET.n_parameters
        else:
            grads = sums
        if OPTIMIZER.clipped:
            norm = scale * tl.sqrt(squared_norm(grads, mask, trainable, tied, NET, OPTIMIZER))
            scale = scale * tl.minimum(1.0, most / (norm + 1e-6))
        now = (tl.load(schedule + step), tl.load(schedule + n_steps + step), tl.load(schedule + 2 * n_steps + step))
        for start in range(0, NET.n_parameters, STRIDE):
            index, exists = columns(start, NET.n_parameters, STRIDE)
            theta = tl.load(params + index, mask=exists, other=0.0)
            if OPTIMIZER.tied:
                g = tl.load(grads + tl.load(tied + index, mask=exists, other=0), mask=exists, other=0.0) * scale
            else:
                g = tl.load(grads + index, mask=exists, other=0.0) * scale
            moment_1, moment_2 = (), ()
            if OPTIMIZER.kind != "sgd" or OPTIMIZER.momentum:
                moment_1 = (tl.load(first + index, mask=exists, other=0.0),)
            if OPTIMIZER.kind != "sgd":
                moment_2 = (tl.load(second + index, mask=exists, other=0.0),)
            new, moment_1, moment_2 = update(
                (theta,),
                (g,),
                moment_1,
                moment_2,
                mask,
                (index,),
                (exists,),
                rate,
                velocity,
                decay,
                beta,
                now,
                OPTIMIZER,
            )
            moved = new[0]
            if OPTIMIZER.held:
                moved = tl.where(tl.load(trainable + index, mask=exists, other=0) != 0, moved, theta)
            if OPTIMIZER.stops:
                moved = tl.where(stopped < 0, moved, theta)
            tl.store(params + index, moved, mask=exists)
            if OPTIMIZER.kind != "sgd" or OPTIMIZER.momentum:
                tl.store(first + index, moment_1[0], mask=exists)
            if OPTIMIZER.kind != "sgd":
                tl.store(second + index, moment_2[0], mask=exists)
        tl.debug_barrier()

    tl.store(diverged_at + network, diverged)
    tl.store(stopped_at + network, stopped)


@triton.jit
def add_up(sums, mask, members, groups, n_groups, NET: tl.constexpr, OPTIMIZER: tl.constexpr):
    """Gradient of the parameters that are one: the sum of theirs, at the place of the first, `n_parameters` behind `sums`."""
    for start in range(0, n_groups, STRIDE):
        group, exists = columns(start, n_groups, STRIDE)
        begin = tl.load(groups + group, mask=exists, other=0)
        count = tl.load(groups + group + 1, mask=exists, other=0) - begin
        total = tl.zeros(group.shape, sums.dtype.element_ty)
        for k in range(0, tl.max(count)):
            member = tl.load(members + begin + k, mask=k < count, other=0)
            g = tl.load(sums + member, mask=k < count, other=0.0)
            if OPTIMIZER.masked:
                g = tl.where(tl.load(mask + member, mask=k < count, other=0) != 0, g, 0.0)
            total += g
        tl.store(sums + NET.n_parameters + tl.load(members + begin, mask=exists, other=0), total, mask=exists)
    tl.debug_barrier()


@triton.jit
def squared_norm(grads, mask, trainable, tied, NET: tl.constexpr, OPTIMIZER: tl.constexpr):
    """Σ g² over the parameters that may move, those that are one counted once: `[1, 1]`."""
    total = tl.zeros([1, 1], grads.dtype.element_ty)
    for start in range(0, NET.n_parameters, STRIDE):
        index, counts = columns(start, NET.n_parameters, STRIDE)
        inside = counts
        if OPTIMIZER.tied:
            counts = counts & (tl.load(tied + index, mask=inside, other=-1) == index)
        if OPTIMIZER.masked:
            counts = counts & (tl.load(mask + index, mask=inside, other=0) != 0)
        if OPTIMIZER.held:
            counts = counts & (tl.load(trainable + index, mask=inside, other=0) != 0)
        g = tl.load(grads + index, mask=counts, other=0.0)
        total += tl.sum(g * g, axis=1, keep_dims=True)
    return total
