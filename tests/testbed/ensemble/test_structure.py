"""Masks, weight sharing, pruning and frozen weights, from a study's settings to what was trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from testbed import StudyError
from testbed.ensemble import structure, training
from testbed.ensemble.plan import plan as make_plan
from testbed.study import Study
from tests.testbed.conftest import CLASSES

LAYERED = {
    "data": {"kind": "dynamic_signal", "patches": 3, "patch_inputs": 4, "n_train": 30},
    "architecture.hidden": [6],
}


@pytest.fixture
def launch(raw):
    """The launch of a small classification study with these settings."""
    return lambda settings: make_plan(Study.make(raw(LAYERED | settings, CLASSES))).launches[0]


def first_weights(launch, params):
    return launch.architecture.layers(params)[0][0]


def test_first_layers_of_the_same_receptive_fields(launch):
    """Two channels at three windows of 4 of the 12 inputs."""
    trained = {}
    for kind in ("full", "random", "local", "convolutional"):
        one = launch({"architecture.connectivity": kind, "architecture.receptive_field": 4, "architecture.stride": 4})
        trained[kind] = first_weights(one, training.train(one, one.networks, "native")["params"])
    assert (trained["full"] != 0).all()
    seen = {kind: trained[kind] != 0 for kind in ("random", "local", "convolutional")}
    assert all((there.sum(2) == 4).all() for there in seen.values())
    window = torch.arange(12) // 4 == (torch.arange(6) // 2)[:, None]
    assert (seen["local"] == window).all() and (seen["convolutional"] == window).all()
    assert not (seen["random"][0] == seen["random"][1]).all()  # each network its own
    patches = trained["convolutional"].reshape(8, 3, 2, 3, 4)  # network, position, channel, patch, input
    filters = torch.stack([patches[:, position, :, position] for position in range(3)], 1)
    assert (filters == filters[:, :1]).all() and filters[:, 0, 0].ne(filters[:, 0, 1]).all()
    own = trained["local"].reshape(8, 3, 2, 3, 4)
    assert own[:, 0, :, 0].ne(own[:, 1, :, 1]).all()


@pytest.mark.parametrize("kind", ["own", "family", "shared"])
def test_random_masks_have_their_density_and_are_shared_as_asked(launch, kind):
    one = launch({"architecture.density": 0.25, "architecture.mask": kind})
    there = one.mask(one.networks)
    weights = structure.is_weight(one.architecture)
    biases = ~structure.is_weight(one.architecture)
    assert there[:, biases].all()
    for (layer, _), in_all in zip(one.architecture.layers(there), (72, 12), strict=True):
        assert (layer.flatten(1).sum(1) == round(0.25 * in_all)).all()
    distinct = len(torch.unique(there[:, weights], dim=0))
    assert distinct == {"own": 8, "family": 4, "shared": 1}[kind]
    after = training.train(one, one.networks, "native")["params"]
    assert (after[~there] == 0).all() and (after[:, weights][there[:, weights]] != 0).float().mean() > 0.95


def test_sparse_weights_start_with_the_variance_of_dense_pre_activations(launch):
    settings = {
        "architecture.hidden": [600],
        "ensemble.families": 2,
        "architecture.connectivity": "random",
        "architecture.receptive_field": 3,
    }
    one = launch(settings | {"architecture.hidden": [600], "architecture.stride": 1})
    w = first_weights(one, one.initial(one.networks))
    assert w.count_nonzero(2).unique().tolist() == [3]
    assert w.square().sum(2).mean() == pytest.approx(
        1.0, rel=0.03
    )  # tanh: 12 weights of variance 1/12 as 3 of variance 1/3


@pytest.mark.parametrize("kind", ["own", "family"])
def test_pruning_keeps_the_largest_weights_and_rewinds(launch, kind):
    pruning = {"density": 0.25, "rounds": 2, "rewind_step": 5, "mask": kind}
    one = launch({"architecture.pruning": pruning, "training.steps": 30, "ensemble.spawn_step": 8})
    weights = structure.is_weight(one.architecture)
    result = training.train(one, one.networks, "native")["params"]
    there = result != 0
    assert (there[:, weights].sum(1) == round(0.25 * int(weights.sum()))).all() and there[:, ~weights].all()
    siblings_alike = [(there[k] == there[k + 1]).all().item() for k in range(0, 8, 2)]
    assert all(siblings_alike) if kind == "family" else not all(siblings_alike)
    # by hand, for the first network
    import kernels

    row = one.networks[:1]
    options = {"data_seeds": row["data_seed"].to_numpy(writable=True), "backend": "reference"}
    if kind == "own":
        options |= {"spawn_steps": [8], "spawn_seeds": row["spawn_seed"].to_numpy(writable=True)}
    base = one.training(row)
    params = one.initial(row)
    mask = torch.ones(1, one.architecture.n_parameters, dtype=torch.bool)
    for share in (0.5, 0.25):
        twice = kernels.Training(30, base.optimizer, base.loss, base.batch_size, snapshots=(5,))
        run = kernels.train(one.architecture, params, one.train_sets, twice, mask=mask, **options)
        size = torch.where(mask & weights, run.params.abs(), -1)[0]
        cut = size[weights].sort(descending=True).values[round(share * int(weights.sum())) - 1]
        mask = ((size >= cut) | ~weights)[None]
        params = run.snapshots[0]
    assert torch.equal(mask[0], there[0])


@pytest.mark.parametrize("rounds", [1, 2])
def test_magnitude_pruning_alone_leaves_the_trained_weights(launch, rounds):
    """The dense networks' largest weights as they were trained, the others 0; the last round is never trained on."""
    settings = {"training.steps": 30, "ensemble.spawn_step": 8, "training.record_every": 5}
    dense, pruned = (
        launch(settings | extra)
        for extra in ({}, {"architecture.pruning": {"density": 0.25, "rounds": rounds, "retrain": False}})
    )
    weights = structure.is_weight(dense.architecture)
    one, other = (training.train(each, each.networks, "native") for each in (dense, pruned))
    there = other["params"] != 0
    assert (there[:, weights].sum(1) == round(0.25 * int(weights.sum()))).all()
    if rounds == 1:
        assert torch.equal(other["params"], one["params"] * there) and torch.equal(other["losses"], one["losses"])
        smallest = torch.where(there & weights, one["params"].abs(), torch.inf).amin(1)
        assert (torch.where(~there & weights, one["params"].abs(), 0).amax(1) <= smallest).all()
        assert (other["train_loss"] > one["train_loss"]).any()  # of the pruned network
    else:
        assert other["losses"].shape == one["losses"].shape and not torch.equal(other["losses"], one["losses"])


