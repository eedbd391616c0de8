"""One component at a time: every change of the baseline alone, ranked by how far it breaks linear connectivity."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from testbed.report.figures.marks import ALIGNMENTS, PAIRS
from testbed.results.comparison import bootstrap_means, group_means, interval, mean_interval, number
from testbed.results.results import Results
from testbed.study.study import BASELINE


def sentences(results: Results, kind: str) -> list[str]:
    """Which components break connectivity, against the baseline, and which do not."""
    if not results.groups_of_components:
        return []
    pairs, main = results.measured.filter(kind=kind), results.ranked_by
    base, drawn = bootstrap_means(pairs.filter(component=BASELINE), main)
    more: list[tuple[float, str]] = []
    less: list[tuple[float, str]] = []
    for name in results.groups_of_components:
        some = pairs.filter(component=name)
        if name == BASELINE or not len(some):
            continue
        mean, means = bootstrap_means(some, main, seed=1)
        low, high = np.nanquantile(means - drawn, [0.025, 0.975])
        if low > 0 or high < 0:
            (more if low > 0 else less).append((mean, name))
    text = {
        True: ", ".join(f"{name} ({mean:.3g})" for mean, name in sorted(more, reverse=True)),
        False: ", ".join(f"{name} ({mean:.3g})" for mean, name in sorted(less)),
    }
    name = {"siblings": "Sibling", "independent": "Independent"}[kind]
    return [
        f"{name} pairs, {main.replace('_', ' ')}: the baseline has {base:.3g}. Components that raise it, the interval of the difference above 0: "
        f"{text[True] or 'none'}. Components that lower it: {text[False] or 'none'}."
    ]


def table(results: Results) -> dict[str, Any] | None:
    """One row a component and kind of pairs, from the one that breaks connectivity most: how it trained, barriers, difference from the baseline."""
    if not results.groups_of_components:
        return None
    quantities = [name for name in ("train_loss_ends", "train_error_ends", "test_error_ends") if results.has(name)]
    main = results.ranked_by
    others = (*(f"{prefix}{main}" for prefix in ALIGNMENTS), f"{results.part}_loss_barrier_linear")
    barriers = [name for name in others if results.has(name)]
    rows = []
    for kind in results.kinds:
        pairs = results.measured.filter(kind=kind)
        trained = pairs.group_by("component").agg(pl.col(quantities).mean())
        base = (
            bootstrap_means(pairs.filter(component=BASELINE), main) if len(pairs.filter(component=BASELINE)) else None
        )
        ranked = group_means(pairs, ["component"], main).sort("mean", descending=True)
        for row in ranked.join(trained, on="component", maintain_order="left").to_dicts():
            some = pairs.filter(component=row["component"])
            means = [
                interval(dict(zip(("mean", "low", "high"), mean_interval(some, name), strict=True)))
                for name in barriers
            ]
            change = "–"
            if base is not None and row["component"] != BASELINE:
                mean, drawn = bootstrap_means(some, main, seed=1)
                low, high = np.nanquantile(drawn - base[1], [0.025, 0.975])
                change = interval({"mean": mean - base[0], "low": low, "high": high})
            group = results.groups_of_components[row["component"]]
            rows.append(
                [
                    kind,
                    group,
                    row["component"],
                    f"{row['n']:,}",
                    *(number(row[name]) for name in quantities),
                    *means,
                    change,
                ]
            )
    names = [name.replace("_", " ") for name in (*quantities, *barriers)]
    return {"header": ["pairs", "group", "component", "n", *names, "less the baseline's"], "rows": rows}


def figure(results: Results) -> Figure | None:
    """A row for each component, from the one with the largest barrier down, and a panel for each kind of pairs; colours are groups."""
    groups = results.groups_of_components
    if not groups:
        return None
    main = results.ranked_by
    kinds = results.kinds
    means = {kind: group_means(results.measured.filter(kind=kind), ["component"], main) for kind in kinds}
    order = [str(name) for name in means[kinds[0]].sort("mean")["component"]]
    drawn = Figure(figsize=(6.6, 1.2 + 0.19 * len(order)))
    names = list(dict.fromkeys(groups.values()))
    for ax, kind in zip(drawn.subplots(1, len(kinds), squeeze=False, sharey=True)[0], kinds, strict=True):
        pairs = results.measured.filter(kind=kind)
        for prefix, (mark, label) in ALIGNMENTS.items():
            if not results.has(prefix + main):
                continue
            rows = {str(row["component"]): row for row in group_means(pairs, ["component"], prefix + main).to_dicts()}
            for place, name in enumerate(order):
                if (row := rows.get(name)) is None:
                    continue
                error = np.nan_to_num([[row["mean"] - row["low"]], [row["high"] - row["mean"]]])
                color = f"C{names.index(groups[name])}"
                face = color if not prefix else "none"
                place_on = place - 0.22 * list(ALIGNMENTS).index(prefix)
                ax.errorbar(
                    [row["mean"]], [place_on], xerr=abs(error), fmt=mark, ms=3.5, lw=0.9, color=color, mfc=face, mew=0.8
                )
            ax.plot([], [], mark, ms=4, color="0.3", mfc="0.3" if not prefix else "none", label=label)
        base = means[kind].filter(component=BASELINE).to_dicts()
        for row in base:
            ax.axvline(row["mean"], color="0.4", lw=0.8, zorder=0.5)
            ax.axvspan(row["low"], row["high"], color="0.9", lw=0, zorder=0)
        ax.axvline(0, color="black", lw=0.6, zorder=0.5)
        ax.set(title=PAIRS[kind], ylim=(-0.9, len(order) - 0.3))
        ax.set_yticks(range(len(order)), order, fontsize=6.5)
        unit = "share misclassified" if "error" in main else results.unit
        ax.set_xlabel(f"{main.split('_barrier')[0].replace('_', ' ')} barrier, linear\n({unit})", fontsize=8)
        ax.grid(axis="x", lw=0.3, color="0.85")
    for number_of, name in enumerate(names):
        drawn.axes[-1].plot([], [], "o", ms=4, color=f"C{number_of}", label=name)
    drawn.legend(*drawn.axes[-1].get_legend_handles_labels(), loc="outside lower center", ncols=4, columnspacing=1.2)
    return drawn
