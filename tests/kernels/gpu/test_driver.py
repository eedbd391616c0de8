"""Launches to their end, by Triton's own driver and launcher (`tests.kernels.gpu.driver`)."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kernels import chosen, gpu, native, reference, streams
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


def test_launches_are_made_with_the_gpu_of_their_tensors_as_the_current_one(monkeypatch):
    """Triton launches on the current one, and on its stream."""
    from kernels.gpu import draws, launch, matching

    current, seen = [], []

    @contextmanager
    def on(device):
        current.append(device)
        yield
        current.pop()

    for module in (draws, launch, matching):
        monkeypatch.setattr(module, "on", on)
    with driver.gpu() as found:
        monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda device: seen.append(list(current)) or 7)
        gpu.train(make("lanes, full", n=3, steps=3))
        gpu.path_losses(make("lanes, paths, float64", n=3))
        seeds = draws.network_seeds(1, 5, torch.device("cpu"))
        draws.initial_parameters(seeds, torch.ones(13, dtype=torch.float64), True, torch.float64)
        matching.assign(torch.zeros(1, 3, 3, dtype=torch.float64))
    assert not found.errors and [stream for *_, stream in found.launches] == [7] * 5
    assert seen and all(devices == [torch.device("cpu")] for devices in seen)


@pytest.mark.parametrize("case", ["tiles, one turn", "tiles, wide, paths"])
def test_a_gpu_of_little_shared_memory_keeps_parameters_in_device_memory(case):
    """Where the kernel asks for more than a program may have there, which Triton says before a launch."""
    problem = make(case, n=3) if case in PATHS else make(case, n=3, steps=3)
    with driver.gpu(shared=5000) as found:
        error = error_of(problem)
    assert not found.errors and error < 1e-6
    assert [kernel.metadata.shared <= 5000 for kernel in found.kernels] == [True]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CC", "/nowhere/cc", "/nowhere/cc"),
        ("CC", "false", "returned non-zero exit status"),
        ("TRITON_LIBCUDA_PATH", "/nowhere", "returned non-zero exit status"),
        ("TRITON_CACHE_DIR", "/proc/nowhere", "/proc/nowhere"),
    ],
)
def test_a_machine_on_which_triton_cannot_launch_is_told_so(monkeypatch, tmp_path, variable, value, said):
    """No compiler, one that compiles nothing (no headers), no library of the driver, no place for the launcher."""
    with driver.gpu(), monkeypatch.context() as patch:
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path))  # where the launcher is not yet
        patch.setenv(variable, value)
        if variable == "CC":
            patch.setenv("CXX", value)  # with which Triton compiles it from 3.8 on
        assert "Triton cannot launch kernels here" in gpu.missing() and said in gpu.missing()
        with pytest.raises(ValueError, match="backend 'gpu' is not available: Triton cannot launch"):
            chosen("gpu", make("lanes, full", n=1))
    with driver.gpu():
        assert not gpu.missing()


def test_gpus_that_the_kernels_are_not_for_are_told_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Tesla T4")
    with driver.gpu(capability=(7, 5)):
        assert gpu.missing() == "Tesla T4 has compute capability 7.5, and the kernels need 8.0 or later."
        assert not streams.drawn_by_kernels(torch.device("cuda"))
    monkeypatch.setattr(torch.version, "hip", "6.4")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Radeon RX 7900 XTX")
    for lanes in (32, 64):
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda device, lanes=lanes: SimpleNamespace(warp_size=lanes)
        )
        with driver.gpu():
            assert ("Radeon RX 7900 XTX has warps of 32 lanes" in gpu.missing()) == (lanes == 32)
