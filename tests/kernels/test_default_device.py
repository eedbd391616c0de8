"""A user's default device (`torch.set_default_device("cuda")`) is for what the user makes: nothing comes to lie there
that native code reads, or that is computed with what was given. Here it is one that keeps no numbers.
"""

from __future__ import annotations

import pytest
import torch

from kernels import SGD, Adam, Architecture, Teacher, Training, native, path_losses, train

ARCHITECTURE = Architecture((2, 3, 1))
X, Y = torch.randn(7, 2), torch.randn(7, 1)


def results(backend: str) -> list[torch.Tensor]:
    """Of every kind of batch, of settings of every kind, and of paths."""
    params, others = ARCHITECTURE.initial(3), ARCHITECTURE.initial(3, 1)
    teacher = Teacher(ARCHITECTURE, params[0])
    settings = {"data_seeds": [4, 5, 6], "spawn_steps": 1, "spawn_seeds": 2, "trainable": params[0] == params[0]}
    runs = [
        train(ARCHITECTURE, params, (X, Y), Training(2), backend=backend),
        train(ARCHITECTURE, params, (X, Y), Training(2, Adam(lr=0.1), batch_size=3), backend=backend, **settings),
        train(ARCHITECTURE, params, (X, Y), Training(2, SGD(lr=[0.1, 0.2, 0.3], momentum=0.5)), backend=backend),
        train(ARCHITECTURE, params, teacher, Training(2, batch_size=3), backend=backend),
    ]
    curves = [
        path_losses(ARCHITECTURE, params, others, 3, (X, Y), backend=backend),
        path_losses(ARCHITECTURE, params, others, [0, 1], teacher, n_samples=5, backend=backend),
    ]
    return [run.params for run in runs] + [curve.loss for curve in curves]


@pytest.mark.parametrize("backend", ["native", "reference", "gpu"])
def test_a_default_device_changes_nothing(monkeypatch, backend):
    if backend == "native" and native.missing():
        pytest.skip(native.missing())
    if backend == "gpu":
        launch = pytest.importorskip("kernels.gpu.launch", reason="Triton is not installed")
        monkeypatch.setattr("kernels.gpu.calls.Call.launch", lambda call: None)
        monkeypatch.setattr(launch, "_moved", lambda problem, device: problem)
        monkeypatch.setattr("kernels.gpu.missing", lambda: "")
    want = results(backend)
    with torch.device("meta"):
        found = results(backend)
    assert all(torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in zip(found, want, strict=True))
