"""Means of groups of pairs, and intervals of what is said of them that hold together.

Families of networks are drawn with replacement as in `comparison`, the same for groups that have the same families (one
training, measured at several times). Where data sets vary, these are drawn, the same for every group, and the families
within them: a group is compared with another on equal data. The intervals of all that is asked at once are so wide that
with 95 % all of them hold together. Half a width is the bootstrap's standard error times its quantile of the largest
of all |draw − mean|/error (Westfall & Young 1993); but a bootstrap of n things finds a variance that is too small by (n
− 1)/n, and knows it as badly as n things tell it. So the quantile, one of a normal distribution, is exchanged for that
with the same tail of Student's t, times √(n/(n − 1)). Degrees of freedom are those of a difference: n − 1 over n data
sets or families in common, 2 (n − 1) between two times n families. Of fewer than 6 things the bootstrap does not know
the quantile: then it is Bonferroni's, with n − 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from testbed.results.comparison import CONFIDENCE, FEWEST, REPLICATES, ROUNDING, bootstrap_means, draw_seeds

ENOUGH = 6  # families, or data sets, that tell the quantile of the largest of several differences


@dataclass(frozen=True, eq=False)
class Means:
    """Means of a column over K groups of pairs, and the bootstrap's draws of them.

    mean `[K]`; draws `[K, replicates]`, NaN where a group has too few families. n_units: how many independent things,
    at least, stand behind each mean that has draws; paired: whether these are the same things for all groups.
    """

    mean: np.ndarray
    draws: np.ndarray
    n_units: int
    paired: bool

    @property
    def usable(self) -> np.ndarray:
        """Which groups have families enough for an interval, `[K]`."""
        return np.isfinite(self.draws).any(1)

    def logarithms(self) -> Means:
        """The logarithms of the means, all of them above 0, and of their draws; NaN where a draw is not."""
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = np.log(self.draws)
        return replace(self, mean=np.log(self.mean), draws=np.where(np.isfinite(draws), draws, np.nan))

    def intervals(
        self, weights: np.ndarray, fails: float = 1 - CONFIDENCE, alone: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ends `[n]` of intervals of n weighted sums of the means, which all hold together but for a share `fails`.

        weights: `[n, K]`. A sum has no interval (NaN) where a group of too few families has weight in it. alone:
        whether each sum speaks of one group, so that its degrees of freedom are that group's and not a difference's.

        >>> pairs = pl.DataFrame({"family_a": range(5), "family_b": range(5), "barrier": [1.0, 1.1, 0.9, 1.0, 1.1]})
        >>> low, high = means_of([pairs], "barrier").intervals(np.eye(1), alone=True)
        >>> low.round(2), high.round(2)
        (array([0.92]), array([1.12]))
        """
        low, high = np.full((2, len(weights)), np.nan)
        asked = ~(weights[:, ~self.usable] != 0).any(1)
        draws = np.where(self.usable[:, None], self.draws, 0.0)  # those of too few families have no weight
        middle = weights[asked] @ np.where(self.usable, self.mean, 0.0)
        half = _half_widths(weights[asked] @ draws, self.n_units, self.paired or alone, fails)
        low[asked], high[asked] = middle - half, middle + half
        return low, high


def means_of(groups: Sequence[pl.DataFrame], column: str) -> Means:
    """The means of a column over groups of pairs, with families; pairs of a data set that groups have in common
    (`data.seed`) are drawn together.

    >>> pairs = pl.DataFrame({"family_a": range(5), "family_b": range(5), "barrier": [1.0, 1.1, 0.9, 1.0, 1.1]})
    >>> found = means_of([pairs, pairs.with_columns(pl.col("barrier") + 5)], "barrier")
    >>> found.mean.round(2), found.paired
    (array([1.02, 6.02]), True)
    """
    mean, draws = _means(groups, column)
    usable = np.isfinite(draws).any(1)
    n_units = min((_n_units(group) for group, enough in zip(groups, usable, strict=True) if enough), default=0)
    paired = all(_has_data_sets(group) for group in groups)
    if not paired and len(groups) > 1 and len(set(draw_seeds(groups))) == 1:
        paired, n_units = True, n_units - 1
    return Means(mean, draws, n_units, paired)


def independent_things(groups: Sequence[pl.DataFrame]) -> tuple[int, str]:
    """How many of what stand behind each mean of groups of pairs, at least: families of networks, or data sets.

    >>> independent_things([pl.DataFrame({"family_a": [0, 1], "family_b": [1, 2]})])
    (3, 'families')
    """
    what = "data sets" if all(_has_data_sets(group) for group in groups) else "families"
    return min(_n_units(group) for group in groups), what


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
    from scipy import special

    error = np.nanstd(draws, axis=1)
    spread = error > ROUNDING
    if not spread.any():
        return error
    drawn = draws[spread][:, np.isfinite(draws[spread]).all(0)]  # a draw without any pair of a level says nothing
    largest = (abs(drawn - drawn.mean(1, keepdims=True)) / error[spread, None]).max(0)
    if n_units < ENOUGH:
        tail = fails / 2 / len(draws)
        students = -float(special.stdtrit(n_units - 1, tail))
    else:
        tail = float(special.ndtr(-np.quantile(largest, 1 - fails)))
        students = -float(special.stdtrit(n_units - 1 if paired else 2 * (n_units - 1), tail))
    return students * (n_units / (n_units - 1)) ** 0.5 * error


def _has_data_sets(pairs: pl.DataFrame) -> bool:
    """Whether data sets are drawn, and not only families."""
    return "data.seed" in pairs.columns and pairs["data.seed"].n_unique() >= FEWEST


def _n_units(pairs: pl.DataFrame) -> int:
    """How many independent things stand behind a mean: data sets where these vary, else families."""
    if _has_data_sets(pairs):
        return pairs["data.seed"].n_unique()
    return len(set(pairs["family_a"]) | set(pairs["family_b"]))
