"""What only a GPU can show; skipped, with the reason, where there is none. All kernels are compiled first, in
parallel processes.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels import Architecture, Training, gpu, reference, streams, train
from kernels.assignment import assign
from testbed import alignment
from tests.kernels.gpu.cases import CASES, PATHS, make
from tests.kernels.gpu.scores import KINDS, scores_of
from tests.kernels.problems import check, check_paths, data, problem

pytestmark = pytest.mark.gpu

WIDER = {"widths": (2, 128, 128, 1), "dtype": torch.float32, "n": 333, "n_samples": 33, "steps": 20}  # on eight warps


@pytest.fixture(scope="module", autouse=True)
def _compiled(tmp_path_factory):
    from kernels.gpu.compile import compile_ahead, target_here

    compile_ahead([make(case, n=333) for case in CASES] + [problem(**WIDER)], target_here())


@pytest.mark.parametrize("case", [case for case in CASES if case not in PATHS])
def test_training(case):
    p = make(case, n=333)
    got, want = gpu.train(p), reference.train(p)
    check(got, want, 1e-4 if p.params.dtype is torch.float32 else 1e-10)
    assert torch.equal(got.stopped_at, want.stopped_at)


@pytest.mark.parametrize("case", PATHS)
def test_paths(case):
    p = make(case, n=333)
    check_paths(gpu.path_losses(p), reference.path_losses(p), 1e-4 if p.params_a.dtype is torch.float32 else 1e-10)


def test_eight_warps():
    p = problem(**WIDER)
    check(gpu.train(p), reference.train(p), 1e-4)


def test_seeds_and_initial_parameters_are_drawn_on_the_gpu():
    for widths, scheme in (((2, 16, 1), "kaiming"), ((40, 20, 2), "torch"), ((3, 5, 2), "committee")):
        architecture = Architecture(widths)
        found, want = (architecture.initial(10**4, 7, scheme=scheme, device=d) for d in ("cuda", "cpu"))
        assert found.is_cuda and ((found.cpu() - want).abs() <= 2e-7 * want.abs()).all()
        assert (found.cpu() == want).double().mean() > 1 - 1e-5
    assert torch.equal(
        streams.seeds_on(torch.device("cuda"), 3, 1000).cpu(), streams.seeds_on(torch.device("cpu"), 3, 1000)
    )


def test_a_million_networks_in_one_call_and_auto():
    architecture = Architecture((2, 16, 1))
    params, source = architecture.initial(10**6).cuda(), data(architecture, "mse", 33)
    run = train(architecture, params, source, Training(100))
    assert run.backend == "gpu" and run.params.is_cuda and bool((run.diverged_at == -1).all())
    few = train(architecture, params[:64], source, Training(100), backend="reference")
    assert torch.allclose(run.params[:64], few.params, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("m", [1, 5, 32, 64, 300, 600])
@pytest.mark.parametrize("kind", KINDS)
def test_assignment_is_the_native_kernels(native_backend, m, kind):
    scores = scores_of(kind, 1000 if m < 100 else 20, m)
    found = assign(torch.from_numpy(scores).cuda())
    assert found.is_cuda and np.array_equal(found.cpu().numpy(), assign(scores))


@pytest.mark.parametrize("widths", [(2, 16, 1), (3, 8, 5, 8, 2)])
@pytest.mark.parametrize("whole", [False, True])
def test_matching_stays_on_the_gpu(native_backend, widths, whole):
    """Whole numbers have exact sums, and the same choices between equals; of others the overlap is as large."""
    architecture = Architecture(widths, "tanh")
    a, b = (architecture.initial(333, seed, dtype=torch.float64, scheme="torch") for seed in (1, 2))
    if whole:
        a, b = (10 * a).round(), (10 * b).round()
    found, want = (alignment.match_weights(architecture, a.to(d), b.to(d), signs=True) for d in ("cuda", "cpu"))
    assert all(tensor.is_cuda for tensor in (found.params, *found.permutations, *found.signs))
    assert torch.equal(alignment.permute(architecture, b.cuda(), found.permutations, found.signs), found.params)
    assert ((a * found.params.cpu()).sum(1) >= (a * b).sum(1) - 1e-9).all()
    if whole or len(widths) == 3:
        assert torch.allclose((a * found.params.cpu()).sum(1), (a * want.params).sum(1), rtol=1e-12)
    if whole:
        assert torch.equal(found.params.cpu(), want.params)
    x = torch.randn(50, widths[0], generator=torch.Generator().manual_seed(0))
    assert alignment.match_activations(architecture, a.cuda(), b.cuda(), x, signs=True).params.is_cuda
    assert alignment.match_all(architecture, b[:5].cuda(), signs=True).params.is_cuda


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="torch sees no second GPU")
def test_the_second_gpu_gives_the_same_bits():
    architecture = Architecture((2, 16, 1))
    source = data(architecture, "mse", 33)
    runs = [
        train(architecture, architecture.initial(100).to(f"cuda:{k}"), source, Training(20), backend="gpu")
        for k in range(2)
    ]
    assert runs[1].params.device.index == 1 and torch.equal(runs[0].params.cpu(), runs[1].params.cpu())
