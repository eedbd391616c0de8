"""Certified barriers of any small network on data: [lo, hi] that holds the true value, with hi − lo ≤ tol.

For tanh, erf, gelu, relu, ... at any depth, squared loss or cross-entropy, L(α) has no closed form to maximise. Interval
branch-and-bound (Moore 1966; Hansen & Walster 2004, ch. 12) encloses max_α [L(α) − s α] instead: L is bounded on pieces
of [0, 1] by `path_jets`, pieces whose bound is not below (best value found) + tol are halved, and the pieces that
remain, which cover [0, 1], are the proof. All rounding is outward (`intervals`), so the result is a theorem about the
real-valued L of these float64 networks; `checker.objections` checks it by other arithmetic.

The four barriers follow from four enclosed numbers, max L, max [L − s α] with s ≈ L(1) − L(0), L(0), L(1) and L(½).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.certified.path_jets import Bound, PathProblem, half_width
from theory.curves.curve import BARRIER_DEFINITIONS, Barrier, Curve
from theory.layers import Array, Layers, known

FIRST_PIECES = 16
MOST_HALVINGS = 46
UNIT = 2.0**-53


@dataclass(frozen=True)
class Proof:
    """That one pair's barrier under `definition` lies in `barrier` [2]: everything a checker needs.

    It is read off max over [0, 1] of L(α) − tilt·α, which lies in [low, high], and the losses at the ends.

    edges   [n_pieces + 1] from 0 to 1, ascending: the pieces [edges[i], edges[i + 1]]
    bounds  [n_pieces]     no value of L(α) − tilt·α on piece i exceeds bounds[i] ≤ high
    witness                an α with L(α) − tilt·α ≥ low
    endpoints [3, 2]       enclosures of L(0), L(½), L(1)
    """

    definition: str
    barrier: Array
    tilt: float
    edges: Array
    bounds: Array
    witness: float
    low: float
    high: float
    endpoints: Array


class CertifiedCurve(Curve):
    """Losses along paths with certified maxima; made by `certified_path`.

    kind is "certified". Called at alphas it returns the middles of enclosures, `error` [n_pairs] bounds how far the
    values at 0, ½ and 1 may be off. `barrier(definition)` returns lo as `value` and hi − lo as `error`: the truth lies in
    [value, value + error]. `proof(pair, definition)` is the list of pieces behind it.
    """

    kind = "certified"

    def __init__(self, problem: PathProblem, tol: float, most_pieces: int) -> None:
        self.problem, self.n_pairs, self.tol, self.most_pieces = problem, problem.n_pairs, tol, most_pieces
        self.error = np.nextafter((self._ends[:, :, 1] - self._ends[:, :, 0]).max(axis=1), np.inf)

    def _bound(self, alphas: ArrayLike) -> tuple[Bound, tuple[int, int]]:
        spread = np.broadcast_to(self.alphas_of_shape(alphas), (self.n_pairs, np.shape(alphas)[-1]))
        pair = np.repeat(np.arange(self.n_pairs), spread.shape[1])
        return self.problem.bounds(pair, spread.ravel(), spread.ravel()), spread.shape

    def __call__(self, alphas: ArrayLike) -> Array:
        bound, shape = self._bound(np.atleast_1d(alphas))
        return bound.value.mid.reshape(shape)

    def derivative(self, alphas: ArrayLike) -> Array:
        bound, shape = self._bound(np.atleast_1d(alphas))
        return bound.slope.mid.reshape(shape)

    @cached_property
    def _ends(self) -> Array:
        """[n_pairs, 3, 2] enclosures of L(0), L(½), L(1)."""
        bound, shape = self._bound(np.array([0.0, 0.5, 1.0]))
        spare = self.tol / 64  # so that a checker's own, differently rounded enclosures fit inside
        return np.stack([bound.value.low.reshape(shape) - spare, bound.value.high.reshape(shape) + spare], axis=2)

    @cached_property
    def _search(self) -> _Search:
        rise = self._ends[:, 2].mean(axis=1) - self._ends[:, 0].mean(axis=1)
        return _Search(self.problem, np.stack([np.zeros(self.n_pairs), rise], axis=1), self.tol, self.most_pieces)

    def tilted_maxima(self, slopes: Array) -> tuple[Array, Array, Array]:
        search = _Search(self.problem, slopes, self.tol, self.most_pieces)
        return search.low, search.witness, search.high - search.low

    def enclosure(self, definition: str = "linear") -> Array:
        """[lo, hi] of each pair's barrier, [n_pairs, 2]; ValueError for an unknown definition."""
        known("barrier definition", definition, BARRIER_DEFINITIONS)
        start, middle, end = self._ends[:, 0], self._ends[:, 1], self._ends[:, 2]
        if definition == "midpoint":
            return _minus(middle, _mean(start, end))
        column = 1 if definition == "linear" else 0
        top = np.stack([self._search.low[:, column], self._search.high[:, column]], axis=1)
        if definition == "mean_endpoints":
            return _minus(top, _mean(start, end))
        if definition == "max_endpoint":
            found = _minus(top, np.maximum(start, end))
        else:
            # max [L − L(0) − (L(1) − L(0)) α] differs from max [L − s α] − L(0) by at most |L(1) − L(0) − s|.
            rise = _minus(end, start)
            tilt = self._search.tilts[:, 1]
            off = np.nextafter(np.maximum(np.abs(rise[:, 0] - tilt), np.abs(rise[:, 1] - tilt)), np.inf)
            found = _minus(top, start) + np.stack([-off, off], axis=1)
            found = np.stack([np.nextafter(found[:, 0], -np.inf), np.nextafter(found[:, 1], np.inf)], axis=1)
        return np.maximum(found, 0.0)  # attained at an end

    def barrier(self, definition: str = "linear") -> Barrier:
        interval = self.enclosure(definition)
        column = 1 if definition == "linear" else 0
        argmax = np.full(self.n_pairs, 0.5) if definition == "midpoint" else self._search.witness[:, column]
        return Barrier(definition, interval[:, 0], argmax, np.nextafter(interval[:, 1] - interval[:, 0], np.inf))

    def proof(self, pair: int, definition: str = "linear") -> Proof:
        """The proof behind the enclosure of one pair; ValueError for an unknown definition, and for `midpoint`, whose
        proof is two or three evaluations and no pieces."""
        known("barrier definition", definition, BARRIER_DEFINITIONS)
        if definition == "midpoint":
            raise ValueError(
                "the midpoint barrier is read off L at 0, 1/2 and 1; only barriers with a maximum have pieces"
            )
        column, search = (1 if definition == "linear" else 0), self._search
        of_pair = np.flatnonzero(search.pair == pair)
        rows = of_pair[np.argsort(search.left[of_pair])]
        high = search.high[pair, column]
        # Half of what a piece has to spare goes to the checker, whose bounds are not the same.
        bounds = np.minimum(search.top[rows, column] / 2 + high / 2, high)
        edges = np.append(search.left[rows], 1.0)
        return Proof(
            definition,
            self.enclosure(definition)[pair],
            float(search.tilts[pair, column]),
            edges,
            bounds,
            float(search.witness[pair, column]),
            float(search.low[pair, column]),
            float(high),
            self._ends[pair],
        )


