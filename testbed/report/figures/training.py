"""The training losses that were recorded."""

from __future__ import annotations

import polars as pl
from matplotlib.figure import Figure

from testbed.report.figures.marks import color_of, plain
from testbed.results.results import Results

MOST_LINES = 16  # that a legend has room for
MOST_NETWORKS = 20_000  # whose losses are read


def caption(results: Results) -> str:
    """What is drawn, and of how many networks where not of all."""
    n_good = results.counts["networks"] - results.counts["diverged"]
    some = f", {MOST_NETWORKS:,} of them" if n_good > MOST_NETWORKS else ""
    return f"Recorded training losses of the networks that did not diverge{some}."


def figure(results: Results) -> Figure | None:
    """Recorded batch losses: the median over networks, by the first factor.

    Without factors also the 10th to 90th percentile.
    """
    keys = [key for key in results.factors if key != "ensemble.spawn_step"]
    networks = _some(_good(results, keys)).select("network", *keys)
    numbers = networks["network"]
    near = results.all_losses.filter(pl.col("network").is_between(numbers.min(), numbers.max()))  # the rest is not read
    losses = near.join(networks.lazy(), on="network").collect(engine="streaming")
    if not len(losses):
        return None
    levels = losses[keys[0]].unique().sort().to_list() if keys else [None]
    if len(levels) > MOST_LINES:
        keys = []
        levels = [None]
    figure = Figure(figsize=(4.4, 3.6))
    ax = figure.subplots()
    for i, level in enumerate(levels):
        rows = losses if level is None else losses.filter(pl.col(keys[0]) == level)
        quantiles = _quantiles(rows)
        color = "C0" if level is None else color_of(i, levels)
        if len(levels) == 1:
            ax.fill_between(quantiles["step"], quantiles["10"], quantiles["90"], color=color, alpha=0.15, lw=0)
        label = None if level is None else plain(level)
        ax.plot(quantiles["step"], quantiles["50"], color=color, lw=1.1, label=label)
    ax.set(
        yscale="log",
        xlabel="step (parameter updates)",
        ylabel=f"batch loss ({results.unit})",
        title="median over networks" + ("; band: 10 % to 90 %" if len(levels) == 1 else ""),
    )
    ax.locator_params(axis="x", integer=True)
    if keys:
        figure.legend(loc="outside lower center", title=results.label(keys[0]), title_fontsize=8, ncols=4)
    return figure


def _good(results: Results, keys: list[str]) -> pl.DataFrame:
    """The networks that did not diverge: their numbers, cells and these factors."""
    good = results.all_networks.filter(pl.col("diverged_at").is_null())
    return good.select("network", "cell", *keys).collect()


def _some(networks: pl.DataFrame) -> pl.DataFrame:
    """As many as are read: all, or the first of each cell."""
    if len(networks) <= MOST_NETWORKS:
        return networks
    of_a_cell = max(1, MOST_NETWORKS // networks["cell"].n_unique())
    return networks.filter(pl.int_range(pl.len()).over("cell") < of_a_cell)


def _quantiles(losses: pl.DataFrame) -> pl.DataFrame:
    """The 10th, 50th and 90th percentile over networks at each step."""
    loss = pl.col("loss")
    quantiles = (loss.median().alias("50"), loss.quantile(0.1).alias("10"), loss.quantile(0.9).alias("90"))
    return losses.group_by("step").agg(quantiles).sort("step")
