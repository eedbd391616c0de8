"""From shards to tables: networks, pairs, curves, losses, a piece at a time; the long ones are never whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
from testbed.results.parts import LongTable, Part, Parts, Piece, in_order

PATHS = ("", *ALIGNMENTS)
MEASURED = tuple(columns.along(quantity, path) for path in PATHS for quantity in QUANTITIES)
PREDICTED = tuple(columns.predicted_loss(name) for name in PREDICTIONS)
CURVES = (*MEASURED, "test_standard_error", "test_skewness", *PREDICTED, "z")
GAPS = {name: columns.gap(name) for name, alignment in ALIGNMENTS.items() if alignment.bounded}
MEASURE_COLUMNS = tuple(column.name for measure in MEASURES.values() for column in measure.columns)
NUMBERS = (columns.DIFFERENT_PERMUTATION, *(columns.distance(path) for path in PATHS), *MEASURE_COLUMNS)  # one a pair
IN_CACHE = 2**11  # curves whose barriers are found at a time
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of a run. trained, measured: the shards of its networks and pairs; diverged: numbers of networks."""

    plan: Plan
    trained: Parts
    measured: Parts
    diverged: pl.Series

    def __iter__(self) -> Iterator[LongTable]:
        """Networks, pairs, curves, losses."""
        networks = [launch.network_numbers for launch in self.plan.launches]
        pairs = [launch.pair_numbers for launch in self.plan.launches]
        n_pairs = self.plan.n_pairs
        n_losses = sum(launch.n_networks * len(_loss_steps(launch)) for launch in self.plan.launches)
        yield self._table("networks", self.networks_of, networks, self.trained, self.plan.n_networks)
        yield self._table("pairs", self.pairs_of, pairs, self.measured, n_pairs)
        yield self._table("curves", self.curves_of, pairs, self.measured, n_pairs * len(self.plan.study.measure.alphas))
        yield self._table("losses", self.losses_of, networks, self.trained, n_losses)

    def _table(
        self,
        name: str,
        rows_of: Callable[[Piece], pl.DataFrame],
        numbers: list[np.ndarray],
        parts: Parts,
        n_rows: int,
    ) -> LongTable:
        first = [_first_of(launch, of_launch) for launch, of_launch in enumerate(parts) if of_launch]
        header = pl.concat([rows_of(piece).clear() for piece in first], how="diagonal_relaxed")
        return LongTable(name, header, n_rows, map(rows_of, in_order(numbers, parts)))

    def networks_of(self, piece: Piece) -> pl.DataFrame:
        """One row a network: plan, factors, final training loss, first bad step."""
        plan = self._with_factors(self._launch(piece).networks_at(piece.rows))
        names = ("train_loss", "diverged_at", "stopped_at")
        found = pl.DataFrame({name: piece.of(piece.found[name]) for name in names}).with_columns(
            pl.col("train_loss").fill_nan(None),
            *(pl.when(pl.col(name) >= 0).then(name).alias(name) for name in ("diverged_at", "stopped_at")),
        )
        return pl.concat([plan, found], how="horizontal")

    def losses_of(self, piece: Piece) -> pl.DataFrame:
        """One row a recorded training loss: network, step, loss."""
        launch = self._launch(piece)
        network = launch.network_numbers[piece.rows]
        steps = _loss_steps(launch)
        rows = {
            "network": np.repeat(network, len(steps)),
            "step": np.tile(steps, len(network)),
            "loss": piece.of(piece.found["losses"]).ravel(),
        }
        return pl.DataFrame(rows).with_columns(pl.col("loss").fill_nan(None))

    def pairs_of(self, piece: Piece) -> pl.DataFrame:
        """One row a pair: plan, factors, whether it is left out; barriers, z and all else that was measured."""
        pairs = self._launch(piece).pairs_at(piece.rows)
        plan = self._with_factors(pairs).with_columns(left_out=self.left_out(pairs))
        measured = _pair_columns(self._found(piece), np.array(self.plan.study.measure.alphas), pairs)
        return pl.concat([plan, pl.DataFrame(measured).fill_nan(None)], how="horizontal") if measured else plan

    def left_out(self, pairs: pl.DataFrame) -> pl.Series:
        """Whether one of a pair's networks diverged."""
        return pairs["network_a"].is_in(self.diverged.implode()) | pairs["network_b"].is_in(self.diverged.implode())

    def n_left_out(self) -> int:
        """How many pairs are left out."""
        if not len(self.diverged):
            return 0
        return sum(
            int(self.left_out(launch.pairs_at(slice(part.start, part.stop))).sum())
            for launch, parts in zip(self.plan.launches, self.measured, strict=True)
            for part in parts
        )

    def curves_of(self, piece: Piece) -> pl.DataFrame:
        """One row a pair and alpha: what was measured and predicted along the path."""
        alphas = np.array(self.plan.study.measure.alphas)
        number = self._launch(piece).pair_numbers[piece.rows]
        found = self._found(piece)
        rows = {"pair": np.repeat(number, len(alphas)), "alpha": np.tile(alphas, len(number))}
        rows |= {name: found[name].ravel() for name in CURVES if name in found}
        return pl.DataFrame(rows).fill_nan(None)

    def _found(self, piece: Piece) -> Arrays:
        """What was found of pairs, nothing where all of a shard's were left out; and where the population loss is among
        it, the measured test loss less that, in standard errors, `[n_pairs, n_alphas]`.
        """
        found = {name: piece.of(values) for name, values in piece.found.items() if name != "n_pairs"}
        if columns.predicted_loss("population") not in found:
            return found
        z = z_scores(
            found["test_loss"],
            found[columns.predicted_loss("population")],
            found["test_standard_error"],
            found["test_skewness"],
            self._launch(piece).study.measure.test_samples,
        )
        return found | {"z": z}

    def _with_factors(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Networks or pairs with the factors of their cells."""
        return rows.join(self.plan.cells, on="cell", how="left", maintain_order="left")

    def _launch(self, piece: Piece) -> Launch:
        return self.plan.launches[piece.launch]


def _loss_steps(launch: Launch) -> np.ndarray:
    """The steps whose losses were recorded."""
    return np.array(launch.study.training.build(launch.architecture.n_inputs).loss_steps, dtype=np.int64)


def _first_of(launch: int, parts: list[Part]) -> Piece:
    """The first row of a shard; not of one whose pairs were all left out, if there is another."""
    for part in parts:
        found = part.read()
        if set(found) != {"n_pairs"}:
            break
    return Piece(launch, slice(part.start, part.start + 1), part, found)


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
    between = (alphas >= 0) & (alphas <= 1)
    definitions = [definition for definition in DEFINITIONS if definition != "midpoint" or 0.5 in alphas]
    row: Arrays = {}
    for definition in definitions:
        row[columns.barrier(name, definition)] = np.full(len(values), np.nan)
        if definition != "midpoint":
            row[columns.barrier_alpha(name, definition)] = np.full(len(values), np.nan)
    for start in range(0, len(values), IN_CACHE):
        some = values[start : start + IN_CACHE]
        good = np.isfinite(some).all(1)
        curves, rows = some[np.ix_(good, between)], start + np.flatnonzero(good)
        for definition in definitions:
            barrier = theory.barriers_on_grid(alphas[between], curves, definition)
            row[columns.barrier(name, definition)][rows] = barrier.value
            if definition != "midpoint":
                row[columns.barrier_alpha(name, definition)][rows] = barrier.argmax
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
