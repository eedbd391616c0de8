"""Settings of the whole suite.

Hypothesis repeats itself in CI and digs deeper on demand (`HYPOTHESIS_PROFILE=deep make test`).
"""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import HealthCheck, settings

slow_is_fine = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "repeat", derandomize=True, deadline=None, max_examples=50, suppress_health_check=slow_is_fine
)
settings.register_profile("deep", deadline=None, max_examples=2000, suppress_health_check=slow_is_fine)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))

torch.set_num_threads(1)  # workers share the machine


def pytest_collection_modifyitems(items):
    """The longest first, so that workers end together."""
    items.sort(key=lambda item: "test_interpreted" not in item.nodeid)


@pytest.fixture(autouse=True)
def figures_by_this_process(monkeypatch):
    """Figures are saved where the test runs: workers share the cores, and processes take a second to start."""
    monkeypatch.setattr("testbed.figure_files.cores", lambda: 1)


@pytest.fixture
def no_figures(monkeypatch):
    """Runs write an empty report: figures would only take time."""

    def write_page(store):
        from testbed.report import Page
        from testbed.report.blocks import blocks
        from testbed.results import Results

        report = store.folder / "report.html"
        report.write_bytes(b"")
        results = Results.of(store)
        return Page(report, results, blocks(results))

    monkeypatch.setattr("testbed.run._page", write_page)
