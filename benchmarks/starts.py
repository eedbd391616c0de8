"""Why large starts spread a committee's units unevenly over the teacher's axes: starts altered one property at a time.

    python benchmarks/starts.py [--quick] [--json]

The committees of the study double_descent, Σ relu(w_i·x) of a teacher of four axes, trained from

    small      rows of standard deviation 0.02/√8, the study's first start
    large      25 times as large, its second
    equal      large, but every row of one norm (directions as they were)
    balanced   large, coordinates of each row swapped so that equally many rows are nearest to each axis
    thinned    small in size, but norms in proportion to (|w_i| − ℓ)₊ of the large start, ℓ such that they add to the
               teacher's four (at least 1 % of the largest)

The explanation to be refuted. A large committee of m units is far too large a function: its residual is even and nearly
isotropic, so that every unit loses length at one rate, whatever its own. What is left is (|w_i| − ℓ)₊ with a sum of 4:
few heavy units, of the largest norms at the start. They do not share out the axes evenly, being few, and the light
rest, near 0, all go where the heavy ones left most to fit: they clump.

Written down before it ran, for m = 128 and exponents over 12 to 128 units:
  1  of large starts less than half of the units end on the axis that was nearest, and the counts of nearest axes have
     the binomial's deviation, 4.9: the directions at the start are not what spreads units by 11;
  2  the effective number of units (Σ|w|)²/Σ|w|² is below 40 at the end of large starts, above 80 of small ones; the
     law (|w_i| − ℓ)₊ says it within 30 %, and orders the final sizes (rank correlation above 0.7);
  3  the light units (less than half of the mean size) clump: their counts spread by more than twice the binomial's;
     the heavy ones' by less than one and a half times;
  4  from equal norms units spread by less than 7, and the exponent of the aligned barrier is at most −0.5 again;
  5  from balanced directions it is not: more than −0.5;
  6  thinned starts, small as they are, have an effective number of units below 60 and an exponent above that of small.

Rows: start, width, standard deviation of units on an axis (of nearest axes at the start; of light and of heavy ones
over the binomial's), share that ended on the nearest axis, effective number, that of (|w_i| − ℓ)₊ and the rank
correlation of its sizes with the final ones, aligned barrier (weights; training loss); then the exponents, with 95 %
bootstrap intervals over data sets and families.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import polars as pl
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr
from torch import Tensor

import kernels
from testbed import PairSet, Study, alignment
from testbed.ensemble.launch import Launch
from testbed.ensemble.measuring import Trained, pair_set
from testbed.ensemble.plan import plan
from testbed.measures.segments import chain_barriers

STARTS = ("small", "large", "equal", "balanced", "thinned")
WIDTHS = (12, 16, 32, 64, 128)
SMALL, LARGE = 0.02, 0.5
N_AXES = 4
DRAWS = 1000


def main() -> None:
    """Print the numbers, and the exponents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the study shrunk to a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a row")
    options = parser.parse_args()
    study = Study.load("double_descent", quick=options.quick)
    rows: list[dict[str, object]] = []
    barriers: dict[str, dict[int, pl.DataFrame]] = {start: {} for start in STARTS}
    for launch in plan(study).launches:
        width = launch.architecture.widths[1]
        if width not in WIDTHS:
            continue
        for start in STARTS:
            numbers, of_pairs = trained_from(launch, start)
            barriers[start][width] = of_pairs
            rows.append({"start": start, "width": width} | numbers)
    exponents = [{"start": start} | exponent(barriers[start]) for start in STARTS]
    if options.json:
        for row in (*rows, *exponents):
            print(json.dumps(row))
        return
    console = Console(width=200)
    for title, some in (("means over networks and pairs", rows), ("aligned barrier against width", exponents)):
        table = Table(*some[0], title=title, box=None)
        for row in some:
            table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
        console.print(table)


def trained_from(launch: Launch, start: str) -> tuple[dict[str, float], pl.DataFrame]:
    """Numbers of the networks of a launch trained from this start, and the aligned barriers of their pairs."""
    cells = [cell for cell, study in launch.cells.items() if study.architecture.scale == LARGE]
    networks = launch.networks.filter(pl.col("cell").is_in(cells))
    first = launch.initial(networks).double()
    params = first.clone()
    rows = launch.architecture.layers(params)[0][0]
    rows.copy_(started(rows.clone(), start))
    run = kernels.train(
        launch.architecture,
        params.to(launch.dtype),
        launch.train_sets,
        launch.training(networks),
        data_seeds=networks["data_seed"].to_numpy(writable=True),
        dataset=networks["train_set"].to_numpy(writable=True),
        trainable=launch.trainable(networks),
    )
    everyone = torch.zeros(len(launch.networks), launch.architecture.n_parameters, dtype=torch.float64)
    everyone[torch.from_numpy(networks["row"].to_numpy().astype(np.int64))] = run.params.double()
    chosen = launch.pairs.filter(pl.col("cell").is_in(cells))
    pairs = pair_set(launch, Trained(everyone, torch.full((len(everyone),), -1)), chosen, "auto")
    barrier = aligned_barriers(pairs)
    numbers = of_networks(
        launch.architecture.layers(params)[0][0], launch.architecture.layers(run.params.double())[0][0]
    )
    families = networks.select(pl.col("network").alias("network_a"), pl.col("family").alias("family_a"))
    found = chosen.join(families, on="network_a", maintain_order="left").select("cell", "family_a")
    found = found.with_columns(pl.Series("barrier", barrier))
    return numbers | {"aligned barrier": float(barrier.mean())}, found


