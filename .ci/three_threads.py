"""A plugin of pytest: calls of the native kernel that name no number of threads take three, on however few cores."""

from __future__ import annotations

from kernels.native import compiled

compiled.cores = lambda: 3
