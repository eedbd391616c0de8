"""From shards to tables: networks, pairs, curves, losses."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from torch import Tensor

import theory
from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.columns import DEFINITIONS, QUANTITIES
from testbed.ensemble.launch import Launch
from testbed.ensemble.plan import Plan
from testbed.measures.registry import MEASURES, PREDICTIONS
from testbed.results.comparison import z_scores

PATHS = ("", *ALIGNMENTS)
MEASURED = tuple(columns.along(quantity, path) for path in PATHS for quantity in QUANTITIES)
PREDICTED = tuple(columns.predicted_loss(name) for name in PREDICTIONS)
CURVES = (*MEASURED, "test_standard_error", "test_skewness", *PREDICTED, "z")
GAPS = {name: columns.gap(name) for name, alignment in ALIGNMENTS.items() if alignment.bounded}
MEASURE_COLUMNS = tuple(column.name for measure in MEASURES.values() for column in measure.columns)
NUMBERS = (columns.DIFFERENT_PERMUTATION, *(columns.distance(path) for path in PATHS), *MEASURE_COLUMNS)  # one a pair
Arrays = dict[str, np.ndarray]


def networks_table(plan: Plan, shards: list[dict[str, Tensor]]) -> pl.DataFrame:
    """One row a network: plan, factors, final training loss, first bad step. shards: of all launches in turn."""
    found = {
        name: torch.cat([shard[name] for shard in shards]).numpy()
        for name in ("train_loss", "diverged_at", "stopped_at")
    }
    order = pl.concat([launch.networks.select("network") for launch in plan.launches])["network"]
    result = pl.DataFrame({"network": order, **found}).with_columns(
        pl.col("train_loss").fill_nan(None),
        *(pl.when(pl.col(name) >= 0).then(name).alias(name) for name in ("diverged_at", "stopped_at")),
    )
    return plan.networks.join(plan.cells, on="cell").join(result, on="network").sort("network")


def losses_table(plan: Plan, shards: list[list[dict[str, Tensor]]]) -> pl.DataFrame:
    """One row a recorded training loss: network, step, loss. shards: of each launch."""
    tables = []
    for launch, parts in zip(plan.launches, shards, strict=True):
        losses = torch.cat([part["losses"] for part in parts]).numpy()
        steps = np.array(launch.study.training.build(launch.architecture.n_inputs).loss_steps, dtype=np.int64)
        network = launch.networks["network"].to_numpy()
        rows = {
            "network": np.repeat(network, len(steps)),
            "step": np.tile(steps, len(network)),
            "loss": losses.ravel(),
        }
        tables.append(pl.DataFrame(rows))
    return pl.concat(tables).with_columns(pl.col("loss").fill_nan(None)).sort("network", "step")


def pair_tables(
    plan: Plan, shards: list[list[dict[str, Tensor]]], diverged: pl.Series
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`pairs`, one row a pair (barriers, z), and `curves`, one row a pair and alpha.

    shards: of each launch. diverged: numbers of the networks that did, whose pairs are left out.
    """
    alphas = np.array(plan.study.measure.alphas)
    pairs = []
    curves = []
    for launch, parts in zip(plan.launches, shards, strict=True):
        found = _joined(parts)
        if columns.predicted_loss("population") in found:
            found["z"] = _z(found, launch)
        number = launch.pairs["pair"].to_numpy()
        pairs.append(pl.DataFrame({"pair": number} | _pair_columns(found, alphas, launch)))
        long = {"pair": np.repeat(number, len(alphas)), "alpha": np.tile(alphas, len(number))}
        curves.append(pl.DataFrame(long | {name: found[name].ravel() for name in CURVES if name in found}))
    diverged = diverged.implode()
    table = plan.pairs.join(plan.cells, on="cell").with_columns(
        left_out=pl.col("network_a").is_in(diverged) | pl.col("network_b").is_in(diverged)
    )
    measured = pl.concat(pairs, how="diagonal").fill_nan(None)
    along = pl.concat(curves, how="diagonal").fill_nan(None)
    return table.join(measured, on="pair").sort("pair"), along.sort("pair", "alpha")