def certified_path(
    a: Layers,
    b: Layers,
    x: ArrayLike,
    y: ArrayLike,
    activation: str,
    *,
    loss: str = "mse",
    tol: float = 1e-6,
    negative_slope: float = 0.01,
    most_pieces: int = 10_000,
) -> CertifiedCurve:
    """The loss along the path between a and b on data x, y, with every barrier enclosed to `tol`.

    a, b        any depth, W_l [n_pairs, fan_out, fan_in], b_l [n_pairs, fan_out] or None; or single networks
    x, y        [n_samples, n_inputs], and [n_samples, n_outputs] (mse) or classes [n_samples] (cross_entropy)
    activation  identity, square, relu, leaky_relu, erf, tanh or gelu
    tol         width of the enclosures, in units of the loss; below about 1e-11 of the loss rounding forbids it
    most_pieces a pair's search stops there, with a wider enclosure that is still certified: read `error`
    Raises ValueError where shapes do not fit, a name is unknown, a number is not finite, or tol is not above 0.
    """
    if not tol > 0:
        raise ValueError(f"tol is {tol}; an enclosure has a width above 0")
    return CertifiedCurve(PathProblem(a, b, x, y, activation, loss, negative_slope), tol, most_pieces)


class _Search:
    """Branch and bound for all pairs and tilts at once.

    tilts [n_pairs, k]; results low, high, witness [n_pairs, k]; pieces pair, left, right [n], their bounds top [n, k].
    """

    def __init__(self, problem: PathProblem, tilts: Array, tol: float, most_pieces: int) -> None:
        self.tilts = tilts
        n_pairs, k = tilts.shape
        self.low, self.witness = np.full((n_pairs, k), -np.inf), np.zeros((n_pairs, k))
        spare = tol / 8  # for the checker, and for the roundings of `enclosure`
        edges = np.linspace(0.0, 1.0, FIRST_PIECES + 1)
        pair = np.repeat(np.arange(n_pairs), FIRST_PIECES)
        left, right = np.tile(edges[:-1], n_pairs), np.tile(edges[1:], n_pairs)
        done: list[tuple[NDArray[np.int64], Array, Array, Array]] = []
        n_pieces = np.full(n_pairs, FIRST_PIECES)
        ends = np.tile([0.0, 1.0], n_pairs)
        owner = np.repeat(np.arange(n_pairs), 2)
        self._visit(owner, ends, problem.bounds(owner, ends, ends))
        for halving in range(MOST_HALVINGS + 1):
            bound = problem.bounds(pair, left, right)
            self._visit(pair, (left + right) / 2, bound)
            top = upper_bounds(bound, (left + right) / 2, half_width(left, right), tilts[pair])
            keep = (top <= self.low[pair] + (tol - 2 * spare)).all(axis=1) | (n_pieces[pair] >= most_pieces)
            if halving == MOST_HALVINGS:
                keep[:] = True
            done.append((pair[keep], left[keep], right[keep], top[keep]))
            pair, left, right = pair[~keep], left[~keep], right[~keep]
            if pair.size == 0:
                break
            n_pieces += np.bincount(pair, minlength=n_pairs)
            middle = (left + right) / 2
            pair, left, right = (
                np.repeat(pair, 2),
                np.stack([left, middle], 1).ravel(),
                np.stack([middle, right], 1).ravel(),
            )
        self.pair, self.left, self.right, self.top = (np.concatenate(parts) for parts in zip(*done, strict=True))
        self.high = np.full((n_pairs, k), -np.inf)
        np.maximum.at(self.high, self.pair, self.top)
        self.high += spare / 2
        self.low -= spare / 2

    def _visit(self, pair: NDArray[np.int64], alpha: Array, bound: Bound) -> None:
        """Raise `low` where L(α) − s α at these points is higher."""
        for column in range(self.tilts.shape[1]):
            tilted = self.tilts[pair, column] * alpha
            value = bound.value.low - tilted
            value -= 4 * UNIT * (np.abs(bound.value.low) + np.abs(tilted))
            order = np.lexsort((value, pair))
            last = order[np.append(np.diff(pair[order]) > 0, True)]  # the best of each pair
            better = last[value[last] > self.low[pair[last], column]]
            self.low[pair[better], column], self.witness[pair[better], column] = value[better], alpha[better]


