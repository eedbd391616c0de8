"""Paths to a network whose hidden units stand in a random order: what to expect of two independent networks.

Between networks of one hidden layer, outputs f = Σ_k v_k σ(z_k) + c, with B's units in the order π, the path has at α

    f_π = c(α) + Σ_k a_{k π(k)},        a_kl = ((1−α) v_k + α v′_l) σ((1−α) z_k + α z′_l).

Over all K! orders such a sum has exactly the mean and, for every sample, the covariance (Hoeffding 1951, "A
combinatorial central limit theorem", Ann. Math. Statist. 22)

    E f_π = c(α) + (1/K) Σ_kl a_kl,        Cov f_π = 1/(K−1) Σ_kl d_kl d_klᵀ,

where d are a less the means of its rows and columns, and it is nearly normal if no few of the terms carry it. So the
mean squared loss over all orders is exact, that of E f_π and half the trace of the covariance; cross-entropy and the
share misclassified are averages over normal outputs.

Networks that start independently, from units drawn alike, end with units in no order: every order of B's units is as
likely as any other beside A. Hence the expected loss half-way between independent networks is that of a random order.
It parts into what a mean network of K² units does, and what is left to chance: which units meet. If a unit's part of
the outputs is of the order 1/K (mean field) the covariance falls as 1/K; if it is of the order K^(−1/2), with parts
that cancel (the lazy limit), it does not fall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from scipy.stats import norm, qmc

from theory.arguments import Array, classes, finite, known, number
from theory.curves.curve import check_range
from theory.layers import Layers, check_pairs
from theory.shown import Short
from theory.structure.feature_connectivity import FUNCTIONS

AT_A_TIME = 2**19  # hidden units of all pairs held at a time
POINTS = 2**8  # normal outputs of each sample, for cross-entropy and the share misclassified


@dataclass(frozen=True, repr=False)
class RandomOrder(Short):
    """Outputs half-way (or elsewhere) on a path, over all orders of B's units.

    Attributes:
        mean: [n_pairs, n_samples, n_outputs].
        covariance: [n_pairs, n_samples, n_outputs, n_outputs].

    Example:
        >>> a, b = ([([[1.0], [-1.0]], None), ([sign * np.ones(2)], None)] for sign in (1, -1))  # |x| and −|x|
        >>> found = random_order(a, b, [[1.0]], "relu")
        >>> found.mean.item(), found.squared_loss([[1.0]]).item()  # in either order B's weights cancel A's
        (0.0, 0.5)
    """

    mean: Array
    covariance: Array

    def squared_loss(self, y: ArrayLike) -> Array:
        """½ mean ‖f − y‖², its mean over all orders, exactly, [n_pairs]; y [n_samples, n_outputs]."""
        targets = finite("y", y)
        if targets.shape != self.mean.shape[1:]:
            raise ValueError(f"y has shape {targets.shape}; give [n_samples, n_outputs], {self.mean.shape[1:]}")
        squares = np.square(self.mean - targets).sum(2) + np.trace(self.covariance, axis1=2, axis2=3)
        return np.asarray(0.5 * squares.mean(1))

    def cross_entropy(self, labels: ArrayLike) -> Array:
        """The mean over normal outputs of the cross-entropy, in nats, [n_pairs]; labels [n_samples]."""
        label = self._checked(labels)

        def loss(outputs: Array) -> Array:
            return logsumexp(outputs, axis=2) - outputs[:, np.arange(len(label)), label]

        return np.array([loss(self._normal_outputs(pair)).mean() for pair in range(len(self.mean))])

    def misclassified(self, labels: ArrayLike) -> Array:
        """The mean over normal outputs of the share of samples whose largest output is not the label's, [n_pairs]."""
        label = self._checked(labels)
        return np.array([(self._normal_outputs(pair).argmax(2) != label).mean() for pair in range(len(self.mean))])

    def noise(self) -> Array:
        """The share of the outputs' variance that is the order's, [n_pairs]: tr Cov over that and the mean's variance.

        The mean's variance is over the samples. Where there are several outputs they are less their mean, which no
        class and no cross-entropy depends on. 0 where outputs do not vary at all.
        """
        n_outputs = self.mean.shape[2]
        centre = np.eye(n_outputs) - 1 / n_outputs if n_outputs > 1 else np.eye(1)
        by_order = np.einsum("pnij,ij->p", self.covariance, centre) / self.mean.shape[1]
        by_sample = np.square((self.mean - self.mean.mean(1, keepdims=True)) @ centre).sum(2).mean(1)
        whole = by_order + by_sample
        return np.divide(by_order, whole, out=np.zeros_like(whole), where=whole > 0)

    def of_the_mean(self) -> RandomOrder:
        """The same mean without any spread: what a network of all K² pairs of units does."""
        return RandomOrder(self.mean, np.zeros_like(self.covariance))

    def _normal_outputs(self, pair: int) -> Array:
        """[POINTS, n_samples, n_outputs] of a pair, normal with its mean and covariance; the same points for all.

        Where nothing varies it is the mean alone, [1, n_samples, n_outputs].
        """
        if not self.covariance[pair].any():
            return self.mean[None, pair]
        values, vectors = np.linalg.eigh(self.covariance[pair])
        root = vectors * np.sqrt(values.clip(min=0))[:, None]
        sequence = qmc.Sobol(self.mean.shape[2], seed=0).random(POINTS)
        return self.mean[pair] + np.einsum("nij,qj->qni", root, norm.ppf(sequence.clip(1e-12, 1 - 1e-12)))

    def _checked(self, labels: ArrayLike) -> NDArray[np.int64]:
        """Labels as whole numbers, [n_samples]."""
        label = finite("labels", labels)
        n_samples, n_classes = self.mean.shape[1:]
        if label.shape != (n_samples,):
            raise ValueError(f"labels has shape {label.shape}; give [n_samples], ({n_samples},)")
        return classes("labels", label, n_classes)


