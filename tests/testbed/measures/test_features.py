"""Feature residuals of networks whose features interpolate, and of others."""

from __future__ import annotations

import pytest
import torch

from kernels import Architecture
from testbed.measures.features import feature_residual
from tests.testbed.measures.problems import DOUBLE


def test_features_of_linear_networks_in_one_layer_interpolate():
    architecture = Architecture((3, 4, 2), "identity")
    a, b = architecture.initial(2, 1, dtype=DOUBLE), architecture.initial(2, 2, dtype=DOUBLE)
    x = torch.randn(30, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).expand(2, -1, -1)
    assert feature_residual(architecture, a, b, x).max() < 1e-25
    bent = Architecture((3, 4, 2), "relu")
    assert feature_residual(bent, a, b, x).min() > 1e-4
    with pytest.raises(ValueError, match="without normalise"):
        feature_residual(Architecture((3, 4, 2), normalise=True), a, b, x)
