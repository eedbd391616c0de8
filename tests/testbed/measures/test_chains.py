"""Chains, stars and planes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels import Adam, Architecture, Training, path_losses, train
from testbed import Study, StudyError
from testbed.measures import chains as segments
from testbed.results.results import Results
from testbed.run import run_study
from tests.testbed.conftest import CLASSES

DOUBLE = torch.float64
ALPHAS = torch.linspace(0, 1, 11, dtype=DOUBLE)


@pytest.fixture(scope="module")
def trained():
    """Ten small networks that learnt XOR, in pairs."""
    architecture = Architecture((2, 6, 2), "relu")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 2, dtype=DOUBLE, generator=generator)
    y = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).long()
    run = train(
        architecture, architecture.initial(10, 0, dtype=DOUBLE), (x, y), Training(1500, Adam(lr=0.02), "cross_entropy")
    )
    return architecture, run.params, (x, y)


def test_a_trained_bend_lowers_the_barrier_and_leaves_the_ends(trained):
    architecture, params, data = trained
    a, b = params[:5].clone(), params[5:].clone()
    bend = segments.trained_bends(architecture, a, b, data, "cross_entropy", steps=600, lr=0.02)
    straight = segments.chain_barriers(architecture, [a, b], data, "cross_entropy", ALPHAS)
    bent = segments.chain_barriers(architecture, [a, bend, b], data, "cross_entropy", ALPHAS)
    assert torch.equal(a, params[:5]) and torch.equal(b, params[5:])
    assert straight.mean() > 0.05 and (bent < 0.5 * straight + 0.01).all()
    assert torch.equal(segments.trained_bends(architecture, a, b, data, "cross_entropy", steps=0), 0.5 * (a + b))


def test_of_one_pair_or_many(trained):
    architecture, params, data = trained
    many = segments.trained_bends(architecture, params[:5], params[5:], data, "cross_entropy", steps=20)
    assert torch.allclose(
        segments.trained_bends(architecture, params[:1], params[5:6], data, "cross_entropy", steps=20)[0],
        many[0],
        rtol=1e-9,
    )


def test_the_star_centre_is_nearer_to_networks_that_it_has_not_seen(trained):
    architecture, params, data = trained
    centre = segments.star_centre(architecture, params[:7], data, "cross_entropy", steps=800, lr=0.02)
    rest = params[7:]
    to_centre = segments.chain_barriers(architecture, [centre.expand_as(rest), rest], data, "cross_entropy", ALPHAS)
    to_others = [
        segments.chain_barriers(architecture, [one.expand_as(rest), rest], data, "cross_entropy", ALPHAS)
        for one in params[:7]
    ]
    assert to_centre.mean() < np.mean(to_others)


def test_a_convex_loss_has_a_star_without_barriers():
    """Linear regression: every centre is connected to all, and the one found is a minimum if the leaves are."""
    architecture = Architecture((3, 1), "identity")
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(30, 3, dtype=DOUBLE, generator=generator)
    data = (x, x.sum(1, keepdim=True))
    leaves = architecture.initial(4, 0, dtype=DOUBLE)
    centre = segments.star_centre(architecture, leaves, data, "mse", steps=300, lr=0.05)
    assert segments.chain_barriers(architecture, [centre.expand_as(leaves), leaves], data, "mse", ALPHAS).max() < 1e-12


def test_the_plane_holds_its_corners_and_is_the_loss_between_them(trained):
    architecture, params, data = trained
    found = segments.plane(architecture, params[:3], data, "cross_entropy", resolution=9)
    distances = [(params[i] - params[j]).norm().item() for i, j in ((0, 1), (0, 2), (1, 2))]
    c = found.corners
    assert np.allclose([np.linalg.norm(c[i] - c[j]) for i, j in ((0, 1), (0, 2), (1, 2))], distances)
    basis = torch.stack([params[1] - params[0], params[2] - params[0]])
    for row, column in ((0, 0), (3, 7), (8, 4)):  # the same point by its share of B and C
        share = np.linalg.solve(
            np.stack([c[1] - c[0], c[2] - c[0]], 1), np.array([found.u[column], found.v[row]]) - c[0]
        )
        point = (params[0] + torch.from_numpy(share) @ basis)[None]
        assert found.loss[row, column] == pytest.approx(
            path_losses(architecture, point, point, [0.0], data, "cross_entropy").loss.item(), rel=1e-9
        )
    with pytest.raises(ValueError, match="lie on one line"):
        segments.plane(
            architecture, torch.stack([params[0], params[1], 0.5 * (params[0] + params[1])]), data, "cross_entropy"
        )


def test_a_study_measures_bends_and_stars(raw, tmp_path):
    """Of masked networks; star barriers are null for pairs that hold one of the three networks the centre was trained to."""
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
    there = torch.rand(params.shape[1], generator=torch.Generator().manual_seed(3)) > 0.3
    masked = params * there
    bend = segments.trained_bends(architecture, masked[:5], masked[5:], data, "cross_entropy", steps=30)
    centre = segments.star_centre(architecture, masked, data, "cross_entropy", steps=30)
    assert (bend[:, ~there] == 0).all() and (centre[~there] == 0).all()
    assert (bend[:, there] != 0.5 * (masked[:5] + masked[5:])[:, there]).any()


def test_a_set_for_each_pair(trained):
    """With a leading axis pair k learns set k: each as if it were alone."""
    architecture, params, (x, y) = trained
    sets = torch.stack([x[:40], x[40:]]), torch.stack([y[:40], y[40:]])
    together = segments.trained_bends(architecture, params[:2], params[5:7], sets, "cross_entropy", steps=20)
    alone = segments.trained_bends(architecture, params[:1], params[5:6], (x[:40], y[:40]), "cross_entropy", steps=20)
    assert torch.allclose(together[0], alone[0], rtol=1e-9)
    chain = segments.chain_barriers(
        architecture, [params[:2], together, params[5:7]], sets, "cross_entropy", ALPHAS, dataset=np.array([0, 1])
    )
    one = segments.chain_barriers(
        architecture, [params[1:2], together[1:], params[6:7]], (sets[0][1], sets[1][1]), "cross_entropy", ALPHAS
    )
    assert np.allclose(chain[1], one[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {
                "measure.also": ["star"],
                "ensemble.families": 3,
                "ensemble.siblings": 1,
                "ensemble.pairs": ["independent"],
            },
            "3 are too few",
        ),
        (
            {"measure.also": ["bend"], "architecture.connectivity": "convolutional", "architecture.receptive_field": 1},
            "'bend' trains a point",
        ),
    ],
)
def test_what_does_not_fit_is_refused(raw, settings, sentence):
    with pytest.raises(StudyError, match=sentence):
        Study.make(raw({"architecture.hidden": [4]} | settings, CLASSES))
