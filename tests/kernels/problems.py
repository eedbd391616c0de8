"""Small problems over everything that `train` takes, and how far results may lie apart."""

from __future__ import annotations

import dataclasses
import itertools

import torch
from hypothesis import strategies as st

from kernels import ACTIVATIONS, SGD, Adam, AdamW, Architecture, Schedule, Teacher, Training
from kernels.problem import PathProblem, TrainingProblem, path_problem, training_problem


def possible(
    widths: tuple[int, ...], activation: str, biases: bool, negative_slope: float, normalise: bool, residual: bool
) -> Architecture:
    """The architecture, without the blocks that its widths do not allow."""
    hidden = widths[1:-1]
    residual = residual and any(a == b for a, b in itertools.pairwise(hidden))
    return Architecture(widths, activation, biases, negative_slope, normalise and 1 not in hidden, residual)


architectures = st.builds(
    possible,
    widths=st.lists(st.integers(1, 9), min_size=2, max_size=7).map(tuple)
    | st.tuples(st.integers(1, 3), st.integers(2, 5), st.integers(2, 4)).map(lambda w: (w[0], *[w[1]] * w[2], 2)),
    activation=st.sampled_from(ACTIVATIONS),
    biases=st.booleans(),
    negative_slope=st.sampled_from([0.0, 0.01, 0.3]),
    normalise=st.booleans(),
    residual=st.booleans(),
)


def data(architecture, loss, n_samples, seed=0, n_datasets=None):
    generator = torch.Generator().manual_seed(seed)
    front = () if n_datasets is None else (n_datasets,)
    x = torch.randn(*front, n_samples, architecture.n_inputs, dtype=torch.float64, generator=generator)
    if loss == "mse":
        return x, torch.randn(*front, n_samples, architecture.n_outputs, dtype=torch.float64, generator=generator)
    return x, torch.randint(0, architecture.n_outputs, (*front, n_samples), generator=generator)


OPTIMIZERS = {
    "sgd": lambda n: SGD(lr=torch.linspace(0.01, 0.1, n), weight_decay=torch.linspace(0, 0.1, n)),
    "plain": lambda n: SGD(lr=0.05),
    "momentum": lambda n: SGD(lr=0.05, momentum=torch.linspace(0, 0.9, n)),
    "nesterov": lambda n: SGD(lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda n: Adam(lr=0.01, weight_decay=0.1, eps=1e-6),
    "adamw": lambda n: AdamW(lr=torch.linspace(0.005, 0.02, n), weight_decay=0.3, betas=(0.8, 0.95), eps=1e-6),
}


UNUSUAL = {"adam without eps": lambda n: Adam(lr=0.01, eps=0.0)}  # 0/0 where a gradient is exactly 0


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
        (OPTIMIZERS | UNUSUAL)[optimizer](n),
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
        architecture,
        params,
        source,
        training,
        data_seeds=7,
        spawn_steps=network % (steps + 2),
        spawn_seeds=8,
        dataset=network % n_datasets,
        mask=mask,
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
    a = architecture.initial(n, 1, dtype=dtype, scheme="torch")
    b = architecture.initial(n, 2, dtype=dtype, scheme="torch")
    fresh = n_samples if teacher else None
    return path_problem(
        architecture,
        a,
        b,
        torch.linspace(-0.5, 1.5, n_alphas),
        source,
        loss=loss,
        dtype=dtype,
        dataset=torch.arange(n) % n_datasets,
        n_samples=fresh,
        seeds=3,
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
    for name in ("params", "losses", "snapshots"):
        g = getattr(got, name)
        w = getattr(want, name)
        assert g.shape == w.shape and g.dtype == w.dtype, name
        assert relative_error(g, w) < tolerance, (name, relative_error(g, w))
    assert torch.equal(got.diverged_at, want.diverged_at)


def same_bits(one, other):
    """Whether two results (Trained or PathMoments) are equal to the last bit."""
    names = [entry.name for entry in dataclasses.fields(one)]
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


def diverge(problem: PathProblem) -> PathProblem:
    """A network of the first, the second and the fourth path, of four, has become NaN: a weight, a bias, everything."""
    problem.params_a[0, 0] = torch.nan
    problem.params_b[1, -1] = torch.nan
    problem.params_b[3] = torch.nan
    return problem


def check_diverged_paths(moments, classes: bool) -> None:
    """Of the paths that `diverge` made, all moments are NaN on the three, and finite beside them."""
    names = ("mean", "standard_error", "skewness", *(("error",) if classes else ()))
    for name in names:
        assert getattr(moments, name).isnan().all(1).tolist() == [True, True, False, True], name
        assert getattr(moments, name)[2].isfinite().all(), name


def check_paths(got, want, tolerance):
    """Mean to a relative error, standard error to that of the mean, skewness and share of errors."""
    assert relative_error(got.mean, want.mean) < tolerance
    scale = want.standard_error + want.mean.abs()
    assert ((got.standard_error - want.standard_error).abs() <= tolerance * scale).all()
    assert ((got.skewness - want.skewness).abs() <= 100 * tolerance * (1 + want.skewness.abs())).all()
    assert torch.equal(got.error, want.error)
