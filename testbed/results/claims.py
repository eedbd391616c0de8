"""Whether the pairs of a study agree with what a source says of barriers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from testbed.results.comparison import CONFIDENCE, ROUNDING, bootstrap_means, difference_interval, draw_seeds, number
from testbed.study.claim import Claim

Drawn: TypeAlias = dict[Any, tuple[float, np.ndarray]]  # by level: the mean, and the bootstrap's draws of it
ALL = ""  # the level of all pairs, where a claim names no factor


@dataclass(frozen=True)
class Verdict:
    """What was found, in numbers, and whether it agrees.

    `yes`, `no`, `undecided` (the interval holds both) or `not measured`.
    """

    found: str
    agrees: str


def judge(claim: Claim, pairs: pl.DataFrame, shown: Callable[[str, Any], Any]) -> Verdict:
    """Whether the measured pairs agree.

    pairs: with families, kind, left_out and the claim's column. shown(factor, level): the level as the tables hold it.

    >>> pairs = pl.DataFrame({"kind": ["independent"] * 3, "left_out": [False] * 3, "barrier": [0.1, 0.2, 0.3],
    ...                       "family_a": [0, 1, 2], "family_b": [1, 2, 0]})
    >>> claim = Claim(claim="It is low.", source="nobody", expects="at most", value=1.0, column="barrier")
    >>> judge(claim, pairs, lambda factor, level: level)
    Verdict(found='0.2', agrees='yes')
    """
    pairs = pairs.filter(~pl.col("left_out") & (pl.col("kind") == claim.pairs))
    if missing := [key for key in claim.where if key not in pairs.columns]:
        return Verdict(f"no column {missing[0]}", "not measured")
    for key, level in claim.where.items():
        pairs = pairs.filter(pl.col(key) == shown(key, level))
    if claim.column in pairs.columns:
        pairs = pairs.filter(pl.col(claim.column).is_not_null())
    if claim.column not in pairs.columns or not len(pairs):
        return Verdict("no pairs", "not measured")
    drawn = _drawn(claim, pairs, shown)
    if claim.expects in ("at most", "at least"):
        return _against_a_value(claim, drawn)
    if len(drawn) < 2:
        return Verdict("one level alone", "not measured")
    if claim.expects in ("rises", "falls", "smaller"):
        return _first_against_last(claim, drawn)
    if claim.expects.startswith("power"):
        return _power(claim, drawn)
    return _turning(claim, drawn)


def _drawn(claim: Claim, pairs: pl.DataFrame, shown: Callable[[str, Any], Any]) -> Drawn:
    """Means of the claim's column at each level that has pairs, in the order that the claim or the study gives them."""
    if claim.factor is None:
        groups: dict[Any, pl.DataFrame] = {ALL: pairs}
    else:
        levels = [shown(claim.factor, level) for level in claim.levels] or pairs[claim.factor].unique().sort().to_list()
        groups = {level: pairs.filter(pl.col(claim.factor) == level) for level in levels}
        groups = {level: group for level, group in groups.items() if len(group)}
    seeds = draw_seeds(list(groups.values()))
    return {
        level: bootstrap_means(group, claim.column, seed)
        for (level, group), seed in zip(groups.items(), seeds, strict=True)
    }


def _first_against_last(claim: Claim, drawn: Drawn) -> Verdict:
    """Whether the mean at the last level lies above that at the first (`falls`: below)."""
    first, *_, last = drawn
    low, high = difference_interval(drawn[last][1], drawn[first][1])
    means = " to ".join(f"{number(drawn[level][0])} at {level}" for level in (first, last))
    agrees = _above_zero(-high, -low) if claim.expects == "falls" else _above_zero(low, high)
    return Verdict(f"{means} (difference [{number(low)}, {number(high)}])", agrees)


def _turning(claim: Claim, drawn: Drawn) -> Verdict:
    """Whether the most extreme of the levels between lies above both ends (`falls then rises`: below)."""
    first, *inner, last = drawn
    sign = 1 if claim.expects == "rises then falls" else -1
    if not inner:
        return Verdict("no level between the ends", "not measured")
    extreme = max(inner, key=lambda level: sign * drawn[level][0])
    verdicts = []
    for end in (first, last):
        low, high = difference_interval(drawn[extreme][1], drawn[end][1])
        verdicts.append(_above_zero(low, high) if sign > 0 else _above_zero(-high, -low))
    means = ", ".join(f"{number(drawn[level][0])} at {level}" for level in (first, extreme, last))
    return Verdict(means, _all_of(verdicts))


def _against_a_value(claim: Claim, drawn: Drawn) -> Verdict:
    """Whether the mean at every level is at least, or at most, the claim's value."""
    assert claim.value is not None
    verdicts = []
    means = []
    for level, (mean, draws) in drawn.items():
        low, high = difference_interval(draws, np.full(1, claim.value))
        if max(abs(low), abs(high)) <= ROUNDING:
            verdicts.append("yes")
        else:
            verdicts.append(_above_zero(low, high) if claim.expects == "at least" else _above_zero(-high, -low))
        means.append(number(mean) + (f" at {level}" if level != ALL else ""))
    return Verdict(", ".join(means), _all_of(verdicts))


def _power(claim: Claim, drawn: Drawn) -> Verdict:
    """The exponent by least squares of log mean on log level, with its interval.

    It agrees if the interval holds the claim's value, or (`power at most`) lies at or below it.
    """
    assert claim.value is not None
    try:
        x = np.log(np.array(list(drawn), dtype=float))
    except (TypeError, ValueError):
        return Verdict("levels that are no numbers", "not measured")
    means = np.array([mean for mean, _ in drawn.values()])
    draws = np.array([draws for _, draws in drawn.values()])
    if not (means > 0).all():
        return Verdict("means that are not all above 0", "not measured")
    centred = x - x.mean()
    slope = float(centred @ np.log(means) / (centred**2).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        slopes = centred @ np.log(draws) / (centred**2).sum()
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(slopes[np.isfinite(slopes)], [tail, 1 - tail])
    if claim.expects == "power":
        agrees = "yes" if low <= claim.value <= high else "no"
    elif high <= claim.value:
        agrees = "yes"
    else:
        agrees = "no" if low > claim.value else "undecided"
    return Verdict(f"exponent {number(slope)} [{number(low)}, {number(high)}]", agrees)


def _above_zero(low: float, high: float) -> str:
    """`yes` if the interval lies above 0 and what rounding leaves, `no` if nothing of it does, `undecided` else."""
    if low > ROUNDING:
        return "yes"
    return "no" if high <= ROUNDING else "undecided"


def _all_of(verdicts: list[str]) -> str:
    if set(verdicts) == {"yes"}:
        return "yes"
    return "no" if "no" in verdicts else "undecided"
