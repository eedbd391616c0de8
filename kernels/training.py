"""What a training run is: optimizer, schedule, batches, loss.

Every number that may differ between networks (learning rate, momentum, weight decay) is one number or an array
`[n_networks]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from kernels.checks import (
    described,
    finite,
    instance,
    least_of,
    listed,
    nearest,
    number,
    numbers,
    together,
    true_or_false,
    whole,
)
from kernels.network import Architecture
from kernels.shown import Short

if TYPE_CHECKING:
    from torch import Tensor

PerNetwork: TypeAlias = "float | Sequence[float] | np.ndarray | Tensor"

LOSSES = ("mse", "cross_entropy")
SAMPLING = ("epoch", "replacement")
SCHEDULES = ("constant", "cosine", "step", "linear")


@dataclass(frozen=True, eq=False)
class SGD:
    """Stochastic gradient descent, as torch.optim.SGD: g ← ∇L + λθ, v ← μv + g, θ ← θ − η v (Nesterov: θ − η (g + μv)).

    lr η, momentum μ, weight_decay λ: one number, or one per network.

    >>> SGD(lr=[0.1, 0.2], momentum=0.9).momentum  # two networks, two rates
    0.9
    """

    lr: PerNetwork = 0.05
    momentum: PerNetwork = 0.0
    nesterov: bool = False
    weight_decay: PerNetwork = 0.0

    def __post_init__(self) -> None:
        with together() as check:
            for name in ("lr", "momentum", "weight_decay"):
                check(finite, name, getattr(self, name), least=0)
            check(true_or_false, "nesterov", self.nesterov)
        if self.nesterov and not least_of("momentum", self.momentum) > 0:
            raise ValueError("nesterov needs a momentum above 0.")


@dataclass(frozen=True, eq=False)
class Adam:
    """Adam (Kingma & Ba 2015), as torch.optim.Adam: the weight decay λθ is added to the gradient.

    m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − η m̂ / (√v̂ + ε) with m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ).
    lr η and weight_decay λ: one number, or one per network. eps: with ε = 0, a parameter whose gradients have all been
    exactly 0 becomes 0/0, NaN, as in torch. In networks with a mask, where gradients are 0 for good, it stays.

    >>> Adam(betas=(0.9, 1.0))
    Traceback (most recent call last):
    ValueError: betas must lie in [0, 1), not 1.0.
    """

    lr: PerNetwork = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: PerNetwork = 0.0

    def __post_init__(self) -> None:
        with together() as check:
            for name in ("lr", "weight_decay"):
                check(finite, name, getattr(self, name), least=0)
            check(number, "eps", self.eps, least=0)
            check(_two_shares, "betas", self.betas)


@dataclass(frozen=True, eq=False)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), as torch.optim.AdamW.

    θ ← (1 − ηλ)θ before Adam's step, whose gradient is without weight decay.

    >>> AdamW(lr=0.01, weight_decay=0.1).eps
    1e-08
    """


@dataclass(frozen=True)
class Schedule:
    """The learning rate's factor at each step.

    The first `warmup_steps` steps rise linearly, (t+1)/warmup_steps. With s the share of the remaining steps that is
    done, s = (t − warmup_steps)/(steps − warmup_steps): `constant` 1; `linear` 1 + (final_factor − 1) s;
    `cosine` final_factor + (1 − final_factor)(1 + cos πs)/2; `step` γ^⌊(t − warmup_steps)/step_size⌋.

    >>> Schedule("linear", warmup_steps=2).factors(6)
    array([0.5 , 1.  , 1.  , 0.75, 0.5 , 0.25])
    """

    kind: str = "constant"
    warmup_steps: int = 0
    final_factor: float = 0.0
    step_size: int = 1000
    gamma: float = 0.1

    def __post_init__(self) -> None:
        with together() as check:
            check(nearest, "schedule.kind", self.kind, SCHEDULES)
            check(whole, "schedule.warmup_steps", self.warmup_steps)
            check(whole, "schedule.step_size", self.step_size, least=1)
            check(number, "schedule.final_factor", self.final_factor, least=0)
            check(number, "schedule.gamma", self.gamma, least=0)

    def factors(self, steps: int) -> np.ndarray:
        """The factor of every step, float64 `[steps]`."""
        if self.kind == "constant" and not self.warmup_steps:
            return np.ones(steps)
        t = np.arange(steps, dtype=np.float64)
        after = np.maximum(t - self.warmup_steps, 0)
        share = after / max(steps - self.warmup_steps, 1)
        factor = np.ones(steps)
        if self.kind == "linear":
            factor = 1 + (self.final_factor - 1) * share
        elif self.kind == "cosine":
            factor = self.final_factor + (1 - self.final_factor) * (1 + np.cos(np.pi * share)) / 2
        elif self.kind == "step":
            factor = self.gamma ** np.floor(after / self.step_size)
        warm = t < self.warmup_steps
        return np.where(warm, (t + 1) / max(self.warmup_steps, 1), factor)


