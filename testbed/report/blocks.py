"""The answer of the page, block by block: sentences, and directly below them the figure that shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from testbed import columns
from testbed.report import learnt, ranking, sentences
from testbed.report.facets import Facet, facets
from testbed.report.panels import Panel, caption, panels
from testbed.report.tables import claims_table
from testbed.report.verdicts import NAMES, spoken, verdicts
from testbed.results.comparison import number
from testbed.results.results import Results

NOT_ASKED = ("component", "data.seed")  # the one has a block of its own, the other is averaged over


@dataclass(frozen=True)
class Block:
    """One question of the study and its answer.

    name: a heading. sentences: the verdicts. warnings: what a reader must know to believe them. panels: the figure that
    shows them; others: the same of other quantities; tables: the same in numbers, by title (of components, in which the
    figure is). figure: name of that for papers.
    """

    name: str
    sentences: list[str]
    warnings: list[str]
    figure: str
    caption: str = ""
    panels: list[Panel] = field(default_factory=list)
    others: list[Panel] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)


def blocks(results: Results) -> list[Block]:
    """The blocks of a study: its components, then every facet of every factor; without any, the mean barrier."""
    found = []
    if results.groups_of_components:
        found.append(_of_components(results))
    for key in results.factors:
        if key not in NOT_ASKED:
            found += [of_facet(results, facet) for facet in facets(results, key)]
    return found or [_of_all(results)]


def _of_all(results: Results) -> Block:
    """The mean barrier: of a study in which nothing but data sets varies."""
    said = [sentence for kind in results.kinds for sentence in sentences.overall(results, kind)]
    n, n_cells = learnt.cells_stuck(results)
    warnings = [learnt.of_cells(n, n_cells)] if n else []
    return Block("The barrier", said, warnings, "curves")


def _of_components(results: Results) -> Block:
    names = {name: name for name in results.groups_of_components}
    said, tables = [], {}
    for kind in results.kinds:
        found = ranking.effects(results, kind)
        if found:
            said.append(ranking.sentence(results, kind, found))
        tables[NAMES[kind].capitalize()] = ranking.table(results, kind, found)
    stuck = learnt.stuck(results, "component", list(names))
    warnings = [learnt.warning(results, stuck, "component", names)] if stuck else []
    return Block("One component at a time", said, warnings, "ranking", ranking.caption(results), tables=tables)


def of_facet(results: Results, facet: Facet) -> Block:
    """What one facet of a factor does, and what of it stands without the levels that did not learn."""
    said = spoken(verdicts(results, facet), facet.name)
    stuck = learnt.stuck(results, facet.key, facet.levels)
    names = dict(zip(facet.levels, facet.ticks, strict=True))
    warnings = [learnt.warning(results, stuck, facet.name, names)] if stuck else []
    warnings += _without(results, facet, {one.level for one in stuck})
    shown = panels(results, facet)
    figure = f"barrier_{facet.key.replace('.', '_')}"
    name = facet.name[0].upper() + facet.name[1:]
    first = [panel for panel in shown if panel.quantity == shown[0].quantity]
    others = [panel for panel in shown if panel.quantity != shown[0].quantity]
    tables = {"The same in numbers": numbers(shown)}
    return Block(name, said, warnings, figure, caption(shown), first, others, tables)


def _without(results: Results, facet: Facet, unlearnt: set[Any]) -> list[str]:
    """The verdicts over the levels that learnt, where some did not and two or more did."""
    kept = [(level, tick) for level, tick in zip(facet.levels, facet.ticks, strict=True) if level not in unlearnt]
    if not unlearnt or len(kept) < 2:
        return []
    levels, ticks = (tuple(part) for part in zip(*kept, strict=True))
    rest = Facet(facet.key, facet.name, facet.axis, levels, ticks, facet.ordered)
    return [f"Without these levels: {sentence}" for sentence in spoken(verdicts(results, rest), rest.name)]


def numbers(shown: list[Panel]) -> dict[str, Any]:
    """The points of panels as a table."""
    rows = []
    for panel in shown:
        for series in panel.series:
            for point in series.points:
                interval = (
                    "–"
                    if point.low != point.low or point.low == point.high
                    else f"[{number(point.low)}, {number(point.high)}]"
                )
                name = columns.readable(panel.quantity)
                end = number(point.end)
                level = panel.facet.ticks[point.level]
                rows.append([panel.title, name, series.label, level, number(point.mean), interval, end, f"{point.n:,}"])
    axis = shown[0].facet.axis if shown else ""
    header = ["pairs", "of", "which", axis, "mean barrier, linear", "95 % interval", "at the ends", "pairs measured"]
    return {"header": header, "rows": rows}


def answers(results: Results, answer: list[Block] | None = None) -> list[str]:
    """The answer in sentences: what every factor does, claims, means over all pairs, agreement with theory, counts.

    answer: the blocks of the study, where they are known.
    """
    found = blocks(results) if answer is None else answer
    said = [sentence for block in found for sentence in (*block.sentences, *block.warnings)]
    for claim, source, here, agrees in claims_table(results):
        said.append(f"{claim} ({source}) Here: {here}. Agrees: {agrees}.")
    said += sentences.further(results) + sentences.checks(results)
    return [*dict.fromkeys(said), sentences.count(results)]
