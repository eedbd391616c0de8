"""Linear networks against direct evaluation on data, sympy, and loops of gradient steps."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.problems import identity, losses_along, networks
from theory import (
    BARRIER_DEFINITIONS,
    SecondMoments,
    barriers_on_grid,
    depth_two_barrier,
    gradient_descent_solution,
    linear_path,
)

GRID = np.linspace(0, 1, 4001)


@settings(deadline=None, max_examples=40)
@given(widths=st.lists(st.integers(1, 5), min_size=2, max_size=7), biased=st.booleans(), seed=st.integers(0, 10**6))
def test_any_depth_against_data(widths, biased, seed):
    rng = np.random.default_rng(seed)
    a, b = networks(rng, 4, widths, biased), networks(rng, 4, widths, biased)
    x, y = rng.standard_normal((9, widths[0])) + 0.5, rng.standard_normal((9, widths[-1]))
    curve = linear_path(a, b, SecondMoments.from_data(x, y))
    assert curve.coefficients.shape == (4, 2 * len(a) + 1)
    expected = losses_along(a, b, x, y, GRID[::250], identity)
    # powers of α up to the twelfth cancel: rounding is of the sum of their sizes
    sizes = np.abs(curve.coefficients).sum(axis=1, keepdims=True)
    assert (np.abs(curve(GRID[::250]) - expected) <= 1e-14 * sizes).all()
    losses = curve(GRID)
    bound = np.abs(curve.coefficients) @ np.arange(curve.coefficients.shape[1]) / 8000
    for definition in BARRIER_DEFINITIONS:
        exact, measured = curve.barrier(definition), barriers_on_grid(GRID, losses, definition)
        tolerance = 1e-12 * (1 + losses.max(axis=1))
        assert (exact.value >= measured.value - tolerance).all()
        assert (exact.value <= measured.value + 2 * bound + tolerance).all()


def test_gaussian_teacher():
    """A distribution of six points has the mean and covariance of the Gaussian, hence the same moments."""
    rng = np.random.default_rng(4)
    teacher, root, mean = networks(rng, 1, (3, 4, 2), True), rng.standard_normal((3, 3)), rng.standard_normal(3)
    moments = SecondMoments.gaussian_teacher(root @ root.T, teacher, mean)
    x = mean + np.sqrt(3) * np.concatenate([root.T, -root.T])
    (w1, b1), (w2, b2) = teacher
    expected = SecondMoments.from_data(x, (x @ w1[0].T + b1[0]) @ w2[0].T + b2[0])
    for name in ("xx", "xy", "yy", "x_mean", "y_mean"):
        np.testing.assert_allclose(getattr(moments, name), getattr(expected, name), atol=1e-13)


def test_reversal_and_single_networks():
    rng = np.random.default_rng(5)
    a, b = networks(rng, 3, (3, 4, 4, 2), True), networks(rng, 3, (3, 4, 4, 2), True)
    moments = SecondMoments.from_data(rng.standard_normal((8, 3)), rng.standard_normal((8, 2)))
    forth, back = linear_path(a, b, moments), linear_path(b, a, moments)
    np.testing.assert_allclose(forth(GRID), back(1 - GRID), rtol=1e-10)
    single = [(w[1], bias[1]) for w, bias in a]
    np.testing.assert_allclose(linear_path(single, b, moments)(GRID)[1], forth(GRID)[1], rtol=1e-12)
    order = np.array([2, 0, 3, 1])
    permuted = [[(n[0][0][:, order], n[0][1][:, order]), (n[1][0][:, :, order], n[1][1]), n[2]] for n in (a, b)]
    np.testing.assert_allclose(linear_path(*permuted, moments)(GRID), forth(GRID), rtol=1e-12)


def exact_pair(rng, n, width):
    """Two factorisations of the same random maps, [n, 2, width] and [n, width, 3]."""
    target = rng.standard_normal((n, 2, 3))
    pairs = []
    for _ in range(2):
        w2 = rng.standard_normal((n, 2, width))
        w1 = np.linalg.pinv(w2) @ target + (np.eye(width) - np.linalg.pinv(w2) @ w2) @ rng.standard_normal(
            (n, width, 3)
        )
        pairs.append([(w1, None), (w2, None)])
    return target, *pairs


def test_depth_two_barrier_against_a_grid():
    rng = np.random.default_rng(6)
    target, a, b = exact_pair(rng, 5, 4)
    root = rng.standard_normal((3, 3))
    found = depth_two_barrier(a, b, root @ root.T)
    x = np.sqrt(3) * np.concatenate([root.T, -root.T])  # second moment Σ
    for pair in range(5):
        one = [[(w[pair : pair + 1], None) for w, _ in layers] for layers in (a, b)]
        losses = losses_along(*one, x, x @ target[pair].T, GRID, identity)
        for definition in BARRIER_DEFINITIONS:
            measured = barriers_on_grid(GRID, losses, definition)
            assert found[pair] == pytest.approx(measured.value[0], rel=1e-10)
            assert measured.argmax[0] == 0.5


def test_depth_two_barrier_in_sympy():
    """L(α) = ½ α²(1−α)² ‖ΔW₂ ΔW₁‖² for two factorisations u q = m of a number by vectors of length two."""
    alpha, m, p, q, r, s, t, u = sympy.symbols("alpha m p q r s t u", positive=True)
    w2, v2 = sympy.Matrix([[p, q]]), sympy.Matrix([[r, s]])
    w1, v1 = sympy.Matrix([t, (m - p * t) / q]), sympy.Matrix([u, (m - r * u) / s])
    product = (((1 - alpha) * w2 + alpha * v2) * ((1 - alpha) * w1 + alpha * v1))[0]
    delta = ((v2 - w2) * (v1 - w1))[0]
    assert sympy.simplify((product - m) ** 2 / 2 - alpha**2 * (1 - alpha) ** 2 * delta**2 / 2) == 0
    point = {m: 3, p: 1, q: 2, r: -1, s: 4, t: 5, u: 2}
    a, b = (
        [(np.array(first.subs(point), float), None), (np.array(second.subs(point), float), None)]
        for first, second in ((w1, w2), (v1, v2))
    )
    assert depth_two_barrier(a, b)[0] == pytest.approx(float((delta**2 / 32).subs(point)), rel=1e-14)


def test_gradient_descent():
    rng = np.random.default_rng(7)
    x, y = rng.standard_normal((20, 4)), rng.standard_normal(20)
    h, w_star = x.T @ x / 20, np.linalg.lstsq(x, y)[0]
    w0, rates = rng.standard_normal((3, 4)), np.array([0.05, 0.3, 0.6])
    steps = np.array([0, 1, 7, 60])
    found = gradient_descent_solution(w0, h, w_star, rates, steps)
    assert found.shape == (4, 3, 4)
    w = w0.copy()
    for t in range(61):
        if t in steps:
            np.testing.assert_allclose(found[np.flatnonzero(steps == t)[0]], w, rtol=1e-11, atol=1e-13)
        w = w - rates[:, None] * ((w @ x.T - y) @ x) / 20
    np.testing.assert_allclose(gradient_descent_solution(w0, h, w_star, rates, 7), found[2])
    np.testing.assert_allclose(gradient_descent_solution(w0[0], h, w_star, 0.05, 7), found[2, 0])


def test_refusals():
    rng = np.random.default_rng(0)
    a, b = networks(rng, 2, (3, 4, 2), False), networks(rng, 2, (3, 4, 2), False)
    moments = SecondMoments.from_data(np.ones((5, 2)), np.ones((5, 2)))
    with pytest.raises(ValueError, match="second_moments are of 2 inputs and 2 outputs, the networks have 3 and 2"):
        linear_path(a, b, moments)
    with pytest.raises(ValueError, match="of 2 pairs are not both exact: their end-to-end maps differ by up to"):
        depth_two_barrier(a, b)
    with pytest.raises(ValueError, match="a or b has biases"):
        depth_two_barrier(*[networks(rng, 2, (3, 4, 2), True)] * 2)
    with pytest.raises(ValueError, match="a has 1 layers; this result holds for 2"):
        depth_two_barrier(a[:1], b[:1])
    with pytest.raises(ValueError, match=r"xy has shape \(2, 3\); with 2 inputs \(x_mean\) and 2 outputs"):
        SecondMoments(np.eye(2), np.zeros((2, 3)), np.eye(2), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="xx is not symmetric"):
        SecondMoments(np.triu(np.ones((2, 2))), np.zeros((2, 2)), np.eye(2), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"x has shape \(5, 2\) and y \(4, 2\)"):
        SecondMoments.from_data(np.ones((5, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="teacher_layers holds 2 networks; give one"):
        SecondMoments.gaussian_teacher(None, a)
    with pytest.raises(ValueError, match=r"mean has shape \(2,\); give \[3\]"):
        SecondMoments.gaussian_teacher(None, networks(rng, 1, (3, 2), False), np.zeros(2))
    with pytest.raises(ValueError, match="hessian is not symmetric"):
        gradient_descent_solution(np.zeros(2), np.triu(np.ones((2, 2))), np.zeros(2), 0.1, 1)
    with pytest.raises(ValueError, match="steps must be whole numbers"):
        gradient_descent_solution(np.zeros(2), np.eye(2), np.zeros(2), 0.1, 1.5)
    with pytest.raises(ValueError, match=r"hessian has shape \(3, 3\)"):
        gradient_descent_solution(np.zeros(2), np.eye(3), np.zeros(2), 0.1, 1)
