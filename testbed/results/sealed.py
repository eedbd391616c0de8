"""Files that say themselves whether they are as they were written: JSON and safetensors with a checksum inside.

The checksum is the SHA-256 of all else that the file says. In JSON it is the field `sha256`; in safetensors it stands
in the metadata, in one entry `lmc-testbed` of JSON, beside what the file is about (one entry, because the library
writes several in no fixed order, and a file's bytes are to be the same in every run).
"""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

ENTRY = "lmc-testbed"
UNREADABLE = (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


def json_bytes(fields: dict[str, Any]) -> bytes:
    """Indented JSON of these fields, and their checksum.

    >>> json_fields(json_bytes({"seed": 3}))
    {'seed': 3}
    """
    return (json.dumps(fields | {"sha256": _of_json(fields)}, indent=2) + "\n").encode()


def json_fields(content: bytes) -> dict[str, Any]:
    """The fields without the checksum; ValueError if they are not what was written.

    A file without any checksums, as earlier versions wrote it, is taken as it is.
    """
    try:
        fields = json.loads(content)
    except RecursionError:
        raise ValueError("this is nested too deeply.") from None
    if not isinstance(fields, dict):
        raise ValueError("this is no table.")
    found = fields.pop("sha256", None)
    if (found is not None or "files" in fields) and found != _of_json(fields):
        raise ValueError("this is not what was written.")
    return fields


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write a safetensors file of these tensors, which says what it is about; no copy of them is made.

    >>> import tempfile, torch
    >>> path = Path(tempfile.mkdtemp()) / "ones"
    >>> write_tensors(path, {"x": torch.ones(2)}, {"name": "ones"})
    >>> tensors, about = tensors_of(path)
    >>> tensors["x"], about
    (tensor([1., 1.]), {'name': 'ones'})
    """
    tensors = {name: tensor.contiguous() for name, tensor in sorted(tensors.items())}
    entry = json.dumps(about | {"sha256": _of_tensors(tensors, about)}, sort_keys=True)
    header = _header(tensors, entry)
    with path.open("wb") as file:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)
        for name in header:
            if name != "__metadata__":
                file.write(_bytes_of(tensors[name]))


def _header(tensors: dict[str, Tensor], entry: str) -> dict[str, Any]:
    """The header as the library writes it, which orders the tensors: that of empty ones, with the sizes of these."""
    content = save({name: tensor.new_empty(0) for name, tensor in tensors.items()}, metadata={ENTRY: entry})
    header: dict[str, Any] = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    start = 0
    for name, about in header.items():
        if name != "__metadata__":
            stop = start + tensors[name].nbytes
            about |= {"shape": list(tensors[name].shape), "data_offsets": [start, stop]}
            start = stop
    return header


def tensors_of(path: Path, unchecked: bool = False) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, mapped: read as far as they are looked at; and what they are about.

    unchecked: they are taken to be what was written. ValueError if they are not, or if this is no file of a run.
    """
    try:
        tensors, about = _opened(path)
        found = about.pop("sha256")
    except UNREADABLE:
        raise ValueError("this is no file of a run.") from None
    if not unchecked and found != _of_tensors(tensors, about):
        raise ValueError("this is not what was written.")
    return tensors, about


def _opened(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        return _read(path)
    except UNREADABLE:
        whole = _read(path)
        # What a signal raises, torch takes for an error of its own where it falls into its C++: of a file that can be
        # read the second time it is raised again. Signals fall into the main thread alone.
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt from None
        return whole


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()[ENTRY])


def _of_json(fields: Any) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _of_tensors(tensors: dict[str, Tensor], about: dict[str, Any]) -> str:
    """Of what they are about, and of every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        array = np.ascontiguousarray(tensor.numpy())
        digest.update(json.dumps([name, str(array.dtype), array.shape]).encode())
        digest.update(_bytes_of(tensor))
    return digest.hexdigest()


def _bytes_of(tensor: Tensor) -> memoryview:
    return np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8).data
