"""Bounds of how far population paths bend, against the paths, and their parts against quadrature and brute force."""

import numpy as np
import pytest
from scipy.integrate import quad

from tests.theory.problems import networks
from theory import Polynomial, curvature_bound, population_path
from theory.certified.intervals import activation_named
from theory.population.bounds import SUPREMA, Sizes, derivative_norm
from theory.population.moments import Moments

CUBIC = Polynomial((0.1, 1.0, 0.3, 0.2))
CASES = [
    ("relu", "relu", False),
    ("leaky_relu", "relu", False),
    ("relu", "relu", True),
    ("leaky_relu", "erf", True),
    ("relu", "square", True),
    ("erf", "erf", False),
    ("erf", "erf", True),
    ("tanh", "gelu", True),
    ("gelu", "tanh", True),
    ("square", "square", True),
    ("identity", "identity", True),
    (CUBIC, "square", True),
]


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 2), (8, 5)])
@pytest.mark.parametrize(("activation", "teacher_activation", "biased"), CASES)
def test_paths_bend_no_further(activation, teacher_activation, biased, shape):
    """On every piece |L′| ≤ slope, and L′ falls by no more than width · curvature + kinks; on 41 points of each."""
    rng = np.random.default_rng(1)
    width, n_inputs = shape
    (a, b), teacher = (
        (networks(rng, 4, (n_inputs, width, 2), biased) for _ in range(2)),
        networks(rng, 1, (n_inputs, 2, 2), biased),
    )
    b[0][0][0] = -a[0][0][0]  # its units pass through zero, or through a constant
    curve = population_path(a, b, teacher, activation, teacher_activation=teacher_activation, negative_slope=0.2)
    tightest = 0.0
    for n_pieces in (3, 40, 600):
        edges = np.linspace(0, 1, n_pieces + 1)
        bend = curve.bend(edges)
        for start in np.unique(np.linspace(0, n_pieces - 1, 12).astype(int)):
            alphas = np.linspace(edges[start], edges[start + 1], 41)
            slopes = curve.derivative(alphas)
            assert (np.abs(slopes).max(axis=1) <= bend.slope[:, start] * (1 + 1e-9)).all()
            fall = (np.maximum.accumulate(slopes, axis=1) - slopes).max(axis=1)
            allowed = bend.curvature[:, start] / n_pieces + bend.kinks[:, start]
            assert (fall <= allowed * (1 + 1e-9) + 1e-9 * np.abs(slopes).max()).all()
            tightest = max(tightest, (np.abs(slopes).max(axis=1) / bend.slope[:, start]).max())
    assert tightest > 0.05  # the bounds are not idle


@pytest.mark.parametrize("tol", [1e-3, 1e-12])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "erf", "square", "identity", CUBIC])
def test_maxima_are_certain(activation, biased, tol):
    rng = np.random.default_rng(3)
    a, b = networks(rng, 20, (4, 6, 1), biased), networks(rng, 20, (4, 6, 1), biased)
    curve = population_path(a, b, networks(rng, 1, (4, 6, 1), biased), activation, tol=tol)
    largest = curve(np.linspace(0, 1, 2001)).max(axis=1)
    for definition in ("linear", "max_endpoint"):
        assert (curve.barrier(definition).error <= 1.1 * tol * largest).all()
    assert (curve.maximum()[0] >= largest * (1 - 1e-14)).all()


