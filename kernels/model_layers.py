"""The layers of a torch model, in the order in which they act on samples `[n, units]`.

A Sequential says its order itself. Of a subclass of nn.Module the forward() is traced (torch.fx): it must call one
layer after the other.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from kernels.checks import described


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


@dataclass(frozen=True)
class Place:
    """A layer that does something, its name in the model, and how many Residuals it stands in.

    >>> Place("0.1", nn.ReLU(), 1).text
    'ReLU() inside a Residual'
    """

    name: str
    layer: nn.Module
    depth: int

    @property
    def text(self) -> str:
        """What the layer is, in words."""
        inside = " inside a Residual" if self.depth else ""
        return f"{type(self.layer).__name__}({self.layer.extra_repr()}){inside}"


def placed_layers(module: nn.Module, name: str = "", depth: int = 0) -> list[Place]:
    """The layers of a model in the order in which they act; one that is used twice stands there twice.

    What does nothing to samples `[n, units]` is left out: Identity, Flatten, Dropout in evaluation. ValueError where a
    forward() of its own is not one layer after the other.

    >>> [place.text for place in placed_layers(nn.Sequential(nn.Flatten(), nn.Sequential(nn.ReLU())))]
    ['ReLU()']
    """
    if isinstance(module, nn.Sequential):
        children = [(f"{name}.{key}" if name else key, child) for key, child in module._modules.items()]
        return [place for key, child in children if child is not None for place in placed_layers(child, key, depth)]
    if isinstance(module, Residual):
        return [Place(name, module, depth), *placed_layers(module.block, f"{name}.block", depth + 1)]
    if isinstance(module, nn.Identity) or (isinstance(module, nn.Flatten) and module.start_dim == 1):
        return []
    if isinstance(module, nn.Dropout | nn.AlphaDropout):
        if module.training and module.p > 0:
            raise ValueError(
                f"layer {name} of the model is {module} in training, whose outputs are random: call model.eval() first."
            )
        return []
    if any(True for _ in module.children()) and not type(module).__module__.startswith("torch.nn"):
        chain = _chain(module, name)
        return [place for key, layer in chain for place in placed_layers(layer, key, depth)]
    return [Place(name, module, depth)]


def _gelu(approximate: str = "none") -> nn.Module:
    return nn.GELU(approximate)


def _leaky_relu(negative_slope: float = 0.01, inplace: bool = False) -> nn.Module:
    return nn.LeakyReLU(negative_slope)


def _dropout(p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module:
    return nn.Dropout(p).train(training)


def _flatten(*dims: int, **more: int) -> nn.Module:
    return nn.Identity()


Maker = Callable[..., nn.Module]
FUNCTIONS: dict[Any, Maker] = {  # by function, or by a tensor's method: the layer, from the arguments behind the first
    torch.relu: nn.ReLU,
    F.relu: nn.ReLU,
    "relu": nn.ReLU,
    torch.tanh: nn.Tanh,
    F.tanh: nn.Tanh,
    "tanh": nn.Tanh,
    F.silu: nn.SiLU,
    F.gelu: _gelu,
    F.leaky_relu: _leaky_relu,
    F.dropout: _dropout,
    torch.flatten: _flatten,
    "flatten": _flatten,
    "view": _flatten,
    "reshape": _flatten,
}


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Residual) or super().is_leaf_module(m, module_qualified_name)


def _chain(model: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    """The layers that a forward() calls, by their names; ValueError where one acts on more than the last one gave."""
    called = f"the model's {name}" if name else "the model"
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # whatever a user's forward() does with what stands for a tensor
        raise ValueError(f"the forward() of {called} cannot be followed: {error}") from error
    layers: list[tuple[str, nn.Module]] = []
    last: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder" and last is None:
            last = node
        elif node.op == "output":
            if node.args[0] is not last:
                raise ValueError(f"{called} must return the output of its last layer, not {node.args[0]}.")
        elif not _asks_for_a_shape(node):
            place = f"{name}.{node.name}" if name else node.name
            if not node.args or node.args[0] is not last:
                raise ValueError(f"layer {place} of {called} does not act on the output of the layer before it alone.")
            layers.append((str(node.target) if node.op == "call_module" else place, _layer(model, node, place)))
            last = node
    return layers


def _layer(model: nn.Module, node: fx.Node, place: str) -> nn.Module:
    """The layer that a node of a graph stands for."""
    if node.op == "call_module":
        return model.get_submodule(str(node.target))
    maker = FUNCTIONS.get(node.target)
    named = getattr(node.target, "__name__", node.target)
    if maker is None:
        raise ValueError(f"layer {place} of the model is {named}(), which no network of this family has.")
    try:
        return maker(*node.args[1:], **node.kwargs)
    except TypeError as error:
        raise ValueError(f"layer {place} of the model is {named}() with {described(node.kwargs)}: {error}.") from None


def _asks_for_a_shape(node: fx.Node) -> bool:
    """Whether a node is x.size(0), x.shape or x.shape[0], which go into view()."""
    return (node.op == "call_method" and node.target in ("size", "dim")) or node.target in (getattr, operator.getitem)
