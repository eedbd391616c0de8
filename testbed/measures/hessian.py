"""Sharpness: the largest eigenvalue and the trace of the Hessian of the training loss, at five places of a path."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

import kernels
from kernels import streams
from testbed.kinds import Column, Extent, Measure, Work
from testbed.measures.points import for_each_point, points_on_paths
from testbed.pair_set import PairSet, Samples, start_seeds

if TYPE_CHECKING:
    from torch import Tensor

LANCZOS_STEPS = 40
PROBES = 64
EXACT_TRACE = 300  # parameters up to which the trace is a sum over all of them
PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)  # both ends, the quarters, the middle


def hessian_vector(
    architecture: kernels.Architecture, params: Tensor, vectors: Tensor, samples: Samples, loss: str
) -> Tensor:
    """∇²L(θ) v of each network, exactly, `[n, n_parameters]`.

    The derivative of back-propagation along v (Pearlmutter 1994).
    params, vectors: `[n, n_parameters]`; samples: x `[n, n_samples, n_inputs]` and y; all float64.
    """
    import torch

    from kernels import reference

    with torch.inference_mode(False), torch.enable_grad():
        x, y, vectors = (part.clone() if part.is_inference() else part for part in (*samples, vectors))
        theta = params.detach().clone().requires_grad_()
        outputs = reference.forward(architecture, theta, x)[0]
        total = reference.sample_losses(loss, outputs, y)[0].mean(1).sum()
        (gradient,) = torch.autograd.grad(total, theta, create_graph=True)
        (product,) = torch.autograd.grad((gradient * vectors).sum(), theta)
    return product


def sharpness(
    architecture: kernels.Architecture, params: Tensor, samples: Samples, loss: str, seeds: np.ndarray | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Largest eigenvalue and trace of ∇²L, and the trace's standard error, `[n]` each.

    params: `[n, n_parameters]`; samples: x `[n, n_samples, n_inputs]` and y; seeds: int64 `[n]`, of the random vectors.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 1), "identity", biases=False)
    >>> samples = (torch.eye(2)[None], torch.zeros(1, 2, 1))  # L = ¼ ‖θ‖²
    >>> sharpness(architecture, torch.zeros(1, 2), samples, "mse")[:2]
    (tensor([0.5000], dtype=torch.float64), tensor([1.], dtype=torch.float64))
    """
    seeds = streams.network_seeds(0, len(params)) if seeds is None else seeds
    x, y = samples
    samples = (x.double(), y.double() if loss == "mse" else y)
    params = params.double()
    top = top_eigenvalue(architecture, params, samples, loss, seeds)
    trace, error = hessian_trace(architecture, params, samples, loss, seeds)
    return top, trace, error


def top_eigenvalue(
    architecture: kernels.Architecture, params: Tensor, samples: Samples, loss: str, seeds: np.ndarray
) -> Tensor:
    """The largest eigenvalue of ∇²L, `[n]`, by Lanczos steps with full reorthogonalisation from a random vector.

    A lower bound, within rounding where there are as many steps as parameters: min(40, n_parameters) are taken.
    """
    import torch

    n, size = params.shape
    steps = min(LANCZOS_STEPS, size)
    basis = torch.zeros(n, steps, size, dtype=torch.float64)
    diagonal = torch.zeros(n, steps, dtype=torch.float64)
    off_diagonal = torch.zeros(n, steps, dtype=torch.float64)
    vector = torch.from_numpy(streams.normals(streams.INITIAL, seeds, 0, size))
    for step in range(steps):
        for _ in range(2):  # twice is enough
            vector = vector - torch.einsum("nks,nk->ns", basis, torch.einsum("nks,ns->nk", basis, vector))
        norm = vector.norm(dim=1)
        goes_on = norm > 1e-10 * (1 + diagonal.abs().amax(1))
        if step:
            off_diagonal[:, step - 1] = torch.where(goes_on, norm, 0.0)
        unit = vector / norm.clamp(min=1e-300)[:, None]
        vector = torch.where(goes_on[:, None], unit, 0.0)  # else an invariant subspace is found: the rest is 0
        basis[:, step] = vector
        image = hessian_vector(architecture, params, vector, samples, loss)
        diagonal[:, step] = (image * vector).sum(1)
        vector = image
    coupling = off_diagonal[:, : steps - 1]
    tridiagonal = torch.diag_embed(diagonal) + torch.diag_embed(coupling, 1) + torch.diag_embed(coupling, -1)
    taken = basis.square().sum(2) > 0.5
    in_the_subspace = taken[:, :, None] & taken[:, None]
    return torch.linalg.eigvalsh(torch.where(in_the_subspace, tridiagonal, 0.0))[:, -1]


