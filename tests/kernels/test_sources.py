"""The C++ that no Python call reaches: what benchmarks compile for themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on this machine")
def test_the_program_that_counts_cycles_compiles():
    command = ["g++", "-std=c++17", "-march=native", "-w", "-fsyntax-only", str(ROOT / "benchmarks" / "tile.cpp")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
