"""Barriers half-way for a random order of units: against all orders, one by one, of each pair's own samples."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

import kernels
from testbed import PairSet, Study, StudyError, alignment
from testbed.measures.random_order import MEASURE, expected
from testbed.pair_set import TrainSamples
from testbed.results import Results
from testbed.run import run_study
from tests.testbed.conftest import CLASSES
from tests.testbed.measures.problems import setting


def over_all_orders(pairs, quantity):
    """The midpoint's barrier, its mean over all orders of B's units."""
    units = pairs.architecture.widths[1]
    found = []
    for order in itertools.permutations(range(units)):
        orders = torch.tensor([order]).expand(len(pairs), -1)
        b = alignment.permute(pairs.architecture, pairs.b, (orders,))
        train = pairs.training_samples
        moments = kernels.path_losses(
            pairs.architecture,
            pairs.a,
            b,
            torch.tensor([0.0, 0.5, 1.0]),
            train.sets,
            pairs.loss,
            dataset=train.set_a,
            backend="reference",
        )
        start, middle, end = (moments.loss if quantity == "train_loss" else moments.error).unbind(1)
        found.append(middle - (start + end) / 2)
    return torch.stack(found).mean(0)


def pairs_of(loss, units, n=3, samples=20, activation="tanh"):
    """Pairs that learnt a set of their own each."""
    architecture, a, b, x, y = setting(loss, (3, units, 2), n=n, samples=samples, activation=activation)
    pairs = PairSet.of(architecture, a, b, (x[0], y[0]), loss)
    own = torch.arange(n).flip(0)
    return dataclasses.replace(pairs, train=TrainSamples(x, y, own, own))


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
def test_squared_losses_are_exact(activation):
    pairs = pairs_of("mse", 4, activation=activation)
    found = expected(pairs)
    assert found["random_order_train_loss_barrier_midpoint"].tolist() == pytest.approx(
        over_all_orders(pairs, "train_loss").tolist(), rel=1e-9
    )
    assert found["random_order_train_error_barrier_midpoint"].isnan().all()
    shared = found["shared_by_orders_train_loss_barrier_midpoint"]
    assert (shared < found["random_order_train_loss_barrier_midpoint"]).all()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_it_is_the_mean_of_networks_that_were_trained_apart(activation):
    """Their units stand in no order, so that squared losses half-way are as predicted, but for chance."""
    n = 300
    architecture = kernels.Architecture((2, 6, 1), activation)
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    y = (3 * x[:, :1]).sin() + x[:, 1:]
    start = architecture.initial(2 * n, 1)
    training = kernels.Training(300, kernels.SGD(0.1), batch_size=8)
    params = kernels.train(architecture, start, (x, y), training, data_seeds=torch.arange(2 * n)).params
    pairs = PairSet.of(architecture, params[:n], params[n:], (x, y), alphas=3)
    loss = kernels.path_losses(architecture, pairs.a, pairs.b, pairs.between, (x, y)).loss
    measured = loss[:, 1] - loss[:, [0, 2]].mean(1)
    difference = measured - expected(pairs)["random_order_train_loss_barrier_midpoint"]
    error = difference.std() / n**0.5
    assert abs(difference.mean()) < 4 * error
    assert error < 0.1 * measured.mean()  # so that the line above could fail


def test_classes_are_nearly_right():
    """Six units are few for a normal law: errors to a twentieth of the samples, their mean to a fiftieth."""
    pairs = pairs_of("cross_entropy", 6, n=4, samples=200, activation="relu")
    found = expected(pairs)
    loss, error = (over_all_orders(pairs, quantity) for quantity in ("train_loss", "train_error"))
    assert found["random_order_train_loss_barrier_midpoint"].tolist() == pytest.approx(loss.tolist(), abs=0.02)
    difference = found["random_order_train_error_barrier_midpoint"] - error
    assert difference.abs().max() < 0.05 and abs(float(difference.mean())) < 0.02
    assert ((found["random_order_noise"] > 0) & (found["random_order_noise"] < 1)).all()


def test_a_study_has_its_columns(raw, tmp_path):
    settings = {"measure.also": ["random_order"], "architecture.hidden": [4], "training.steps": 20}
    results = Results.load(run_study(Study.make(raw(settings, CLASSES)), tmp_path / "run").parent)
    for column in MEASURE.columns:
        assert results.measured[column.name].null_count() == 0, column


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"architecture.hidden": [4, 4]}, r"needs one hidden layer, not architecture\.hidden = \[4, 4\]"),
        ({"architecture.hidden": [1]}, "needs at least two hidden units"),
        ({"architecture.normalise": True}, r"needs networks without architecture\.normalise"),
    ],
)
def test_what_has_no_such_orders_is_refused(study, settings, sentence):
    with pytest.raises(StudyError, match=sentence):
        study({"measure.also": ["random_order"]} | settings)
