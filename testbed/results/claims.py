"""Claims: what a source says of barriers, and whether the pairs of a study agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from testbed.data.sampling import Section
from testbed.results.comparison import CONFIDENCE, bootstrap_means, difference_interval


class Claim(Section):
    """One line of the table "claim, source, here, agrees?".

    expects, of the mean of `column` over the pairs of a kind, against `factor`: `rises` or `falls` from its first level to its last;
    `rises then falls`: some level between is above both ends (`falls then rises`: below); `smaller`: at levels[0] than at levels[1];
    `at most` or `at least` `value` at every level, or of all pairs if no factor is named; `power`: the mean goes as level^value, by a straight line
    through the logarithms; `power at most`: it falls at least as fast as that, a bound O(level^value). where: factor, or column of the pairs, =
    value to look at alone.
    """

    claim: str
    source: str
    expects: Literal[
        "rises",
        "falls",
        "rises then falls",
        "falls then rises",
        "smaller",
        "at most",
        "at least",
        "power",
        "power at most",
    ]
    column: str = "test_error_barrier_linear"
    pairs: Literal["independent", "siblings"] = "independent"
    factor: str | None = None
    levels: list[Any] = Field(default_factory=list)
    value: float | None = None
    where: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        if self.expects in ("at most", "at least"):
            if self.value is None:
                raise ValueError(f"value is missing: {self.expects!r} what?")
        elif self.expects.startswith("power") and self.value is None:
            raise ValueError("value is missing: the exponent.")
        elif self.factor is None:
            raise ValueError(f"factor is missing: {self.expects!r} with what?")
        if self.expects == "smaller" and len(self.levels) != 2:
            raise ValueError(f"levels must be two for 'smaller', the smaller one first, not {self.levels}.")
        return self

    def check(self, factors: dict[str, list[Any]]) -> None:
        """ValueError if the claim speaks of a factor or level that the study does not have."""
        asked = {
            key: [level] for key, level in self.where.items() if key in factors or "." in key
        }  # others are columns of the pairs
        if self.factor is not None:
            asked[self.factor] = self.levels
        for key, levels in asked.items():
            if key not in factors:
                raise ValueError(
                    f"claims: {key!r} does not vary in this study; its factors are {', '.join(factors) or 'none'}."
                )
            for level in levels:
                if level not in factors[key]:
                    raise ValueError(f"claims: {key} has no level {level!r}; it has {factors[key]}.")


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
