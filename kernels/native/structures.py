"""The structures of the C++ interface, mirrored field by field for ctypes.

Each class has the name of its C++ struct, and the same fields in the same order (tests/kernels/test_structures.py
compares the two texts). A pointer is a `c_void_p`: `address` makes one of an array, which must outlive the call.
Shapes, dtypes and meanings stand beside the fields in C++.
"""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_int32, c_int64, c_void_p
from typing import TYPE_CHECKING

import numpy as np

from kernels.checks import is_tensor

if TYPE_CHECKING:
    from torch import Tensor


class Monitor(ctypes.Structure):
    """Progress of a call, and the flag that stops it (group.h)."""

    _fields_ = (
        ("done", c_int64),
        ("cancel", c_int32),
    )


class NetworkSpec(ctypes.Structure):
    """An architecture (spec.h)."""

    _fields_ = (
        ("n_layers", c_int64),
        ("widths", c_void_p),
        ("activation", c_int32),
        ("biases", c_int32),
        ("normalise", c_int32),
        ("residual", c_int32),
        ("negative_slope", c_double),
    )


class SamplesSpec(ctypes.Structure):
    """Where samples come from (samples.h)."""

    _fields_ = (
        ("n_samples", c_int64),
        ("x", c_void_p),
        ("y", c_void_p),
        ("dataset", c_void_p),
        ("teacher_params", c_void_p),
        ("teacher", NetworkSpec),
        ("has_teacher", c_int32),
    )


class TrainSpec(ctypes.Structure):
    """An ensemble to train (train.h)."""

    _fields_ = (
        ("net", NetworkSpec),
        ("samples", SamplesSpec),
        ("n_networks", c_int64),
        ("steps", c_int64),
        ("batch_size", c_int64),
        ("record_every", c_int64),
        ("n_records", c_int64),
        ("n_snapshots", c_int64),
        ("threads", c_int64),
        ("is_double", c_int32),
        ("loss", c_int32),
        ("sampling", c_int32),
        ("optimizer", c_int32),
        ("beta_1", c_double),
        ("beta_2", c_double),
        ("eps", c_double),
        ("label_smoothing", c_double),
        ("clip_norm", c_double),
        ("stop_below", c_double),
        ("lr", c_void_p),
        ("momentum", c_void_p),
        ("weight_decay", c_void_p),
        ("data_seeds", c_void_p),
        ("spawn_steps", c_void_p),
        ("spawn_seeds", c_void_p),
        ("mask", c_void_p),
        ("trainable", c_void_p),
        ("tied", c_void_p),
        ("rates", c_void_p),
        ("factors", c_void_p),
        ("correction_1", c_void_p),
        ("correction_2", c_void_p),
        ("snapshot_steps", c_void_p),
        ("initial", c_void_p),
        ("params", c_void_p),
        ("losses", c_void_p),
        ("snapshots", c_void_p),
        ("diverged_at", c_void_p),
        ("stopped_at", c_void_p),
        ("monitor", c_void_p),
    )


class PathSpec(ctypes.Structure):
    """Paths to evaluate (paths.h)."""

    _fields_ = (
        ("net", NetworkSpec),
        ("samples", SamplesSpec),
        ("n_pairs", c_int64),
        ("n_alphas", c_int64),
        ("threads", c_int64),
        ("is_double", c_int32),
        ("loss", c_int32),
        ("params_a", c_void_p),
        ("params_b", c_void_p),
        ("alphas", c_void_p),
        ("seeds", c_void_p),
        ("mean", c_void_p),
        ("standard_error", c_void_p),
        ("skewness", c_void_p),
        ("error", c_void_p),
        ("monitor", c_void_p),
    )


class AssignmentSpec(ctypes.Structure):
    """Matrices to solve (assignment.cpp)."""

    _fields_ = (
        ("n", c_int64),
        ("m", c_int64),
        ("threads", c_int64),
        ("scores", c_void_p),
        ("columns", c_void_p),
        ("monitor", c_void_p),
    )


class DrawSpec(ctypes.Structure):
    """Initial parameters to draw (draws.cpp)."""

    _fields_ = (
        ("n", c_int64),
        ("n_parameters", c_int64),
        ("threads", c_int64),
        ("is_double", c_int32),
        ("uniform", c_int32),
        ("seeds", c_void_p),
        ("deviations", c_void_p),
        ("params", c_void_p),
        ("in_doubt", c_void_p),
        ("monitor", c_void_p),
    )


class MatchingSpec(ctypes.Structure):
    """Pairs to match by weights (matching.cpp)."""

    _fields_ = (
        ("net", NetworkSpec),
        ("n_pairs", c_int64),
        ("most_sweeps", c_int64),
        ("threads", c_int64),
        ("is_double", c_int32),
        ("signs", c_int32),
        ("rounding", c_double),
        ("params_a", c_void_p),
        ("params_b", c_void_p),
        ("matched", c_void_p),
        ("orders", c_void_p),
        ("flips", c_void_p),
        ("monitor", c_void_p),
    )


class PiecewiseSpec(ctypes.Structure):
    """Paths that are polynomials on pieces (piecewise.cpp)."""

    _fields_ = (
        ("net", NetworkSpec),
        ("n_pairs", c_int64),
        ("n_samples", c_int64),
        ("n_alphas", c_int64),
        ("threads", c_int64),
        ("is_double", c_int32),
        ("params_a", c_void_p),
        ("params_b", c_void_p),
        ("x", c_void_p),
        ("y", c_void_p),
        ("sets", c_void_p),
        ("alphas", c_void_p),
        ("losses", c_void_p),
        ("barriers", c_void_p),
        ("n_pieces", c_void_p),
        ("monitor", c_void_p),
    )


class PopulationSpec(ctypes.Structure):
    """Paths whose population loss is known (population.cpp)."""

    _fields_ = (
        ("net", NetworkSpec),
        ("teacher", NetworkSpec),
        ("n_pairs", c_int64),
        ("n_alphas", c_int64),
        ("threads", c_int64),
        ("is_double", c_int32),
        ("tolerance", c_double),
        ("params_a", c_void_p),
        ("params_b", c_void_p),
        ("teacher_params", c_void_p),
        ("teachers", c_void_p),
        ("alphas", c_void_p),
        ("losses", c_void_p),
        ("barriers", c_void_p),
        ("errors", c_void_p),
        ("monitor", c_void_p),
    )


def address(array: Tensor | np.ndarray | None) -> int | None:
    """Where an array's numbers begin in memory; None (a null pointer) for None.

    ValueError for an array with gaps between its numbers, or on another device: the C++ would read what is not its.
    """
    if array is None:
        return None
    if is_tensor(array):
        in_one_piece = array.is_cpu and array.is_contiguous()
        start = array.data_ptr()
    else:
        in_one_piece = array.flags.c_contiguous
        start = array.ctypes.data
    if not in_one_piece:
        raise ValueError("an array must lie in one piece in memory for the native backend to read it.")
    return int(start)
