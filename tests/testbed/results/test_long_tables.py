"""Tables that are written and read part by part hold what whole ones hold."""

from __future__ import annotations

import polars as pl
import pytest

from testbed import run_study
from testbed.ensemble import shards
from testbed.report.figures import training
from testbed.results import Results, store
from testbed.results.store import Damaged

VARY = {  # launches whose pairs and networks take turns
    "training.snapshot": [10, 40],
    "training.optimizer.lr": [0.05, 1e30],  # the second diverges: pairs without curves, shards without arrays
    "architecture.hidden": [[3], [5]],
}
TABLES = ("networks", "pairs", "curves", "losses")


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_WORK", {"native": 3e5, "reference": 3e5})


@pytest.fixture
def long_tables(monkeypatch):
    monkeypatch.setattr(store, "IN_MEMORY", 0)
    monkeypatch.setattr(store, "ROW_GROUP", 50)


@pytest.mark.slow
def test_they_hold_what_whole_ones_hold(study, tmp_path, small_shards, monkeypatch):
    made = study({"vary": VARY})
    whole = run_study(made, tmp_path / "whole")
    monkeypatch.setattr(store, "IN_MEMORY", 0)
    monkeypatch.setattr(store, "ROW_GROUP", 50)
    parts = [run_study(made, tmp_path / name) for name in ("parts", "again")]
    tables = [pl.read_parquet(folder.parent / "curves.parquet") for folder in (whole, *parts)]
    assert tables[0].equals(tables[1]) and tables[0].null_count()["train_loss"][0] > 0
    for table in TABLES:
        files = [(folder.parent / f"{table}.parquet") for folder in (whole, *parts)]
        assert pl.read_parquet(files[0]).equals(pl.read_parquet(files[1]))
        assert files[1].read_bytes() == files[2].read_bytes()
    assert whole.read_text() == parts[0].read_text()  # the page says the same of both
    assert (tmp_path / "whole/columns.json").read_bytes() == (tmp_path / "parts/columns.json").read_bytes()


def test_they_are_in_the_order_of_their_numbers(study, tmp_path, small_shards, long_tables, no_figures):
    report = run_study(study({"vary": VARY}), tmp_path / "run")
    results = Results.load(report.parent)
    assert results.curves.select("pair", "alpha").equals(results.curves.select("pair", "alpha").sort("pair", "alpha"))
    assert results.losses.select("network", "step").equals(results.losses.select("network", "step").sort(pl.all()))
    assert results.curve_of(3).equals(results.curves.filter(pair=3))


@pytest.mark.parametrize("name", ["curves", "losses"])
def test_damage_to_them_is_noticed(name, study, tmp_path, long_tables, no_figures):
    run_study(study(), tmp_path / "run")
    path = tmp_path / "run" / f"{name}.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match=f"{name}.parquet is damaged"):
        Results.load(tmp_path / "run")
    path.unlink()
    with pytest.raises(Damaged, match=f"{name}.parquet is missing"):
        Results.load(tmp_path / "run")


def test_the_losses_of_some_networks_are_drawn_and_the_caption_says_so(study, tmp_path, monkeypatch, no_figures):
    report = run_study(study({"vary": {"architecture.hidden": [[3], [5]]}}), tmp_path / "run")
    results = Results.load(report.parent)
    assert training.caption(results) == "Recorded training losses of the networks that did not diverge."
    monkeypatch.setattr(training, "MOST_NETWORKS", 4)
    assert training.caption(results).endswith("did not diverge, 4 of them.")
    drawn = training.figure(results)
    (first, second) = drawn.axes[0].lines
    some = results.losses.filter(pl.col("network").is_in([0, 1]))
    assert first.get_ydata()[0] == pytest.approx(some.filter(step=0)["loss"].median())
    levels = results.networks.filter(pl.col("architecture.hidden") == 5)["network"].head(2)
    some = results.losses.filter(pl.col("network").is_in(levels.implode()))
    at_last = some.filter(pl.col("step") == pl.col("step").max())  # siblings differ by then
    assert second.get_ydata()[-1] == pytest.approx(at_last["loss"].median())
    assert len(second.get_ydata()) == len(first.get_ydata())
