"""Sharpness against the whole Hessian."""

from __future__ import annotations

import pytest
import torch

import kernels
from kernels import Architecture
from testbed.measures.hessian import sharpness
from tests.testbed.measures.problems import DOUBLE, setting


def full_hessian(architecture, params, x, y, loss):
    def value(theta):
        outputs = kernels.reference.forward(architecture, theta[None], x[None])[0]
        return kernels.reference.sample_losses(loss, outputs, y[None])[0].mean()

    return torch.autograd.functional.hessian(value, params)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_sharpness_is_that_of_the_whole_hessian(loss):
    architecture, a, _, x, y = setting(loss)
    top, trace, error = sharpness(architecture, a, (x, y), loss)
    for k in range(3):
        hessian = full_hessian(architecture, a[k], x[k], y[k], loss)
        assert top[k] == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item(), rel=1e-8)
        assert trace[k] == pytest.approx(hessian.trace().item(), rel=1e-10) and error[k] == 0


def test_the_trace_of_large_networks_is_estimated_with_its_error():
    architecture, a, _, x, y = setting("mse", (6, 40, 2), n=4)
    _, trace, error = sharpness(architecture, a, (x, y), "mse")
    exact = torch.stack([full_hessian(architecture, a[k], x[k], y[k], "mse").trace() for k in range(4)])
    assert (error > 0).all() and ((trace - exact).abs() < 4.5 * error).all() and (error < 0.2 * exact).all()


def test_sharpness_where_lanczos_ends_early():
    """A linear model with 2 inputs and 1 output: its Hessian is that of the data, twice degenerate here."""
    architecture = Architecture((2, 1), "identity", biases=False)
    x = torch.eye(2, dtype=DOUBLE)[None] * 3
    y = torch.zeros(1, 2, 1, dtype=DOUBLE)
    top, trace, _ = sharpness(architecture, torch.ones(1, 2, dtype=DOUBLE), (x, y), "mse")
    assert top.item() == pytest.approx(4.5) and trace.item() == pytest.approx(9.0)


def test_derivatives_are_taken_where_the_caller_takes_none():
    with torch.inference_mode():
        architecture, a, _, x, y = setting("mse")
        found = sharpness(architecture, a, (x, y), "mse")
    for one, other in zip(found, sharpness(architecture, a.clone(), (x.clone(), y.clone()), "mse"), strict=True):
        assert torch.equal(one, other)
