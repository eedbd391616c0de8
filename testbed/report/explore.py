"""What the page can be asked: barriers of all pairs, curves of as many as there is room for, as packed numbers."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import polars as pl

from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.report.verdicts import judged_by
from testbed.results.results import Results

ROOM = 900_000  # bytes for curves
MOST_FAMILIES = 512  # of a cell: their matrix has less than a pixel for each beyond, and clustering is O(n³)
STEPS = 65_534  # of a curve's largest value; one more is no number
PREDICTIONS = {"test_loss": ("population", "exact population loss"), "train_loss": ("exact_training", "exact path")}
TYPES = ("uint8", "uint16", "uint32")


def payload(results: Results) -> dict[str, Any] | None:
    """All that the page's scripts know, to be written as JSON; None where no pair was measured.

    Numbers of pairs are arrays of bytes in base64, with their type. A value of a curve is its scale times k/65534.
    """
    quantities = [name for name in columns.QUANTITIES if results.has(columns.barrier(name))]
    if not quantities or not results.kinds:
        return None
    judged = judged_by(results).partition("_barrier")[0].replace("population", "test_loss")
    kinds = results.kinds
    paths = ["", *(name for name in ALIGNMENTS if any(results.has(columns.barrier(q, path=name)) for q in quantities))]
    barriers = [columns.barrier(q, path=path) for q in quantities for path in paths]
    every = results.pairs_with()
    shown = every["pair"].filter(pl.Series(_with_room(every)))
    pairs = results.pairs_with("network_a", "network_b", judged_by(results), *barriers, only=shown)
    along = [columns.along(q, path) for q in quantities for path in paths]
    along += [columns.predicted_loss(PREDICTIONS[q][0]) for q in quantities if q in PREDICTIONS]
    along = [name for name in along if name in results.curve_columns]
    return {
        "alphas": results.study.measure.alphas,
        "factors": [{"name": results.label(key), "levels": _levels(results, key)} for key in results.factors],
        "cells": _cells(results, pairs, every),
        "kinds": kinds,
        "paths": ["as trained", *(ALIGNMENTS[name].phrase for name in paths[1:])],
        "measures": [_measure(results, q, paths, along) for q in quantities],
        "judged": quantities.index(judged) if judged in quantities else 0,
        "pairs": {
            "number": packed(pairs["pair"].to_numpy()),
            "cell": packed(pairs["cell"].to_numpy()),
            "kind": packed(np.array([kinds.index(kind) for kind in pairs["kind"]])),
            "a": packed(pairs["network_a"].to_numpy()),
            "b": packed(pairs["network_b"].to_numpy()),
            "fa": packed(pairs["family_a"].to_numpy()),
            "fb": packed(pairs["family_b"].to_numpy()),
        },
        "barriers": [_floats(pairs[name].to_numpy()) if results.has(name) else None for name in barriers],
        **_curves(results, pairs, along),
    }


def packed(numbers: np.ndarray) -> dict[str, str]:
    """Whole numbers from 0 as bytes in base64, in the smallest type that holds them.

    >>> packed(np.array([1, 2]))
    {'type': 'uint8', 'bytes': 'AQI='}
    """
    kind = next(name for name in TYPES if numbers.max(initial=0) <= np.iinfo(name).max)
    return {"type": kind, "bytes": _base64(numbers.astype(f"<{np.dtype(kind).str[1:]}"))}


def clustered(distance: np.ndarray) -> list[int]:
    """An order of n things in which near ones stand side by side: the leaves of their average linkage.

    distance: `[n, n]`, NaN where it was not measured (taken to be the mean of the others).

    >>> clustered(np.array([[0, 9, 1], [9, 0, 9], [1, 9, 0.0]]))
    [1, 2, 0]
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    n = len(distance)
    if n < 3:
        return list(range(n))
    both = np.fmax(distance, distance.T)
    off = ~np.eye(n, dtype=bool)
    mean = np.nanmean(both[off]) if np.isfinite(both[off]).any() else 0.0
    whole = np.where(np.isfinite(both), both, mean)
    np.fill_diagonal(whole, 0.0)
    tree = hierarchy.linkage(squareform(np.clip(whole, 0, None), checks=False), "average", optimal_ordering=True)
    return [int(leaf) for leaf in hierarchy.leaves_list(tree)]


def _levels(results: Results, key: str) -> list[str]:
    return [str(results.shown(key, level)) for level in results.study.factors[key]]


