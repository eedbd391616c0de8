"""The distribution of z beside the standard normal."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from testbed.results.comparison import nearest_alpha
from testbed.results.results import Results

CAPTION = (
    "z = (measured test loss − exact population loss) / standard error, one a pair. Every pair has its own fresh "
    "inputs, so that given the networks the z of different pairs are independent, also of pairs that share a network. "
    "The standard error is estimated from the same inputs, and a sample's loss is skewed to the right: z is corrected "
    "for that to O(1/n) (Johnson 1978)."
)
FEWEST = 10  # pairs
BAND = 500  # quantiles at which the band is drawn
MOST = 20.0  # standard errors that are shown; what lies beyond is put there


def figure(results: Results) -> Figure | None:
    """Histogram of z, one a pair, with the standard normal density; and its quantiles against the normal's."""
    if not results.has("z"):
        return None
    z = results.pairs_with("z")["z"].drop_nulls().to_numpy()
    if len(z) < FEWEST:
        return None
    figure = Figure(figsize=(6.6, 3.3))
    left, right = figure.subplots(1, 2)
    _histogram(left, z, nearest_alpha(results.study.measure.alphas, 0.5))
    _quantiles(right, z)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _histogram(ax: mpl.axes.Axes, z: np.ndarray, alpha: float) -> None:
    from scipy import stats

    edge = min(max(4.0, float(np.ceil(abs(z).max()))), MOST)
    bins_per_unit = 4 if len(z) > 300 else 2
    bins = np.linspace(-edge, edge, int(2 * edge) * bins_per_unit + 1)
    ax.hist(np.clip(z, -edge, edge), bins=bins.tolist(), density=True, color="C5", lw=0)
    grid = np.linspace(-edge, edge, 301)
    ax.plot(grid, stats.norm.pdf(grid), color="black", lw=1.2, label="standard normal")
    ax.set(
        xlabel=f"z at α = {alpha:g} (standard errors)",
        ylabel="density",
        ylim=(0, 0.5),
        title=f"{len(z):,} pairs, one z each",
    )


def _quantiles(ax: mpl.axes.Axes, z: np.ndarray) -> None:
    """Quantiles less the normal's, with the band in which 95 % of normal samples have each of them."""
    from scipy import stats

    n = len(z)
    normal = stats.norm.ppf((np.arange(n) + 0.5) / n)
    rank = np.arange(1, n + 1)
    some = np.unique(np.linspace(0, n - 1, BAND).round().astype(int))
    low, high = (stats.norm.ppf(stats.beta.ppf(q, rank[some], n + 1 - rank[some])) for q in (0.025, 0.975))
    band = "95 % of normal samples, pointwise"
    ax.fill_between(normal[some], low - normal[some], high - normal[some], color="0.85", lw=0, label=band)
    ax.plot(normal, np.sort(z) - normal, ".", ms=2, color="C0", rasterized=True)
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlabel="normal quantile", ylabel="quantile of z − normal quantile", title="the same, quantile by quantile")
