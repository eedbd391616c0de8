"""One component at a time, in sentences and in a table: what every change of the baseline alone does to the barrier."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.results.comparison import bootstrap_means, group_means, interval, mean_interval, number
from testbed.results.results import Results
from testbed.study.study import BASELINE

NAMES = {"siblings": "Sibling", "independent": "Independent"}
HOW_IT_TRAINED = tuple(columns.ends(name) for name in ("train_loss", "train_error", "test_error"))


def sentences(results: Results, kind: str) -> list[str]:
    """Which components break connectivity, against the baseline, and which do not."""
    if not results.groups_of_components:
        return []
    barrier = results.ranked_by
    pairs = results.measured.filter(kind=kind)
    baseline, _ = bootstrap_means(pairs.filter(component=BASELINE), barrier)
    raised: list[tuple[float, str]] = []
    lowered: list[tuple[float, str]] = []
    for name in results.groups_of_components:
        some = pairs.filter(component=name)
        if name == BASELINE or not len(some):
            continue
        change = _change(pairs, name, barrier)
        mean, _ = bootstrap_means(some, barrier, seed=1)
        if change["low"] > 0:
            raised.append((mean, name))
        elif change["high"] < 0:
            lowered.append((mean, name))
    listed = {
        "raised": ", ".join(f"{name} ({mean:.3g})" for mean, name in sorted(raised, reverse=True)),
        "lowered": ", ".join(f"{name} ({mean:.3g})" for mean, name in sorted(lowered)),
    }
    return [
        f"{NAMES[kind]} pairs, {columns.readable(barrier)}: the baseline has {baseline:.3g}. Components that raise it, "
        f"the interval of the difference above 0: {listed['raised'] or 'none'}. Components that lower it: "
        f"{listed['lowered'] or 'none'}."
    ]


def table(results: Results) -> dict[str, Any] | None:
    """One row a component and kind of pairs, from the one that breaks connectivity most: a header and rows of text.

    How it trained, its barriers, and the difference from the baseline. None for a study without components.
    """
    if not results.groups_of_components:
        return None
    trained = [name for name in HOW_IT_TRAINED if results.has(name)]
    barriers = [name for name in _barriers(results) if results.has(name)]
    rows = []
    for kind in results.kinds:
        pairs = results.measured.filter(kind=kind)
        ends = pairs.group_by("component").agg(pl.col(trained).mean())
        ranked = group_means(pairs, ["component"], results.ranked_by).sort("mean", descending=True)
        for row in ranked.join(ends, on="component", maintain_order="left").to_dicts():
            name = row["component"]
            some = pairs.filter(component=name)
            means = [
                interval(dict(zip(("mean", "low", "high"), mean_interval(some, barrier), strict=True)))
                for barrier in barriers
            ]
            has_baseline = name != BASELINE and len(pairs.filter(component=BASELINE)) > 0
            change = interval(_change(pairs, name, results.ranked_by)) if has_baseline else "–"
            head = [kind, results.groups_of_components[name], name, f"{row['n']:,}"]
            rows.append([*head, *(number(row[column]) for column in trained), *means, change])
    names = [columns.readable(name) for name in (*trained, *barriers)]
    return {"header": ["pairs", "group", "component", "n", *names, "less the baseline's"], "rows": rows}


def _barriers(results: Results) -> list[str]:
    """The barrier that components are ranked by, along every path, and that of the test loss."""
    ranked = [f"{path}_{results.ranked_by}" if path else results.ranked_by for path in ("", *ALIGNMENTS)]
    return [*ranked, columns.barrier(f"{results.part}_loss")]


def _change(pairs: pl.DataFrame, component: str, barrier: str) -> dict[str, float]:
    """The mean of a component less the baseline's, with its 95 % interval."""
    baseline, baseline_draws = bootstrap_means(pairs.filter(component=BASELINE), barrier)
    mean, draws = bootstrap_means(pairs.filter(component=component), barrier, seed=1)
    low, high = np.nanquantile(draws - baseline_draws, [0.025, 0.975])
    return {"mean": mean - baseline, "low": low, "high": high}
