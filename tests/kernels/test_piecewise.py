"""Exact piecewise paths of the native kernel, against theory's own and against networks that are run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import theory
from kernels import Architecture, native, path_losses
from kernels.native.piecewise import SLOPES, piecewise_losses
from testbed.pair_set import layers

pytestmark = pytest.mark.skipif(bool(native.missing()), reason=native.missing())

ALPHAS = torch.linspace(0, 1, 25, dtype=torch.float64)


def problem(seed, widths, activation="relu", biases=True, n=4, n_samples=20):
    """Networks a and b, x [1, n_samples, …] and y."""
    architecture = Architecture(widths, activation, biases=biases)
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(n, architecture.n_parameters, generator=generator, dtype=torch.float64) for _ in range(2))
    x, y = (
        torch.randn(1, n_samples, size, generator=generator, dtype=torch.float64) for size in (widths[0], widths[2])
    )
    return architecture, a, b, x, y


def by_theory(architecture, a, b, x, y, alphas=ALPHAS):
    slope = SLOPES.get(architecture.activation, architecture.negative_slope)
    ends = layers(architecture, a), layers(architecture, b)
    return theory.piecewise_barriers(*ends, x[0].numpy(), y[0].numpy(), alphas.numpy(), negative_slope=slope)


def same(architecture, a, b, x, y, alphas=ALPHAS, tolerance=1e-12):
    """The kernel's and theory's losses, numbers of pieces and barriers agree, to rounding of the largest loss."""
    found = piecewise_losses(architecture, a, b, x, y, alphas)
    known = by_theory(architecture, a, b, x, y, alphas)
    size = known.losses.max(1) + (y**2).sum(2).mean().item()
    assert (np.abs(found.losses.numpy() - known.losses).max(1) <= tolerance * size).all()
    assert np.array_equal(found.n_pieces.numpy(), known.n_pieces)
    for k, definition in enumerate(theory.BARRIER_DEFINITIONS):
        value = found.barriers[:, k, 0].numpy()
        assert (np.abs(value - known.barriers[definition].value) <= tolerance * size).all()
    # the places are where the barriers are reached; of equal ones either will do
    for k, definition in enumerate(theory.BARRIER_DEFINITIONS[:3]):
        places = found.barriers[:, k, 1]
        at_places = np.array(
            [by_theory(architecture, a, b, x, y, places[i : i + 1]).losses[i, 0] for i in range(len(a))]
        )
        start, end = known.losses[:, 0], known.losses[:, -1]
        level = {"linear": start + places.numpy() * (end - start), "mean_endpoints": (start + end) / 2}
        height = at_places - level.get(definition, np.maximum(start, end))
        assert (np.abs(height - known.barriers[definition].value) <= 10 * tolerance * size).all()
    return found


@given(
    seed=st.integers(0, 2**32 - 1),
    n_inputs=st.integers(1, 9),
    width=st.sampled_from([1, 2, 7, 8, 9, 33]),
    n_outputs=st.integers(1, 3),
    activation=st.sampled_from(["relu", "leaky_relu", "identity"]),
    biases=st.booleans(),
    n_samples=st.sampled_from([1, 5, 40]),
    scale=st.sampled_from([1.0, 1e-6, 1e6]),
)
def test_against_theory(seed, n_inputs, width, n_outputs, activation, biases, n_samples, scale):
    architecture, a, b, x, y = problem(seed, (n_inputs, width, n_outputs), activation, biases, 2, n_samples)
    same(architecture, scale * a, scale * b, x, y)


@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["whole", "dead", "equal", "still", "zero", "parallel"]))
def test_hard_cases(seed, kind):
    """Kinks that coincide, or lie at an end; units that are dead, equal, parallel or do not move."""
    architecture, a, b, x, y = problem(seed, (2, 6, 2), biases=True)
    if kind == "whole":  # small whole numbers: many kinks at one place, at the ends, and at alphas
        a, b, x, y = ((2 * values).round() for values in (a, b, x, y))
    elif kind == "dead":
        for ends in (a, b):
            ends[:, :6] = 0
    elif kind == "equal":
        x[0, 10:] = x[0, :10]
        for ends in (a, b):
            ends[:, 2:4] = ends[:, :2]
    elif kind == "still":
        b = a.clone()
    elif kind == "zero":
        a[::2] = 0
        b[1::2] = 0
    elif kind == "parallel":
        b[:, :12] = -3 * a[:, :12]
    same(architecture, a, b, x, y)


def test_alphas_at_kinks():
    """x = 1: kinks of pairs at their own alphas, where left and right piece agree."""
    architecture = Architecture((1, 1, 1), biases=False)
    kinks = torch.tensor([0.0, 2**-40, 0.25, 0.5, 1 - 2**-40, 1.0], dtype=torch.float64)
    a = torch.stack([kinks, torch.ones(6, dtype=torch.float64)], 1)
    b = torch.stack([kinks - 1, torch.ones(6, dtype=torch.float64)], 1)
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    same(architecture, a, b, one, one, kinks)


def test_against_networks_that_are_run():
    """Also of two sets of samples, and many pieces."""
    architecture, a, b, x, y = problem(3, (3, 40, 2), n=6, n_samples=150)
    other_x, other_y = x.flip(2) + 0.1, -y
    fine = torch.linspace(0, 1, 2401, dtype=torch.float64)  # every hundredth is one of ALPHAS
    sets = np.array([[0, 0], [1, 1], [0, 1], [1, 0], [0, 1], [1, 1]])
    found = piecewise_losses(architecture, a, b, torch.cat([x, other_x]), torch.cat([y, other_y]), ALPHAS, sets)
    for row, (first, second) in enumerate(sets.tolist()):
        chosen = sorted({first, second})
        samples = [
            torch.cat([(values, others)[k][0] for k in chosen]) for values, others in ((x, other_x), (y, other_y))
        ]
        ends = a[row : row + 1], b[row : row + 1]
        run = path_losses(architecture, *ends, fine, samples, loss="mse", backend="reference").loss[0]
        assert torch.allclose(found.losses[row], run[::100], rtol=1e-12)
        height = run - (run[0] + fine * (run[-1] - run[0]))
        steepest = run.diff().abs().max() + (run[-1] - run[0]).abs() / 2400
        assert -1e-12 <= found.barriers[row, 0, 0] - height.max() <= steepest


def test_a_pair_does_not_depend_on_its_company_nor_on_threads():
    architecture, a, b, x, y = problem(4, (2, 5, 1), n=70)
    whole = piecewise_losses(architecture, a, b, x, y, ALPHAS)
    part = piecewise_losses(architecture, a[40:45], b[40:45], x, y, ALPHAS, threads=1)
    assert torch.equal(part.losses, whole.losses[40:45]) and torch.equal(part.barriers, whole.barriers[40:45])


def test_float32_parameters_are_read_as_they_are():
    architecture, a, b, x, y = problem(5, (2, 5, 1))
    a, b = a.float(), b.float()
    found = piecewise_losses(architecture, a, b, x, y, ALPHAS)
    assert torch.equal(found.losses, piecewise_losses(architecture, a.double(), b.double(), x, y, ALPHAS).losses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": Architecture((2, 3, 1), "tanh")}, "asks for a piecewise linear activation"),
        ({"architecture": Architecture((2, 3, 3, 1))}, "asks for one hidden layer"),
        ({"params_a": torch.ones(2, 3)}, r"must both be \[n_pairs, 13\]"),
        ({"params_b": torch.full((2, 13), torch.nan)}, "params_b must be finite"),
        ({"x": torch.ones(1, 4, 3)}, r"x must be \[n_sets, n_samples, 2\]"),
        ({"alphas": torch.tensor([1.5])}, r"alphas must be \[n_alphas\] in \[0, 1\]"),
        ({"sets": np.array([[0, 1], [0, 0]])}, r"sets must be \[2, 2\] with numbers from 0 to 0"),
        ({"x": torch.ones(1, 0, 2), "y": torch.ones(1, 0, 1)}, "x holds no samples"),
    ],
)
def test_refusals(change, message):
    given_ = {
        "architecture": Architecture((2, 3, 1)),
        "params_a": torch.ones(2, 13),
        "params_b": torch.ones(2, 13),
        "x": torch.ones(1, 4, 2),
        "y": torch.ones(1, 4, 1),
        "alphas": torch.tensor([0.5]),
    }
    with pytest.raises(ValueError, match=message):
        piecewise_losses(**given_ | change)
