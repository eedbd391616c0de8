"""The outputs' first two orders along a path, against automatic differentiation and linear networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import theory
from kernels import Architecture
from theory.structure.output_expansion import DERIVATIVES

ALPHAS = np.linspace(0, 1, 7)
N = 4


def problem(activation, widths=(3, 6, 5, 2), scale=1.0):
    """Networks, as parameters and as theory takes them, and samples."""
    architecture = Architecture(widths, activation)
    start = architecture.initial(N, 0, dtype=torch.float64, scheme="torch")
    a, b = (start + scale * architecture.initial(N, seed, dtype=torch.float64, scheme="torch") for seed in (1, 2))
    generator = torch.Generator().manual_seed(3)
    x, y = (torch.randn(9, width, dtype=torch.float64, generator=generator) for width in (widths[0], widths[-1]))
    return architecture, a, b, x, y


def layers(architecture, params):
    return [(weight.numpy(), bias.numpy()) for weight, bias in architecture.layers(params)]


@pytest.mark.parametrize("activation", DERIVATIVES)
def test_the_second_order_is_that_of_automatic_differentiation(activation):
    architecture, a, b, x, y = problem(activation)
    curve = theory.expanded_path(layers(architecture, a), layers(architecture, b), x.numpy(), y.numpy(), activation, 2)
    for k in range(N):

        def outputs(alpha, k=k):
            params = (1 - alpha) * a[k] + alpha * b[k]
            h = x
            parts = architecture.layers(params[None])
            for weight, bias in parts[:-1]:
                z = h @ weight[0].T + bias[0]
                h = {
                    "identity": lambda z: z,
                    "relu": torch.relu,
                    "tanh": torch.tanh,
                    "erf": lambda z: torch.erf(z / 2**0.5),
                    "gelu": torch.nn.functional.gelu,
                }[activation](z)
            return h @ parts[-1][0][0].T + parts[-1][1][0]

        half, one = torch.tensor(0.5, dtype=torch.float64), torch.ones((), dtype=torch.float64)

        def slope(alpha, outputs=outputs, one=one):
            return torch.func.jvp(outputs, (alpha,), (one,))[1]

        bend = torch.func.jvp(slope, (half,), (one,))[1]
        for alpha, loss in zip(ALPHAS, curve(ALPHAS)[k], strict=True):
            f = (1 - alpha) * outputs(0.0) + alpha * outputs(1.0) - 0.5 * alpha * (1 - alpha) * bend
            assert loss == pytest.approx(0.5 * (f - y).square().sum(1).mean().item(), rel=1e-10)


def test_between_linear_networks_of_two_layers_it_is_exact():
    architecture, a, b, x, y = problem("identity", (3, 6, 2))
    moments = theory.SecondMoments.from_data(x.numpy(), y.numpy())
    ends = layers(architecture, a), layers(architecture, b)
    exact = theory.linear_path(*ends, moments)
    assert np.allclose(theory.expanded_path(*ends, x.numpy(), y.numpy(), "identity", 2)(ALPHAS), exact(ALPHAS))


def test_the_lazy_limit_has_no_barrier_and_a_fitting_path_has_the_curvatures():
    architecture, a, b, x, y = problem("tanh")
    ends = layers(architecture, a), layers(architecture, b)
    assert (theory.expanded_path(*ends, x.numpy(), y.numpy(), "tanh", 1).barrier().value <= 1e-12).all()


def test_what_is_left_out_is_of_third_order():
    """As ends draw near each other, measured less predicted falls as the outputs' third derivative, ‖Δ‖³."""
    errors = []
    for scale in (0.1, 0.05):
        architecture, a, b, x, y = problem("tanh", scale=scale)
        ends = layers(architecture, a), layers(architecture, b)
        predicted = theory.expanded_path(*ends, x.numpy(), y.numpy(), "tanh", 2)(ALPHAS)
        measured = []
        for alpha in ALPHAS:
            outputs = [architecture.to_torch((1 - alpha) * a[k] + alpha * b[k])(x) for k in range(N)]
            measured.append([0.5 * (output - y).square().sum(1).mean().item() for output in outputs])
        errors.append(np.abs(np.array(measured).T - predicted).max(1))
    assert (errors[0] > 6 * errors[1]).all() and (errors[0] < 10 * errors[1]).all()


def test_what_does_not_fit_is_refused():
    line = [([[1.0]], None)]
    with pytest.raises(ValueError, match="order must be 1"):
        theory.expanded_path(line, line, [[1.0]], [[1.0]], "identity", 3)
    with pytest.raises(ValueError, match=r"give .n_samples, 1. and .n_samples, 1. with the same samples"):
        theory.expanded_path(line, line, [[1.0]], [1.0], "identity", 1)
