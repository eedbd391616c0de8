"""Whether the pairs of a study agree with what a source says of barriers.

A claim is judged by one set of intervals, of all the means and differences that it speaks of, which hold together in 95
of 100 studies (`joint`): a level that happens to lie high decides nothing because it was looked at among many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from testbed.results.comparison import ROUNDING, number
from testbed.results.joint import Means, means_of
from testbed.results.trend import between
from testbed.study.claim import Claim

ALL = ""  # the level of all pairs, where a claim names no factor


@dataclass(frozen=True)
class Verdict:
    """What was found, in numbers, and whether it agrees.

    `yes`, `no`, `undecided` (the intervals hold both) or `not measured`.
    """

    found: str
    agrees: str


def judge(claim: Claim, pairs: pl.DataFrame, shown: Callable[[str, Any], Any]) -> Verdict:
    """Whether the measured pairs agree.

    pairs: with families, kind, left_out and the claim's column. shown(factor, level): the level as the tables hold it.

    >>> pairs = pl.DataFrame({"kind": "independent", "left_out": False, "barrier": [0.1, 0.2, 0.3] * 4,
    ...                       "family_a": range(12), "family_b": range(12)})
    >>> claim = Claim(claim="It is low.", source="nobody", expects="at most", value=1.0, column="barrier")
    >>> judge(claim, pairs, lambda factor, level: level)
    Verdict(found='0.2 [0.15, 0.25]', agrees='yes')
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
    levels, groups = _groups(claim, pairs, shown)
    means = means_of(groups, claim.column)
    if claim.expects in ("at most", "at least"):
        return _against_a_value(claim, levels, means)
    if len(levels) < 2:
        return Verdict("one level alone", "not measured")
    if claim.expects in ("rises", "falls", "smaller"):
        return _first_against_last(claim, levels, means)
    if claim.expects.startswith("power"):
        return _power(claim, levels, means)
    return _turning(claim, levels, means)


def _groups(
    claim: Claim, pairs: pl.DataFrame, shown: Callable[[str, Any], Any]
) -> tuple[list[Any], list[pl.DataFrame]]:
    """The levels that have pairs, in the order that the claim or the study gives them, and the pairs of each."""
    if claim.factor is None:
        return [ALL], [pairs]
    levels = [shown(claim.factor, level) for level in claim.levels] or pairs[claim.factor].unique().sort().to_list()
    groups = {level: pairs.filter(pl.col(claim.factor) == level) for level in levels}
    groups = {level: group for level, group in groups.items() if len(group)}
    return list(groups), list(groups.values())


def _first_against_last(claim: Claim, levels: list[Any], means: Means) -> Verdict:
    """Whether the mean at the last level lies above that at the first (`falls`: below)."""
    last = len(levels) - 1
    low, high = (float(end[0]) for end in means.intervals(between(last + 1, [(0, last)])))
    agrees = _above_zero(-high, -low) if claim.expects == "falls" else _above_zero(low, high)
    return Verdict(f"{_said(levels, means, [0, last], ' to ')} (difference {_ends(low, high)})", agrees)


def _turning(claim: Claim, levels: list[Any], means: Means) -> Verdict:
    """Whether one of the levels between surely lies above both ends (`falls then rises`: below).

    It is `no` where each of them surely fails to lie above one of the ends.
    """
    last = len(levels) - 1
    inner = range(1, last)
    if not inner:
        return Verdict("no level between the ends", "not measured")
    sign = 1 if claim.expects == "rises then falls" else -1
    contrasts = [(end, level) for level in inner for end in (0, last)]
    low, high = means.intervals(sign * between(last + 1, contrasts))
    rows = list(zip(low.reshape(-1, 2).tolist(), high.reshape(-1, 2).tolist(), strict=True))
    verdicts = [_all_of([_above_zero(*ends) for ends in zip(*row, strict=True)]) for row in rows]
    agrees = "yes" if "yes" in verdicts else "no" if set(verdicts) == {"no"} else "undecided"
    extreme = max(inner, key=lambda level: sign * means.mean[level])
    of_ends = " and ".join(_ends(*ends) for ends in zip(*rows[extreme - 1], strict=True))
    found = _said(levels, means, [0, extreme, last], ", ")
    return Verdict(f"{found} ({'above' if sign > 0 else 'below'} the ends by {of_ends})", agrees)


def _against_a_value(claim: Claim, levels: list[Any], means: Means) -> Verdict:
    """Whether the mean at every level is at least, or at most, the claim's value."""
    assert claim.value is not None
    verdicts = []
    found = []
    low, high = means.intervals(np.eye(len(levels)), alone=True)
    for level, mean, *ends in zip(levels, means.mean, low, high, strict=True):
        below, above = (float(end) - claim.value for end in ends)
        if max(abs(below), abs(above)) <= ROUNDING:
            verdicts.append("yes")
        else:
            verdicts.append(_above_zero(below, above) if claim.expects == "at least" else _above_zero(-above, -below))
        found.append(f"{number(mean)} {_ends(*ends)}" + (f" at {level}" if level != ALL else ""))
    return Verdict(", ".join(found), _all_of(verdicts))


def _power(claim: Claim, levels: list[Any], means: Means) -> Verdict:
    """The exponent by least squares of log mean on log level, with its interval.

    It agrees if the interval holds the claim's value, or (`power at most`) lies at or below it.
    """
    assert claim.value is not None
    try:
        x = np.log(np.array(levels, dtype=float))
    except (TypeError, ValueError):
        return Verdict("levels that are no numbers", "not measured")
    if not (means.mean > 0).all():
        return Verdict("means that are not all above 0", "not measured")
    centred = x - x.mean()
    weights = centred / (centred**2).sum()
    logarithms = means.logarithms()
    low, high = (float(end[0]) for end in logarithms.intervals(weights[None]))
    if np.isnan(low):
        agrees = "undecided"
    elif claim.expects == "power":
        agrees = "yes" if low <= claim.value <= high else "no"
    elif high <= claim.value:
        agrees = "yes"
    else:
        agrees = "no" if low > claim.value else "undecided"
    return Verdict(f"exponent {number(float(weights @ logarithms.mean))} {_ends(low, high)}", agrees)


def _said(levels: list[Any], means: Means, which: list[int], separator: str) -> str:
    return separator.join(f"{number(means.mean[k])} at {levels[k]}" for k in which)


def _ends(low: float, high: float) -> str:
    """The ends of an interval as the page has them."""
    return f"[{number(low)}, {number(high)}]"


def _above_zero(low: float, high: float) -> str:
    """`yes` if the interval lies above 0 and what rounding leaves, `no` if nothing of it does, `undecided` else."""
    if low > ROUNDING:
        return "yes"
    return "no" if high <= ROUNDING else "undecided"


def _all_of(verdicts: list[str]) -> str:
    if set(verdicts) == {"yes"}:
        return "yes"
    return "no" if "no" in verdicts else "undecided"
