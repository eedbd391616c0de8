"""The tasks are what their docstrings say, their dials turn, and their samples are a function of the seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import make_moons
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from testbed import StudyError
from testbed.data import structured, tasks
from testbed.data.digits import DigitsData
from testbed.ensemble import training
from testbed.ensemble.measuring import Trained, measure
from testbed.ensemble.plan import plan as make_plan
from testbed.study import Study

EXAMPLES = [
    tasks.GaussianMixtureData(kind="gaussian_mixture", inputs=4, classes=3, n_train=60),
    tasks.SpiralsData(kind="spirals", n_train=60),
    tasks.CirclesData(kind="circles", classes=3, n_train=60),
    tasks.MoonsData(kind="moons", n_train=60),
    tasks.XorData(kind="xor", inputs=5, n_train=60),
    tasks.ParityData(kind="parity", inputs=6, relevant=3, n_train=60),
    structured.HierarchicalData(kind="hierarchical", inputs=8, levels=3, label_level=2, n_train=64),
    structured.HiddenManifoldData(kind="hidden_manifold", inputs=12, n_train=60),
    structured.DynamicSignalData(kind="dynamic_signal", patches=4, patch_inputs=5, n_train=60),
    tasks.RebasinCounterexampleData(kind="rebasin_counterexample", n_train=60),
    DigitsData(kind="digits", n_train=60),
]
BY_KIND = {task.kind: task for task in EXAMPLES}


@pytest.mark.parametrize("task", EXAMPLES, ids=lambda task: task.kind)
def test_samples_are_a_function_of_the_seed(task):
    x, y = task.train()
    again = task.model_copy().train()
    other = task.model_copy(update={"seed": 1}).train()
    assert x.shape[0] == y.shape[0] == 60 + 4 * (task.kind == "hierarchical") and x.ndim == 2 and y.dtype.kind == "i"
    assert np.array_equal(x, again[0]) and np.array_equal(y, again[1]) and not np.array_equal(x, other[0])
    assert set(np.unique(y)) <= set(range(task.n_classes)) and len(np.unique(y)) > 1
    assert (task.n_inputs, task.n_outputs) == (x.shape[1], task.n_classes)  # which bounds rely on, before it is drawn
    test = task.test(90)
    assert not np.isin(test[0][:, 0], x[:, 0]).all() or task.kind in ("parity", "digits")
    assert test[0].shape == (90, x.shape[1])


@pytest.mark.parametrize(
    "task", [task for task in EXAMPLES if task.kind not in ("parity",)], ids=lambda task: task.kind
)
def test_the_label_can_be_learnt_from_the_inputs(task):
    """A nearest-neighbour rule from 1,500 samples beats chance by far."""
    task = task.model_copy(update={"n_train": 1500})
    x, y = task.train()
    x_test, y_test = task.test(400)
    right = KNeighborsClassifier(5).fit(x, y).score(x_test, y_test)
    chance = np.bincount(y_test).max() / len(y_test)
    assert right > chance + 0.15


def test_parity_counts_minus_signs_among_the_relevant_inputs_alone():
    x, y = BY_KIND["parity"].train()
    assert set(np.unique(x)) == {-1.0, 1.0}
    assert np.array_equal(y, (x[:, :3] < 0).sum(1) % 2)


def test_the_counterexample_is_one_quadrant():
    x, y = BY_KIND["rebasin_counterexample"].test(4000)
    assert (
        np.array_equal(y, ((x[:, 0] < 0) & (x[:, 1] > 0)).astype(int))
        and abs(y.mean() - 0.25) < 0.03
        and abs(x).max() <= 1
    )


def test_the_signal_lies_in_one_patch_with_the_sign_of_the_class():
    task = structured.DynamicSignalData(kind="dynamic_signal", patches=4, patch_inputs=5, n_train=400, noise=0.0)
    x, y = task.train()
    patches = x.reshape(400, 4, 5)
    norms = np.linalg.norm(patches, axis=2)
    where = norms.argmax(1)
    assert np.allclose(norms.sum(1), 1) and stats.chisquare(np.bincount(where, minlength=4)).pvalue > 1e-4
    signal = patches[np.arange(400), where] * (2 * y - 1)[:, None]
    assert np.allclose(signal, signal[0])


def test_the_dial_of_the_tree_turns_difficulty():
    """A linear rule tells classes apart at the top of the tree and not at its leaves."""
    right = []
    for level in (1, 3):
        task = structured.HierarchicalData(kind="hierarchical", inputs=8, levels=3, label_level=level, n_train=2000)
        (x, y), (x_test, y_test) = task.train(), task.test(1000)
        weights = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), 2.0 * y - 1, rcond=None)[0]
        right.append(np.mean((np.column_stack([x_test, np.ones(1000)]) @ weights > 0) == y_test))
    assert right[0] > 0.97 and right[1] < right[0] - 0.1


@given(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.integers(0, 50))
def test_label_noise_draws_its_share_of_training_labels_anew(share, seed):
    task = tasks.GaussianMixtureData(
        kind="gaussian_mixture", inputs=2, classes=4, n_train=400, label_noise=share, seed=seed
    )
    clean = task.model_copy(update={"label_noise": 0.0})
    (x, y), (x_clean, y_clean) = task.train(), clean.train()
    assert np.array_equal(x, x_clean) and np.array_equal(task.test(50)[1], clean.test(50)[1])
    changed = (y != y_clean).sum()  # a quarter of those drawn anew come out as they were
    n = round(share * 400)
    assert stats.binomtest(changed, n, 0.75).pvalue > 1e-6 if n else changed == 0


@pytest.mark.parametrize("task", [task for task in EXAMPLES if task.kind != "digits"], ids=lambda task: task.kind)
@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_many_sets_at_once_are_each_alone(task, shared):
    task = task.model_copy(update={"shared": shared, "label_noise": 0.3})
    seeds = np.array([[11, 12, 13], [14, 15, 2**62]])
    x, y = task.train(seeds)
    assert x.shape[:2] == y.shape[:2] == (2, 3) and y.dtype.kind == "i"
    for at in np.ndindex(2, 3):
        alone = task.train(seeds[at])
        assert np.array_equal(x[at], alone[0]) and np.array_equal(y[at], alone[1])


@given(st.sampled_from([0.0, 0.25, 1.0]))
def test_networks_share_what_they_should_and_draw_the_rest_themselves(share):
    task = tasks.SpiralsData(kind="spirals", n_train=40, shared=share)
    (a, _), (b, _) = task.train(11), task.train(12)
    common = np.isin(a, b).all(1).sum()
    assert common == round(share * 40) and len(a) == len(b) == 40


def test_a_covariate_shift_moves_the_inputs_and_not_the_rule():
    """The density ratio is the logistic function of the standardised first input; labels given inputs are the same."""
    task = tasks.RebasinCounterexampleData(kind="rebasin_counterexample", n_train=4000, shift=1.5)
    for side in (1, -1):
        x, y = task.train(side=side)
        assert np.array_equal(y, ((x[:, 0] < 0) & (x[:, 1] > 0)).astype(int))
        grid = np.linspace(-1, 1, 2001)
        density = 1 / (1 + np.exp(-side * 1.5 * grid * 3**0.5))  # U(−1, 1) has standard deviation 1/√3
        cdf = np.cumsum(density) / density.sum()
        assert stats.kstest(x[:, 0], lambda v, cdf=cdf, grid=grid: np.interp(v, grid, cdf)).statistic < 0.04
        assert stats.kstest(x[:, 1], stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("settings", [{"data.shared": 0.5}, {"data.shared": 0.0}, {"data.shift": 2.0}, {}])
def test_a_plan_gives_each_network_its_samples(classes, settings):
    plan = make_plan(classes(settings | {"vary": {"ensemble.spawn_step": [0, 5]}}))
    (launch,) = plan.launches
    n_sets = {"data.shared": 16, "data.shift": 2}.get(next(iter(settings), ""), 1)
    assert len(launch.train_sets[0]) == n_sets == launch.networks["train_set"].n_unique()
    for a, b, set_a, set_b in launch.pairs.select("network_a", "network_b", "train_set_a", "train_set_b").rows():
        assert (launch.networks["train_set"][a], launch.networks["train_set"][b]) == (set_a, set_b)
        assert set_a != set_b or not settings
    x, y = launch.train_sets
    assert x.shape == (n_sets, 30, 2) and y.shape == (n_sets, 30)


def test_students_have_samples_of_their_own_too(study):
    """Some in common, the rest their own, the teacher's labels on all; curves are measured on both ends' samples."""
    (launch,) = make_plan(study({"data.shared": 0.25, "data.noise": 0.0, "measure.theory": ["population"]})).launches
    x, y = launch.train_sets
    assert x.shape == (8, 24, 3) and y.shape == (8, 24, 1)
    assert torch.equal(x[0, :6], x[5, :6]) and not torch.isin(x[0, 6:], x[5, 6:]).any()
    target = launch.teacher.architecture.to_torch(launch.teacher.params[0])(x).detach()
    torch.testing.assert_close(y, target, rtol=1e-6, atol=1e-6)
    trained = training.train(launch, launch.networks, "auto")
    found = measure(launch, Trained.joined(launch, [trained]), launch.pairs, "auto")
    a, b = (launch.pairs[f"network_{side}"][0] for side in "ab")
    for k, end in ((0, a), (4, b)):
        outputs = launch.architecture.to_torch(trained["params"][end].double())(torch.cat([x[a], x[b]])).detach()
        want = 0.5 * (outputs - torch.cat([y[a], y[b]])).square().mean()
        assert found["train_loss"][0, k].item() == pytest.approx(want.item(), rel=1e-9)


def test_exact_training_losses_under_a_covariate_shift(study):
    """Both sides' samples count, by the kernels and by the exact path."""
    (launch,) = make_plan(study({"data.shift": 2.0, "measure.theory": ["exact_training"]})).launches
    assert len(launch.train_sets[0]) == 2
    trained = training.train(launch, launch.networks, "auto")
    found = measure(launch, Trained.joined(launch, [trained]), launch.pairs, "auto")
    torch.testing.assert_close(found["exact_training_loss"], found["train_loss"], rtol=1e-9, atol=1e-12)
    sides = launch.networks["side"].to_numpy()
    first = launch.train_sets[0][launch.networks["train_set"].to_numpy(writable=True)][:, :, 0].mean(1)
    assert (first[sides > 0] > first[sides < 0].max()).all()


