"""Two runs held against each other: where their studies differ, and whether the barriers of their common cells do.

Cells are matched by the levels of their factors. Where a factor varies in one run alone, only its cells at the other
run's fixed value are compared. Differences are those of `testbed.results.trend`, all rows at once: families are drawn
with replacement in each run apart (B's are numbered on from A's), or data sets where both runs learnt the same three or
more. Runs that share seeds share initial parameters, which can only bring their means together: intervals are then
wider than they need be.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from testbed import columns
from testbed.errors import StudyError
from testbed.report import learnt
from testbed.report.blocks import blocks
from testbed.report.sentences import count
from testbed.report.verdicts import SURE, ends_of, judged_by, least_of_interest, name_of
from testbed.results.comparison import FEWEST, group_means, interval, number
from testbed.results.results import Results
from testbed.results.trend import ROUNDING, SMALL, differences
from testbed.study import Study
from testbed.study.levels import levels
from testbed.study.study import BASELINE

MOST_SHOWN = 30  # fields in which studies differ
LONGEST = 60  # characters of a value
DATA_SEED = "data.seed"
SPLIT = "ensemble.spawn_step"


@dataclass(frozen=True)
class Compared:
    """What there is to say of two runs. tables: a title, a header and rows of text each."""

    tables: list[tuple[str, list[str], list[list[str]]]]
    sentences: list[str]


@dataclass(frozen=True)
class Level:
    """One level of a factor: its value as a study has it, and as the run's tables do (None: it does not vary there)."""

    value: Any
    shown: Any


@dataclass(frozen=True, eq=False)
class Row:
    """Pairs of one kind in cells that both runs have. levels: what the factors are there; a and b: the pairs."""

    kind: str
    levels: dict[str, str]
    a: pl.DataFrame
    b: pl.DataFrame


def compare(a: Results, b: Results) -> Compared:
    """Where the studies of two runs differ, their barriers beside each other, and what is sure of the differences.

    StudyError where their losses are of different units.
    """
    if a.study.training.loss != b.study.training.loss:
        raise StudyError(
            f"{a.folder} was trained with loss {a.study.training.loss!r}, {b.folder} with "
            f"{b.study.training.loss!r}: their barriers have different units, and no difference."
        )
    fields = differing(a, b)
    tables = [("Where the studies differ", ["field", "A", "B"], fields)] if fields else []
    said = [] if fields else ["The studies are the same."]
    column = _column(a, b)
    rows = list(matched(a, b, column))
    if rows:
        table, sentences = _barriers(a, b, rows, column)
        tables.append(table)
        said += sentences
    else:
        said.append("The runs have no cell in common, so no barrier is compared with another.")
    for name, results in (("A", a), ("B", b)):
        found = [sentence for block in blocks(results) for sentence in (*block.sentences, *block.warnings)]
        found += [count(results)] if results.counts["diverged"] else []
        said += [f"{name} alone: {sentence}" for sentence in found]
    return Compared(tables, said)


def differing(a: Results, b: Results) -> list[list[str]]:
    """The fields in which two studies differ, with both values; those of the machine, too."""
    ours, theirs = (dict(_flat("", results.study.resolved())) for results in (a, b))
    ours |= {f"(run) {key}": value for key, value in a.manifest["environment"].items()}
    theirs |= {f"(run) {key}": value for key, value in b.manifest["environment"].items()}
    keys = [key for key in dict.fromkeys([*ours, *theirs]) if ours.get(key) != theirs.get(key)]
    rows = [[key, _short(ours.get(key)), _short(theirs.get(key))] for key in keys[:MOST_SHOWN]]
    return rows + [[f"and {len(keys) - MOST_SHOWN} more", "", ""]] * (len(keys) > MOST_SHOWN)


