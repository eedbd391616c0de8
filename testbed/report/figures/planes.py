"""Pictures of the loss on planes through three networks: the ends of a pair, and B after alignment or else a third network of their cell."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import polars as pl
import torch
from matplotlib.figure import Figure
from torch import Tensor

from testbed.ensemble.measuring import aligned
from testbed.ensemble.plan import Launch, Plan
from testbed.measures import chains as segments
from testbed.results.results import Results
from testbed.results.tables import ALIGNED

FLOOR = 1e-4  # losses below are drawn as this one
SCHEMA = pl.Schema(
    {
        "cell": pl.Int64,
        "pair": pl.Int64,
        "third": pl.String,
        "corner": pl.String,
        "u": pl.Float64,
        "v": pl.Float64,
        "loss": pl.Float64,
    }
)


def table(plan: Plan, params: list[Tensor], diverged_at: list[Tensor], backend: str) -> pl.DataFrame:
    """Planes of `measure.planes` cells, evenly spread over the study's: for each its first pair without a diverged network.

    params, diverged_at: of each launch. Rows of the grid have u, v and loss (training samples of A); rows with a corner, A, B or C, say where the
    networks are. A cell whose three networks lie on one line has none.
    """
    cells = plan.cells["cell"].to_numpy()
    chosen = cells[np.linspace(0, len(cells) - 1, min(plan.study.measure.planes, len(cells))).round().astype(int)]
    parts = [pl.DataFrame(schema=SCHEMA)]
    for launch, theta, diverged in zip(plan.launches, params, diverged_at, strict=True):
        good = launch.networks.filter(pl.Series(diverged.numpy() < 0))
        pairs = launch.pairs.join(good.select(network_a="network"), on="network_a").join(
            good.select(network_b="network"), on="network_b"
        )
        for cell in chosen:
            first = pairs.filter(cell=cell).sort("pair").head(1)
            if (
                len(first)
                and (found := _plane(launch, theta, diverged, first, good.filter(cell=cell), backend)) is not None
            ):
                parts.append(found)
    return pl.concat(parts)


def _plane(
    launch: Launch, params: Tensor, diverged_at: Tensor, pair: pl.DataFrame, networks: pl.DataFrame, backend: str
) -> pl.DataFrame | None:
    samples, measure = launch.train_sets, launch.study.measure
    assert samples is not None
    ends = [int(networks.filter(network=pair[f"network_{side}"][0])["row"][0]) for side in "ab"]
    thirds: list[tuple[str, Tensor]] = []
    if measure.alignment:
        way, between = measure.alignment[0], torch.tensor(measure.between, dtype=torch.float64)
        one, other = (params[[end]] for end in ends)
        thirds.append(
            (f"B {ALIGNED[way]}", aligned(launch, way, one, other, params, diverged_at, pair, between, backend)[1][0])
        )
    another = networks.filter(~pl.col("row").is_in(ends)).head(1)
    thirds += [(f"network {network}", params[row]) for network, row in another.select("network", "row").rows()]
    of_a = pair["train_set_a"][0]
    for name, third in thirds:
        corners = torch.stack([params[ends[0]].double(), params[ends[1]].double(), third.double()])
        try:
            plane = segments.plane(
                launch.architecture,
                corners,
                (samples[0][of_a], samples[1][of_a]),
                launch.study.training.loss,
                backend=backend,
            )
        except ValueError:  # on one line
            continue
        u, v = np.meshgrid(plane.u, plane.v)
        rows = {
            "corner": [*"ABC", *[None] * u.size],
            "u": np.concatenate([plane.corners[:, 0], u.ravel()]),
            "v": np.concatenate([plane.corners[:, 1], v.ravel()]),
            "loss": [None] * 3 + plane.loss.ravel().tolist(),
        }
        head = {"cell": pair["cell"][0], "pair": pair["pair"][0], "third": name}
        return (
            pl.DataFrame(rows)
            .with_columns(**{key: pl.lit(value) for key, value in head.items()})
            .select(SCHEMA.names())
            .cast(SCHEMA)
        )
    return None


def figure(results: Results) -> Figure | None:
    """A panel for each plane: filled contours of the training loss, the three networks on them."""
    if results.planes is None or not len(results.planes):
        return None
    cells = results.planes["cell"].unique(maintain_order=True).to_list()
    columns = min(3, len(cells))
    rows = -(-len(cells) // columns)
    drawn = Figure(figsize=(0.9 + 2.9 * columns, 2.9 * rows))
    panels = drawn.subplots(rows, columns, squeeze=False)
    for ax in panels.flat[len(cells) :]:
        ax.set_visible(False)
    finite = results.planes["loss"].drop_nulls().to_numpy()
    finite = finite[np.isfinite(finite)]
    low, high = max(finite.min(), FLOOR), max(finite.max(), 10 * FLOOR)
    norm = mpl.colors.LogNorm(low, high)
    for ax, cell in zip(panels.flat, cells, strict=False):
        plane = results.planes.filter(cell=cell)
        points = plane.filter(pl.col("corner").is_null())
        u, v = (points[name].unique().sort().to_numpy() for name in "uv")
        loss = np.nan_to_num(points.sort("v", "u")["loss"].to_numpy().reshape(len(v), len(u)), nan=high, posinf=high)
        levels = np.geomspace(low, high, 16)
        filled = ax.contourf(u, v, loss.clip(low, high), levels, norm=norm, cmap="viridis_r")
        for corner in plane.filter(pl.col("corner").is_not_null()).to_dicts():
            ax.plot(corner["u"], corner["v"], "o", color="white", mec="black", ms=4.5)
            ax.annotate(
                corner["corner"], (corner["u"], corner["v"]), textcoords="offset points", xytext=(5, 4), fontsize=8
            )
        where = results.pairs.filter(pair=plane["pair"][0]).row(0, named=True)
        levels_here = ", ".join(f"{results.short(key)} {where[key]}" for key in results.factors)
        ax.set_title(f"{levels_here or 'pair ' + str(where['pair'])}\nC: {plane['third'][0]}", fontsize=7)
        ax.set(xlabel="distance along θB − θA", ylabel="distance towards C")
    drawn.colorbar(filled, ax=panels, label=f"training loss ({results.unit})", format="%.1g", shrink=0.8)
    return drawn
