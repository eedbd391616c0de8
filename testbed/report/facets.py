"""A factor by kinds of levels: widths and depths of `architecture.hidden` are two questions, not one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from testbed.results.results import Results
from testbed.study.levels import levels as as_in_tables

FEWEST = 2  # levels that can be compared
HIDDEN = "architecture.hidden"


@dataclass(frozen=True)
class Facet:
    """Levels of one factor that are of one kind, and can be compared along one axis.

    key: the factor. name: as a sentence says it; axis: as an axis does, with its unit. levels: as the tables hold
    them; ticks: as figures show them. ordered: whether the levels have an order.
    """

    key: str
    name: str
    axis: str
    levels: tuple[Any, ...]
    ticks: tuple[str, ...]
    ordered: bool


def facets(results: Results, key: str) -> list[Facet]:
    """The facets of a factor that have two levels or more among the measured pairs; one, unless its levels mix kinds.

    Hidden layers of several sizes are told apart by their depth (widths at one depth) and by their width (depths at
    one width); what is in neither, layers of unequal widths, is compared without an order.
    """
    given = results.study.factors[key]
    measured = set(results.levels_measured(key))
    raw = {table: value for table, value in zip(as_in_tables(given), given, strict=True) if table in measured}
    if key == HIDDEN and any(len(value) > 1 for value in raw.values()):
        return _of_layers(raw)
    ordered = all(isinstance(level, int | float) and not isinstance(level, bool) for level in raw)
    levels = tuple(sorted(raw)) if ordered else tuple(raw)
    name = results.short(key)
    ticks = tuple(str(level).removesuffix(".0") for level in levels)
    facet = Facet(key, name, results.label(key), levels, ticks, ordered)
    return [facet] if len(levels) >= FEWEST else []


def _of_layers(raw: dict[str, Sequence[int]]) -> list[Facet]:
    """Widths at each depth, depths at each width, and the rest."""
    even = {table: (layers[0], len(layers)) for table, layers in raw.items() if len(set(layers)) == 1}
    found = []
    for depth in sorted({depth for _, depth in even.values()}):
        some = {width: table for table, (width, n_layers) in even.items() if n_layers == depth}
        layers = f"{depth} hidden layer" + "s" * (depth > 1)
        found.append(_numbered(f"width ({layers})", f"width of {layers} (units)", some))
    for width in sorted({width for width, _ in even.values()}):
        some = {depth: table for table, (units, depth) in even.items() if units == width}
        found.append(_numbered(f"depth (width {width})", f"hidden layers of width {width}", some))
    facets = [facet for facet in found if len(facet.levels) >= FEWEST]
    compared = {level for facet in facets for level in facet.levels}
    if len(compared) < len(raw):
        every = tuple(raw)
        facets.append(Facet(HIDDEN, "hidden layers", "hidden layers (units)", every, every, ordered=False))
    return facets


def _numbered(name: str, axis: str, levels: dict[int, str]) -> Facet:
    """A facet of numbers, in their order; levels: as the tables hold them, by number."""
    order = sorted(levels)
    return Facet(HIDDEN, name, axis, tuple(levels[n] for n in order), tuple(map(str, order)), ordered=True)
