"""The memory layout equals the reference: networks of any size, and the settings that registers have no room for."""

from __future__ import annotations

import itertools

import pytest
import torch

from kernels import ACTIVATIONS, SGD, Adam, AdamW, Architecture, Training, gpu, reference
from kernels.gpu import launch
from kernels.problem import training_problem
from tests.kernels.problems import (
    OPTIMIZERS,
    check,
    check_diverged_paths,
    check_paths,
    data,
    diverge,
    paths,
    problem,
    same_bits,
)

SIZES = {
    "linear": {"widths": (3, 2)},
    "linear, many inputs": {
        "widths": (50, 2),
        "batch": "replacement",
        "n_samples": 20,
        "batch_size": 17,
        "optimizer": "momentum",
        "masked": True,
    },
    "many inputs": {"widths": (40, 3, 1), "n_datasets": 2, "biases": False},
    "many outputs": {"widths": (3, 4, 35), "loss": "cross_entropy"},
    "wide and deep": {"widths": (3, 130, 2, 2), "batch": "epoch", "loss": "cross_entropy", "optimizer": "adamw"},
    "products of tiles": {"widths": (33, 20, 18, 2), "n_samples": 33},
    "one fresh sample": {"widths": (40, 2, 1), "batch": "online", "batch_size": 1, "steps": 4},
    "fresh samples, classes": {"widths": (34, 5, 3), "batch": "online", "loss": "cross_entropy", "n_datasets": 2},
}
DEEP = (3, 4, 4, 4, 2)
P = Architecture(DEEP).n_parameters
GENERATOR = torch.Generator().manual_seed(0)
TIED = torch.randint(0, 12, (P,), generator=GENERATOR)
SOME = torch.rand(P, generator=GENERATOR) > 0.3
SETTINGS = {
    "normalise": ({"normalise": True}, {}, {}),
    "residual": ({"residual": True}, {}, {}),
    "both": (
        {"residual": True, "normalise": True},
        {"optimizer": SGD(0.1, 0.9, weight_decay=0.1), "batch_size": 5},
        {},
    ),
    "eps = 0": ({}, {"optimizer": AdamW(0.01, eps=0.0)}, {}),
    "smooth labels, held": ({}, {"loss": "cross_entropy", "label_smoothing": 0.2}, {"trainable": SOME}),
    "clipped": ({}, {"clip_norm": 0.1, "optimizer": Adam(0.01, weight_decay=0.1)}, {}),
    "tied": ({}, {}, {"tied": TIED}),
    "tied, masked, held and clipped": ({}, {"clip_norm": 0.1}, {"tied": TIED, "mask": TIED > 1, "trainable": TIED > 3}),
    "rates of layers": ({}, {"layer_rates": (0.5, 0.0, 2.0, 1.0), "optimizer": SGD(0.1, 0.9)}, {}),
    "rates of layers, decoupled decay": (
        {},
        {"layer_rates": (0.5, 0.0, 2.0, 1.0), "optimizer": AdamW(0.01, weight_decay=0.5)},
        {"trainable": SOME},
    ),
    "stopped": ({}, {"stop_below": 0.7, "steps": 5, "optimizer": SGD(0.5), "snapshots": (0, 3, 5)}, {}),
}


def special(name: str, dtype: torch.dtype = torch.float64, n: int = 2):
    network, settings, options = SETTINGS[name]
    architecture = Architecture(DEEP, "tanh", **network)
    training = Training(**{"steps": 4, **settings})
    params = architecture.initial(n, 1, dtype=dtype, scheme="torch")
    source = data(architecture, training.loss, 20, 0, 1)
    return training_problem(architecture, params, source, training, data_seeds=7, **options)


LONG = ("wide and deep", "one fresh sample")


@pytest.mark.parametrize("size", [pytest.param(size, marks=[pytest.mark.slow] * (size in LONG)) for size in SIZES])
def test_networks_of_any_size(size):
    p = problem(**{"n": 3} | SIZES[size])
    assert launch.plan(p).layout.name == "memory"
    check(gpu.train(p), reference.train(p), 1e-10)


MANY_IN_ONE = ("both", "tied, masked, held and clipped")
ALONE = [pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS if name not in MANY_IN_ONE]


@pytest.mark.parametrize("name", [*MANY_IN_ONE, *ALONE])
def test_settings(name):
    p = special(name, n=4 if name == "stopped" else 2)  # not all stop at once
    assert launch.plan(p).layout.name == "memory"
    got, want = gpu.train(p), reference.train(p)
    check(got, want, 1e-10)
    assert torch.equal(got.stopped_at, want.stopped_at)
    assert name != "stopped" or (want.stopped_at > 0).any()
    if p.tied is not None:
        assert torch.equal(got.params, got.params[:, p.tied])


