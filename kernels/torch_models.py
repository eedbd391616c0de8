"""One network as a torch.nn.Sequential, and back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from kernels.activations import TABLE
from kernels.checks import described, numbers
from kernels.model_layers import Place, Residual, placed_layers
from kernels.network import NORM_EPS, Architecture

N_CHECKED = 64  # random inputs on which a model is held against the parameters read from it
DISTINGUISHED = {  # what two layers of one kind may differ in, besides their weights
    nn.Linear: ("in_features", "out_features"),
    nn.LayerNorm: ("normalized_shape", "eps", "elementwise_affine"),
    nn.LeakyReLU: ("negative_slope",),
    nn.GELU: ("approximate",),
}


def to_torch(architecture: Architecture, params: Tensor) -> nn.Sequential:
    """The network with parameters `[n_parameters]`, as `Architecture.to_torch` says.

    >>> to_torch(Architecture((2, 3, 1)), torch.zeros(13))
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=1, bias=True)
    )
    """
    params = numbers("params", params)
    if params.shape != (architecture.n_parameters,):
        raise ValueError(
            f"params must have shape [{architecture.n_parameters}] (one network), not {list(params.shape)}."
        )
    modules: list[nn.Module] = []
    last = len(architecture.layout) - 1
    for index, (weight, bias) in enumerate(architecture.layers(params)):
        block: list[nn.Module] = [_linear(weight, bias)]
        if index < last and architecture.normalise:
            block.append(nn.LayerNorm(weight.shape[0], eps=NORM_EPS, elementwise_affine=False))
        if index < last:
            block.append(TABLE[architecture.activation].layer(nn, architecture.negative_slope))
        modules += [Residual(*block)] if architecture.skips[index] else block
    return nn.Sequential(*modules)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A layer with copies of a weight `[fan_out, fan_in]` and a bias `[fan_out]`."""
    fan_out, fan_in = weight.shape
    # on the device meta nothing is drawn from the user's random numbers; skip_init imports sympy, which takes a second
    linear = nn.Linear(fan_in, fan_out, bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone())
    return linear


def unwrapped(model: nn.Module) -> nn.Module:
    """The model itself, of what torch.compile, data parallelism or averaging of weights (AveragedModel) made of it.

    >>> unwrapped(nn.DataParallel(nn.Linear(2, 1)))
    Linear(in_features=2, out_features=1, bias=True)
    """
    from torch.optim.swa_utils import AveragedModel

    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, not {described(model)}.")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel | AveragedModel):
        return unwrapped(model.module)
    compiled = getattr(model, "_orig_mod", None)  # of torch.compile; it has no public name
    return model if compiled is None else unwrapped(compiled)


def architecture_of(model: nn.Module) -> Architecture:
    """The architecture of a model, read off its layers; ValueError if it is none of this family.

    >>> architecture_of(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))).widths
    (2, 3, 1)
    """
    model = unwrapped(model)
    layers = [place.layer for place in placed_layers(model)]
    linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if not linears:
        raise ValueError("the model has no Linear layer.")
    others = [layer for layer in layers if not isinstance(layer, nn.Linear | nn.LayerNorm | Residual)]
    activation, slope = _activation_of(others[0]) if others else ("identity", 0.01)
    found = Architecture(
        (linears[0].in_features, *(layer.out_features for layer in linears)),
        activation,
        biases=linears[0].bias is not None,
        negative_slope=slope,
        normalise=any(isinstance(layer, nn.LayerNorm) for layer in layers),
        residual=any(isinstance(layer, Residual) for layer in layers),
    )
    _compare(placed_layers(model), _layers_of(found))
    return found


def _activation_of(layer: nn.Module) -> tuple[str, float]:
    """The name of the activation that a layer computes, and its negative slope."""
    slope = float(layer.negative_slope) if isinstance(layer, nn.LeakyReLU) else 0.01
    for name, activation in TABLE.items():
        if _alike(Place("", layer, 0), Place("", activation.layer(nn, slope), 0)):
            return name, slope
    raise ValueError(f"the model has a layer {layer}, which is no activation of this family: {', '.join(TABLE)}.")


