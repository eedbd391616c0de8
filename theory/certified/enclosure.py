"""Certified barriers of any small network on data: [lo, hi] that holds the true value, with hi − lo ≤ tol.

For tanh, erf, gelu, relu and others at any depth, squared loss or cross-entropy, L(α) has no closed form to maximise.
Interval branch and bound (Moore 1966; Hansen & Walster 2004, ch. 12) encloses max_α [L(α) − s α] instead: L is bounded
on pieces of [0, 1] by `path_jets`, pieces whose bound is not below (best value found) + tol are halved, and the pieces
that remain, which cover [0, 1], are the proof. All rounding is outward (`intervals`), so that the result is a theorem
about the real-valued L of these float64 networks; `checker.objections` checks it by other arithmetic.

The four barriers follow from four enclosed numbers, max L, max [L − s α] with s ≈ L(1) − L(0), L(0), L(1) and L(½).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import Array, known
from theory.certified.path_jets import Bound, PathProblem
from theory.certified.search import Search
from theory.curves.curve import BARRIER_DEFINITIONS, Barrier, Curve
from theory.layers import Layers
from theory.shown import Short


@dataclass(frozen=True, repr=False)
class Proof(Short):
    """That one pair's barrier lies in an interval: everything a checker needs.

    The barrier is read off max over [0, 1] of L(α) − tilt·α, which lies in [low, high], and the losses at the ends.

    Attributes:
        definition: of the barrier; not `midpoint`.
        barrier: [2], the interval.
        tilt: the slope that is taken off.
        edges: [n_pieces + 1] from 0 to 1, ascending; piece i is [edges[i], edges[i + 1]].
        bounds: [n_pieces]; no value of L(α) − tilt·α on piece i exceeds bounds[i] ≤ high.
        witness: an α with L(α) − tilt·α ≥ low.
        low: a lower bound of the maximum.
        high: an upper bound of the maximum.
        endpoints: [3, 2], enclosures of L(0), L(½), L(1).

    Example:
        >>> curve = certified_path([([[0.0]], None)], [([[1.0]], None)], [[1.0]], [[0.0]], "identity")
        >>> proof = curve.proof(0, "linear")  # L = ½ α² is convex: no barrier
        >>> proof.edges[[0, -1]].tolist(), proof.barrier.round(6).tolist()
        ([0.0, 1.0], [0.0, 0.0])
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

    Called at alphas it returns the middles of enclosures. `barrier(definition)` has lo as `value` and hi − lo as
    `error`: the truth lies in [value, value + error]. `proof(pair, definition)` is the list of pieces behind it.

    Attributes:
        kind: "certified".
        error: [n_pairs], bounds how far the values at 0, ½ and 1 may be off.
        tol: the width asked for.

    Example:
        >>> a, b = ([([[w]], None), ([[1.0]], None)] for w in (1.0, -1.0))
        >>> curve = certified_path(a, b, [[1.0]], [[1.0]], "square")  # ((1 − 2α)² − 1)²/2 = 8α²(1 − α)²
        >>> low, high = curve.enclosure("linear")[0]
        >>> bool(low <= 0.5 <= high), bool(high - low <= 1e-6)
        (True, True)
    """

    kind = "certified"

    def __init__(self, problem: PathProblem, tol: float, most_pieces: int) -> None:
        self.problem = problem
        self.n_pairs = problem.n_pairs
        self.tol = tol
        self.most_pieces = most_pieces
        self.error = np.nextafter((self._ends[:, :, 1] - self._ends[:, :, 0]).max(axis=1), np.inf)

    def _bound(self, alphas: ArrayLike) -> tuple[Bound, tuple[int, int]]:
        """The bound at every (pair, alpha), flat, and its shape (n_pairs, n_alphas)."""
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
        """Enclosures of L(0), L(½), L(1), [n_pairs, 3, 2]."""
        bound, shape = self._bound(np.array([0.0, 0.5, 1.0]))
        spare = self.tol / 64  # so that a checker's own, differently rounded enclosures fit inside
        return np.stack([bound.value.low.reshape(shape) - spare, bound.value.high.reshape(shape) + spare], axis=2)

    @cached_property
    def _search(self) -> Search:
        rise = self._ends[:, 2].mean(axis=1) - self._ends[:, 0].mean(axis=1)
        return Search(self.problem, np.stack([np.zeros(self.n_pairs), rise], axis=1), self.tol, self.most_pieces)

    def tilted_maxima(self, slopes: Array) -> tuple[Array, Array, Array]:
        search = Search(self.problem, slopes, self.tol, self.most_pieces)
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
            return np.maximum(_minus(top, np.maximum(start, end)), 0.0)  # attained at an end
        if definition == "linear":
            # max [L − L(0) − (L(1) − L(0)) α] differs from max [L − s α] − L(0) by at most |L(1) − L(0) − s|
            rise = _minus(end, start)
            tilt = self._search.tilts[:, 1]
            off = np.nextafter(np.maximum(np.abs(rise[:, 0] - tilt), np.abs(rise[:, 1] - tilt)), np.inf)
            height = _outward(_minus(top, start) + np.stack([-off, off], axis=1))
            return np.maximum(height, 0.0)  # attained at an end
        raise ValueError(f"the barrier {definition!r} has no enclosure; {', '.join(BARRIER_DEFINITIONS)} have one")

    def barrier(self, definition: str = "linear") -> Barrier:
        interval = self.enclosure(definition)
        column = 1 if definition == "linear" else 0
        argmax = np.full(self.n_pairs, 0.5) if definition == "midpoint" else self._search.witness[:, column]
        return Barrier(definition, interval[:, 0], argmax, np.nextafter(interval[:, 1] - interval[:, 0], np.inf))

    def proof(self, pair: int, definition: str = "linear") -> Proof:
        """The proof behind the enclosure of one pair.

        Raises:
            ValueError: the definition is unknown, or `midpoint`, whose proof is three evaluations and no pieces.
        """
        known("barrier definition", definition, BARRIER_DEFINITIONS)
        if definition == "midpoint":
            raise ValueError(
                "the midpoint barrier is read off L at 0, 1/2 and 1; only barriers with a maximum have pieces"
            )
        search = self._search
        column = 1 if definition == "linear" else 0
        of_pair = np.flatnonzero(search.pair == pair)
        rows = of_pair[np.argsort(search.left[of_pair])]
        high = search.high[pair, column]
        # half of what a piece has to spare goes to the checker, whose bounds are not the same
        bounds = np.minimum(search.top[rows, column] / 2 + high / 2, high)
        edges = np.append(search.left[rows], 1.0)
        return Proof(
            definition=definition,
            barrier=self.enclosure(definition)[pair],
            tilt=float(search.tilts[pair, column]),
            edges=edges,
            bounds=bounds,
            witness=float(search.witness[pair, column]),
            low=float(search.low[pair, column]),
            high=float(high),
            endpoints=self._ends[pair],
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

    Args:
        a: any depth, W_l [n_pairs, fan_out, fan_in], b_l [n_pairs, fan_out] or None; or a single network.
        b: the same architecture.
        x: [n_samples, n_inputs].
        y: [n_samples, n_outputs] for mse, or classes [n_samples] for cross_entropy.
        activation: identity, square, relu, leaky_relu, erf, tanh or gelu.
        loss: "mse", ½ mean_i ‖f(x_i) − y_i‖², or "cross_entropy", in nats.
        tol: width of the enclosures, in units of the loss; below about 1e-11 of the loss rounding forbids it.
        negative_slope: that of leaky relu.
        most_pieces: a pair's search stops there, with a wider enclosure that is still certified: read `error`.

    Raises:
        ValueError: shapes do not fit, a name is unknown, a number is not finite, or tol is not above 0.

    Example:
        >>> a, b = ([([[w]], None), ([[w], [0.0]], None)] for w in (2.0, -2.0))  # logits (w tanh(w x), 0)
        >>> barrier = certified_path(a, b, [[1.0]], [0], "tanh", loss="cross_entropy").barrier()
        >>> height = np.log(2) - np.log1p(np.exp(-2 * np.tanh(2)))  # the network is 0 at α = ½
        >>> bool(barrier.value[0] <= height <= barrier.value[0] + barrier.error[0]), bool(barrier.error[0] < 2e-6)
        (True, True)
    """
    if not tol > 0:
        raise ValueError(f"tol is {tol}; an enclosure has a width above 0")
    return CertifiedCurve(PathProblem(a, b, x, y, activation, loss, negative_slope), tol, most_pieces)


def _outward(interval: Array) -> Array:
    """Intervals [n, 2], one rounding wider at each end."""
    return np.stack([np.nextafter(interval[:, 0], -np.inf), np.nextafter(interval[:, 1], np.inf)], axis=1)


def _minus(a: Array, b: Array) -> Array:
    """[a] − [b] for intervals [n, 2], rounded outward."""
    return _outward(a - b[:, ::-1])


def _mean(a: Array, b: Array) -> Array:
    """([a] + [b])/2 for intervals [n, 2], rounded outward; halving is exact."""
    return _outward(a + b) / 2
