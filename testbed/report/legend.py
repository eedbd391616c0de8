"""The legend of a block's panels: what is drawn there, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from testbed.report import svg
from testbed.report.panels import Panel, Series
from testbed.results.results import Results


@dataclass(frozen=True)
class Entry:
    """A mark, and its name."""

    mark: Markup
    name: str


@dataclass(frozen=True)
class Legend:
    """Entries, under a heading: the factor whose levels the colours are (None: colours are kinds of pairs)."""

    heading: str | None
    entries: list[Entry]


def legend(results: Results, shown: list[Panel]) -> Legend:
    """The levels of the factor that splits the panels, in their colours, then lines and hollow points by name."""
    drawn = sorted((panel for panel in shown if not panel.is_zero), key=lambda panel: panel.split is None)
    split = next((panel.split for panel in drawn if panel.split), None)
    found: dict[str, Entry] = {}
    for panel in drawn:
        for series in sorted(panel.series, key=lambda series: (series.color is None, series.role != "measured")):
            if series.points and series.label not in found:
                of_level = series.role == "measured" and series.color is not None
                found[series.label] = Entry(_mark(panel, series, of_level), series.label)
    if "predicted" in found and "measured" not in found:  # the points have their levels' names
        found["measured"] = _points(drawn)
    entries = list(_needed(drawn, found))
    return Legend(results.label(split) if split and entries else None, entries)


def _needed(drawn: list[Panel], found: dict[str, Entry]) -> Iterator[Entry]:
    """All entries; none where there are only points that are measured, of one colour."""
    if any(panel.roles != {"measured"} or panel.split for panel in drawn):
        yield from found.values()


def _points(drawn: list[Panel]) -> Entry:
    """What points are, whatever their colour."""
    panel, series = next((panel, series) for panel in drawn for series in panel.series if series.role == "measured")
    return Entry(_mark(panel, series, of_level=False), "measured")


def _mark(panel: Panel, series: Series, of_level: bool) -> Markup:
    """A small drawing of a series; of what levels of every colour have, in grey."""
    paint = svg.color(series) if of_level else ""
    kind = panel.kind if series.color is None else "any"
    if series.role == "predicted":
        inside = '<path class="line" d="M-9 0L9 0"/>'
    else:
        inside = f'<path class="m" d="{svg.marker(series.mark.marker)}"/>'
    return Markup(
        f'<svg viewBox="-10 -7 20 14" aria-hidden="true"><g class="{kind} {series.role}"{paint}>{inside}</g></svg>'
    )
