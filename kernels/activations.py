"""The activations σ: one table, which networks, their initial weights, the reference and the documentation read.

A new one is a row here, a `Unit` in kernels/native/activations.h and a branch of `activate` in
kernels/gpu/common/functions.py. The compiled backends are asked by name, so that one which lacks it refuses the name
(docs/extending.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the names are read by those who need no torch
    from torch import Tensor, nn

HALF_NORMAL = math.sqrt(2 / math.pi)


@dataclass(frozen=True)
class Activation:
    """One activation.

    formula: σ(z), for the documentation.
    value_and_slope: (z, negative_slope) → σ(z), σ′(z); at a kink the derivative is that of the left side, as in torch.
    layer: (torch.nn, negative_slope) → the layer that computes it.
    gain: variance of the weights behind it times fan_in, of the scheme `kaiming`.
    degree: k with σ(z) = z σ′(z)/k for all z, where there is one (homogeneous activations); else 0.

    >>> import torch
    >>> value, slope = TABLE["leaky_relu"].value_and_slope(torch.tensor([-2.0, 2.0]), 0.1)
    >>> value, slope
    (tensor([-0.2000,  2.0000]), tensor([0.1000, 1.0000]))
    """

    formula: str
    value_and_slope: Callable[[Tensor, float], tuple[Tensor, Tensor]]
    layer: Callable[[ModuleType, float], nn.Module]
    gain: float = 1.0
    degree: int = 0


def _identity(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    return z, z.new_ones(z.shape)


def _relu(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    return z.clamp(min=0), (z > 0).to(z.dtype)


def _leaky_relu(z: Tensor, negative_slope: float) -> tuple[Tensor, Tensor]:
    slope = z.new_full(z.shape, negative_slope).masked_fill(z > 0, 1.0)
    return z * slope, slope


def _erf(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    return (z / math.sqrt(2)).erf(), HALF_NORMAL * (-0.5 * z * z).exp()


def _tanh(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    h = z.tanh()
    return h, 1 - h * h


def _square(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    return z * z, 2 * z


def _gelu(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    below = 0.5 + 0.5 * (z / math.sqrt(2)).erf()  # Φ(z)
    return z * below, below + z * (0.5 * HALF_NORMAL) * (-0.5 * z * z).exp()


def _silu(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    share = z.sigmoid()
    return z * share, share + z * share * (1 - share)


def _erf_layer(_: ModuleType, __: float) -> nn.Module:
    from kernels.model_layers import Erf

    return Erf()


def _square_layer(_: ModuleType, __: float) -> nn.Module:
    from kernels.model_layers import Square

    return Square()


TABLE: dict[str, Activation] = {
    "identity": Activation("z", _identity, lambda nn, _: nn.Identity(), degree=1),
    "relu": Activation("max(z, 0)", _relu, lambda nn, _: nn.ReLU(), gain=2.0, degree=1),
    "leaky_relu": Activation(
        "max(z, 0) + negative_slope · min(z, 0)",
        _leaky_relu,
        lambda nn, negative_slope: nn.LeakyReLU(negative_slope),
        gain=2.0,
        degree=1,
    ),
    "erf": Activation("erf(z/√2)", _erf, _erf_layer),
    "tanh": Activation("tanh z", _tanh, lambda nn, _: nn.Tanh()),
    "square": Activation("z²", _square, _square_layer, gain=2.0, degree=2),
    "gelu": Activation("z Φ(z), Φ the standard normal distribution function", _gelu, lambda nn, _: nn.GELU(), gain=2.0),
    "silu": Activation("z/(1 + e⁻ᶻ)", _silu, lambda nn, _: nn.SiLU(), gain=2.0),
}
ACTIVATIONS = tuple(TABLE)
