"""How often one segment, two segments and a star's centre join trained committees, beside exact counts.

    python benchmarks/committee_paths.py [--runs runs] [--quick] [--json]

Of the networks of the study committee_paths (run first if it has not been), a row a width:

    one, two, three, four    the share of pairs (triples, quadruples) of networks that one segment joins, that two do,
                             and that have a common centre, by the axes of their units; with 95 % bootstrap intervals
                             over networks
    … if independent         the same if units chose their axes independently and alike (`theory.straight_probability`,
                             `theory.centre_probability`)
    … given the counts       the same (one and two) if each network's numbers of units on the axes are as they are and
                             the rest is chance
    most segments            of the pairs of the study; 0: some are joined by none
    over the centre          the largest barrier (training loss) of A – C – B, C made from the ends' axes
    straight                 the mean barrier of straight lines where one segment does not do
    bend, where two do / do not   mean barriers over a trained bend
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from scipy.stats import hypergeom

import theory
from testbed.ensemble.launch import Launch
from testbed.ensemble.measuring import Trained, pair_set
from testbed.ensemble.plan import plan
from testbed.measures.segments import chain_barriers
from testbed.results import Results
from testbed.run import results_of

N_AXES = 2
TOLERANCE = 0.02  # by how much trained networks may be off a minimum
TUPLES = 20_000
DRAWS = 300


def main() -> None:
    """Print one row a width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--quick", action="store_true", help="the study shrunk to a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a row")
    options = parser.parse_args()
    results = results_of("committee_paths", options.runs, quick=options.quick)
    rows = [of_launch(results, launch) for launch in plan(results.study).launches]
    if options.json:
        for row in rows:
            print(json.dumps(row))
        return
    table = Table("", *(str(row["units"]) for row in rows), title="units", box=None)
    for name in list(rows[0])[1:]:
        table.add_row(name, *(str(row[name]) for row in rows))
    Console(width=160).print(table)


def of_launch(results: Results, launch: Launch) -> dict[str, object]:
    """The columns of one width."""
    params = load_file(results.folder / f"parameters/launch-{launch.index}.safetensors")["params"].double()
    first = launch.architecture.layers(params)[0][0]
    width = first.shape[1]
    types = theory.neuron_types(first.numpy(), N_AXES, tolerance=TOLERANCE)
    row: dict[str, object] = {"units": width, "units that are 0": _shown((types < 0).mean())}
    counted = {"one": (2, _equal), "two": (2, _served), "three": (3, _served), "four": (4, _served)}
    for name, (size, joined) in counted.items():
        row[name] = share(types, size, joined)
        if name == "one":
            independent = theory.straight_probability(width, N_AXES)
        else:
            independent = theory.centre_probability(width, N_AXES, size)
        row[f"{name}, if independent"] = _shown(float(independent))
    row["one, given the counts"], row["two, given the counts"] = (_shown(value) for value in given_the_counts(types))
    return row | tried_out(results, launch, params, types)


def share(types: np.ndarray, size: int, joined: Callable[[np.ndarray], np.ndarray]) -> str:
    """The share of tuples of different networks that are joined, and its interval over networks."""
    rng = np.random.default_rng(0)
    n = len(types)
    found = []
    for draw in range(DRAWS + 1):
        networks = rng.integers(n, size=n) if draw else np.arange(n)
        if size == 2:
            chosen = np.array(list(itertools.combinations(range(n), 2)))
        else:
            chosen = rng.integers(n, size=(TUPLES, size))
        chosen = networks[chosen]
        ordered = np.sort(chosen, 1)
        different = (ordered[:, 1:] != ordered[:, :-1]).all(1)
        found.append(joined(types[chosen[different]]).mean())
    low, high = np.quantile(found[1:], [0.025, 0.975])
    return f"{_shown(found[0])} [{_shown(low)}, {_shown(high)}]"


def _equal(sets: np.ndarray) -> np.ndarray:
    """Types [n, 2, width]: no unit has different axes."""
    one, other = sets[:, 0], sets[:, 1]
    return ((one == other) | (one < 0) | (other < 0)).all(1)


def _served(sets: np.ndarray) -> np.ndarray:
    """Types [n, size, width]: every axis has a unit that has it in all, or is 0."""
    most = sets.max(1)
    agree = ((sets == most[:, None]) | (sets < 0)).all(1)
    missing = sum(~(agree & (most == axis)).any(1) for axis in range(N_AXES))
    return missing <= (most < 0).sum(1)


def given_the_counts(types: np.ndarray) -> tuple[float, float]:
    """P(one) and P(two), in the mean over pairs, if which units are on the first axis is chance but for their number.

    X, the units on the first axis in both, is hypergeometric, and m − a − b + X are on the second in both.
    """
    width = types.shape[1]
    counts = (types != 1).sum(1)
    one, two = [], []
    for a, b in itertools.combinations(counts, 2):
        x = np.arange(width + 1)
        chance = hypergeom(width, a, b).pmf(x)
        one.append(chance[(x == a) & (x == b)].sum())
        two.append(chance[(x >= 1) & (width - a - b + x >= 1)].sum())
    return float(np.mean(one)), float(np.mean(two))


def tried_out(results: Results, launch: Launch, params: torch.Tensor, types: np.ndarray) -> dict[str, object]:
    """Barriers of the study's pairs over constructed centres, straight lines and trained bends."""
    pairs = pair_set(launch, Trained(params, torch.full((len(params),), -1)), launch.pairs, "auto")
    places = launch.networks["network"].to_numpy()
    row_a, row_b = (np.searchsorted(places, launch.pairs[f"network_{side}"].to_numpy()) for side in "ab")
    segments = theory.least_segments(types[row_a], types[row_b], N_AXES)
    first_a, first_b = (launch.architecture.layers(end)[0][0] for end in (pairs.a, pairs.b))
    centres = theory.common_centre(np.stack([first_a, first_b], 1), N_AXES, tolerance=TOLERANCE)
    there = torch.from_numpy(np.isfinite(centres).all((1, 2)))
    middle = pairs.a.clone()
    launch.architecture.layers(middle)[0][0].copy_(torch.from_numpy(centres))
    over = chain_barriers(pairs[there], middle[there])
    measured = launch.pairs.select("pair").join(results.measured, on="pair", maintain_order="left")
    straight = measured["train_loss_barrier_linear"].to_numpy()
    bend = measured["bend_train_loss_barrier_linear"].to_numpy()
    within_two = (segments == 1) | (segments == 2)
    return {
        "most segments": "none" if (segments == 0).any() else str(segments.max()),
        "over the centre": _shown(over.max()),
        "straight": _shown(straight[segments != 1].mean()),
        "bend, where two do": _shown(bend[within_two].mean()),
        "bend, where two do not": _shown(bend[~within_two].mean()) if (~within_two).any() else "",
    }


def _shown(value: float) -> str:
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
