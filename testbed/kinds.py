"""What a study may do to a PairSet: measure it, align it, predict it. Each kind has a registry.

A new one is a file and a line. The registries are `testbed.measures.registry` (MEASURES, PREDICTIONS) and
`testbed.alignment.registry` (ALIGNMENTS). Fields of a study, columns, figures and the report read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import kernels
from kernels.shown import Short
from testbed.default_device import on_cpu
from testbed.pair_set import PairSet
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Column:
    """A column of the table of pairs: its name, what it means (`columns.json`), its unit (`loss`: the loss's own)."""

    name: str
    meaning: str
    unit: str


@dataclass(frozen=True)
class Mark:
    """How a path looks in figures: marker (matplotlib's), and its name in a legend."""

    marker: str
    label: str


@dataclass(frozen=True)
class Extent:
    """What the work for one pair grows with: the networks, the samples, and the alphas."""

    architecture: kernels.Architecture
    n_train: int
    n_test: int
    n_alphas: int

    @property
    def step(self) -> float:
        """Multiply-adds of one forward pass over the training samples."""
        return float(self.n_train * self.architecture.n_parameters)


@dataclass(frozen=True)
class Work:
    """Multiply-adds for one pair, about.

    kernels: on the chosen backend. arrays: in torch or numpy, on whole arrays.
    """

    kernels: float = 0.0
    arrays: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.kernels + other.kernels, self.arrays + other.arrays)


def nothing(setting: Setting) -> None:
    """What a kind lacks that works in every setting."""


def no_work(extent: Extent) -> Work:
    """The work of what costs nothing."""
    return Work()


def one_network(pairs: PairSet) -> int:
    """Networks that a measure holds at a time for a pair: one."""
    return 1


@dataclass(frozen=True)
class Measure:
    """Numbers of a pair beside its barrier: `measure.also` of a study asks for them by name.

    text: what is measured, for `testbed fields`. compute: every column `[n_pairs]`, float64, NaN where it does not
    exist.
    work: multiply-adds for one pair. lacks: why a setting cannot have it, as the end of a sentence, or None.
    repeated: multiply-adds that are done anew, for all pairs of a cell, in every shard that holds one of them.
    held: networks whose activations are held at a time for a pair, by which sets are cut; None: the set stays whole.
    mark: where the measure is of another path than the straight one, how that path looks in figures.
    """

    name: str
    text: str
    columns: tuple[Column, ...]
    compute: Callable[[PairSet], dict[str, Tensor]]
    work: Callable[[Extent], Work]
    repeated: Callable[[Extent], Work] = no_work
    lacks: Callable[[Setting], str | None] = nothing
    held: Callable[[PairSet], int] | None = one_network
    mark: Mark | None = None
    path: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "compute", on_cpu(self.compute))


@dataclass(frozen=True)
class Alignment:
    """A way to bring the ends of pairs near each other without changing their functions: `measure.alignment`.

    text: what it does, for `testbed fields`; phrase: as columns and sentences name it, "after …"; mark: in figures.
    align: the same pairs with other parameters at their ends. bounded: whether the best of all permutations bounds it
    from below, so that its gap to that is a column. of_many: whether it looks at all networks of a pair's cell, and not
    at its two ends alone. frame: the same of many networks at once `[n_networks, n_parameters]`, where it brings all of
    them into one frame, in which averages can be taken. work, lacks: as for a Measure.
    """

    name: str
    text: str
    phrase: str
    mark: Mark
    align: Callable[[PairSet], PairSet]
    work: Callable[[Extent], Work]
    lacks: Callable[[Setting], str | None] = nothing
    bounded: bool = False
    of_many: bool = False
    frame: Callable[[kernels.Architecture, Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "align", on_cpu(self.align))


@dataclass(frozen=True, eq=False, repr=False)
class Predicted(Short):
    """A predicted curve: loss `[n_pairs, n_alphas]`; barriers `[n_pairs, 4, 2]`, value and argmax by definition.

    check `[n_pairs]`: where a compiled twin computed it, how far theory's own route is from it (NaN where that was not
    asked), in units of the largest loss on the path.
    """

    loss: Tensor
    barriers: Tensor
    check: Tensor | None = None


@dataclass(frozen=True)
class Twin:
    """A prediction once more, by the compiled kernel, which shares no code with theory and takes all cores.

    takes: whether it can, for these pairs. tolerance: how far its barriers may be from theory's beyond rounding, in
    units of the largest loss on the path.
    """

    takes: Callable[[PairSet], bool]
    predict: Callable[[PairSet], Predicted]
    tolerance: float


@dataclass(frozen=True)
class Prediction:
    """A curve that theory predicts from the parameters alone: `measure.theory`.

    text: for `testbed fields`; curve and source: what its loss and its barrier are, for `columns.json`. apart: a
    pair's curve depends on that pair alone, so that pairs may be shared out. twin: where there is one a study uses it,
    and theory checks a sample of its pairs.
    """

    name: str
    text: str
    curve: str
    source: str
    predict: Callable[[PairSet], Predicted]
    work: Callable[[Extent], Work]
    lacks: Callable[[Setting], str | None]
    apart: bool = True
    twin: Twin | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "predict", on_cpu(self.predict))
