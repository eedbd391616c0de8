"""From shards to tables: networks, pairs, curves, losses, a piece at a time; the long ones are never whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl

import theory
from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.columns import DEFINITIONS, QUANTITIES
from testbed.ensemble.launch import Launch
from testbed.ensemble.plan import Plan
from testbed.measures.registry import MEASURES, PREDICTIONS
from testbed.results.comparison import z_scores
from testbed.results.parts import Parts, Piece, in_order

PATHS = ("", *ALIGNMENTS)
MEASURED = tuple(columns.along(quantity, path) for path in PATHS for quantity in QUANTITIES)
PREDICTED = tuple(columns.predicted_loss(name) for name in PREDICTIONS)
CURVES = (*MEASURED, "test_standard_error", "test_skewness", *PREDICTED, "z")
GAPS = {name: columns.gap(name) for name, alignment in ALIGNMENTS.items() if alignment.bounded}
MEASURE_COLUMNS = tuple(column.name for measure in MEASURES.values() for column in measure.columns)
NUMBERS = (columns.DIFFERENT_PERMUTATION, *(columns.distance(path) for path in PATHS), *MEASURE_COLUMNS)  # one a pair
Arrays = dict[str, np.ndarray]


def networks_table(plan: Plan, parts: Parts) -> pl.DataFrame:
    """One row a network: plan, factors, final training loss, first bad step."""
    numbers = [launch.networks["network"].to_numpy() for launch in plan.launches]
    names = ("train_loss", "diverged_at", "stopped_at")
    result = pl.concat(
        pl.DataFrame({name: piece.of(piece.found[name]) for name in names}) for piece in in_order(numbers, parts)
    ).with_columns(
        pl.col("train_loss").fill_nan(None),
        *(pl.when(pl.col(name) >= 0).then(name).alias(name) for name in ("diverged_at", "stopped_at")),
    )
    return pl.concat([_with_factors(plan.networks, plan), result], how="horizontal")


def losses_frames(plan: Plan, parts: Parts) -> Iterator[pl.DataFrame]:
    """One row a recorded training loss: network, step, loss; in this order, a part of the networks at a time."""
    numbers = [launch.networks["network"].to_numpy() for launch in plan.launches]
    steps = [
        np.array(launch.study.training.build(launch.architecture.n_inputs).loss_steps, dtype=np.int64)
        for launch in plan.launches
    ]
    for piece in in_order(numbers, parts):
        network = numbers[piece.launch][piece.rows]
        rows = {
            "network": np.repeat(network, len(steps[piece.launch])),
            "step": np.tile(steps[piece.launch], len(network)),
            "loss": piece.of(piece.found["losses"]).ravel(),
        }
        yield pl.DataFrame(rows).with_columns(pl.col("loss").fill_nan(None))


def n_losses(plan: Plan) -> int:
    """Rows of the table of losses."""
    return sum(
        len(launch.networks) * len(launch.study.training.build(launch.architecture.n_inputs).loss_steps)
        for launch in plan.launches
    )


def pairs_table(plan: Plan, parts: Parts, diverged: pl.Series) -> tuple[pl.DataFrame, list[str]]:
    """One row a pair: barriers, z; and the names of what the table of curves holds.

    diverged: numbers of the networks that did, whose pairs are left out.
    """
    alphas = np.array(plan.study.measure.alphas)
    numbers = [launch.pairs["pair"].to_numpy() for launch in plan.launches]
    tables = []
    along: dict[str, None] = {}
    for piece in in_order(numbers, parts):
        launch = plan.launches[piece.launch]
        found = _found(piece, launch)
        along |= dict.fromkeys(name for name in CURVES if name in found)
        measured = _pair_columns(found, alphas, launch.pairs[piece.rows])
        tables.append(pl.DataFrame({"pair": numbers[piece.launch][piece.rows]} | measured).fill_nan(None))
    diverged = diverged.implode()
    table = _with_factors(plan.pairs, plan).with_columns(
        left_out=pl.col("network_a").is_in(diverged) | pl.col("network_b").is_in(diverged)
    )
    return pl.concat([table, pl.concat(tables, how="diagonal").drop("pair")], how="horizontal"), list(along)


def curves_frames(plan: Plan, parts: Parts, names: list[str]) -> Iterator[pl.DataFrame]:
    """One row a pair and alpha, with these columns; in this order, a part of the pairs at a time."""
    alphas = np.array(plan.study.measure.alphas)
    numbers = [launch.pairs["pair"].to_numpy() for launch in plan.launches]
    for piece in in_order(numbers, parts):
        found = _found(piece, plan.launches[piece.launch])
        number = numbers[piece.launch][piece.rows]
        nothing = np.full(len(number) * len(alphas), np.nan)
        rows = {"pair": np.repeat(number, len(alphas)), "alpha": np.tile(alphas, len(number))}
        rows |= {name: found[name].ravel() if name in found else nothing for name in names}
        yield pl.DataFrame(rows).fill_nan(None)


def _pair_columns(found: Arrays, alphas: np.ndarray, pairs: pl.DataFrame) -> Arrays:
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
    row |= _gaps(row, pairs)
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


def _gaps(row: Arrays, pairs: pl.DataFrame) -> Arrays:
    """What alignments leave beyond the best of all permutations, where both ends learnt the samples it looked at."""
    best = columns.barrier("train_loss", path="exhaustive")
    if best not in row:
        return {}
    same_samples = (pairs["train_set_a"] == pairs["train_set_b"]).to_numpy()
    barriers = {gap: columns.barrier("train_loss", path=alignment) for alignment, gap in GAPS.items()}
    return {
        gap: np.where(same_samples, row[barrier] - row[best], np.nan)
        for gap, barrier in barriers.items()
        if barrier in row
    }


def _with_factors(rows: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Networks or pairs with the factors of their cells."""
    return rows.join(plan.cells, on="cell", how="left", maintain_order="left")


def _found(piece: Piece, launch: Launch) -> Arrays:
    """What was found of pairs, nothing where all of a shard's were left out; and where the population loss is among it,
    the measured test loss less that, in standard errors, `[n_pairs, n_alphas]`.
    """
    found = {name: piece.of(values) for name, values in piece.found.items() if name != "n_pairs"}
    if columns.predicted_loss("population") not in found:
        return found
    z = z_scores(
        found["test_loss"],
        found[columns.predicted_loss("population")],
        found["test_standard_error"],
        found["test_skewness"],
        launch.study.measure.test_samples,
    )
    return found | {"z": z}


def _at_rows(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    """`values` at the rows where `good`, NaN elsewhere."""
    whole = np.full(len(good), np.nan)
    whole[good] = values
    return whole
