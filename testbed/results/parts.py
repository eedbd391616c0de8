"""Launches read shard by shard, so that no table of a long run is in memory whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from torch import Tensor

Found: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True)
class Part:
    """Rows start … stop − 1 of a launch's networks or pairs, and what reads the shard that holds what came of them."""

    start: int
    stop: int
    read: Callable[[], Found]


MOST_ROWS = 2**14  # of a piece
Parts: TypeAlias = list[list[Part]]  # of each launch


@dataclass(frozen=True)
class Piece:
    """Rows of a launch that stand together in a table, and what was found of all rows of their part."""

    launch: int
    rows: slice
    part: Part
    found: Found

    def of(self, values: Tensor) -> np.ndarray:
        """The piece's rows of one of the arrays that were found."""
        return values[self.rows.start - self.part.start : self.rows.stop - self.part.start].numpy()


def in_order(numbers: list[np.ndarray], parts: Parts) -> Iterator[Piece]:
    """The rows of all launches in the order of their numbers, in pieces; one shard is held at a time.

    numbers: those of each launch's rows, rising, in a table of all launches.

    >>> read = lambda: {}
    >>> pieces = in_order([np.array([0, 1, 4, 5]), np.array([2, 3])], [[Part(0, 4, read)], [Part(0, 2, read)]])
    >>> [(piece.launch, piece.rows.start, piece.rows.stop) for piece in pieces]
    [(0, 0, 2), (1, 0, 2), (0, 2, 4)]
    """
    places = []
    for launch, (of_launch, its_parts) in enumerate(zip(numbers, parts, strict=True)):
        for part in its_parts:
            cuts = part.start + 1 + np.flatnonzero(np.diff(of_launch[part.start : part.stop]) != 1)
            ends = {*range(part.start, part.stop, MOST_ROWS), *cuts.tolist(), part.stop}
            places += [
                (int(of_launch[start]), launch, part, slice(start, stop))
                for start, stop in itertools.pairwise(sorted(ends))
            ]
    held: Part | None = None
    found: Found = {}
    for _, launch, part, rows in sorted(places, key=lambda place: place[0]):
        if part is not held:
            found = {}  # before the next is read
            held, found = part, part.read()
        yield Piece(launch, rows, part, found)


@dataclass(frozen=True, eq=False)
class LongTable:
    """A table whose rows are made part by part, in their order.

    columns: all that it has, without rows; those that a part has not are null there.
    """

    name: str
    columns: pl.DataFrame
    n_rows: int
    parts: Iterator[pl.DataFrame]
