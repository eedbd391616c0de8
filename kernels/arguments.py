"""What users give for parameters, alphas, seeds, masks and ties, as the backends take it; ValueError names the rest."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from kernels import streams
from kernels.checks import all_finite, described, numbers, per_network, whole
from kernels.network import Architecture

Seeds = int | Sequence[int] | np.ndarray | Tensor
Alphas = Tensor | np.ndarray | Sequence[float] | int
FLOATS = (torch.float32, torch.float64)  # what backends compute in


def network_params(field: str, architecture: Architecture, given: Tensor, items: str) -> Tensor:
    """`given`, a tensor or an array, `[n, n_parameters]`, contiguous and without a gradient.

    items: what the rows are called in an error.

    >>> network_params("params", Architecture((1, 1)), np.ones((3, 2)), "networks").shape
    torch.Size([3, 2])
    """
    params = numbers(field, given)
    if params.ndim != 2 or params.shape[1] != architecture.n_parameters:
        raise ValueError(f"{field} must have shape [n_{items}, {architecture.n_parameters}], not {list(params.shape)}.")
    if not len(params):
        raise ValueError(f"{field} must hold at least one row: there are no {items}.")
    if params.dtype not in FLOATS:
        raise ValueError(f"{field} must be float32 or float64, not {params.dtype}.")
    return params.contiguous()


def float_dtype(dtype: torch.dtype | None, default: torch.dtype) -> torch.dtype:
    """What numbers are computed in, float32 or float64; None stands for the default.

    >>> float_dtype(None, torch.float32)
    torch.float32
    >>> float_dtype(torch.float16, torch.float32)
    Traceback (most recent call last):
    ValueError: dtype must be torch.float32 or torch.float64, not torch.float16.
    """
    if dtype is None:
        return default
    if not isinstance(dtype, torch.dtype) or dtype not in FLOATS:
        raise ValueError(f"dtype must be torch.float32 or torch.float64, not {described(dtype)}.")
    return dtype


def place(device: torch.device | str) -> torch.device:
    """A device of torch's that is there, to draw numbers on.

    >>> place("cpu")
    device(type='cpu')
    >>> place("gpu")
    Traceback (most recent call last):
    ValueError: device must be one that torch has here, such as 'cpu' or 'cuda', not 'gpu'.
    """
    try:
        found = torch.device(device)
        torch.empty(1, device=found).cpu()  # AssertionError: this torch knows of no CUDA
    except torch.cuda.OutOfMemoryError:  # it is there, and full
        raise
    except (RuntimeError, TypeError, ValueError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device must be one that torch has here, such as 'cpu' or 'cuda', not {described(device)}."
        ) from error
    return found


def alpha_grid(alphas: Alphas) -> Tensor:
    """The alphas, float64 `[n_alphas]`; a count stands for as many evenly spaced ones from 0 to 1.

    >>> alpha_grid(3)
    tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64)
    """
    if isinstance(alphas, Integral) and not isinstance(alphas, bool):
        count = whole("alphas, as a count,", alphas, least=2)
        return torch.linspace(0, 1, count, dtype=torch.float64, device="cpu")
    grid = numbers("alphas", alphas).to(torch.float64).contiguous()
    if grid.ndim != 1 or not len(grid) or not all_finite(grid):
        raise ValueError(f"alphas must be a list of finite numbers, or a count of them, not {described(alphas)}.")
    return grid


def item_seeds(field: str, given: Seeds, n: int, device: torch.device) -> Tensor:
    """The seed of each network or pair, int64 `[n]` on `device`: the given ones, or derived from one number.

    >>> item_seeds("seeds", [5, 7], 2, torch.device("cpu"))
    tensor([5, 7])
    """
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 2**63:
        return streams.seeds_on(device, given, n)
    seeds = numbers(field, given).cpu()
    if seeds.is_floating_point() or seeds.dtype is torch.bool or bool((seeds < 0).any()):
        raise ValueError(f"{field} must be whole numbers in [0, 2^63), not {described(given)}.")
    if seeds.ndim:
        return per_network(field, seeds, n, torch.int64).to(device)
    return streams.seeds_on(device, int(seeds), n)


def switches(field: str, given: Tensor | None, params: Tensor) -> Tensor | None:
    """A bool for every parameter of every network, from one per parameter or per network and parameter.

    >>> switches("mask", torch.tensor([True, False]), torch.ones(2, 2))
    tensor([[ True, False],
            [ True, False]])
    """
    if given is None:
        return None
    value = numbers(field, given)
    if value.dtype is not torch.bool or value.shape not in (params.shape[1:], params.shape):
        raise ValueError(
            f"{field} must be a bool tensor of shape [{params.shape[1]}] or {list(params.shape)}, "
            f"not {value.dtype} {list(value.shape)}."
        )
    return value.to(params.device).expand(params.shape).contiguous()


def first_of_group(
    tied: Tensor | np.ndarray | Sequence[int], params: Tensor, mask: Tensor | None, trainable: Tensor | None
) -> Tensor:
    """For each parameter the index of the first parameter of its tied group, int64 `[n_parameters]`.

    tied: whole numbers `[n_parameters]`, equal for the parameters of a group. mask and trainable must be alike within
    every group.

    >>> first_of_group([7, 8, 7], torch.ones(1, 3), None, None)
    tensor([0, 1, 0])
    """
    n_parameters = params.shape[1]
    groups = numbers("tied", tied).cpu()
    whole_numbers = not groups.is_floating_point() and groups.dtype is not torch.bool
    if not whole_numbers or groups.shape != (n_parameters,):
        raise ValueError(f"tied must be whole numbers of shape [{n_parameters}], not {described(tied)}.")
    _, first_of_groups, group = np.unique(groups.numpy(), return_index=True, return_inverse=True)
    first = torch.from_numpy(first_of_groups[group].astype(np.int64)).to(params.device)
    for field, value in (("mask", mask), ("trainable", trainable)):
        if value is not None and not bool((value == value[:, first]).all()):
            raise ValueError(f"tied: the parameters of a tied group must be alike in {field}.")
    return first