def matched(a: Results, b: Results, column: str) -> Iterator[Row]:
    """The cells that both runs have, by kind of pairs, with the pairs of either that were measured."""
    keys = [key for key in dict.fromkeys([*a.factors, *b.factors]) if key != DATA_SEED]
    of_a, of_b = ({key: levels_of(results.study, key) for key in keys} for results in (a, b))
    common = {key: [name for name in of_a[key] if name in of_b[key]] for key in keys}
    for kind in a.kinds:
        told_apart = [key for key in keys if kind != "independent" or key != SPLIT]
        for names in itertools.product(*(common[key] for key in told_apart)):
            chosen = dict(zip(told_apart, names, strict=True))
            sides = [
                _pairs(results, kind, column, {key: of[key][name] for key, name in chosen.items()}, other)
                for results, of, other in ((a, of_a, b), (b, of_b, a))
            ]
            if all(len(side) for side in sides):
                sides[1] = sides[1].with_columns(pl.col("family_a", "family_b") + a.n_families)
                shown = {key: _name(of_a[key][name]) for key, name in chosen.items()}
                yield Row(kind, shown, *sides)


def _barriers(
    a: Results, b: Results, rows: list[Row], column: str
) -> tuple[tuple[str, list[str], list[list[str]]], list[str]]:
    """The table of barriers beside each other, and the sentences that sum it up."""
    groups = [side for row in rows for side in (row.a, row.b)]
    in_common = [_same_data_sets(row) for row in rows]
    contrasts = [(2 * k, 2 * k + 1) for k in range(len(rows)) if in_common[k]]
    found = differences(groups, column, contrasts=contrasts)
    keys = list(dict.fromkeys(key for row in rows for key in row.levels))
    unlearnt = {"A": _stuck(a), "B": _stuck(b)}
    shown, counted = [], dict.fromkeys(("higher", "lower", "the same", "cannot tell", "did not learn"), 0)
    for k, row in enumerate(rows):
        low, high = float(found.low[2 * k, 2 * k + 1]), float(found.high[2 * k, 2 * k + 1])
        means = (float(found.mean[2 * k]), float(found.mean[2 * k + 1]))
        small = max(SMALL * max(map(abs, means)), least_of_interest(a, row.a, column), ROUNDING)
        sure = _sure(low, high, small)
        stuck = [name for name, side in (("A", row.a), ("B", row.b)) if unlearnt[name] & set(side["cell"])]
        if stuck:
            sure = "did not learn"
        counted[sure] += 1
        change = {"mean": means[1] - means[0], "low": low, "high": high}
        told = f"{' and '.join(stuck)} did not learn" if stuck else sure
        sides = [_mean_and_ends(side, column) for side in (row.a, row.b)]
        levels = [row.levels.get(key, "all") for key in keys]
        shown.append([row.kind, *levels, *(text for side in sides for text in side), interval(change), told])
    header = ["pairs", *(a.label(key) for key in keys)]
    header += ["A [95 %]", "A's ends", "B [95 %]", "B's ends", "B − A [95 %]", "B is"]
    title = f"Mean {name_of(column)}; intervals of B − A hold for all rows at once"
    return (title, header, shown), [_summed_up(counted, column), *_caveats(rows, in_common, counted)]


def _summed_up(counted: dict[str, int], column: str) -> str:
    """How many rows say what."""
    n = sum(counted.values())
    parts = [f"{counted[what]} {what}" for what in ("higher", "lower", "the same") if counted[what]]
    said = [f"in B it is {', '.join(parts)} ({SURE} of all at once)"] if parts else []
    said += [f"of {counted['cannot tell']} cannot tell"] if counted["cannot tell"] else []
    said += [f"of {counted['did not learn']} nothing can be said"] if counted["did not learn"] else []
    return f"The mean {name_of(column)}, of {n} row{'s' * (n > 1)}: {'; '.join(said)}."


def _caveats(rows: list[Row], in_common: list[bool], counted: dict[str, int]) -> Iterator[str]:
    """What a reader must know to believe the table."""
    if counted["did not learn"]:
        yield (
            "Where networks did not learn, their loss ends above half of what it was at the first step, and a low "
            "barrier says nothing of connectivity."
        )
    if not all(in_common):
        yield "Rows whose runs learnt other data sets, and share fewer than three, are not compared."
    elif not all(_n_data_sets(row.a) >= FEWEST for row in rows):
        yield "Intervals are over networks, of few data sets: a difference may be particular to these data."