def random_order(
    a: Layers, b: Layers, x: ArrayLike, activation: str, alpha: float = 0.5, *, negative_slope: float = 0.01
) -> RandomOrder:
    """Mean and covariance of a path's outputs over all orders of B's hidden units, exactly.

    Takes some 4 n_samples · K² · (n_outputs + 2) multiply-adds a pair.

    Args:
        a: two layers, W_1 [n_pairs, K, n_inputs], W_2 [n_pairs, n_outputs, K], biases or None; or a single network.
        b: the same architecture; K at least 2.
        x: [n_samples, n_inputs].
        activation: identity, square, relu, leaky_relu, erf (erf(u/√2)), tanh, gelu or silu.
        alpha: where on the path, 0 at A and 1 at B.
        negative_slope: leaky_relu's.

    Raises:
        ValueError: shapes do not fit, the activation is unknown, there is one hidden unit, or a number is not finite.

    Example:
        >>> a, b = ([([[u], [v]], None), ([[u, v]], None)] for u, v in ((1, 0), (0, 1)))  # one unit, and one of nothing
        >>> found = random_order(a, b, [[1.0]], "relu")  # ½ · ½ + ½ · ½ in the one order, 1 in the other
        >>> found.mean.item(), found.covariance.item()
        (0.75, 0.0625)
    """
    first, second, n_pairs = check_pairs(a, b, depth=2)
    inputs, alpha = finite("x", x), number("alpha", alpha)
    check_range(np.array([alpha]))
    slope = number("negative_slope", negative_slope)
    n_outputs, n_units = first[1][0].shape[1:]
    functions = FUNCTIONS | {"leaky_relu": lambda u: np.where(u > 0, u, slope * u)}
    function = functions[known("activation", activation, tuple(functions))]
    if inputs.ndim != 2 or inputs.shape[1] != first[0][0].shape[2] or not len(inputs):
        raise ValueError(f"x has shape {inputs.shape}; give [n_samples, {first[0][0].shape[2]}], one sample at least")
    if n_units < 2:
        raise ValueError("there is one hidden unit, and one order; give networks of at least 2")
    mean = np.empty((n_pairs, len(inputs), n_outputs))
    covariance = np.empty((n_pairs, len(inputs), n_outputs, n_outputs))
    size = max(1, AT_A_TIME // (n_units * n_units))
    for pair in range(n_pairs):
        z_a, z_b = (inputs @ layers[0][0][pair].T + _bias(layers[0], pair) for layers in (first, second))
        v_a, v_b = (1 - alpha) * first[1][0][pair].T, alpha * second[1][0][pair].T  # [K, n_outputs]
        bias = (1 - alpha) * _bias(first[1], pair) + alpha * _bias(second[1], pair)
        for start in range(0, len(inputs), size):
            rows = slice(start, start + size)
            hidden = function((1 - alpha) * z_a[rows, :, None] + alpha * z_b[rows, None])  # [sample, k, l]
            mean[pair, rows], covariance[pair, rows] = _moments(hidden, v_a, v_b)
            mean[pair, rows] += bias
    return RandomOrder(mean, covariance)


def _moments(hidden: Array, v_a: Array, v_b: Array) -> tuple[Array, Array]:
    """Mean and covariance of Σ_k a_{k π(k)} with a_kl = (v_k + v′_l) h_kl, without the array of all a.

    Σ d dᵀ is Σ a aᵀ less K times that of the means of rows and of columns, plus K² times that of the mean of all.
    hidden: h [n_samples, K, K]; v_a, v_b: v and v′ [K, n_outputs].
    """
    n_units = len(v_a)
    squares = hidden * hidden
    of_rows = (v_a * hidden.sum(2)[..., None] + hidden @ v_b) / n_units
    of_columns = (v_b * hidden.sum(1)[..., None] + np.swapaxes(hidden, 1, 2) @ v_a) / n_units
    of_all = of_rows.mean(1)
    crossed = v_a.T @ (squares @ v_b)
    products = (
        (v_a.T * squares.sum(2)[:, None]) @ v_a
        + (v_b.T * squares.sum(1)[:, None]) @ v_b
        + crossed
        + np.swapaxes(crossed, 1, 2)
    )
    for means in (of_rows, of_columns):
        products -= n_units * np.swapaxes(means, 1, 2) @ means
    products += n_units**2 * of_all[:, :, None] * of_all[:, None]
    return n_units * of_all, products / (n_units - 1)


def _bias(layer: tuple[Array, Array | None], pair: int) -> Array | float:
    """A layer's bias in a pair, 0 where there is none."""
    return 0.0 if layer[1] is None else layer[1][pair]
