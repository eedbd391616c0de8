"""A short checker of `enclosure.Proof`, by other arithmetic than that which found it.

It shares no code with the search: intervals are pairs (low, high) stepped outward by np.nextafter after every single
operation, dot products are taken a term at a time, and a piece is bounded by the mean-value form of first order,

    L(α) − s α ∈ L(c) − s c + ([L'] − s) (α − c),

halving it until that suffices. What follows from the enclosed numbers is redone in exact rationals. Slower than the
search, and simple enough to be read in one go. exp, erf, tanh, Φ and log-sum-exp are trusted to 1e-13 of max(1, |value|).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erf, logsumexp, ndtr

from theory.certified.enclosure import Proof
from theory.layers import Array, Layers, check_layers

MOST_PARTS = 20_000


class _Interval(NamedTuple):
    low: Array
    high: Array


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
    """Why `proof` does not show its barrier for the single networks a and b; empty where it does. Arguments as the search's."""
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
    network = _Network(
        a, b, np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64), activation, loss, negative_slope
    )
    points = np.array([0.0, 0.5, 1.0, proof.witness])
    value = network.loss(points, points)[0]
    if (value.low[:3] < ends[:, 0]).any() or (value.high[:3] > ends[:, 1]).any():
        found.append("an endpoint enclosure is not confirmed")
    at = np.array(proof.witness)
    if (
        _minus(_I(value.low[3], value.high[3]), _times(_I(at, at), _I(np.array(proof.tilt), np.array(proof.tilt)))).low
        < proof.low
    ):
        found.append("the witness does not reach the stated minimum of the maximum")
    unconfirmed = _unconfirmed(network, proof)
    if unconfirmed:
        found.append(f"the bounds of {unconfirmed} parts of pieces are not confirmed")
    return found


_I = _Interval


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
    """Halves pieces until each part's own bound is at most its piece's; how many parts stay, or are found, above."""
    left, right, bound = proof.edges[:-1], proof.edges[1:], proof.bounds
    n_parts = 0
    while left.size:
        n_parts += left.size
        if n_parts > MOST_PARTS or (right - left < 1e-14).any():
            return int(left.size)
        failed = []
        for part in range(0, left.size, network.chunk):
            rows = slice(part, part + network.chunk)
            middle = (left[rows] + right[rows]) / 2
            value, _ = network.loss(middle, middle)
            _, slope = network.loss(left[rows], right[rows])
            tilt = np.full(middle.shape, proof.tilt)
            away = _minus(_I(left[rows], right[rows]), _I(middle, middle))
            at_middle = _minus(value, _times(_I(tilt, tilt), _I(middle, middle)))
            top = _plus(at_middle, _times(_minus(slope, _I(tilt, tilt)), away)).high
            failed.append(~(top <= bound[rows]))
            refuted = int((at_middle.low > bound[rows]).sum())
            if refuted:
                return refuted
        again = np.concatenate(failed)
        left, right, bound = left[again], right[again], np.repeat(bound[again], 2)
        middle = (left + right) / 2
        left, right = np.stack([left, middle], 1).ravel(), np.stack([middle, right], 1).ravel()
    return 0


