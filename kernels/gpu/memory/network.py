"""A network in device memory: forward and backward passes that read weights and values tile by tile, for networks of
any size.

A program owns one network and takes `TILE` samples at a time. What it computes for them lies in its own rows of
memory (`values`):

    h_0 … h_{L−1}   inputs and values of the hidden layers,            [TILE, width] each
    z_1 … z_L       pre-activations (normalised, if the network is), z_L being the outputs
    spare rows      RAW: a layer before it is normalised; DELTA, DELTA + 1: ∂L/∂z of a layer and of the one below;
    OUT, OUT + 1: ∂L/∂h 1/√(variance)   of the hidden layers, where they are normalised

Threads of a program exchange values through these rows alone, so every pass over them ends with a barrier, and no
pass writes what it reads.
"""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.functions import activate, gated
from kernels.network import NORM_EPS

EPS = tl.constexpr(NORM_EPS)
STRIDE = tl.constexpr(1024)  # parameters that a pass over them takes at a time: at least the threads of a program
RAW, DELTA, OUT = tl.constexpr(0), tl.constexpr(1), tl.constexpr(3)


@triton.jit
def columns(start, width, SPAN: tl.constexpr):
    """The numbers start, start + 1, … `[1, SPAN]`, and which of them are below width."""
    number = start + tl.arange(0, SPAN)[None, :]
    return number, number < width


@triton.jit
def rows(values, at, width, TILE: tl.constexpr):
    """Pointers `[TILE, 1]` to the samples' rows of `width` numbers, `at` being the rows' place among a sample's
    values.
    """
    return values + at * TILE + tl.arange(0, TILE)[:, None] * width


@triton.jit
def h_rows(values, NET: tl.constexpr, TILE: tl.constexpr, layer: tl.constexpr):
    """Rows of the values of layer `layer`, 0 being the inputs."""
    return rows(values, NET.h_at(layer), NET.widths[layer], TILE)


@triton.jit
def z_rows(values, NET: tl.constexpr, TILE: tl.constexpr, layer: tl.constexpr):
    """Rows of the pre-activations of layer `layer` ≥ 1."""
    return rows(values, NET.z_at(layer), NET.widths[layer], TILE)


@triton.jit
def spare_rows(values, which: tl.constexpr, NET: tl.constexpr, TILE: tl.constexpr, layer: tl.constexpr):
    """Spare rows (RAW, DELTA, OUT), as wide as layer `layer`."""
    return rows(values, NET.spare_at(which), NET.widths[layer], TILE)


@triton.jit
def product(a, b, NET: tl.constexpr):
    """Matrix product; on CUDA `tl.dot` takes at least 16 rows."""
    if a.shape[0] >= 16 and a.shape[1] >= 16 and b.shape[1] >= 16:
        PRECISION: tl.constexpr = NET.precision
        return tl.dot(a, b, input_precision=PRECISION, out_dtype=a.dtype)
    else:
        return tl.sum(a[:, :, None] * b[None, :, :], axis=1)


@triton.jit
def affine(params, values, NET: tl.constexpr, TILE: tl.constexpr, layer: tl.constexpr):
    """W h + b of layer `layer`, written to z, and its activation to h; where it is still to be normalised, to RAW."""
    start: tl.constexpr = NET.starts[layer - 1]
    fan_in: tl.constexpr = NET.widths[layer - 1]
    fan_out: tl.constexpr = NET.widths[layer]
    INTO: tl.constexpr = NET.span(layer - 1, TILE)
    SPAN: tl.constexpr = NET.span(layer, TILE)
    h = h_rows(values, NET, TILE, layer - 1)
    raw: tl.constexpr = NET.normalise and layer <= NET.n_hidden
    z_out = spare_rows(values, RAW, NET, TILE, layer) if raw else z_rows(values, NET, TILE, layer)
    for first in range(0, fan_out, SPAN):
        out, exists = columns(first, fan_out, SPAN)
        z = tl.zeros([TILE, SPAN], params.dtype.element_ty)
        for below in range(0, fan_in, INTO):
            into, into_exists = columns(below, fan_in, INTO)
            weight_exists = exists & tl.trans(into_exists)
            weight = tl.load(params + start + out * fan_in + tl.trans(into), mask=weight_exists, other=0.0)
            z += product(tl.load(h + into, mask=into_exists, other=0.0), weight, NET)
        if NET.biases:
            z += tl.load(params + start + fan_out * fan_in + out, mask=exists, other=0.0)
        tl.store(z_out + out, z, mask=exists)
        if layer <= NET.n_hidden and not NET.normalise:
            value = activate(z, NET)[0]
            if NET.skips[layer - 1]:
                value += tl.load(h + out, mask=exists, other=0.0)
            tl.store(h_rows(values, NET, TILE, layer) + out, value, mask=exists)
    tl.debug_barrier()


