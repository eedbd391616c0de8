"""Measures beside the barrier, against brute force, and as a study asks for them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import kernels
from kernels import Architecture
from testbed import PairSet, Study, StudyError
from testbed.ensemble import measuring
from testbed.measures.disagreement import disagreement
from testbed.measures.perturbation import perturbation
from testbed.measures.registry import MEASURES
from testbed.pair_set import TrainSamples, start_seeds
from testbed.results import Results
from testbed.run import run_study
from tests.testbed.conftest import CLASSES
from tests.testbed.measures.problems import DOUBLE, setting


def test_disagreement():
    architecture, a, b, x, _ = setting("cross_entropy")
    share = disagreement(architecture, a, b, x, "cross_entropy")
    rms = disagreement(architecture, a, b, x, "mse")
    for k in range(3):
        one, other = (architecture.to_torch(side[k])(x[k]).detach() for side in (a, b))
        assert share[k] == (one.argmax(1) != other.argmax(1)).double().mean()
        assert rms[k] == pytest.approx((one - other).square().sum(1).mean().sqrt().item())
    assert (disagreement(architecture, a, a, x, "cross_entropy") == 0).all()


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_diverged_network_agrees_with_none(loss):
    architecture, a, b, x, _ = setting("cross_entropy")
    a[1, -1] = torch.nan
    for one, other in ((a, b), (b, a), (a, a)):
        assert disagreement(architecture, one, other, x, loss).isnan().tolist() == [False, True, False]


def test_perturbation_is_as_long_as_half_the_path():
    """L = ½ mean ‖θ x‖² on inputs of covariance 1: a step of length r adds ½ r², and its overlap with θ."""
    architecture = Architecture((2, 1), "identity", biases=False)
    samples = (torch.eye(2, dtype=DOUBLE)[None] * 2**0.5, torch.zeros(1, 2, 1, dtype=DOUBLE))
    a = torch.zeros(1, 2, dtype=DOUBLE)
    b = torch.tensor([[3.0, 0.0]], dtype=DOUBLE)
    seeds = np.array([5])
    assert perturbation(architecture, a, a, samples, "mse", seeds).item() == 0
    directions = [torch.from_numpy(kernels.streams.normals(kernels.streams.INITIAL, seeds, k, 2)) for k in range(2)]
    steps = [1.5 * direction / direction.norm() for direction in directions]
    expected = 0.5 * (0.5 * 1.5**2 + 0.5 * (b + steps[1]).square().sum() - 0.5 * 9.0)
    assert perturbation(architecture, a, b, samples, "mse", seeds).item() == pytest.approx(expected.item())


def test_a_study_measures_them_all(raw, tmp_path):
    """Every column that is asked for is there, in the pairs' order."""
    settings = {
        "measure.also": ["disagreement", "sharpness", "perturbation", "temperature", "features"],
        "architecture.hidden": [4],
        "data.shared": 0.5,
        "ensemble.pairs": ["independent"],
    }
    results = Results.load(run_study(Study.make(raw(settings, CLASSES)), tmp_path / "run").parent)
    pairs = results.measured
    for column in (
        "disagreement",
        "top_eigenvalue_middle",
        "top_eigenvalue_quarters",
        "hessian_trace_ends",
        "perturbation_loss_rise",
        "feature_residual",
    ):
        assert pairs[column].null_count() == 0, column
    # a temperature of 1 is among those tried
    ends = results.curves.filter(alpha=0.0)["train_loss"].to_numpy()
    assert np.isfinite(pairs["calibrated_train_loss_barrier_linear"].to_numpy()).all() and (ends > 0).all()
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Beside the barrier" in page and "feature residual" in page
    assert (pairs["hessian_trace_ends"] >= pairs["top_eigenvalue_ends"] * 0.5).all()


def five_pairs():
    """Pairs that learnt three sets between them."""
    architecture, a, b, x, y = setting("cross_entropy", n=5)
    own = torch.tensor([0, 1, 2, 1, 0])
    pairs = PairSet.of(architecture, a, b, (x[0], y[0]), "cross_entropy", alphas=5)
    return dataclasses.replace(pairs, train=TrainSamples(x, y, own, own))


def test_the_memory_does_not_matter(monkeypatch):
    """All pairs at once, and one at a time: also of random starts, which are each pair's own."""
    names = ("disagreement", "sharpness", "perturbation", "temperature", "features")
    whole = measuring._measures(five_pairs(), names)
    monkeypatch.setattr(measuring, "MOST_ACTIVATIONS", 1)
    one_by_one = measuring._measures(five_pairs(), names)
    assert set(whole) == set(one_by_one) == {column.name for name in names for column in MEASURES[name].columns}
    for name, values in whole.items():
        assert torch.allclose(values, one_by_one[name], rtol=1e-9), name


def test_starts_are_a_function_of_the_row():
    whole = start_seeds(np.arange(7), per_pair=3).reshape(7, 3)
    some = start_seeds(np.array([5, 2]), per_pair=3).reshape(2, 3)
    assert np.array_equal(some, whole[[5, 2]]) and len(np.unique(whole)) == 21
    assert np.array_equal(whole.ravel(), kernels.streams.network_seeds(0, 21))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"measure.also": ["temperature"]}, "'temperature' needs training.loss 'cross_entropy'"),
        ({"measure.also": ["lemma_7"]}, "'lemma_7' needs an orthonormal relu teacher"),
        ({"measure.also": ["sharpnes"]}, "Did you mean 'sharpness'"),
    ],
)
def test_what_cannot_be_measured_is_refused(study, settings, sentence):
    with pytest.raises(StudyError, match=sentence):
        study(settings)
