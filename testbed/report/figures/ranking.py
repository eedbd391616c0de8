"""One component at a time: every change of the baseline alone, ranked by how far it breaks linear connectivity."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from testbed import columns
from testbed.report.figures.marks import AS_TRAINED, PAIRS, aligned_paths, plain
from testbed.results.comparison import group_means
from testbed.results.results import Results
from testbed.study.study import BASELINE

CAPTION = (
    "Every component alone, ranked by how far it breaks linear connectivity: mean barrier with 95 % bootstrap "
    "intervals over families of networks and data sets. The line is the baseline's barrier, the band its interval."
)
STEP = 0.22  # between the marks of one component


def figure(results: Results) -> Figure | None:
    """A row for each component, from the one with the largest barrier down, and a panel for each kind of pairs.

    Colours are groups of components.
    """
    groups = results.groups_of_components
    if not groups:
        return None
    first = group_means(results.pairs_with(results.ranked_by, kind=results.kinds[0]), ["component"], results.ranked_by)
    order = [str(name) for name in first.sort("mean")["component"]]
    names = list(dict.fromkeys(groups.values()))
    colors = {component: f"C{names.index(group)}" for component, group in groups.items()}
    figure = Figure(figsize=(6.6, 1.2 + 0.19 * len(order)))
    panels = figure.subplots(1, len(results.kinds), squeeze=False, sharey=True)[0]
    for ax, kind in zip(panels, results.kinds, strict=True):
        _panel(ax, results, kind, order, colors)
    for k, name in enumerate(names):
        figure.axes[-1].plot([], [], "o", ms=4, color=f"C{k}", label=plain(name))
    handles = figure.axes[-1].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure


def _panel(ax: mpl.axes.Axes, results: Results, kind: str, order: list[str], colors: dict[str, str]) -> None:
    barrier = results.ranked_by
    paths = {"": AS_TRAINED} | aligned_paths()
    shown = {path: mark for path, mark in paths.items() if results.has(columns.along(barrier, path))}
    pairs = results.pairs_with(*(columns.along(barrier, path) for path in shown), kind=kind)
    for place, (path, mark) in enumerate(shown.items()):
        means = group_means(pairs, ["component"], columns.along(barrier, path)).to_dicts()
        rows = {str(row["component"]): row for row in means}
        for level, name in enumerate(order):
            if name in rows:
                face = colors[name] if not path else "none"
                _point(ax, rows[name], level - STEP * place, fmt=mark.marker, color=colors[name], mfc=face)
        ax.plot([], [], mark.marker, ms=4, color="0.3", mfc="0.3" if not path else "none", label=mark.label)
    for row in group_means(pairs.filter(component=BASELINE), ["component"], barrier).to_dicts():
        ax.axvline(row["mean"], color="0.4", lw=0.8, zorder=0.5)
        ax.axvspan(row["low"], row["high"], color="0.9", lw=0, zorder=0)
    ax.axvline(0, color="black", lw=0.6, zorder=0.5)
    ax.set(title=PAIRS[kind], ylim=(-0.9, len(order) - 0.3))
    ax.set_yticks(range(len(order)), [plain(name) for name in order], fontsize=6.5)
    unit = "share misclassified" if "error" in barrier else results.unit
    quantity = columns.readable(barrier.split("_barrier")[0])
    ax.set_xlabel(f"{quantity} barrier, linear\n({unit})", fontsize=8)
    ax.grid(axis="x", lw=0.3, color="0.85")


def _point(ax: mpl.axes.Axes, row: dict[str, Any], y: float, **style: Any) -> None:
    """A mean with its interval."""
    error = np.nan_to_num([[row["mean"] - row["low"]], [row["high"] - row["mean"]]])
    ax.errorbar([row["mean"]], [y], xerr=abs(error), ms=3.5, lw=0.9, mew=0.8, **style)