class _Network:
    def __init__(
        self, a: Layers, b: Layers, x: Array, y: Array, activation: str, loss: str, negative_slope: float
    ) -> None:
        self.layers: list[list[Any]] = [
            [None if part is None else part[0] for part in (*first, *second)]
            for first, second in zip(check_layers(a, "a"), check_layers(b, "b"), strict=True)
        ]
        self.x, self.y, self.activation, self.kind, self.negative_slope = x, y, activation, loss, negative_slope
        self.chunk = max(1, 2**20 // (len(x) * max(max(w.shape) for w, *_ in self.layers)))

    def loss(self, left: Array, right: Array) -> tuple[_Interval, _Interval]:
        """L and dL/dα over [left, right], [n] each."""
        alpha = _I(left[:, None, None], right[:, None, None])
        h, rate = _I(self.x[None], self.x[None]), None
        for index, (weight, bias, weight_end, bias_end) in enumerate(self.layers):
            if index > 0:
                assert rate is not None
                h, bend = _activation(self.activation, h, self.negative_slope)
                rate = _times(bend, rate)
            change = _minus(_point(weight_end.T[None]), _point(weight.T[None]))
            here = _plus(_point(weight.T[None]), _times(alpha, change))
            following = _dot(h, change) if rate is None else _plus(_dot(h, change), _dot(rate, here))
            h = _dot(h, here)
            bias, bias_end = (np.zeros(len(weight)) if part is None else part for part in (bias, bias_end))
            change = _minus(_point(bias_end[None, None]), _point(bias[None, None]))
            h, rate = _plus(h, _plus(_point(bias[None, None]), _times(alpha, change))), _plus(following, change)
        assert rate is not None
        value, slope = self._of_samples(h, rate)
        count = _point(np.array([1 / len(self.x)]))
        count = _I(np.nextafter(count.low, 0), np.nextafter(count.high, 1))
        return _times(_sum(value), count), _times(_sum(slope), count)

    def _of_samples(self, f: _Interval, rate: _Interval) -> tuple[_Interval, _Interval]:
        if self.kind == "mse":
            error = _minus(f, _point(self.y[None]))
            return _sum(_times(_point(np.array(0.5)), _square(error))), _sum(_times(error, rate))
        label = self.y.astype(int)[None, :, None]

        def pick(v: _Interval) -> _Interval:
            return _I(
                *(np.take_along_axis(part, np.broadcast_to(label, (len(part), *label.shape[1:])), 2) for part in v)
            )

        shares = []
        for k in range(f.low.shape[2]):
            ratios = _minus(f, _I(f.low[:, :, k : k + 1], f.high[:, :, k : k + 1]))
            ratios.low[:, :, k] = ratios.high[:, :, k] = 0.0
            shares.append(_function(np.exp, _I(*(-v for v in _function(_log_sum_exp, ratios)[::-1]))))
        p = _I(np.stack([s.low for s in shares], 2), np.stack([s.high for s in shares], 2))
        return _function(_log_sum_exp, _minus(f, pick(f))), _sum(_times(p, _minus(rate, pick(rate))))


def _log_sum_exp(v: Array) -> Array:
    return np.asarray(logsumexp(v, axis=2))


def _activation(name: str, u: _Interval, slope: float) -> tuple[_Interval, _Interval]:
    """Values and slopes of the activation on an interval."""
    one = np.ones_like(u.low)
    if name in ("relu", "leaky_relu"):
        bent = slope if name == "leaky_relu" else 0.0
        at = [np.where(end > 0, end, bent * end) for end in u]
        dip = (u.low < 0) & (u.high > 0)  # where the slope is negative below 0, the minimum is inside
        gains = [np.where(end > 0, 1.0, bent) for end in u]
        return _outward(np.where(dip, np.minimum(np.minimum(*at), 0.0), np.minimum(*at)), np.maximum(*at)), _I(
            np.minimum(*gains), np.maximum(*gains)
        )
    if name == "identity":
        return u, _I(one, one)
    if name == "square":
        return _square(u), _times(_point(np.array(2.0)), u)
    if name == "tanh":
        value = _function(np.tanh, u)
        return value, _minus(_I(one, one), _square(value))
    square = _square(u)
    density = _function(lambda v: np.exp(v / 2) / np.sqrt(2 * np.pi), _I(-square.high, -square.low))
    if name == "erf":
        return _function(lambda v: erf(v / np.sqrt(2)), u), _times(_point(np.array(2.0)), density)
    if name == "gelu":
        below = _function(ndtr, u)
        at = [end * ndtr(end) for end in u]
        dip = (u.low < -0.75) & (u.high > -0.76)  # holds the minimum, or is beside it: −0.169971207479990… is below all
        value = _I(
            np.where(dip, -0.16997120748, np.minimum(*at) - 1e-13 * (1 + np.abs(at[0]))),
            np.maximum(*at) + 1e-13 * (1 + np.abs(at[1])),
        )
        return value, _plus(below, _times(u, density))
    raise ValueError(f"activation {name!r} is not known to the checker")


# ---- arithmetic on (low, high), one step outward after every operation


def _point(value: Array) -> _Interval:
    return _I(value, value)


def _outward(low: Array, high: Array) -> _Interval:
    return _I(np.nextafter(low, -np.inf), np.nextafter(high, np.inf))


def _plus(a: _Interval, b: _Interval) -> _Interval:
    return _outward(a.low + b.low, a.high + b.high)


def _minus(a: _Interval, b: _Interval) -> _Interval:
    return _outward(a.low - b.high, a.high - b.low)


def _times(a: _Interval, b: _Interval) -> _Interval:
    corners = (a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high)
    return _outward(
        np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3])),
        np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3])),
    )


def _square(a: _Interval) -> _Interval:
    least = np.where((a.low <= 0) & (a.high >= 0), 0.0, np.minimum(a.low**2, a.high**2))
    squares = _outward(least, np.maximum(a.low**2, a.high**2))
    return _I(np.maximum(squares.low, 0.0), squares.high)


def _dot(a: _Interval, b: _Interval) -> _Interval:
    """a @ b, a term at a time."""

    def term(k: int) -> _Interval:
        return _times(
            _I(a.low[..., :, k, None], a.high[..., :, k, None]), _I(b.low[..., None, k, :], b.high[..., None, k, :])
        )

    total = term(0)
    for k in range(1, a.low.shape[-1]):
        total = _plus(total, term(k))
    return total


def _sum(a: _Interval) -> _Interval:
    """Sum over the last axis, a term at a time."""
    total = _I(a.low[..., 0], a.high[..., 0])
    for k in range(1, a.low.shape[-1]):
        total = _plus(total, _I(a.low[..., k], a.high[..., k]))
    return total


def _function(f: Callable[[Array], Array], a: _Interval) -> _Interval:
    """A function that ascends in each coordinate."""
    low, high = f(a.low), f(a.high)
    return _I(low - 1e-13 * np.maximum(1.0, np.abs(low)), high + 1e-13 * np.maximum(1.0, np.abs(high)))
