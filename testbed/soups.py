"""Averages of more than two networks ("soups"), and their loss: `testbed.soup(models, (x, y), align="cycle")`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from torch import Tensor

import kernels
from kernels import Architecture
from kernels.checks import nearest
from testbed.alignment.averages import averages, frames
from testbed.barriers import samples_of
from testbed.own_networks import none_diverged, read


@dataclass(frozen=True, eq=False, repr=False)
class Soup:
    """An average of networks: the places of its members among those given, its parameters `[n_parameters]`, its loss.

    path: "", or the alignment before it. recipe: `uniform`, of all networks; `greedy`, of those that each lowered the
    loss. error: the share misclassified, or None.
    """

    path: str
    recipe: str
    members: tuple[int, ...]
    params: Tensor
    loss: float
    error: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Soups:
    """The soups of some networks, and the networks' own losses `[n_networks]` (errors, or None)."""

    architecture: Architecture
    loss: np.ndarray
    error: np.ndarray | None
    soups: tuple[Soup, ...]

    def __getitem__(self, key: tuple[str, str]) -> Soup:
        """A soup by path and recipe: `soups["cycle", "greedy"]`; KeyError names those that there are."""
        by_key = {(soup.path, soup.recipe): soup for soup in self.soups}
        if key not in by_key:
            raise KeyError(f"there is no soup {key!r}, but {', '.join(map(repr, by_key))}.")
        return by_key[key]

    def to_polars(self) -> pl.DataFrame:
        """A row a soup: path, recipe, members, loss, error; before them the mean and the best of the networks."""
        error = np.full(len(self.loss), np.nan) if self.error is None else self.error
        best = int(np.argmin(self.loss))
        rows: list[tuple[str, str, list[int], float, float | None]] = [
            ("", "mean of networks", list(range(len(self.loss))), float(self.loss.mean()), float(error.mean())),
            ("", "best network", [best], float(self.loss[best]), float(error[best])),
        ]
        rows += [(soup.path, soup.recipe, list(soup.members), soup.loss, soup.error) for soup in self.soups]
        table = pl.DataFrame(rows, schema=["path", "recipe", "members", "loss", "error"], orient="row")
        return table.with_columns(
            pl.when(pl.col("path") == "").then(pl.lit("as trained")).otherwise("path").alias("path"),
            pl.col("error").fill_nan(None),
        )

    def __repr__(self) -> str:
        """One line for the networks, and one for each soup."""
        lines = [f"{len(self.loss)} networks: mean loss {self.loss.mean():.3g}, least {self.loss.min():.3g}"]
        for soup in self.soups:
            how = f" after {soup.path}" if soup.path else ""
            lines.append(f"  {soup.recipe} soup of {len(soup.members)}{how}: loss {soup.loss:.3g}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return self.to_polars()._repr_html_()


def soup(
    networks: Any,
    data: Any,
    *,
    align: str | Sequence[str] = "cycle",
    loss: str | None = None,
    activation: str | None = None,
    architecture: Architecture | None = None,
    backend: str = "auto",
) -> Soups:
    """Averages of several networks and their loss, as they are and after they were brought into one frame.

    The uniform soup averages all; the greedy one takes them in the order of their losses, each only if the average
    does not get worse (Wortsman et al. 2022, recipe 1, whose held-out samples are `data`).

    networks, data, loss, activation, architecture: as for `testbed.barrier`, two networks at least. align: "cycle",
    "reference", "canonical", or several; the networks as they are always come first. ValueError names what cannot be
    used.

    >>> import torch
    >>> from torch import nn
    >>> models = [nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)) for _ in range(4)]
    >>> x = torch.randn(64, 2)
    >>> found = soup(models, (x, x.prod(1, keepdim=True)))
    >>> found["cycle", "uniform"].members, found["cycle", "uniform"].params.shape
    ((0, 1, 2, 3), torch.Size([33]))
    """
    names = [align] if isinstance(align, str) else list(align)
    for name in names:
        nearest("align", name, frames())
    own = read("networks", networks, architecture, activation)
    if len(own.params) < 2:
        raise ValueError("networks must hold at least two networks.")
    none_diverged("networks", own)
    x, y = samples_of(data, own.architecture, loss)
    is_mse = loss == "mse" or (loss is None and y.is_floating_point())
    samples = (x.to(own.params.dtype), y.to(own.params.dtype) if is_mse else y)
    taste = _Taste(own.architecture, samples, "mse" if is_mse else "cross_entropy", backend)
    losses, errors = taste(own.params)
    soups = []
    for found in averages(own.architecture, own.params, ["", *dict.fromkeys(names)], lambda some: taste(some)[0]):
        of_soup, error = taste(found.params[None])
        error_of_soup = None if error is None else float(error[0])
        soups.append(Soup(found.path, found.recipe, found.members, found.params, float(of_soup[0]), error_of_soup))
    return Soups(own.architecture, losses, errors, tuple(soups))


@dataclass(frozen=True, eq=False)
class _Taste:
    """The loss, and the error, of networks `[n, n_parameters]` on the samples, `[n]`."""

    architecture: Architecture
    samples: tuple[Tensor, Tensor]
    loss: str
    backend: str

    def __call__(self, params: Tensor) -> tuple[np.ndarray, np.ndarray | None]:
        found = kernels.path_losses(
            self.architecture, params, params, [0.0], self.samples, self.loss, backend=self.backend
        )
        return found.loss[:, 0].numpy(), None if found.error is None else found.error[:, 0].numpy()
