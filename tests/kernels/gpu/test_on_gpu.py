"""What only a GPU can show; skipped, with the reason, where there is none."""

from __future__ import annotations

import pytest
import torch

from kernels import Adam, Architecture, Training, gpu, reference, train
from kernels.problem import training_problem
from tests.kernels.gpu.problems import OPTIMIZERS, check, check_paths, paths, problem
from tests.kernels.test_reference import data

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("batch", ["full", "epoch", "replacement", "online"])
@pytest.mark.parametrize(
    "widths",
    [(2, 16, 1), (8, 16, 1), (3, 5, 4, 2), (2, 32, 32, 1), (2, 128, 128, 1), (40, 20, 17, 2), (40, 64, 64, 2), (3, 2)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training(optimizer, batch, widths, dtype):
    p = problem(
        widths,
        "tanh",
        optimizer,
        batch=batch,
        dtype=dtype,
        n=333,
        n_samples=33,
        steps=20,
        n_datasets=2,
        masked=True,
        snapshots=(3,),
    )
    check(gpu.train(p), reference.train(p), 1e-4 if dtype is torch.float32 else 1e-10)


@pytest.mark.parametrize("hidden", [(20, 20), (64, 64)])
@pytest.mark.parametrize("batch", [None, 16])
def test_every_setting_of_the_memory_layout(hidden, batch):
    """On one warp and on four."""
    architecture = Architecture((40, *hidden, 3), "tanh", normalise=True, residual=True)
    settings = Training(
        20,
        Adam(0.01, weight_decay=0.1),
        "cross_entropy",
        batch_size=batch,
        label_smoothing=0.1,
        clip_norm=0.5,
        stop_below=0.9,
    )
    tied = torch.arange(architecture.n_parameters) // 2
    where = torch.rand(2, architecture.n_parameters, generator=torch.Generator().manual_seed(0))[:, tied]
    params, source = architecture.initial(333, dtype=torch.float64), data(architecture, "cross_entropy", 33)
    p = training_problem(
        architecture, params, source, settings, 0, None, None, None, where[0] > 0.2, where[1] > 0.2, tied
    )
    got, want = gpu.train(p), reference.train(p)
    check(got, want, 1e-10)
    assert torch.equal(got[4], want[4])


@pytest.mark.parametrize(
    "widths", [(2, 16, 1), (8, 16, 1), (3, 5, 4, 2), (2, 32, 32, 2), (2, 128, 128, 2), (40, 20, 2), (40, 64, 64, 2)]
)
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


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="torch sees no second GPU")
def test_the_second_gpu_gives_the_same_bits():
    architecture = Architecture((2, 16, 1))
    source = data(architecture, "mse", 32)
    runs = [
        train(architecture, architecture.initial(100).to(f"cuda:{k}"), source, Training(20), backend="gpu").params
        for k in range(2)
    ]
    assert runs[1].device.index == 1 and torch.equal(runs[0].cpu(), runs[1].cpu())
