"""Predictions by the compiled kernel are held to theory's own on a sample of every run's pairs."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from kernels import native
from testbed import Study
from testbed.ensemble.measuring import Trained, measure, pair_set
from testbed.ensemble.plan import plan
from testbed.ensemble.training import train
from testbed.measures import twin_check
from testbed.measures.registry import PREDICTIONS
from testbed.report import sentences
from testbed.results import Results
from testbed.run import run_study

pytestmark = pytest.mark.skipif(bool(native.missing()), reason=native.missing())

SMALL = ['vary."architecture.hidden"=[[3],[5]]', 'vary."ensemble.spawn_step"=[0]', "measure.test_samples=64"]


def study() -> Study:
    return Study.load("teacher_student", SMALL, quick=True)


def trained_launch():
    launch = plan(study()).launches[0]
    return launch, Trained.joined(launch, [train(launch, launch.networks, "auto")])


def test_both_routes_agree_on_trained_networks():
    """All pairs of a launch, half-trained networks of a study, not the random ones of the kernels' own tests."""
    launch, trained = trained_launch()
    pairs = pair_set(launch, trained, launch.pairs, "auto")
    for name in ("population", "exact_training"):
        prediction = PREDICTIONS[name]
        twin = prediction.twin
        assert twin is not None and twin.takes(pairs)
        rows = torch.arange(len(pairs))
        found = twin_check.checked(name, twin.predict(pairs), prediction.predict(pairs), rows, twin.tolerance)
        assert found.check is not None and found.check.max() < 1e-11


@pytest.mark.parametrize("name", ["population", "exact_training"])
def test_a_wrong_twin_is_found_out(monkeypatch, name):
    twin = PREDICTIONS[name].twin
    assert twin is not None

    def wrong(pairs):
        right = twin.predict(pairs)
        return dataclasses.replace(right, loss=right.loss * (1 + 1e-8))

    changed = dataclasses.replace(PREDICTIONS[name], twin=dataclasses.replace(twin, predict=wrong))
    monkeypatch.setitem(PREDICTIONS, name, changed)
    launch, trained = trained_launch()
    with pytest.raises(ArithmeticError, match=f"differ over the prediction '{name}'"):
        measure(launch, trained, launch.pairs, "auto")


def test_a_run_says_what_was_checked(tmp_path, no_figures):
    run_study(study(), tmp_path / "run")
    results = Results.load(tmp_path / "run")
    found = results.pairs["population_check"]
    assert 0 < found.drop_nulls().len() < len(found)
    said = [sentence for sentence in sentences.checks(results) if "own route computed it too for" in sentence]
    assert len(said) == 2 and f"for {found.drop_nulls().len()} of {len(found)} pairs" in said[0]


def test_the_sample_does_not_depend_on_how_a_launch_is_cut(monkeypatch):
    launch, trained = trained_launch()
    monkeypatch.setattr(twin_check, "ONE_IN", 4)
    whole = measure(launch, trained, launch.pairs, "auto")
    parts = [measure(launch, trained, part, "auto") for part in (launch.pairs[:7], launch.pairs[7:])]
    for name in ("population_check", "exact_training_check", "population_loss"):
        joined = torch.cat([part[name] for part in parts])
        assert torch.equal(joined.isnan(), whole[name].isnan())
        assert torch.allclose(joined, whole[name], atol=1e-12, rtol=1e-12, equal_nan=True)


def test_the_reference_backend_uses_no_compiled_twin():
    launch, trained = trained_launch()
    found = measure(launch, trained, launch.pairs[:3], "reference")
    assert "population_check" not in found and found["population_loss"].isfinite().all()
