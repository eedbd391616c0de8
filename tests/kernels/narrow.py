"""The native kernel compiled for AVX2, in a copy of the tree: minutes, so that the tests of a run share one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]
MARCH = "x86-64-v3"


@pytest.fixture(scope="session")
def narrow_tree(tmp_path_factory) -> Path:
    """A folder with `kernels`, its library for AVX2, and `tests.kernels`; one for all processes of a run."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    tree = shared / "narrow"
    with FileLock(f"{tree}.lock"):
        if not (tree / "built").exists():
            build(tree)
            (tree / "built").touch()
    return tree


def build(tree: Path) -> None:
    """Copy the sources and compile them as setup.py does."""
    for room in ("kernels", "tests/kernels"):
        shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    shutil.copy(ROOT / "tests" / "__init__.py", tree / "tests")
    for file in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, tree)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(tree)]
    subprocess.run(command, cwd=tree, env=os.environ | {"LMC_MARCH": MARCH}, check=True, capture_output=True)