def upper_bounds(bound: Bound, centre: Array, radius: Array, tilts: Array) -> Array:
    """max over |t| ≤ r of L(c) + G t + ½ M t² − s (c + t), rounded up, [n, k] for tilts s [n, k]."""
    most = np.full(tilts.shape, 0.0)
    r, m = radius[:, None], bound.curvature[:, None]
    for slope in (bound.slope.high[:, None] - tilts, tilts - bound.slope.low[:, None]):  # to the right, to the left
        g = slope + 4 * UNIT * np.abs(slope) + 4 * UNIT * np.abs(tilts)
        at_end = g * r + m * r * r / 2 + 8 * UNIT * (np.abs(g) * r + np.abs(m) * r * r)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inside = (m < 0) & (g > 0) & (-m * r > g)
            top = np.where(inside, g * g / (-2 * m) * (1 + 8 * UNIT), at_end)
        most = np.maximum(most, top)
    tilted = tilts * centre[:, None]
    base = bound.value.high[:, None]
    return np.asarray(base - tilted + most + 8 * UNIT * (np.abs(base) + np.abs(tilted) + np.abs(most)))


def _minus(a: Array, b: Array) -> Array:
    """[a] − [b], outward, for intervals [..., 2]."""
    return np.stack([np.nextafter(a[:, 0] - b[:, 1], -np.inf), np.nextafter(a[:, 1] - b[:, 0], np.inf)], axis=1)


def _mean(a: Array, b: Array) -> Array:
    total = a + b
    return np.stack([np.nextafter(total[:, 0], -np.inf), np.nextafter(total[:, 1], np.inf)], axis=1) / 2
