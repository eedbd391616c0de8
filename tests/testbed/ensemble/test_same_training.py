"""One training measured at several times is, at each, what a shorter training of the same networks gives."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

import testbed.ensemble.shards
from testbed import Study
from testbed.ensemble import bounds, training
from testbed.ensemble.measuring import Trained, measure
from testbed.ensemble.plan import plan as make_plan
from testbed.errors import StudyError
from testbed.results import Results
from testbed.results.trend import differences
from testbed.run import run_study

TIMES = [40, 0, 15]
ONLINE = {
    "data.inputs": 4,
    "data.n_train": None,
    "data.noise": 0.0,
    "data.teacher": {"hidden": [2], "activation": "erf", "biases": False},
    "architecture.activation": "erf",
    "architecture.biases": False,
    "training.online": True,
    "training.clock": "inputs",
    "training.batch_size": 1,
    "measure.theory": ["twin_students"],
}


def along(study, settings=None):
    """The one launch of a study that measures a training at TIMES, for two split steps."""
    vary = {"ensemble.spawn_step": [10, 20], "training.snapshot": TIMES}
    (launch,) = make_plan(study({"vary": vary} | (settings or {}))).launches
    return launch


def test_cells_of_one_training_have_its_networks(study):
    networks = along(study).networks
    assert networks["network"].to_list() == list(range(2 * 3 * 8))
    per_training = networks.group_by("family", "sibling").agg(
        pl.col("init_seed", "data_seed", "spawn_seed", "own_seed").n_unique(), pl.col("cell"), pl.col("network")
    )
    assert per_training.select("init_seed", "data_seed", "spawn_seed", "own_seed").unique().rows() == [(1, 1, 1, 1)]
    assert set(map(tuple, per_training["cell"])) == {(1, 2, 0), (4, 5, 3)}  # in the order of time
    assert all(numbers.max() - numbers.min() == 2 for numbers in per_training["network"])
    assert networks["init_seed"].n_unique() == 8


@pytest.mark.parametrize("settings", [{}, ONLINE, {"data.shared": 0.5, "measure.theory": []}])
def test_a_snapshot_is_what_a_shorter_training_ends_in(study, settings):
    settings = settings | {"vary": {"training.snapshot": TIMES}}
    (launch,) = make_plan(study(settings)).launches
    found = training.train(launch, launch.networks, "auto")
    measured = measure(launch, Trained.joined(launch, [found]), launch.pairs, "auto")
    for cell, steps in enumerate(TIMES):
        (short,) = make_plan(
            study(settings | {"vary": {}, "training.steps": steps, "ensemble.spawn_step": min(10, steps)})
        ).launches
        alone = training.train(short, short.networks, "auto")
        networks = torch.from_numpy((launch.networks["cell"] == cell).to_numpy())
        assert torch.equal(found["params"][networks], alone["params"])
        assert torch.equal(found["train_loss"][networks].nan_to_num(-1), alone["train_loss"].nan_to_num(-1))
        curves = measure(short, Trained.joined(short, [alone]), short.pairs, "auto")
        pairs = torch.from_numpy((launch.pairs["cell"] == cell).to_numpy())
        for name, values in curves.items():
            if name.endswith("_check"):  # of pairs that theory computes too, one for each launch at least
                continue
            torch.testing.assert_close(measured[name][pairs], values, rtol=1e-9, atol=1e-12, equal_nan=True, msg=name)


def test_what_happens_later_is_not_known_yet(study):
    settings = {"vary": {"training.snapshot": TIMES}, "training.optimizer.lr": 6.0, "training.record_every": 5}
    (launch,) = make_plan(study(settings)).launches
    found = training.train(launch, launch.networks, "auto")
    by_time = {
        time: {
            name: values[torch.from_numpy((launch.networks["cell"] == cell).to_numpy())]
            for name, values in found.items()
        }
        for cell, time in enumerate(TIMES)
    }
    at_the_end = by_time[40]["diverged_at"]
    assert ((at_the_end > 0) & (at_the_end <= 40)).any()  # else the test says nothing
    assert (by_time[0]["diverged_at"] == -1).all()
    for time, values in by_time.items():
        assert torch.equal(values["diverged_at"], torch.where(at_the_end <= time, at_the_end, -1))
        assert values["losses"][:, -(-time // 5) :].isnan().all()
        assert torch.equal(
            values["losses"][:, : -(-time // 5)].nan_to_num(-1),
            by_time[40]["losses"][:, : -(-time // 5)].nan_to_num(-1),
        )


def test_shards_that_cut_a_training_apart_change_nothing(study, tmp_path, no_figures, monkeypatch):
    asked = study({"vary": {"training.snapshot": TIMES}, "measure.theory": []})
    run_study(asked, tmp_path / "whole")
    monkeypatch.setattr(testbed.ensemble.shards, "LANES", 1)
    monkeypatch.setitem(testbed.ensemble.shards.SHARD_WORK, "native", 1.0)
    run_study(asked, tmp_path / "cut")
    for name in ("networks", "pairs", "curves", "losses"):
        assert (tmp_path / "whole" / f"{name}.parquet").read_bytes() == (
            tmp_path / "cut" / f"{name}.parquet"
        ).read_bytes()
    results = Results.load(tmp_path / "whole")
    assert results.factors == ["training.snapshot"]
    assert sorted(results.pairs["training.snapshot"].unique()) == sorted(TIMES)


def test_a_training_costs_its_time_once(study):
    once, thrice = (
        bounds.seconds_needed([cell.study for cell in study({"vary": {"training.snapshot": times}}).cells()], "native")
        for times in ([40], TIMES)
    )
    assert thrice[bounds.TRAIN_TIME] == once[bounds.TRAIN_TIME]
    assert thrice[bounds.MEASURE_TIME] == pytest.approx(3 * once[bounds.MEASURE_TIME])


def test_times_of_one_training_are_compared_family_by_family():
    rng = np.random.default_rng(0)
    of_family = rng.normal(size=40)  # far larger than what time does
    early = pl.DataFrame({"family_a": range(40), "family_b": range(40), "barrier": of_family})
    late = early.with_columns(barrier=pl.col("barrier") + 0.1 + 0.01 * pl.Series(rng.normal(size=40)))
    found = differences([early, late], "barrier")
    apart = differences([early, late.with_columns(pl.col("family_a", "family_b") + 40)], "barrier")
    assert found.above[0, 1]
    assert not apart.above[0, 1]
    by_hand = (late["barrier"] - early["barrier"]).std() / 40**0.5
    half = (found.high[0, 1] - found.low[0, 1]) / 2
    assert half == pytest.approx(2.02 * by_hand, rel=0.15)  # t of 39 degrees of freedom


def test_a_snapshot_after_the_end_is_refused(raw):
    with pytest.raises(StudyError, match=r"snapshot \(41\) must be at most steps \(40\)"):
        Study.make(raw({"training.snapshot": 41}))
    pruning = {"density": 0.5, "retrain": False}
    with pytest.raises(StudyError, match=r"training\.snapshot goes with architecture\.pruning\.retrain"):
        Study.make(raw({"training.snapshot": 4, "architecture.pruning": pruning}))
