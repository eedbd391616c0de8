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


def compile_all(compiler: str, *arguments: str | Path) -> None:
    """The compiler has nothing against the sources, no warning either; skips the test where it is not there."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    command = [compiler, "-std=c++17", "-fsyntax-only", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr[-2000:]) == (0, "")


def test_the_program_that_counts_cycles_compiles():
    compile_all("g++", "-march=native", "-w", ROOT / "benchmarks" / "tile.cpp")


@pytest.mark.slow
@pytest.mark.parametrize("other", OTHERS)
def test_other_compilers_take_the_native_kernel(other):
    """What they make of it was run by hand, and found the same bits: docs/install.md."""
    compile_all(*OTHERS[other], *NATIVE)
