"""What the kernel tests share."""

from __future__ import annotations

import shutil

import pytest

from kernels import native
from tests.kernels.narrow import narrow_tree

__all__ = ["narrow_tree"]


@pytest.fixture(scope="session")
def native_backend() -> str:
    """The native backend; its absence is excused only where there is no compiler to build it."""
    if why := native.missing():
        if shutil.which("g++") or shutil.which("clang++"):
            pytest.fail(f"a compiler is here, yet the native backend is not: {why}")
        pytest.skip(f"no C++ compiler on this machine: {why}")
    return "native"
