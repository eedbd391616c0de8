"""Losses of samples inside a kernel; outputs are a tuple of items, one per output of the network."""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from kernels.gpu.common.functions import NAN_STAYS


@triton.jit
def largest(outputs):
    """Number of the largest output, the first of equals, as a floating number like the outputs."""
    best = outputs[0]
    number = tl.zeros_like(outputs[0])
    for o in tl.static_range(1, len(outputs)):
        number = tl.where(outputs[o] > best, 1.0 * o, number)
        best = tl.maximum(best, outputs[o])
    return number


@triton.jit
def unit(BATCH: tl.constexpr):
    """What `sample_loss` counts in: the ½ of the squared error is multiplied once a step, not once a sample."""
    return 0.5 if BATCH.loss == "mse" else 1.0


@triton.jit
def sample_loss(outputs, y, BATCH: tl.constexpr):
    """Loss of a sample over `unit(BATCH)`, and its derivative by the outputs (a tuple).

    y: a tuple of targets (mse), or of the class's number (cross-entropy).
    """
    derivative = ()
    if BATCH.loss == "mse":
        error = outputs[0] - y[0]
        derivative = derivative + (error,)
        value = error * error
        for o in tl.static_range(1, len(outputs)):
            error = outputs[o] - y[o]
            derivative = derivative + (error,)
            value += error * error
    else:
        top = outputs[0]
        for o in tl.static_range(1, len(outputs)):
            top = tl.maximum(top, outputs[o], propagate_nan=NAN_STAYS)
        total = tl.zeros_like(top)
        of_class = tl.zeros_like(top)
        exponentials = ()
        for o in tl.static_range(len(outputs)):
            centred = outputs[o] - top
            of_class = tl.where(y[0] == o, centred, of_class)
            exponentials = exponentials + (tl.exp(centred),)
            total += exponentials[o]
        value = tl.log(total) - of_class
        for o in tl.static_range(len(outputs)):
            derivative = derivative + (exponentials[o] / total - tl.where(y[0] == o, 1.0, 0.0),)
    return value, derivative