def test_magnitude_pruning_alone_stops_where_training_says(launch):
    """training.stop_below is of the training that is measured, which here is the dense one."""
    settings = {"training.steps": 30, "training.stop_below": 0.9}
    dense, pruned = (
        launch(settings | extra) for extra in ({}, {"architecture.pruning": {"density": 0.5, "retrain": False}})
    )
    one, other = (training.train(each, each.networks, "native") for each in (dense, pruned))
    assert (one["stopped_at"] >= 0).any() and torch.equal(one["stopped_at"], other["stopped_at"])
    assert torch.equal(other["params"], one["params"] * (other["params"] != 0))


def test_weights_tied_by_a_map(launch):
    """Pairs of neighbours of the first layer are one; a convolution written as such a map is the convolution."""
    plain = launch({})
    n = plain.architecture.n_parameters
    number = np.arange(n)
    number[:72] //= 2
    tied = launch({"architecture.tied": number.tolist()})
    w = first_weights(tied, training.train(tied, tied.networks, "native")["params"])
    assert torch.equal(w[:, :, 0::2], w[:, :, 1::2]) and (w[:, :, 0] != w[:, :, 2]).all()
    assert (
        first_weights(plain, training.train(plain, plain.networks, "native")["params"])[:, :, 0::2]
        .ne(w[:, :, 0::2])
        .any()
    )
    whole = {"architecture.connectivity": "convolutional", "architecture.receptive_field": 12}
    convolution = launch(whole)
    by_hand = launch({"architecture.tied": list(range(n))})
    assert torch.equal(*(training.train(each, each.networks, "native")["params"] for each in (convolution, by_hand)))
    with pytest.raises(
        StudyError, match=rf"architecture.tied must have a number for each of the {n} parameters, not 3"
    ):
        launch({"architecture.tied": [0, 1, 1]}).tied  # noqa: B018


