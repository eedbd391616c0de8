"""The figures of a report. Each function draws one, or returns None where a study has nothing for it to show."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.figure import Figure
from scipy import stats

from testbed.report.figures import by_factor, planes, ranking
from testbed.report.figures.marks import COLORS, MARKS, PAIRS, POINTS
from testbed.results.comparison import group_means, nearest_alpha
from testbed.results.results import Results

STYLE = Path(__file__).parent.parent / "style.mplstyle"
MOST_LINES = 16  # that a legend has room for


def draw(results: Results) -> dict[str, Figure]:
    """Every figure that applies, by name."""
    by = [key for key in results.factors if key not in ("component", "data.seed")]
    makers: dict[str, Callable[[Results], Figure | None]] = {
        "ranking": ranking.figure,
        "curves": curves,
        "predicted": predicted,
        "z": z_histogram,
        **{f"barrier_{key.replace('.', '_')}": functools.partial(by_factor.figure, key=key) for key in by},
        "twins": twins,
        "permutations": permutations,
        "planes": planes.figure,
        "grid": grid,
        "training": training,
    }
    with mpl.rc_context(fname=STYLE):
        made = {name: make(results) for name, make in makers.items()}
    return {name: figure for name, figure in made.items() if figure is not None}


def curves(results: Results) -> Figure | None:
    """Three pairs of each kind, of small, median and largest barrier: measured points with ±2 standard errors, exact lines."""
    kinds = results.kinds
    if not kinds:
        return None
    column = f"{results.part}_loss_barrier_linear"
    figure = Figure(figsize=(6.6, 0.5 + 2.1 * len(kinds)))
    axes = figure.subplots(len(kinds), 3, sharex=True, squeeze=False)
    for row, kind in zip(axes, kinds, strict=True):
        pairs = results.measured.filter(kind=kind).sort(column)
        for ax, quantile in zip(row, (0.1, 0.5, 1.0), strict=True):
            pair = pairs.row(round(quantile * (len(pairs) - 1)), named=True)
            _curve(ax, results.curves.filter(pair=pair["pair"]))
            levels = ", ".join(f"{results.short(key)} {pair[key]}" for key in results.groups(kind))
            ax.set_title(f"{kind}, barrier {pair[column]:.2g}\n{textwrap.fill(levels, 34)}", fontsize=7.5)
        row[0].set_ylabel(f"loss ({results.unit})", fontsize=8)
    for ax in axes[-1]:
        ax.set_xlabel("α")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=5,
        columnspacing=1.2,
        handlelength=1.5,
    )
    return figure


def _curve(ax: mpl.axes.Axes, curve: pl.DataFrame) -> None:
    alpha = curve["alpha"]
    for part, line, color in (("test", "population_loss", "C0"), ("train", "exact_training_loss", "C2")):
        if f"{part}_loss" not in curve.columns:
            continue
        loss = curve[f"{part}_loss"]
        ax.plot(alpha, loss, "o", ms=2.5, color=color, label=f"measured, {part}")
        if part == "test":
            error = 2 * curve["test_standard_error"]
            ax.fill_between(alpha, loss - error, loss + error, color=color, alpha=0.2, lw=0, label="±2 standard errors")
        if line in curve.columns:
            ax.plot(alpha, curve[line], color="black" if part == "test" else color, lw=1, label=f"exact, {part}")
    ax.set_ylim(bottom=0)


def predicted(results: Results) -> Figure | None:
    """Every pair's measured barrier against the predicted one."""
    sides = [
        (m, p, title)
        for m, p, title in (
            ("test_loss", "population", "fresh inputs, population loss"),
            ("train_loss", "exact_training", "training set, exact path"),
        )
        if results.has(f"{p}_barrier_linear") and results.has(f"{m}_barrier_linear")
    ]
    if not sides:
        return None
    figure = Figure(figsize=(3.4 * len(sides), 3.4))
    for ax, (m, p, title) in zip(figure.subplots(1, len(sides), squeeze=False)[0], sides, strict=True):
        top = 0.0
        for kind in results.kinds:
            pairs = results.measured.filter(kind=kind)
            x, y = pairs[f"{p}_barrier_linear"], pairs[f"{m}_barrier_linear"]
            ax.scatter(x, y, marker=MARKS[kind], color=COLORS[kind], label=f"{kind} ({len(pairs):,})", **POINTS)
            top = max(top, *x, *y)
        ax.axline((0, 0), slope=1, color="black", lw=0.8, zorder=0.5)
        ax.set(xlabel=f"predicted barrier ({results.unit})", ylabel=f"measured barrier ({results.unit})", title=title)
        top = top or 1.0  # no pair has a barrier
        ax.set(xlim=(-0.03 * top, 1.05 * top), ylim=(-0.03 * top, 1.05 * top), aspect="equal")
        ax.legend(loc="upper left", markerscale=2)
    return figure