@dataclass(frozen=True, eq=False)
class Training:
    """One training run, the same for every network but for what optimizer fields hold per network.

    steps: number of updates.
    loss: `mse`, ½ mean over samples of ‖f(x) − y‖²; or `cross_entropy`, mean softmax cross-entropy in nats.
    batch_size: samples a step; None is the full batch. A teacher's online samples need a number.
    sampling: `epoch`, reshuffled without replacement each epoch (the last batch of an epoch may be smaller); or
        `replacement`.
    record_every: the loss of the step's batch, before the update, is recorded at steps 0, k, 2k, …; None: about 100
        records.
    snapshots: numbers of updates after which the parameters are kept (0: the initial ones, `steps`: the last).
    label_smoothing: share ε of a label that is spread over all classes, for cross_entropy: 1 − ε + ε/K on the class,
        ε/K elsewhere.
    clip_norm: a gradient of larger norm is scaled down to it, as torch.nn.utils.clip_grad_norm_ does (g ← g · min(1,
        c/(‖g‖ + 10⁻⁶))), each network's on its own, weight decay not counted; None: never.
    stop_below: a network takes no update from the first step on whose batch loss is below it (Run.stopped_at); None:
        it never stops.
    layer_rates: factors of the learning rate, one for each affine layer, its biases with it (torch's parameter groups);
        empty: 1 everywhere.

    >>> Training(steps=1000, batch_size=16).loss_steps
    range(0, 1000, 10)
    """

    steps: int
    optimizer: SGD | Adam | AdamW = field(default_factory=SGD)
    loss: str = "mse"
    batch_size: int | None = None
    sampling: str = "epoch"
    schedule: Schedule = field(default_factory=Schedule)
    record_every: int | None = None
    snapshots: tuple[int, ...] = ()
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    stop_below: float | None = None
    layer_rates: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        with together() as check:
            check(whole, "steps", self.steps)
            check(nearest, "loss", self.loss, LOSSES)
            check(nearest, "sampling", self.sampling, SAMPLING)
            check(_is_optimizer, "optimizer", self.optimizer)
            check(instance, "schedule", self.schedule, Schedule, "Schedule('cosine')")
            for name in ("batch_size", "record_every"):
                if getattr(self, name) is not None:
                    check(whole, name, getattr(self, name), least=1)
            check(_steps, "snapshots", self.snapshots)
            check(number, "label_smoothing", self.label_smoothing, least=0, below=1)
            if self.clip_norm is not None:
                check(number, "clip_norm", self.clip_norm, least=0)
            if self.stop_below is not None:
                check(number, "stop_below", self.stop_below)
            check(_factors, "layer_rates", self.layer_rates)
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError("label_smoothing goes with loss 'cross_entropy'.")
        snapshots = _steps("snapshots", self.snapshots)
        if snapshots and snapshots[-1] > self.steps:
            raise ValueError(f"snapshots must be at most steps ({self.steps}), not {snapshots[-1]}.")
        object.__setattr__(self, "snapshots", snapshots)
        object.__setattr__(self, "layer_rates", tuple(self.layer_rates))

    @property
    def loss_steps(self) -> range:
        """Steps at which the loss is recorded."""
        return range(0, self.steps, self.record_every or max(1, -(-self.steps // 100)))


@dataclass(frozen=True, eq=False, repr=False)
class Teacher(Short):
    """Fresh samples without end: x ~ N(0, I), labelled by a teacher network.

    The label is the teacher's output; for cross-entropy the class of its largest output.

    params: `[n_parameters]`, or `[n_teachers, n_parameters]` with `dataset` saying which teacher a network learns from.

    >>> architecture = Architecture((2, 4, 1), "tanh")
    >>> Teacher(architecture, architecture.initial(1, seed=3)).params.shape
    torch.Size([1, 17])
    """

    architecture: Architecture
    params: Tensor

    def __post_init__(self) -> None:
        instance("the teacher's architecture", self.architecture, Architecture, "Architecture((2, 16, 1))")
        params = numbers("the teacher's params", self.params)
        n_parameters = self.architecture.n_parameters
        if params.ndim not in (1, 2) or params.shape[-1] != n_parameters or not len(params):
            raise ValueError(
                f"the teacher's params must have shape [{n_parameters}] or [n_teachers, {n_parameters}], "
                f"not {list(params.shape)}."
            )
        object.__setattr__(self, "params", params)


def _two_shares(field: str, value: Any) -> None:
    """`value` is two numbers in [0, 1)."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ValueError(f"{field} must be two numbers, not {described(value)}.")
    for share in value:
        number(field, share, least=0, below=1)


def _is_optimizer(field: str, value: Any) -> None:
    if not isinstance(value, SGD | Adam):
        raise ValueError(f"{field} must be an SGD, Adam or AdamW, not {described(value)}.")


def _factors(field: str, value: Any) -> None:
    for factor in listed(field, value):
        number(field, factor, least=0)


def _steps(field: str, value: Any) -> tuple[int, ...]:
    """`value`, numbers of steps, in rising order and each once."""
    return tuple(sorted({whole(field, step) for step in listed(field, value)}))
