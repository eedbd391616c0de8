"""Population losses of networks of one hidden layer on Gaussian inputs, and their certain barriers."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.native import described_network
from kernels.native.compiled import Progress, call, loaded, thread_count
from kernels.native.structures import Monitor, PopulationSpec, address
from kernels.network import Architecture
from kernels.training import Teacher

if TYPE_CHECKING:
    from torch import Tensor

ACTIVATIONS = ("relu", "leaky_relu", "identity", "erf", "tanh", "gelu")


@dataclass(frozen=True, eq=False)
class PopulationLosses:
    """What is known of each path.

    losses: float64 `[n_pairs, n_alphas]`. barriers: float64 `[n_pairs, 4, 2]`, value and argmax under the definitions
    linear, mean_endpoints, max_endpoint, midpoint. errors: float64 `[n_pairs, 2]`, how far L (0) and L less its chord
    (1) may rise above their maxima anywhere on the path.
    """

    losses: Tensor
    barriers: Tensor
    errors: Tensor


def lacks(architecture: Architecture, teacher: Architecture) -> str:
    """What these networks lack for their population loss here, as the end of a sentence; empty if nothing.

    >>> one = Architecture((2, 3, 1))
    >>> lacks(one, one), lacks(one, Architecture((2, 3, 1), activation="square"))
    ('', "one of the activations relu, leaky_relu, identity, erf, tanh, gelu, not 'square'")
    """
    for network in (architecture, teacher):
        if len(network.widths) != 3:
            return f"one hidden layer, not widths {list(network.widths)}"
        if network.normalise:
            return "no normalisation"
        if network.activation not in ACTIVATIONS:
            return f"one of the activations {', '.join(ACTIVATIONS)}, not {network.activation!r}"
    if architecture.widths[0] != teacher.widths[0] or architecture.widths[2] != teacher.widths[2]:
        return "a teacher of as many inputs and outputs"
    return ""


def population_losses(
    architecture: Architecture,
    params_a: Tensor,
    params_b: Tensor,
    teacher: Teacher,
    alphas: Tensor,
    tolerance: float,
    teachers: np.ndarray | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> PopulationLosses:
    """L(α) = ½ E‖f_α(x) − f*(x)‖², x ~ N(0, 1), of every path, and its barriers.

    Along a path the order parameters are polynomials in α, so that L and dL/dα cost the moments E σ(u) τ(w) alone: in
    closed form, or as series of 64 Hermite terms where an activation is tanh or gelu, or relu meets erf. The maximum is
    found on a grid of 33, climbed to, and made certain by branch and bound. theory/population derives all of it, and
    does it in numpy.

    Args:
        architecture: one hidden layer of ACTIVATIONS.
        params_a: `[n_pairs, n_parameters]`, float32 or float64, finite and at most float32's largest, 3.4e38.
        params_b: the same of the other ends.
        teacher: networks of one hidden layer of ACTIVATIONS.
        alphas: `[n_alphas]`, where L is wanted.
        tolerance: L is nowhere on [0, 1] higher than the maxima by more than this times the largest L on the grid, or
            by what `errors` says.
        teachers: int64 `[n_pairs]`, which of the teacher's networks is a pair's; None is the first.
        threads: None is one a core.
        progress: is told how many pairs are done, of how many.

    Raises:
        ValueError: the networks are others, shapes do not fit, or a number is out of its range.

    >>> import torch
    >>> architecture = Architecture((1, 1, 1), activation="identity", biases=False)
    >>> teacher = Teacher(architecture, torch.tensor([[3.0, 1.0]]))
    >>> a, b = torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 1.0]])
    >>> population_losses(architecture, a, b, teacher, torch.tensor([0.0, 1.0]), 1e-6).losses.tolist()  # ½ (2 − α)²
    [[2.0, 0.5]]
    """
    import torch

    if why := lacks(architecture, teacher.architecture):
        raise ValueError(f"architecture: a population loss asks for {why}.")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, not {tolerance}.")
    dtype = params_a.dtype if params_a.dtype is params_b.dtype else torch.float64
    a, b = (params.to(dtype).contiguous() for params in (params_a, params_b))
    stars = teacher.params.double().reshape(-1, teacher.architecture.n_parameters).contiguous()
    grid = alphas.double().contiguous()
    if teachers is None:
        teachers = np.zeros(len(a))
    chosen = np.ascontiguousarray(teachers, np.int64)
    _check(architecture, a, b, stars, chosen)
    # numpy's arrays: see kernels.native.train
    losses = np.empty((len(a), len(grid)))
    barriers = np.empty((len(a), 4, 2))
    errors = np.empty((len(a), 2))
    monitor = Monitor()
    keep: list[np.ndarray] = []
    spec = PopulationSpec(
        net=described_network(architecture, keep),
        teacher=described_network(teacher.architecture, keep),
        n_pairs=len(a),
        n_alphas=len(grid),
        threads=thread_count(threads),
        is_double=dtype is torch.float64,
        tolerance=tolerance,
        params_a=address(a),
        params_b=address(b),
        teacher_params=address(stars),
        teachers=address(chosen),
        alphas=address(grid),
        losses=address(losses),
        barriers=address(barriers),
        errors=address(errors),
        monitor=ctypes.addressof(monitor),
    )
    arrays = (keep, a, b, stars, grid, chosen, losses, barriers, errors)
    call(loaded().lmc_population, spec, monitor, len(a), arrays, progress)
    return PopulationLosses(*(torch.from_numpy(found) for found in (losses, barriers, errors)))


def _check(architecture: Architecture, a: Tensor, b: Tensor, stars: Tensor, teachers: np.ndarray) -> None:
    """ValueError unless the C++ may read all of it."""
    import torch

    shape = (len(a), architecture.n_parameters)
    if tuple(a.shape) != shape or tuple(b.shape) != shape:
        raise ValueError(
            f"params_a and params_b must both be [n_pairs, {shape[1]}], not {list(a.shape)} and {list(b.shape)}."
        )
    if teachers.shape != (len(a),) or (teachers.size and not 0 <= teachers.min() <= teachers.max() < len(stars)):
        raise ValueError(f"teachers must be [{len(a)}] with numbers from 0 to {len(stars) - 1}.")
    largest = torch.finfo(torch.float32).max  # products of eight numbers up to it are float64
    for name, values in (("params_a", a), ("params_b", b), ("the teacher's parameters", stars)):
        if not bool((values.abs() <= largest).all()):
            raise ValueError(f"{name} must be finite, and at most {largest:.2g}.")
