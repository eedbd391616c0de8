"""Odd arguments that are legal, and others that are refused by their names: the same for all results."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.theory.problems import networks
from theory import (
    PiecewisePolynomialCurve,
    Polynomial,
    PolynomialCurve,
    SecondMoments,
    SmoothCurve,
    aligned_flow,
    barriers_on_grid,
    centre_probability,
    certified_path,
    common_centre,
    counterexample_data,
    cross_entropy_parts,
    curvature_bound,
    deep_piecewise_path,
    expanded_path,
    feature_residuals,
    first_moment,
    flow_barriers,
    gradient_descent_solution,
    least_segments,
    linear_path,
    linearly_connected,
    loss_derivatives,
    neuron_types,
    piecewise_path,
    population_loss,
    population_path,
    quadratic_spread,
    random_order,
    second_moment,
    series_moment,
    sibling_gap,
    sphere_path,
    twin_fluctuations,
    twin_students,
)

pytestmark = pytest.mark.filterwarnings("error")

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((5, 2)), RNG.standard_normal((5, 1))
CLASSES = np.zeros(5)
TEACHER = networks(RNG, 1, (2, 2, 1))
MOMENTS = SecondMoments.from_data(X, Y)
WHITE = SecondMoments(np.eye(2), np.ones((2, 1)), [[2.0]], np.zeros(2), [0.0])
COMMITTEE = [(np.eye(2, 4), None), (np.ones((1, 2)), None)]
NO_COMMITTEE = [(np.ones((0, 2, 4)), None), (np.ones((0, 1, 2)), None)]


def batch(n, widths=(2, 3, 1)):
    return networks(np.random.default_rng(n), n, widths)


CURVES = {
    "population": lambda a, b: population_path(a, b, TEACHER, "relu"),
    "series": lambda a, b: population_path(a, b, TEACHER, "tanh"),
    "piecewise": lambda a, b: piecewise_path(a, b, X, Y),
    "deep": lambda a, b: deep_piecewise_path(a, b, X, Y),
    "linear": lambda a, b: linear_path(a, b, MOMENTS),
    "certified": lambda a, b: certified_path(a, b, X, Y, "tanh", tol=0.1),
    "expanded": lambda a, b: expanded_path(a, b, X, Y, "tanh", 2),
}


@pytest.mark.parametrize("route", CURVES)
def test_a_batch_of_none_has_no_barriers(route):
    curve = CURVES[route](batch(0), batch(0))
    for definition in ("linear", "mean_endpoints", "max_endpoint", "midpoint"):
        assert curve.barrier(definition).value.shape == (0,)
    assert curve([0.0, 0.5, 1.0]).shape == (0, 3)
    assert CURVES[route](batch(1), batch(0)).n_pairs == 0  # one network, paired with every one of none
    if route in ("population", "piecewise", "deep", "linear"):
        assert curvature_bound(curve).bound.shape == (0,)


def test_no_pairs_elsewhere():
    assert sphere_path(np.zeros((0, 2, 2)), np.zeros((0, 2, 2)), 1).barrier().value.shape == (0,)
    assert SmoothCurve(0, lambda rows, alphas, _: (alphas, alphas)).barrier().value.shape == (0,)
    assert flow_barriers(WHITE, [0.1], np.zeros((0, 2, 1)), np.zeros((0, 2, 1)), [1.0]).shape == (0, 1)
    assert flow_barriers(WHITE, [0.1], [[1.0], [0.0]], [[0.0], [1.0]], []).shape == (1, 0)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "erf", "square", "identity", "tanh", "gelu"])
def test_weights_whose_squares_underflow_are_those_of_a_network_of_zeros(activation):
    tiny = [(1e-160 * weight, 1e-160 * bias) for weight, bias in batch(2)]
    zero = [(0 * weight, 0 * bias) for weight, bias in batch(2)]
    curve = population_path(tiny, tiny, TEACHER, activation)
    assert np.allclose(curve([0.0, 0.5]), population_loss(zero, TEACHER, activation)[:, None], rtol=1e-12)
    half = [(weight * np.array([1.0, 1e-160, 1.0])[:, None], bias) for weight, bias in batch(2)[:1]] + batch(2)[1:]
    other = [(weight * np.array([1.0, 3e-160, 1.0])[:, None], bias) for weight, bias in batch(2)[:1]] + batch(2)[1:]
    assert np.isfinite(population_path(half, other, TEACHER, activation).barrier().value).all()


def test_a_constant_polynomial_is_an_activation():
    a, b = batch(2), batch(2)
    barrier = population_path(a, [(-w, -c) for w, c in b], TEACHER, Polynomial([2.0])).barrier()
    outputs = [2 * a[1][0].sum(axis=2) + a[1][1], -(2 * a[1][0].sum(axis=2) + a[1][1])]
    teacher = 2 * TEACHER[1][0].sum(axis=2) + TEACHER[1][1]
    ends = [((f - teacher) ** 2).sum(axis=1) / 2 for f in outputs]
    assert np.allclose(population_path(a, [(-w, -c) for w, c in b], TEACHER, Polynomial([2.0]))([0.0, 1.0]).T, ends)
    assert np.allclose(barrier.value, 0.0, atol=1e-12)  # a parabola that opens upwards


def test_a_diverged_network_on_a_grid_is_nan_without_a_warning():
    losses = [[np.inf, 1.0, 0.0], [0.0, 1.0, np.inf], [0.0, 1.0, 0.0]]
    for definition in ("linear", "mean_endpoints", "max_endpoint", "midpoint"):
        value = barriers_on_grid([0.0, 0.5, 1.0], losses, definition).value
        assert np.isnan(value[:2]).all() and value[2] == 1.0


def one(*widths):
    return batch(1, widths)


def with_weight(weight):
    return [(weight, None), ([[1.0]], None)]


REFUSED = {  # what is called, and what the sentence must name
    "strings": (lambda: population_loss(with_weight([["1", "2"]]), TEACHER, "relu"), "student W_1|a W_1"),
    "ragged": (lambda: population_loss(with_weight([[1, 2], [3]]), TEACHER, "relu"), "a W_1"),
    "complex": (lambda: population_loss(with_weight([[1j, 2]]), TEACHER, "relu"), "a W_1"),
    "gradients": (lambda: population_loss(with_weight(torch.ones(1, 2, requires_grad=True)), TEACHER, "relu"), "a W_1"),
    "no units": (lambda: population_loss([(np.ones((0, 2)), None), (np.ones((1, 0)), None)], TEACHER, "relu"), "a W_1"),
    "slopes": (lambda: population_loss(one(2, 3, 1), TEACHER, "relu", negative_slope=[0.1, 0.2]), "negative_slope"),
    "class ½": (lambda: derivatives(np.full(5, 0.5)), "y holds"),
    "class −1": (lambda: derivatives(np.full(5, -1)), "y holds"),
    "class 2 of 2": (lambda: derivatives(np.full(5, 2)), "y holds"),
    "certified class": (
        lambda: certified_path(one(2, 3, 2), one(2, 3, 2), X, CLASSES + 2, "relu", loss="cross_entropy"),
        "y holds",
    ),
    "derivatives of no samples": (
        lambda: loss_derivatives(one(2, 3, 1), one(2, 3, 1), X[:0], Y[:0], "tanh"),
        "x has shape",
    ),
    "derivatives at a number": (lambda: loss_derivatives(one(2, 3, 1), one(2, 3, 1), 1.0, Y, "tanh"), "x has shape"),
    "expanded, no samples": (
        lambda: expanded_path(one(2, 3, 1), one(2, 3, 1), X[:0], Y[:0], "tanh", 1),
        "x has shape",
    ),
    "features of no samples": (lambda: feature_residuals(one(2, 3, 1), one(2, 3, 1), X[:0], "relu"), "x has shape"),
    "features off the path": (lambda: feature_residuals(one(2, 3, 1), one(2, 3, 1), X, "relu", [2.0]), "alphas span"),
    "order of no samples": (lambda: random_order(one(2, 3, 1), one(2, 3, 1), X[:0], "relu"), "x has shape"),
    "order off the path": (lambda: random_order(one(2, 3, 1), one(2, 3, 1), X, "relu", 2.0), "alphas span"),
    "order at NaN": (lambda: random_order(one(2, 3, 1), one(2, 3, 1), X, "relu", np.nan), "alpha holds"),
    "order's slope": (
        lambda: random_order(one(2, 3, 1), one(2, 3, 1), X, "leaky_relu", negative_slope=np.nan),
        "negative_slope",
    ),
    "parts of no samples": (lambda: cross_entropy_parts([0, 1], np.zeros((1, 2, 0, 2)), []), "logits holds no samples"),
    "parts off the path": (lambda: cross_entropy_parts([0, 5, 1], np.zeros((1, 3, 1, 2)), [0]), "alphas must be"),
    "moment's slope": (lambda: first_moment("leaky_relu", 1.0, 1.0, negative_slope=np.nan), "negative_slope"),
    "moments' slope": (
        lambda: second_moment("leaky_relu", "relu", None, None, 1, 0, 1, negative_slope=np.nan),
        "negative_slope",
    ),
    "moment's shapes": (lambda: first_moment("relu", [0, 1], [1, 2, 3]), r"mean \(2,\), variance \(3,\)"),
    "moments' shapes": (lambda: second_moment("relu", "relu", None, None, [1, 1], [0, 0, 0], 1), r"c11 \(2,\)"),
    "series' shapes": (lambda: series_moment("tanh", "tanh", [0, 0], 0, 1, [0, 0, 0], 1), r"mean_u \(2,\)"),
    "no terms": (lambda: series_moment("tanh", "tanh", 0, 0, 1, 0, 1, n_terms=0), "n_terms"),
    "gap's shapes": (lambda: sibling_gap([1, 2], [1, 2, 3]), r"curvature \(2,\)"),
    "skew Hessian": (lambda: spread([[1.0, 5.0], [0.0, 1.0]], np.eye(2)), "hessian is not symmetric"),
    "skew noise": (lambda: spread(np.eye(2), [[1.0, 5.0], [0.0, 1.0]]), "noise is not symmetric"),
    "half a step": (lambda: spread(np.eye(2), np.eye(2), steps=2.5), "steps 2.5"),
    "NaN steps": (lambda: spread(np.eye(2), np.eye(2), steps=np.nan), "steps nan"),
    "endless steps": (lambda: spread(np.eye(2), np.eye(2), steps=np.inf), "steps inf"),
    "infinite rate": (lambda: spread(np.eye(2), np.eye(2), learning_rate=np.inf), "learning_rate"),
    "type of no axis": (lambda: least_segments([[0, 5]], [[0, 1]], 2), "types_a"),
    "type ½": (lambda: least_segments([[0, 1]], [[0.5, 1]], 2), "types_b"),
    "type −7": (lambda: least_segments([[0, -7]], [[0, 0]], 1), "types_a"),
    "inputs that differ": (lambda: linearly_connected([[[1.0, 0.0]]], [[[1.0, 0.0, 0.0]]], 1), "b \\(1, 1, 3\\)"),
    "no minimum": (lambda: linearly_connected([[[1.0, 0.0]]], [[[2.0, 0.0]]], 1), "networks of b"),
    "no neurons": (lambda: neuron_types(np.zeros((1, 0, 2)), 1), "weights has shape"),
    "half an axis": (lambda: neuron_types([[[1.0, 0.0]]], 1.5), "n_teacher is 1.5"),
    "set of none": (lambda: common_centre(np.zeros((1, 0, 2, 2)), 1), "minima has shape"),
    "half a unit": (lambda: centre_probability(3.5, 2), "n_units 3.5"),
    "half a minimum": (lambda: centre_probability(3, 2, 1.5), "n_minima"),
    "no cells": (lambda: counterexample_data(0), "n must be"),
    "piece beyond 1": (lambda: PiecewisePolynomialCurve([0.0, 2.0], [[1.0], [1.0]], [0, 2]), "up to 1"),
    "no coefficients": (lambda: PiecewisePolynomialCurve([0.0], np.zeros((1, 0)), [0, 1]), "coefficients"),
    "no offsets": (lambda: PiecewisePolynomialCurve([], np.zeros((0, 1)), []), "offsets"),
    "curve of text": (lambda: PolynomialCurve([["1"]]), "coefficients"),
    "losses of text": (lambda: barriers_on_grid([0, 1], [["0", "1"]]), "losses"),
    "a basis of one number": (lambda: aligned_flow(WHITE, [0.1], 1.0, [1.0]), "hidden_basis"),
    "no strengths": (lambda: aligned_flow(WHITE, [], [[1.0], [0.0]], [1.0]), "strengths"),
    "descent from a number": (lambda: gradient_descent_solution(1.0, [[1.0]], [3.0], 0.5, 1), "w0"),
    "descent to a number": (lambda: gradient_descent_solution([1.0], [[1.0]], 3.0, 0.5, 1), "w_star"),
    "tolerance 0": (lambda: twins(tolerance=0), "tolerance"),
    "two rates": (lambda: twins(learning_rate=[1.0, 2.0]), "learning_rate"),
    "no twins": (
        lambda: twin_students(NO_COMMITTEE, NO_COMMITTEE, COMMITTEE, [1.0], learning_rate=1.0),
        "a and b hold",
    ),
    "step back": (lambda: fluctuations(step=-1.0), "step"),
    "step 0": (lambda: fluctuations(step=0.0), "step"),
    "scale NaN": (lambda: fluctuations(start_scale=np.nan), "start_scale"),
    "times that fall": (lambda: fluctuations(times=[3.0, 1.0]), "times"),
}


def derivatives(labels):
    return loss_derivatives(one(2, 3, 2), one(2, 3, 2), X, labels, "tanh", loss="cross_entropy")


def spread(hessian, noise, *, learning_rate=0.1, steps=3):
    return quadratic_spread(hessian, noise, learning_rate=learning_rate, steps=steps)


def twins(**settings):
    return twin_students(COMMITTEE, COMMITTEE, COMMITTEE, [0.0, 1.0], **{"learning_rate": 1.0, **settings})


def fluctuations(*, times=(1.0,), **settings):
    return twin_fluctuations(COMMITTEE, COMMITTEE, COMMITTEE, times, learning_rate=1.0, **settings)


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_its_name(case):
    call, names = REFUSED[case]
    with pytest.raises(ValueError, match=names):
        call()


def test_a_spread_beyond_float64_is_said():
    with pytest.raises(OverflowError, match="beyond float64"):
        quadratic_spread([[1e3]], [[1.0]], learning_rate=1.0, steps=500)
