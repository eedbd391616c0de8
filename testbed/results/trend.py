"""How a mean depends on a factor, and how sure that is: every level against every other, all comparisons at once.

The intervals of all differences hold together (`joint`). Where levels have an order, the slope along them is one more
comparison; it has half of the 5 %, so that many levels do not hide a trend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from testbed.results.comparison import CONFIDENCE, ROUNDING
from testbed.results.joint import means_of

SMALL = 0.1  # of the largest mean: differences below it are called none


@dataclass(frozen=True, eq=False)
class Differences:
    """Differences of the means of K groups, mean[j] − mean[i] at `[i, j]`, with intervals that hold together.

    mean `[K]`; low, high `[K, K]`, NaN where a group has too few families, or the difference was not asked for; what is
    said of (i, j) is said of (j, i) too, low[j, i] = −high[i, j].
    line: the interval of the difference of last and first along the straight line (least squares) through the means
    against the number of the level; NaN where the groups have no order.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    line: tuple[float, float] = (np.nan, np.nan)

    @property
    def above(self) -> np.ndarray:
        """`[i, j]`: whether mean[j] surely lies above mean[i]."""
        return self.low > ROUNDING

    @property
    def bound(self) -> float:
        """What no difference exceeds, in either direction; NaN where one has no interval."""
        asked = self.high[np.isfinite(self.high)]
        return float(asked.max()) if asked.size else float("nan")


@dataclass(frozen=True)
class Trend:
    """What a mean does along the levels of a factor.

    what: `rises`, `falls`, `rises then falls`, `falls then rises`, `goes up and down` (ordered levels), `differs`
    (others), `same` (no two levels differ by `bound`, which is small), or `unknown`; each but the last 95 % sure.
    levels: numbers of those that show it, in their order; of `same` and `unknown` the first and the last.
    bound: what no two levels' means differ by, 95 % sure; NaN where there are too few families to know.
    """

    what: str
    levels: tuple[int, ...]
    bound: float


def differences(
    groups: Sequence[pl.DataFrame],
    column: str,
    ordered: bool = False,
    contrasts: Sequence[tuple[int, int]] | None = None,
) -> Differences:
    """Differences of a column's mean between groups of pairs, with simultaneous 95 % intervals.

    groups: tables of pairs, with families; pairs of a data set that groups have in common (`data.seed`) are compared
    with each other. ordered: whether the groups have an order, in which there may be a trend. contrasts: the groups
    (i, j) that are compared, whose intervals hold together; None: each with each.

    >>> few = pl.DataFrame({"family_a": range(5), "family_b": range(5), "barrier": [1.0, 1.1, 0.9, 1.0, 1.1]})
    >>> many = few.with_columns(pl.col("barrier") + 5)
    >>> differences([few, many], "barrier").above.tolist()
    [[False, True], [False, False]]
    """
    n = len(groups)
    found = means_of(groups, column)
    low, high = np.full((2, n, n), np.nan)
    if contrasts is None:
        contrasts = [(i, j) for i in range(n) for j in range(i + 1, n)]
    has_line = ordered and n > 2 and bool(found.usable.all())
    # the line, and all pairs, fail half as often each
    fails = (1 - CONFIDENCE) / 2 if has_line else 1 - CONFIDENCE
    i, j = np.array(contrasts, int).reshape(-1, 2).T
    low[i, j], high[i, j] = found.intervals(between(n, contrasts), fails)
    low[j, i], high[j, i] = -high[i, j], -low[i, j]
    if not has_line:
        return Differences(found.mean, low, high)
    line_low, line_high = found.intervals(_line(n)[None], fails)
    return Differences(found.mean, low, high, (float(line_low[0]), float(line_high[0])))


def between(n: int, contrasts: Sequence[tuple[int, int]]) -> np.ndarray:
    """The weights of n means in the differences mean[j] − mean[i], `[n_contrasts, n]`.

    >>> between(3, [(0, 2)])
    array([[-1.,  0.,  1.]])
    """
    weights = np.zeros((len(contrasts), n))
    for row, (i, j) in enumerate(contrasts):
        weights[row, i] -= 1
        weights[row, j] += 1
    return weights


def trend(found: Differences, ordered: bool, least: float = 0.0) -> Trend:
    """What the means do along the levels, read off their differences alone: it holds where these do.

    ordered: whether the levels have an order. Means are called the same where no two differ by a tenth of the largest,
    or by `least`.

    >>> none = np.full((2, 2), np.nan)
    >>> trend(Differences(np.array([1.0, 2.0]), none, none), ordered=True).what
    'unknown'
    """
    above, bound, last = found.above, found.bound, len(found.mean) - 1
    rises, falls = np.triu(above), np.triu(above.T)
    goes_up = bool(rises.any() or found.line[0] > ROUNDING)
    goes_down = bool(falls.any() or found.line[1] < -ROUNDING)
    if not goes_up and not goes_down:
        known = np.isfinite(found.low) | np.eye(last + 1, dtype=bool)
        small = max(SMALL * float(np.nanmax(abs(found.mean))), least, ROUNDING)
        return Trend("same" if known.all() and bound <= small else "unknown", (0, last), bound)
    if not ordered:
        return Trend("differs", _widest(found, rises | falls), bound)
    if not goes_down:
        return Trend("rises", _widest(found, rises), bound)
    if not goes_up:
        return Trend("falls", _widest(found, falls), bound)
    peak, trough = int(np.nanargmax(found.mean)), int(np.nanargmin(found.mean))
    peaks = bool(rises[0, peak] and falls[peak, last])
    dips = bool(falls[0, trough] and rises[trough, last])
    if peaks != dips:
        return Trend("rises then falls" if peaks else "falls then rises", (0, peak if peaks else trough, last), bound)
    return Trend("goes up and down", tuple(sorted({0, peak, trough, last})), bound)


def _line(n: int) -> np.ndarray:
    """The weights of n means in the difference of last and first along the straight line through them."""
    place = np.arange(n) - (n - 1) / 2
    return (n - 1) * place / (place**2).sum()


def _widest(found: Differences, sure: np.ndarray) -> tuple[int, int]:
    """The first and the last level, or the two that surely differ most where these do not and others do."""
    last = len(found.mean) - 1
    if sure[0, last] or not sure.any():
        return 0, last
    size = np.where(sure, abs(found.mean[None, :] - found.mean[:, None]), -np.inf)
    i, j = np.unravel_index(int(np.argmax(size)), size.shape)
    return int(i), int(j)
