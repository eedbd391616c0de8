"""What the tests of faults share: small studies, runs without figures, and processes that can be killed."""

from __future__ import annotations

import multiprocessing

import pytest

from tests.testbed.conftest import raw, study

__all__ = ["raw", "study"]


@pytest.fixture(scope="session")
def processes():
    """Where processes come from: forks of one that has imported everything, so that a hundred take seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults.children"])
    return context
