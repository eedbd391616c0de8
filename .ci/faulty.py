"""Gives the native kernel what must alarm a sanitizer: `address`, an array that is too short; `thread`, one shared.

Under a sanitizer that is awake this ends in its report, and otherwise in exit status 0.
"""

from __future__ import annotations

import ctypes
import sys
import threading

import numpy as np

from kernels.native.compiled import loaded

COUNT = 10**6
missing = COUNT // 2 if "address" in sys.argv[1] else 0
seeds = np.zeros(COUNT, np.int64)
drawn = np.zeros(COUNT - missing, np.float64)


def draw() -> None:
    """Three numbers of each seed, written to the same array as in the other thread."""
    step, position, limit = (ctypes.c_int64(value) for value in (0, 0, 5))
    outputs = [ctypes.c_void_p(drawn.ctypes.data)] * 3
    address = ctypes.c_void_p(seeds.ctypes.data)
    loaded().lmc_streams(ctypes.c_int32(True), ctypes.c_int64(COUNT), address, step, position, limit, *outputs)


threads = [threading.Thread(target=draw) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
