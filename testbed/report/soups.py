"""Averages of many networks on the page: what they lose or gain beside the networks themselves."""

from __future__ import annotations

from typing import Any

import polars as pl

from testbed import columns
from testbed.alignment.averages import NETWORKS
from testbed.alignment.registry import ALIGNMENTS
from testbed.results.comparison import number
from testbed.results.results import Results

AS_TRAINED = "as trained"


def section(results: Results) -> dict[str, Any] | None:
    """Title, sentences and table of the averages; None where none were asked for, or no cell has two networks."""
    soups = results.soups
    if soups is None or not len(soups):
        return None
    quantity = "test_error" if soups["test_error"].null_count() < len(soups) else f"{results.part}_loss"
    return {
        "title": "Averages of the networks of a cell",
        "sentences": [*_sentences(results, soups, quantity), _how(results)],
        "table": _table(results, soups),
    }


def _how(results: Results) -> str:
    tested = " Test samples are the same for all rows of a cell." if results.part == "test" else ""
    return (
        "One network of each family is averaged, 64 at most. The greedy average takes networks in the order of their "
        f"training losses, each only if the average's does not rise.{tested} A cell has one average of each kind, so "
        "that these numbers have no intervals."
    )


def _sentences(results: Results, soups: pl.DataFrame, quantity: str) -> list[str]:
    """For the uniform average along each path: its mean over all cells beside that of the networks."""
    name = columns.readable(quantity)
    means = soups.group_by("path", "recipe").agg(pl.col(quantity).mean())
    found = {(path, recipe): value for path, recipe, value in means.rows()}
    said = [f"Over all cells the networks have a mean {name} of {number(found['', NETWORKS[0]])}"]
    for path in soups["path"].unique(maintain_order=True):
        said.append(f"the average of all, {_phrase(path)}, {number(found[path, 'uniform'])}")
    return ["; ".join(said) + "."]


def _table(results: Results, soups: pl.DataFrame) -> dict[str, Any]:
    """A row for each path and recipe at each combination of levels, means over data sets."""
    groups = [key for key in results.factors if key != "data.seed" and key in soups.columns]
    measured = [name for name in columns.QUANTITIES if soups[name].null_count() < len(soups)]
    by = [*groups, "path", "recipe"]
    means = soups.group_by(by, maintain_order=True).agg(pl.col("members", *measured).mean())
    rows = []
    for row in means.to_dicts():
        what = row["recipe"] if row["recipe"] in NETWORKS else f"{row['recipe']} average, {_phrase(row['path'])}"
        numbers = [number(row[name]) for name in measured]
        rows.append([*(str(row[key]) for key in groups), what, f"{row['members']:.3g}", *numbers])
    header = [*(results.label(key) for key in groups), "of", "networks", *map(columns.readable, measured)]
    return {"header": header, "rows": rows}


def _phrase(path: str) -> str:
    return ALIGNMENTS[path].phrase if path else AS_TRAINED
