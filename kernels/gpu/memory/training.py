"""The training kernel of networks in device memory: one program a network, any size, and every setting that a
training run has.
"""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.functions import finite
from kernels.gpu.common.losses import unit
from kernels.gpu.common.optimizers import CLIP_NORM, LABEL_SMOOTHING, STOP_BELOW, load_settings, update
from kernels.gpu.common.streams import seed_key
from kernels.gpu.memory.network import STRIDE, backward, columns
from kernels.gpu.memory.samples import sample_losses
from kernels.gpu.registers import training
from kernels.gpu.registers.samples import chosen, epoch_keys, positions

UNSPECIALISED = (*training.UNSPECIALISED, "n_groups")
POINTERS = (*training.POINTERS, "trainable", "rates", "tied", "members", "groups", "sums", "values", "stopped_at")


@triton.jit(do_not_specialize=UNSPECIALISED, do_not_specialize_on_alignment=POINTERS)
def train(
    parameters, first_moments, second_moments, mask, trainable,  # [n_networks, n_parameters]
    rates,  # [n_parameters]: factors of the learning rate
    tied,  # [n_parameters]: index of the first parameter of each one's tied group
    members, groups,  # [n_parameters] group by group, and where each group begins among them [n_groups + 1]
    lr, momentum, weight_decay, data_seeds, spawn_steps, spawn_seeds, dataset,  # [n_networks]
    x, y,  # [n_datasets, n_samples, …]
    teacher_parameters,  # [n_datasets, n_parameters of the teacher]
    schedule,  # [3, n_steps], see kernels.gpu.common.optimizers
    settings,  # [8], see there
    losses,  # [n_records, n_networks]
    diverged_at, stopped_at,  # [n_networks]
    sums,  # [n_networks, 2, n_parameters]: of the gradient, and of the gradients of tied groups
    values,  # [n_networks, …]: rows of the samples at hand, of the network and then of its teacher
    n_networks, n_samples, batch_size, record_every, first_record, first_step, last_step, n_steps, n_datasets,
    low_bits, high_bits,  # of the halves of the epoch's permutation
    n_groups,
    NET: tl.constexpr, OPTIMIZER: tl.constexpr, BATCH: tl.constexpr,
):  # fmt: skip
    """Steps first_step … last_step − 1 of the networks, as `kernels.gpu.registers.training.train` takes them."""
    TILE: tl.constexpr = BATCH.tile
    program = tl.program_id(0).to(tl.int64)
    network = tl.full([1, 1], 0, tl.int64) + tl.program_id(0)
    parameters += program * NET.n_parameters
    first_moments += program * NET.n_parameters
    second_moments += program * NET.n_parameters
    mask += program * NET.n_parameters
    trainable += program * NET.n_parameters
    sums += program * 2 * NET.n_parameters
    values += program * BATCH.values
    teacher_values = values + NET.n_values * TILE
    rate = tl.load(lr + network)
    friction = tl.load(momentum + network)
    decay = tl.load(weight_decay + network)
    numbers = load_settings(settings)
    data_set = tl.load(dataset + network)
    diverged = tl.load(diverged_at + network)
    stopped = tl.load(stopped_at + network)
    own_seed = tl.load(data_seeds + network)
    spawn_seed = tl.load(spawn_seeds + network)
    spawn_step = tl.load(spawn_steps + network)
    if BATCH.sampling == "online":
        TEACHER: tl.constexpr = BATCH.teacher
        teacher_parameters += tl.load(dataset + program) * TEACHER.n_parameters

    record = first_record + 0
    due = first_record * record_every
    for step in range(first_step, last_step):
        key = seed_key(tl.where(step >= spawn_step, spawn_seed, own_seed))
        begin, count, keys = epoch_keys(key, step, n_samples, batch_size, BATCH)
        loss = tl.zeros_like(rate)
        for start in range(0, count, TILE):
            position = tl.trans(positions(start, 0, NET, BATCH))
            in_batch = position < count
            row = position
            if BATCH.sampling != "online":
                rows = chosen(start, begin, key, step, keys, n_samples, low_bits, high_bits, NET, BATCH)
                row = tl.trans(rows[0]) + data_set * n_samples
            value = sample_losses(
                parameters, values, teacher_parameters, teacher_values, x, y,
                row, key, step, position, in_batch, numbers[LABEL_SMOOTHING], NET, BATCH,
            )[0]  # fmt: skip
            loss += tl.sum(value, axis=0, keep_dims=True)
            backward(parameters, sums, values, start == 0, NET, TILE)
        scale = 1.0 / count.to(rate.dtype)
        loss *= scale * unit(BATCH)
        diverged = tl.where((diverged < 0) & ~finite(loss), step, diverged)
        if OPTIMIZER.stops:
            stopped = tl.where((stopped < 0) & (loss < numbers[STOP_BELOW]), step, stopped)
        if step == due:
            tl.store(losses + record.to(tl.int64) * n_networks + network, loss)
            record += 1
            due += record_every

        grads = sums
        if OPTIMIZER.tied:
            add_up(sums, mask, members, groups, n_groups, NET, OPTIMIZER)
            grads = sums + NET.n_parameters
        if OPTIMIZER.clipped:
            norm = scale * tl.sqrt(squared_norm(grads, mask, trainable, tied, NET, OPTIMIZER))
            scale = scale * tl.minimum(1.0, numbers[CLIP_NORM] / (norm + 1e-6))
        for start in range(0, NET.n_parameters, STRIDE):
            index, exists = columns(start, NET.n_parameters, STRIDE)
            theta = tl.load(parameters + index, mask=exists, other=0.0)
            source = index
            if OPTIMIZER.tied:
                source = tl.load(tied + index, mask=exists, other=0)
            g = tl.load(grads + source, mask=exists, other=0.0) * scale
            moment_1, moment_2 = (), ()
            if OPTIMIZER.kind != "sgd" or OPTIMIZER.momentum:
                moment_1 = (tl.load(first_moments + index, mask=exists, other=0.0),)
            if OPTIMIZER.kind != "sgd":
                moment_2 = (tl.load(second_moments + index, mask=exists, other=0.0),)
            own_rate = rate
            if OPTIMIZER.rated:
                own_rate = rate * tl.load(rates + index, mask=exists, other=0.0)
            new, moment_1, moment_2 = update(
                (theta,), (g,), moment_1, moment_2, mask, (index,), (exists,),
                own_rate, friction, decay, numbers, schedule, step, n_steps, OPTIMIZER,
            )  # fmt: skip
            moved = new[0]
            if OPTIMIZER.held:
                moved = tl.where(tl.load(trainable + index, mask=exists, other=0) != 0, moved, theta)
            if OPTIMIZER.stops:
                moved = tl.where(stopped < 0, moved, theta)
            tl.store(parameters + index, moved, mask=exists)
            if OPTIMIZER.kind != "sgd" or OPTIMIZER.momentum:
                tl.store(first_moments + index, moment_1[0], mask=exists)
            if OPTIMIZER.kind != "sgd":
                tl.store(second_moments + index, moment_2[0], mask=exists)
        tl.debug_barrier()

    tl.store(diverged_at + network, diverged)
    tl.store(stopped_at + network, stopped)


@triton.jit
def add_up(sums, mask, members, groups, n_groups, NET: tl.constexpr, OPTIMIZER: tl.constexpr):
    """Gradient of each tied group, the sum of its parameters' gradients: at the place of its first one,
    `n_parameters` behind `sums`.
    """
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
    """Σ g² over the parameters that may move, a tied group counted once: `[1, 1]`."""
    total = tl.zeros([1, 1], grads.dtype.element_ty)
    for start in range(0, NET.n_parameters, STRIDE):
        index, exists = columns(start, NET.n_parameters, STRIDE)
        counts = exists
        if OPTIMIZER.tied:
            counts = counts & (tl.load(tied + index, mask=exists, other=-1) == index)
        if OPTIMIZER.masked:
            counts = counts & (tl.load(mask + index, mask=exists, other=0) != 0)
        if OPTIMIZER.held:
            counts = counts & (tl.load(trainable + index, mask=exists, other=0) != 0)
        g = tl.load(grads + index, mask=counts, other=0.0)
        total += tl.sum(g * g, axis=1, keep_dims=True)
    return total
