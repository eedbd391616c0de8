"""The kernels run in three ways: under Triton's interpreter, through the compiler alone, and on a GPU.

Triton decides at import whether its functions are interpreted, so a process does one or the other: the tests in
`interpreted/` are collected only with TRITON_INTERPRET=1, and `test_interpreted.py` runs them in processes of their
own.
"""

from __future__ import annotations

import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
collect_ignore_glob = ["test_*.py"] if INTERPRETED else ["interpreted/*"]


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "gpu: needs a GPU that torch sees; skipped, with the reason, where there is none"
    )


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="torch sees no GPU on this machine"))


@pytest.fixture(scope="session", autouse=True)
def _triton():
    pytest.importorskip("triton", reason="Triton is not installed")
