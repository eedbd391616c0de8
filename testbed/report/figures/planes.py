"""The training loss on planes through three networks."""

from __future__ import annotations

import math
import textwrap

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure

from testbed.report.figures.marks import plain
from testbed.report.ticks import labels, ticks
from testbed.results.results import Results

CAPTION = (
    "Training loss on the plane through three networks, logarithmic colours: the two ends of a pair, A and B, and C as "
    "the titles say. Axes are Euclidean distances between parameter vectors."
)
FLOOR = 1e-4  # losses below are drawn as this one
MOST_COLUMNS = 3
LONGEST = 36  # letters of a title's line, as wide as its panel
N_LEVELS = 16  # of the contours


def figure(results: Results) -> Figure | None:
    """A panel for each plane: filled contours of the training loss, the three networks on them."""
    if results.planes is None or not len(results.planes):
        return None
    cells = results.planes["cell"].unique(maintain_order=True).to_list()
    n_columns = min(MOST_COLUMNS, len(cells))
    n_rows = -(-len(cells) // n_columns)
    figure = Figure(figsize=(0.9 + 2.9 * n_columns, 2.9 * n_rows))
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for ax in panels.flat[len(cells) :]:
        ax.set_visible(False)
    finite = results.planes["loss"].drop_nulls().to_numpy()
    finite = finite[np.isfinite(finite)]
    low = max(finite.min(), FLOOR)
    high = max(finite.max(), 10 * FLOOR)
    for ax, cell in zip(panels.flat, cells, strict=False):
        plane = results.planes.filter(cell=cell)
        filled = _contours(ax, plane, low, high)
        _networks(ax, plane)
        ax.set_title(f"{_pair(results, plane['pair'][0])}\nC: {plane['third'][0]}", fontsize=7)
        ax.set(xlabel="distance along θB − θA", ylabel="distance towards C")
    values = round_numbers(low, high)
    bar = figure.colorbar(filled, ax=panels, label=f"training loss ({results.unit})", shrink=0.8, ticks=values)
    bar.set_ticklabels(labels(values))
    bar.minorticks_off()
    return figure


def round_numbers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of 10 from low to high; evenly apart where these are fewer than three.

    >>> round_numbers(0.08, 0.6), round_numbers(0.31, 0.39)
    ([0.1, 0.2, 0.5], [0.32, 0.34, 0.36, 0.38])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    numbers = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    between = [value for value in numbers if low <= value <= high]
    return between if len(between) > 2 else ticks(low, high, 4)


def _contours(ax: mpl.axes.Axes, plane: pl.DataFrame, low: float, high: float) -> mpl.contour.QuadContourSet:
    """Filled contours of the loss at the grid's points, between low and high; what is not finite is drawn as high."""
    points = plane.filter(pl.col("corner").is_null())
    u, v = (points[name].unique().sort().to_numpy() for name in "uv")
    loss = points.sort("v", "u")["loss"].to_numpy().reshape(len(v), len(u))
    loss = np.nan_to_num(loss, nan=high, posinf=high).clip(low, high)
    norm = mpl.colors.LogNorm(low, high)
    return ax.contourf(u, v, loss, np.geomspace(low, high, N_LEVELS), norm=norm, cmap="viridis_r")


def _networks(ax: mpl.axes.Axes, plane: pl.DataFrame) -> None:
    """A, B and C where they are."""
    for corner in plane.filter(pl.col("corner").is_not_null()).to_dicts():
        point = (corner["u"], corner["v"])
        ax.plot(*point, "o", color="white", mec="black", ms=4.5)
        ax.annotate(corner["corner"], point, textcoords="offset points", xytext=(5, 4), fontsize=8)


def _pair(results: Results, number: int) -> str:
    """A pair by its levels, or by its number where nothing varies."""
    pair = results.all_pairs.filter(pair=number).collect().row(0, named=True)
    levels = ", ".join(f"{results.short(key)} {pair[key]}" for key in results.factors)
    return plain(textwrap.fill(levels, LONGEST)) or f"pair {number}"
