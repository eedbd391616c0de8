"""A claim: what a source says of barriers, as a study states it. `testbed.results.claims` judges it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.errors import suggestion
from testbed.measures.registry import MEASURES, PREDICTIONS
from testbed.section import Section


class Claim(Section):
    """One line of the table "claim, source, here, agrees?".

    expects, of the mean of `column` over the pairs of a kind, against `factor`:
        `rises` or `falls`: from its first level to its last.
        `rises then falls`: some level between is above both ends (`falls then rises`: below).
        `smaller`: at levels[0] than at levels[1].
        `at most` or `at least`: `value` at every level, or of all pairs if no factor is named.
        `power`: the mean goes as level^value, by a straight line through the logarithms.
        `power at most`: it falls at least as fast as that, a bound O(level^value).
    where: factor, or column of numbers of the pairs, = value to look at alone.
    """

    claim: str
    source: str
    expects: Literal[
        "rises",
        "falls",
        "rises then falls",
        "falls then rises",
        "smaller",
        "at most",
        "at least",
        "power",
        "power at most",
    ]
    column: str = columns.barrier("test_error")
    pairs: Literal["independent", "siblings"] = "independent"
    factor: str | None = None
    levels: list[Any] = Field(default_factory=list)
    value: float | None = None
    where: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        if self.expects in ("at most", "at least"):
            if self.value is None:
                raise ValueError(f"value is missing: {self.expects!r} what?")
        elif self.expects.startswith("power") and self.value is None:
            raise ValueError("value is missing: the exponent.")
        elif self.factor is None:
            raise ValueError(f"factor is missing: {self.expects!r} with what?")
        if self.expects == "smaller" and len(self.levels) != 2:
            raise ValueError(f"levels must be two for 'smaller', the smaller one first, not {self.levels}.")
        return self

    def refusals(self, factors: dict[str, list[Any]]) -> Iterator[str]:
        """A sentence for each factor or level that the claim speaks of and the study does not have, or no column.

        >>> claim = Claim(claim="It falls.", source="nobody", expects="falls", factor="width")
        >>> list(claim.refusals({"depth": [2, 4]}))
        ["claims: 'width' does not vary in this study; its factors are depth."]
        """
        yield from self._of_columns(factors)
        # what is neither a factor nor a dotted key is a column of the pairs
        asked = {key: [level] for key, level in self.where.items() if key in factors or "." in key}
        if self.factor is not None:
            asked[self.factor] = self.levels
        for key, levels in asked.items():
            if key not in factors:
                yield f"claims: {key!r} does not vary in this study; its factors are {', '.join(factors) or 'none'}."
                continue
            for level in levels:
                if level not in factors[key]:
                    yield f"claims: {key} has no level {level!r}; it has {factors[key]}."

    def _of_columns(self, factors: dict[str, list[Any]]) -> Iterator[str]:
        """Where the claim's column, or one that it looks at alone, is no column of numbers."""
        numbers = number_columns()
        asked = {"column": self.column}
        for key, value in self.where.items():
            if key in factors or "." in key:
                continue
            asked[f"where.{key}"] = key
            if isinstance(value, bool) or not isinstance(value, int | float):
                yield f"claims: where.{key} must be a number, not {value!r}."
        for field, column in asked.items():
            if column not in numbers:
                yield (
                    f"claims: {field} must be a column of numbers of the pairs, such as "
                    f"{columns.barrier('test_loss')!r}, not {column!r}.{suggestion(column, numbers)}"
                )


def number_columns() -> list[str]:
    """Every column of numbers that the table of pairs may have: what a claim can be about.

    >>> "train_loss_barrier_linear" in number_columns(), "kind" in number_columns()
    (True, False)
    """
    paths = ("", *ALIGNMENTS)
    sources = [columns.along(quantity, path) for path in paths for quantity in columns.QUANTITIES]
    names = [columns.ends(quantity) for quantity in columns.QUANTITIES]
    for source in (*sources, *PREDICTIONS):
        for definition in columns.DEFINITIONS:
            names += [columns.barrier(source, definition), columns.barrier_alpha(source, definition)]
    names += [columns.distance(path) for path in paths]
    names += [columns.gap(name) for name, alignment in ALIGNMENTS.items() if alignment.bounded]
    names += [column.name for measure in MEASURES.values() for column in measure.columns]
    names += [columns.check(name) for name, prediction in PREDICTIONS.items() if prediction.twin is not None]
    return [*names, columns.DIFFERENT_PERMUTATION, "z"]