def _pair_columns(found: Arrays, alphas: np.ndarray, launch: Launch) -> Arrays:
    """The columns of the table of pairs that were measured, `[n_pairs]` each, in the table's order."""
    row: Arrays = {}
    for name in (name for name in MEASURED if name in found):
        if name in QUANTITIES:
            row[columns.ends(name)] = found[name][:, np.isin(alphas, (0, 1))].mean(1)
        row |= _barriers_on_grid(name, found[name], alphas)
    for prediction in PREDICTIONS:
        barriers = columns.predicted_barriers(prediction)
        if barriers in found:
            row |= _predicted_barriers(prediction, found[barriers])
        if columns.check(prediction) in found:
            row[columns.check(prediction)] = found[columns.check(prediction)]
    row |= {name: found[name] for name in NUMBERS if name in found}
    row |= _gaps(row, launch)
    if "z" in found:
        middle = int(np.argmin(abs(alphas - 0.5)))
        row["z"] = found["z"][:, middle]
    return row


def _barriers_on_grid(name: str, values: np.ndarray, alphas: np.ndarray) -> Arrays:
    """Barriers of a measured curve `[n_pairs, n_alphas]` at the alphas from 0 to 1; the midpoint's if there is one."""
    row: Arrays = {}
    between = (alphas >= 0) & (alphas <= 1)
    good = np.isfinite(values).all(1)
    for definition in DEFINITIONS:
        if definition == "midpoint" and 0.5 not in alphas:
            continue
        barrier = theory.barriers_on_grid(alphas[between], values[good][:, between], definition)
        row[columns.barrier(name, definition)] = _at_rows(barrier.value, good)
        if definition != "midpoint":
            row[columns.barrier_alpha(name, definition)] = _at_rows(barrier.argmax, good)
    return row


def _predicted_barriers(prediction: str, values: np.ndarray) -> Arrays:
    """From values and argmaxes `[n_pairs, 4, 2]`."""
    row: Arrays = {}
    for k, definition in enumerate(DEFINITIONS):
        row[columns.barrier(prediction, definition)] = values[:, k, 0]
        if definition != "midpoint":
            row[columns.barrier_alpha(prediction, definition)] = values[:, k, 1]
    return row


def _gaps(row: Arrays, launch: Launch) -> Arrays:
    """What alignments leave beyond the best of all permutations, where both ends learnt the samples it looked at."""
    best = columns.barrier("train_loss", path="exhaustive")
    if best not in row:
        return {}
    same_samples = (launch.pairs["train_set_a"] == launch.pairs["train_set_b"]).to_numpy()
    barriers = {gap: columns.barrier("train_loss", path=alignment) for alignment, gap in GAPS.items()}
    return {
        gap: np.where(same_samples, row[barrier] - row[best], np.nan)
        for gap, barrier in barriers.items()
        if barrier in row
    }


def _z(found: Arrays, launch: Launch) -> np.ndarray:
    """Measured test loss less the population's, in standard errors, `[n_pairs, n_alphas]`."""
    return z_scores(
        found["test_loss"],
        found[columns.predicted_loss("population")],
        found["test_standard_error"],
        found["test_skewness"],
        launch.study.measure.test_samples,
    )


def _joined(parts: list[dict[str, Tensor]]) -> Arrays:
    """The shards of a launch as one array a name; a shard without it (all its pairs left out) gives NaN."""
    shapes = {name: part[name].shape[1:] for part in parts for name in part if name != "n_pairs"}
    joined = {}
    for name, shape in shapes.items():
        values = []
        for part in parts:
            missing = np.full((int(part["n_pairs"]), *shape), np.nan)
            values.append(part[name].numpy() if name in part else missing)
        joined[name] = np.concatenate(values)
    return joined


def _at_rows(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """`values` at the rows where `good`, NaN elsewhere."""
    whole = np.full(len(good), np.nan)
    whole[good] = values
    return whole
