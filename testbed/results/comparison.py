"""Measured against predicted: z-scores, their distribution, and means over pairs with honest intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

CONFIDENCE = 0.95
REPLICATES = 1000
ROUNDING = 1e-12  # of exact population losses, with room


@dataclass(frozen=True)
class ZSummary:
    """z-scores beside the standard normal: mean, standard deviation, Kolmogorov–Smirnov distance and p, share beyond 2 and 3."""

    n: int
    mean: float
    std: float
    ks: float
    p: float
    beyond_2: float
    beyond_3: float

    @property
    def standard_normal(self) -> bool:
        """Whether mean, spread and shape are those of n independent standard normals, each test failing one time in 1,000."""
        mean_ok = abs(self.mean) * self.n**0.5 < 3.3
        low, high = stats.chi2.ppf([0.0005, 0.9995], self.n - 1)
        return bool(mean_ok and low < (self.n - 1) * self.std**2 < high and self.p > 1e-3)


def z_summary(z: np.ndarray) -> ZSummary:
    """The summary of z-scores `[n]`, one a pair, independent given the networks; at least two of them."""
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
    """(measured − predicted) in standard errors, corrected for the skewness γ of the samples: t + γ (1 + 2 t²)/(6 √n), t = difference/error.

    A loss is far from symmetric (γ ≈ 4 in the shipped study), and the mean of n samples over its own estimated error then leans to
    the left by γ/(2 √n), which 10,000 pairs can see; so corrected it is standard normal to O(1/n) (Johnson 1978, JASA 73, 536).
    NaN where that is no use: where a handful of samples carries the loss (|γ| > 0.6 √n; one sample alone makes √n), and where the error is not
    well above the rounding of the prediction, a difference of terms of order 1.
    """
    usable = (standard_error > ROUNDING) & (abs(skewness) <= 0.6 * n_samples**0.5)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(usable, (measured - predicted) / standard_error, np.nan)
    return t + skewness * (1 + 2 * t * t) / (6 * n_samples**0.5)


def nearest_alpha(curves: pl.DataFrame, alpha: float) -> float:
    """The grid's alpha nearest to `alpha`."""
    grid = curves["alpha"].unique().sort().to_numpy()
    return float(grid[np.argmin(abs(grid - alpha))])


def bootstrap_means(pairs: pl.DataFrame, column: str, seed: int = 0) -> tuple[float, np.ndarray]:
    """Mean of a column over pairs (with family_a, family_b), and the bootstrap's draws of it, `[REPLICATES]`; NaN with fewer than 3 families.

    Pairs that share a network are not independent, so families are drawn with replacement, not pairs: a pair of families i and j
    weighs w_i w_j, one within family i weighs w_i, where w counts how often a family was drawn (the pigeonhole bootstrap,
    Owen 2007; Davezies, D'Haultfœuille & Guyonvarch 2021 for pairs). Where data sets differ among the pairs (a column `data.seed`
    with three or more values), data sets are drawn likewise, and the families within them.
    """
    values = pairs[column].to_numpy().astype(float)
    mean = float(values.mean())
    families, index = np.unique(
        np.concatenate([pairs["family_a"].to_numpy(), pairs["family_b"].to_numpy()]), return_inverse=True
    )
    a, b = index[: len(values)], index[len(values) :]
    n = len(families)
    if n < 3:
        return mean, np.full(REPLICATES, np.nan)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n, np.full(n, 1 / n), REPLICATES).astype(float)
    datasets, of = (
        np.unique(pairs["data.seed"].to_numpy(), return_inverse=True)
        if "data.seed" in pairs.columns
        else (np.zeros(1), np.zeros_like(a))
    )
    d = len(datasets)
    drawn_sets = rng.multinomial(d, np.full(d, 1 / d), REPLICATES).astype(float) if d >= 3 else np.ones((REPLICATES, d))
    means = np.empty(REPLICATES)
    for start in range(0, REPLICATES, 100):  # bounds the memory
        w = drawn[start : start + 100]
        weight = np.where(a == b, w[:, a], w[:, a] * w[:, b]) * drawn_sets[start : start + 100][:, of]
        total = weight.sum(1)
        means[start : start + 100] = np.divide(weight @ values, total, out=np.full(len(w), np.nan), where=total > 0)
    return mean, means


def mean_interval(pairs: pl.DataFrame, column: str, seed: int = 0) -> tuple[float, float, float]:
    """Mean of a column over pairs and the ends of its 95 % bootstrap interval over families (and data sets); NaN with fewer than 3 families."""
    mean, means = bootstrap_means(pairs, column, seed)
    if np.isnan(means).all():
        return mean, float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(means, [tail, 1 - tail])
    return mean, float(low), float(high)


def group_means(pairs: pl.DataFrame, by: list[str], column: str) -> pl.DataFrame:
    """Mean of a column over the pairs measured in each group: columns `by`, n, mean, low, high, sorted by the groups."""
    rows = []
    measured = pairs.filter(~pl.col("left_out") & pl.col(column).is_not_null())
    for key, group in measured.group_by(by, maintain_order=True):
        rows.append((*key, len(group), *mean_interval(group, column)))
    schema: dict[str, pl.DataType] = {name: pairs.schema[name] for name in by}
    schema |= {"n": pl.Int64(), "mean": pl.Float64(), "low": pl.Float64(), "high": pl.Float64()}
    table = pl.DataFrame(rows, schema=schema, orient="row")
    return table.sort(by)


def difference_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the difference a − b of two bootstrapped means, of groups that share no network; NaN where either has none.

    Where groups share data sets it is wider than it need be.
    """
    if np.isnan(a - b).all():
        return float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(a - b, [tail, 1 - tail])
    return float(low), float(high)


def effects(pairs: pl.DataFrame, factor: str, column: str) -> pl.DataFrame:
    """What each level of a factor does to the mean of a column, against its first level: factor, n, mean (the difference), low, high.

    pairs: measured, with families; over all levels of the other factors. No rows where there is one level alone.
    """
    groups = [pairs.filter(pl.col(factor) == level) for level in pairs[factor].unique().sort()]
    drawn = [bootstrap_means(group, column, seed=k) for k, group in enumerate(groups)]
    rows = []
    for group, (mean, means) in zip(groups[1:], drawn[1:], strict=True):
        rows.append((group[factor][0], len(group), mean - drawn[0][0], *difference_interval(means, drawn[0][1])))
    schema = {
        factor: pairs.schema[factor],
        "n": pl.Int64(),
        "mean": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def number(value: float | None) -> str:
    """Three digits; a dash for nothing."""
    return "–" if value is None or np.isnan(value) else f"{value:.3g}"


def interval(row: dict[str, Any]) -> str:
    """mean [low, high]."""
    return number(row["mean"]) + ("" if np.isnan(row["low"]) else f" [{number(row['low'])}, {number(row['high'])}]")


def with_families(pairs: pl.DataFrame, networks: pl.DataFrame) -> pl.DataFrame:
    """The table of pairs with the families of both networks, as family_a and family_b."""
    for side in "ab":
        family = networks.select(pl.col("network").alias(f"network_{side}"), pl.col("family").alias(f"family_{side}"))
        pairs = pairs.join(family, on=f"network_{side}", maintain_order="left")
    return pairs
