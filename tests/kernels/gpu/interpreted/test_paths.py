"""The path kernel equals the reference in both layouts of registers, from a table and from a teacher, however the
pairs are cut.
"""

from __future__ import annotations

import pytest
import torch

from kernels import ACTIVATIONS, Architecture, gpu, path_losses, reference, train
from kernels.gpu import launch
from kernels.training import Training
from tests.kernels.problems import check_diverged_paths, check_paths, data, diverge, paths, same_bits

TEACHER = Architecture((3, 4, 2), "erf")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    p = paths((3, 5, 3, 1), activation)
    check_paths(gpu.path_losses(p), reference.path_losses(p), 1e-10)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("teacher", [None, TEACHER])
@pytest.mark.parametrize("widths", [(3, 5, 2), (3, 40, 33, 2)])
def test_samples(loss, teacher, widths):
    p = paths(widths, loss=loss, teacher=teacher, n_datasets=2, n_samples=19, n=2)
    assert launch.plan(p).layout.name == ("lanes" if widths[1] == 5 else "tiles")
    check_paths(gpu.path_losses(p), reference.path_losses(p), 1e-10)


def test_single_precision():
    p = paths((3, 6, 2), "tanh", "cross_entropy", torch.float32)
    check_paths(gpu.path_losses(p), reference.path_losses(p), 1e-4)


def test_a_small_variance_survives_a_large_mean():
    p = paths((1, 2, 1), "identity", n=1, n_samples=8)
    p.params_a[:, -1] = p.params_b[:, -1] = 1e6
    got, want = gpu.path_losses(p), reference.path_losses(p)
    assert torch.allclose(got.standard_error, want.standard_error, rtol=1e-6)
    assert (want.standard_error > 0).all()


@pytest.mark.parametrize("widths", [(3, 5, 2), (3, 40, 33, 2)])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_diverged_network_is_not_perfect(widths, loss):
    p = diverge(paths(widths, loss=loss, n=4, n_samples=19))
    assert launch.plan(p).layout.name == ("lanes" if widths[1] == 5 else "tiles")
    if loss == "cross_entropy":
        p.samples.y.zero_()
    check_diverged_paths(gpu.path_losses(p), classes=loss == "cross_entropy")


def test_the_bits_do_not_depend_on_how_the_pairs_are_cut(monkeypatch):
    p = paths(n=7, n_samples=6)
    whole = gpu.path_losses(p)
    monkeypatch.setattr(launch, "SAFE_RATE", 1.0)
    assert same_bits(whole, gpu.path_losses(p))


def test_the_backend_is_chosen_by_name():
    architecture = Architecture((2, 3, 1))
    params, source = architecture.initial(3), data(architecture, "mse", 4)
    run = train(architecture, params, source, Training(1), backend="gpu")
    curves = path_losses(architecture, params, run.params, [0, 0.5], source, backend="gpu")
    assert run.backend == curves.backend == "gpu"
    assert (
        train(architecture, params, source, Training(1)).backend != "gpu"
    )  # auto: there is no GPU, or nothing worth it
