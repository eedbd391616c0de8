"""One step of each optimizer on one tensor of parameters, with the formulas of `kernels.training`."""

# Triton compiles no unpacking, and a tuple may grow in its unrolled loops:
# ruff: noqa: RUF005
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

# Where each number stands in the array `settings` that a training kernel is given: an array, since it keeps them in
# the parameters' precision.
SETTINGS = (
    *("beta_1", "beta_2", "one_minus_beta_1", "one_minus_beta_2", "eps"),
    *("label_smoothing", "clip_norm", "stop_below"),
)
N_SETTINGS = tl.constexpr(len(SETTINGS))
BETA_1 = tl.constexpr(SETTINGS.index("beta_1"))
BETA_2 = tl.constexpr(SETTINGS.index("beta_2"))
ONE_MINUS_BETA_1 = tl.constexpr(SETTINGS.index("one_minus_beta_1"))
ONE_MINUS_BETA_2 = tl.constexpr(SETTINGS.index("one_minus_beta_2"))
EPS = tl.constexpr(SETTINGS.index("eps"))
LABEL_SMOOTHING = tl.constexpr(SETTINGS.index("label_smoothing"))
CLIP_NORM = tl.constexpr(SETTINGS.index("clip_norm"))
STOP_BELOW = tl.constexpr(SETTINGS.index("stop_below"))

# The rows of the array `schedule` `[3, n_steps]`.
RATE_FACTOR = tl.constexpr(0)
CORRECTION_1 = tl.constexpr(1)  # 1/(1 − β₁ᵗ)
CORRECTION_2 = tl.constexpr(2)  # 1/√(1 − β₂ᵗ)


@triton.jit
def sgd(p, g, velocity, lr, momentum, OPTIMIZER: tl.constexpr):
    """θ ← θ − η v with v ← μv + g; Nesterov: θ − η (g + μv)."""
    if OPTIMIZER.momentum:
        velocity = momentum * velocity + g
        g = momentum * velocity + g if OPTIMIZER.nesterov else velocity
    return p - lr * g, velocity


@triton.jit
def load_settings(pointer):
    """The numbers that SETTINGS names, a tuple."""
    values = ()
    for k in tl.static_range(N_SETTINGS):
        values = values + (tl.load(pointer + k),)
    return values


@triton.jit
def adam(p, g, m, v, rate, correction_2, settings):
    """θ ← θ − η m̂/(√v̂ + ε); `rate` is η/(1 − β₁ᵗ) and correction_2 is 1/√(1 − β₂ᵗ)."""
    m = settings[BETA_1] * m + settings[ONE_MINUS_BETA_1] * g
    v = settings[BETA_2] * v + settings[ONE_MINUS_BETA_2] * g * g
    return p - rate * m / (tl.sqrt(v) * correction_2 + settings[EPS]), m, v


@triton.jit
def step_scale(scale, lr, schedule, step, n_steps, OPTIMIZER: tl.constexpr):
    """What a step's sums are multiplied by: one over the number of samples, `scale`, or that times the rate, with which
    `update` then has nothing to do.
    """
    if OPTIMIZER.scaled:
        return scale * (lr * tl.load(schedule + RATE_FACTOR * n_steps + step))
    else:
        return scale


@triton.jit
def update(
    theta, grads, moment_1, moment_2, mask, where, exists,
    lr, momentum, weight_decay, settings, schedule, step, n_steps, OPTIMIZER: tl.constexpr,
):  # fmt: skip
    """New parameters and optimizer state, tuples in the order of the parameters.

    grads: what `step_scale` was a factor of; moment_1, moment_2: velocity or Adam's moments, empty where the optimizer
    has none; mask: pointer to bytes, one per parameter of each network; where, exists: places of the parameters, and
    which of them exist; lr, momentum, weight_decay: per network; settings: what `load_settings` gives; schedule:
    pointer to the array described above.
    """
    theta_out, moment_1_out, moment_2_out = (), (), ()
    factor = tl.load(schedule + RATE_FACTOR * n_steps + step)
    correction_1 = tl.load(schedule + CORRECTION_1 * n_steps + step)
    correction_2 = tl.load(schedule + CORRECTION_2 * n_steps + step)
    for k in tl.static_range(len(theta)):
        p = theta[k]
        g = grads[k]
        if OPTIMIZER.masked:
            g = tl.where(tl.load(mask + where[k], mask=exists[k], other=0) != 0, g, 0.0)
        rate = expand(lr * factor, p)
        if OPTIMIZER.decay:
            if OPTIMIZER.kind == "adamw":
                p = p * (1.0 - rate * expand(weight_decay, p))
            else:
                g = g + expand(weight_decay, p) * p
        if OPTIMIZER.scaled:
            p = p - g
        elif OPTIMIZER.kind == "sgd":
            velocity = moment_1[k] if OPTIMIZER.momentum else p
            p, velocity = sgd(p, g, velocity, rate, expand(momentum, p), OPTIMIZER)
            if OPTIMIZER.momentum:
                moment_1_out = moment_1_out + (velocity,)
        else:
            p, m, v = adam(p, g, moment_1[k], moment_2[k], rate * correction_1, correction_2, settings)
            moment_1_out = moment_1_out + (m,)
            moment_2_out = moment_2_out + (v,)
        theta_out = theta_out + (p,)
    return theta_out, moment_1_out, moment_2_out


@triton.jit
def expand(value, like):
    """A number per network [1, BLOCK] or [1, 1] as it broadcasts against a tensor of parameters."""
    return value[:, None, :] if len(like.shape) == 3 else value
