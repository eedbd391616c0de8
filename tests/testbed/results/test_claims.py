"""Claims and their verdicts, on pairs whose means are known."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from testbed.results.claims import judge
from testbed.study.claim import Claim

TRIALS = 100


def as_it_is(factor, level):
    """A level as the tables hold it."""
    return level


def pairs_of(levels, rng, spread=0.05, families=20):
    rows = []
    for k, (level, mean) in enumerate(levels.items()):
        for family in range(families * k, families * (k + 1)):
            rows.append(("independent", False, level, mean + spread * rng.standard_normal(), family, family))
    return pl.DataFrame(rows, schema=["kind", "left_out", "width", "barrier", "family_a", "family_b"], orient="row")


@pytest.mark.parametrize(
    ("expects", "means", "agrees"),
    [
        ("rises", (0.0, 0.5, 1.0), "yes"),
        ("rises", (1.0, 0.5, 0.0), "no"),
        ("falls", (1.0, 0.5, 0.0), "yes"),
        ("falls", (0.0, 0.5, 1.0), "no"),
        ("rises", (0.0, 0.5, 0.0), "undecided"),
        ("rises then falls", (0.0, 1.0, 0.2), "yes"),
        ("rises then falls", (0.0, 0.5, 1.0), "no"),
        ("falls then rises", (1.0, 0.2, 0.9), "yes"),
        ("falls then rises", (0.0, 1.0, 0.2), "no"),
        ("rises then falls", (0.0, 1.0, 1.0), "undecided"),
    ],
)
def test_verdicts(expects, means, agrees):
    rng = np.random.default_rng(5)
    pairs = pairs_of(dict(zip((2, 4, 8), means, strict=True)), rng)
    claim = Claim(claim="c", source="s", expects=expects, factor="width", column="barrier")
    assert judge(claim, pairs, as_it_is).agrees == agrees


def test_verdicts_against_a_value_and_between_two_levels():
    pairs = pairs_of({2: 0.5, 4: 0.1}, np.random.default_rng(1))

    def verdict(**fields):
        return judge(Claim(claim="c", source="s", column="barrier", **fields), pairs, as_it_is).agrees

    assert verdict(expects="at least", factor="width", levels=[2], value=0.3) == "yes"
    assert verdict(expects="at most", factor="width", levels=[2], value=0.3) == "no"
    assert verdict(expects="at most", factor="width", levels=[4], value=0.3) == "yes"
    assert verdict(expects="at most", value=0.31) == "undecided"
    assert verdict(expects="smaller", factor="width", levels=[4, 2]) == "yes"
    assert verdict(expects="smaller", factor="width", levels=[2, 4]) == "no"
    assert verdict(expects="smaller", factor="width", levels=[2, 4], pairs="siblings") == "not measured"


def test_the_level_that_stands_out_is_named():
    rng = np.random.default_rng(6)
    rises = pairs_of({2: 0.0, 4: 0.7, 8: 1.5, 16: 0.9, 32: 0.1}, rng)
    falls = rises.with_columns(pl.col("barrier") * -1)
    for expects, pairs in (("rises then falls", rises), ("falls then rises", falls)):
        claim = Claim(claim="c", source="s", expects=expects, factor="width", column="barrier")
        verdict = judge(claim, pairs, as_it_is)
        assert verdict.agrees == "yes"
        assert [part.split(" at ")[1] for part in verdict.found.split(" (")[0].split(", ")] == ["2", "8", "32"]


def test_what_too_few_levels_cannot_tell_is_not_measured():
    pairs = pairs_of({2: 0.0, 4: 1.0}, np.random.default_rng(2))
    for expects, levels, found in (
        ("rises", [2], "one level alone"),
        ("power", [2], "one level alone"),
        ("rises then falls", [2, 4], "no level between the ends"),
    ):
        claim = Claim(
            claim="c", source="s", expects=expects, factor="width", levels=levels, column="barrier", value=1.0
        )
        verdict = judge(claim, pairs, as_it_is)
        assert (verdict.agrees, verdict.found) == ("not measured", found)


def test_a_power_law_is_judged_by_its_exponent():
    rng = np.random.default_rng(3)
    pairs = pairs_of({w: w**-0.5 for w in (4, 8, 16, 32, 64)}, rng, spread=0.005)
    for value, agrees in ((-0.5, "yes"), (-1.0, "no"), (0.0, "no")):
        claim = Claim(claim="c", source="s", expects="power", factor="width", column="barrier", value=value)
        assert judge(claim, pairs, as_it_is).agrees == agrees
    for value, agrees in ((-0.45, "yes"), (-0.5, "undecided"), (-0.6, "no")):  # at least as fast as that
        claim = Claim(claim="c", source="s", expects="power at most", factor="width", column="barrier", value=value)
        assert judge(claim, pairs, as_it_is).agrees == agrees


@pytest.mark.parametrize("families", [4, 12])
@pytest.mark.parametrize("expects", ["rises then falls", "at most", "rises"])
def test_a_claim_is_decided_by_chance_as_seldom_as_it_says(expects, families):
    """Seven levels of equal means: what is so, or is on the edge of being so, is said to be wrong in 5 % at most.

    With an interval of its own for each level, "at most" was said to be wrong here in 52 and 38 of 100 (of 4 and 12
    families), and something rose and fell in 9 and 6.
    """
    rng = np.random.default_rng(11)
    claim = Claim(claim="c", source="s", expects=expects, factor="width", column="barrier", value=1.0)
    wrong = "no" if expects == "at most" else "yes"
    found = 0
    for _ in range(TRIALS):
        pairs = pairs_of(dict.fromkeys((2, 4, 8, 16, 32, 64, 128), 1.0), rng, families=families)
        found += judge(claim, pairs, as_it_is).agrees == wrong
    assert found <= 0.12 * TRIALS  # 5 of 100 have a standard deviation of 2.2


def test_of_too_few_families_nothing_is_decided():
    pairs = pairs_of({2: 0.5, 4: 0.1, 8: 0.5}, np.random.default_rng(1), families=2)
    for expects in ("rises", "falls then rises", "at most", "power", "power at most"):
        claim = Claim(claim="c", source="s", expects=expects, factor="width", column="barrier", value=0.3)
        assert judge(claim, pairs, as_it_is).agrees == "undecided"
