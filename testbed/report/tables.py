"""The tables of the page: each a header and rows of text."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from testbed import columns
from testbed.columns import DEFINITIONS
from testbed.measures.registry import MEASURES
from testbed.report.figures.marks import PAIRS
from testbed.report.verdicts import name_of
from testbed.results.claims import judge
from testbed.results.comparison import effects, interval, mean_interval, nearest_alpha, number, z_summary
from testbed.results.results import Results
from testbed.results.tables import GAPS, NUMBERS, PATHS
from testbed.study.claim import Claim

SOURCES = ("test_loss", "population", "train_loss", "exact_training", "test_error", "train_error")  # in their order
MAIN = ("population", "test_loss", "train_loss")  # the first of these that there is has intervals, and all definitions
Z_ALPHAS = (0, 0.25, 0.5, 0.75, 1)


def claims_table(results: Results) -> list[list[str]]:
    """Rows of claim, source, what was found here, and whether it agrees."""
    verdicts = [(claim, judge(claim, _asked_of(claim, results), results.shown)) for claim in results.study.claims]
    return [[claim.claim, claim.source, verdict.found, verdict.agrees] for claim, verdict in verdicts]


def _asked_of(claim: Claim, results: Results) -> pl.DataFrame:
    """The pairs, with what the claim is judged by."""
    return results.pairs_with(claim.column, *claim.where, kind=claim.pairs)


def claims_with_measures(results: Results) -> list[list[str]]:
    """Rows of claim, source, of what it is judged, what was found, and whether it agrees."""
    rows = zip(results.study.claims, claims_table(results), strict=True)
    return [
        [said, source, f"{name_of(claim.column)}, {PAIRS[claim.pairs]}", found, agrees]
        for claim, (said, source, found, agrees) in rows
    ]


def z_rows(results: Results) -> list[dict[str, Any]]:
    """The summary of z at five alphas: each row holds one z a pair; the rows share inputs and are not independent."""
    if not results.has("z"):
        return []
    scores = results.all_curves.select("alpha", "z").drop_nulls()
    chosen = dict.fromkeys(nearest_alpha(results.study.measure.alphas, alpha) for alpha in Z_ALPHAS)
    rows = []
    for alpha in chosen:
        z = scores.filter(pl.col("alpha") == alpha).collect()["z"].to_numpy()
        if len(z) > 1:
            rows.append({"alpha": alpha, "summary": z_summary(z)})
    return rows


def barrier_table(results: Results) -> dict[str, Any]:
    """Mean losses at the ends and mean barriers of every group of pairs: a header and rows of text."""
    quantities = (f"{results.part}_loss", f"{results.part}_error")
    aligned = [columns.along(quantity, path) for path in PATHS if path for quantity in quantities]
    sources = [name for name in (*SOURCES, *aligned) if results.has(columns.barrier(name))]
    main = next((name for name in MAIN if name in sources), "")
    definitions = [name for name in DEFINITIONS[1:] if results.has(columns.barrier(main, name))]
    barriers = [columns.barrier(name) for name in sources] + [columns.barrier(main, name) for name in definitions]
    ends = [columns.ends(name) for name in columns.QUANTITIES if results.has(columns.ends(name))]
    rows = []
    for kind in results.kinds:
        by = ["kind", *results.groups(kind)]
        means = results.means(kind, by, columns.barrier(main))
        pairs = results.all_pairs.filter(~pl.col("left_out")).filter(kind=kind)
        for name in [*ends, *barriers]:  # one at a time: all of a million pairs take hundreds of megabytes
            average = pairs.select(*by, name).collect().group_by(by).agg(pl.col(name).mean())
            means = means.join(average, on=by, maintain_order="left")
        for row in means.to_dicts():
            levels = [str(row[key]) if key in by else "all" for key in results.factors]
            numbers = [interval(row) if name == columns.barrier(main) else number(row[name]) for name in barriers]
            at_ends = [number(row[name]) for name in ends]
            rows.append([kind, *levels, f"{row['n']:,}", *at_ends, *numbers])
    header = ["pairs", *(results.label(key) for key in results.factors), "n"]
    header += [columns.readable(name) for name in ends]
    header += [f"{columns.readable(name)}, linear" for name in sources]
    header += [f"{columns.readable(main)}, {name}" for name in definitions]
    return {"header": header, "rows": rows}


def effects_table(results: Results) -> dict[str, Any] | None:
    """What each level of a factor does to the mean barrier, against its first level; None without factors."""
    barrier = results.main_barrier
    if results.groups_of_components or not results.has(barrier):
        return None
    rows = []
    for kind in results.kinds:
        pairs = results.pairs_with(barrier, kind=kind).drop_nulls(barrier)
        for key in results.groups(kind):
            first = str(pairs[key].unique().sort()[0]) if len(pairs) else ""
            for row in effects(pairs, key, barrier).to_dicts():
                rows.append([kind, results.label(key), first, str(row[key]), f"{row['n']:,}", interval(row)])
    if not rows:
        return None
    header = ["pairs", "factor", "from", "to", "n", f"difference of {columns.readable(barrier)}"]
    return {"header": header, "rows": rows}


def measures_table(results: Results) -> dict[str, Any] | None:
    """What was measured beside the barrier, means by kind of pairs and first factor; None if nothing was."""
    units = {column.name: column.unit for measure in MEASURES.values() for column in measure.columns}
    names = [name for name in (*GAPS.values(), *NUMBERS) if results.has(name) and name != columns.DIFFERENT_PERMUTATION]
    if not any(name in units for name in names):
        return None
    names = [columns.barrier("train_loss"), *names]
    rows = []
    factor = ""
    for kind in results.kinds:
        pairs = results.pairs_with(*names, kind=kind)
        groups = [("all", pairs)]
        for key in results.groups(kind)[:1]:
            factor = factor or results.label(key)
            groups = [(str(level), pairs.filter(pl.col(key) == level)) for level in pairs[key].unique().sort()]
        for level, group in groups:
            rows.append([kind, level, f"{len(group):,}", *(_mean(group, name) for name in names)])
    header = ["pairs", factor, "n", *(_with_unit(name, units.get(name, ""), results) for name in names)]
    return {"header": header, "rows": rows}


def grid_numbers(results: Results) -> dict[str, Any] | None:
    """What the grid misses of exact training barriers, and how far exact and measured curves are apart on it."""
    exact_barrier = columns.barrier("exact_training")
    if not results.has(exact_barrier):
        return None
    grid_barrier = columns.barrier("train_loss")
    pairs = results.pairs_with(exact_barrier, grid_barrier)
    exact = pairs[exact_barrier].to_numpy()
    on_grid = pairs[grid_barrier].to_numpy()
    missed = exact - on_grid
    positive = exact > 1e-9
    apart = pl.col("train_loss") - pl.col(columns.predicted_loss("exact_training"))
    return {
        "difference": results.all_curves.select(apart.abs().max()).collect(engine="streaming").item(),
        "median": float(np.median(missed[positive] / exact[positive])) if positive.any() else 0.0,
        "most": number(float(missed.max())),
        "n": int(positive.sum()),
    }


def _mean(pairs: pl.DataFrame, column: str) -> str:
    """The mean of a column where it is not null, with its interval."""
    some = pairs.filter(pl.col(column).is_not_null())
    if not len(some):
        return "–"
    return interval(dict(zip(("mean", "low", "high"), mean_interval(some, column), strict=True)))


def _with_unit(column: str, unit: str, results: Results) -> str:
    """A column's name for a header, and its unit if it has one; that of the loss by its name."""
    unit = unit.replace("loss", results.unit)
    return columns.readable(column) + (f" ({unit})" if unit else "")


def titled(results: Results) -> list[dict[str, Any]]:
    """The tables that fold away, each with a title and what its numbers are; those that there are."""
    n_alphas = len(results.study.measure.alphas)
    found = (
        (
            "Barriers of every group of pairs",
            f"Means over the pairs of each group, in {results.unit} (errors: shares), with 95 % bootstrap intervals "
            "over families where two ends are given; before them the mean losses at the ends. Measured barriers are "
            f"maxima over the grid of {n_alphas} alphas; population and exact training barriers over all of [0, 1].",
            barrier_table(results),
        ),
        (
            "Effects",
            f"Differences of mean barriers ({results.unit}) from the first level of each factor, over all levels of "
            "the others, with 95 % bootstrap intervals over families and data sets, each taken alone.",
            effects_table(results),
        ),
        (
            "Beside the barrier",
            "Means over pairs, with 95 % bootstrap intervals over families; what each column means stands at the end "
            "of the page.",
            measures_table(results),
        ),
    )
    return [{"title": title, "text": text, "table": table} for title, text, table in found if table and table["rows"]]
