"""The plane through three networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels import Architecture, path_losses
from testbed.measures.plane import plane

LOSS = "cross_entropy"
SIDES = ((0, 1), (0, 2), (1, 2))


def test_the_plane_holds_its_corners_and_is_the_loss_between_them():
    architecture = Architecture((2, 6, 2), "relu")
    params = architecture.initial(3, 0, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 2, dtype=torch.float64, generator=generator)
    data = (x, ((x[:, 0] > 0) ^ (x[:, 1] > 0)).long())
    found = plane(architecture, params, data, LOSS, resolution=9)
    distances = [(params[i] - params[j]).norm().item() for i, j in SIDES]
    corners = found.corners
    assert np.allclose([np.linalg.norm(corners[i] - corners[j]) for i, j in SIDES], distances)
    basis = torch.stack([params[1] - params[0], params[2] - params[0]])
    to_corners = np.stack([corners[1] - corners[0], corners[2] - corners[0]], 1)
    for row, column in ((0, 0), (3, 7), (8, 4)):  # the same point by its share of B and C
        point = np.array([found.u[column], found.v[row]])
        share = np.linalg.solve(to_corners, point - corners[0])
        theta = (params[0] + torch.from_numpy(share) @ basis)[None]
        expected = path_losses(architecture, theta, theta, [0.0], data, LOSS).loss.item()
        assert found.loss[row, column] == pytest.approx(expected, rel=1e-9)
    on_a_line = torch.stack([params[0], params[1], 0.5 * (params[0] + params[1])])
    with pytest.raises(ValueError, match="lie on one line"):
        plane(architecture, on_a_line, data, LOSS)