def started(rows: Tensor, start: str) -> Tensor:
    """First layers [n, width, n_inputs] as the module says, from large ones."""
    norms = rows.norm(dim=2, keepdim=True)
    if start == "small":
        return rows * (SMALL / LARGE)
    if start == "equal":
        return rows / norms * norms.square().mean().sqrt()
    if start == "balanced":
        return _swapped(rows)
    if start == "thinned":
        left = shortened(norms[:, :, 0])
        left = torch.maximum(left, 0.01 * left.amax(1, keepdim=True))
        sizes = left / left.square().mean(1, keepdim=True).sqrt() * norms.square().mean().sqrt() * (SMALL / LARGE)
        return rows / norms * sizes[:, :, None]
    return rows


def _swapped(rows: Tensor) -> Tensor:
    """Unit i nearest to axis i mod 4: the coordinates of the nearest and of that axis swapped."""
    rows = rows.clone()
    nearest = rows[:, :, :N_AXES].argmax(2)
    wanted = (torch.arange(rows.shape[1]) % N_AXES).expand_as(nearest)
    one = rows.gather(2, nearest[:, :, None])
    other = rows.gather(2, wanted[:, :, None])
    rows.scatter_(2, nearest[:, :, None], other)
    rows.scatter_(2, wanted[:, :, None], one)
    return rows


def shortened(norms: Tensor) -> Tensor:
    """(|w_i| − ℓ)₊ [n, width] with ℓ such that a network's add to 4; norms that add to less stay as they are.

    >>> shortened(torch.tensor([[5.0, 4.0, 1.0]]))
    tensor([[2.5000, 1.5000, 0.0000]])
    """
    ordered = norms.sort(1, descending=True).values
    count = torch.arange(1, norms.shape[1] + 1)
    length = (ordered.cumsum(1) - N_AXES) / count  # ℓ if so many are left
    left = (ordered > length).sum(1, keepdim=True)  # the largest count whose smallest exceeds its ℓ
    return (norms - length.gather(1, left - 1).clamp(min=0)).clamp(min=0)


def of_networks(start: Tensor, end: Tensor) -> dict[str, float]:
    """The columns of networks, from first layers [n, width, n_inputs] at both times."""
    width = end.shape[1]
    nearest = start[:, :, :N_AXES].argmax(2)
    axis = end[:, :, :N_AXES].argmax(2)
    size = end.norm(dim=2)
    light = size < 0.5 * size.mean(1, keepdim=True)
    law = shortened(start.norm(dim=2))
    order = [
        spearmanr(one, other)[0] for one, other in zip(law.numpy(), size.numpy(), strict=True) if np.ptp(one) > 1e-9
    ]
    return {
        "units on an axis: sd": _deviation(axis, torch.ones_like(light)),
        "binomial sd": (width * 0.25 * 0.75) ** 0.5,
        "nearest at the start: sd": _deviation(nearest, torch.ones_like(light)),
        "light: sd/binomial": _over_binomial(axis, light),
        "heavy: sd/binomial": _over_binomial(axis, ~light),
        "light units": light.sum(1).double().mean().item(),
        "ended on the nearest": (axis == nearest).double().mean().item(),
        "effective number": _effective(size),
        "by the law": _effective(law),
        "rank correlation of sizes": float(np.mean(order)) if order else float("nan"),
    }


def _effective(size: Tensor) -> float:
    return (size.sum(1).square() / size.square().sum(1)).mean().item()


def _deviation(axis: Tensor, of: Tensor) -> float:
    """Root mean square over axes and networks of (units of these on an axis − their number/4)."""
    counts = torch.stack([((axis == k) & of).sum(1) for k in range(N_AXES)], 1).double()
    return (counts - counts.mean(1, keepdim=True)).square().mean().sqrt().item()


def _over_binomial(axis: Tensor, of: Tensor) -> float:
    expected = (of.sum(1).double().mean() * 0.25 * 0.75).sqrt().item()
    return _deviation(axis, of) / expected if expected else float("nan")


def aligned_barriers(pairs: PairSet) -> np.ndarray:
    """After weight matching, [n_pairs]."""
    matched = alignment.match_weights(pairs.architecture, pairs.a, pairs.b).params
    return chain_barriers(pairs.between_ends(pairs.a, matched))


def exponent(by_width: dict[int, pl.DataFrame]) -> dict[str, float]:
    """Of the mean aligned barrier against width, with a bootstrap over data sets and families within them."""
    widths = sorted(by_width)
    rng = np.random.default_rng(0)
    slopes = []
    for draw in range(DRAWS + 1):
        means = []
        for width in widths:
            cells = by_width[width].partition_by("cell")
            picked = [cells[k] for k in rng.integers(len(cells), size=len(cells))] if draw else cells
            values = []
            for cell in picked:
                family, barrier = cell["family_a"].to_numpy(), cell["barrier"].to_numpy()
                some = rng.choice(np.unique(family), len(np.unique(family))) if draw else np.unique(family)
                values += [barrier[family == one] for one in some]
            means.append(np.concatenate(values).mean())
        slopes.append(np.polyfit(np.log(widths), np.log(means), 1)[0])
    low, high = np.quantile(slopes[1:], [0.025, 0.975])
    return {"exponent": float(slopes[0]), "low": float(low), "high": float(high)}


if __name__ == "__main__":
    main()
