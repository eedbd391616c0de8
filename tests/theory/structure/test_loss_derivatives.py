"""Four derivatives of the loss along a direction, against automatic differentiation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels import Architecture, reference
from theory.structure.loss_derivatives import SMOOTH, loss_derivatives

N = 3


def problem(activation, loss, widths=(3, 5, 4, 3)):
    """Networks and directions, as parameters, and samples."""
    architecture = Architecture(widths, activation)
    at, along = (architecture.initial(N, seed, dtype=torch.float64, scheme="torch") for seed in (1, 2))
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(9, widths[0], dtype=torch.float64, generator=generator)
    if loss == "mse":
        return architecture, at, along, x, torch.randn(9, widths[-1], dtype=torch.float64, generator=generator)
    return architecture, at, along, x, torch.randint(widths[-1], (9,), generator=generator)


def layers(architecture, params):
    return [(weight.numpy(), bias.numpy()) for weight, bias in architecture.layers(params)]


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("activation", sorted(set(SMOOTH) - {"square"}))
def test_derivatives_are_those_of_automatic_differentiation(activation, loss):
    architecture, at, along, x, y = problem(activation, loss)
    found = loss_derivatives(
        layers(architecture, at), layers(architecture, along), x.numpy(), y.numpy(), activation, loss=loss
    )
    for k in range(N):
        t = torch.zeros((), dtype=torch.float64, requires_grad=True)
        outputs = reference.forward(architecture, (at[k] + t * along[k])[None], x[None])[0]
        value = reference.sample_losses(loss, outputs, y[None])[0].mean()
        expected = [value.item()]
        for _ in range(4):
            (value,) = torch.autograd.grad(value, t, create_graph=True)
            expected.append(value.item())
        np.testing.assert_allclose(found[k], expected, rtol=1e-9, atol=1e-11)


def test_a_square_is_a_polynomial():
    """f = v (w x)² at w = 1 + t, v = 1 − t, x = y = 1: the loss is ½ ((1 − t)(1 + t)² − 1)²."""
    at, along = [([[1.0]], None), ([[1.0]], None)], [([[1.0]], None), ([[-1.0]], None)]
    loss = np.polynomial.Polynomial([-1.0]) + np.polynomial.Polynomial([1, -1]) * np.polynomial.Polynomial([1, 1]) ** 2
    expected = [(0.5 * loss**2).deriv(k)(0.0) if k else 0.0 for k in range(5)]
    np.testing.assert_allclose(loss_derivatives(at, along, [[1.0]], [[1.0]], "square"), [expected], atol=1e-12)


def test_chunks_do_not_matter(monkeypatch):
    architecture, at, along, x, y = problem("tanh", "mse")
    given = layers(architecture, at), layers(architecture, along), x.numpy(), y.numpy(), "tanh"
    whole = loss_derivatives(*given)
    monkeypatch.setattr("theory.structure.loss_derivatives.AT_A_TIME", 1)
    np.testing.assert_array_equal(loss_derivatives(*given), whole)


def test_what_does_not_fit_is_refused():
    one = [([[1.0]], None)]
    with pytest.raises(ValueError, match="relu"):
        loss_derivatives(one, one, [[1.0]], [[1.0]], "relu")
    with pytest.raises(ValueError, match="y \\(2, 1\\)"):
        loss_derivatives(one, one, [[1.0]], [[1.0], [2.0]], "tanh")
