"""What is measured of a pair beside the barrier. Everything takes arrays of networks `[n, n_parameters]` and works in float64.

Samples are x `[n, n_samples, n_inputs]` and y `[n, n_samples, …]`, a set for each network or pair (an expanded view costs nothing).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

import kernels
import theory
from kernels import reference, streams

LANCZOS_STEPS = 40
PROBES = 64
EXACT_TRACE = 300  # parameters up to which the trace is a sum over all of them
CALIBRATED = 1e-12  # nats that calibration may leave
ENTRIES = 2**24  # activations held at a time


def of_pairs(
    names: tuple[str, ...],
    architecture: kernels.Architecture,
    a: Tensor,
    b: Tensor,
    alphas: Tensor,
    samples: tuple[Tensor, Tensor],
    dataset: Tensor,
    loss: str,
    seeds: np.ndarray,
    n_teacher: int,
) -> dict[str, Tensor]:
    """The numbers asked for by `names` (MeasureSpec.also), `[n_pairs]` each; pair k's samples are set dataset[k] of samples."""
    places = len(alphas) if "temperature" in names else 5 if "sharpness" in names else 1
    chunk = max(1, ENTRIES // (places * samples[0].shape[1] * max(architecture.widths)))
    if len(a) > chunk:
        slices = [slice(start, start + chunk) for start in range(0, len(a), chunk)]
        parts = [
            of_pairs(names, architecture, a[at], b[at], alphas, samples, dataset[at], loss, seeds[at], n_teacher)
            for at in slices
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    x, y = samples[0][dataset], samples[1][dataset]
    found: dict[str, Tensor] = {}
    if "disagreement" in names:
        found["disagreement"] = disagreement(architecture, a, b, x, loss)
    if "sharpness" in names:
        quarters = _on_path(a, b, torch.linspace(0, 1, 5, dtype=torch.float64))
        top, trace, error = (
            value.view(-1, 5) for value in sharpness(architecture, quarters, _for_each(x, 5), _for_each(y, 5), loss)
        )
        for name, of in (("top_eigenvalue", top), ("hessian_trace", trace)):
            found |= {
                f"{name}_ends": of[:, [0, 4]].mean(1),
                f"{name}_quarters": of[:, [1, 3]].mean(1),
                f"{name}_middle": of[:, 2],
            }
        found["hessian_trace_middle_standard_error"] = error[:, 2]
    if "perturbation" in names:
        found["perturbation_loss_rise"] = perturbation(architecture, a, b, x, y, loss, seeds)
    if "temperature" in names:
        curves = calibrated_losses(architecture, a, b, alphas, x, y)
        found["calibrated_train_loss_barrier_linear"] = torch.from_numpy(
            theory.barriers_on_grid(alphas.numpy(), curves.numpy(), "linear").value
        )
    if "features" in names:
        found["feature_residual"] = feature_residual(architecture, a, b, x)
    if "lemma_7" in names:
        found["lemma_7_connected"] = lemma_7(architecture.layers(a)[0][0], architecture.layers(b)[0][0], n_teacher)
    return found


def disagreement(architecture: kernels.Architecture, a: Tensor, b: Tensor, x: Tensor, loss: str) -> Tensor:
    """Share of inputs that A and B put in different classes, `[n]`; for mse √(mean ‖f_A − f_B‖²)."""
    one, other = (reference.forward(architecture, params.double(), x.double())[0] for params in (a, b))
    if loss == "mse":
        return (one - other).square().sum(2).mean(1).sqrt()
    return (one.argmax(2) != other.argmax(2)).double().mean(1)


def hessian_vector(
    architecture: kernels.Architecture, params: Tensor, vectors: Tensor, x: Tensor, y: Tensor, loss: str
) -> Tensor:
    """∇²L(θ) v of each network, `[n, n_parameters]`, exactly: the derivative of back-propagation along v (Pearlmutter 1994)."""
    with torch.enable_grad():
        theta = params.detach().clone().requires_grad_()
        outputs = reference.forward(architecture, theta, x)[0]
        total = reference.sample_losses(loss, outputs, y)[0].mean(1).sum()
        (gradient,) = torch.autograd.grad(total, theta, create_graph=True)
        (product,) = torch.autograd.grad((gradient * vectors).sum(), theta)
    return product


def sharpness(
    architecture: kernels.Architecture, params: Tensor, x: Tensor, y: Tensor, loss: str, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Largest eigenvalue and trace of ∇²L, and the trace's standard error, `[n]` each.

    The eigenvalue by min(40, n_parameters) Lanczos steps with full reorthogonalisation from a random vector: a lower bound, within rounding
    where there are as many steps as parameters. The trace by all unit vectors up to 300 parameters (error 0), else by 64 random sign vectors
    (Hutchinson 1990).
    """
    params, x = params.double(), x.double()
    y = y.double() if loss == "mse" else y
    n, size = params.shape
    steps = min(LANCZOS_STEPS, size)
    basis = torch.zeros(n, steps, size, dtype=torch.float64)
    diagonal, beside = torch.zeros(n, steps, dtype=torch.float64), torch.zeros(n, steps, dtype=torch.float64)
    vector = torch.from_numpy(streams.normals(streams.INITIAL, streams.network_seeds(seed, n), 0, size))
    for k in range(steps):
        for _ in range(2):  # twice is enough
            vector = vector - torch.einsum("nks,nk->ns", basis, torch.einsum("nks,ns->nk", basis, vector))
        norm = vector.norm(dim=1)
        alive = norm > 1e-10 * (1 + diagonal.abs().amax(1))
        if k:
            beside[:, k - 1] = torch.where(alive, norm, 0.0)
        vector = torch.where(
            alive[:, None], vector / norm.clamp(min=1e-300)[:, None], 0.0
        )  # an invariant subspace is found: the rest is 0
        basis[:, k] = vector
        image = hessian_vector(architecture, params, vector, x, y, loss)
        diagonal[:, k] = (image * vector).sum(1)
        vector = image
    tridiagonal = (
        torch.diag_embed(diagonal)
        + torch.diag_embed(beside[:, : steps - 1], 1)
        + torch.diag_embed(beside[:, : steps - 1], -1)
    )
    found = basis.square().sum(2) > 0.5
    values = torch.linalg.eigvalsh(torch.where((found[:, :, None] & found[:, None]), tridiagonal, 0.0))
    top = values[:, -1]
    if size <= EXACT_TRACE:
        unit = torch.eye(size, dtype=torch.float64)
        trace = torch.stack(
            [hessian_vector(architecture, params, unit[k].expand(n, -1), x, y, loss)[:, k] for k in range(size)]
        ).sum(0)
        return top, trace, torch.zeros_like(trace)
    draws = []
    for k in range(PROBES):
        signs = torch.from_numpy(
            np.sign(streams.uniforms(streams.INITIAL, streams.network_seeds(seed, n), k + 1, size) - 0.5)
        )
        draws.append((signs * hessian_vector(architecture, params, signs, x, y, loss)).sum(1))
    probes = torch.stack(draws)
    return top, probes.mean(0), probes.std(0) / math.sqrt(PROBES)


def perturbation(
    architecture: kernels.Architecture, a: Tensor, b: Tensor, x: Tensor, y: Tensor, loss: str, seeds: np.ndarray
) -> Tensor:
    """The control of a midpoint: mean loss at both ends moved by ½‖θ_A − θ_B‖ in random directions, less the mean of the ends, `[n]`."""
    a, b, x = a.double(), b.double(), x.double()
    y = y.double() if loss == "mse" else y
    length = 0.5 * (a - b).norm(dim=1, keepdim=True)
    rise = torch.zeros(len(a), dtype=torch.float64)
    for k, end in enumerate((a, b)):
        direction = torch.from_numpy(streams.normals(streams.INITIAL, seeds, k, a.shape[1]))
        moved = end + length * direction / direction.norm(dim=1, keepdim=True)
        rise += 0.5 * (_loss(architecture, moved, x, y, loss) - _loss(architecture, end, x, y, loss))
    return rise


def calibrated_losses(
    architecture: kernels.Architecture, a: Tensor, b: Tensor, alphas: Tensor, x: Tensor, y: Tensor
) -> Tensor:
    """Cross-entropy along the path after the best softmax temperature at each alpha, `[n, n_alphas]`.

    min over β = 1/T ∈ [0, 2²⁰] of mean[LSE(β z) − β z_y], convex in β: Newton's method, kept between bounds where the slope has either sign, until
    its next step would gain no more than `CALIBRATED` nats.
    """
    n_alphas = len(alphas)
    outputs = reference.forward(architecture, _on_path(a, b, alphas), _for_each(x.double(), n_alphas))[0]
    own = outputs.gather(2, _for_each(y, n_alphas)[:, :, None])[:, :, 0]
    most, rounding = 2.0**20, 1e-15 * outputs.abs().amax((1, 2))
    low, high = torch.zeros(len(outputs), dtype=torch.float64), torch.full((len(outputs),), most, dtype=torch.float64)
    beta = torch.ones(len(outputs), dtype=torch.float64)
    for step in range(100):
        share = (beta[:, None, None] * outputs).softmax(2)
        mean = (share * outputs).sum(2)
        slope = (mean - own).mean(1)
        curvature = (share * (outputs - mean[:, :, None]).square()).sum(2).mean(1)
        at_an_end = ((beta == 0) & (slope > 0)) | ((beta == most) & (slope < 0))
        done = at_an_end | (slope.square() <= CALIBRATED * curvature) | (slope.abs() <= rounding)
        if bool(done.all()):
            break
        low, high = torch.where(slope < 0, beta, low), torch.where(slope < 0, high, beta)
        newton = (beta - slope / curvature).clamp(0, most)
        safe = (newton >= low) & (newton <= high) & (step % 4 < 3)
        beta = torch.where(done, beta, torch.where(safe, newton, 0.5 * (low + high)))
    return ((beta[:, None, None] * outputs).logsumexp(2) - beta[:, None] * own).mean(1).view(len(a), n_alphas)


def feature_residual(architecture: kernels.Architecture, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Layerwise linear feature connectivity (Zhou et al. 2023): the largest residual over hidden layers at α = ½, `[n]`.

    0 where features interpolate. ValueError for normalised and residual networks, whose features theory does not have.
    """
    if architecture.normalise or architecture.residual:
        raise ValueError("feature residuals are of networks without normalise and residual.")
    one, other = (
        [(w.double().numpy(), None if c is None else c.double().numpy()) for w, c in architecture.layers(side)]
        for side in (a, b)
    )
    found = theory.feature_residuals(
        one, other, x.double().numpy(), architecture.activation, (0.5,), negative_slope=architecture.negative_slope
    )
    hidden = found.residual[:, :-1, 0]
    return torch.from_numpy(hidden.max(1) if hidden.shape[1] else np.zeros(len(a)))


def lemma_7(a: Tensor, b: Tensor, n_teacher: int, tolerance: float = 1e-3) -> Tensor:
    """Whether lemma 7 of Lin, Li & Wu (2024) says that two minima are connected, 1 or 0, `[n]`; NaN where an end is no minimum.

    a, b: first-layer weights `[n, width, n_inputs]` of students Σ_i relu(w_i·x) of the teacher Σ_{j ≤ M} relu(x_j). A trained row counts as on an
    axis, or as 0, if it is so but for `tolerance`.
    """
    types, minimum = [], torch.ones(len(a), dtype=torch.bool)
    for w in (a.double(), b.double()):
        size, axis = w.max(2)
        off_axis = w.scatter(2, axis[:, :, None], 0.0).abs().amax(2)
        types.append(torch.where(size > tolerance, axis, -1))
        target = (torch.arange(w.shape[2]) < n_teacher).double()
        minimum &= (off_axis < tolerance).all(1) & ((w.sum(1) - target).abs() < tolerance).all(1)
    first, second = types
    connected = ((first == second) | (first < 0) | (second < 0)).all(1)
    return torch.where(minimum, connected.double(), torch.nan)


def _on_path(a: Tensor, b: Tensor, alphas: Tensor) -> Tensor:
    """Every network on every path, float64 `[n · n_alphas, n_parameters]`, a path's one after the other."""
    alpha = alphas.double()[:, None]
    return ((1 - alpha) * a.double()[:, None] + alpha * b.double()[:, None]).flatten(0, 1)


def _for_each(samples: Tensor, n_alphas: int) -> Tensor:
    """The samples of each pair for all networks of its path, `[n · n_alphas, …]`."""
    return samples[:, None].expand(-1, n_alphas, *samples.shape[1:]).flatten(0, 1)


def _loss(architecture: kernels.Architecture, params: Tensor, x: Tensor, y: Tensor, loss: str) -> Tensor:
    return reference.sample_losses(loss, reference.forward(architecture, params, x)[0], y)[0].mean(1)
