"""The barrier between networks of one's own: `testbed.barrier(model_a, model_b, (x, y), align="weights")`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

import theory
from kernels import Architecture
from kernels.arguments import Alphas, alpha_grid
from kernels.checks import described, nearest, numbers
from kernels.training import LOSSES
from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.frames import to_pandas
from testbed.measures import paths
from testbed.own_networks import none_diverged, read
from testbed.pair_set import Aligned, Networks, Origin, PairSet, Samples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def barrier(
    a: Any,
    b: Any,
    data: Any,
    *,
    align: str | Sequence[str] = (),
    alphas: Alphas = 25,
    loss: str | None = None,
    activation: str | None = None,
    architecture: Architecture | None = None,
    backend: str = "auto",
) -> Barriers:
    """Loss along the straight path between networks, and its barrier under each definition; also after alignments.

    a, b: a network, or a list of networks; every one of a with every one of b. With b = None all pairs within a. A
        network is a torch model (a Sequential, or a module whose forward() calls layers one after the other), a state
        dict or another dict of weights (flax's too; say its `activation`), or parameters `[n_parameters]` (say its
        `architecture`).
    data: (x, y) of tensors or arrays, x `[n_samples, n_inputs]` and y `[n_samples, n_outputs]` or class numbers
        `[n_samples]`; a torch Dataset or DataLoader that gives such pairs. Inputs with more dimensions are flattened.
    align: a name, or several, of `testbed.alignment.ALIGNMENTS`: "weights", "activations", "exhaustive", "canonical",
        "canonical_weights"; with b = None also "cycle" and "reference", which look at all networks. Paths before any
        alignment are always there.
    alphas: a count, or a list with 0 and 1 in it.
    loss: "mse" (½ mean ‖f(x) − y‖²) or "cross_entropy"; None: cross-entropy where y are whole numbers (of an integer
        type).
    backend: what measures the paths: "native", "reference", "gpu", or "auto", the fastest that is there.

    ValueError names the argument that cannot be used, and of a model the first layer that no network of this family
    has.

    >>> import torch
    >>> from torch import nn
    >>> a, b = (nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)) for _ in range(2))
    >>> x = torch.randn(64, 2)
    >>> found = barrier(a, b, (x, x.prod(1, keepdim=True)), align="weights")
    >>> found.value().shape, found.value(path="weights").shape, found.architecture.widths
    ((1,), (1,), (2, 8, 1))
    """
    names = [align] if isinstance(align, str) else list(align)
    for name in names:
        nearest("align", name, tuple(ALIGNMENTS))
        if b is not None and ALIGNMENTS[name].of_many:
            raise ValueError(f"align={name!r} looks at all networks: give them as one list a, with b=None.")
    ends_a = read("a", a, architecture, activation)
    ends_b = ends_a if b is None else read("b", b, architecture, activation)
    if ends_b.architecture != ends_a.architecture:
        raise ValueError(f"a and b must be of one architecture, not {ends_a.architecture} and {ends_b.architecture}.")
    if names:
        none_diverged("a", ends_a)
        none_diverged("b", ends_b)
    grid = alpha_grid(alphas)
    if not {0.0, 1.0} <= set(grid.tolist()):
        raise ValueError("alphas must hold 0 and 1, the ends: every barrier is measured from them.")
    rows = _pairs(len(ends_a.params), None if b is None else len(ends_b.params))
    x, y = samples_of(data, ends_a.architecture, loss)
    if loss is None:
        loss = "mse" if y.is_floating_point() else "cross_entropy"
    pairs = PairSet.of(
        ends_a.architecture,
        ends_a.params[[i for i, _ in rows]],
        ends_b.params[[j for _, j in rows]],
        (x.to(ends_a.params.dtype), y.to(ends_a.params.dtype) if loss == "mse" else y),
        loss,
        grid,
    )
    pairs = dataclasses.replace(pairs, backend=backend, origin=_origin(rows, ends_a.params) if b is None else None)
    found = paths.measured(pairs)
    aligned: dict[str, PairSet] = {}
    for name in names:
        aligned[name] = ALIGNMENTS[name].align(pairs)
        found |= paths.measured(aligned[name], name)
    curves = {name: values.numpy() for name, values in found.items()}
    ends = {"": pairs} | aligned
    return Barriers(ends_a.architecture, loss, pairs.alphas.numpy(), tuple(rows), curves, ends)


@dataclass(frozen=True, eq=False, repr=False)
class Barriers:
    """Losses along the paths of some pairs, before and after alignments.

    alphas `[n_alphas]`. pairs: the places of both ends among the networks given. curves: by the names of
    `testbed.columns`, such as train_loss and weights_train_loss, `[n_pairs, n_alphas]`, and the ends' distances
    `[n_pairs]`. ends: parameters of both ends as a PairSet, by path ("" before any alignment).
    """

    architecture: Architecture
    loss: str
    alphas: np.ndarray
    pairs: tuple[tuple[int, int], ...]
    curves: dict[str, np.ndarray]
    ends: dict[str, PairSet]

    @property
    def paths(self) -> list[str]:
        """ "" and the alignments."""
        return list(self.ends)

    def value(self, path: str = "", definition: str = "linear", quantity: str = "loss") -> np.ndarray:
        """The barrier of each pair, `[n_pairs]`: of the loss or the error, under a definition, on a path.

        ValueError names what is not there.
        """
        nearest("path", path, self.paths)
        nearest("definition", definition, columns.DEFINITIONS)
        nearest("quantity", quantity, self._quantities)
        curve = self.curves[columns.along(f"train_{quantity}", path)]
        between = (self.alphas >= 0) & (self.alphas <= 1)
        return theory.barriers_on_grid(self.alphas[between], curve[:, between], definition).value

    @cached_property
    def table(self) -> pl.DataFrame:
        """A row for each pair, path and quantity: its barrier under each definition, the mean of both ends, and the
        ends' distance.
        """
        parts = []
        for path, quantity in itertools.product(self.paths, self._quantities):
            curve = self.curves[columns.along(f"train_{quantity}", path)]
            ends = curve[:, [int(np.flatnonzero(self.alphas == alpha)[0]) for alpha in (0.0, 1.0)]].mean(1)
            values = {name: self.value(path, name, quantity) for name in self._definitions}
            parts.append(
                pl.DataFrame(
                    {
                        "a": [i for i, _ in self.pairs],
                        "b": [j for _, j in self.pairs],
                        "path": [path or "straight"] * len(self.pairs),
                        "quantity": [quantity] * len(self.pairs),
                        **values,
                        "ends": ends,
                        "distance": self.curves[columns.distance(path)],
                    }
                )
            )
        return pl.concat(parts)

    def permutations(self, path: str) -> tuple[np.ndarray, ...]:
        """Which unit of b goes with each unit of a after an alignment: int64 `[n_pairs, width]` of each hidden layer.

        Unit k of a pair's network a, as it was given, goes with unit `permutations(path)[layer][pair, k]` of its b.

        ValueError names the paths that there are.
        """
        return tuple(places for places, _ in self._matched(path))

    def signs(self, path: str) -> tuple[np.ndarray, ...]:
        """The sign (1 or −1) with which it does, in the same shapes; −1 of odd activations alone."""
        return tuple(signs for _, signs in self._matched(path))

    def _matched(self, path: str) -> list[tuple[np.ndarray, np.ndarray]]:
        nearest("path", path, self.paths)
        pairs = self.ends[path]
        return [
            _goes_with(_units(pairs.units_a, layer, len(pairs), width), _units(pairs.units_b, layer, len(pairs), width))
            for layer, width in enumerate(self.architecture.widths[1:-1])
        ]

    def to_polars(self) -> pl.DataFrame:
        """The table."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """The table as pandas has it; ImportError, with the command that helps, where there is no pandas."""
        return to_pandas(self.table)

    def plot(self, ax: Axes | None = None, quantity: str = "loss") -> Axes:
        """Draw the curves, a colour for each path, and return the axes."""
        import matplotlib.pyplot as plt

        nearest("quantity", quantity, self._quantities)
        ax = plt.figure().add_subplot() if ax is None else ax
        for number, path in enumerate(self.paths):
            curves = self.curves[columns.along(f"train_{quantity}", path)]
            label = ALIGNMENTS[path].phrase if path else "as they are"
            ax.plot(self.alphas, curves.T, color=f"C{number}", label=[label, *[None] * (len(curves) - 1)])
        ax.set_xlabel("α")
        ax.set_ylabel(f"{self._loss_in_words} on the path" if quantity == "loss" else "error on the path")
        ax.legend(frameon=False)
        return ax

    def __repr__(self) -> str:
        """One line for each path: the mean barrier, and the largest where there are several pairs."""
        widths = "-".join(map(str, self.architecture.widths))
        plural = "s" if len(self.pairs) > 1 else ""
        lines = [f"{len(self.pairs)} pair{plural} of {widths} {self.architecture.activation}, {self._loss_in_words}"]
        for path in self.paths:
            values = self.value(path)
            label = ALIGNMENTS[path].phrase if path else "straight path"
            largest = f", at most {values.max():.3g}" if len(values) > 1 else ""
            lines.append(f"  {label}: barrier {values.mean():.3g}{largest}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    @property
    def _quantities(self) -> list[str]:
        return ["loss", *(["error"] if "train_error" in self.curves else [])]

    @property
    def _definitions(self) -> list[str]:
        return [name for name in columns.DEFINITIONS if name != "midpoint" or 0.5 in self.alphas]

    @property
    def _loss_in_words(self) -> str:
        return "½ mean squared error" if self.loss == "mse" else "cross-entropy"


def _units(aligned: Aligned | None, layer: int, n: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The order and signs of a hidden layer's units, `[n, width]`; as they were where no alignment moved them."""
    if aligned is None:
        return np.tile(np.arange(width), (n, 1)), np.ones((n, width))
    return aligned.permutations[layer].numpy(), aligned.signs[layer].numpy()


