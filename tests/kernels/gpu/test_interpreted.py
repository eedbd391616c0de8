"""Runs `interpreted/` in processes of their own, whose Triton interprets its kernels."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).with_name("interpreted")


MODULES = sorted(path.name for path in FOLDER.glob("test_*.py"))
SLOW = ("test_doctor.py", "test_streams.py")


@pytest.mark.parametrize("module", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MODULES])
def test_interpreted(module):
    interpret(module, "not slow")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["test_memory.py", "test_streams.py", "test_study.py", "test_training.py"])
def test_interpreted_at_length(module):
    interpret(module, "slow")


def interpret(module: str, marked: str) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", marked]
    command.append(str(FOLDER / module))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {
        "TRITON_INTERPRET": "1"
    }
    done = subprocess.run(command, cwd=FOLDER.parents[3], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
