"""The type that travels: pairs of networks of one architecture, and all that their paths are measured with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

import kernels
from kernels import streams
from kernels.checks import is_tensor
from kernels.shown import Short
from testbed.default_device import on_cpu

if TYPE_CHECKING:
    from torch import Tensor

Rows: TypeAlias = "slice | Tensor"
Samples: TypeAlias = "tuple[Tensor, Tensor]"


@dataclass(frozen=True, eq=False, repr=False)
class TrainSamples(Short):
    """Training sets, and which of them the ends of each pair were trained on.

    x `[n_sets, n_samples, n_inputs]`, y `[n_sets, n_samples, …]`; set_a and set_b int64 `[n_pairs]`.
    """

    x: Tensor
    y: Tensor
    set_a: Tensor
    set_b: Tensor

    @property
    def sets(self) -> Samples:
        """All sets, as `kernels.path_losses` takes them."""
        return self.x, self.y

    @property
    def of_a(self) -> Samples:
        """The samples that A was trained on, a set for each pair: x `[n_pairs, n_samples, n_inputs]` and y."""
        return self.x[self.set_a], self.y[self.set_a]

    def __getitem__(self, rows: Rows) -> TrainSamples:
        return dataclasses.replace(self, set_a=self.set_a[rows], set_b=self.set_b[rows])


@dataclass(frozen=True, eq=False, repr=False)
class HeldOut(Short):
    """What paths are tested on: sets of held-out samples, or a teacher that labels fresh inputs of each pair's own.

    source: x `[n_datasets, n_samples, n_inputs]` and y, or a Teacher; dataset int64 `[n_pairs]` numbers its sets, or
    the parameters of the teacher. n_fresh: inputs a pair where a teacher makes them.
    """

    source: Samples | kernels.Teacher
    dataset: Tensor
    n_fresh: int = 0

    def __getitem__(self, rows: Rows) -> HeldOut:
        return dataclasses.replace(self, dataset=self.dataset[rows])


@dataclass(frozen=True, eq=False, repr=False)
class Networks(Short):
    """Networks of one cell, in the order of their numbers.

    params `[n_networks, n_parameters]`; number and train_set int64 `[n_networks]`.
    """

    params: Tensor
    number: np.ndarray
    train_set: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Origin(Short):
    """Where pairs come from: int64 `[n_pairs]`, the cell, and the numbers of networks a and b.

    of_cell: gives all networks of a cell that did not diverge.
    """

    cell: np.ndarray
    a: np.ndarray
    b: np.ndarray
    of_cell: Callable[[int], Networks]

    def __getitem__(self, rows: Rows) -> Origin:
        array_rows = rows.numpy() if is_tensor(rows) else rows
        return dataclasses.replace(self, cell=self.cell[array_rows], a=self.a[array_rows], b=self.b[array_rows])


@dataclass(frozen=True, eq=False, repr=False)
class OnlineStart(Short):
    """How pairs began that were trained online, for the order-parameter equations.

    a, b: initial parameters `[n_pairs, n_parameters]`; learning_rate, spawn_time and duration float64 `[n_pairs]`, in
    the time of online learning (updates / inputs). spawn_time is 0 where the ends have no sample in common.
    group: int64 `[n_pairs]`; pairs of one group have one of each of these and one teacher, without biases.
    """

    a: Tensor
    b: Tensor
    learning_rate: np.ndarray
    spawn_time: np.ndarray
    duration: np.ndarray
    group: np.ndarray

    def __getitem__(self, rows: Rows) -> OnlineStart:
        array_rows = rows.numpy() if is_tensor(rows) else rows
        return dataclasses.replace(
            self,
            a=self.a[rows],
            b=self.b[rows],
            learning_rate=self.learning_rate[array_rows],
            spawn_time=self.spawn_time[array_rows],
            duration=self.duration[array_rows],
            group=self.group[array_rows],
        )


@dataclass(frozen=True, eq=False, repr=False)
class Aligned(Short):
    """Networks whose hidden units were reordered (and flipped): params `[n, n_parameters]`.

    permutations int64 and signs float64 `[n, width]`, of each hidden layer, as `permute` takes them.
    """

    params: Tensor
    permutations: tuple[Tensor, ...]
    signs: tuple[Tensor, ...]

    def __getitem__(self, rows: slice | Tensor) -> Aligned:
        """Some of the networks, in the order of `rows`."""
        permutations = tuple(order[rows] for order in self.permutations)
        return Aligned(self.params[rows], permutations, tuple(sign[rows] for sign in self.signs))

    def after(self, earlier: Aligned) -> Aligned:
        """The same networks as reordered from those that `earlier` was made of, whose params these were made of.

        >>> import torch
        >>> architecture = kernels.Architecture((1, 3, 1))
        >>> order, sign = torch.tensor([[1, 2, 0]]), torch.ones(1, 3)
        >>> from testbed.alignment import permute
        >>> once = Aligned(permute(architecture, architecture.initial(1), (order,)), (order,), (sign,))
        >>> twice = Aligned(permute(architecture, once.params, (order,)), (order,), (sign,))
        >>> twice.after(once).permutations
        (tensor([[2, 0, 1]]),)
        """
        places = self.permutations
        orders = tuple(order.gather(1, place) for order, place in zip(earlier.permutations, places, strict=True))
        signs = tuple(
            sign.gather(1, place) * own for sign, place, own in zip(earlier.signs, places, self.signs, strict=True)
        )
        return Aligned(self.params, orders, signs)


def joined(parts: Sequence[Aligned]) -> Aligned:
    """The networks of all parts, one part after the other.

    >>> import torch
    >>> architecture = kernels.Architecture((1, 2, 1))
    >>> order = torch.tensor([[0, 1]])
    >>> part = Aligned(architecture.initial(1), (order,), (torch.ones(1, 2),))
    >>> joined([part, part]).permutations[0].shape
    torch.Size([2, 2])
    """
    import torch

    permutations = tuple(map(torch.cat, zip(*(part.permutations for part in parts), strict=True)))
    signs = tuple(map(torch.cat, zip(*(part.signs for part in parts), strict=True)))
    return Aligned(torch.cat([part.params for part in parts]), permutations, signs)


@dataclass(frozen=True, eq=False, repr=False)
class PairSet(Short):
    """Pairs of networks A and B, and what the paths between them are measured with.

    a, b: parameters `[n_pairs, n_parameters]`. alphas: float64 `[n_alphas]`, rising, with 0 and 1; they may go past the
    ends. loss: `mse` or `cross_entropy`. seeds: int64 `[n_pairs]`, one of each pair's own; row: int64 `[n_pairs]`, the
    place of each pair among all of its launch, from which random starts are drawn, so that a result does not depend on
    how a launch is cut. train, test, origin, start: None where there is no such thing. backend: what measures paths.
    units_a, units_b: how an alignment reordered the units of an end; None where it did not.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> a, b = architecture.initial(4, seed=1), architecture.initial(4, seed=2)
    >>> pairs = PairSet.of(architecture, a, b, (torch.zeros(8, 2), torch.zeros(8, 1)))
    >>> len(pairs), len(pairs[:3]), pairs.between.shape
    (4, 3, torch.Size([25]))
    """

    architecture: kernels.Architecture
    a: Tensor
    b: Tensor
    alphas: Tensor
    loss: str
    seeds: np.ndarray
    row: np.ndarray
    train: TrainSamples | None = None
    test: HeldOut | None = None
    origin: Origin | None = None
    start: OnlineStart | None = None
    backend: str = "auto"
    units_a: Aligned | None = None
    units_b: Aligned | None = None

    @classmethod
    @on_cpu
    def of(
        cls,
        architecture: kernels.Architecture,
        a: Tensor,
        b: Tensor,
        samples: Samples,
        loss: str = "mse",
        alphas: int | Sequence[float] | Tensor = 25,
    ) -> PairSet:
        """Pairs that all learnt the same samples, x `[n_samples, n_inputs]` and y.

        alphas: a count of evenly spaced ones from 0 to 1, or a list.
        """
        import torch

        grid = torch.linspace(0, 1, alphas, dtype=torch.float64) if isinstance(alphas, int) else alphas
        x, y = samples
        first = torch.zeros(len(a), dtype=torch.int64)
        return cls(
            architecture,
            a,
            b,
            torch.as_tensor(grid, dtype=torch.float64),
            loss,
            seeds=np.arange(len(a)),
            row=np.arange(len(a)),
            train=TrainSamples(x[None], y[None], first, first),
        )

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, rows: Rows) -> PairSet:
        """Some of the pairs, in the order of `rows`."""

        array_rows = rows.numpy() if is_tensor(rows) else rows
        return dataclasses.replace(
            self,
            a=self.a[rows],
            b=self.b[rows],
            seeds=self.seeds[array_rows],
            row=self.row[array_rows],
            train=None if self.train is None else self.train[rows],
            test=None if self.test is None else self.test[rows],
            origin=None if self.origin is None else self.origin[rows],
            start=None if self.start is None else self.start[rows],
            units_a=None if self.units_a is None else self.units_a[rows],
            units_b=None if self.units_b is None else self.units_b[rows],
        )

    def between_ends(self, a: Tensor | Aligned, b: Tensor | Aligned) -> PairSet:
        """The same pairs with these parameters at their ends."""
        ends = [(end, None) if is_tensor(end) else (end.params, end) for end in (a, b)]
        (a, units_a), (b, units_b) = ends
        return dataclasses.replace(self, a=a, b=b, units_a=units_a, units_b=units_b)

    def chunks(self, size: int) -> list[PairSet]:
        """The pairs in their order, at most `size` at a time."""
        return [self[start : start + size] for start in range(0, len(self), size)]

    @property
    def between(self) -> Tensor:
        """The alphas from 0 to 1: barriers are measured there."""
        return self.alphas[(self.alphas >= 0) & (self.alphas <= 1)]

    @property
    def samples_of_a(self) -> Samples:
        """The samples that A was trained on, a set for each pair; ValueError where training was online."""
        return self.training_samples.of_a

    @property
    def training_samples(self) -> TrainSamples:
        """The training sets; ValueError where training was online."""
        if self.train is None:
            raise ValueError("these pairs have no training set: they were trained online.")
        return self.train

    @property
    def teacher(self) -> kernels.Teacher | None:
        """The network that labels fresh test inputs, where one does."""
        source = None if self.test is None else self.test.source
        return source if isinstance(source, kernels.Teacher) else None

    @property
    def teacher_layers(self) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """Each pair's teacher as theory takes it; ValueError where there is none."""
        if self.test is None or self.teacher is None:
            raise ValueError("these pairs have no teacher.")
        return layers(self.teacher.architecture, self.teacher.params[self.test.dataset])

    @property
    def ends(self) -> tuple[list[tuple[np.ndarray, np.ndarray | None]], list[tuple[np.ndarray, np.ndarray | None]]]:
        """A and B as theory takes them."""
        return layers(self.architecture, self.a), layers(self.architecture, self.b)


def layers(architecture: kernels.Architecture, params: Tensor) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Parameters as theory takes them: (W `[n, out, in]`, b `[n, out]` or None) of each layer, float64.

    >>> architecture = kernels.Architecture((2, 3, 1), biases=False)
    >>> [weight.shape for weight, bias in layers(architecture, architecture.initial(5))]
    [(5, 3, 2), (5, 1, 3)]
    """
    return [
        (weight.double().numpy(), None if bias is None else bias.double().numpy())
        for weight, bias in architecture.layers(params.cpu())
    ]


def start_seeds(row: np.ndarray, per_pair: int = 1) -> np.ndarray:
    """Seeds of the random starts of pairs, int64 `[n_pairs · per_pair]`: a function of each pair's row alone.

    >>> start_seeds(np.array([0, 1, 2]))[2] == start_seeds(np.array([2]))[0]
    np.True_
    """
    if not len(row):
        return np.zeros(0, np.int64)
    first, last = int(row.min()), int(row.max())
    seeds = streams.network_seeds(0, per_pair * (last - first + 1), first=per_pair * first)
    return seeds.reshape(-1, per_pair)[row - first].ravel()
