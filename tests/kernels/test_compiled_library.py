"""The compiled library: refused in a sentence where it is not the right one, told of progress, interrupted."""

from __future__ import annotations

import _thread
import gc
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

import kernels
from kernels import Architecture, Training, native, train
from kernels.native import compiled
from tests.kernels.narrow import MARCH
from tests.kernels.problems import data

ROOT = Path(kernels.__file__).resolve().parent.parent
PROGRAM = """
import hashlib, torch
from kernels import Adam, Architecture, Training, native, path_losses, train
x = torch.randn(37, 2, generator=torch.Generator().manual_seed(0))
y = torch.sin(x.sum(1, keepdim=True))
bits = hashlib.sha256()
settings = [(a, d) for a in ("relu", "tanh", "gelu", "silu") for d in (torch.float32, torch.float64)]
for widths, batch in [((2, 16, 5, 1), 8), ((2, 32, 48, 1), 20)]:  # the second one at a time, with AVX-512
    for activation, dtype in settings:
        architecture = Architecture(widths, activation)
        params = architecture.initial(21, dtype=dtype)
        samples = x.to(dtype), y.to(dtype)
        run = train(architecture, params, samples, Training(30, Adam(0.01), batch_size=batch), backend="native")
        curves = path_losses(architecture, run.params[:10], run.params[10:20], [0, 0.3, 0.5, 1], samples)
        for found in (run.params, run.losses, curves.loss):
            bits.update(found.numpy().tobytes())
print(8 * native.vector_bytes(), bits.hexdigest())
"""


@pytest.mark.parametrize("moment", ["before the thread", "before it says so", "after"])
def test_ctrl_c_while_the_thread_of_a_call_starts(monkeypatch, moment):
    """Arrays live as long as what writes into them, whoever gave up on it; and nobody waits for what never began."""
    entered, leave, left = threading.Event(), threading.Event(), threading.Event()

    class Interrupted(threading.Thread):
        def start(self):
            if moment == "before it says so":
                _thread.start_new_thread(self.run, ())
            elif moment == "after":
                super().start()
            raise KeyboardInterrupt

    class Arrays:
        pass

    def function(spec):
        entered.set()
        leave.wait()
        assert alive() is not None
        left.set()
        return 0

    monkeypatch.setattr(compiled.threading, "Thread", Interrupted)
    monitor = compiled.Monitor()
    arrays = Arrays()
    alive = weakref.ref(arrays)
    _thread.start_new_thread(lambda: (time.sleep(0.3), leave.set()), ())
    try:
        compiled.call(function, monitor, monitor, 1, arrays)
    except KeyboardInterrupt:
        was_waited_for = left.is_set()
    del arrays
    gc.collect()
    assert monitor.cancel == 1
    assert was_waited_for == (moment == "after")
    if moment == "before the thread":
        assert not entered.is_set()
        assert alive() is None
    else:
        assert left.wait(5)


def test_the_backend_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(
        compiled, "opened", lambda: "its C++ was not compiled when the package was installed; install g++."
    )
    architecture = Architecture((2, 3, 1))
    params = architecture.initial(2)
    source = data(architecture, "mse", 4)
    with pytest.raises(
        ValueError, match=r"'native' is not available: its C\+\+ was not compiled.*'reference' runs everywhere"
    ):
        train(architecture, params, source, Training(1), backend="native")
    assert train(architecture, params, source, Training(1), backend="auto").backend == "reference"
    with pytest.raises(ValueError, match="Did you mean 'native'"):
        train(architecture, params, source, Training(1), backend="nativ")


def test_a_library_for_another_processor_is_refused_in_a_sentence(native_backend, monkeypatch):
    class Other:
        def lmc_runs_here(self) -> int:
            return 0

    monkeypatch.setattr(compiled.ctypes, "CDLL", lambda path: Other())
    assert "compiled for a processor with other vector instructions" in compiled.opened.__wrapped__()


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """A folder with the libraries of a wheel, on a machine without AVX-512."""

    class Library:
        def __init__(self, path):
            self.path = path
            self.lmc_fma_peak = type("Function", (), {})()

        def lmc_runs_here(self) -> int:
            return int("v4" not in self.path)

    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    monkeypatch.setattr(compiled.ctypes, "CDLL", Library)
    monkeypatch.setattr(compiled, "_takes", lambda library, name, spec: True)
    for name in ("_native_x86_64", "_native_x86_64_v4", "_native_x86_64_v3"):
        (tmp_path / f"{name}.so").touch()
    return tmp_path


