"""How a mean depends on a factor, and how sure that is: every level against every other, all comparisons at once.

Families of networks are drawn with replacement as in `comparison`, the same for levels that have the same families (one
training, measured at several times). Where data sets vary, these are drawn, the same for every level, and the families
within them: a level is compared with another on equal data. The interval of every difference is so wide that with 95 %
all of them hold together. Its half width is the bootstrap's standard error times its quantile of the largest of all
|draw − mean|/error (Westfall & Young 1993); but a bootstrap of n things finds a variance that is too small by (n −
1)/n, and knows it as badly as n things tell it. So the quantile, one of a normal distribution, is exchanged for that
with the same tail of Student's t, times √(n/(n − 1)). Degrees of freedom are those of a difference: n − 1 over n data
sets or families in common, 2 (n − 1) between two times n families. Of fewer than 6 things the bootstrap does not know
the quantile: then it is Bonferroni's, with n − 1. Where levels have an order, the slope along them is one more
comparison; it has half of the 5 %, so that many levels do not hide a trend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from testbed.results.comparison import CONFIDENCE, FEWEST, REPLICATES, ROUNDING, bootstrap_means, draw_seeds

SMALL = 0.1  # of the largest mean: differences below it are called none
ENOUGH = 6  # families, or data sets, that tell the quantile of the largest of several differences


@dataclass(frozen=True, eq=False)
class Differences:
    """Differences of the means of K groups, mean[j] − mean[i] at `[i, j]`, with intervals that hold together.

    mean `[K]`; low, high `[K, K]`, NaN where a group has too few families, or the difference was not asked for.
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
        asked = np.isfinite(self.low)
        if not asked.any():
            return float("nan")
        return float(max(-self.low[asked].min(), self.high[asked].max()))


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
    mean, draws = _means(groups, column)
    units = np.array([_n_units(group) for group in groups])
    usable = np.isfinite(draws).any(1)
    low, high = np.full((2, n, n), np.nan)
    if contrasts is None:
        contrasts = [(i, j) for i in range(n) for j in range(i + 1, n)]
    contrasts = [(i, j) for i, j in contrasts if usable[i] and usable[j]]
    if not contrasts:
        return Differences(mean, low, high)
    i, j = np.array(contrasts).T
    weights = np.zeros((len(contrasts), n))
    weights[np.arange(len(i)), i] = -1
    weights[np.arange(len(j)), j] = 1
    draws[~usable] = 0.0  # they have no weight
    n_units = int(units[usable].min())
    paired = all(_has_data_sets(group) for group in groups)
    if not paired and len(set(draw_seeds(groups))) == 1:
        paired, n_units = True, n_units - 1
    has_line = ordered and n > 2 and bool(usable.all())
    tail = (1 - CONFIDENCE) / 2 if has_line else 1 - CONFIDENCE  # the line, and all pairs, fail half as often each
    half = _half_widths(weights @ draws, n_units, paired, tail)
    change = weights @ np.where(usable, mean, 0.0)
    low[i, j], high[i, j] = change - half, change + half
    low[j, i], high[j, i] = -high[i, j], -low[i, j]
    if not has_line:
        return Differences(mean, low, high)
    along = float(_line(n) @ mean)
    (width,) = _half_widths(_line(n)[None] @ draws, n_units, paired, tail)
    return Differences(mean, low, high, (along - width, along + width))


def independent_things(groups: Sequence[pl.DataFrame]) -> tuple[int, str]:
    """How many of what stand behind each mean of groups of pairs, at least: families of networks, or data sets.

    >>> independent_things([pl.DataFrame({"family_a": [0, 1], "family_b": [1, 2]})])
    (3, 'families')
    """
    what = "data sets" if all(_has_data_sets(group) for group in groups) else "families"
    return min(_n_units(group) for group in groups), what


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


def _means(groups: Sequence[pl.DataFrame], column: str) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each group `[K]`, and its draws `[K, replicates]`; NaN where there are too few families."""
    if not all(_has_data_sets(group) for group in groups):
        drawn = [bootstrap_means(group, column, seed) for group, seed in zip(groups, draw_seeds(groups), strict=True)]
        return np.array([mean for mean, _ in drawn]), np.array([draws for _, draws in drawn])
    seeds = sorted({seed for group in groups for seed in group["data.seed"]})
    rng = np.random.default_rng(0)
    counts = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), REPLICATES)
    mean, draws = np.empty(len(groups)), np.empty((len(groups), REPLICATES))
    of_sets = [[group.filter(pl.col("data.seed") == seed) for seed in seeds] for group in groups]
    seed_of_draws = np.reshape(draw_seeds([pairs for of_group in of_sets for pairs in of_group]), (-1, len(seeds)))
    for k, group in enumerate(groups):
        weights, values = np.zeros((len(seeds), REPLICATES)), np.zeros((len(seeds), REPLICATES))
        for d, pairs in enumerate(of_sets[k]):
            if not len(pairs):
                continue
            of_set, of_draws = bootstrap_means(pairs, column, int(seed_of_draws[k, d]))
            weights[d] = len(pairs) * counts[:, d]
            values[d] = np.where(np.isfinite(of_draws), of_draws, of_set)
        total = weights.sum(0)
        mean[k] = float(group[column].mean())  # type: ignore[arg-type]
        draws[k] = np.divide((weights * values).sum(0), total, out=np.full(REPLICATES, np.nan), where=total > 0)
    return mean, draws


def _half_widths(draws: np.ndarray, n_units: int, paired: bool, fails: float) -> np.ndarray:
    """Half widths of intervals that all hold but for a share `fails`, of differences with draws `[n, replicates]`.

    paired: whether the units, n_units of them, are the same in all groups.
    """
    error = np.nanstd(draws, axis=1)
    spread = error > ROUNDING
    if not spread.any():
        return error
    drawn = draws[spread][:, np.isfinite(draws[spread]).all(0)]  # a draw without any pair of a level says nothing
    largest = (abs(drawn - drawn.mean(1, keepdims=True)) / error[spread, None]).max(0)
    if n_units < ENOUGH:
        tail = fails / 2 / len(draws)
        students = float(stats.t.isf(tail, n_units - 1))
    else:
        tail = float(stats.norm.sf(np.quantile(largest, 1 - fails)))
        students = float(stats.t.isf(tail, n_units - 1 if paired else 2 * (n_units - 1)))
    return students * (n_units / (n_units - 1)) ** 0.5 * error


def _has_data_sets(pairs: pl.DataFrame) -> bool:
    """Whether data sets are drawn, and not only families."""
    return "data.seed" in pairs.columns and pairs["data.seed"].n_unique() >= FEWEST


def _n_units(pairs: pl.DataFrame) -> int:
    """How many independent things stand behind a mean: data sets where these vary, else families."""
    if _has_data_sets(pairs):
        return pairs["data.seed"].n_unique()
    return len(set(pairs["family_a"]) | set(pairs["family_b"]))


def _widest(found: Differences, sure: np.ndarray) -> tuple[int, int]:
    """The first and the last level, or the two that surely differ most where these do not and others do."""
    last = len(found.mean) - 1
    if sure[0, last] or not sure.any():
        return 0, last
    size = np.where(sure, abs(found.mean[None, :] - found.mean[:, None]), -np.inf)
    i, j = np.unravel_index(int(np.argmax(size)), size.shape)
    return int(i), int(j)
