"""Losses of samples inside a kernel; outputs are a tuple of items, one per output of the network."""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def largest(outputs):
    """Number of the largest output, the first of equals, as a floating number like the outputs."""
    best, number = outputs[0], tl.zeros_like(outputs[0])
    for o in tl.static_range(1, len(outputs)):
        number = tl.where(outputs[o] > best, 1.0 * o, number)
        best = tl.maximum(best, outputs[o])
    return number


@triton.jit
def unit(LOSS: tl.constexpr):
    """What `sample_loss` counts in: the ½ of the squared error is multiplied once a step, not once a sample."""
    return 0.5 if LOSS == "mse" else 1.0


@triton.jit
def sample_loss(outputs, y, LOSS: tl.constexpr):
    """Loss of a sample over `unit(LOSS)`, and its derivative by the outputs (a tuple). y: a tuple of targets (mse), or of the class's number."""
    d = ()
    if LOSS == "mse":
        e = outputs[0] - y[0]
        d = d + (e,)
        value = e * e
        for o in tl.static_range(1, len(outputs)):
            e = outputs[o] - y[o]
            d = d + (e,)
            value += e * e
    else:
        top = outputs[0]
        for o in tl.static_range(1, len(outputs)):
            top = tl.maximum(top, outputs[o], propagate_nan=tl.PropagateNan.ALL)
        total, chosen = tl.zeros_like(top), tl.zeros_like(top)
        exponentials = ()
        for o in tl.static_range(len(outputs)):
            centred = outputs[o] - top
            chosen = tl.where(y[0] == o, centred, chosen)
            exponentials = exponentials + (tl.exp(centred),)
            total += exponentials[o]
        value = tl.log(total) - chosen
        for o in tl.static_range(len(outputs)):
            d = d + (exponentials[o] / total - tl.where(y[0] == o, 1.0, 0.0),)
    return value, d
