"""A run's barriers in one picture, for a notebook; the page's figures are in `testbed.report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.results.comparison import group_means

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from testbed.results.results import Results

ASIDE = 0.08  # of the distance of two levels, between points that would lie on each other


def draw(results: Results, factor: str | None, quantity: str, ax: Axes | None) -> Axes:
    """Mean barriers against a factor, or the mean curves of all pairs where there is none."""
    import matplotlib.pyplot as plt

    ax = plt.figure().add_subplot() if ax is None else ax
    found = _against(results, factor, quantity, ax) if factor else _along(results, quantity, ax)
    ax.legend(frameon=False)
    return found


def _against(results: Results, factor: str, quantity: str, ax: Axes) -> Axes:
    """A point, with its 95 % interval, for each level; a colour for each kind of pairs, hollow after an alignment."""
    levels = results.levels_measured(factor)
    for number, kind in enumerate(results.kinds):
        paths = [path for path in ("", *ALIGNMENTS) if results.has(columns.barrier(quantity, path=path))]
        pairs = results.pairs_with(*(columns.barrier(quantity, path=path) for path in paths), kind=kind)
        for place, path in enumerate(paths):
            means = group_means(pairs, [factor], columns.barrier(quantity, path=path))
            x = np.array([levels.index(level) for level in means[factor]]) + ASIDE * place
            mean, low, high = (means[name].to_numpy() for name in ("mean", "low", "high"))
            error = np.nan_to_num([mean - low, high - mean]).clip(min=0)
            face: Any = {"mfc": "none"} if path else {}
            label = f"{kind}, {ALIGNMENTS[path].phrase}" if path else kind
            ax.errorbar(x, mean, error, fmt="so"[kind == "independent"], color=f"C{number}", label=label, **face)
    ax.set_xticks(range(len(levels)), [str(level) for level in levels])
    ax.set_xlabel(results.label(factor))
    ax.set_ylabel(f"{columns.readable(columns.barrier(quantity))} ({_unit(results, quantity)})")
    return ax


def _along(results: Results, quantity: str, ax: Axes) -> Axes:
    """The mean over pairs along the path, a colour for each kind of pairs, dashed after an alignment."""
    for number, kind in enumerate(results.kinds):
        curves = results.curves.join(results.pairs_with(kind=kind).select("pair"), on="pair")
        for path in ("", *ALIGNMENTS):
            column = columns.along(quantity, path)
            if column not in curves.columns:
                continue
            mean = curves.group_by("alpha").agg(pl.col(column).mean()).sort("alpha")
            label = f"{kind}, {ALIGNMENTS[path].phrase}" if path else kind
            ax.plot(mean["alpha"], mean[column], "--" if path else "-", color=f"C{number}", label=label)
    ax.set_xlabel("α")
    ax.set_ylabel(f"mean {columns.readable(quantity)} ({_unit(results, quantity)})")
    return ax


def _unit(results: Results, quantity: str) -> str:
    return "share misclassified" if quantity.endswith("error") else results.unit
