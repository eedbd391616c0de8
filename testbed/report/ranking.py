"""One component at a time, in sentences and in a table: what every change of the baseline alone does to the barrier."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup

from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.report.learnt import stuck
from testbed.report.svg import BAR, Axis, bars
from testbed.report.verdicts import NAMES, SURE, ends_of, least_of_interest, name_of
from testbed.results.comparison import group_means, interval, number
from testbed.results.results import Results
from testbed.results.trend import ROUNDING, SMALL, differences
from testbed.study.study import BASELINE

NAMED = 3  # components in a sentence; the figure has them all
AT_ONCE = {"raises": "raise it", "lowers": "lower it", "same": "{same}"}
ALONE = {"raises, alone": "raise it", "lowers, alone": "lower it"}
SHORT = {"same": "the same", "unknown": "cannot tell", "": "–"}
HOW_IT_TRAINED = tuple(columns.ends(name) for name in columns.QUANTITIES)


@dataclass(frozen=True)
class Effect:
    """What one component does to the barrier, held against the baseline's.

    change, low, high: the difference with its 95 % interval, taken alone; bound: what it does not exceed in either
    direction, for all components at once. sure: `raises`, `lowers` or `same` where that holds for all components at
    once with 95 %; `raises, alone` or `lowers, alone` where its own interval lies on one side of 0; else `unknown`.
    """

    component: str
    mean: float
    change: float
    low: float
    high: float
    bound: float
    sure: str


def effects(results: Results, kind: str) -> list[Effect]:
    """Every component that was measured, the baseline apart, from the largest barrier down."""
    if not results.groups_of_components:
        return []
    column = results.ranked_by
    pairs = results.pairs_with(column, ends_of(results, column), kind=kind).drop_nulls(column)
    measured = set(pairs["component"])
    names = [name for name in results.groups_of_components if name in measured and name != BASELINE]
    if BASELINE not in measured or not names:
        return []
    baseline = pairs.filter(component=BASELINE)
    groups = [baseline, *(pairs.filter(component=name) for name in names)]
    together = differences(groups, column, contrasts=[(0, k) for k in range(1, len(groups))])
    small = max(SMALL * float(together.mean.max()), least_of_interest(results, baseline, column), ROUNDING)
    found = []
    for k, name in enumerate(names, 1):
        alone = differences([baseline, groups[k]], column)
        interval = (float(alone.low[0, 1]), float(alone.high[0, 1]))
        bound = float(max(-together.low[0, k], together.high[0, k]))
        sure = _sure((together.low[0, k], together.high[0, k]), interval, small)
        mean = float(together.mean[k])
        found.append(Effect(name, mean, mean - float(together.mean[0]), *interval, bound, sure))
    return sorted(found, key=lambda effect: -effect.mean)


def _sure(together: tuple[float, float], alone: tuple[float, float], small: float) -> str:
    """What the intervals say of a difference: that which holds with all others, and its own."""
    if together[0] > ROUNDING:
        return "raises"
    if together[1] < -ROUNDING:
        return "lowers"
    if max(-together[0], together[1]) <= small:
        return "same"
    if alone[0] > ROUNDING:
        return "raises, alone"
    return "lowers, alone" if alone[1] < -ROUNDING else "unknown"


def sentence(results: Results, kind: str, found: list[Effect]) -> str:
    """How many components break connectivity, against the baseline, and how many do not; the worst by name."""
    column = results.ranked_by
    baseline = float(results.pairs_with(column, kind=kind).filter(component=BASELINE)[column].mean())  # type: ignore[arg-type]
    n = Counter(effect.sure for effect in found)
    bound = max((effect.bound for effect in found if effect.sure == "same"), default=0.0)
    same = f"change it by less than {number(bound)}" if bound > ROUNDING else "do not change it"
    at_once = [f"{n[sure]} {text.format(same=same)}" for sure, text in AT_ONCE.items() if n[sure]]
    alone = [f"{n[sure]} {text}" for sure, text in ALONE.items() if n[sure]]
    parts = [f"{', '.join(at_once)} ({SURE} of all at once)"] if at_once else []
    parts += [f"{', '.join(alone)} where each is looked at alone ({SURE} of each)"] if alone else []
    parts += [f"{n['unknown']} cannot be told from it"] if n["unknown"] else []
    said = f"{NAMES[kind].capitalize()}: the {name_of(column)} of the baseline is {number(baseline)}. "
    said += f"Of {len(found)} component{'s' * (len(found) > 1)}, {'; '.join(parts)}."
    up = [effect for effect in found if effect.sure.startswith("raises")][:NAMED]
    down = [effect for effect in reversed(found) if effect.sure.startswith("lowers")][:NAMED]
    for named, text in ((up, "Highest"), (down, "Lowest")):
        if named:
            said += f" {text}: {', '.join(f'{effect.component} ({number(effect.mean)})' for effect in named)}."
    return said


def table(results: Results, kind: str, found: list[Effect]) -> dict[str, Any]:
    """One row a component, from the one with the largest barrier down: a header, and rows of text and of SVG.

    Its barrier as trained and after each alignment, drawn and in numbers; how its networks trained; the difference
    from the baseline, and what is sure of it.
    """
    barriers = _barriers(results)
    trained = [name for name in HOW_IT_TRAINED if results.has(name)]
    pairs = results.pairs_with(*barriers, *trained, kind=kind)
    by_name = {effect.component: effect for effect in found}
    unlearnt = {one.level for one in stuck(results, "component", list(results.groups_of_components))}
    ends = {row["component"]: row for row in pairs.group_by("component").agg(pl.col(trained).mean()).to_dicts()}
    means = {name: _by_component(pairs, name) for name in barriers}
    top = max(np.fmax(row["mean"], row["high"]) for along in means.values() for row in along.values())
    scale = Axis(0.0, top or 1.0, 4.0, BAR - 4.0)
    rows = []
    for name, row in sorted(means[results.ranked_by].items(), key=lambda item: -item[1]["mean"]):
        effect = by_name.get(name)
        sure = "" if effect is None else effect.sure
        drawn = [along[name] for along in means.values() if name in along]
        bar = Markup(bars(drawn, means[results.ranked_by].get(BASELINE), scale, sure.replace(",", "")))
        shown = [interval(along[name]) if name in along else "–" for along in means.values()]
        change = "–" if effect is None else interval(_as_row(effect))
        learnt = "no" if name in unlearnt else "yes"
        numbers = [number(ends[name][column]) for column in trained]
        group = results.groups_of_components[name]
        rows.append([name, bar, SHORT.get(sure, sure), *shown, learnt, *numbers, change, group, f"{row['n']:,}"])
    names = [name_of(results.ranked_by), *(ALIGNMENTS[name].phrase for name in ALIGNMENTS if _after(results, name))]
    header = ["component", f"0 to {number(top)}", "surely?", *names, "learnt?", *map(columns.readable, trained)]
    return {"header": [*header, "less the baseline's", "group", "pairs"], "rows": rows}


def caption(results: Results) -> str:
    """What the rows show."""
    aligned = len(_barriers(results)) > 1
    hollow = "; hollow: after alignment" if aligned else ""
    return (
        "From the component with the largest barrier down: means with 95 % bootstrap intervals over families and "
        f"data sets, each taken alone{hollow}. The line is the baseline's barrier, the band its "
        "interval. Orange is surely above it, blue surely below (pale: where looked at alone), green surely within "
        "a tenth of the largest, and grey cannot be told from it."
    )


def _by_component(pairs: pl.DataFrame, column: str) -> dict[str, dict[str, Any]]:
    """Mean, interval and n of a column, by component."""
    return {str(row["component"]): row for row in group_means(pairs, ["component"], column).to_dicts()}


def _barriers(results: Results) -> list[str]:
    """The barrier that components are ranked by, along every path that was measured."""
    return [
        results.ranked_by,
        *(columns.along(results.ranked_by, path) for path in ALIGNMENTS if _after(results, path)),
    ]


def _after(results: Results, path: str) -> bool:
    """Whether that barrier was measured after an alignment."""
    return results.has(columns.along(results.ranked_by, path))


def _as_row(effect: Effect) -> dict[str, float]:
    """A difference and its interval, as tables show them."""
    return {"mean": effect.change, "low": effect.low, "high": effect.high}
