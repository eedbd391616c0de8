"""What a run folder holds, read back: the tables, the study, and what the report needs to know of them."""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from testbed import columns, run_folder
from testbed.alignment.registry import ALIGNMENTS
from testbed.errors import StudyError
from testbed.frames import to_pandas
from testbed.measures.registry import PREDICTIONS
from testbed.results.comparison import group_means, with_families
from testbed.results.plot import draw
from testbed.results.store import Damaged, Store
from testbed.study import Study
from testbed.study.labels import LABELS, PER_INPUT
from testbed.study.levels import levels
from testbed.study.study import BASELINE
from testbed.toml import tomllib

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def load(folder: str | Path) -> Results:
    """A finished run, read back from its folder; StudyError if there is none, Damaged if a file is not as it was.

    >>> load("nowhere")
    Traceback (most recent call last):
    testbed.errors.StudyError: nowhere is not a run folder: it has no study.toml and no manifest.json.
    """
    return Results.load(folder)


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """A finished run, read back.

    Tables are read as far as they are asked for, since a run may have more than memory: all_networks, all_pairs,
    all_curves and all_losses are lazy; `networks`, `pairs`, `curves` and `losses` are whole, and hold what was left out
    too. planes and soups (with the factors of their cells): None if none were asked for.
    """

    folder: Path
    study: Study
    manifest: dict[str, Any]
    columns: dict[str, dict[str, str]]
    all_networks: pl.LazyFrame
    all_pairs: pl.LazyFrame
    all_curves: pl.LazyFrame
    all_losses: pl.LazyFrame
    planes: pl.DataFrame | None
    soups: pl.DataFrame | None = None

    def __repr__(self) -> str:
        """The question, what varied, and how much there is."""
        counts = self.counts
        varied = ", ".join(f"{key} ({len(levels)})" for key, levels in self.study.factors.items()) or "nothing"
        return (
            f"Results of {self.folder}: {self.study.question}\n"
            f"  varied: {varied}\n"
            f"  {counts['networks']:,} networks, {counts['pairs']:,} pairs: .networks, .pairs, .curves, .losses; "
            f".columns says what every column means; .barriers() for the means, .plot() for the figure"
        )

    def _repr_html_(self) -> str:
        """The same, and the mean barriers, for a notebook."""
        table = self.barriers()._repr_html_() if self._any_pair() else ""
        return f"<pre>{html.escape(repr(self))}</pre>{table}"

    @property
    def counts(self) -> dict[str, int]:
        """How many networks and pairs there are, and how many of them diverged or were left out."""
        return dict(self.manifest["counts"])

    @cached_property
    def networks(self) -> pl.DataFrame:
        """The table of networks: a row each."""
        return self.all_networks.collect()

    @cached_property
    def pairs(self) -> pl.DataFrame:
        """The table of pairs: a row each, with its factors and the families of both networks."""
        return self.all_pairs.collect()

    @cached_property
    def curves(self) -> pl.DataFrame:
        """The table of curves: a row for each pair and alpha."""
        return self.all_curves.collect()

    @cached_property
    def losses(self) -> pl.DataFrame:
        """The table of recorded losses: a row for each network and step."""
        return self.all_losses.collect()

    def curve_of(self, pair: int) -> pl.DataFrame:
        """The rows of one pair."""
        return self.all_curves.filter(pair=pair).collect()

    @property
    def curve_columns(self) -> list[str]:
        """The names of the columns of curves."""
        return self.all_curves.collect_schema().names()

    def barriers(self, quantity: str | None = None, definition: str = "linear") -> pl.DataFrame:
        """Mean barriers of each kind of pairs, at each level of the factors and on each path, with 95 % intervals.

        Columns: kind, a column for each factor (null where a kind is not told apart by it), path ("straight", or the
        alignment), n pairs, mean, low, high; the interval is of a bootstrap over families, NaN with fewer than three.
        quantity: one of `testbed.columns.QUANTITIES`, or the name of a prediction; None: the measured loss on test
        samples, or on training samples where there are none. ValueError names what is not there.
        """
        quantity = self._asked(quantity)
        if not self.has(columns.barrier(quantity, definition)):
            known = [name for name in self._quantities if self.has(columns.barrier(name, definition))]
            raise ValueError(
                f"there is no barrier of {quantity!r} by the definition {definition!r}: quantity must be one of "
                f"{', '.join(known) or 'none'}, and definition one of {', '.join(columns.DEFINITIONS)}."
            )
        tables = []
        for kind in self.kinds:
            for path in ("", *ALIGNMENTS):
                column = columns.barrier(quantity, definition, path)
                if self.has(column):
                    means = self.means(kind, ["kind", *self.groups(kind)], column)
                    tables.append(means.with_columns(path=pl.lit(path or "straight")))
        table = pl.concat(tables, how="diagonal")
        factors = [key for key in self.factors if key in table.columns]
        return table.select("kind", *factors, "path", "n", "mean", "low", "high")

    def to_polars(self) -> pl.DataFrame:
        """The table of pairs: a row each, with its factors, families, barriers and all that was measured."""
        return self.pairs

    def to_pandas(self) -> pd.DataFrame:
        """The same as pandas has it; ImportError, with the command that helps, where there is no pandas."""
        return to_pandas(self.pairs)

    def plot(self, factor: str | None = None, quantity: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw mean barriers against a factor, with 95 % intervals; where none varies, mean curves; return the axes.

        factor: a dotted key that varies; None: the first. quantity: one of `testbed.columns.QUANTITIES`; None: as for
        `barriers`. ValueError names what there is.
        """
        if factor is not None and factor not in self.factors:
            raise ValueError(
                f"factor must be one of {', '.join(self.factors) or 'none (nothing varies)'}, not {factor!r}."
            )
        quantity = self._asked(quantity)
        quantities = [name for name in columns.QUANTITIES if self.has(columns.barrier(name))]
        if quantity not in quantities:
            raise ValueError(f"quantity must be one of {', '.join(quantities)}, not {quantity!r}.")
        return draw(self, factor or next(iter(self.factors), None), quantity, ax)

    @classmethod
    def load(cls, folder: str | Path) -> Results:
        """Read a run folder; StudyError if it does not hold a finished run.

        `results.pairs` is the table of pairs; the columns' meanings are in `results.columns["pairs"]`. An example is at
        `testbed.run_study`.
        """
        return cls.of(Store(folder))

    @classmethod
    def of(cls, store: Store) -> Results:
        """The same by a store of the folder: what it wrote itself is not held against checksums again."""
        run_folder.check(store.folder)
        manifest = store.manifest() or {}
        if not manifest.get("finished"):
            raise StudyError(f"The run in {store.folder} is not finished: {store.command} continues it.")
        try:
            study = Study.make(tomllib.loads(store.read("study.toml").decode()))
        except (StudyError, ValueError) as error:  # of a folder without checksums
            raise error if isinstance(error, Damaged) else store.damaged("study.toml") from None
        networks, pairs = (store.table(name) for name in ("networks", "pairs"))
        curves, losses = (store.scan_table(name) for name in ("curves", "losses"))
        if "family_a" not in pairs.collect_schema():  # of an earlier version
            pairs = with_families(pairs, networks)
        losses = losses.cast({"loss": pl.Float64})  # the file has them as the networks were trained
        columns = store.read_json("columns.json")
        planes = store.read_table("planes") if study.measure.planes else None
        soups = store.read_table("soups") if study.measure.soups else None
        return cls(store.folder, study, manifest, columns, networks, pairs, curves, losses, planes, soups)

    @property
    def factors(self) -> list[str]:
        """The dotted keys that vary, and `component`, in the study's order."""
        return list(self.study.factors)

    @cached_property
    def measured(self) -> pl.DataFrame:
        """The pairs that were measured: those with a diverged network are left out."""
        return self.pairs.filter(~pl.col("left_out")) if self.pairs["left_out"].any() else self.pairs

    def pairs_with(self, *names: str, kind: str | None = None, only: pl.Series | None = None) -> pl.DataFrame:
        """The measured pairs, those of a kind, or `only` those of these numbers, with these of their columns.

        Nothing else is read. Their numbers, cell, kind, families, factors and left_out (false) are always there; a
        name that the table has not is not.
        """
        asked = {"pair", "cell", "kind", "family_a", "family_b", "left_out", *self.factors, *names}
        pairs = self.all_pairs.filter(~pl.col("left_out"))
        pairs = pairs if kind is None else pairs.filter(kind=kind)
        pairs = pairs if only is None else pairs.filter(pl.col("pair").is_in(only.implode()))
        return pairs.select(name for name in self.pair_columns if name in asked).collect()

    def means(self, kind: str, by: list[str], column: str) -> pl.DataFrame:
        """`group_means` of the pairs of a kind, worked out once: the page says some of them at several places."""
        asked = (kind, *by, column)
        if asked not in self._means:
            self._means[asked] = group_means(self.all_pairs.filter(kind=kind), by, column)
        return self._means[asked]

    @cached_property
    def _means(self) -> dict[tuple[str, ...], pl.DataFrame]:
        return {}

    @cached_property
    def pair_columns(self) -> list[str]:
        """The names of the columns of pairs."""
        return self.all_pairs.collect_schema().names()

    @cached_property
    def kinds(self) -> list[str]:
        """Kinds of pairs that were measured."""
        return [kind for kind in ("independent", "siblings") if kind in self.levels_measured("kind")]

    def levels_measured(self, key: str) -> list[Any]:
        """The values of a factor, or of `cell` or `kind`, that pairs were measured at, sorted."""
        of_pairs = self.all_pairs.filter(~pl.col("left_out")).select(pl.col(key).unique().sort())
        return of_pairs.collect()[key].to_list()

    @cached_property
    def n_families(self) -> int:
        """How many families of networks there are; their numbers are the ones from 0."""
        return int(self.all_networks.select(pl.col("family").n_unique()).collect().item())

    def shown(self, factor: str, level: Any) -> Any:
        """A level of a factor as the tables hold it."""
        if factor not in self.study.factors:
            return level
        values = self.study.factors[factor]
        return levels(values)[values.index(level)]

    @property
    def groups_of_components(self) -> dict[str, str]:
        """The group of each component, the baseline's being itself."""
        groups = {name: group for group, settings in self.study.component.items() for name in settings}
        return {BASELINE: BASELINE} | groups if groups else {}

    def has(self, column: str) -> bool:
        """Whether the pairs have this column, with at least one value."""
        if column not in self._has:
            is_there = column in self.pair_columns
            self._has[column] = is_there and self.all_pairs.select(pl.col(column).count()).collect().item() > 0
        return self._has[column]

    @cached_property
    def _has(self) -> dict[str, bool]:
        """What `has` found, a column at a time: all of a million pairs take hundreds of megabytes."""
        return {}

    def _any_pair(self) -> bool:
        """Whether there is a pair of networks that did not diverge."""
        return self.counts["pairs"] > self.counts["pairs_left_out"]

    def _asked(self, quantity: str | None) -> str:
        """The quantity that a caller names, or else the loss; ValueError where no pair has any."""
        if not self._any_pair():
            raise ValueError("no pair was measured: of each of them a network diverged.")
        return f"{self.part}_loss" if quantity is None else quantity

    @property
    def _quantities(self) -> list[str]:
        """Measured and predicted quantities that pairs may have a barrier of."""
        return [*columns.QUANTITIES, *PREDICTIONS]

    @property
    def part(self) -> str:
        """`test`, or `train` where there is nothing to test on."""
        return "test" if self.has(columns.barrier("test_loss")) else "train"

    @property
    def main_barrier(self) -> str:
        """The barrier that the answer is about: of the exact population loss, or else of the measured one."""
        predicted = columns.barrier("population")
        return predicted if self.has(predicted) else columns.barrier(f"{self.part}_loss")

    @property
    def ranked_by(self) -> str:
        """The barrier that components are ranked by: of the training error, or else of the training loss."""
        names = (columns.barrier(name) for name in ("train_error", "train_loss", "test_error", "test_loss"))
        return next(name for name in names if self.has(name))

    @property
    def unit(self) -> str:
        """The unit of losses and barriers."""
        return "½ mean squared error" if self.study.training.loss == "mse" else "nats"

    def label(self, key: str) -> str:
        """A factor as an axis or a table names it, in the units of the study's clock."""
        known = LABELS | PER_INPUT if self.study.training.clock == "inputs" else LABELS
        return known.get(key, key)

    def short(self, key: str) -> str:
        """A factor without its unit."""
        return self.label(key).split(" (")[0]

    def groups(self, kind: str) -> list[str]:
        """The factors to tell pairs apart by: independent pairs have no split, and data sets are averaged over."""
        return [
            key
            for key in self.factors
            if key != "data.seed" and (kind != "independent" or key != "ensemble.spawn_step")
        ]
