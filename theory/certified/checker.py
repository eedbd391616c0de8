"""A short checker of `enclosure.Proof`, by other arithmetic than that which found it.

It shares no code with the search: intervals are pairs (low, high) stepped outward by np.nextafter after every single
operation, dot products are taken a term at a time, and a piece is bounded by the mean-value form of first order,

    L(α) − s α ∈ L(c) − s c + ([L′] − s) (α − c),

halving it until that suffices. What follows from the enclosed numbers is redone in exact rationals. It is slower than
the search, and simple enough to be read in one go. exp, erf, tanh, Φ and log-sum-exp are trusted to 1e-13 of
max(1, |value|).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, logsumexp, ndtr

from theory.arguments import Array
from theory.certified.enclosure import Proof
from theory.layers import Layers, check_layers

MOST_PARTS = 20_000  # of pieces that are halved before a proof counts as not confirmed
NARROWEST_PART = 1e-14
CHUNK = 2**20  # elements of a temporary
GELU_LEAST = -0.16997120748  # below the minimum of gelu, −0.169971207479990…, which lies in (−0.76, −0.75)


@dataclass(frozen=True)
class _Interval:
    """Arrays of intervals [low, high], one step wider after every operation."""

    low: Array
    high: Array

    @classmethod
    def point(cls, value: ArrayLike) -> _Interval:
        """Numbers that are exact."""
        array = np.asarray(value, dtype=np.float64)
        return cls(array, array)

    def outward(self) -> _Interval:
        return _Interval(np.nextafter(self.low, -np.inf), np.nextafter(self.high, np.inf))

    def __getitem__(self, index: Any) -> _Interval:
        return _Interval(self.low[index], self.high[index])

    def __neg__(self) -> _Interval:
        return _Interval(-self.high, -self.low)

    def __add__(self, other: _Interval) -> _Interval:
        return _Interval(self.low + other.low, self.high + other.high).outward()

    def __sub__(self, other: _Interval) -> _Interval:
        return _Interval(self.low - other.high, self.high - other.low).outward()

    def __mul__(self, other: _Interval) -> _Interval:
        corners = (self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high)
        low = np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3]))
        high = np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3]))
        return _Interval(low, high).outward()

    def square(self) -> _Interval:
        holds_zero = (self.low <= 0) & (self.high >= 0)
        least = np.where(holds_zero, 0.0, np.minimum(self.low**2, self.high**2))
        squares = _Interval(least, np.maximum(self.low**2, self.high**2)).outward()
        return _Interval(np.maximum(squares.low, 0.0), squares.high)

    def __matmul__(self, other: _Interval) -> _Interval:
        """The matrix product, a term at a time."""
        total = self[..., :, 0, None] * other[..., None, 0, :]
        for k in range(1, self.low.shape[-1]):
            total = total + self[..., :, k, None] * other[..., None, k, :]
        return total

    def sum(self) -> _Interval:
        """The sum over the last axis, a term at a time."""
        total = self[..., 0]
        for k in range(1, self.low.shape[-1]):
            total = total + self[..., k]
        return total

    def divided_by(self, n: int) -> _Interval:
        """Over a whole number above 0."""
        return _Interval(self.low / n, self.high / n).outward()

    def mapped(self, ascending: Callable[[Array], Array]) -> _Interval:
        """The values of a function that ascends in each coordinate."""
        low, high = ascending(self.low), ascending(self.high)
        return _Interval(low - 1e-13 * np.maximum(1.0, np.abs(low)), high + 1e-13 * np.maximum(1.0, np.abs(high)))


def objections(
    proof: Proof,
    a: Layers,
    b: Layers,
    x: ArrayLike,
    y: ArrayLike,
    activation: str,
    *,
    loss: str = "mse",
    negative_slope: float = 0.01,
) -> list[str]:
    """Why `proof` does not show its barrier; empty where it does.

    Args:
        proof: of the path from a to b.
        a: a single network.
        b: a single network.
        x: as the search's.
        y: as the search's.
        activation: as the search's.
        loss: as the search's.
        negative_slope: as the search's.

    Raises:
        ValueError: the activation or the loss is not known to the checker.

    Example:
        >>> from dataclasses import replace
        >>> from theory import certified_path
        >>> a, b = ([([[w]], None), ([[1.0]], None)] for w in (1.0, -1.0))
        >>> proof = certified_path(a, b, [[1.0]], [[1.0]], "tanh").proof(0)
        >>> objections(proof, a, b, [[1.0]], [[1.0]], "tanh")
        []
        >>> objections(replace(proof, barrier=proof.barrier / 2), a, b, [[1.0]], [[1.0]], "tanh")
        ['the barrier does not follow from the enclosed numbers']
    """
    edges, bounds, ends = proof.edges, proof.bounds, proof.endpoints
    numbers = (edges, bounds, ends, proof.barrier, [proof.tilt, proof.witness, proof.low, proof.high])
    if not all(np.isfinite(part).all() for part in numbers) or ends.shape != (3, 2):
        return ["the proof holds numbers that are not finite, or not three endpoint enclosures"]
    found = []
    if len(edges) != len(bounds) + 1 or edges[0] != 0 or edges[-1] != 1 or (np.diff(edges) <= 0).any():
        return ["the pieces do not cover [0, 1] without a gap"]
    if (bounds > proof.high).any():
        found.append("a piece's bound is above the stated maximum")
    if not 0 <= proof.witness <= 1:
        return [*found, "the witness is not on the path"]
    if not _follows(proof):
        found.append("the barrier does not follow from the enclosed numbers")
    network = _Network(a, b, x, y, activation, loss, negative_slope)
    points = np.array([0.0, 0.5, 1.0, proof.witness])
    value = network.loss(points, points)[0]
    if (value.low[:3] < ends[:, 0]).any() or (value.high[:3] > ends[:, 1]).any():
        found.append("an endpoint enclosure is not confirmed")
    at_witness = value[3] - _Interval.point(proof.witness) * _Interval.point(proof.tilt)
    if at_witness.low < proof.low:
        found.append("the witness does not reach the stated minimum of the maximum")
    unconfirmed = _unconfirmed(network, proof)
    if unconfirmed:
        found.append(f"the bounds of {unconfirmed} parts of pieces are not confirmed")
    return found


def _follows(proof: Proof) -> bool:
    """Does the barrier follow from max in [low, high] and the three losses? In exact arithmetic."""
    (start, start_top), _, (end, end_top) = ([Fraction(float(v)) for v in row] for row in proof.endpoints)
    low, high, tilt = (Fraction(v) for v in (proof.low, proof.high, proof.tilt))
    stated = [Fraction(float(v)) for v in proof.barrier]
    if proof.definition == "linear":
        off = max(abs(end - start_top - tilt), abs(end_top - start - tilt))
        least, most = low - start_top - off, high - start + off
    elif proof.tilt != 0:
        return False
    elif proof.definition == "mean_endpoints":
        least, most = low - (start_top + end_top) / 2, high - (start + end) / 2
    elif proof.definition == "max_endpoint":
        least, most = low - max(start_top, end_top), high - max(start, end)
    else:
        return False
    return stated[0] <= max(least, Fraction(0)) and stated[1] >= most


def _unconfirmed(network: _Network, proof: Proof) -> int:
    """How many parts of pieces stay above their piece's bound, or are found to be.

    Pieces are halved until each part's own bound is at most its piece's.
    """
    left, right, bound = proof.edges[:-1], proof.edges[1:], proof.bounds
    tilt = _Interval.point(proof.tilt)
    n_parts = 0
    while left.size:
        n_parts += left.size
        if n_parts > MOST_PARTS or (right - left < NARROWEST_PART).any():
            return int(left.size)
        failed = []
        for first in range(0, left.size, network.parts_per_chunk):
            rows = slice(first, first + network.parts_per_chunk)
            middle = (left[rows] + right[rows]) / 2
            value, _ = network.loss(middle, middle)
            _, slope = network.loss(left[rows], right[rows])
            away = _Interval(left[rows], right[rows]) - _Interval.point(middle)
            at_middle = value - tilt * _Interval.point(middle)
            top = (at_middle + (slope - tilt) * away).high
            failed.append(~(top <= bound[rows]))
            n_refuted = int((at_middle.low > bound[rows]).sum())
            if n_refuted:
                return n_refuted
        again = np.concatenate(failed)
        left, right, bound = left[again], right[again], np.repeat(bound[again], 2)
        middle = (left + right) / 2
        left, right = np.stack([left, middle], 1).ravel(), np.stack([middle, right], 1).ravel()
    return 0


class _Network:
    """The loss along one path, and its slope, on intervals of α."""

    def __init__(
        self, a: Layers, b: Layers, x: ArrayLike, y: ArrayLike, activation: str, loss: str, negative_slope: float
    ) -> None:
        self.layers = [
            tuple(_first_network(*layer) for layer in layers)
            for layers in zip(check_layers(a, "a"), check_layers(b, "b"), strict=True)
        ]
        self.x, self.y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        self.activation = activation
        self.negative_slope = negative_slope
        self.kind = loss
        widest = max(max(weight.shape) for (weight, _), _ in self.layers)
        self.parts_per_chunk = max(1, CHUNK // (len(self.x) * widest))

    def loss(self, left: Array, right: Array) -> tuple[_Interval, _Interval]:
        """L and dL/dα over [left, right], [n] each."""
        alpha = _Interval(left[:, None, None], right[:, None, None])
        h = _Interval.point(self.x[None])
        rate: _Interval | None = None
        for index, ((weight, bias), (weight_end, bias_end)) in enumerate(self.layers):
            if index > 0:
                assert rate is not None
                h, slope = _activation(self.activation, h, self.negative_slope)
                rate = slope * rate
            start, end = _Interval.point(weight.T[None]), _Interval.point(weight_end.T[None])
            change = end - start
            between = start + alpha * change
            rate_of_z = h @ change if rate is None else h @ change + rate @ between
            h = h @ between
            start, end = _Interval.point(bias[None, None]), _Interval.point(bias_end[None, None])
            change = end - start
            h = h + (start + alpha * change)
            rate = rate_of_z + change
        assert rate is not None
        value, slope = self._of_samples(h, rate)
        return value.sum().divided_by(len(self.x)), slope.sum().divided_by(len(self.x))

    def _of_samples(self, f: _Interval, rate: _Interval) -> tuple[_Interval, _Interval]:
        """Losses and their slopes, [n, n_samples], from outputs and their slopes [n, n_samples, n_outputs]."""
        if self.kind == "mse":
            error = f - _Interval.point(self.y[None])
            return (_Interval.point(0.5) * error.square()).sum(), (error * rate).sum()
        if self.kind == "cross_entropy":
            label = self.y.astype(np.int64)[None, :, None]
            shares = [_softmax_share(f, k) for k in range(f.low.shape[2])]
            p = _Interval(np.stack([share.low for share in shares], 2), np.stack([share.high for share in shares], 2))
            value = (f - _picked(f, label)).mapped(_log_sum_exp)
            return value, (p * (rate - _picked(rate, label))).sum()
        raise ValueError(f"loss {self.kind!r} is not known to the checker")


def _first_network(weight: Array, bias: Array | None) -> tuple[Array, Array]:
    """W [fan_out, fan_in] and b [fan_out] of the first network of a batch; no bias is zero."""
    return weight[0], np.zeros(weight.shape[1]) if bias is None else bias[0]


def _picked(v: _Interval, label: NDArray[np.int64]) -> _Interval:
    """v[n, sample, label of the sample], [n, n_samples, 1]."""
    index = np.broadcast_to(label, (len(v.low), *label.shape[1:]))
    return _Interval(np.take_along_axis(v.low, index, 2), np.take_along_axis(v.high, index, 2))


def _softmax_share(f: _Interval, k: int) -> _Interval:
    """p_k = exp(−log Σ_j exp(f_j − f_k)), [n, n_samples]."""
    above = f - f[:, :, k : k + 1]
    above.low[:, :, k] = 0.0
    above.high[:, :, k] = 0.0
    return (-above.mapped(_log_sum_exp)).mapped(np.exp)


def _log_sum_exp(v: Array) -> Array:
    """log Σ_k exp(v_k) over the last axis."""
    return np.asarray(logsumexp(v, axis=2))


def _activation(name: str, u: _Interval, negative_slope: float) -> tuple[_Interval, _Interval]:
    """Values and slopes of the activation on an interval."""
    one = np.ones_like(u.low)
    if name == "identity":
        return u, _Interval.point(one)
    if name == "square":
        return u.square(), _Interval.point(2.0) * u
    if name in ("relu", "leaky_relu"):
        bent = negative_slope if name == "leaky_relu" else 0.0
        ends = [np.where(end > 0, end, bent * end) for end in (u.low, u.high)]
        slopes = [np.where(end > 0, 1.0, bent) for end in (u.low, u.high)]
        least = np.minimum(*ends)
        dips = (u.low < 0) & (u.high > 0)  # where the slope is negative below 0, the minimum is inside
        value = _Interval(np.where(dips, np.minimum(least, 0.0), least), np.maximum(*ends)).outward()
        return value, _Interval(np.minimum(*slopes), np.maximum(*slopes))
    if name == "tanh":
        value = u.mapped(np.tanh)
        return value, _Interval.point(one) - value.square()
    density = (-u.square()).mapped(lambda v: np.exp(v / 2) / np.sqrt(2 * np.pi))
    if name == "erf":
        return u.mapped(lambda v: erf(v / np.sqrt(2))), _Interval.point(2.0) * density
    if name == "gelu":
        ends = [end * ndtr(end) for end in (u.low, u.high)]
        low = np.minimum(*ends) - 1e-13 * (1 + np.abs(ends[0]))
        high = np.maximum(*ends) + 1e-13 * (1 + np.abs(ends[1]))
        dips = (u.low < -0.75) & (u.high > -0.76)  # holds the minimum, or is beside it
        return _Interval(np.where(dips, GELU_LEAST, low), high), u.mapped(ndtr) + u * density
    raise ValueError(f"activation {name!r} is not known to the checker")
