"""What the C library keeps for later is given back."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest

from testbed import memory


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="of glibc alone")
def test_what_is_freed_goes_back_to_the_system():
    """100 MB in arrays too small to be mapped by themselves, and one after them that is not freed."""
    arrays = [np.ones(12_500) for _ in range(1000)]
    last = np.ones(12_500)
    del arrays
    before = _resident()
    memory.give_back()
    assert before - _resident() > 50e6
    assert last.sum() == len(last)


def _resident() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
