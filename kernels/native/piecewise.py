"""Exact losses and barriers of paths on finite data, of networks of one hidden layer, piecewise linear."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.native import described_network
from kernels.native.compiled import Progress, call, loaded, thread_count
from kernels.native.structures import Monitor, PiecewiseSpec, address
from kernels.network import Architecture

if TYPE_CHECKING:
    from torch import Tensor

SLOPES = {"relu": 0.0, "identity": 1.0}  # of piecewise linear activations below 0; leaky_relu has its own


@dataclass(frozen=True, eq=False)
class PiecewiseLosses:
    """What is known of each path.

    losses: float64 `[n_pairs, n_alphas]`. barriers: float64 `[n_pairs, 4, 2]`, value and argmax under the definitions
    linear, mean_endpoints, max_endpoint, midpoint. n_pieces: int64 `[n_pairs]`.
    """

    losses: Tensor
    barriers: Tensor
    n_pieces: Tensor


def lacks(architecture: Architecture) -> str:
    """What these networks lack for an exact piecewise path, as the end of a sentence; empty if nothing.

    >>> lacks(Architecture((2, 3, 1))), lacks(Architecture((2, 3, 1), activation="tanh"))
    ('', "a piecewise linear activation (relu, leaky_relu, identity), not 'tanh'")
    """
    if len(architecture.widths) != 3:
        return f"one hidden layer, not widths {list(architecture.widths)}"
    if architecture.normalise:
        return "no normalisation"
    if architecture.activation not in (*SLOPES, "leaky_relu"):
        return f"a piecewise linear activation (relu, leaky_relu, identity), not {architecture.activation!r}"
    return ""


def piecewise_losses(
    architecture: Architecture,
    params_a: Tensor,
    params_b: Tensor,
    x: Tensor,
    y: Tensor,
    alphas: Tensor,
    sets: np.ndarray | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> PiecewiseLosses:
    """L(α) = ½ mean ‖f_α(x) − y‖² of every path, and its barriers, from the exact polynomial on each piece.

    On the path a pre-activation is affine in α and an output weight too, so that a sample's output is a quadratic
    between the breakpoints at which its units change sign, and L a quartic. One sweep over all breakpoints of a pair in
    their order gives its pieces; there is no grid. theory/finite_data/two_layer.py derives it, and does it in numpy.

    Args:
        architecture: one hidden layer of relu, leaky_relu or identity units.
        params_a: `[n_pairs, n_parameters]`, float32 or float64, finite.
        params_b: the same of the other ends.
        x: `[n_sets, n_samples, n_inputs]`.
        y: `[n_sets, n_samples, n_outputs]`.
        alphas: `[n_alphas]` in [0, 1], where L is wanted.
        sets: int64 `[n_pairs, 2]`: L is the mean over the samples of both sets, or of one where they are equal; None is
            set 0 for all.
        threads: None is one a core.
        progress: is told how many pairs are done, of how many.

    Raises:
        ValueError: the architecture is another, shapes do not fit, or a number is out of its range.

    >>> import torch
    >>> architecture = Architecture((1, 1, 1), biases=False)
    >>> found = piecewise_losses(architecture, torch.tensor([[1.0, 1.0]]), torch.tensor([[-1.0, 1.0]]),
    ...     torch.ones(1, 1, 1), torch.zeros(1, 1, 1), torch.tensor([0.25, 0.75]))  # ½ (1 − 2α)² up to ½, then 0
    >>> found.losses.tolist(), found.n_pieces.tolist(), found.barriers[0, 3].tolist()
    ([[0.125, 0.0]], [2], [-0.25, 0.5])
    """
    import torch

    if why := lacks(architecture):
        raise ValueError(f"architecture: an exact piecewise path asks for {why}.")
    dtype = params_a.dtype if params_a.dtype is params_b.dtype else torch.float64
    a, b = (params.to(dtype).contiguous() for params in (params_a, params_b))
    inputs, targets, grid = (values.double().contiguous() for values in (x, y, alphas))
    if sets is None:
        sets = np.zeros((len(a), 2))
    chosen = np.ascontiguousarray(sets, np.int64)
    _check(architecture, a, b, inputs, targets, grid, chosen)
    # numpy's arrays: see kernels.native.train
    losses = np.empty((len(a), len(grid)))
    barriers = np.empty((len(a), 4, 2))
    n_pieces = np.empty(len(a), np.int64)
    monitor = Monitor()
    keep: list[np.ndarray] = []
    net = described_network(architecture, keep)
    net.negative_slope = SLOPES.get(architecture.activation, architecture.negative_slope)
    spec = PiecewiseSpec(
        net=net,
        n_pairs=len(a),
        n_samples=inputs.shape[1],
        n_alphas=len(grid),
        threads=thread_count(threads),
        is_double=dtype is torch.float64,
        params_a=address(a),
        params_b=address(b),
        x=address(inputs),
        y=address(targets),
        sets=address(chosen),
        alphas=address(grid),
        losses=address(losses),
        barriers=address(barriers),
        n_pieces=address(n_pieces),
        monitor=ctypes.addressof(monitor),
    )
    arrays = (keep, a, b, inputs, targets, grid, chosen, losses, barriers, n_pieces)
    call(loaded().lmc_piecewise, spec, monitor, len(a), arrays, progress)
    return PiecewiseLosses(*(torch.from_numpy(found) for found in (losses, barriers, n_pieces)))


def _check(
    architecture: Architecture, a: Tensor, b: Tensor, x: Tensor, y: Tensor, alphas: Tensor, sets: np.ndarray
) -> None:
    """ValueError unless the C++ may read all of it."""
    import torch

    shape = (len(a), architecture.n_parameters)
    if tuple(a.shape) != shape or tuple(b.shape) != shape:
        raise ValueError(
            f"params_a and params_b must both be [n_pairs, {shape[1]}], not {list(a.shape)} and {list(b.shape)}."
        )
    n_inputs, _, n_outputs = architecture.widths
    if x.ndim != 3 or y.ndim != 3 or x.shape[2] != n_inputs or y.shape[2] != n_outputs or x.shape[:2] != y.shape[:2]:
        raise ValueError(
            f"x must be [n_sets, n_samples, {n_inputs}] and y [n_sets, n_samples, {n_outputs}], "
            f"not {list(x.shape)} and {list(y.shape)}."
        )
    if not x.shape[1]:
        raise ValueError("x holds no samples; the mean loss needs one at least.")
    if sets.shape != (len(a), 2) or (sets.size and not 0 <= sets.min() <= sets.max() < len(x)):
        raise ValueError(f"sets must be [{len(a)}, 2] with numbers from 0 to {len(x) - 1}.")
    if alphas.ndim != 1 or (len(alphas) and not 0 <= float(alphas.min()) <= float(alphas.max()) <= 1):
        raise ValueError("alphas must be [n_alphas] in [0, 1]; exact paths are known between the ends.")
    for name, values in (("params_a", a), ("params_b", b), ("x", x), ("y", y)):
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"{name} must be finite.")