def z_histogram(results: Results) -> Figure | None:
    """Histogram of z, one a pair, with the standard normal density; and its quantiles against the normal's."""
    if not results.has("z") or len(z := results.measured["z"].drop_nulls().to_numpy()) < 10:
        return None
    figure = Figure(figsize=(6.6, 3.0))
    left, right = figure.subplots(1, 2)
    edge = min(max(4.0, float(np.ceil(abs(z).max()))), 20.0)
    a_unit = 4 if len(z) > 300 else 2  # bins
    left.hist(
        np.clip(z, -edge, edge),
        bins=np.linspace(-edge, edge, int(2 * edge) * a_unit + 1),
        density=True,
        color="C5",
        lw=0,
    )
    grid = np.linspace(-edge, edge, 301)
    left.plot(grid, stats.norm.pdf(grid), color="black", lw=1.2, label="standard normal")
    alpha = nearest_alpha(results.curves, 0.5)
    left.set(
        xlabel=f"z at α = {alpha:g} (standard errors)",
        ylabel="density",
        ylim=(0, 0.5),
        title=f"{len(z):,} pairs, one z each",
    )
    left.legend(loc="upper right")
    n = len(z)
    normal = stats.norm.ppf((np.arange(n) + 0.5) / n)
    low, high = (stats.norm.ppf(stats.beta.ppf(q, np.arange(1, n + 1), np.arange(n, 0, -1))) for q in (0.025, 0.975))
    right.fill_between(
        normal, low - normal, high - normal, color="0.85", lw=0, label="95 % of normal samples, pointwise"
    )
    right.plot(normal, np.sort(z) - normal, ".", ms=2, color="C0", rasterized=True)
    right.axhline(0, color="black", lw=0.8)
    right.set(
        xlabel="normal quantile", ylabel="quantile of z − normal quantile", title="the same, quantile by quantile"
    )
    right.legend(loc="upper left", fontsize=7)
    return figure


def grid(results: Results) -> Figure | None:
    """What the grid of alphas misses of the exact training barrier, pair by pair."""
    if not results.has("exact_training_barrier_linear"):
        return None
    figure = Figure(figsize=(4.4, 3.2))
    ax = figure.subplots()
    floor = 1e-12
    for kind in results.kinds:
        pairs = results.measured.filter(kind=kind)
        exact, on_grid = (pairs[f"{name}_barrier_linear"].to_numpy() for name in ("exact_training", "train_loss"))
        shown = exact > floor
        missed, drawn = np.maximum(1 - on_grid[shown] / exact[shown], 1e-6), f"{kind} ({int(shown.sum()):,})"
        ax.scatter(exact[shown], missed, marker=MARKS[kind], color=COLORS[kind], label=drawn, **POINTS)
    n = len(results.study.measure.alphas)
    ax.set(xscale="log", yscale="log", ylim=(5e-7, 2), xlabel=f"exact training barrier ({results.unit})")
    ax.set_ylabel(f"share that {n} alphas miss\n(below 10⁻⁶ drawn there)")
    ax.legend(loc="upper right", markerscale=2)
    return figure


def twins(results: Results) -> Figure | None:
    """Midpoint barriers of simulated twin students against those of the order-parameter equations, and their distance against d."""
    column, key = "twin_students_barrier_midpoint", "data.inputs"
    if not results.has(column) or key not in results.factors or not results.has("population_barrier_midpoint"):
        return None
    figure = Figure(figsize=(6.6, 3.2))
    left, right = figure.subplots(1, 2)
    levels = results.pairs[key].unique().sort().to_list()
    settings = results.pairs["component"].unique().sort().to_list() if "component" in results.factors else [None]
    for i, level in enumerate(levels):
        pairs = results.measured.filter(pl.col(key) == level)
        for kind in results.kinds:
            some = pairs.filter(kind=kind)
            color = mpl.colormaps["viridis"](i / max(len(levels) - 1, 1) * 0.9)
            named = f"d = {level}" if kind == results.kinds[0] else None
            left.scatter(
                some[column],
                some["population_barrier_midpoint"],
                marker=MARKS[kind],
                color=color,
                label=named,
                **POINTS,
            )
    left.axline((0, 0), slope=1, color="black", lw=0.8, zorder=0.5)
    left.set(xlabel=f"predicted, d → ∞ ({results.unit})", ylabel="simulated", title="L(½) − mean of ends, every pair")
    left.legend(markerscale=2, fontsize=7)
    for kind in results.kinds:
        for style, setting in zip(("-", "--", ":", "-."), settings, strict=False):
            pairs = results.measured.filter(kind=kind)
            pairs = pairs if setting is None else pairs.filter(component=setting)
            gap = (pl.col("population_barrier_midpoint") - pl.col(column)) ** 2
            rms = pairs.group_by(key).agg(gap.mean().sqrt().alias("rms")).sort(key)
            name = kind if setting is None else f"{kind}, {setting}"
            right.plot(rms[key], rms["rms"], style, marker=MARKS[kind], ms=4, color=COLORS[kind], label=name)
    d = np.array(levels, dtype=float)
    top = right.get_ylim()[1]
    right.plot(d, 0.7 * top * (d / d[0]) ** -0.5, color="0.6", lw=0.8, label="slope −½")
    right.set(xscale="log", yscale="log", xlabel=results.label(key), ylabel="rms of simulated − predicted")
    right.set_xticks(levels, [str(level) for level in levels], minor=False)
    right.minorticks_off()
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3, columnspacing=1)
    return figure


