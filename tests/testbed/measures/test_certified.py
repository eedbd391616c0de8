"""Certified barriers of a sample of pairs: they hold the measured ones, and do not depend on how pairs are cut."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from testbed import PairSet, Study, StudyError
from testbed.measures.certified import enclosures
from testbed.measures.segments import chain_barriers
from testbed.pair_set import TrainSamples
from testbed.results import Results
from testbed.run import run_study
from tests.testbed.conftest import CLASSES
from tests.testbed.measures.problems import setting


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("widths", [(3, 5, 2), (3, 4, 4, 2)])
def test_enclosures_hold_a_fine_grid(loss, widths):
    """With a training set of each pair's own, 1,001 alphas: no barrier lies outside, nor far inside."""
    architecture, a, b, x, y = setting(loss, widths)
    pairs = PairSet.of(architecture, a, b, (x[0], y[0]), loss, alphas=1001)
    pairs = dataclasses.replace(pairs, train=TrainSamples(x, y, *[torch.tensor([2, 0, 1])] * 2))
    low, high = enclosures(pairs).unbind(1)
    for k, own in enumerate((2, 0, 1)):
        one = PairSet.of(architecture, a[k : k + 1], b[k : k + 1], (x[own], y[own]), loss, alphas=1001)
        barrier = float(chain_barriers(one)[0])
        assert low[k] - 1e-4 <= barrier <= high[k]
    assert (high - low <= 1e-3).all()


@pytest.fixture
def study_of_classes(raw):
    settings = {"measure.also": ["certified"], "architecture.hidden": [4], "training.steps": 20, "measure.alphas": 5}
    return Study.make(raw(settings, CLASSES))


def test_a_sample_alone_is_computed(study_of_classes, tmp_path):
    results = Results.load(run_study(study_of_classes, tmp_path / "run").parent)
    pairs = results.measured
    known = pairs["certified_gap"].is_not_null()
    assert 1 <= known.sum() < len(pairs)
    proved = pairs.filter(known)
    high = proved["certified_barrier"] + proved["certified_gap"]
    assert (proved["train_loss_barrier_linear"] <= high + 1e-6).all()
    missed = (proved["certified_barrier"] - proved["train_loss_barrier_linear"]).to_numpy()
    np.testing.assert_allclose(proved["certified_missed"], np.maximum(missed, 0), atol=1e-6)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"Of {known.sum()} of {len(pairs)} pairs, drawn by their seeds, the training barrier is enclosed" in page


def test_what_has_no_enclosure_is_refused(study):
    with pytest.raises(StudyError, match=r"'certified' needs an architecture\.activation of identity"):
        study({"measure.also": ["certified"], "architecture.activation": "silu"})
