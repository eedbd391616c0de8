"""Whether networks learnt: a low barrier between two that did not says nothing of connectivity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from testbed import columns
from testbed.results.comparison import number
from testbed.results.results import Results

HALF = 0.5  # of the loss at the first step: networks that end above it did not learn


@dataclass(frozen=True)
class Stuck:
    """A level whose networks did not learn: the mean training loss at the ends of its pairs, and at the first step."""

    level: Any
    end: float
    start: float


def end_quantity(results: Results) -> str | None:
    """The loss that says whether networks learnt: the training loss, or the test loss where no set is trained on."""
    return next((name for name in ("train_loss", "test_loss") if results.has(columns.ends(name))), None)


def stuck(results: Results, key: str, levels: Sequence[Any]) -> list[Stuck]:
    """The levels of a factor whose networks end above half of the loss that they had at their first step."""
    quantity = end_quantity(results)
    if quantity is None:
        return []
    at_ends = columns.ends(quantity)
    ends = results.pairs_with(at_ends).group_by(key).agg(pl.col(at_ends).mean().alias("end"))
    networks = results.all_networks.select("network", key)
    first = results.all_losses.filter(pl.col("step") == 0).join(networks, on="network")
    starts = first.group_by(key).agg(pl.col("loss").mean().alias("start")).collect(engine="streaming")
    found = {row[key]: row for row in ends.join(starts, on=key).drop_nulls().to_dicts()}
    rows = [found[level] for level in levels if level in found]
    return [Stuck(row[key], row["end"], row["start"]) for row in rows if row["end"] > HALF * row["start"]]


def cells_stuck(results: Results) -> tuple[int, int]:
    """How many combinations of factors did not learn, and how many there are."""
    cells = results.levels_measured("cell")
    return len(stuck(results, "cell", cells)), len(cells)


def of_cells(n: int, n_cells: int) -> str:
    """What the page says where no factor tells networks apart.

    >>> of_cells(1, 1)[:46]
    'The networks did not learn (of 1 data set, 1):'
    """
    sets = f"{n_cells} data set{'s' * (n_cells > 1)}"
    return (
        f"The networks did not learn (of {sets}, {n}): their loss ends above half of what it was at the first step, "
        "and a low barrier says nothing of connectivity."
    )


def warning(results: Results, levels: Sequence[Stuck], name: str, names: dict[Any, str]) -> str:
    """What the page says of levels that did not learn. name: the factor's; names: of its levels."""
    quantity = columns.readable(end_quantity(results) or "")
    listed = ", ".join(f"{names[one.level]} ({number(one.end)}, of {number(one.start)} at first)" for one in levels)
    return (
        f"Did not learn, by {name}: {listed}. There the mean {quantity} ({results.unit}) ends above half of what it "
        "was at the first step, and a low barrier says nothing of connectivity."
    )
