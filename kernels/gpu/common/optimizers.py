"""One step of each optimizer on one tensor of parameters, with the formulas of `kernels.training`."""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sgd(p, g, v, lr, momentum, MOMENTUM: tl.constexpr, NESTEROV: tl.constexpr):
    """θ ← θ − η v with v ← μv + g; Nesterov: θ − η (g + μv)."""
    if MOMENTUM:
        v = momentum * v + g
        g = momentum * v + g if NESTEROV else v
    return p - lr * g, v


@triton.jit
def adam(p, g, m, v, rate, beta_1, beta_2, one_minus_beta_1, one_minus_beta_2, eps, correction_2):
    """θ ← θ − η m̂/(√v̂ + ε); `rate` is η/(1 − β₁ᵗ) and correction_2 is 1/√(1 − β₂ᵗ)."""
    m = beta_1 * m + one_minus_beta_1 * g
    v = beta_2 * v + one_minus_beta_2 * g * g
    return p - rate * m / (tl.sqrt(v) * correction_2 + eps), m, v


@triton.jit
def update(
    params,
    grads,
    first,
    second,
    mask,
    where,
    exists,
    lr,
    momentum,
    weight_decay,
    numbers,
    schedule,
    OPTIMIZER: tl.constexpr,
):
    """New parameters and optimizer state, tuples in the order of the parameters.

    first, second: velocity or moments, empty where the optimizer has none; mask: pointer to bytes, one per parameter of each network;
    lr, momentum, weight_decay: per network; numbers: β₁, β₂, 1 − β₁, 1 − β₂, ε; schedule: the step's factor and Adam's two corrections.
    """
    params_out, first_out, second_out = (), (), ()
    for k in tl.static_range(len(params)):
        p, g = params[k], grads[k]
        if OPTIMIZER.masked:
            g = tl.where(tl.load(mask + where[k], mask=exists[k], other=0) != 0, g, 0.0)
        rate = expand(lr * schedule[0], p)
        if OPTIMIZER.decay:
            if OPTIMIZER.kind == "adamw":
                p = p * (1.0 - rate * expand(weight_decay, p))
            else:
                g = g + expand(weight_decay, p) * p
        if OPTIMIZER.kind == "sgd":
            v = first[k] if OPTIMIZER.momentum else p
            p, v = sgd(p, g, v, rate, expand(momentum, p), OPTIMIZER.momentum, OPTIMIZER.nesterov)
            if OPTIMIZER.momentum:
                first_out = first_out + (v,)
        else:
            p, m, v = adam(
                p,
                g,
                first[k],
                second[k],
                rate * schedule[1],
                numbers[0],
                numbers[1],
                numbers[2],
                numbers[3],
                numbers[4],
                schedule[2],
            )
            first_out, second_out = first_out + (m,), second_out + (v,)
        params_out = params_out + (p,)
    return params_out, first_out, second_out


@triton.jit
def expand(value, like):
    """A number per network [1, BLOCK] or [1, 1] as it broadcasts against a tensor of parameters."""
    return value[:, None, :] if len(like.shape) == 3 else value
