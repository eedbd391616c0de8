"""What a run writes and reads: every file is hashed once, and losses have the type that networks were trained in."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

import theory
from testbed import run_study
from testbed.columns import barrier, barrier_alpha
from testbed.results import Results, sealed, store, tables
from testbed.results.comparison import group_means
from testbed.results.store import Damaged, Store


def test_a_run_hashes_its_files_once(study, tmp_path, monkeypatch, no_figures):
    hashed: Counter[str] = Counter()
    of_file, of_tensors = store.sha256_of, sealed._of_tensors

    def counted_file(path):
        hashed[Path(path).name] += 1
        return of_file(path)

    def counted_tensors(tensors, about):
        hashed[about["name"]] += 1
        return of_tensors(tensors, about)

    monkeypatch.setattr(store, "sha256_of", counted_file)
    monkeypatch.setattr(sealed, "_of_tensors", counted_tensors)
    run_study(study(), tmp_path / "run")
    files = [f"{name}.parquet.partial" for name in ("networks", "pairs", "curves", "losses")]
    tensors = ["shards/networks-0-0", "shards/pairs-0-0", "parameters/launch-0"]
    assert hashed == dict.fromkeys([*files, *tensors, "launch-0.safetensors.partial"], 1)


def test_a_shard_of_another_process_is_held_against_its_checksum(tmp_path):
    about = {"name": "shards/pairs-0-0"}
    Store(tmp_path).write_tensors("shards/pairs-0-0", {"x": torch.arange(5.0)}, about)
    path = tmp_path / "shards/pairs-0-0.safetensors"
    assert Store(tmp_path).read_tensors("shards/pairs-0-0", about)["x"].tolist() == [0, 1, 2, 3, 4]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match="is damaged"):
        Store(tmp_path).read_tensors("shards/pairs-0-0", about)
    path.write_bytes(content[:-1])
    with pytest.raises(Damaged, match="is damaged"):
        Store(tmp_path).read_tensors("shards/pairs-0-0", about)


@pytest.mark.parametrize(
    ("varied", "expected"),
    [(["float32"], pl.Float32), (["float64"], pl.Float64), (["float32", "float64"], pl.Float64)],
)
def test_losses_are_as_the_networks_were_trained(study, tmp_path, no_figures, varied, expected):
    report = run_study(study({"vary": {"training.dtype": varied}}), tmp_path / "run")
    written = pl.read_parquet(report.parent / "losses.parquet")
    losses = Results.load(report.parent).losses
    assert written.schema["loss"] == expected and losses.schema["loss"] == pl.Float64
    assert written["loss"].cast(pl.Float64).equals(losses["loss"])
    is_single = losses["loss"] == losses["loss"].cast(pl.Float32).cast(pl.Float64)
    assert is_single.any() == ("float32" in varied) and is_single.all() == ("float64" not in varied)


def test_means_are_worked_out_once_and_are_those_of_the_whole_table(study, tmp_path, no_figures):
    report = run_study(study({"vary": {"architecture.hidden": [[3], [5]]}}), tmp_path / "run")
    results = Results.load(report.parent)
    by, column = ["kind", "architecture.hidden"], barrier("train_loss")
    found = results.means("independent", by, column)
    assert found.equals(group_means(results.pairs.filter(kind="independent"), by, column)) and len(found) == 2
    assert results.means("independent", by, column) is found
    assert results.means("independent", ["kind"], column)["n"].item() == found["n"].sum()


def test_barriers_are_found_row_by_row(monkeypatch):
    monkeypatch.setattr(tables, "IN_CACHE", 4)
    alphas = np.array([-0.5, 0, 0.25, 0.5, 1, 1.5])
    curves = np.random.default_rng(0).random((11, 6))
    curves[5, 2] = np.nan
    curves[6, 0] = np.inf
    found = tables._barriers_on_grid("train_loss", curves, alphas)
    for definition in theory.BARRIER_DEFINITIONS:
        for row, curve in enumerate(curves):
            one = theory.barriers_on_grid(alphas[1:5], curve[None, 1:5], definition)
            is_good = row not in (5, 6)
            value = found[barrier("train_loss", definition)][row]
            assert value == one.value[0] if is_good else np.isnan(value)
            if definition != "midpoint":
                alpha = found[barrier_alpha("train_loss", definition)][row]
                assert alpha == one.argmax[0] if is_good else np.isnan(alpha)