def _sure(low: float, high: float, small: float) -> str:
    """What an interval of B − A says."""
    if low > ROUNDING:
        return "higher"
    if high < -ROUNDING:
        return "lower"
    return "the same" if max(-low, high) <= small else "cannot tell"  # NaN: cannot tell


def _column(a: Results, b: Results) -> str:
    """The barrier that both are judged by: A's, if B has it, else that of a loss which both have."""
    names = [judged_by(a), judged_by(b), *(columns.barrier(name) for name in ("test_loss", "train_loss"))]
    for name in names:
        if a.has(name) and b.has(name):
            return name
    raise StudyError(f"{a.folder} and {b.folder} have no barrier in common: in one of them no pair was measured.")


def levels_of(study: Study, key: str) -> dict[str, Level]:
    """The levels of a factor by the name that both runs have for it; of one that does not vary, the fixed value."""
    if key == "component":
        settings: dict[str, dict[str, Any]] = {BASELINE: {}} | study.components
        shown = bool(study.components)
        return {json.dumps([name, of]): Level(name, name if shown else None) for name, of in settings.items()}
    if key in study.factors:
        values = study.factors[key]
        return {_named(value): Level(value, shown) for value, shown in zip(values, levels(values), strict=True)}
    fixed: Any = study.resolved()
    for part in key.split("."):
        fixed = fixed.get(part) if isinstance(fixed, dict) else None
    return {_named(fixed): Level(fixed, None)}


def _named(value: Any) -> str:
    """A value as a key: 1 and 1.0 are one."""
    return json.dumps(float(value) if isinstance(value, int) and not isinstance(value, bool) else value, sort_keys=True)


def _name(level: Level) -> str:
    """A level as a table shows it."""
    return str(levels([level.value])[0] if level.shown is None else level.shown).removesuffix(".0")


def _pairs(results: Results, kind: str, column: str, chosen: dict[str, Level], other: Results) -> pl.DataFrame:
    """The measured pairs of a kind at these levels; at the other run's data set, where that has one alone."""
    pairs = results.pairs_with(column, _ends(column), ends_of(results, column), kind=kind).drop_nulls(column)
    for key, level in chosen.items():
        if level.shown is not None:
            pairs = pairs.filter(pl.col(key) == level.shown)
    seeds = _data_seeds(other)
    if DATA_SEED in results.factors:
        return pairs.filter(pl.col(DATA_SEED).is_in(seeds)) if set(seeds) & set(_data_seeds(results)) else pairs
    return pairs.with_columns(pl.lit(_data_seeds(results)[0]).alias(DATA_SEED))


def _data_seeds(results: Results) -> list[int]:
    """The seeds of the data sets that a run learnt."""
    fixed = getattr(results.study.data, "seed", 0)  # one's own file has none
    return list(results.study.factors.get(DATA_SEED, [fixed]))


def _n_data_sets(pairs: pl.DataFrame) -> int:
    return pairs[DATA_SEED].n_unique()


def _same_data_sets(row: Row) -> bool:
    """Whether both sides learnt the same data sets."""
    return set(row.a[DATA_SEED]) == set(row.b[DATA_SEED])


def _stuck(results: Results) -> set[Any]:
    """The cells whose networks did not learn."""
    cells = results.levels_measured("cell")
    return {one.level for one in learnt.stuck(results, "cell", cells)}


def _mean_and_ends(pairs: pl.DataFrame, column: str) -> tuple[str, str]:
    """The mean barrier with its own interval, and the loss (or error) at the ends of the paths."""
    (row,) = group_means(pairs, ["kind"], column).to_dicts()
    ends = _ends(column)
    return interval(row), number(pairs[ends].mean() if ends in pairs.columns else None)  # type: ignore[arg-type]


def _ends(column: str) -> str:
    """The column of what a barrier is of, at the ends; of the test loss where it was predicted."""
    quantity = column.partition("_barrier_")[0]
    return columns.ends(quantity if quantity in columns.QUANTITIES else "test_loss")


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Nested tables as dotted keys; claims as one."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}" if key else name, inner)
    else:
        yield key, value


def _short(value: Any) -> str:
    """A value in a table: a dash where there is none."""
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
