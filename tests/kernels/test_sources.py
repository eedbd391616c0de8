"""The C++ that no other test compiles: what benchmarks compile for themselves, and all of it by other compilers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = sorted((ROOT / "kernels" / "native").glob("*.cpp"))
OTHERS = {  # what a laptop has that is not Linux on x86-64 with g++
    "clang": ("clang++", "-march=native"),
    "g++ for ARM": ("aarch64-linux-gnu-g++", "-Wno-psabi"),
}


def refused(compiler: str, *arguments: str | Path) -> str:
    """What the compiler has against a source, warnings among it; skips the test where there is no such compiler."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    command = [compiler, "-std=c++17", "-fsyntax-only", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr[-2000:]


def test_the_program_that_counts_cycles_compiles():
    assert refused("g++", "-march=native", "-w", ROOT / "benchmarks" / "tile.cpp") == ""


@pytest.mark.slow
@pytest.mark.parametrize("other", OTHERS)
def test_other_compilers_take_the_native_kernel(other):
    """Their kernels were compiled and run by hand, and found the same bits: docs/install.md."""
    assert refused(*OTHERS[other], *NATIVE) == ""
