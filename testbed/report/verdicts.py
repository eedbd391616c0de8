"""What a factor does to the barrier: one sentence for each kind of pairs, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.report.facets import Facet
from testbed.results.comparison import number
from testbed.results.joint import independent_things
from testbed.results.results import Results
from testbed.results.trend import ROUNDING, Trend, differences, trend

NAMES = {"independent": "independent pairs", "siblings": "siblings"}  # of kinds of pairs, in sentences
SURE = "95 % sure"
LEAST_OF_ENDS = 0.01  # of the loss at the ends: barriers that differ by less are called the same
VERBS = {
    "rises": "rises with {name}",
    "falls": "falls with {name}",
    "rises then falls": "rises, then falls, with {name}",
    "falls then rises": "falls, then rises, with {name}",
    "goes up and down": "goes up and down with {name}",
    "differs": "depends on {name}",
}


@dataclass(frozen=True)
class Verdict:
    """What one facet of a factor does to the barrier of one kind of pairs along one path, and the sentence for it."""

    kind: str
    path: str
    column: str
    trend: Trend
    sentence: str
    is_zero: bool = False


def spoken(found: list[Verdict], name: str) -> list[str]:
    """The sentences of verdicts; one for all paths of a kind of pairs along which every barrier is 0.

    name: the facet's.
    """
    said = []
    for kind in dict.fromkeys(verdict.kind for verdict in found):
        of_kind = [verdict for verdict in found if verdict.kind == kind]
        zero = [verdict for verdict in of_kind if verdict.is_zero]
        if len(zero) > 1:
            paths = [ALIGNMENTS[verdict.path].phrase if verdict.path else "as trained" for verdict in zero]
            said.append(f"{NAMES[kind].capitalize()}: every barrier is 0 at every level of {name}, {', '.join(paths)}.")
            of_kind = [verdict for verdict in of_kind if not verdict.is_zero]
        said += [verdict.sentence for verdict in of_kind]
    return said


def verdicts(results: Results, facet: Facet) -> list[Verdict]:
    """For each kind of pairs that the factor tells apart, and along each path: as trained, and after each alignment."""
    found = []
    for kind in results.kinds:
        if facet.key not in results.groups(kind):
            continue
        for path in ("", *ALIGNMENTS):
            column = judged_by(results, path)
            if results.has(column):
                found.append(_verdict(results, facet, kind, path, column))
    return found


def judged_by(results: Results, path: str = "") -> str:
    """The barrier that verdicts are about: of the training error, or else of the exact population or the test loss."""
    error = columns.barrier("train_error")
    if results.has(error):
        return columns.along(error, path)
    return columns.barrier(f"{results.part}_loss", path=path) if path else results.main_barrier


def name_of(column: str) -> str:
    """A barrier, or another column of numbers of the pairs, as sentences name it.

    >>> name_of("train_error_barrier_linear"), name_of("population_barrier_midpoint"), name_of("weights_distance")
    ('train error barrier (linear)', 'population loss barrier (midpoint)', 'weights distance')
    """
    quantity, _, definition = column.partition("_barrier_")
    if not definition:
        return columns.readable(column)
    loss = "" if quantity.endswith(("loss", "error")) else " loss"
    return f"{columns.readable(quantity)}{loss} barrier ({columns.readable(definition)})"


def ends_of(results: Results, column: str) -> str:
    """The column of the loss (or error) at the ends that a barrier is to be seen beside."""
    return columns.ends("train_error" if "error" in column else f"{results.part}_loss")


def least_of_interest(results: Results, pairs: pl.DataFrame, column: str) -> float:
    """A difference of barriers that is small beside the loss (or error) at the ends; 0 where that is not known."""
    ends = ends_of(results, column)
    if ends not in pairs.columns or not len(pairs):
        return 0.0
    return LEAST_OF_ENDS * float(pairs[ends].mean() or 0.0)  # type: ignore[arg-type]


def _verdict(results: Results, facet: Facet, kind: str, path: str, column: str) -> Verdict:
    pairs = results.pairs_with(column, ends_of(results, column), kind=kind).drop_nulls(column)
    groups = [pairs.filter(pl.col(facet.key) == level) for level in facet.levels]
    if not all(len(group) for group in groups):
        return Verdict(kind, path, column, Trend("unknown", (0, len(groups) - 1), np.nan), _unmeasured(kind, facet))
    found = differences(groups, column, ordered=facet.ordered)
    seen = trend(found, facet.ordered, least_of_interest(results, pairs, column))
    if "error" in column:  # a share: no two are further apart than 1
        seen = replace(seen, bound=min(seen.bound, 1.0))
    how = f", {ALIGNMENTS[path].phrase}" if path else ""
    others = [key for key in results.groups(kind) if key != facet.key and pairs[key].n_unique() > 1]
    how += f", over all levels of {' and '.join(map(results.short, others))}" if others else ""
    subject = f"{NAMES[kind].capitalize()}{how}: the {name_of(column.removeprefix(f'{path}_'))}"
    count, things = independent_things(groups)
    sentence = f"{subject} {predicate(seen, found.mean, facet, f'{count} {things}')}"
    return Verdict(kind, path, column, seen, sentence, is_zero=float(abs(found.mean).max()) < ROUNDING)


def _unmeasured(kind: str, facet: Facet) -> str:
    return f"{NAMES[kind].capitalize()}: not every level of {facet.name} has pairs that were measured."


def predicate(seen: Trend, means: np.ndarray, facet: Facet, behind: str) -> str:
    """The end of the sentence: what the barrier does, between which means, and how sure that is.

    behind: how many of what stand behind each mean.

    >>> width = Facet("w", "width", "width (units)", (2, 64), ("2", "64"), True)
    >>> predicate(Trend("rises", (0, 1), 0.2), np.array([0.044, 0.18]), width, "30 families")
    'rises with width: 0.044 at 2 → 0.18 at 64 (95 % sure).'
    >>> predicate(Trend("same", (0, 1), 0.002), np.array([0.1, 0.101]), width, "30 families")
    'does not depend on width: its levels differ by less than 0.002 (95 % sure).'
    """
    shown = " → ".join(f"{number(means[k])} at {facet.ticks[k]}" for k in seen.levels)
    if seen.what in VERBS:
        largest = int(np.argmax(means))
        peak = (
            ""
            if largest in seen.levels
            else f"; the largest mean is {number(means[largest])}, at {facet.ticks[largest]}"
        )
        return f"{VERBS[seen.what].format(name=facet.name)}: {shown} ({SURE}){peak}."
    if seen.what == "same":
        if float(abs(means).max()) < ROUNDING:
            return f"is 0 at every level of {facet.name}."
        return f"does not depend on {facet.name}: its levels differ by less than {number(seen.bound)} ({SURE})."
    if np.isnan(seen.bound):
        return f"is {shown}; cannot tell whether it depends on {facet.name}: {behind} at a level are too few."
    return (
        f"is {shown}; cannot tell whether it depends on {facet.name}: with {behind} at a level, "
        f"differences of up to {number(seen.bound)} are possible."
    )