ONE_BY_ONE = [(optimizer, "tanh") for optimizer in OPTIMIZERS] + [("plain", activation) for activation in ACTIVATIONS]
TOGETHER = [pair for pair in itertools.product(OPTIMIZERS, ACTIVATIONS) if pair not in ONE_BY_ONE]


@pytest.mark.parametrize(
    ("optimizer", "activation"), ONE_BY_ONE + [pytest.param(*pair, marks=pytest.mark.slow) for pair in TOGETHER]
)
def test_optimizers_and_activations(optimizer, activation):
    p = problem((34, 2, 3, 2), activation, optimizer, n=2, masked=True, snapshots=(0, 2))
    check(gpu.train(p), reference.train(p), 1e-10)


@pytest.mark.parametrize(
    "batch", ["full", "epoch", *(pytest.param(batch, marks=pytest.mark.slow) for batch in ("replacement", "online"))]
)
@pytest.mark.parametrize("loss", [pytest.param("mse", marks=pytest.mark.slow), "cross_entropy"])
def test_batches_in_single_precision(batch, loss):
    p = problem((36, 17, 33), "erf", "adam", loss, batch, torch.float32, n=2, n_samples=19, batch_size=18, n_datasets=2)
    check(gpu.train(p), reference.train(p), 1e-4)


@pytest.mark.slow
def test_the_bits_do_not_depend_on_how_the_run_is_cut(monkeypatch):
    for p in (
        special("tied", n=2),
        special("stopped", n=3),
        problem((40, 3, 1), optimizer="adam", batch="epoch", n=3, batch_size=3, record_every=2),
    ):
        whole = gpu.train(p)
        with monkeypatch.context() as patched:
            patched.setattr(launch, "SAFE_RATE", 1.0)
            patched.setattr(launch, "SCRATCH", 1)
            assert same_bits(whole, gpu.train(p))


def test_divergence_stays_with_its_network():
    p = problem((130, 4, 1), "square", steps=5, n=3, dtype=torch.float32)
    p.lr[1] = 1e25
    got, want = gpu.train(p), reference.train(p)
    assert want.diverged_at[1] >= 0 and (want.diverged_at[[0, 2]] == -1).all()
    assert torch.equal(got.diverged_at, want.diverged_at)


@pytest.mark.parametrize(
    ("widths", "loss"),
    [((3, 2), "mse"), ((40, 3, 1), "mse"), ((40, 3, 35), "cross_entropy"), ((33, 20, 18, 2), "cross_entropy")],
)
@pytest.mark.parametrize("online", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_paths(widths, loss, online, monkeypatch):
    teacher = Architecture((widths[0], 3, widths[-1]), "tanh") if online else None
    p = paths(widths, "relu", loss, n=2, n_alphas=2, n_datasets=2, n_samples=19, teacher=teacher)
    got = gpu.path_losses(p)
    check_paths(got, reference.path_losses(p), 1e-10)
    monkeypatch.setattr(launch, "SCRATCH", 1)
    assert same_bits(got, gpu.path_losses(p))


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_diverged_network_is_not_perfect(loss):
    p = diverge(paths((40, 3, 2), loss=loss, n=4, n_samples=19))
    if loss == "cross_entropy":
        p.samples.y.zero_()
    check_diverged_paths(gpu.path_losses(p), classes=loss == "cross_entropy")


@pytest.mark.parametrize("network", [{"normalise": True}, {"residual": True}, {"normalise": True, "residual": True}])
def test_paths_of_special_networks(network):
    from kernels.problem import path_problem

    architecture = Architecture(DEEP, "relu", **network)
    a, b = (architecture.initial(3, seed, dtype=torch.float64) for seed in (1, 2))
    source = data(architecture, "mse", 9, 0, 1)
    p = path_problem(architecture, a, b, torch.linspace(0, 1, 3), source)
    check_paths(gpu.path_losses(p), reference.path_losses(p), 1e-10)


@pytest.mark.slow
def test_a_large_teacher_and_a_linear_one():
    p = problem((3, 4, 2), batch="online", teacher=Architecture((3, 64, 64, 2), "tanh"))
    assert "teacher of more than" in launch.plan(p).layout.reason
    check(gpu.train(p), reference.train(p), 1e-10)
    p = problem((40, 4, 2), batch="online", teacher=Architecture((40, 2), "tanh", biases=False))
    check(gpu.train(p), reference.train(p), 1e-10)
