"""Triton's digest of itself, remembered.

Every key of Triton's cache of kernels holds a digest of Triton's own files, 460 MB of them, which each process computes
anew before its first launch: half a second. Here it is written down beside the kernels, under a name that stands for
the files as they are on disk, and read where it was written before: it is the same digest, and the keys are the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from functools import cache
from pathlib import Path

import triton
from triton.runtime import cache as keys

FOLDERS = ("_C", "backends", "compiler", "language", "runtime")  # of Triton, what its digest reads


@cache
def remember() -> None:
    """Once a process: have Triton's digest of itself read, where it was written down, and else write it down."""
    place = Path(triton.knobs.cache.dir) / f"lmc-triton-{state(Path(triton.__file__).parent)}"
    try:
        digest = place.read_text(encoding="utf-8")
    except OSError:
        digest = keys.triton_key()
        with contextlib.suppress(OSError):  # a cache that may only be read
            _write(place, digest)
    keys.triton_key = lambda: digest


def state(root: Path) -> str:
    """A name for the files below `root` as they are on disk: their places, sizes, numbers and times of change."""
    files = hashlib.sha256()
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".so", ".pyd"):
                now = path.stat()
                files.update(f"{path} {now.st_size} {now.st_ino} {now.st_mtime_ns} {now.st_ctime_ns}\n".encode())
    return files.hexdigest()


def _write(place: Path, text: str) -> None:
    """A file that other processes see whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(place)