def test_frozen_weights_keep_their_initial_values(launch):
    one = launch({"training.frozen": 0.5, "training.frozen_layers": [1]})
    start = one.initial(one.networks)
    end = training.train(one, one.networks, "native")["params"]
    held = (start == end).numpy()
    first = one.architecture.layout[0]
    assert held[:, one.architecture.layout[1].weight :].all()
    assert held[:, :72].sum(1).tolist() == [36] * 8 and len(np.unique(held[:, :72], axis=0)) == 1
    assert first.bias is not None and not held[:, first.bias : first.bias + 6].any()


def test_siblings_with_different_rates(launch):
    one = launch({"ensemble.rate_factor": 0.5})
    rates = one.training(one.networks).optimizer.lr
    assert rates.tolist() == [0.01, 0.005] * 4


def test_what_does_not_fit_is_refused_by_field(raw):
    for settings, sentence in (
        ({"architecture.connectivity": "local"}, "architecture.receptive_field is missing"),
        (
            {
                "architecture.connectivity": "convolutional",
                "architecture.receptive_field": 4,
                "architecture.density": 0.5,
            },
            "shares weights",
        ),
        ({"training.frozen_layers": [2]}, r"training.frozen_layers must be below 2"),
        (
            {"architecture.pruning": {"density": 0.5, "rewind_step": 100}},
            r"rewind_step \(100\) must be at most training.steps \(60\)",
        ),
        (
            {"architecture.pruning": {"density": 0.5, "retrain": False, "mask": "family"}},
            "mask 'family' goes with retrain = true",
        ),
        (
            {"architecture.pruning": {"density": 0.5, "retrain": False, "rewind_step": 9}},
            "rewind_step goes with retrain = true",
        ),
        (
            {"architecture.tied": [0], "architecture.density": 0.5},
            "architecture.tied shares weights as it says: leave out",
        ),
        (
            {"architecture.tied": [0], "measure.also": ["bend"]},
            "'bend' trains a point whose weights are its own; architecture.tied",
        ),
        ({"architecture.residual": True}, "architecture.residual needs two hidden layers"),
        ({"architecture.lean": 0.1}, "architecture.lean needs data of kind 'teacher_student'"),
    ):
        with pytest.raises(StudyError, match=sentence):
            Study.make(raw(LAYERED | settings, CLASSES))
    for settings, sentence in (
        ({"architecture.receptive_field": 13}, "receptive_field must be at most the 12 inputs"),
        (
            {"architecture.receptive_field": 5, "architecture.stride": 4},
            "stride: windows of 5 every 4 do not end at the last of 12 inputs",
        ),
        (
            {"architecture.receptive_field": 4, "architecture.stride": 2},
            "as many units at each of its 5 windows, not 6",
        ),
    ):
        with pytest.raises(StudyError, match=sentence):
            make_plan(Study.make(raw(LAYERED | settings, CLASSES)))


def test_starts_that_lean_overlap_with_the_teacher_whatever_the_number_of_inputs(study):
    settings = {"data.teacher.hidden": [3], "architecture.hidden": [3], "measure.theory": []}
    overlaps = {}
    for lean in (0.0, 0.4):
        (one,) = make_plan(
            study(settings | {"architecture.lean": lean, "data.inputs": 4000, "ensemble.families": 8})
        ).launches
        target = one.teacher.architecture.layers(one.teacher.params)[0][0][0].float()
        w = first_weights(one, one.initial(one.networks))
        overlaps[lean] = w @ target.T / target.square().sum(1)  # [network, student unit, teacher unit]
    assert overlaps[0.0].abs().max() < 0.15
    chosen = (overlaps[0.4] - overlaps[0.0]).round(decimals=3)
    assert ((chosen - 0.4).abs() < 0.03).sum((1, 2)).eq(3).all()  # a permutation of the teacher's units
    order = chosen.argmax(2)
    assert (
        torch.equal(order[::2], order[1::2]) and len(torch.unique(order, dim=0)) > 2
    )  # siblings share it, families differ
