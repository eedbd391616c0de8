"""Networks as lists of layers, and the checks that every result of this room shares.

A batch of networks of one architecture is `Layers`: a sequence of (W, b), first layer first, meaning
f(x) = W_L σ(… σ(W_1 x + b_1) …) + b_L, with

    W  [n_networks, fan_out, fan_in]      b  [n_networks, fan_out] or None

A single network may leave out the leading axis; it then stands beside every network of the other batch.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Layers = Sequence[tuple[Any, Any]]
CheckedLayers = list[tuple[Array, "Array | None"]]


def finite(name: str, value: ArrayLike) -> Array:
    """`value` as a float64 array. ValueError if it holds a NaN or an infinity."""
    array = np.asarray(value, dtype=np.float64)
    if not np.isfinite(array).all():
        bad = int(np.size(array) - np.isfinite(array).sum())
        raise ValueError(f"{name} holds {bad} non-finite numbers of {array.size}; drop diverged networks first")
    return array


def known(kind: str, name: str, names: Iterable[str]) -> str:
    """`name` if it is one of `names`; else ValueError with the nearest known name."""
    names = list(names)
    if name in names:
        return name
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"{kind} {name!r} is not known; {hint}known are {', '.join(map(repr, names))}")


def check_layers(layers: Layers, name: str, depth: int | None = None) -> CheckedLayers:
    """`layers` with a leading network axis everywhere (of length 1 for a single network).

    ValueError if the number of layers is not `depth` (where given), if shapes do not fit each other,
    or if a number is not finite.
    """
    if len(layers) == 0:
        raise ValueError(f"{name} has no layers; give a sequence of (W, b), first layer first")
    if depth is not None and len(layers) != depth:
        raise ValueError(f"{name} has {len(layers)} layers; this result holds for {depth}")
    checked: CheckedLayers = []
    for index, layer in enumerate(layers, start=1):
        if not isinstance(layer, (tuple, list)) or len(layer) != 2:
            raise ValueError(f"{name} layer {index} is not a pair (W, b); write (W, None) for a layer without bias")
        weight = finite(f"{name} W_{index}", layer[0])
        if weight.ndim not in (2, 3):
            raise ValueError(
                f"{name} W_{index} has shape {weight.shape}; give [n_networks, fan_out, fan_in] or [fan_out, fan_in]"
            )
        weight = weight.reshape((-1, *weight.shape[-2:]))
        bias = None
        if layer[1] is not None:
            bias = finite(f"{name} b_{index}", layer[1])
            if bias.ndim not in (1, 2) or bias.shape[-1] != weight.shape[1]:
                raise ValueError(
                    f"{name} b_{index} has shape {bias.shape}; W_{index} has shape "
                    f"{weight.shape} (networks first), so give [n_networks, {weight.shape[1]}]"
                )
            bias = bias.reshape((-1, bias.shape[-1]))
        if checked and checked[-1][0].shape[1] != weight.shape[2]:
            raise ValueError(
                f"{name} W_{index} takes {weight.shape[2]} inputs, but W_{index - 1} gives {checked[-1][0].shape[1]} outputs; they must be equal"
            )
        checked.append((weight, bias))
    counts = {part.shape[0] for layer in checked for part in layer if part is not None} - {1}
    if len(counts) > 1:
        raise ValueError(f"{name} mixes batches of {sorted(counts)} networks; all layers need the same number")
    return checked


def n_networks(layers: CheckedLayers) -> int:
    """How many networks a checked batch holds (1 for a single network)."""
    return max(part.shape[0] for layer in layers for part in layer if part is not None)


def check_pairs(a: Layers, b: Layers, depth: int | None = None) -> tuple[CheckedLayers, CheckedLayers, int]:
    """Both endpoints of a batch of paths, checked, and n_pairs.

    A bias that only one endpoint has is a zero at the other. ValueError if the architectures differ.
    """
    first, second = check_layers(a, "a", depth), check_layers(b, "b", depth)
    shapes = [[weight.shape[1:] for weight, _ in layers] for layers in (first, second)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"a and b have layers of shapes {shapes[0]} and {shapes[1]}; a straight path joins networks of one architecture"
        )
    n_a, n_b = n_networks(first), n_networks(second)
    if n_a != n_b and 1 not in (n_a, n_b):
        raise ValueError(f"a holds {n_a} networks and b {n_b}; give equally many, or one")
    n_pairs = max(n_a, n_b)
    filled: tuple[CheckedLayers, CheckedLayers] = ([], [])
    for (weight_a, bias_a), (weight_b, bias_b) in zip(first, second, strict=True):
        if (bias_a is None) != (bias_b is None):
            zero = np.zeros((1, weight_a.shape[1]))
            bias_a, bias_b = (zero if bias_a is None else bias_a), (zero if bias_b is None else bias_b)
        for layers, weight, bias in ((filled[0], weight_a, bias_a), (filled[1], weight_b, bias_b)):
            layers.append(
                (
                    np.broadcast_to(weight, (n_pairs, *weight.shape[1:])),
                    None if bias is None else np.broadcast_to(bias, (n_pairs, bias.shape[1])),
                )
            )
    return (*filled, n_pairs)


def take_pairs(layers: CheckedLayers, rows: Any) -> CheckedLayers:
    """The networks `rows` of a checked batch."""
    return [(weight[rows], None if bias is None else bias[rows]) for weight, bias in layers]


def covariance_factor(covariance: ArrayLike | None, n_inputs: int) -> Array:
    """F [n_inputs, n_inputs] with F Fᵀ = Σ, for a symmetric positive semidefinite Σ (None: the identity).

    The symmetric root through the eigenvalues, so that singular Σ are allowed. ValueError otherwise.
    """
    if covariance is None:
        return np.eye(n_inputs)
    sigma = finite("covariance", covariance)
    if sigma.shape != (n_inputs, n_inputs):
        raise ValueError(
            f"covariance has shape {sigma.shape}; the networks take {n_inputs} inputs, so give [{n_inputs}, {n_inputs}]"
        )
    scale = np.abs(sigma).max()
    if np.abs(sigma - sigma.T).max() > 1e-12 * scale:
        raise ValueError(
            f"covariance is not symmetric: its largest |Σ - Σᵀ| is {np.abs(sigma - sigma.T).max():.3g}; give a symmetric positive semidefinite matrix"
        )
    values, vectors = np.linalg.eigh((sigma + sigma.T) / 2)
    if values[0] < -1e-12 * scale:
        raise ValueError(f"covariance has the eigenvalue {values[0]:.3g}; a covariance has none below zero")
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def map_chunks(
    function: Callable[[slice], None], n_rows: int, rows_per_chunk: int, n_threads: int | None = None
) -> None:
    """Call `function(rows)` for consecutive slices of at most `rows_per_chunk` of `n_rows` rows.

    Chunks keep temporaries in cache, and run on `n_threads` threads (default: one per processor; numpy lets
    them run at once). Each call writes its own rows of an output, so the result does not depend on threads.
    """
    step = max(1, int(rows_per_chunk))
    chunks = [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]
    n_threads = min(n_threads or os.cpu_count() or 1, len(chunks))
    if n_threads <= 1:
        for rows in chunks:
            function(rows)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in pool.map(function, chunks):
            pass
