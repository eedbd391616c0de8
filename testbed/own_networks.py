"""Networks of one's own as rows of parameters: torch models, state dicts, flax's and other nested arrays, arrays.

All must be of one architecture. What a model computes is read off the model; a dict of weights does not say its
activation, and an array of parameters says nothing: there the architecture is asked for.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kernels import Architecture
from kernels.checks import described, instance, nearest, numbers
from kernels.network import ACTIVATIONS
from kernels.shown import Short

WEIGHTS = ("weight", "kernel", "w", "W")  # names of a layer's weight; a `kernel` is [fan_in, fan_out], as in flax
BIASES = ("bias", "b")
MOST_PERMUTED = 7  # layers whose orders are all tried


@dataclass(frozen=True, eq=False, repr=False)
class OwnNetworks(Short):
    """Networks of one architecture: params `[n_networks, n_parameters]`, float32 or float64, on the CPU."""

    architecture: Architecture
    params: Tensor


def read(field: str, given: Any, architecture: Architecture | None, activation: str | None) -> OwnNetworks:
    """One network or several, in any of these forms. ValueError names what cannot be read.

    architecture: of arrays of parameters, `[n_parameters]` or `[n_networks, n_parameters]`; checked where the networks
    say theirs. activation: of dicts of weights; checked as well where the networks say theirs.

    >>> networks = read("a", [nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))] * 2, None, None)
    >>> networks.architecture.widths, networks.params.shape
    ((2, 3, 1), torch.Size([2, 13]))
    """
    if architecture is not None:
        instance("architecture", architecture, Architecture, "Architecture((2, 16, 1))")
    if activation is not None:
        nearest("activation", activation, ACTIVATIONS)
    items = list(given) if isinstance(given, list | tuple) and not _is_array(given) else [given]
    if not items:
        raise ValueError(f"{field} must hold at least one network.")
    found = [_one(name, item, architecture, activation) for name, item in _named(field, items)]
    for (name, _), networks in zip(_named(field, items), found, strict=True):
        if networks.architecture != found[0].architecture:
            raise ValueError(
                f"{name} is of another architecture than {field}: {networks.architecture}, not {found[0].architecture}."
            )
    own = found[0].architecture
    if activation not in (None, own.activation) and len(own.widths) > 2:
        raise ValueError(f"activation={activation!r}, but {field} has {own.activation!r}: leave activation out.")
    dtype = torch.float64 if any(networks.params.dtype is torch.float64 for networks in found) else torch.float32
    return OwnNetworks(own, torch.cat([networks.params.cpu().to(dtype) for networks in found]))


class Sorted(dict[str, Any]):
    """Weights by their names as a file gives them that does not keep their order."""


def none_diverged(field: str, networks: OwnNetworks) -> None:
    """ValueError if a network holds a NaN or an infinity: it says which.

    >>> none_diverged("a", OwnNetworks(Architecture((1, 1), biases=False), torch.tensor([[1.0], [torch.nan]])))
    Traceback (most recent call last):
    ValueError: a must be finite to be aligned, and networks 1 are not: leave these out.
    """
    bad = (~networks.params.isfinite().all(1)).nonzero().flatten().tolist()
    if bad:
        which = ", ".join(map(str, bad))
        raise ValueError(f"{field} must be finite to be aligned, and networks {which} are not: leave these out.")


def _named(field: str, items: list[Any]) -> list[tuple[str, Any]]:
    return [(f"{field}[{index}]" if len(items) > 1 else field, item) for index, item in enumerate(items)]


def _is_array(given: Any) -> bool:
    """Whether a list is one of numbers: an array of parameters."""
    return bool(given) and all(isinstance(item, int | float) for item in given)


def _one(field: str, item: Any, architecture: Architecture | None, activation: str | None) -> OwnNetworks:
    """A model, a dict, or an array of one network or of several."""
    try:
        if isinstance(item, nn.Module):
            own = Architecture.of_torch(item) if architecture is None else architecture
            return OwnNetworks(own, own.from_torch(item)[None])
        if isinstance(item, Mapping):
            return _of_dict(item, architecture, activation)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None
    if architecture is None:
        raise ValueError(
            f"{field} is {described(item)}, which does not say its architecture: give "
            "architecture=kernels.Architecture((2, 16, 1)), a torch model or a dict of weights."
        )
    params = numbers(field, item)
    params = params[None] if params.ndim == 1 else params
    if params.ndim != 2 or params.shape[1] != architecture.n_parameters:
        raise ValueError(
            f"{field} must have shape [{architecture.n_parameters}] or [n_networks, {architecture.n_parameters}] for "
            f"{architecture}, not {list(params.shape)}."
        )
    return OwnNetworks(architecture, params if params.dtype is torch.float64 else params.float())


def _of_dict(item: Mapping[str, Any], architecture: Architecture | None, activation: str | None) -> OwnNetworks:
    """A state dict, or nested dicts whose layers hold a weight (or a kernel) and perhaps a bias."""
    layers = _in_order(_layers(item), kept=not isinstance(item, Sorted))
    if architecture is None:
        if activation is None:
            raise ValueError("a dict of weights does not say its activation: give activation='relu', or another.")
        biases = layers[0][1] is not None
        architecture = Architecture((layers[0][0].shape[1], *(len(w) for w, _ in layers)), activation, biases)
    shapes = [(layer.fan_out, layer.fan_in) for layer in architecture.layout]
    if [tuple(weight.shape) for weight, _ in layers] != shapes:
        raise ValueError(f"the weights have shapes {[list(w.shape) for w, _ in layers]}, not those of {architecture}.")
    if any((bias is not None) != architecture.biases for _, bias in layers):
        raise ValueError(f"some layers have a bias and some have none, or not as {architecture} has them.")
    parts = [part.flatten() for layer in layers for part in layer if part is not None]
    dtype = torch.float64 if all(part.dtype is torch.float64 for part in parts) else torch.float32
    return OwnNetworks(architecture, torch.cat([part.cpu().to(dtype) for part in parts])[None])


Weights = tuple[Tensor, Tensor | None]


def _layers(item: Mapping[str, Any]) -> dict[str, Weights]:
    """Weight `[fan_out, fan_in]` and bias of each layer, by its name; ValueError for numbers that are neither."""
    by_layer: dict[str, dict[str, Tensor]] = {}
    for name, value in _flat(item):
        layer, _, kind = name.rpartition(".")
        if kind not in (*WEIGHTS, *BIASES):
            raise ValueError(f"{name} is neither a weight ({', '.join(WEIGHTS)}) nor a bias ({', '.join(BIASES)}).")
        by_layer.setdefault(layer, {})["bias" if kind in BIASES else kind] = numbers(name, value)
    layers: dict[str, Weights] = {}
    for layer, parts in by_layer.items():
        bias = parts.pop("bias", None)
        if len(parts) != 1:
            raise ValueError(f"layer {layer} must have one weight, not {len(parts)}.")
        ((kind, weight),) = parts.items()
        if weight.ndim != 2 or (bias is not None and bias.ndim != 1):
            raise ValueError(
                f"layer {layer} must have a weight of two dimensions and a bias of one: it is no affine layer."
            )
        layers[layer] = (weight.T if kind == "kernel" else weight, bias)
    if not layers:
        raise ValueError("the dict holds no weights.")
    return layers


def _flat(item: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in item.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _in_order(layers: dict[str, Weights], kept: bool) -> list[Weights]:
    """The layers by their numbers if names differ in these alone (linear, linear_2, linear_10), else as they stand, if
    their order was kept.

    Where they do not fit each other so, the one order in which they do; ValueError if there is none, or more than one.
    """
    numbered = len({re.sub(r"_?\d+", "", name) for name in layers}) == 1
    order = sorted(layers, key=_numbers_of) if numbered else list(layers)
    if (numbered or kept) and _fits(layers, order):
        return [layers[name] for name in order]
    few = len(layers) <= MOST_PERMUTED
    fitting = [names for names in itertools.permutations(layers) if _fits(layers, names)] if few else []
    if len(fitting) == 1:
        return [layers[name] for name in fitting[0]]
    said = ", ".join(f"{name} {list(weight.shape)}" for name, (weight, _) in layers.items())
    stand = "do not follow each other as they stand, an output of one being an input of the next"
    raise ValueError(
        f"the layers {stand if kept else 'are sorted by their names, which are no numbers'}, and "
        f"{len(fitting) or 'no'} {'other ' if kept else ''}orders fit: {said}. Give names with numbers, a model, or a "
        "dict in the order of its layers."
    )


def _fits(layers: dict[str, Weights], names: Sequence[str]) -> bool:
    """Whether each layer in this order takes what the one before it gives."""
    weights = [layers[name][0] for name in names]
    return all(len(before) == after.shape[1] for before, after in itertools.pairwise(weights))


def _numbers_of(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]
