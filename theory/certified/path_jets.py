"""Enclosures of the loss on pieces of a straight path: value, slope and curvature, by interval arithmetic.

On α ∈ [c − r, c + r] the loss of sample i is bounded from above by its Taylor form at c with the curvature enclosed
over the piece (Moore 1966; Neumaier 1990, ch. 2),

    ℓ_i(c + t) ≤ ℓ_i(c) + ℓ_i'(c) t + ½ t² max ℓ_i'',

and where an activation has a kink that a pre-activation crosses there, by its mean-value form ℓ_i(c) + [ℓ_i'] t
with the hull of all (generalised) slopes. Summed over samples: L(c + t) ≤ L(c) + G t + ½ M t² with G an interval, as
narrow as few samples cross. Values and derivatives by α are carried forward through the layers,

    z = W h + b,    z' = W h' + ΔW h + Δb,    z'' = W h'' + 2 ΔW h',    h' = σ' z',    h'' = σ'' z'² + σ' z'',

at c as points (balls of rounding) and over the piece as balls, where z ∈ z(c) ± r |z'| and, without kinks,
z' ∈ z'(c) ± r |z''|, so that widths shrink as r and do not grow with depth for small r.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.arguments import Array, classes, finite, known, number
from theory.certified.intervals import FUNCTION_ERROR, UNIT, Ball, activation_named
from theory.layers import Layers, check_pairs

LOSSES = ("mse", "cross_entropy")
CHUNK = 2**18  # elements of a hidden layer's balls at a time


class Bound(NamedTuple):
    """L(c + t) ≤ value.high + G t + ½ curvature t² on the piece |t| ≤ r, each [n_pieces].

    G is slope.high where t > 0 and slope.low where t < 0.

    Attributes:
        value: encloses L(c).
        slope: encloses dL/dα at c, widened by the slopes of samples that cross a kink.
        curvature: an upper bound of d²L/dα² of the other samples.

    Example:
        >>> bound = Bound(Ball.exact(np.array([1.0])), Ball.exact(np.array([2.0])), np.array([0.0]))
        >>> bound.value.mid.tolist(), bound.slope.mid.tolist()
        ([1.0], [2.0])
    """

    value: Ball
    slope: Ball
    curvature: Array


class _State(NamedTuple):
    """A layer's quantities for some pieces, [n_pieces, n_samples, width], and their derivatives by α.

    value and slope are at c, value_over, slope_over and curvature_over over the piece; None stands for zero. smooth
    [n_pieces, n_samples, 1] says where no kink was crossed so far; elsewhere curvatures mean nothing.
    """

    value: Ball
    slope: Ball | None
    value_over: Ball
    slope_over: Ball | None
    curvature_over: Ball | None
    smooth: NDArray[np.bool_]


class PathProblem:
    """Checked networks and data; `bounds` encloses their loss on any pieces of their paths.

    Args:
        a: any number of layers, W_l [n_pairs, fan_out, fan_in], b_l [n_pairs, fan_out] or None; or a single network.
        b: the same architecture.
        x: [n_samples, n_inputs].
        y: [n_samples, n_outputs] for mse, [n_samples] whole numbers, the classes, for cross_entropy.
        activation: one of `intervals.ENCLOSED_ACTIVATIONS`.
        loss: "mse", ½ mean_i ‖f(x_i) − y_i‖², or "cross_entropy", the mean softmax cross-entropy in nats.
        negative_slope: that of leaky relu.

    Raises:
        ValueError: shapes do not fit, a name is unknown, or a number is not finite.

    Example:
        >>> problem = PathProblem([([[0.0]], None)], [([[2.0]], None)], [[1.0]], [[0.0]], "identity", "mse")
        >>> bound = problem.bounds(np.array([0]), np.array([0.0]), np.array([1.0]))  # L = ½ (2α)² at c = ½
        >>> bound.value.mid.tolist(), bound.slope.mid.tolist(), bound.curvature.round(9).tolist()
        ([0.5], [2.0], [4.0])
    """

    def __init__(
        self, a: Layers, b: Layers, x: ArrayLike, y: ArrayLike, activation: str, loss: str, negative_slope: float = 0.01
    ) -> None:
        self.a, self.b, self.n_pairs = check_pairs(a, b)
        self.loss = known("loss", loss, LOSSES)
        self.activation = activation_named(activation, number("negative_slope", negative_slope))
        self.x, self.y = finite("x", x), finite("y", y)
        n_inputs, n_outputs = self.a[0][0].shape[2], self.a[-1][0].shape[1]
        if self.x.ndim != 2 or self.x.shape[1] != n_inputs or len(self.x) == 0:
            raise ValueError(
                f"x has shape {self.x.shape}; the networks take {n_inputs} inputs, "
                f"so give [n_samples, {n_inputs}], one sample at least"
            )
        if loss == "mse" and self.y.shape != (len(self.x), n_outputs):
            raise ValueError(
                f"y has shape {self.y.shape}; for {len(self.x)} samples and {n_outputs} outputs "
                f"give [{len(self.x)}, {n_outputs}]"
            )
        if loss == "cross_entropy":
            if self.y.shape != (len(self.x),):
                raise ValueError(f"y has shape {self.y.shape}; cross-entropy takes one class a sample, [{len(self.x)}]")
            classes("y", self.y, n_outputs)
        widest = max(weight.shape[1] for weight, _ in self.a) * (n_outputs if loss == "cross_entropy" else 1)
        self.pieces_per_chunk = max(1, CHUNK // (len(self.x) * widest))

    def bounds(self, pair: NDArray[np.int64], left: Array, right: Array) -> Bound:
        """Bounds on the pieces [left, right] [n] of the paths `pair` [n]; each field [n]."""
        starts = range(0, max(1, len(pair)), self.pieces_per_chunk)
        chunks = [slice(start, start + self.pieces_per_chunk) for start in starts]
        parts = [self._bound(pair[rows], left[rows], right[rows]) for rows in chunks]
        value = _joined([part.value for part in parts])
        slope = _joined([part.slope for part in parts])
        return Bound(value, slope, np.concatenate([part.curvature for part in parts]))

    def _bound(self, pair: NDArray[np.int64], left: Array, right: Array) -> Bound:
        centre = (left + right) / 2
        radius = half_width(left, right)[:, None, None]
        shape = (len(pair), len(self.x), 1)
        inputs = Ball.exact(np.broadcast_to(self.x, (len(pair), *self.x.shape)))
        state = _State(inputs, None, inputs, None, None, np.ones(shape, dtype=bool))
        for index, (layer_a, layer_b) in enumerate(zip(self.a, self.b, strict=True)):
            if index > 0:
                state = self._activate(state)
            state = _affine(state, layer_a, layer_b, pair, centre, radius)
        of_samples = {"mse": _mse, "cross_entropy": _cross_entropy}[self.loss]
        value, slope, slope_over, curvature = of_samples(state, self.y)
        smooth = state.smooth[:, :, 0]
        n = Ball.exact(np.array(float(len(self.x))))
        inverse = Ball(1 / n.mid, UNIT / n.mid)
        gradient = slope.where(smooth, slope_over)
        bent = Ball.exact(np.where(smooth, curvature, 0.0)).sum(1)
        return Bound(value.sum(1) * inverse, gradient.sum(1) * inverse, (bent * inverse).high)

    def _activate(self, z: _State) -> _State:
        """The activations of a layer, from its pre-activations."""
        sigma = self.activation
        assert z.slope is not None and z.slope_over is not None
        smooth = z.smooth
        if sigma.kink is not None:
            crosses = (z.value_over.low <= sigma.kink) & (z.value_over.high >= sigma.kink)
            smooth = smooth & ~crosses.any(axis=2, keepdims=True)
        first = sigma.range(1, z.value_over)
        second = sigma.range(2, z.value_over) * (z.slope_over * z.slope_over)
        if z.curvature_over is not None:
            second = second + first * z.curvature_over
        slope = sigma.range(1, z.value) * z.slope
        return _State(
            sigma.range(0, z.value), slope, sigma.range(0, z.value_over), first * z.slope_over, second, smooth
        )


def _joined(balls: list[Ball]) -> Ball:
    return Ball(np.concatenate([ball.mid for ball in balls]), np.concatenate([ball.rad for ball in balls]))


def half_width(left: Array, right: Array) -> Array:
    """r with [left, right] ⊂ [c − r, c + r], c the rounded middle.

    Example:
        >>> bool(half_width(np.array(0.25), np.array(0.75)) > 0.25)  # a quarter, rounded up
        True
    """
    centre = (left + right) / 2
    return np.asarray(np.nextafter(np.maximum(right - centre, centre - left), np.inf))


def _affine(
    h: _State,
    layer_a: tuple[Array, Array | None],
    layer_b: tuple[Array, Array | None],
    pair: NDArray[np.int64],
    centre: Array,
    radius: Array,
) -> _State:
    """The pre-activations of a layer, from the activations before it."""
    start, end = Ball.exact(layer_a[0][pair].swapaxes(1, 2)), Ball.exact(layer_b[0][pair].swapaxes(1, 2))
    change = end - start
    weight = start + Ball.exact(centre[:, None, None]) * change
    value = h.value @ weight
    slope = h.value @ change
    slope_over = h.value_over @ change
    if layer_a[1] is not None and layer_b[1] is not None:
        bias, bias_end = Ball.exact(layer_a[1][pair][:, None]), Ball.exact(layer_b[1][pair][:, None])
        value = value + bias + Ball.exact(centre[:, None, None]) * (bias_end - bias)
        slope, slope_over = slope + (bias_end - bias), slope_over + (bias_end - bias)
    curvature = None
    if h.slope is not None and h.slope_over is not None and h.curvature_over is not None:
        weight_over = weight.widened(radius * change.magnitude)
        slope = slope + h.slope @ weight
        curvature = (h.slope_over + h.slope_over) @ change + h.curvature_over @ weight_over
        near = slope.widened(radius * curvature.magnitude)  # z' ∈ z'(c) ± r |z''|
        slope_over = near if h.smooth.all() else near.where(h.smooth, slope_over + h.slope_over @ weight_over)
    return _State(value, slope, value.widened(radius * slope_over.magnitude), slope_over, curvature, h.smooth)


def _mse(f: _State, y: Array) -> tuple[Ball, Ball, Ball, Array]:
    """Of each sample ℓ(c), ℓ'(c), ℓ' over the piece, and the largest ℓ'' there, each [n_pieces, n_samples].

    With e = f − y: ℓ = ½‖e‖², ℓ' = e·f', ℓ'' = ‖f'‖² + e·f''.
    """
    assert f.slope is not None and f.slope_over is not None
    half = Ball.exact(np.array(0.5))
    target = Ball.exact(y)
    residual, residual_over = f.value - target, f.value_over - target
    curvature = f.slope_over * f.slope_over
    if f.curvature_over is not None:
        curvature = curvature + residual_over * f.curvature_over
    return (
        (residual * residual).sum(2) * half,
        (residual * f.slope).sum(2),
        (residual_over * f.slope_over).sum(2),
        curvature.sum(2).high,
    )


def _cross_entropy(f: _State, y: Array) -> tuple[Ball, Ball, Ball, Array]:
    """As `_mse`, for ℓ = LSE(f) − f_y with softmax probabilities p.

    ℓ' = Σ p (f' − f'_y) and ℓ'' = Σ p (f'' − f''_y) + Var_p f', where Var_p f' ≤ Σ p (f' − a)² for any a.
    """
    assert f.slope is not None and f.slope_over is not None
    label = np.broadcast_to(y.astype(np.int64)[:, None], (*f.value.mid.shape[:2], 1))

    def against_label(ball: Ball) -> Ball:
        return ball - Ball(np.take_along_axis(ball.mid, label, 2), np.take_along_axis(ball.rad, label, 2))

    gap = against_label(f.value)
    shift = gap.mid.max(axis=2, keepdims=True)
    above = gap - Ball.exact(shift)
    terms = Ball.between(np.exp(above.low), np.exp(above.high)).widened(np.array(FUNCTION_ERROR)).sum(2)
    log = Ball.between(np.log(terms.low), np.log(terms.high)).widened(np.array(64 * FUNCTION_ERROR))
    value = Ball.exact(shift[:, :, 0]) + log
    p, p_over = _softmax(f.value), _softmax(f.value_over)
    mean = (p.mid * f.slope.mid).sum(axis=2, keepdims=True)
    away = f.slope_over - Ball.exact(mean)
    curvature = p_over * (away * away)
    if f.curvature_over is not None:
        curvature = curvature + p_over * against_label(f.curvature_over)
    return (
        value,
        (p * against_label(f.slope)).sum(2),
        (p_over * against_label(f.slope_over)).sum(2),
        curvature.sum(2).high,
    )


def _softmax(f: Ball) -> Ball:
    """p_k = 1/(1 + Σ_{j≠k} exp(f_j − f_k)), least where f_k is low and the others high."""
    low, high = f.low, f.high
    others = ~np.eye(low.shape[2], dtype=bool)
    with np.errstate(over="ignore"):
        most = np.where(others, np.exp(high[:, :, None, :] - low[:, :, :, None]), 0.0).sum(axis=3)
        least = np.where(others, np.exp(low[:, :, None, :] - high[:, :, :, None]), 0.0).sum(axis=3)
    return Ball.between(1 / (1 + most), 1 / (1 + least)).widened(np.array(FUNCTION_ERROR))
