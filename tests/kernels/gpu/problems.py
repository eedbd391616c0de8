"""Small problems over everything that `train` takes, and how far results may lie apart."""

from __future__ import annotations

import torch

from kernels import SGD, Adam, AdamW, Architecture, Schedule, Teacher, Training
from kernels.problem import PathProblem, TrainingProblem, path_problem, training_problem
from tests.kernels.test_reference import data

OPTIMIZERS = {
    "sgd": lambda n: SGD(lr=torch.linspace(0.01, 0.1, n), weight_decay=torch.linspace(0, 0.1, n)),
    "plain": lambda n: SGD(lr=0.05),
    "momentum": lambda n: SGD(lr=0.05, momentum=torch.linspace(0, 0.9, n)),
    "nesterov": lambda n: SGD(lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda n: Adam(lr=0.01, weight_decay=0.1, eps=1e-6),
    "adamw": lambda n: AdamW(lr=torch.linspace(0.005, 0.02, n), weight_decay=0.3, betas=(0.8, 0.95), eps=1e-6),
}


def problem(
    widths=(2, 3, 1),
    activation="relu",
    optimizer="plain",
    loss="mse",
    batch="full",
    dtype=torch.float64,
    *,
    n=5,
    n_samples=7,
    n_datasets=1,
    steps=3,
    batch_size=5,
    biases=True,
    masked=False,
    teacher=None,
    record_every=1,
    snapshots=(),
    schedule=None,
) -> TrainingProblem:
    architecture = Architecture(widths, activation, biases, negative_slope=0.1)
    source = samples(architecture, loss, batch, n_samples, n_datasets, teacher)
    training = Training(
        steps,
        OPTIMIZERS[optimizer](n),
        loss,
        batch_size=None if batch == "full" else batch_size,
        sampling="replacement" if batch == "replacement" else "epoch",
        schedule=schedule or Schedule(),
        record_every=record_every,
        snapshots=snapshots,
    )
    params = architecture.initial(n, 1, dtype=dtype, scheme="torch")
    mask = (
        torch.rand(n, architecture.n_parameters, generator=torch.Generator().manual_seed(2)) > 0.3 if masked else None
    )
    network = torch.arange(n)
    return training_problem(
        architecture, params, source, training, 7, network % (steps + 2), 8, network % n_datasets, mask
    )


def paths(
    widths=(2, 3, 1),
    activation="relu",
    loss="mse",
    dtype=torch.float64,
    *,
    n=5,
    n_samples=7,
    n_datasets=1,
    n_alphas=3,
    teacher=None,
) -> PathProblem:
    architecture = Architecture(widths, activation, negative_slope=0.1)
    source = samples(architecture, loss, "online" if teacher else "full", n_samples, n_datasets, teacher)
    a, b = (
        architecture.initial(n, 1, dtype=dtype, scheme="torch"),
        architecture.initial(n, 2, dtype=dtype, scheme="torch"),
    )
    fresh = n_samples if teacher else None
    return path_problem(
        architecture,
        a,
        b,
        torch.linspace(-0.5, 1.5, n_alphas),
        source,
        loss,
        dtype,
        torch.arange(n) % n_datasets,
        fresh,
        3,
    )


def samples(architecture, loss, batch, n_samples, n_datasets, teacher):
    if batch != "online":
        return data(architecture, loss, n_samples, 0, n_datasets)
    teacher = teacher or Architecture((architecture.n_inputs, 4, architecture.n_outputs), "tanh")
    return Teacher(teacher, teacher.initial(n_datasets, 3))


def relative_error(got, want):
    return ((got.double() - want.double()).norm() / want.double().norm().clamp(min=1e-30)).item()


def check(got, want, tolerance):
    """Parameters, recorded losses and snapshots to a relative error; the first bad step exactly."""
    for name, g, w in zip(("params", "losses", "snapshots"), got, want, strict=False):
        assert g.shape == w.shape and g.dtype == w.dtype, name
        assert relative_error(g, w) < tolerance, (name, relative_error(g, w))
    assert torch.equal(got[3], want[3])


def check_paths(got, want, tolerance):
    """Mean to a relative error, standard error to that of the mean, skewness and share of errors."""
    assert relative_error(got[0], want[0]) < tolerance
    assert ((got[1] - want[1]).abs() <= tolerance * (want[1] + want[0].abs())).all()
    assert ((got[2] - want[2]).abs() <= 100 * tolerance * (1 + want[2].abs())).all()
    assert torch.equal(got[3], want[3])
