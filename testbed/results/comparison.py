"""Measured against predicted: z-scores, their distribution, and means over pairs with honest intervals."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

CONFIDENCE = 0.95
REPLICATES = 1000  # of the bootstrap
REPLICATES_AT_A_TIME = 100  # bounds the memory
MOST_DRAWN = 2000  # families that are drawn one by one
DENSE = 100  # times as many pairs of families as pairs of networks: until then sums over the former cost less
FEWEST = 3  # families, or data sets, from which an interval can be had
ROUNDING = 1e-12  # of exact population losses, with room
MOST_SKEWNESS = 0.6  # of samples, times √n: beyond, a handful of them carries the mean


@dataclass(frozen=True)
class ZSummary:
    """z-scores beside the standard normal.

    Mean, standard deviation, Kolmogorov–Smirnov distance and p, share beyond 2 and 3 standard errors.
    """

    n: int
    mean: float
    std: float
    ks: float
    p: float
    beyond_2: float
    beyond_3: float

    @property
    def standard_normal(self) -> bool:
        """Whether mean, spread and shape are those of n independent standard normals.

        Each of the three tests fails one time in 1,000 where they are.
        """
        from scipy import stats

        mean_ok = abs(self.mean) * self.n**0.5 < 3.3
        low, high = stats.chi2.ppf([0.0005, 0.9995], self.n - 1)
        spread_ok = low < (self.n - 1) * self.std**2 < high
        return bool(mean_ok and spread_ok and self.p > 1e-3)


def z_summary(z: np.ndarray) -> ZSummary:
    """The summary of z-scores `[n]`, one a pair, independent given the networks; at least two of them.

    >>> z_summary(np.random.default_rng(0).standard_normal(500)).standard_normal
    True
    """
    from scipy import stats

    ks, p = stats.kstest(z, "norm")
    return ZSummary(
        len(z),
        float(z.mean()),
        float(z.std(ddof=1)),
        float(ks),
        float(p),
        float((abs(z) > 2).mean()),
        float((abs(z) > 3).mean()),
    )


def z_scores(
    measured: np.ndarray, predicted: np.ndarray, standard_error: np.ndarray, skewness: np.ndarray, n_samples: int
) -> np.ndarray:
    """(measured − predicted) in standard errors, corrected for the skewness γ of the samples.

    t + γ (1 + 2 t²)/(6 √n), t = difference/error. A loss is far from symmetric (γ ≈ 4 in the shipped study), and the
    mean of n samples over its own estimated error then leans to the left by γ/(2 √n), which 10,000 pairs can see; so
    corrected it is standard normal to O(1/n) (Johnson 1978, JASA 73, 536).

    NaN where that is no use: where a handful of samples carries the loss (|γ| > 0.6 √n; one sample alone makes √n), and
    where the error is not well above the rounding of the prediction, a difference of terms of order 1.

    >>> z_scores(np.array([1.2]), np.array([1.0]), np.array([0.1]), np.array([0.0]), 100).round(6).tolist()
    [2.0]
    """
    usable = (standard_error > ROUNDING) & (abs(skewness) <= MOST_SKEWNESS * n_samples**0.5)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(usable, (measured - predicted) / standard_error, np.nan)
    return t + skewness * (1 + 2 * t * t) / (6 * n_samples**0.5)


def nearest_alpha(alphas: Sequence[float], alpha: float) -> float:
    """The grid's alpha nearest to `alpha`.

    >>> nearest_alpha((0.0, 0.4, 1.0), 0.5)
    0.4
    """
    grid = np.array(alphas)
    return float(grid[np.argmin(abs(grid - alpha))])


def bootstrap_means(pairs: pl.DataFrame, column: str, seed: int = 0) -> tuple[float, np.ndarray]:
    """Mean of a column over pairs, and the bootstrap's draws of it, `[REPLICATES]`; NaN with fewer than 3 families.

    pairs: with family_a and family_b. Pairs that share a network are not independent, so families are drawn with
    replacement, not pairs: a pair of families i and j weighs w_i w_j, one within family i weighs w_i, where w counts
    how often a family was drawn (the pigeonhole bootstrap, Owen 2007; Davezies, D'Haultfœuille & Guyonvarch 2021 for
    pairs). Where data sets differ among the pairs (a column `data.seed` with three or more values), data sets are
    drawn likewise, and the families within them. Of more than MOST_DRAWN families, as many groups of them are drawn.

    >>> pairs = pl.DataFrame({"family_a": [0, 1, 2], "family_b": [1, 2, 0], "barrier": [1.0, 2.0, 3.0]})
    >>> mean, draws = bootstrap_means(pairs, "barrier")
    >>> mean, draws.shape
    (2.0, (1000,))
    """
    values = pairs[column].to_numpy().astype(float)
    mean = float(values.mean())
    a, b, n_families = _numbered(pairs["family_a"].to_numpy(), pairs["family_b"].to_numpy())
    if n_families < FEWEST:
        return mean, np.full(REPLICATES, np.nan)
    n_drawn = min(n_families, MOST_DRAWN)
    if "data.seed" not in pairs.columns and (n_drawn < n_families or n_drawn**2 <= DENSE * len(values)):
        return mean, _means_of_groups(_counts(seed, n_drawn)[0], a % n_drawn, b % n_drawn, values)
    seeds, dataset = np.zeros(1, int), np.zeros(len(values), int)
    if "data.seed" in pairs.columns:
        seeds, dataset = np.unique(pairs["data.seed"].to_numpy(), return_inverse=True)
    family_counts, dataset_counts = _counts(seed, n_families, len(seeds))
    if len(seeds) < FEWEST:
        dataset_counts = np.ones((REPLICATES, len(seeds)))
    means = np.empty(REPLICATES)
    for start in range(0, REPLICATES, REPLICATES_AT_A_TIME):
        some = slice(start, start + REPLICATES_AT_A_TIME)
        w = family_counts[some]
        weight = np.where(a == b, w[:, a], w[:, a] * w[:, b]) * dataset_counts[some][:, dataset]
        total = weight.sum(1)
        means[some] = np.divide(weight @ values, total, out=np.full(len(w), np.nan), where=total > 0)
    return mean, means


def _numbered(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Families from 0 on, those that there are, in the order of their numbers; and how many there are.

    As np.unique would, without the sorting, which of a million pairs takes a hundred megabytes.

    >>> _numbered(np.array([4, 9]), np.array([9, 7]))
    (array([0, 2], dtype=int32), array([2, 1], dtype=int32), 3)
    """
    met = np.zeros(max(a.max(initial=-1), b.max(initial=-1)) + 1, bool)
    met[a] = True
    met[b] = True
    number = (met.cumsum() - 1).astype(np.int32)
    return number[a], number[b], int(met.sum())


