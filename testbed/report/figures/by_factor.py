"""Barriers against a factor of the study, for papers: the panels of the page, drawn by matplotlib."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from testbed.report.figures.marks import COLORS, color_of, plain
from testbed.report.panels import Panel, Series
from testbed.results.results import Results

COLUMNS = 2
CROWDED = 28  # characters along an axis
LONGEST = 40  # characters of a line above a panel


def figure(results: Results, shown: list[Panel]) -> Figure | None:
    """Mean barrier at each level of a factor, with 95 % intervals over families; below, the loss at the ends.

    shown: the panels of every facet of the factor; None where all of their barriers are 0.
    """
    drawn = [panel for panel in shown if not panel.is_zero]
    if not drawn:
        return None
    n_columns = min(COLUMNS, len(drawn))
    n_rows = -(-len(drawn) // n_columns)
    figure = Figure(figsize=(max(3.6, 3.3 * n_columns), 0.5 + 3.1 * n_rows))
    axes = figure.subplots(2 * n_rows, n_columns, squeeze=False, gridspec_kw={"height_ratios": [4, 1] * n_rows})
    for ax in axes.flat:
        ax.set_visible(False)
    for place, panel in enumerate(drawn):
        row, column = divmod(place, n_columns)
        upper, lower = axes[2 * row : 2 * row + 2, column]
        _draw(upper, panel)
        _ends(lower, panel)
        _label(upper, lower, panel)
    labels = [zip(*ax.get_legend_handles_labels(), strict=True) for ax in axes.flat]
    handles = {label: handle for pairs in labels for handle, label in pairs}
    split = next((panel.split for panel in drawn if panel.split), None)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=2 * n_columns,
        title=None if split is None else results.label(split),
        title_fontsize=8,
        columnspacing=1,
    )
    return figure


def _draw(ax: mpl.axes.Axes, panel: Panel) -> None:
    """Points with their intervals, and lines of what is predicted."""
    ax.set_visible(True)
    paths = list(dict.fromkeys(series.label for series in panel.series if series.role == "path"))
    named: set[str] = set()
    for series in panel.series:
        if not series.points:
            continue
        aside = 0.0 if series.color is None or series.n_colors == 1 else series.color / (series.n_colors - 1) - 0.5
        shift = 0.18 * aside + (0.08 * (paths.index(series.label) + 1) if series.role == "path" else 0.0)
        places = np.array([point.level for point in series.points]) + shift
        mean = np.array([point.mean for point in series.points])
        label = None if series.label in named else plain(series.label)
        named.add(series.label)
        if series.role == "predicted":
            ax.plot(places, mean, color=_color(panel, series), lw=1, label=label)
            continue
        ends = np.array([(point.mean - point.low, point.high - point.mean) for point in series.points]).T
        style: dict[str, Any] = {"fmt": series.mark.marker, "ms": 3.5, "lw": 1, "color": _color(panel, series)}
        if series.role == "path":
            style["mfc"] = "none"
        ax.errorbar(places, mean, abs(np.nan_to_num(ends)), label=label, **style)
        stuck = [place for place, point in zip(places, series.points, strict=True) if not point.learnt]
        if stuck:
            heights = [point.mean for point in series.points if not point.learnt]
            ax.plot(stuck, heights, "x", ms=7, color="0.4", label=None if "stuck" in named else "did not learn")
            named.add("stuck")
    low, high = ax.get_ylim()
    ax.set_ylim(min(0.0, low) if panel.bottom < 0 else 0.0, high)


def _ends(ax: mpl.axes.Axes, panel: Panel) -> None:
    """The strip: the same quantity at the ends of the paths."""
    if not panel.has_ends:
        return
    ax.set_visible(True)
    for series in [series for series in panel.series if series.role == "measured"] or panel.series:
        points = [point for point in series.points if point.end is not None]
        ends = [float(point.end or 0.0) for point in points]
        ax.plot([point.level for point in points], ends, "-", lw=1, color=_color(panel, series))
    ax.set_ylim(0, 1.15 * (ax.get_ylim()[1] or 1.0))
    ax.set_title(panel.end_label, fontsize=6.5, pad=2)


def _label(upper: mpl.axes.Axes, lower: mpl.axes.Axes, panel: Panel) -> None:
    """Title, ticks and axes' names; ticks stand below the lower axes, if these are there."""
    upper.set_title(textwrap.fill(panel.title, LONGEST))
    upper.set_ylabel(panel.y_label.replace(" (", "\n("))
    ticks = [plain(tick) for tick in panel.facet.ticks]
    crowded = sum(len(tick) + 1 for tick in ticks) > CROWDED or any(len(tick) > 6 for tick in ticks)
    turned: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    bottom = lower if panel.has_ends else upper
    for ax in (upper, lower):
        ax.set_xlim(-0.5, len(ticks) - 0.5)
        ax.set_xticks(range(len(ticks)), [""] * len(ticks))
    bottom.set_xticks(range(len(ticks)), ticks, **turned)
    bottom.set_xlabel(panel.facet.axis)


def _color(panel: Panel, series: Series) -> Any:
    """The colour of a series: of its level, or of its kind of pairs."""
    return COLORS[panel.kind] if series.color is None else color_of(series.color, range(series.n_colors))