def _goes_with(
    units_a: tuple[np.ndarray, np.ndarray], units_b: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The unit of b in the place of each unit of a, and the product of their signs."""
    (order_a, sign_a), (order_b, sign_b) = units_a, units_b
    place = order_a.argsort(1)  # of each unit of a
    return np.take_along_axis(order_b, place, 1), np.take_along_axis(sign_a * sign_b, place, 1)


def _pairs(n_a: int, n_b: int | None) -> list[tuple[int, int]]:
    """Every one of a with every one of b, or all pairs within a."""
    if n_b is not None:
        return list(itertools.product(range(n_a), range(n_b)))
    if n_a < 2:
        raise ValueError("b = None asks for all pairs within a, which must then hold two networks or more.")
    return list(itertools.combinations(range(n_a), 2))


def _origin(rows: list[tuple[int, int]], params: torch.Tensor) -> Origin:
    """Where pairs within one list of networks come from: that list is their cell."""
    a, b = np.array(rows).T
    networks = Networks(params, np.arange(len(params)), np.zeros(len(params), int))
    return Origin(np.zeros(len(rows), int), a, b, lambda cell: networks)


def samples_of(data: Any, architecture: Architecture, loss: str | None) -> Samples:
    """x `[n_samples, n_inputs]` and y of a pair of arrays, a Dataset or a DataLoader."""
    if isinstance(data, torch.utils.data.DataLoader):
        batches = list(data)
    elif isinstance(data, torch.utils.data.Dataset):
        batches = list(torch.utils.data.DataLoader(data, batch_size=1024))
    else:
        batches = [data]
    for batch in batches:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise ValueError(
                f"data must be (x, y), or a Dataset or DataLoader that gives such pairs, not {described(batch)}."
            )
    if not batches:
        raise ValueError("data holds no samples.")
    parts = [(numbers("x", x), torch.atleast_1d(numbers("y", y))) for x, y in batches]
    for x, _ in parts:
        if x.ndim < 2:
            raise ValueError(f"x must have shape [n_samples, {architecture.n_inputs}], not {list(x.shape)}.")
    x = torch.cat([x for x, _ in parts]).flatten(1).cpu()
    y = torch.cat([y for _, y in parts]).cpu()
    if x.shape[1] != architecture.n_inputs:
        raise ValueError(f"x has {x.shape[1]} inputs a sample, and the networks take {architecture.n_inputs}.")
    if loss is not None:
        nearest("loss", loss, LOSSES)
    n_outputs = architecture.widths[-1]
    is_mse = loss == "mse" or (loss is None and y.is_floating_point())
    if is_mse:
        fits = y.shape == (len(x), n_outputs) or (y.shape == (len(x),) and n_outputs == 1)
        wanted = f"[{len(x)}, {n_outputs}], the outputs for each sample of x"
    else:
        fits = y.shape == (len(x),)
        wanted = f"[{len(x)}], a class number for each sample of x"
    if not fits:
        raise ValueError(f"y must have shape {wanted}, not {list(y.shape)}.")
    return x, y[:, None] if is_mse and y.ndim == 1 else y