def _with_room(pairs: pl.DataFrame) -> np.ndarray:
    """Which pairs the page holds, bool `[n_pairs]`: of each cell the first, until they are of MOST_FAMILIES families.

    >>> pairs = pl.DataFrame({"cell": [0] * 600, "family_a": range(600), "family_b": range(1, 601)})
    >>> int(_with_room(pairs).sum())
    511
    """
    held = np.zeros(len(pairs), bool)
    cells = pairs["cell"].to_numpy()
    families = pairs.select("family_a", "family_b").to_numpy()
    for cell in np.unique(cells):
        rows = np.flatnonzero(cells == cell)
        numbers = families[rows].ravel()  # two a pair
        place = np.arange(len(numbers))
        first = np.empty(numbers.max() + 1, int)
        first[numbers[::-1]] = place[::-1]  # of a number that comes again the place that is assigned last
        is_new = first[numbers] == place
        held[rows] = is_new.reshape(-1, 2).sum(1).cumsum() <= MOST_FAMILIES
    return held


def _cells(results: Results, pairs: pl.DataFrame, every: pl.DataFrame) -> list[dict[str, Any]]:
    """Each cell's place among the levels of every factor, and its families, clustered by the barrier of verdicts.

    pairs: those that the page holds; `more`: how many families of the cell it does not.
    """
    of_cell = every.group_by("cell").agg(pl.concat([pl.col("family_a"), pl.col("family_b")]).n_unique().alias("n"))
    n_families = dict(of_cell.iter_rows())
    places = {key: _levels(results, key) for key in results.factors}
    column = judged_by(results)
    found = []
    for (cell,), group in sorted(pairs.group_by("cell")):
        levels = [places[key].index(str(group[key][0])) for key in results.factors]
        families = sorted({*group["family_a"], *group["family_b"]})
        index = {family: k for k, family in enumerate(families)}
        total, n = np.zeros((2, len(families), len(families)))
        for a, b, value in group.select("family_a", "family_b", column).drop_nulls().iter_rows():
            for place in {(index[a], index[b]), (index[b], index[a])}:
                total[place] += value
                n[place] += 1
        mean = np.divide(total, n, out=np.full_like(total, np.nan), where=n > 0)
        order = [families[k] for k in clustered(mean)]
        found.append({"cell": cell, "levels": levels, "families": order, "more": n_families[cell] - len(order)})
    return found


def _measure(results: Results, quantity: str, paths: list[str], along: list[str]) -> dict[str, Any]:
    """One measured quantity: its name and unit, and where its curves stand, by path, and that of its prediction."""
    name, text = PREDICTIONS.get(quantity, ("", ""))
    predicted = columns.predicted_loss(name)
    return {
        "name": columns.readable(quantity),
        "unit": results.unit if quantity.endswith("loss") else "share misclassified",
        "curves": [along.index(c) if (c := columns.along(quantity, path)) in along else -1 for path in paths],
        "predicted": along.index(predicted) if predicted in along else -1,
        "prediction": text,
    }


def _curves(results: Results, pairs: pl.DataFrame, along: list[str]) -> dict[str, Any]:
    """Curves of as many pairs of every cell and kind as there is room for: the first of each, in the pairs' order."""
    n_alphas = len(results.study.measure.alphas)
    each = len(along) * (2 * n_alphas + 4)
    sizes = pairs.group_by("cell", "kind").len()["len"].to_numpy()
    most = next(m for m in range(int(sizes.max()), -1, -1) if np.minimum(sizes, m).sum() * each <= ROOM)
    ranked = pairs.with_columns(rank=pl.int_range(pl.len()).over("cell", "kind"))
    chosen = ranked.filter(pl.col("rank") < most)["pair"]
    of_chosen = pl.col("pair").is_between(chosen.min(), chosen.max()) & pl.col("pair").is_in(chosen.implode())
    curves = results.all_curves.filter(of_chosen).collect(engine="streaming").sort("pair", "alpha")
    values = curves.select(along).to_numpy().reshape(len(chosen), n_alphas, len(along)).transpose(0, 2, 1).astype(float)
    values = np.where(np.isfinite(values), values, np.nan)
    scale = np.nan_to_num(np.fmax.reduce(abs(values), axis=2), nan=0.0)
    steps = np.divide(STEPS * values, scale[..., None], out=np.zeros_like(values), where=scale[..., None] > 0)
    coded = np.where(np.isfinite(values), np.rint(steps), STEPS + 1).astype("<u2")
    place = np.full(len(pairs), 0)
    place[np.isin(pairs["pair"].to_numpy(), chosen.to_numpy())] = np.arange(1, len(chosen) + 1)
    return {
        "n_curves": len(along),
        "curve": packed(place),
        "scale": _floats(scale.ravel()),
        "values": {"type": "uint16", "bytes": _base64(coded)},
    }


def _floats(numbers: np.ndarray) -> dict[str, str]:
    """Numbers as float32 in base64; null is NaN, and so is what float32 does not hold."""
    held = np.where(np.abs(numbers) <= np.finfo(np.float32).max, numbers, np.nan)
    return {"type": "float32", "bytes": _base64(held.astype("<f4"))}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
