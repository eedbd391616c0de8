"""Two-layer networks as standard normal inputs see them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from theory.arguments import Array
from theory.layers import CheckedLayers

LARGEST = 2.0**128  # as of float32: products of eight numbers up to it are float64
SMALLEST = 1e-140  # numbers below it are zero: their squares underflow, and what is divided by them overflows


class Whitened(NamedTuple):
    """Networks f(z) = V σ(weight z + mean) + bias of inputs z ~ N(0, 1), for x = μ + Σ^½ z.

    Attributes:
        weight: W Σ^½ [n_networks, width, n_inputs].
        mean: W μ + b [n_networks, width], the means of the pre-activations.
        output: V [n_networks, n_outputs, width].
        bias: c [n_networks, n_outputs].

    Example:
        >>> network = Whitened(np.ones((2, 1, 3)), np.zeros((2, 1)), np.ones((2, 1, 1)), np.zeros((2, 1)))
        >>> network.take(np.array([0])).weight.shape, network.norms().tolist()
        ((1, 1, 3), [[3.0], [3.0]])
    """

    weight: Array
    mean: Array
    output: Array
    bias: Array

    def take(self, rows: NDArray[np.int64]) -> Whitened:
        """The networks `rows`."""
        return Whitened(*(part[rows] for part in self))

    def minus(self, other: Whitened) -> Whitened:
        """The differences of all parts."""
        return Whitened(*(own - its for own, its in zip(self, other, strict=True)))

    def norms(self) -> Array:
        """|w_i|² [n_networks, width], the variances of the pre-activations."""
        return np.vecdot(self.weight, self.weight)


def whitened(layers: CheckedLayers, factor: Array, centre: Array) -> Whitened:
    """Checked two-layer networks of inputs x ~ N(centre, factor factorᵀ); biases that are not there are zero.

    Raises:
        ValueError: a number is above LARGEST.

    Example:
        >>> layers = [(np.array([[[1.0, 2.0]]]), None), (np.array([[[3.0]]]), None)]
        >>> network = whitened(layers, 2 * np.eye(2), np.ones(2))
        >>> network.weight.tolist(), network.mean.tolist(), network.bias.tolist()
        ([[[2.0, 4.0]]], [[3.0]], [[0.0]])
    """
    (weight, bias), (output, output_bias) = layers
    with np.errstate(over="ignore", invalid="ignore"):
        mean = weight @ centre
        if bias is not None:
            mean = mean + bias
        parts = weight @ factor, mean, output, np.zeros(output.shape[:2]) if output_bias is None else output_bias
    if not all((np.abs(part) <= LARGEST).all() for part in parts):
        raise ValueError(
            f"weights, biases and pre-activations must be below {LARGEST:.2g}; drop diverged networks first"
        )
    return Whitened(*(np.where(np.abs(part) < SMALLEST, 0.0, part) for part in parts))
