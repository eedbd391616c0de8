"""Where tensors get their axes: all functions of this folder that make a tensor from none, or give one another axis.

Triton decides by itself which thread holds which element. `kernels.gpu.registers.lanes` has a function of each name
that says it, for lanes.
"""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def unit_axis(width: tl.constexpr, NET: tl.constexpr):
    """Numbers of a layer's units: [width, 1]."""
    return tl.arange(0, width)[:, None]


@triton.jit
def item_axis(NET: tl.constexpr):
    """Numbers of a program's items: [1, BLOCK] (lanes) or [1, 1] (tiles)."""
    return tl.arange(0, NET.block)[None, :] if NET.lanes else tl.full([1, 1], 0, tl.int32)


@triton.jit
def sample_axis(size: tl.constexpr, NET: tl.constexpr):
    """Numbers of the samples at hand (tiles): [1, size]."""
    return tl.arange(0, size)[None, :]


@triton.jit
def outputs_axis(width: tl.constexpr, NET: tl.constexpr):
    """Numbers of the units that a hidden weight leads to: [width, 1, 1] (lanes) or [width, 1] (tiles)."""
    return tl.arange(0, width)[:, None, None] if NET.lanes else tl.arange(0, width)[:, None]


@triton.jit
def inputs_axis(width: tl.constexpr, NET: tl.constexpr):
    """Numbers of the units that a hidden weight comes from: [1, width, 1] (lanes) or [1, width] (tiles)."""
    return tl.arange(0, width)[None, :, None] if NET.lanes else tl.arange(0, width)[None, :]


@triton.jit
def features_axis(width: tl.constexpr, NET: tl.constexpr):
    """Numbers of the inputs where samples are loaded whole (tiles): [width, 1]."""
    return tl.arange(0, width)[:, None]


@triton.jit
def stack_axis(width: tl.constexpr, NET: tl.constexpr):
    """Numbers of the inputs where they were drawn one by one (tiles): [width, 1]."""
    return tl.arange(0, width)[:, None]


@triton.jit
def at_features(value, NET: tl.constexpr):
    """A number of each of the samples at hand, as it meets `features_axis`."""
    return value


@triton.jit
def at_samples(value, NET: tl.constexpr):
    """A number of each of the program's items, as it meets the samples at hand."""
    return value


@triton.jit
def at_items(value, NET: tl.constexpr):
    """A number that `at_samples` gave, or a sum over the samples, as it meets the items' own numbers."""
    return value


@triton.jit
def as_inputs(value, NET: tl.constexpr):
    """[units, BLOCK] → [1, units, BLOCK] (lanes)."""
    return value[None, :, :]


@triton.jit
def as_outputs(value, NET: tl.constexpr):
    """[units, BLOCK] → [units, 1, BLOCK] (lanes)."""
    return value[:, None, :]


@triton.jit
def as_layer(value, NET: tl.constexpr):
    """What a sum over one axis of [fan_out, fan_in, BLOCK] left, as the values of a layer [units, BLOCK] (lanes)."""
    return value
