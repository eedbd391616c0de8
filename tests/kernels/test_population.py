"""Population losses of the native kernel, against theory's own route, and its bounds against what they bound."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import theory
from kernels import Architecture, Teacher, native
from kernels.native.population import ACTIVATIONS, population_losses
from testbed.pair_set import layers

pytestmark = pytest.mark.skipif(bool(native.missing()), reason=native.missing())

ALPHAS = torch.linspace(0, 1, 25, dtype=torch.float64)
TOLERANCE = 1e-6
SERIES = ("tanh", "gelu")


def networks(generator, architecture, n):
    """Standard normal weights over √fan_in, and biases of standard deviation ½."""
    params = torch.randn(n, architecture.n_parameters, generator=generator, dtype=torch.float64)
    for layer in architecture.layout:
        params[:, layer.weight : layer.weight + layer.fan_in * layer.fan_out] /= layer.fan_in**0.5
        if layer.bias is not None:
            params[:, layer.bias : layer.bias + layer.fan_out] /= 2
    return params


def problem(seed, widths, star_width, activation, star_activation, biases, n=3):
    """Students a and b, and a teacher for each pair."""
    generator = torch.Generator().manual_seed(seed)
    architecture = Architecture(widths, activation, biases=biases)
    star = Architecture((widths[0], star_width, widths[2]), star_activation, biases=biases)
    a, b = (networks(generator, architecture, n) for _ in range(2))
    return architecture, a, b, Teacher(star, networks(generator, star, n))


def by_theory(architecture, a, b, teacher, tol=TOLERANCE):
    star = teacher.architecture
    students = layers(architecture, a), layers(architecture, b)
    return theory.population_path(
        *students,
        layers(star, teacher.params),
        architecture.activation,
        teacher_activation=star.activation,
        negative_slope=architecture.negative_slope,
        tol=tol,
    )


def same(architecture, a, b, teacher, rounding=1e-12):
    """Losses of both routes agree to rounding, and barriers to what each route says that it may have missed."""
    found = population_losses(architecture, a, b, teacher, ALPHAS, TOLERANCE, np.arange(len(a)))
    curve = by_theory(architecture, a, b, teacher)
    known = curve(ALPHAS.numpy())
    # rounding is that of the terms, of which the loss is a difference
    nothing = torch.zeros_like(a)
    energy = by_theory(architecture, nothing, nothing, teacher)(np.zeros(1))[:, 0]
    size = known.max(1) + energy
    assert (np.abs(found.losses.numpy() - known).max(1) <= rounding * size).all()
    errors = found.errors.numpy().max(1)
    worst = np.zeros(len(a))  # of theory's own errors, above TOLERANCE where no search is long enough
    for k, definition in enumerate(theory.BARRIER_DEFINITIONS):
        barrier = curve.barrier(definition)
        error = np.zeros(len(a)) if barrier.error is None else barrier.error
        assert (np.abs(found.barriers[:, k, 0].numpy() - barrier.value) <= rounding * size + errors + error).all()
        worst = np.maximum(worst, error)
    assert (errors <= 3 * TOLERANCE * size + 2 * worst).all()
    return found


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_inputs=st.integers(1, 9),
    width=st.sampled_from([1, 2, 3, 7, 8, 9, 16, 17]),
    star_width=st.integers(1, 5),
    n_outputs=st.integers(1, 3),
    activation=st.sampled_from([a for a in ACTIVATIONS if a not in SERIES]),
    biases=st.booleans(),
)
def test_against_theory(seed, n_inputs, width, star_width, n_outputs, activation, biases):
    same(*problem(seed, (n_inputs, width, n_outputs), star_width, activation, activation, biases))


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize(
    ("activation", "star"),
    [
        ("tanh", "tanh"),
        ("gelu", "gelu"),
        ("relu", "erf"),
        ("erf", "identity"),
        ("relu", "identity"),
        ("leaky_relu", "relu"),
    ],
)
def test_against_theory_as_series_and_mixed(activation, star, biases):
    same(*problem(1, (4, 6, 2), 3, activation, star, biases, n=2))


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "erf", "tanh", "gelu"])
@pytest.mark.parametrize(
    "kind", ["teacher", "dead", "equal", "opposite", "still", "zero", "through zero", "tiny", "huge"]
)
def test_hard_cases(activation, biases, kind):
    """Students that are the teacher, units that are equal, opposite, dead, that pass through zero, do not move, or are
    tiny or huge.
    """
    architecture, a, b, teacher = problem(2, (3, 4, 1), 4, activation, activation, biases, n=2)
    weights = slice(0, 12)
    if kind == "teacher":
        a = teacher.params.clone()
        order = torch.tensor([1, 0, 3, 2])
        b = a.clone()
        b[:, weights] = a[:, weights].reshape(2, 4, 3)[:, order].flatten(1)
    elif kind == "dead":
        a[:, :6] = 0
        b[:, 3:9] = 0
    elif kind == "equal":
        a[:, 3:6] = a[:, :3]
        b[:, 3:6] = b[:, :3]
    elif kind == "opposite":
        a[:, 3:6] = -a[:, :3]
        b[:, 3:6] = -b[:, :3]
    elif kind == "still":
        b = a.clone()
    elif kind == "zero":
        a[:] = 0
        b[:, weights] = 0
    elif kind == "through zero":
        b[:, weights] = -3 * a[:, weights]
    elif kind == "tiny":
        a, b = 1e-8 * a, 1e-8 * b
    elif kind == "huge":
        a, b = 1e3 * a, 1e3 * b
    same(architecture, a, b, teacher, 1e-10 if kind == "huge" and activation in SERIES else 1e-12)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("size", [1e8, 1e20, 1e35])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "erf"])
def test_networks_up_to_the_largest_of_float32(activation, size, biases):
    architecture, a, b, teacher = problem(5, (3, 4, 1), 2, activation, activation, biases, n=2)
    inner = slice(0, architecture.layout[1].weight)
    for part in (a, b, teacher.params):
        part[:, inner] *= size
    same(architecture, a, b, teacher, 1e-12)
    with pytest.raises(ValueError, match=r"params_a must be finite, and at most 3.4e\+38"):
        population_losses(architecture, 1e40 * a, b, teacher, ALPHAS, TOLERANCE)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    activation=st.sampled_from(["relu", "leaky_relu", "erf", "identity", "tanh", "gelu"]),
    biases=st.booleans(),
)
def test_maxima_are_certain(seed, activation, biases):
    """No place of a fine grid is higher than the maximum by more than the error that was told."""
    architecture, a, b, teacher = problem(seed, (2, 3, 1), 2, activation, activation, biases, n=4)
    fine = torch.linspace(0, 1, 4097, dtype=torch.float64)
    found = population_losses(architecture, a, b, teacher, fine, 1e-3, np.arange(4))
    start, end = found.losses[:, 0], found.losses[:, -1]
    chord = start[:, None] + fine * (end - start)[:, None]
    for k, above in ((0, found.losses - chord), (1, found.losses - ((start + end) / 2)[:, None])):
        rounding = 1e-13 * found.losses.amax(1)
        assert (above.amax(1) <= found.barriers[:, k, 0] + found.errors[:, 1 - k] + rounding).all()
        assert (found.barriers[:, k, 0] <= above.amax(1) + 1e-4 * found.losses.amax(1)).all()


def test_a_pair_does_not_depend_on_its_company_nor_on_threads():
    architecture, a, b, teacher = problem(4, (3, 5, 1), 2, "relu", "relu", True, n=70)
    numbers = np.arange(70)
    whole = population_losses(architecture, a, b, teacher, ALPHAS, TOLERANCE, numbers)
    part = population_losses(architecture, a[40:45], b[40:45], teacher, ALPHAS, TOLERANCE, numbers[40:45], threads=1)
    assert torch.equal(part.losses, whole.losses[40:45]) and torch.equal(part.barriers, whole.barriers[40:45])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": Architecture((2, 3, 1), "square")}, "asks for one of the activations"),
        ({"architecture": Architecture((3, 3, 1))}, "asks for a teacher of as many inputs and outputs"),
        ({"params_a": torch.ones(2, 3)}, r"must both be \[n_pairs, 13\]"),
        ({"params_b": torch.full((2, 13), torch.inf)}, "params_b must be finite"),
        ({"tolerance": 0.0}, "tolerance must be above 0"),
        ({"teachers": np.array([0, 1])}, r"teachers must be \[2\] with numbers from 0 to 0"),
    ],
)
def test_refusals(change, message):
    architecture = Architecture((2, 3, 1))
    given_ = {
        "architecture": architecture,
        "params_a": torch.ones(2, 13),
        "params_b": torch.ones(2, 13),
        "teacher": Teacher(architecture, torch.ones(1, 13)),
        "alphas": ALPHAS,
        "tolerance": TOLERANCE,
    }
    with pytest.raises(ValueError, match=message):
        population_losses(**given_ | change)