def hessian_trace(
    architecture: kernels.Architecture, params: Tensor, samples: Samples, loss: str, seeds: np.ndarray
) -> tuple[Tensor, Tensor]:
    """The trace of ∇²L and its standard error, `[n]` each.

    By all unit vectors up to 300 parameters (error 0), else by 64 random sign vectors (Hutchinson 1990).
    """
    import torch

    n, size = params.shape
    if size <= EXACT_TRACE:
        unit = torch.eye(size, dtype=torch.float64)
        entries = [
            hessian_vector(architecture, params, unit[k].expand(n, -1), samples, loss)[:, k] for k in range(size)
        ]
        trace = torch.stack(entries).sum(0)
        return trace, torch.zeros_like(trace)
    draws = []
    for probe in range(PROBES):
        uniform = streams.uniforms(streams.INITIAL, seeds, probe + 1, size)
        signs = torch.from_numpy(np.sign(uniform - 0.5))
        draws.append((signs * hessian_vector(architecture, params, signs, samples, loss)).sum(1))
    probes = torch.stack(draws)
    return probes.mean(0), probes.std(0) / math.sqrt(PROBES)


def columns_along_path(name: str, values: Tensor) -> dict[str, Tensor]:
    """Means at the ends (α = 0 and 1), at the quarters (¼ and ¾) and in the middle (½), `[n_pairs]` each.

    values: `[n_pairs, 5]`, at α = 0, ¼, ½, ¾ and 1.

    >>> import torch
    >>> columns_along_path("trace", torch.tensor([[0.0, 1.0, 5.0, 3.0, 4.0]]))
    {'trace_ends': tensor([2.]), 'trace_quarters': tensor([2.]), 'trace_middle': tensor([5.])}
    """
    return {
        f"{name}_ends": values[:, [0, 4]].mean(1),
        f"{name}_quarters": values[:, [1, 3]].mean(1),
        f"{name}_middle": values[:, 2],
    }


def _compute(pairs: PairSet) -> dict[str, Tensor]:
    import torch

    n_places = len(PLACES)
    x, y = pairs.samples_of_a
    samples = (for_each_point(x, n_places), for_each_point(y, n_places))
    networks = points_on_paths(pairs.a, pairs.b, torch.tensor(PLACES, dtype=torch.float64))
    found = sharpness(pairs.architecture, networks, samples, pairs.loss, start_seeds(pairs.row, n_places))
    top, trace, error = (value.view(-1, n_places) for value in found)
    return (
        columns_along_path("top_eigenvalue", top)
        | columns_along_path("hessian_trace", trace)
        | {"hessian_trace_middle_standard_error": error[:, 2]}
    )


def _work(extent: Extent) -> Work:
    """A product with the Hessian costs about six forward passes."""
    size = extent.architecture.n_parameters
    products = min(LANCZOS_STEPS, size) + (size if size <= EXACT_TRACE else PROBES)
    return Work(arrays=6 * len(PLACES) * products * extent.step)


def _columns(name: str, what: str) -> tuple[Column, ...]:
    return (
        Column(f"{name}_ends", f"{what} of the Hessian of the training loss, mean over both ends", UNIT),
        Column(f"{name}_quarters", f"{what} of the Hessian of the training loss, mean over alpha = 1/4 and 3/4", UNIT),
        Column(f"{name}_middle", f"{what} of the Hessian of the training loss at alpha = 1/2", UNIT),
    )


UNIT = "loss / parameter²"
MEASURE = Measure(
    name="sharpness",
    text="largest eigenvalue and trace of the Hessian at the ends, at α = ¼ and ¾ and at ½",
    columns=(
        *_columns("top_eigenvalue", "largest eigenvalue"),
        *_columns("hessian_trace", "trace"),
        Column(
            "hessian_trace_middle_standard_error",
            "standard error of hessian_trace_middle, 0 where the trace is exact",
            UNIT,
        ),
    ),
    compute=_compute,
    work=_work,
    held=lambda pairs: len(PLACES),
)