def test_units_that_die_and_networks_that_do_not_move():
    """Through zero with their bias, constant units, and a pair of one network: all still certain."""
    rng = np.random.default_rng(5)
    a = networks(rng, 3, (3, 4, 1))
    b = networks(rng, 3, (3, 4, 1))
    a[0][0][0, 0], a[0][1][0, 0], b[0][0][0, 0], b[0][1][0, 0] = 1.0, 0.4, -1.0, -0.4  # all of unit 0 vanishes at ½
    a[0][0][1, 0] = b[0][0][1, 0] = 0.0  # a constant unit, whose bias moves
    b = [
        tuple(np.concatenate([part[:2], first[2:]]) for part, first in zip(layer, start, strict=True))
        for layer, start in zip(b, a, strict=True)
    ]
    curve = population_path(a, b, networks(rng, 1, (3, 2, 1)), "relu")
    barrier = curve.barrier("linear")
    assert (barrier.error <= 1.1e-6 * curve(np.linspace(0, 1, 101)).max()).all()
    assert barrier.value[2] == pytest.approx(0.0, abs=1e-14)
    assert (barrier.value >= curve.barrier("midpoint").value - 1e-14).all()
    for layers in (a, b):  # the units that vanish are pruned away above, too: they bend nothing
        layers[1][0][:, :, :2] = 0.0
    assert np.isfinite(curvature_bound(population_path(a, b, networks(rng, 1, (3, 2, 1)), "relu")).bound).all()


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("activation", ["relu", "erf", "tanh", "square"])
def test_curvature_bounds_the_population_barrier(activation, biased):
    rng = np.random.default_rng(6)
    a, b = networks(rng, 30, (3, 3, 1), biased), networks(rng, 30, (3, 3, 1), biased)
    curve = population_path(a, b, networks(rng, 1, (3, 2, 1), biased), activation)
    found = curvature_bound(curve)
    assert (found.bound >= curve.barrier("linear").value).all() and np.isfinite(found.bound).all()
    np.testing.assert_array_equal(found.bound, found.smooth + found.kinks)
    assert (found.kinks > 0).all() == (activation == "relu")


@pytest.mark.parametrize("name", list(SUPREMA))
def test_suprema_are_those_of_the_functions(name):
    u = np.linspace(-12, 12, 240_001)
    for (function, _), stated in zip(activation_named(name).derivatives, SUPREMA[name], strict=True):
        if np.isfinite(stated):
            assert np.abs(function(u)).max() == pytest.approx(stated, rel=1e-8)


def moment(power, mean, deviation):
    """E|mean + deviation z|^power by quadrature."""
    return quad(
        lambda z: np.abs(mean + deviation * z) ** power * np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
        -12,
        12,
        points=[-mean / deviation],
    )[0]


@pytest.mark.parametrize("p", [2, 4, 8, 12])
def test_norms_of_gaussians(p):
    assert Sizes(0.0, 1.3).norm(p) == pytest.approx(moment(p, 0.0, 1.3) ** (1 / p))
    assert Sizes(0.7, 1.3).norm(p) >= moment(p, 0.7, 1.3) ** (1 / p)
    assert Sizes(0.7, 0.0).norm(p) == pytest.approx(0.7)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "erf", "tanh", "gelu", "identity", "square", CUBIC])
@pytest.mark.parametrize("correlation", [-1.0, 0.3, 1.0])
@pytest.mark.parametrize("centred", [False, True])
def test_derivative_norms(activation, correlation, centred):
    """‖σ^(k)(u) u′^k‖ by Gauss–Hermite sums over u and u′, of this and of any smaller units."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    mean, deviation, rate_mean, rate = (0.0, 1.1, 0.0, 0.8) if centred else (0.6, 1.1, -0.5, 0.8)
    z, other = np.meshgrid(nodes, nodes, indexing="ij")
    u, rates = mean + deviation * z, rate_mean + rate * (correlation * z + np.sqrt(1 - correlation**2) * other)
    if isinstance(activation, Polynomial):
        polynomial = np.polynomial.Polynomial(activation.coefficients)
        functions = [polynomial, polynomial.deriv(), polynomial.deriv(2)]
    else:
        functions = [function for function, _ in activation_named(activation, 0.2).derivatives]
    for order, function in enumerate(functions):
        norm = np.sqrt(weights @ (function(u) * rates**order) ** 2 @ weights)
        sizes, of_rates = (
            Sizes(np.array(abs(mean)), np.array(deviation)),
            Sizes(np.array(abs(rate_mean)), np.array(rate)),
        )
        bound = derivative_norm(order, activation, Moments(activation, activation, 0.2, centred), sizes, of_rates)
        assert norm <= bound * (
            1 + (1e-3 if activation in ("relu", "leaky_relu") else 1e-9)
        )  # the sums are rough at a kink
        assert bound <= 12 * norm + 1e-12 or activation == "gelu"
