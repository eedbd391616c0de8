"""How much memory this machine lets a process have, and numbers of bytes as people read them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup/memory.max")  # of a container
M_MMAP_THRESHOLD = -3  # malloc.h
LARGE = 2**20  # bytes
TABLE_WHOLE = 2**25  # numbers in a table that is made whole; longer ones are written as their parts are made


def limit() -> int:
    """Bytes that a process may hold: the machine's memory, or a container's or the shell's limit where that is lower.

    >>> limit() > 2**20
    True
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    with contextlib.suppress(OSError, ValueError):  # there is no such file, or it says "max"
        limits.append(int(CGROUP.read_text()))
    return min(limits)


def give_back() -> None:
    """Have the C library return to the system what it keeps for later; nothing where it has no such function.

    Arrays of some megabytes are kept, and what is freed between others is not used by a larger one: a run would come to
    hold twice what it needs.

    >>> give_back()
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def give_back_at_once() -> None:
    """Have the C library return large arrays to the system when they are freed, in all that this process does from now.

    Otherwise it keeps what is smaller than the largest that was ever freed (up to 32 MiB). Every array then costs the
    pages that it touches; for a run whose arrays are few and large.

    >>> give_back_at_once()
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # of glibc
    if set_option is not None:
        set_option(M_MMAP_THRESHOLD, LARGE)


def readable(n_bytes: float) -> str:
    """Bytes in the unit that suits them.

    >>> readable(3 * 2**30), readable(5e5), readable(1e30)
    ('3 GiB', '0.48 MiB', '8.9e+14 PiB')
    """
    for unit, size in (("MiB", 2**20), ("GiB", 2**30), ("TiB", 2**40)):
        if n_bytes < 1000 * size:
            return f"{n_bytes / size:.2g} {unit}" if n_bytes < 100 * size else f"{n_bytes / size:.0f} {unit}"
    return f"{n_bytes / 2**50:.2g} PiB"
