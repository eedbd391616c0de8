"""Launches to their end, by Triton's own driver and launcher (`tests.kernels.gpu.driver`)."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from kernels import gpu, native, reference, streams
from tests.kernels.gpu.cases import PATHS, make
from tests.kernels.problems import relative_error

driver = pytest.importorskip("tests.kernels.gpu.driver", reason="Triton is not installed")

pytestmark = [
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, and its driver is loaded"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler here"),
]

CASES = {
    **{"lanes, epoch, adamw, masked": (1, 32), "tiles, one turn": (3, 32), "memory, without eps": (3, 32)},
    **{"lanes, paths, float64": (1, 32), "tiles, paths": (9, 32), "memory, paths": (9, 128)},
}


def error_of(problem):
    """Of the parameters, or of the mean losses on paths."""
    verb, result = ("train", "params") if hasattr(problem, "training") else ("path_losses", "mean")
    found, want = (getattr(getattr(backend, verb)(problem), result).double() for backend in (gpu, reference))
    return relative_error(found, want)


@pytest.mark.parametrize("case", CASES)
def test_a_launch_arrives_as_it_was_made(case):
    """Grid, threads, stream and all arguments; and what comes of it is the reference's."""
    problem = make(case, n=3) if case in PATHS else make(case, n=3, steps=3)
    with driver.gpu() as found:
        error = error_of(problem)
    assert not found.errors, found.errors
    verb = "path_losses" if case in PATHS else "train"
    assert found.launches == [(verb, *CASES[case], driver.STREAM)]
    assert error < 1e-6


def test_draws_and_assignments_arrive_as_they_were_made(native_backend):
    from kernels.gpu import draws, matching

    scores = np.random.default_rng(0).standard_normal((2, 7, 7))
    with driver.gpu() as found:
        seeds = draws.network_seeds(2**62, 5, torch.device("cpu"))
        params = draws.initial_parameters(seeds, torch.ones(13, dtype=torch.float64), True, torch.float64)
        columns = matching.assign(torch.from_numpy(scores))
    assert not found.errors, found.errors
    assert [name for name, *_ in found.launches] == ["draw_seeds", "draw_parameters", "solve"]
    assert np.array_equal(seeds, streams.network_seeds(2**62, 5))
    assert np.array_equal(params, 2 * streams.uniforms(streams.INITIAL, seeds.numpy(), 0, 13) - 1)
    assert np.array_equal(columns, native.assign(scores))


@pytest.mark.parametrize("case", ["tiles, one turn", "tiles, wide, paths"])
def test_a_gpu_of_little_shared_memory_keeps_parameters_in_device_memory(case):
    """Where the kernel asks for more than a program may have there, which Triton says before a launch."""
    problem = make(case, n=3) if case in PATHS else make(case, n=3, steps=3)
    with driver.gpu(shared=5000) as found:
        error = error_of(problem)
    assert not found.errors and error < 1e-6
    assert [kernel.metadata.shared <= 5000 for kernel in found.kernels] == [True]
