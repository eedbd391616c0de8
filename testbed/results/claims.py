"""Claims: what a source says of barriers, and whether the pairs of a study agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from testbed.results.comparison import CONFIDENCE, bootstrap_means, difference_interval
from testbed.study.claim import Claim


@dataclass(frozen=True)
class Verdict:
    """What was found, in numbers, and `yes`, `no`, `undecided` (the interval holds both) or `not measured`."""

    here: str
    agrees: str


def judge(claim: Claim, pairs: pl.DataFrame, shown: Callable[[str, Any], Any]) -> Verdict:
    """Whether the measured pairs (with families) agree. shown(factor, level): the level as the tables hold it."""
    pairs = pairs.filter(~pl.col("left_out") & (pl.col("kind") == claim.pairs))
    if missing := [key for key in claim.where if key not in pairs.columns]:
        return Verdict(f"no column {missing[0]}", "not measured")
    for key, level in claim.where.items():
        pairs = pairs.filter(pl.col(key) == shown(key, level))
    if claim.column not in pairs.columns or not len(pairs := pairs.filter(pl.col(claim.column).is_not_null())):
        return Verdict("no pairs", "not measured")
    if claim.factor is None:
        groups: dict[Any, pl.DataFrame] = {"": pairs}
    else:
        levels = [shown(claim.factor, level) for level in claim.levels] or pairs[claim.factor].unique().sort().to_list()
        groups = {level: pairs.filter(pl.col(claim.factor) == level) for level in levels}
        groups = {level: group for level, group in groups.items() if len(group)}
    drawn = {level: bootstrap_means(group, claim.column, seed=k) for k, (level, group) in enumerate(groups.items())}
    if claim.expects in ("at most", "at least"):
        return _against_a_value(claim, drawn)
    if len(drawn) < 2:
        return Verdict("one level alone", "not measured")
    names = list(drawn)
    if claim.expects in ("rises", "falls", "smaller"):
        low, high = difference_interval(drawn[names[-1]][1], drawn[names[0]][1])
        here = " to ".join(f"{_number(drawn[name][0])} at {name}" for name in (names[0], names[-1]))
        agrees = _sign(-high, -low) if claim.expects == "falls" else _sign(low, high)
        return Verdict(f"{here} (difference [{_number(low)}, {_number(high)}])", agrees)
    if claim.expects.startswith("power"):
        return _power(claim, drawn)
    sign = 1 if claim.expects == "rises then falls" else -1
    inner = names[1:-1]
    if not inner:
        return Verdict("no level between the ends", "not measured")
    top = max(inner, key=lambda name: sign * drawn[name][0])
    verdicts = []
    for end in (names[0], names[-1]):
        low, high = difference_interval(drawn[top][1], drawn[end][1])
        verdicts.append(_sign(low, high) if sign > 0 else _sign(-high, -low))
    here = ", ".join(f"{_number(drawn[name][0])} at {name}" for name in (names[0], top, names[-1]))
    agrees = "yes" if verdicts == ["yes", "yes"] else "no" if "no" in verdicts else "undecided"
    return Verdict(here, agrees)


def _against_a_value(claim: Claim, drawn: dict[Any, tuple[float, np.ndarray]]) -> Verdict:
    assert claim.value is not None
    sign = 1 if claim.expects == "at least" else -1
    verdicts, said = [], []
    for level, (mean, means) in drawn.items():
        low, high = difference_interval(means, np.full(1, claim.value))
        verdicts.append("yes" if low == high == 0 else _sign(low, high) if sign > 0 else _sign(-high, -low))
        said.append(_number(mean) + (f" at {level}" if level != "" else ""))
    agrees = "yes" if set(verdicts) == {"yes"} else "no" if "no" in verdicts else "undecided"
    return Verdict(", ".join(said), agrees)


def _power(claim: Claim, drawn: dict[Any, tuple[float, np.ndarray]]) -> Verdict:
    """The exponent by least squares of log mean on log level, with its interval; it agrees if that holds the value, or lies at or below it."""
    assert claim.value is not None
    try:
        x = np.log(np.array(list(drawn), dtype=float))
    except (TypeError, ValueError):
        return Verdict("levels that are no numbers", "not measured")
    means = np.array([mean for mean, _ in drawn.values()])
    if not (means > 0).all():
        return Verdict("means that are not all above 0", "not measured")
    with np.errstate(invalid="ignore", divide="ignore"):
        slopes = (x - x.mean()) @ np.log(np.array([draws for _, draws in drawn.values()])) / ((x - x.mean()) ** 2).sum()
    slope = float((x - x.mean()) @ np.log(means) / ((x - x.mean()) ** 2).sum())
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(slopes[np.isfinite(slopes)], [tail, 1 - tail])
    holds = "yes" if low <= claim.value <= high else "no"
    bound = "yes" if high <= claim.value else "no" if low > claim.value else "undecided"
    return Verdict(
        f"exponent {_number(slope)} [{_number(low)}, {_number(high)}]", holds if claim.expects == "power" else bound
    )


def _sign(low: float, high: float) -> str:
    """`yes` if the interval lies above 0, `no` if nothing of it does, `undecided` else."""
    return "yes" if low > 0 else "no" if high <= 0 else "undecided"


def _number(value: float) -> str:
    return f"{value:.3g}"
