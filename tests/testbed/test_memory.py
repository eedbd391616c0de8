"""What the C library keeps for later is given back."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="of glibc alone")
def test_large_arrays_go_back_at_once():
    """126 MB between arrays that stay, in arrays that are smaller than one that was freed before: those are kept
    otherwise, nearly always. In a process of its own, since it stays so.
    """
    program = (
        "import numpy as np; from tests.testbed.test_memory import _resident; from testbed import memory\n"
        "memory.give_back_at_once()\n"
        "np.ones(15 * 2**18); arrays = [np.ones(2**19) for _ in range(40)]; before = _resident()\n"
        "arrays = arrays[::4]; print(before - _resident())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 120e6


def _resident() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