def draw_seeds(groups: Sequence[pl.DataFrame]) -> list[int]:
    """A seed of the bootstrap for each group of pairs: one and the same for groups of the same families.

    Their means are then drawn together, so that what they have in common cancels in a difference.

    >>> early = pl.DataFrame({"family_a": [0, 1], "family_b": [1, 2]})
    >>> draw_seeds([early, early.select(pl.all() + 3), early])
    [0, 1, 0]
    """
    first: dict[frozenset[int], int] = {}
    return [
        first.setdefault(frozenset(group["family_a"]) | frozenset(group["family_b"]), number)
        for number, group in enumerate(groups)
    ]


def _means_of_groups(counts: np.ndarray, a: np.ndarray, b: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The bootstrap's draws of the mean, where a million pairs are not more work than there are pairs of families.

    Pairs of one pair of families weigh alike, so that their sums are enough: Σ_gh w_g w_h S_gh / Σ_gh w_g w_h N_gh,
    with w_g in place of w_g² within a family. counts: w `[REPLICATES, n]`; a, b: the families of both ends, or groups
    of families, below n.
    """
    n = counts.shape[1]
    apart = a != b
    cells = (a * n + b)[apart]
    family = a[~apart]

    def total(weights: np.ndarray) -> np.ndarray:  # whose tables, of tens of megabytes, are gone before the next
        table = np.bincount(cells, weights[apart], n**2).reshape(n, n)
        within = np.bincount(family, weights[~apart], n)
        return np.vecdot(counts @ table, counts) + counts @ within

    sums = total(values)
    sizes = total(np.ones(len(values)))
    return np.divide(sums, sizes, out=np.full(len(counts), np.nan), where=sizes > 0)


def mean_interval(pairs: pl.DataFrame, column: str, seed: int = 0) -> tuple[float, float, float]:
    """Mean of a column over pairs, and the ends of its 95 % bootstrap interval over families (and data sets).

    The ends are NaN with fewer than 3 families.

    >>> pairs = pl.DataFrame({"family_a": [0, 1, 2], "family_b": [1, 2, 0], "barrier": [1.0, 1.0, 1.0]})
    >>> tuple(round(end, 9) for end in mean_interval(pairs, "barrier"))
    (1.0, 1.0, 1.0)
    """
    mean, means = bootstrap_means(pairs, column, seed)
    return mean, *_ends(means)


def group_means(pairs: pl.DataFrame | pl.LazyFrame, by: list[str], column: str) -> pl.DataFrame:
    """Mean of a column over the pairs measured in each group: columns `by`, n, mean, low, high, sorted by the groups.

    pairs: with family_a, family_b and left_out; rows that are left out, or null, are not measured. Of a lazy table no
    more is read than is needed.

    >>> pairs = pl.DataFrame({"kind": ["a", "a"], "left_out": [False, True], "family_a": [0, 1], "family_b": [1, 2],
    ...                       "barrier": [1.0, 9.0]})
    >>> group_means(pairs, ["kind"], "barrier").select("n", "mean").rows()
    [(1, 1.0)]
    """
    rows = []
    schema = pairs.lazy().collect_schema()
    measured = pairs.lazy().filter(~pl.col("left_out") & pl.col(column).is_not_null())
    keys = measured.select(by).unique().sort(by).collect()
    if len(keys) == 1:  # a million pairs need no sorting then
        found = measured.select(_needed(schema.names(), [], column)).collect()
        sizes = [len(found)]
    else:
        found = measured.select(_needed(schema.names(), by, column)).sort(by, maintain_order=True).collect()
        sizes = found.group_by(by, maintain_order=True).len()["len"].to_list()
    start = 0
    for key, n in zip(keys.iter_rows(), sizes, strict=True):
        rows.append((*key, n, *mean_interval(found.slice(start, n), column)))
        start += n
    return pl.DataFrame(rows, schema=_schema(schema, by), orient="row")


def _needed(names: list[str], by: list[str], column: str) -> list[str]:
    """The columns that means of one in groups `by` are made of; groups are copies, and a million pairs have many."""
    return [name for name in names if name in {*by, column, "family_a", "family_b", "data.seed"}]


def difference_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the difference a − b of two bootstrapped means, with the seeds of `draw_seeds`.

    NaN where either has none. Where groups share data sets or some families it is wider than it need be.

    >>> difference_interval(np.full(1000, 3.0), np.full(1000, 1.0))
    (2.0, 2.0)
    """
    return _ends(a - b)


def effects(pairs: pl.DataFrame, factor: str, column: str) -> pl.DataFrame:
    """What each level of a factor does to the mean of a column, against its first level.

    Columns: factor, n, mean (the difference), low, high. pairs: measured, with families; means are over all levels of
    the other factors. No rows where there is one level alone.

    >>> pairs = pl.DataFrame({"width": [2, 4], "family_a": [0, 1], "family_b": [2, 3], "barrier": [1.0, 0.25]})
    >>> effects(pairs, "width", "barrier").select("width", "mean").rows()
    [(4, -0.75)]
    """
    needed = pairs.select(_needed(pairs.columns, [factor], column))
    groups = [needed.filter(pl.col(factor) == level) for level in pairs[factor].unique().sort()]
    drawn = [bootstrap_means(group, column, seed) for group, seed in zip(groups, draw_seeds(groups), strict=True)]
    first_mean, first_draws = drawn[0]
    rows = []
    for group, (mean, draws) in zip(groups[1:], drawn[1:], strict=True):
        rows.append((group[factor][0], len(group), mean - first_mean, *difference_interval(draws, first_draws)))
    return pl.DataFrame(rows, schema=_schema(pairs.schema, [factor]), orient="row")


def number(value: float | None) -> str:
    """Three digits; 0 for what only rounding left; a dash for nothing.

    >>> number(0.123456), number(4.6e-17), number(None)
    ('0.123', '0', '–')
    """
    if value is None or np.isnan(value):
        return "–"
    return "0" if abs(value) < ROUNDING else f"{value:.3g}"


def interval(row: dict[str, Any]) -> str:
    """mean [low, high]; the mean alone where there is no interval, or every pair has 0.

    >>> interval({"mean": 1.0, "low": 0.5, "high": 1.5}), interval({"mean": 0.0, "low": 0.0, "high": 0.0})
    ('1 [0.5, 1.5]', '0')
    """
    all_zero = row["mean"] == row["low"] == row["high"] == 0
    ends = "" if np.isnan(row["low"]) or all_zero else f" [{number(row['low'])}, {number(row['high'])}]"
    return number(row["mean"]) + ends


def with_families(pairs: pl.LazyFrame, networks: pl.LazyFrame) -> pl.LazyFrame:
    """The table of pairs with the families of both networks, as family_a and family_b.

    >>> networks = pl.LazyFrame({"network": [0, 1], "family": [5, 6]})
    >>> with_families(pl.LazyFrame({"network_a": [0], "network_b": [1]}), networks).collect().rows()
    [(0, 1, 5, 6)]
    """
    for side in "ab":
        of_end = networks.select(pl.col("network", "family").name.suffix(f"_{side}"))
        pairs = pairs.join(of_end, on=f"network_{side}", how="left", maintain_order="left")
    return pairs


@functools.lru_cache(maxsize=16)
def _counts(seed: int, *sizes: int) -> list[np.ndarray]:
    """How often each of n things was drawn in n draws with replacement, float64 `[REPLICATES, n]`, for each size n."""
    rng = np.random.default_rng(seed)
    return [rng.multinomial(n, np.full(n, 1 / n), REPLICATES).astype(float) for n in sizes]


def _ends(draws: np.ndarray) -> tuple[float, float]:
    """The ends of the 95 % interval of bootstrapped numbers; NaN where there are none."""
    if np.isnan(draws).all():
        return float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def _schema(pairs: pl.Schema, by: list[str]) -> dict[str, pl.DataType]:
    """Of a table of means: the columns `by` as in the table of pairs, then n, mean, low, high."""
    schema: dict[str, pl.DataType] = {name: pairs[name] for name in by}
    return schema | {"n": pl.Int64(), "mean": pl.Float64(), "low": pl.Float64(), "high": pl.Float64()}
