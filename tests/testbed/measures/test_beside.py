"""Measures beside the barrier, against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

import kernels
import theory
from kernels import Architecture
from testbed.measures import beside

DOUBLE = torch.float64


def setting(loss, widths=(3, 6, 2), n=3, samples=20, activation="tanh"):
    architecture = Architecture(widths, activation)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, samples, widths[0], dtype=DOUBLE, generator=generator)
    y = (
        torch.randn(n, samples, widths[-1], dtype=DOUBLE, generator=generator)
        if loss == "mse"
        else torch.randint(0, widths[-1], (n, samples), generator=generator)
    )
    return architecture, architecture.initial(n, 2, dtype=DOUBLE), architecture.initial(n, 3, dtype=DOUBLE), x, y


def full_hessian(architecture, params, x, y, loss):
    def value(theta):
        outputs = kernels.reference.forward(architecture, theta[None], x[None])[0]
        return kernels.reference.sample_losses(loss, outputs, y[None])[0].mean()

    return torch.autograd.functional.hessian(value, params)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_sharpness_is_that_of_the_whole_hessian(loss):
    architecture, a, _, x, y = setting(loss)
    top, trace, error = beside.sharpness(architecture, a, x, y, loss)
    for k in range(3):
        hessian = full_hessian(architecture, a[k], x[k], y[k], loss)
        assert top[k] == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item(), rel=1e-8)
        assert trace[k] == pytest.approx(hessian.trace().item(), rel=1e-10) and error[k] == 0


def test_the_trace_of_large_networks_is_estimated_with_its_error():
    architecture, a, _, x, y = setting("mse", (6, 40, 2), n=4)
    _, trace, error = beside.sharpness(architecture, a, x, y, "mse")
    exact = torch.stack([full_hessian(architecture, a[k], x[k], y[k], "mse").trace() for k in range(4)])
    assert (error > 0).all() and ((trace - exact).abs() < 4.5 * error).all() and (error < 0.2 * exact).all()


def test_sharpness_where_lanczos_ends_early():
    """A linear model with 2 inputs and 1 output: the Hessian is that of the data, twice degenerate for orthonormal inputs."""
    architecture = Architecture((2, 1), "identity", biases=False)
    x, y = torch.eye(2, dtype=DOUBLE)[None] * 3, torch.zeros(1, 2, 1, dtype=DOUBLE)
    top, trace, _ = beside.sharpness(architecture, torch.ones(1, 2, dtype=DOUBLE), x, y, "mse")
    assert top.item() == pytest.approx(4.5) and trace.item() == pytest.approx(9.0)


def test_disagreement():
    architecture, a, b, x, _ = setting("cross_entropy")
    share = beside.disagreement(architecture, a, b, x, "cross_entropy")
    rms = beside.disagreement(architecture, a, b, x, "mse")
    for k in range(3):
        one, other = (architecture.to_torch(side[k])(x[k]).detach() for side in (a, b))
        assert share[k] == (one.argmax(1) != other.argmax(1)).double().mean()
        assert rms[k] == pytest.approx((one - other).square().sum(1).mean().sqrt().item())
    assert (beside.disagreement(architecture, a, a, x, "cross_entropy") == 0).all()


def test_perturbation_is_as_long_as_half_the_path():
    """L = ½ mean ‖θ x‖² of a linear model on inputs of covariance 1: a step of length r in any direction adds ½ r² + its overlap with θ."""
    architecture = Architecture((2, 1), "identity", biases=False)
    x, y = torch.eye(2, dtype=DOUBLE)[None] * 2**0.5, torch.zeros(1, 2, 1, dtype=DOUBLE)
    a, b = torch.zeros(1, 2, dtype=DOUBLE), torch.zeros(1, 2, dtype=DOUBLE)
    b[0, 0] = 3.0
    seeds = np.array([5])
    rise = beside.perturbation(architecture, a, a, x, y, "mse", seeds)
    assert rise.item() == 0
    directions = [torch.from_numpy(kernels.streams.normals(kernels.streams.INITIAL, seeds, k, 2)) for k in range(2)]
    steps = [1.5 * d / d.norm() for d in directions]
    expected = 0.5 * (0.5 * 1.5**2 + 0.5 * (b + steps[1]).square().sum() - 0.5 * 9.0)
    assert beside.perturbation(architecture, a, b, x, y, "mse", seeds).item() == pytest.approx(expected.item())


def test_calibration_finds_the_best_temperature():
    architecture, a, b, x, y = setting("cross_entropy", (3, 6, 4))
    alphas = torch.tensor([0.0, 0.3, 1.0], dtype=DOUBLE)
    found = beside.calibrated_losses(architecture, a, b, alphas, x, y)
    for k in range(3):
        for j, alpha in enumerate(alphas):
            outputs = architecture.to_torch((1 - alpha) * a[k] + alpha * b[k])(x[k]).detach()
            loss = lambda t, outputs=outputs, k=k: torch.nn.functional.cross_entropy(np.exp(t) * outputs, y[k]).item()  # noqa: E731
            best = min(
                minimize_scalar(loss, bounds=(-12, 8), method="bounded", options={"xatol": 1e-10}).fun, np.log(4)
            )
            assert found[k, j] == pytest.approx(best, abs=1e-7)


def test_features_of_linear_networks_in_one_layer_interpolate():
    architecture = Architecture((3, 4, 2), "identity")
    a, b = architecture.initial(2, 1, dtype=DOUBLE), architecture.initial(2, 2, dtype=DOUBLE)
    x = torch.randn(30, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    assert beside.feature_residual(architecture, a, b, x).max() < 1e-25
    bent = Architecture((3, 4, 2), "relu")
    assert beside.feature_residual(bent, a, b, x).min() > 1e-4
    with pytest.raises(ValueError, match="without normalise"):
        beside.feature_residual(Architecture((3, 4, 2), normalise=True), a, b, x)


def test_lemma_7_agrees_with_the_exact_decision():
    rng = np.random.default_rng(0)
    minima = np.zeros((40, 5, 3))
    for network in minima:
        types = np.concatenate([[0, 1], rng.integers(-1, 2, 3)])
        rng.shuffle(types)
        for j in range(2):
            rows = np.flatnonzero(types == j)
            network[rows, j] = rng.dirichlet(np.full(len(rows), 5.0)) if len(rows) > 1 else 1.0
    minima = minima[(np.where(minima.sum(2) > 0, minima.sum(2), 1) > 0.15).all(1)]  # none so small that it counts as 0
    a, b = minima[: len(minima) // 2], minima[len(minima) // 2 : len(minima) // 2 * 2]
    exact = theory.linearly_connected(a, b, 2)
    noise = 0.03 * rng.standard_normal((2, *a.shape))
    found = beside.lemma_7(torch.from_numpy(a + noise[0]), torch.from_numpy(b + noise[1]), 2, 0.15)
    good = ~found.isnan()
    assert good.sum() > 5 and np.array_equal(found[good].bool().numpy(), exact[good.numpy()])
    assert 0 < exact.mean() < 1
    assert beside.lemma_7(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), 1).isnan().all()


def test_a_study_measures_them_all(raw, tmp_path):
    """Every column that is asked for is there, in the pairs' order, whatever the memory allows at a time."""
    from testbed import Study
    from testbed.results.results import Results
    from testbed.run import run_study
    from tests.testbed.conftest import CLASSES

    names = ["disagreement", "sharpness", "perturbation", "temperature", "features"]
    settings = {
        "measure.also": names,
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


def test_the_memory_does_not_matter(monkeypatch):
    architecture, a, b, x, y = setting("cross_entropy", n=5)
    names = ("disagreement", "perturbation", "temperature", "features")
    arguments = (
        names,
        architecture,
        a,
        b,
        torch.linspace(0, 1, 5, dtype=DOUBLE),
        (x, y),
        torch.tensor([0, 1, 2, 1, 0]),
        "cross_entropy",
    )
    whole = beside.of_pairs(*arguments, np.arange(5), 0)
    monkeypatch.setattr(beside, "ENTRIES", 1)
    one_by_one = beside.of_pairs(*arguments, np.arange(5), 0)
    assert set(whole) == set(one_by_one) and all(
        torch.allclose(whole[name], one_by_one[name], rtol=1e-9) for name in whole
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"measure.also": ["temperature"]}, "'temperature' needs training.loss 'cross_entropy'"),
        ({"measure.also": ["lemma_7"]}, "'lemma_7' needs an orthonormal relu teacher"),
        ({"measure.also": ["sharpnes"]}, "Did you mean 'sharpness'"),
    ],
)
def test_what_cannot_be_measured_is_refused(study, settings, sentence):
    from testbed import StudyError

    with pytest.raises(StudyError, match=sentence):
        study(settings)
