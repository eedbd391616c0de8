"""Closed forms of gradient flow against an ODE solver, gradient descent in small steps, and each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from theory import (
    SecondMoments,
    aligned_flow,
    depth_two_barrier,
    flow_barriers,
    flow_losses,
    flow_overlaps,
    linear_path,
)


def moments_of(cross):
    n_outputs, n_inputs = cross.shape
    return SecondMoments(
        np.eye(n_inputs), cross.T, cross @ cross.T + np.eye(n_outputs), np.zeros(n_inputs), np.zeros(n_outputs)
    )


def balanced(rng, n_inputs, width, n_outputs, scale):
    """W₂ᵀW₂ = W₁W₁ᵀ = R diag(g) Rᵀ, with bases that have nothing to do with the task."""
    rank = min(n_inputs, width, n_outputs)
    root = np.sqrt(scale * rng.uniform(0.2, 1, rank))
    bases = [np.linalg.qr(rng.standard_normal((size, rank)))[0] for size in (n_inputs, width, n_outputs)]
    return [((bases[1] * root) @ bases[0].T, None), ((bases[2] * root) @ bases[1].T, None)]


def solved(start, cross, times):
    (w1, _), (w2, _) = start
    split = w1.size

    def rates(_, flat):
        first, second = flat[:split].reshape(w1.shape), flat[split:].reshape(w2.shape)
        gap = cross - second @ first
        return np.concatenate([(second.T @ gap).ravel(), (gap @ first.T).ravel()])

    flow = solve_ivp(
        rates, (0, times[-1]), np.concatenate([w1.ravel(), w2.ravel()]), "DOP853", times, rtol=1e-12, atol=1e-13
    ).y.T
    return flow[:, :split].reshape(-1, *w1.shape), flow[:, split:].reshape(-1, *w2.shape)


@given(seed=st.integers(0, 2**32 - 1), n_inputs=st.integers(1, 4), width=st.integers(1, 5), n_outputs=st.integers(1, 4))
def test_against_an_ode_solver(seed, n_inputs, width, n_outputs):
    rng = np.random.default_rng(seed)
    cross, start = rng.standard_normal((n_outputs, n_inputs)), balanced(rng, n_inputs, width, n_outputs, 0.3)
    times = np.array([0.0, 0.1, 0.7, 2.0, 6.0])
    w1, w2 = solved(start, cross, times)
    q = np.concatenate([w1.swapaxes(1, 2), w2], axis=1)
    found = flow_overlaps(start, moments_of(cross), times)[0]
    np.testing.assert_allclose(found, q @ q.swapaxes(1, 2), atol=1e-9)
    loss = ((w2 @ w1 - cross) ** 2).sum(axis=(1, 2)) / 2 + n_outputs / 2  # E‖y − S x‖² is tr 1
    np.testing.assert_allclose(flow_losses(start, moments_of(cross), times)[0], loss, atol=1e-9)


def test_aligned_weights():
    rng = np.random.default_rng(1)
    cross = rng.standard_normal((2, 3))
    bases = np.stack([np.linalg.qr(rng.standard_normal((5, 2)))[0] for _ in range(3)])
    times = np.array([0.0, 0.3, 1.0, 4.0])
    strengths = np.array([[0.01, 0.02], [0.1, 0.3], [1.0, 2.5]])
    (w1, _), (w2, _) = aligned_flow(moments_of(cross), strengths, bases, times)
    for k in range(3):
        start = [(w1[4 * k], None), (w2[4 * k], None)]
        np.testing.assert_allclose(np.linalg.svd(w2[4 * k] @ w1[4 * k])[1], np.sort(strengths[k])[::-1], atol=1e-14)
        expected = solved(start, cross, times)
        np.testing.assert_allclose(w1[4 * k : 4 * k + 4], expected[0], atol=1e-9)
        np.testing.assert_allclose(w2[4 * k : 4 * k + 4], expected[1], atol=1e-9)
        q = np.concatenate([w1.swapaxes(1, 2), w2], axis=1)[4 * k : 4 * k + 4]
        found = flow_overlaps(start, moments_of(cross), times)[0]
        np.testing.assert_allclose(found, q @ q.swapaxes(1, 2), atol=1e-12)


def test_small_steps_of_gradient_descent_follow():
    rng = np.random.default_rng(2)
    cross, start = rng.standard_normal((3, 3)), balanced(rng, 3, 4, 3, 0.1)
    errors = []
    for eta in (2e-3, 1e-3):
        (w1, _), (w2, _) = start
        for _ in range(round(1 / eta)):
            gap = cross - w2 @ w1
            w1, w2 = w1 + eta * w2.T @ gap, w2 + eta * gap @ w1.T
        errors.append(np.abs(flow_overlaps(start, moments_of(cross), [1.0])[0, 0, 3:, :3] - w2 @ w1).max())
    assert errors[1] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)  # Euler steps: an error in proportion to η


def test_long_times_converge_and_a_lost_mode_stays_lost():
    cross = np.diag([3.0, 1.0, 0.0])
    times = [0.0, 20.0, 90.0]
    start = balanced(np.random.default_rng(3), 3, 4, 3, 0.1)
    maps = flow_overlaps(start, moments_of(cross), times)[0, :, 3:, :3]
    np.testing.assert_allclose(maps[2][:2, :2], cross[:2, :2], atol=1e-12)
    # the mode of strength 0 decays as 1/(2t), u₀/(1 + 2 u₀ t) where aligned
    (w1, _), (w2, _) = aligned_flow(moments_of(cross), [0.2, 0.2, 0.2], np.eye(3), times)
    np.testing.assert_allclose((w2 @ w1)[:, 2, 2], 0.2 / (1 + 0.4 * np.array(times)), rtol=1e-12)
    narrow = [(np.array([[0.1, 0.0, 0.0]]), None), (np.array([[0.1], [0.0], [0.0]]), None)]
    np.testing.assert_allclose(
        flow_overlaps(narrow, moments_of(cross), [80.0])[0, 0, 3:, :3], np.diag([3.0, 0, 0]), atol=1e-12
    )


def test_barrier_between_two_flows():
    """Runs that differ in hidden basis alone: it rises from the barrier of the start to that of exact endpoints."""
    rng = np.random.default_rng(4)
    cross = np.array([[2.0, 0.3], [0.1, 1.0]])
    bases = np.stack([np.linalg.qr(rng.standard_normal((6, 2)))[0] for _ in range(2)])
    moments = moments_of(cross)
    (w1, _), (w2, _) = aligned_flow(moments, [1e-3, 1e-3], bases, [0.0, 1.0, 40.0])
    a, b = [(w1[:3], None), (w2[:3], None)], [(w1[3:], None), (w2[3:], None)]
    barriers = linear_path(a, b, moments).barrier().value
    assert 0 < barriers[0] < 2e-3 < barriers[1] < barriers[2]
    last = [[(w[2:3], None) for w, _ in layers] for layers in (a, b)]
    np.testing.assert_allclose(barriers[2], depth_two_barrier(*last)[0], rtol=1e-10)


@pytest.mark.parametrize("strength", [0.01, 6.0])  # below and above the task's singular values
def test_barriers_along_two_flows(strength):
    """Against the exact path between their weights at every time."""
    rng = np.random.default_rng(3)
    cross = rng.standard_normal((2, 3))
    a, b = (np.stack([np.linalg.qr(rng.standard_normal((5, 2)))[0] for _ in range(4)]) for _ in range(2))
    times = np.array([0.0, 0.5, 1.0, 2.0, 10.0])
    strengths = strength * rng.uniform(0.5, 2, (4, 2))
    weights = [aligned_flow(moments_of(cross), strengths, basis, times) for basis in (a, b)]
    expected = linear_path(*weights, moments_of(cross)).barrier().value.reshape(4, 5)
    found = flow_barriers(moments_of(cross), strengths, a, b, times)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert found.max() > 0.01


@pytest.mark.parametrize("angle", [0.4, 1.2, np.pi / 2, 2.5])
def test_a_mode_is_furthest_apart_on_the_way(angle):
    """κ = 2 − 2 cos φ: the largest barrier is κs²/(16 − 2κ), the last κ²s²/32."""
    s, kappa = 1.7, 2 - 2 * np.cos(angle)
    a, b = np.array([[1.0], [0.0]]), np.array([[np.cos(angle)], [np.sin(angle)]])
    found = flow_barriers(moments_of(np.array([[s]])), [1e-3], a, b, np.linspace(0, 12, 20_001))[0]
    assert found.max() == pytest.approx(kappa * s**2 / (16 - 2 * kappa), rel=1e-6)
    assert found[-1] == pytest.approx(kappa**2 * s**2 / 32, rel=1e-6)


def test_refusals():
    rng = np.random.default_rng(0)
    cross, start = rng.standard_normal((2, 3)), balanced(rng, 3, 4, 2, 1.0)
    moments = moments_of(cross)
    with pytest.raises(ValueError, match=r"start is not balanced: ‖W₂ᵀW₂ − W₁W₁ᵀ‖"):
        flow_overlaps([(2 * start[0][0], None), start[1]], moments, [1.0])
    with pytest.raises(ValueError, match="start has biases"):
        flow_losses([(start[0][0], np.zeros(4)), start[1]], moments, [1.0])
    with pytest.raises(ValueError, match=r"second_moments\.xx differs from the identity by 1; whiten"):
        flow_overlaps(start, SecondMoments(2 * np.eye(3), cross.T, np.eye(2), np.zeros(3), np.zeros(2)), [1.0])
    with pytest.raises(ValueError, match="start maps 3 inputs to 2 outputs, second_moments 2 to 3"):
        flow_overlaps(start, moments_of(cross.T), [1.0])
    with pytest.raises(ValueError, match=r"times must be \[n_times\] of at least 0"):
        flow_overlaps(start, moments, [-1.0])
    with pytest.raises(ValueError, match="of the strongest mode"):
        flow_overlaps(start, moments, [1e4])
    with pytest.raises(ValueError, match="columns that are not orthonormal"):
        aligned_flow(moments, [0.1, 0.1], 2 * np.eye(2), [1.0])
    with pytest.raises(ValueError, match=r"hidden_basis has shape \(2, 3\); give \[n_networks, width, 2\]"):
        aligned_flow(moments, [0.1, 0.1], np.eye(3)[:2], [1.0])
    with pytest.raises(ValueError, match=r"strengths has shape \(2,\) and minimum 0"):
        aligned_flow(moments, [0.1, 0.0], np.eye(2), [1.0])
