"""One network as a torch.nn.Sequential, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kernels.activations import TABLE

if TYPE_CHECKING:
    from kernels.network import Architecture

NORM_EPS = 1e-5  # added to the variance in normalisation, as torch.nn.LayerNorm does


class Residual(nn.Module):
    """x + block(x).

    >>> Residual(nn.Identity())(torch.ones(2))
    tensor([2., 2.])
    """

    def __init__(self, *block: nn.Module) -> None:
        super().__init__()
        self.block = nn.Sequential(*block)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


def to_torch(architecture: Architecture, params: Tensor) -> nn.Sequential:
    """The network with parameters `[n_parameters]`, as `Architecture.to_torch` says.

    >>> from kernels.network import Architecture
    >>> to_torch(Architecture((2, 3, 1)), torch.zeros(13))
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=1, bias=True)
    )
    """
    if params.shape != (architecture.n_parameters,):
        raise ValueError(
            f"params must have shape [{architecture.n_parameters}] (one network), not {list(params.shape)}."
        )
    modules: list[nn.Module] = []
    last = len(architecture.layout) - 1
    for index, (weight, bias) in enumerate(architecture.layers(params.detach())):
        block: list[nn.Module] = [_linear(weight, bias)]
        if index < last and architecture.normalise:
            block.append(nn.LayerNorm(weight.shape[0], eps=NORM_EPS, elementwise_affine=False))
        if index < last:
            block.append(TABLE[architecture.activation].module(architecture.negative_slope))
        modules += [Residual(*block)] if architecture.skips[index] else block
    return nn.Sequential(*modules)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A layer with copies of a weight `[fan_out, fan_in]` and a bias `[fan_out]`."""
    fan_out, fan_in = weight.shape
    linear = nn.Linear(fan_in, fan_out, bias=bias is not None, dtype=weight.dtype, device=weight.device)
    linear.weight.data.copy_(weight)
    if bias is not None:
        linear.bias.data.copy_(bias)
    return linear


def from_torch(architecture: Architecture, model: nn.Sequential) -> Tensor:
    """The parameters `[n_parameters]` of a model as `to_torch` makes it; ValueError if it is another.

    >>> from kernels.network import Architecture
    >>> architecture = Architecture((1, 1))
    >>> from_torch(architecture, to_torch(architecture, torch.tensor([3.0, 4.0])))
    tensor([3., 4.])
    """
    leaves = [module for module in model.modules() if not isinstance(module, nn.Sequential)]
    linears = [module for module in leaves if isinstance(module, nn.Linear)]
    slopes = [module.negative_slope for module in leaves if isinstance(module, nn.LeakyReLU)]
    expected = [
        type(module)
        for module in to_torch(architecture, torch.zeros(architecture.n_parameters)).modules()
        if not isinstance(module, nn.Sequential)
    ]
    same_modules = [type(module) for module in leaves] == expected
    same_widths = tuple(linear.in_features for linear in linears) == architecture.widths[:-1]
    same_widths &= tuple(linear.out_features for linear in linears) == architecture.widths[1:]
    same_biases = all((linear.bias is not None) == architecture.biases for linear in linears)
    if not (same_modules and same_widths and same_biases):
        raise ValueError(f"the model does not have this architecture ({architecture}): it is {model}.")
    if any(slope != architecture.negative_slope for slope in slopes):
        raise ValueError(
            f"the model's negative_slope is {slopes[0]}, this architecture's is {architecture.negative_slope}."
        )
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