def from_torch(architecture: Architecture, model: nn.Module) -> Tensor:
    """The parameters `[n_parameters]` of a model with this architecture, as `Architecture.from_torch` says.

    >>> architecture = Architecture((1, 1))
    >>> from_torch(architecture, to_torch(architecture, torch.tensor([3.0, 4.0])))
    tensor([3., 4.])
    """
    model = unwrapped(model)
    placed = placed_layers(model)
    _compare(placed, _layers_of(architecture))
    linears = [place.layer for place in placed if isinstance(place.layer, nn.Linear)]
    dtype, device = _only_dtype_and_device(model)
    drawn = np.random.default_rng(0).standard_normal((N_CHECKED, architecture.n_inputs))
    x = torch.from_numpy(drawn * np.logspace(-1, 1, N_CHECKED)[:, None]).to(device, dtype)
    with _evaluating(model), torch.no_grad():
        # the pass comes first: it makes the effective weights of layers that are pruned or normalised
        outputs = _outputs(model, x)
        numbers = [part.flatten() for linear in linears for part in (linear.weight, linear.bias) if part is not None]
        params = torch.cat(numbers)
        own = to_torch(architecture, params)(x)
    if not _close(outputs, own):
        raise ValueError(
            "the model has the layers of this architecture, but its outputs are not those of its weights: "
            "a hook or a forward() of its own changes them."
        )
    return params if dtype in (torch.float32, torch.float64) else params.float()


def _layers_of(architecture: Architecture) -> list[Place]:
    """The layers that a model of this architecture has."""
    return placed_layers(to_torch(architecture, torch.zeros(architecture.n_parameters, device="cpu")))


def _compare(found: list[Place], wanted: list[Place]) -> None:
    """ValueError for the first layer of a model that is not the architecture's."""
    for place, own in itertools.zip_longest(found, wanted):
        if place is None:
            raise ValueError(f"the model ends where this architecture has {own.text}.")
        if own is None:
            raise ValueError(f"layer {place.name} of the model is {place.text}, where this architecture has ended.")
        if not _alike(place, own):
            raise ValueError(
                f"layer {place.name or 0} of the model is {place.text}, where this architecture has {own.text}."
            )


def _alike(place: Place, own: Place) -> bool:
    """Whether a layer computes what the architecture's own does, but for its weights."""
    layer, wanted = place.layer, own.layer
    if not isinstance(layer, type(wanted)) or place.depth != own.depth:
        return False
    if isinstance(layer, nn.Linear) and (layer.bias is None) != (wanted.bias is None):
        return False
    return all(
        getattr(layer, name) == getattr(wanted, name)
        for kind, names in DISTINGUISHED.items()
        if isinstance(layer, kind)
        for name in names
    )


def _only_dtype_and_device(model: nn.Module) -> tuple[torch.dtype, torch.device]:
    """Those that all numbers of a model have; ValueError where they differ, or there are no numbers."""
    places = {(parameter.dtype, parameter.device) for parameter in model.parameters()}
    if len(places) > 1:
        said = sorted(f"{dtype} on {device}" for dtype, device in places)
        raise ValueError(f"the model's parameters must have one dtype and lie on one device, not {', '.join(said)}.")
    dtype, device = places.pop()
    if not dtype.is_floating_point or device.type == "meta":
        raise ValueError(f"the model's parameters must be floating-point numbers, not {dtype} on {device}.")
    return dtype, device


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation (a spectral norm then stays as it is), and after that as it was."""
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, was in training:
            module.training = was


def _outputs(model: nn.Module, x: Tensor) -> Tensor:
    """The model's outputs on x; ValueError where it does not run."""
    try:
        return model(x)
    except (RuntimeError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"the model does not run on inputs of shape {list(x.shape)}: {error}") from error


def _close(outputs: Tensor, own: Tensor) -> bool:
    """Whether two arrays of outputs are equal to half of their digits."""
    if not isinstance(outputs, Tensor) or outputs.shape != own.shape:
        return False
    half = torch.finfo(own.dtype).eps ** 0.5
    size = own[own.isfinite()].abs().max().item() if bool(own.isfinite().any()) else 0.0
    return torch.allclose(outputs, own, rtol=half, atol=half * size, equal_nan=True)
