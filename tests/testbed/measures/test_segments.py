"""Chains and stars: trained points lower the barrier, masks stay, and a study measures them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from kernels import Adam, Architecture, Training, train
from testbed import PairSet, Study, StudyError
from testbed.measures.segments import Descent, chain_barriers, star_centre, trained_bends
from testbed.pair_set import TrainSamples
from testbed.results import Results
from testbed.run import run_study
from tests.testbed.conftest import CLASSES

DOUBLE = torch.float64
LOSS = "cross_entropy"


@pytest.fixture(scope="module")
def trained():
    """Ten small networks that learnt XOR: their architecture, parameters and samples."""
    architecture = Architecture((2, 6, 2), "relu")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 2, dtype=DOUBLE, generator=generator)
    y = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).long()
    initial = architecture.initial(10, 0, dtype=DOUBLE)
    run = train(architecture, initial, (x, y), Training(1500, Adam(lr=0.02), LOSS))
    return architecture, run.params, (x, y)


def pairs_of(architecture, a, b, samples, loss=LOSS):
    return PairSet.of(architecture, a, b, samples, loss, alphas=11)


def test_a_trained_bend_lowers_the_barrier_and_leaves_the_ends(trained):
    architecture, params, data = trained
    a, b = params[:5].clone(), params[5:].clone()
    pairs = pairs_of(architecture, a, b, data)
    bend = trained_bends(architecture, (a, b), data, LOSS, Descent(steps=600, lr=0.02))
    straight = chain_barriers(pairs)
    bent = chain_barriers(pairs, bend)
    assert torch.equal(a, params[:5]) and torch.equal(b, params[5:])
    assert straight.mean() > 0.05 and (bent < 0.5 * straight + 0.01).all()
    assert torch.equal(trained_bends(architecture, (a, b), data, LOSS, Descent(steps=0)), 0.5 * (a + b))


def test_of_one_pair_or_many(trained):
    architecture, params, data = trained
    descent = Descent(steps=20)
    many = trained_bends(architecture, (params[:5], params[5:]), data, LOSS, descent)
    one = trained_bends(architecture, (params[:1], params[5:6]), data, LOSS, descent)
    assert torch.allclose(one[0], many[0], rtol=1e-9)


def test_the_star_centre_is_nearer_to_networks_that_it_has_not_seen(trained):
    architecture, params, data = trained
    centre = star_centre(architecture, params[:7], data, LOSS, Descent(steps=800, lr=0.02))
    rest = params[7:]

    def barriers_to(one):
        return chain_barriers(pairs_of(architecture, one.expand_as(rest), rest, data))

    assert barriers_to(centre).mean() < np.mean([barriers_to(one) for one in params[:7]])


def test_a_convex_loss_has_a_star_without_barriers():
    """Linear regression: every centre is connected to all, and the one found is a minimum if the leaves are."""
    architecture = Architecture((3, 1), "identity")
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(30, 3, dtype=DOUBLE, generator=generator)
    data = (x, x.sum(1, keepdim=True))
    leaves = architecture.initial(4, 0, dtype=DOUBLE)
    centre = star_centre(architecture, leaves, data, "mse", Descent(steps=300, lr=0.05))
    assert chain_barriers(pairs_of(architecture, centre.expand_as(leaves), leaves, data, "mse")).max() < 1e-12


def test_a_study_measures_bends_and_stars(raw, tmp_path, no_figures):
    """Of masked networks; star barriers are null for pairs that hold one of the three networks of the star."""
    settings = {
        "measure.also": ["bend", "star"],
        "architecture.hidden": [5],
        "architecture.density": 0.7,
        "ensemble.families": 6,
        "ensemble.siblings": 1,
        "ensemble.pairs": ["independent"],
        "ensemble.independent_pairs": 15,
    }
    study = Study.make(raw(settings, CLASSES))
    results = Results.load(run_study(study, tmp_path / "run").parent)
    pairs = results.measured
    leaves = set(range(3))
    has_leaf = np.array([bool({a, b} & leaves) for a, b in zip(pairs["network_a"], pairs["network_b"], strict=True)])
    assert (pairs["star_train_loss_barrier_linear"].is_null().to_numpy() == has_leaf).all() and not has_leaf.all()
    bent, straight = (pairs[f"{name}train_loss_barrier_linear"].to_numpy() for name in ("bend_", ""))
    assert bent.mean() < straight.mean() and np.isfinite(bent).all()


def test_masked_weights_stay_away(trained):
    architecture, params, data = trained
    exists = torch.rand(params.shape[1], generator=torch.Generator().manual_seed(3)) > 0.3
    masked = params * exists
    bend = trained_bends(architecture, (masked[:5], masked[5:]), data, LOSS, Descent(steps=30))
    centre = star_centre(architecture, masked, data, LOSS, Descent(steps=30))
    assert (bend[:, ~exists] == 0).all() and (centre[~exists] == 0).all()
    assert (bend[:, exists] != 0.5 * (masked[:5] + masked[5:])[:, exists]).any()


def test_a_set_for_each_pair(trained):
    """With a leading axis pair k learns set k: each as if it were alone."""
    architecture, params, (x, y) = trained
    a, b = params[:2], params[5:7]
    sets = torch.stack([x[:40], x[40:]]), torch.stack([y[:40], y[40:]])
    descent = Descent(steps=20)
    together = trained_bends(architecture, (a, b), sets, LOSS, descent)
    alone = trained_bends(architecture, (a[:1], b[:1]), (x[:40], y[:40]), LOSS, descent)
    assert torch.allclose(together[0], alone[0], rtol=1e-9)
    own = torch.tensor([0, 1])
    pairs = dataclasses.replace(pairs_of(architecture, a, b, (x, y)), train=TrainSamples(*sets, own, own))
    chain = chain_barriers(pairs, together)
    one = chain_barriers(pairs_of(architecture, a[1:], b[1:], (sets[0][1], sets[1][1])), together[1:])
    assert np.allclose(chain[1], one[0], rtol=1e-9)


TOO_FEW = {
    "measure.also": ["star"],
    "ensemble.families": 3,
    "ensemble.siblings": 1,
    "ensemble.pairs": ["independent"],
}
SHARED_WEIGHTS = {
    "measure.also": ["bend"],
    "architecture.connectivity": "convolutional",
    "architecture.receptive_field": 1,
}


@pytest.mark.parametrize(
    ("settings", "sentence"), [(TOO_FEW, "3 are too few"), (SHARED_WEIGHTS, "'bend' trains a point")]
)
def test_what_does_not_fit_is_refused(raw, settings, sentence):
    with pytest.raises(StudyError, match=sentence):
        Study.make(raw({"architecture.hidden": [4]} | settings, CLASSES))