def test_of_the_libraries_of_a_wheel_the_widest_that_runs_is_taken(wheel):
    """A wheel has one for each instruction set; one that was compiled on this machine comes before all of them."""
    assert [compiled.instruction_set(path) for path in compiled._compiled()] == ["x86-64-v4", "x86-64-v3", "x86-64"]
    assert compiled.opened.__wrapped__().path == str(wheel / "_native_x86_64_v3.so")
    (wheel / "_native.cpython-311-x86_64-linux-gnu.so").touch()  # of a checkout of version 0.1, before the next make
    assert compiled.opened.__wrapped__().path == str(wheel / "_native.cpython-311-x86_64-linux-gnu.so")
    (wheel / "_native.so").touch()
    assert compiled.opened.__wrapped__().path == str(wheel / "_native.so")
    for path in wheel.glob("_native*.so"):
        if "v4" not in path.name:
            path.unlink()
    assert "other vector instructions" in compiled.opened.__wrapped__()


def test_one_of_the_libraries_may_be_asked_for(wheel, monkeypatch):
    """LMC_NATIVE takes a narrower one, and never another in the place of one that cannot be had."""
    monkeypatch.setenv("LMC_NATIVE", "x86-64")
    assert compiled.opened.__wrapped__().path == str(wheel / "_native_x86_64.so")
    monkeypatch.setenv("LMC_NATIVE", "x86-64-v4")
    assert "other vector instructions" in compiled.opened.__wrapped__()
    monkeypatch.setenv("LMC_NATIVE", "avx2")
    assert (
        compiled.opened.__wrapped__()
        == "LMC_NATIVE must be one of x86-64, x86-64-v3, x86-64-v4, for which it was compiled, not 'avx2'."
    )


def test_a_library_of_other_sources_is_refused_in_a_sentence(native_backend, monkeypatch):
    """As after an upgrade of a checkout without make: its structures are others."""
    assert not isinstance(compiled.opened.__wrapped__(), str)
    monkeypatch.setitem(compiled.SPECS, "lmc_train", compiled.PathSpec)
    assert "compiled from other sources than these" in compiled.opened.__wrapped__()
    monkeypatch.setitem(compiled.SPECS, "lmc_of_tomorrow", compiled.TrainSpec)
    assert "compiled from other sources than these" in compiled.opened.__wrapped__()


def test_progress_is_told_and_an_interrupt_stops_the_kernel(native_backend, monkeypatch):
    monkeypatch.setattr(compiled, "POLL_SECONDS", 0.005)
    architecture = Architecture((2, 16, 1))
    params = architecture.initial(64)
    source = data(architecture, "mse", 64)
    seen: list[tuple[int, int]] = []
    train(
        architecture,
        params,
        source,
        Training(300),
        backend="native",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (64 * 300, 64 * 300) and [s[0] for s in seen] == sorted(s[0] for s in seen)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # would take minutes
        train(architecture, params, source, Training(10**7), backend="native", progress=interrupt)


@pytest.mark.slow
def test_a_library_of_narrower_vectors_gives_the_same_bits(native_backend, request):
    """Compiled for AVX2, against what this machine runs: training and paths, to the last bit."""
    if shutil.which("g++") is None or platform.machine() != "x86_64" or native.vector_bytes() < 32:
        pytest.skip("needs g++ and a processor with AVX2")
    tree = request.getfixturevalue("narrow_tree")

    def said(home: Path, **environment: str) -> list[str]:
        command = [sys.executable, "-c", PROGRAM]
        environ = os.environ | {"PYTHONPATH": str(home)} | environment
        done = subprocess.run(command, cwd=home, env=environ, capture_output=True, text=True, check=True)
        return done.stdout.split()

    here = said(ROOT)
    narrow = said(tree, LMC_NATIVE=MARCH)
    assert narrow == ["256", here[1]]
