"""Networks in files that a study starts from: safetensors and torch checkpoints, of one network or of several."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kernels
from testbed.errors import StudyError
from testbed.sha256 import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

FIELD = "ensemble.from"
MATRIX = "params"  # the one array of a file of several networks, such as a run's own parameters/launch-0.safetensors


def found(patterns: Sequence[str], folder: Path) -> list[str]:
    """The files that these paths and patterns name, absolute; those of a pattern in the order of their numbers.

    StudyError, with the pattern, where it names no file, and where a file is named twice: one network is not two.

    >>> found(["*.safetensors"], Path("/nowhere"))
    Traceback (most recent call last):
    testbed.errors.StudyError: ensemble.from: there is no file /nowhere/*.safetensors.
    """
    files: list[str] = []
    for pattern in patterns:
        of_pattern = _files(str(folder / pattern))
        if not of_pattern:
            raise StudyError(f"{FIELD}: there is no file {folder / pattern}.")
        files += sorted((str(Path(name).resolve()) for name in of_pattern), key=_with_numbers)
    twice = next((file for file in files if files.count(file) > 1), None)
    if twice is not None:
        raise StudyError(f"{FIELD}: {twice} is named twice.")
    return files


def count(files: Sequence[str]) -> int:
    """How many networks these files hold; StudyError names one that cannot be read."""
    from torch import Tensor

    return sum(len(networks) if isinstance(networks, Tensor) else 1 for networks in map(_loaded, files))


def read(files: Sequence[str], hashes: Mapping[str, str], architecture: kernels.Architecture) -> Tensor:
    """The parameters of all networks in these files, `[n_networks, n_parameters]`, in the order of the files.

    hashes: the SHA-256 that files must have, by their paths. StudyError names a file that has another, that cannot be
    read, or whose networks are not of this architecture.
    """
    import torch

    from testbed import own_networks

    for file in files:
        if hashes.get(file) not in (None, sha256_of(file)):
            raise StudyError(f"{FIELD}: {file} has changed since the study was loaded: its SHA-256 is another.")
    loaded = [(file, _loaded(file)) for file in files]
    try:
        networks = [own_networks.read(file, held, architecture, None).params for file, held in loaded]
    except ValueError as error:
        raise StudyError(f"{FIELD}: {error}") from None
    dtype = torch.float64 if any(params.dtype is torch.float64 for params in networks) else torch.float32
    return torch.cat([params.to(dtype) for params in networks])


def _files(pattern: str) -> list[str]:
    """A file of exactly this name, else those that the pattern fits."""
    try:
        if Path(pattern).is_file():
            return [pattern]
        return [name for name in glob.glob(pattern, recursive=True) if Path(name).is_file()]
    except (OSError, ValueError):  # too long, or with a NUL
        return []


def _loaded(file: str) -> Tensor | dict[str, Any]:
    """A matrix of parameters `[n_networks, n_parameters]`, or the weights of one network by their names."""
    import torch
    from safetensors.torch import load_file
    from torch import Tensor

    from testbed.own_networks import Sorted

    try:
        if file.endswith(".safetensors"):
            held = Sorted(load_file(file))
        else:
            held = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:  # of bytes that are no state dict, torch's reader of pickles raises whatever comes
        raise StudyError(
            f"{FIELD}: {file} holds no weights that can be read: it must be a .safetensors, or a state dict that "
            "torch.save wrote."
        ) from None
    if isinstance(held, Tensor):
        held = {MATRIX: held}
    if not isinstance(held, dict):
        raise StudyError(f"{FIELD}: {file} must hold a state dict, not a {type(held).__name__}.")
    if set(held) == {MATRIX} and isinstance(held[MATRIX], Tensor):
        params = held[MATRIX]
        return params[None] if params.ndim == 1 else params
    return held


def _with_numbers(name: str) -> list[tuple[int, str]]:
    """A key that sorts net-2 before net-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