@triton.jit
def normalised(values, NET: tl.constexpr, TILE: tl.constexpr, layer: tl.constexpr):
    """z and h of hidden layer `layer` from what `affine` left in RAW, z being normalised over the units and the layer
    below added to h where the network says so.
    """
    width: tl.constexpr = NET.widths[layer]
    SPAN: tl.constexpr = NET.span(layer, TILE)
    h = h_rows(values, NET, TILE, layer)
    pre = z_rows(values, NET, TILE, layer)
    raw = spare_rows(values, RAW, NET, TILE, layer)
    below = h_rows(values, NET, TILE, layer - 1)
    mean = row_sum(raw, raw, False, width, SPAN) / width
    square = tl.zeros_like(mean)
    for first in range(0, width, SPAN):
        unit, exists = columns(first, width, SPAN)
        centred = tl.where(exists, tl.load(raw + unit, mask=exists, other=0.0) - mean, 0.0)
        square += tl.sum(centred * centred, axis=1, keep_dims=True)
    inverse = 1.0 / tl.sqrt(square / width + EPS)
    tl.store(rows(values, NET.inverse_at(layer), 1, TILE), inverse)
    for first in range(0, width, SPAN):
        unit, exists = columns(first, width, SPAN)
        z = (tl.load(raw + unit, mask=exists, other=0.0) - mean) * inverse
        tl.store(pre + unit, z, mask=exists)
        value = activate(z, NET)[0]
        if NET.skips[layer - 1]:
            value += tl.load(below + unit, mask=exists, other=0.0)
        tl.store(h + unit, value, mask=exists)
    tl.debug_barrier()


@triton.jit
def row_sum(a, b, TIMES: tl.constexpr, width, SPAN: tl.constexpr):
    """Σ a, or with TIMES Σ a b, along rows `a`, `b` of `width` numbers: `[TILE, 1]`."""
    total = tl.zeros(a.shape, a.dtype.element_ty)
    for first in range(0, width, SPAN):
        unit, exists = columns(first, width, SPAN)
        value = tl.load(a + unit, mask=exists, other=0.0)
        if TIMES:
            value = value * tl.load(b + unit, mask=exists, other=0.0)
        total += tl.sum(value, axis=1, keep_dims=True)
    return total


@triton.jit
def forward(params, values, NET: tl.constexpr, TILE: tl.constexpr):
    """All layers from the inputs h_0 on."""
    for layer in tl.static_range(1, NET.n_hidden + 2):
        affine(params, values, NET, TILE, layer)
        if NET.normalise and layer <= NET.n_hidden:
            normalised(values, NET, TILE, layer)


@triton.jit
def backward(params, sums, values, fresh, NET: tl.constexpr, TILE: tl.constexpr):
    """Adds to `sums` what the samples at hand contribute to the gradient, ∂L/∂z_L lying in DELTA + L % 2; with
    `fresh` it writes instead.
    """
    for layer in tl.static_range(NET.n_hidden + 1, 0, -1):
        add_gradient(sums, values, fresh, NET, TILE, layer)
        if layer > 1:
            back(params, values, NET, TILE, layer)


