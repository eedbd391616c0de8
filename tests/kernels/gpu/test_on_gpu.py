"""What only a GPU can show; skipped, with the reason, where there is none."""

from __future__ import annotations

import pytest
import torch

from kernels import Architecture, Training, gpu, reference, train
from tests.kernels.gpu.problems import OPTIMIZERS, check, check_paths, paths, problem
from tests.kernels.test_reference import data

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch", ["full", "epoch", "replacement", "online"])
@pytest.mark.parametrize("widths", [(2, 16, 1), (8, 16, 1), (3, 5, 4, 2), (2, 32, 32, 1), (40, 20, 17, 2), (3, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training(optimizer, batch, widths, dtype):
    p = problem(widths, "tanh", optimizer, batch=batch, dtype=dtype, n=333, n_samples=33, steps=20, n_datasets=2, masked=True, snapshots=(3,))
    check(gpu.train(p), reference.train(p), 1e-4 if dtype is torch.float32 else 1e-10)


@pytest.mark.parametrize("widths", [(2, 16, 1), (8, 16, 1), (3, 5, 4, 2), (2, 32, 32, 2), (40, 20, 2)])
def test_paths(widths):
    p = paths(widths, "erf", n=333, n_samples=33)
    check_paths(gpu.path_losses(p), reference.path_losses(p), 1e-10)


def test_a_million_networks_in_one_call_and_auto():
    architecture = Architecture((2, 16, 1))
    params, source = architecture.initial(10**6).cuda(), data(architecture, "mse", 32)
    run = train(architecture, params, source, Training(100))
    assert run.backend == "gpu" and run.params.is_cuda and bool((run.diverged_at == -1).all())
    few = train(architecture, params[:64], source, Training(100), backend="reference")
    assert torch.allclose(run.params[:64], few.params, rtol=1e-3, atol=1e-4)
