"""Networks as lists of layers.

A batch of networks of one architecture is `Layers`: a sequence of pairs (W, b), first layer first, which stands for
f(x) = W_L σ(… σ(W_1 x + b_1) …) + b_L, with

    W  [n_networks, fan_out, fan_in]
    b  [n_networks, fan_out], or None for a layer without bias

A single network may leave out the leading axis. Beside a batch it is paired with every network of the batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.arguments import SYMMETRY_TOLERANCE, Array, check_symmetric, finite

Layers = Sequence[tuple[Any, Any]]
CheckedLayers = list[tuple[Array, "Array | None"]]  # as `check_layers` returns them: float64, with a network axis


def check_layers(layers: Layers, name: str, depth: int | None = None) -> CheckedLayers:
    """`layers` as float64 arrays with a leading network axis everywhere (of length 1 for a single network).

    Args:
        layers: one network or a batch, as the module describes.
        name: what the caller calls the networks, for error messages.
        depth: the number of layers that the result holds for; None for any number.

    Raises:
        ValueError: there are not `depth` layers, a shape does not fit, or a number is not finite.

    Example:
        >>> [(weight, bias)] = check_layers([([[1.0, 2.0]], [3.0])], "a")
        >>> weight.shape, bias.shape
        ((1, 1, 2), (1, 1))
    """
    if len(layers) == 0:
        raise ValueError(f"{name} has no layers; give a sequence of (W, b), first layer first")
    if depth is not None and len(layers) != depth:
        raise ValueError(f"{name} has {len(layers)} layers; this result holds for {depth}")
    checked: CheckedLayers = []
    for index, layer in enumerate(layers, start=1):
        if not isinstance(layer, (tuple, list)) or len(layer) != 2:
            raise ValueError(f"{name} layer {index} is not a pair (W, b); write (W, None) for a layer without bias")
        weight = _check_weight(f"{name} W_{index}", layer[0])
        bias = None if layer[1] is None else _check_bias(f"{name} b_{index}", layer[1], f"W_{index}", weight)
        if checked and checked[-1][0].shape[1] != weight.shape[2]:
            raise ValueError(
                f"{name} W_{index} takes {weight.shape[2]} inputs, but W_{index - 1} gives "
                f"{checked[-1][0].shape[1]} outputs; they must be equal"
            )
        checked.append((weight, bias))
    batch_sizes = {part.shape[0] for layer in checked for part in layer if part is not None} - {1}
    if len(batch_sizes) > 1:
        raise ValueError(f"{name} mixes batches of {sorted(batch_sizes)} networks; all layers need the same number")
    return checked


def _check_weight(name: str, weight: ArrayLike) -> Array:
    """The weight matrices of a layer as [n_networks, fan_out, fan_in]."""
    array = finite(name, weight)
    if array.ndim not in (2, 3) or 0 in array.shape[-2:]:
        raise ValueError(
            f"{name} has shape {array.shape}; give [n_networks, fan_out, fan_in] or [fan_out, fan_in], both at least 1"
        )
    return array[None] if array.ndim == 2 else array


def _check_bias(name: str, bias: ArrayLike, name_of_weight: str, weight: Array) -> Array:
    """The biases of a layer as [n_networks, fan_out]."""
    array = finite(name, bias)
    fan_out = weight.shape[1]
    if array.ndim not in (1, 2) or array.shape[-1] != fan_out:
        raise ValueError(
            f"{name} has shape {array.shape}; {name_of_weight} has shape {weight.shape} (networks first), "
            f"so give [n_networks, {fan_out}]"
        )
    return array[None] if array.ndim == 1 else array


def n_networks(layers: CheckedLayers) -> int:
    """How many networks a checked batch holds (1 for a single network, 0 for a batch of none).

    Example:
        >>> n_networks(check_layers([(np.ones((5, 2, 3)), np.zeros(2))], "a"))
        5
    """
    counts = {part.shape[0] for layer in layers for part in layer if part is not None}
    return max(counts - {1}, default=1)


def check_pairs(a: Layers, b: Layers, depth: int | None = None) -> tuple[CheckedLayers, CheckedLayers, int]:
    """Both endpoints of a batch of paths, checked and of equal batch size, and the number of pairs.

    A bias that only one endpoint has is zero at the other.

    Raises:
        ValueError: an endpoint does not pass `check_layers`, the architectures differ, or the batches do.

    Example:
        >>> one, batch = [(np.ones((1, 2)), None)], [(np.ones((3, 1, 2)), np.ones((3, 1)))]
        >>> first, second, n_pairs = check_pairs(one, batch)
        >>> n_pairs, first[0][0].shape, first[0][1].tolist()
        (3, (3, 1, 2), [[0.0], [0.0], [0.0]])
    """
    checked_a = check_layers(a, "a", depth)
    checked_b = check_layers(b, "b", depth)
    shapes_a, shapes_b = ([weight.shape[1:] for weight, _ in layers] for layers in (checked_a, checked_b))
    if shapes_a != shapes_b:
        raise ValueError(
            f"a and b have layers of shapes {shapes_a} and {shapes_b}; "
            "a straight path joins networks of one architecture"
        )
    n_a, n_b = n_networks(checked_a), n_networks(checked_b)
    if n_a != n_b and 1 not in (n_a, n_b):
        raise ValueError(f"a holds {n_a} networks and b {n_b}; give equally many, or one")
    n_pairs = n_b if n_a == 1 else n_a
    first = [_as_batch(own, other, n_pairs) for own, other in zip(checked_a, checked_b, strict=True)]
    second = [_as_batch(own, other, n_pairs) for own, other in zip(checked_b, checked_a, strict=True)]
    return first, second, n_pairs


def _as_batch(
    layer: tuple[Array, Array | None], other_end: tuple[Array, Array | None], n_pairs: int
) -> tuple[Array, Array | None]:
    """A layer for n_pairs networks, with a bias of zero if only the layer at the other end of the path has one."""
    weight, bias = layer
    fan_out = weight.shape[1]
    if bias is None and other_end[1] is not None:
        bias = np.zeros((1, fan_out))
    weights = np.broadcast_to(weight, (n_pairs, *weight.shape[1:]))
    return weights, None if bias is None else np.broadcast_to(bias, (n_pairs, fan_out))


def take_pairs(layers: CheckedLayers, rows: slice | NDArray[np.int64]) -> CheckedLayers:
    """The networks `rows` of a checked batch.

    Example:
        >>> take_pairs([(np.arange(3.0).reshape(3, 1, 1), None)], slice(1, 3))[0][0].ravel()
        array([1., 2.])
    """
    return [(weight[rows], None if bias is None else bias[rows]) for weight, bias in layers]


def covariance_factor(covariance: ArrayLike | None, n_inputs: int) -> Array:
    """F [n_inputs, n_inputs] with F Fᵀ = Σ: the symmetric root Σ^½, which also exists where Σ is singular.

    Args:
        covariance: Σ [n_inputs, n_inputs]; None is the identity.
        n_inputs: what the networks take.

    Raises:
        ValueError: Σ has another shape, or is not symmetric and positive semidefinite.

    Example:
        >>> covariance_factor([[4, 0], [0, 0]], 2)
        array([[2., 0.],
               [0., 0.]])
    """
    if covariance is None:
        return np.eye(n_inputs)
    sigma = finite("covariance", covariance)
    if sigma.shape != (n_inputs, n_inputs):
        raise ValueError(
            f"covariance has shape {sigma.shape}; the networks take {n_inputs} inputs, so give [{n_inputs}, {n_inputs}]"
        )
    check_symmetric("covariance", sigma)
    values, vectors = np.linalg.eigh((sigma + sigma.T) / 2)
    if values[0] < -SYMMETRY_TOLERANCE * np.abs(sigma).max():
        raise ValueError(f"covariance has the eigenvalue {values[0]:.3g}; a covariance has none below zero")
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def map_chunks(
    function: Callable[[slice], None], n_rows: int, rows_per_chunk: int, n_threads: int | None = None
) -> None:
    """Call `function(rows)` for consecutive slices of at most `rows_per_chunk` of `n_rows` rows.

    Chunks keep temporaries in cache. numpy lets threads run at once, and each call writes its own rows of an output,
    so that the result does not depend on the number of threads.

    Args:
        function: works on one slice of rows.
        n_rows: how many rows there are.
        rows_per_chunk: at least 1 is taken.
        n_threads: None is one per processor.

    Example:
        >>> out = np.zeros(5)
        >>> map_chunks(lambda rows: out[rows].fill(rows.start), 5, 2)
        >>> out
        array([0., 0., 2., 2., 4.])
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