def test_what_does_not_go_together_is_refused(raw):
    from tests.testbed.conftest import CLASSES

    for settings, sentence in (
        ({"data.shared": 0.5, "data.shift": 1.0}, "data.shift goes with shared = 1"),
        ({"data": {"kind": "digits", "shared": 0.5}}, "shared and shift are not for digits"),
        (
            {"data": {"kind": "parity", "inputs": 3, "relevant": 4, "n_train": 9}},
            r"data.relevant must be at most data.inputs \(3\), not 4",
        ),
        (
            {"data": {"kind": "hierarchical", "inputs": 3, "label_level": 4, "n_train": 9}},
            "data.label_level must be at most data.levels",
        ),
        ({"data.label_noise": 1.5}, "data.label_noise must be at most 1"),
    ):
        with pytest.raises(StudyError, match=sentence):
            Study.make(raw(settings, CLASSES))
    for settings, sentence in (
        ({"data.shared": 0.5}, r"'exact_training' needs one training set for all pairs, data.shared = 1"),
        (
            {"data.shared": 0.5, "training.online": True, "data.n_train": None, "data.noise": 0.0},
            "leave out data.n_train, noise, shared and shift",
        ),
    ):
        with pytest.raises(StudyError, match=sentence):
            Study.make(raw(settings))


def test_moons_lie_where_those_of_scikit_learn_do():
    x, y = tasks.MoonsData(kind="moons", n_train=400, noise=0.0).train()
    curves, labels = make_moons(20_000, noise=0.0)
    for label in (0, 1):
        nearest = NearestNeighbors(n_neighbors=1).fit(curves[labels == label])
        assert nearest.kneighbors(x[y == label])[0].max() < 1e-3
        back = NearestNeighbors(n_neighbors=1).fit(x[y == label])
        assert back.kneighbors(curves[labels == label])[0].max() < 0.2