@triton.jit
def add_gradient(sums, values, fresh, NET: tl.constexpr, TILE: tl.constexpr, layer: tl.constexpr):
    """sums += δ ⊗ h and δ, for the weight and the bias of layer `layer`."""
    start: tl.constexpr = NET.starts[layer - 1]
    fan_in: tl.constexpr = NET.widths[layer - 1]
    fan_out: tl.constexpr = NET.widths[layer]
    INTO: tl.constexpr = NET.span(layer - 1, TILE)
    SPAN: tl.constexpr = NET.span(layer, TILE)
    h = h_rows(values, NET, TILE, layer - 1)
    delta = spare_rows(values, DELTA + layer % 2, NET, TILE, layer)
    old = fresh == 0
    for first in range(0, fan_out, SPAN):
        out, out_exists = columns(first, fan_out, SPAN)
        d = tl.load(delta + out, mask=out_exists, other=0.0)
        for below in range(0, fan_in, INTO):
            into, into_exists = columns(below, fan_in, INTO)
            where = sums + start + tl.trans(out) * fan_in + into
            exists = tl.trans(out_exists) & into_exists
            total = tl.load(where, mask=exists & old, other=0.0)
            total += outer(d, tl.load(h + into, mask=into_exists, other=0.0), NET)
            tl.debug_barrier()  # threads may hold copies of what another one is about to write
            tl.store(where, total, mask=exists)
        if NET.biases:
            where = sums + start + fan_out * fan_in + out
            total = tl.load(where, mask=out_exists & old, other=0.0) + tl.sum(d, axis=0, keep_dims=True)
            tl.debug_barrier()
            tl.store(where, total, mask=out_exists)
    tl.debug_barrier()


@triton.jit
def outer(d, h, NET: tl.constexpr):
    """Σ over samples of d ⊗ h: `[TILE, out]` and `[TILE, in]` to `[out, in]`."""
    if d.shape[0] >= 16 and d.shape[1] >= 16 and h.shape[1] >= 16:
        PRECISION: tl.constexpr = NET.precision
        return tl.dot(tl.trans(d), h, input_precision=PRECISION, out_dtype=d.dtype)
    else:
        return tl.sum(d[:, :, None] * h[:, None, :], axis=0)


@triton.jit
def back(params, values, NET: tl.constexpr, TILE: tl.constexpr, layer: tl.constexpr):
    """∂L/∂z of layer − 1 from that of layer ≥ 2."""
    start: tl.constexpr = NET.starts[layer - 1]
    fan_in: tl.constexpr = NET.widths[layer - 1]
    fan_out: tl.constexpr = NET.widths[layer]
    INTO: tl.constexpr = NET.span(layer - 1, TILE)
    SPAN: tl.constexpr = NET.span(layer, TILE)
    delta = spare_rows(values, DELTA + layer % 2, NET, TILE, layer)
    delta_below = spare_rows(values, DELTA + (layer - 1) % 2, NET, TILE, layer - 1)
    d_h_above = spare_rows(values, OUT + layer % 2, NET, TILE, layer)
    d_h_out = spare_rows(values, OUT + (layer - 1) % 2, NET, TILE, layer - 1)
    z_below = z_rows(values, NET, TILE, layer - 1)
    raw = spare_rows(values, RAW, NET, TILE, layer - 1)
    for below in range(0, fan_in, INTO):
        into, into_exists = columns(below, fan_in, INTO)
        d_h = tl.zeros([TILE, INTO], params.dtype.element_ty)
        for first in range(0, fan_out, SPAN):
            out, out_exists = columns(first, fan_out, SPAN)
            weight_exists = tl.trans(out_exists) & into_exists
            weight = tl.load(params + start + tl.trans(out) * fan_in + into, mask=weight_exists, other=0.0)
            d_h += product(tl.load(delta + out, mask=out_exists, other=0.0), weight, NET)
        if NET.skips[layer - 1]:
            d_h += tl.load(d_h_above + into, mask=into_exists, other=0.0)
        if NET.residual:
            tl.store(d_h_out + into, d_h, mask=into_exists)
        d = gated(d_h, activate(tl.load(z_below + into, mask=into_exists, other=0.0), NET)[1])
        if NET.normalise:
            tl.store(raw + into, d, mask=into_exists)
        else:
            tl.store(delta_below + into, d, mask=into_exists)
    tl.debug_barrier()
    if NET.normalise:  # (d − mean d − z mean(d z)) / √variance
        mean = row_sum(raw, raw, False, fan_in, INTO) / fan_in
        along = row_sum(raw, z_below, True, fan_in, INTO) / fan_in
        inverse = tl.load(rows(values, NET.inverse_at(layer - 1), 1, TILE))
        for below in range(0, fan_in, INTO):
            into, into_exists = columns(below, fan_in, INTO)
            d = tl.load(raw + into, mask=into_exists, other=0.0)
            z = tl.load(z_below + into, mask=into_exists, other=0.0)
            tl.store(delta_below + into, inverse * (d - mean - z * along), mask=into_exists)
        tl.debug_barrier()
