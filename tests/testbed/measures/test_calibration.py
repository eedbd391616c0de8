"""The best temperature against a scalar minimiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from testbed.measures.calibration import calibrated_losses
from tests.testbed.measures.problems import DOUBLE, setting


def best_loss(outputs, classes):
    """The least cross-entropy over temperatures, and that of an infinite one."""

    def loss(log_beta):
        return torch.nn.functional.cross_entropy(np.exp(log_beta) * outputs, classes).item()

    found = minimize_scalar(loss, bounds=(-12, 8), method="bounded", options={"xatol": 1e-10}).fun
    return min(found, np.log(outputs.shape[1]))


def test_calibration_finds_the_best_temperature():
    architecture, a, b, x, y = setting("cross_entropy", (3, 6, 4))
    alphas = torch.tensor([0.0, 0.3, 1.0], dtype=DOUBLE)
    found = calibrated_losses(architecture, a, b, alphas, (x, y))
    for k in range(3):
        for j, alpha in enumerate(alphas):
            outputs = architecture.to_torch((1 - alpha) * a[k] + alpha * b[k])(x[k]).detach()
            assert found[k, j] == pytest.approx(best_loss(outputs, y[k]), abs=1e-7)
