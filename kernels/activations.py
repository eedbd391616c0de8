"""The activations σ: one table, which networks, their initial weights, the reference and the documentation read.

A new one is a row here, a `Unit` in kernels/native/activations.h and a branch of `activate` in
kernels/gpu/common/functions.py. The compiled backends are asked by name, so that one which lacks it refuses the name
(docs/extending.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

HALF_NORMAL = math.sqrt(2 / math.pi)


class Erf(nn.Module):
    """erf(x / √2), the activation of Saad & Solla (1995).

    >>> Erf()(torch.tensor([0.0, 10.0]))
    tensor([0., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.erf(x / math.sqrt(2))


class Square(nn.Module):
    """x², the activation of quadratic networks.

    >>> Square()(torch.tensor([-3.0]))
    tensor([9.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return x * x


@dataclass(frozen=True)
class Activation:
    """One activation.

    formula: σ(z), for the documentation.
    value_and_slope: (z, negative_slope) → σ(z), σ′(z); at a kink the derivative is that of the left side, as in torch.
    module: negative_slope → the torch.nn module that computes it.
    gain: variance of the weights behind it times fan_in, of the scheme `kaiming`.
    degree: k with σ(z) = z σ′(z)/k for all z, where there is one (homogeneous activations); else 0.

    >>> value, slope = TABLE["leaky_relu"].value_and_slope(torch.tensor([-2.0, 2.0]), 0.1)
    >>> value, slope
    (tensor([-0.2000,  2.0000]), tensor([0.1000, 1.0000]))
    """

    formula: str
    value_and_slope: Callable[[Tensor, float], tuple[Tensor, Tensor]]
    module: Callable[[float], nn.Module]
    gain: float = 1.0
    degree: int = 0


def _identity(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    return z, torch.ones_like(z)


def _relu(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    return z.clamp(min=0), (z > 0).to(z.dtype)


def _leaky_relu(z: Tensor, negative_slope: float) -> tuple[Tensor, Tensor]:
    slope = torch.where(z > 0, torch.ones_like(z), torch.full_like(z, negative_slope))
    return z * slope, slope


def _erf(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    return torch.erf(z / math.sqrt(2)), HALF_NORMAL * torch.exp(-0.5 * z * z)


def _tanh(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    h = torch.tanh(z)
    return h, 1 - h * h


def _square(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    return z * z, 2 * z


def _gelu(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    below = 0.5 + 0.5 * torch.erf(z / math.sqrt(2))  # Φ(z)
    return z * below, below + z * (0.5 * HALF_NORMAL) * torch.exp(-0.5 * z * z)


def _silu(z: Tensor, _: float) -> tuple[Tensor, Tensor]:
    share = torch.sigmoid(z)
    return z * share, share + z * share * (1 - share)


TABLE: dict[str, Activation] = {
    "identity": Activation("z", _identity, lambda _: nn.Identity(), degree=1),
    "relu": Activation("max(z, 0)", _relu, lambda _: nn.ReLU(), gain=2.0, degree=1),
    "leaky_relu": Activation("max(z, 0) + negative_slope · min(z, 0)", _leaky_relu, nn.LeakyReLU, gain=2.0, degree=1),
    "erf": Activation("erf(z/√2)", _erf, lambda _: Erf()),
    "tanh": Activation("tanh z", _tanh, lambda _: nn.Tanh()),
    "square": Activation("z²", _square, lambda _: Square(), gain=2.0, degree=2),
    "gelu": Activation("z Φ(z), Φ the standard normal distribution function", _gelu, lambda _: nn.GELU(), gain=2.0),
    "silu": Activation("z/(1 + e⁻ᶻ)", _silu, lambda _: nn.SiLU(), gain=2.0),
}
ACTIVATIONS = tuple(TABLE)
