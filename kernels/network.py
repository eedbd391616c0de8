"""The network family and its parameter layout.

A network is f(x) = W_L h_{L−1} + b_L with h_l = σ(z_l), z_l = W_l h_{l−1} + b_l and h_0 = x; on request z_l is
normalised over its units, and h_{l−1} is added to h_l. Neither has parameters of its own. An ensemble of networks is
one array `[n_networks, n_parameters]`: for each layer the weight `[fan_out, fan_in]` row by row, then the bias
`[fan_out]`. That is the order of `torch.nn.Sequential.parameters()` over `torch.nn.Linear` layers, and the contract
that every backend shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.activations import ACTIVATIONS
from kernels.checks import described, is_tensor, listed, nearest, number, together, true_or_false, whole

if TYPE_CHECKING:  # an architecture is made and checked without torch
    import torch
    from jaxtyping import Float
    from torch import Tensor, nn

NORM_EPS = 1e-5  # added to the variance in normalisation, as torch.nn.LayerNorm does


@dataclass(frozen=True)
class Layer:
    """Place of one affine layer in the parameter vector.

    weight, bias: index of the first number of its weight and of its bias (None: no bias).

    >>> Architecture((2, 3, 1)).layout[1]
    Layer(fan_in=3, fan_out=1, weight=9, bias=12)
    """

    fan_in: int
    fan_out: int
    weight: int
    bias: int | None


@dataclass(frozen=True)
class Architecture:
    """A multilayer perceptron.

    widths: units of each layer, inputs first and outputs last, at least two numbers.
    activation: σ between affine layers, one of `kernels.ACTIVATIONS`; their formulas are in
        `kernels.activations.TABLE`.
    biases: whether the affine layers have biases.
    negative_slope: slope of leaky_relu below zero.
    normalise: every hidden z_l becomes (z_l − mean)/√(variance + 10⁻⁵) over its units before σ (layer normalisation,
        Ba et al. 2016, without gain and bias: with them a unit could leave the path's normalisation, and the
        parameter layout would not be torch.nn.Linear's).
    residual: h_l = h_{l−1} + σ(z_l) for every hidden layer whose input is a hidden layer of its own width (He et al.
        2016).

    Raises ValueError, naming the field, for anything else.

    >>> architecture = Architecture((2, 16, 1))
    >>> architecture.n_parameters, architecture.initial(5, seed=0).shape
    (65, torch.Size([5, 65]))
    >>> Architecture((2, 16, 1), "rellu")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: activation must be one of ..., not 'rellu'. Did you mean 'relu'?
    """

    widths: tuple[int, ...]
    activation: str = "relu"
    biases: bool = True
    negative_slope: float = 0.01
    normalise: bool = False
    residual: bool = False

    def __post_init__(self) -> None:
        with together() as check:
            check(_widths, "widths", self.widths)
            check(nearest, "activation", self.activation, ACTIVATIONS)
            for name in ("biases", "normalise", "residual"):
                check(true_or_false, name, getattr(self, name))
            check(number, "negative_slope", self.negative_slope, least=0, below=1)
        widths = _widths("widths", self.widths)
        object.__setattr__(self, "widths", widths)
        if self.normalise and 1 in widths[1:-1]:
            raise ValueError(
                f"normalise needs at least two units in every hidden layer, not widths = {widths}: "
                "one unit's would always be 0."
            )
        if self.residual and not any(self.skips):
            raise ValueError(
                f"residual needs two hidden layers of one width that follow each other, not widths = {widths}."
            )

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return self.widths[0]

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.widths[-1]

    @property
    def layout(self) -> tuple[Layer, ...]:
        """Place of each affine layer in the parameter vector."""
        layers = []
        start = 0
        for fan_in, fan_out in zip(self.widths[:-1], self.widths[1:], strict=True):
            bias = start + fan_out * fan_in if self.biases else None
            layers.append(Layer(fan_in, fan_out, start, bias))
            start += fan_out * (fan_in + self.biases)
        return tuple(layers)

    @property
    def skips(self) -> tuple[bool, ...]:
        """For each affine layer, whether its input is added to its activation."""
        last = len(self.widths) - 2
        return tuple(self.residual and 0 < i < last and self.widths[i] == self.widths[i + 1] for i in range(last + 1))

    @property
    def n_parameters(self) -> int:
        """Length of one network's parameter vector."""
        return sum(layer.fan_out * (layer.fan_in + self.biases) for layer in self.layout)

    def layers(self, params: Float[Tensor, "*networks n_parameters"]) -> list[tuple[Tensor, Tensor | None]]:
        """Views of the parameters, layer by layer: weight `[…, fan_out, fan_in]` and bias `[…, fan_out]` (or None)."""
        if not is_tensor(params) or not params.ndim or params.shape[-1] != self.n_parameters:
            raise ValueError(f"params must be a tensor of shape […, {self.n_parameters}], not {described(params)}.")
        views: list[tuple[Tensor, Tensor | None]] = []
        for layer in self.layout:
            stop = layer.weight + layer.fan_out * layer.fan_in
            weight = params[..., layer.weight : stop].unflatten(-1, (layer.fan_out, layer.fan_in))
            views.append((weight, params[..., stop : stop + layer.fan_out] if self.biases else None))
        return views

    def initial(
        self,
        n_networks: int,
        seed: int | Sequence[int] | np.ndarray | Tensor = 0,
        *,
        scheme: str = "kaiming",
        scale: float = 1.0,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> Float[Tensor, "n_networks n_parameters"]:
        """Random initial parameters, `[n_networks, n_parameters]`; network k is a function of its own seed alone.

        seed: one number (network k then has the seed `streams.network_seeds(seed, n_networks)[k]`), or a seed per
            network.
        scheme: how weights are drawn; biases are 0, but in `torch`.
            `kaiming`: N(0, gain/fan_in) with the gain of the activation (`kernels.activations.TABLE`), and
                N(0, 1/fan_in) in the last layer (He et al. 2015);
            `xavier`: N(0, 2/(fan_in + fan_out)) (Glorot & Bengio 2010);
            `torch`: weights and biases uniform in ±1/√fan_in, as torch.nn.Linear draws them;
            `committee`: N(0, 1/fan_in) in the first layer, all later weights 1 (the soft committee machine of Saad &
                Solla 1995);
            `mean_field`: as kaiming, but N(0, 1/fan_in²) in the last layer, so that outputs are averages over units
                (Mei, Montanari & Nguyen 2018; their learning rate grows with the width).
        scale: every weight and bias is multiplied by it; of a committee the first layer's.
        dtype: float32 unless it says float64.
        device: where they are drawn and stay; on a GPU ("cuda") a million networks take milliseconds. The numbers are
            the same, but for float64's last place.
        """
        import torch

        from kernels import streams
        from kernels.arguments import float_dtype, place
        from kernels.initialisation import INITIALISATIONS, initial_parameters

        nearest("scheme", scheme, INITIALISATIONS)
        number("scale", scale)
        dtype = float_dtype(dtype, default=torch.float32)
        seeds = streams.seeds_on(place(device), seed, whole("n_networks", n_networks, least=1))
        return initial_parameters(self, seeds, scheme, scale, dtype)

    def to_torch(self, params: Float[Tensor, " n_parameters"]) -> nn.Sequential:
        """One network as a torch.nn.Sequential: Linear, LayerNorm if `normalise`, activation; in Residual if they skip.

        It holds a copy of `params` `[n_parameters]`; its parameters() are theirs, in their order.
        """
        from kernels import torch_models

        return torch_models.to_torch(self, params)

    @classmethod
    def of_torch(cls, model: nn.Module) -> Architecture:
        """The architecture of a torch model, read off its layers (`from_torch` reads its parameters).

        ValueError names the first layer that no architecture of this family has.

        >>> from torch import nn
        >>> Architecture.of_torch(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))).widths
        (2, 3, 1)
        """
        from kernels import torch_models

        return torch_models.architecture_of(model)

    def from_torch(self, model: nn.Module) -> Float[Tensor, " n_parameters"]:
        """The parameter vector `[n_parameters]` of a model that computes what this architecture does.

        model: a torch.nn.Sequential, nested or not, of the layers that `to_torch` makes, or a module whose forward()
            calls such layers (or torch.relu and the like) one after the other; Identity, Flatten and Dropout in
            evaluation may stand between them. A layer's weight and bias are those it computes with: after pruning,
            weight or spectral normalisation and other parametrisations, as in evaluation. What torch.compile,
            DataParallel, DistributedDataParallel or AveragedModel made of such a model is read as the model.

        On the model's device and in its dtype; float16 and bfloat16 become float32, which holds them exactly. The
        model is held against the result on random inputs. ValueError names the first layer that is another.

        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout(), nn.Linear(3, 1)).eval()
        >>> Architecture((2, 3, 1)).from_torch(model).shape
        torch.Size([13])
        >>> Architecture((2, 3, 1), "tanh").from_torch(model)
        Traceback (most recent call last):
        ValueError: layer 1 of the model is ReLU(), where this architecture has Tanh().
        """
        from kernels import torch_models

        return torch_models.from_torch(self, model)


def _widths(field: str, value: Any) -> tuple[int, ...]:
    """`value` as at least two widths."""
    widths = tuple(whole(field, width, least=1) for width in listed(field, value))
    if len(widths) < 2:
        raise ValueError(f"{field} must hold at least the inputs and the outputs, such as (2, 16, 1), not {widths}.")
    return widths
