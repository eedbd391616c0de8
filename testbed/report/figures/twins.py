"""Twin students: simulated barriers against those of the order-parameter equations."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from testbed import columns
from testbed.report.figures.marks import COLORS, MARKERS, POINTS, color_of
from testbed.results.results import Results

CAPTION = (
    "Twin students: every pair's midpoint barrier as simulated (exact population loss of the trained networks) against "
    "the solution of the order-parameter equations from the same initial overlaps, which hold for infinitely many "
    "inputs d; and how their distance falls with d."
)
PREDICTED = columns.barrier("twin_students", "midpoint")
SIMULATED = columns.barrier("population", "midpoint")
INPUTS = "data.inputs"
LINES = ("-", "--", ":", "-.")


def figure(results: Results) -> Figure | None:
    """Midpoint barriers of simulated twins against the predicted ones, and their distance against the inputs d."""
    if not results.has(PREDICTED) or INPUTS not in results.factors or not results.has(SIMULATED):
        return None
    figure = Figure(figsize=(6.6, 3.2))
    left, right = figure.subplots(1, 2)
    levels = results.levels_measured(INPUTS)
    _every_pair(left, results, levels)
    _distances(right, results, levels)
    figure.legend(loc="outside lower center", ncols=4, columnspacing=1, markerscale=1.5)
    return figure


def _every_pair(ax: mpl.axes.Axes, results: Results, levels: list[Any]) -> None:
    """Simulated against predicted, a colour for each d."""
    for i, level in enumerate(levels):
        pairs = results.pairs_with(PREDICTED, SIMULATED).filter(pl.col(INPUTS) == level)
        for kind in results.kinds:
            some = pairs.filter(kind=kind)
            label = f"d = {level}" if kind == results.kinds[0] else None
            style: dict[str, Any] = {"marker": MARKERS[kind], "color": color_of(i, levels), **POINTS}
            ax.scatter(some[PREDICTED], some[SIMULATED], label=label, **style)
    ax.axline((0, 0), slope=1, color="black", lw=0.8, zorder=0.5)
    ax.set(xlabel=f"predicted, d → ∞ ({results.unit})", ylabel="simulated", title="L(½) − mean of ends, every pair")


def _distances(ax: mpl.axes.Axes, results: Results, levels: list[Any]) -> None:
    """Root mean square of simulated − predicted against d, a line for each kind of pairs and component."""
    components = results.levels_measured("component") if "component" in results.factors else [None]
    for kind in results.kinds:
        for line, component in zip(LINES, components, strict=False):
            pairs = results.pairs_with(PREDICTED, SIMULATED, kind=kind)
            pairs = pairs if component is None else pairs.filter(component=component)
            square = (pl.col(SIMULATED) - pl.col(PREDICTED)) ** 2
            rms = pairs.group_by(INPUTS).agg(square.mean().sqrt().alias("rms")).sort(INPUTS)
            label = kind if component is None else f"{kind}, {component}"
            ax.plot(rms[INPUTS], rms["rms"], line, marker=MARKERS[kind], ms=4, color=COLORS[kind], label=label)
    d = np.array(levels, dtype=float)
    top = ax.get_ylim()[1]
    ax.plot(d, 0.7 * top * (d / d[0]) ** -0.5, color="0.6", lw=0.8, label="slope −½")
    ax.set(xscale="log", yscale="log", xlabel=results.label(INPUTS), ylabel="rms of simulated − predicted")
    ax.set_xticks(levels, [str(level) for level in levels], minor=False)
    ax.minorticks_off()