def permutations(results: Results) -> Figure | None:
    """Share of pairs whose students specialised to different permutations, by the first factor, one line a level of the second."""
    column = "different_permutation"
    if not results.has(column) or not results.factors:
        return None
    figure = Figure(figsize=(3.4 * len(results.kinds), 3.2))
    for ax, kind in zip(
        figure.subplots(1, len(results.kinds), squeeze=False, sharey=True)[0], results.kinds, strict=True
    ):
        key, *others = results.groups(kind)
        split = others[0] if others else None
        shares = group_means(results.measured.filter(kind=kind), [key] if split is None else [split, key], column)
        levels = shares[key].unique().sort().to_list()
        series = [None] if split is None else shares[split].unique().sort().to_list()
        for i, level in enumerate(series):
            rows = shares if split is None else shares.filter(pl.col(split) == level)
            x = np.array([levels.index(value) for value in rows[key]]) + 0.12 * (i - (len(series) - 1) / 2) / max(
                len(series) - 1, 1
            )
            mean = rows["mean"].to_numpy()
            error = np.nan_to_num(np.abs(rows.select("low", "high").to_numpy().T - mean))
            color = mpl.colormaps["viridis"](i / max(len(series) - 1, 1) * 0.9)
            ax.errorbar(
                x,
                mean,
                error,
                fmt="-" + MARKS[kind],
                ms=3.5,
                lw=1,
                color=color,
                label=None if level is None else str(level),
            )
        ax.set_xticks(range(len(levels)), [str(level) for level in levels])
        ax.set(xlabel=results.label(key), title=PAIRS[kind])
        ax.set_ylim(bottom=-0.01)
        if split is not None:
            ax.legend(title=results.label(split), title_fontsize=8, ncols=2)
    figure.axes[0].set_ylabel("share in different permutations")
    return figure


def training(results: Results) -> Figure | None:
    """Recorded batch losses: the median over networks, by the first factor; without factors also the 10th to 90th percentile."""
    losses = results.losses.join(results.networks.filter(pl.col("diverged_at").is_null()), on="network")
    if not len(losses):
        return None
    keys = [key for key in results.factors if key != "ensemble.spawn_step"]
    levels = losses[keys[0]].unique().sort().to_list() if keys else [None]
    if len(levels) > MOST_LINES:
        keys, levels = [], [None]
    figure = Figure(figsize=(4.4, 3.2))
    ax = figure.subplots()
    for i, level in enumerate(levels):
        rows = losses if level is None else losses.filter(pl.col(keys[0]) == level)
        loss = pl.col("loss")
        table = (
            rows.group_by("step")
            .agg(loss.median().alias("50"), loss.quantile(0.1).alias("10"), loss.quantile(0.9).alias("90"))
            .sort("step")
        )
        color = "C0" if level is None else mpl.colormaps["viridis"](i / max(len(levels) - 1, 1) * 0.9)
        if len(levels) == 1:
            ax.fill_between(table["step"], table["10"], table["90"], color=color, alpha=0.15, lw=0)
        ax.plot(table["step"], table["50"], color=color, lw=1.1, label=None if level is None else str(level))
    ax.set(
        yscale="log",
        xlabel="step (parameter updates)",
        ylabel=f"batch loss ({results.unit})",
        title="median over networks" + ("; band: 10 % to 90 %" if len(levels) == 1 else ""),
    )
    if keys:
        ax.legend(title=results.label(keys[0]), ncols=2)
    return figure
