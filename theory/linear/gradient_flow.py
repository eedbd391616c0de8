"""Gradient flow of two-layer linear networks on whitened inputs: closed forms from balanced starts.

f(x) = W₂ W₁ x, E x xᵀ = I, S = E y xᵀ, L = ½ E‖f − y‖². The flow dθ/dt = −∇L is

    dW₁/dt = W₂ᵀ (S − W₂W₁)        dW₂/dt = (S − W₂W₁) W₁ᵀ

and keeps W₂ᵀW₂ − W₁W₁ᵀ; a start is balanced where that is 0. With Q = [W₁ᵀ; W₂] and F = [[0, Sᵀ], [S, 0]] a balanced
flow is dQ/dt = F Q − ½ Q QᵀQ, so that P = Q Qᵀ obeys a Riccati equation (Fukumizu 1998, "Effect of batch learning in
multilayer neural networks", theorem 2; Braun et al. 2022, arXiv 2209.12147, eq. 6) with the solution

    P(t) = e^{Ft} Q₀ [ 1 + Q₀ᵀ (∫₀ᵗ e^{2Fs} ds) Q₀ ]⁻¹ Q₀ᵀ e^{Ft}

P holds W₂W₁, W₁ᵀW₁ and W₂W₂ᵀ, everything but the hidden basis. Where the start is also aligned with S = U diag(s) Vᵀ,
W₁ = R diag(√u) Vᵀ and W₂ = U diag(√u) Rᵀ, then R stays and the weights themselves have a closed form (Saxe,
McClelland & Ganguli 2014, arXiv 1312.6120, eq. 9, time constant 1):

    u(t) = s e^{2st} / (e^{2st} − 1 + s/u₀)

Two such flows that differ in R alone have one map and one loss at every time. On the straight path between them the map
is M − α(1 − α) U √u K √u Vᵀ with K = 2 − R_AᵀR_B − R_BᵀR_A, so that the loss lies above theirs by
α(1−α) Σ_k (s_k − u_k) u_k K_kk + ½ α²(1−α)² Σ_kl u_k u_l K_kl²: from starts u₀ ≤ s, as K_kk ≥ 0, most at α = ½,

    B(t) = ¼ Σ_k (s_k − u_k) u_k K_kk + (1/32) Σ_kl u_k u_l K_kl²

A mode of K_kk = κ < 4 is furthest apart on the way: its share is largest, κs²/(16 − 2κ), at u = s/(2 − κ/4), and falls
to κ²s²/32. Independent wide networks have κ = 2: the barrier rises to s²/6 when two thirds of the mode are learnt, and
ends at three quarters of that.

Gradient descent with a small rate η is near the flow at t = η · steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import Array, finite
from theory.layers import Layers, check_layers
from theory.linear.networks import SecondMoments

LARGEST_EXPONENT = 600.0  # of e^{2st}, below the 709 where float64 overflows


def flow_overlaps(start: Layers, second_moments: SecondMoments, times: ArrayLike, *, tolerance: float = 1e-8) -> Array:
    """P(t) = [[W₁ᵀW₁, W₁ᵀW₂ᵀ], [W₂W₁, W₂W₂ᵀ]] along the flow.

    Tests hold it to 1e-9 against an ODE solver and to 1e-12 against the aligned form.

    Args:
        start: two layers without biases, balanced.
        second_moments: with xx the identity (whitened inputs) and any xy, yy.
        times: [n_times], at least 0.
        tolerance: of the balance, in units of the weights' squared norms.

    Returns:
        [n_networks, n_times, n_inputs + n_outputs, n_inputs + n_outputs]. The end-to-end map is
        P[..., n_inputs:, :n_inputs]; `flow_losses` is its loss.

    Raises:
        ValueError: the start has biases or is not balanced, the inputs are not whitened, shapes do not fit, a time is
            negative or so late that the strongest mode overflows.

    Example:
        >>> moments = SecondMoments(np.eye(1), [[2.0]], [[4.0]], [0.0], [0.0])  # y = 2x
        >>> start = [([[0.5]], None), ([[0.5]], None)]
        >>> overlaps = flow_overlaps(start, moments, [0.0, 10.0])
        >>> overlaps[0, :, 1, 0].round(6).tolist()  # W₂W₁ goes from 0.25 to 2
        [0.25, 2.0]
    """
    layers = check_layers(start, "start", depth=2)
    (w1, b1), (w2, b2) = layers
    if b1 is not None or b2 is not None:
        raise ValueError("start has biases; this result holds for layers without")
    cross = _whitened_cross(second_moments)
    if (w2.shape[1], w1.shape[2]) != cross.shape:
        raise ValueError(
            f"start maps {w1.shape[2]} inputs to {w2.shape[1]} outputs, "
            f"second_moments {cross.shape[1]} to {cross.shape[0]}"
        )
    _check_balanced(w1, w2, tolerance)
    t = _times(times)
    q = np.concatenate([w1.swapaxes(1, 2), w2], axis=1)  # [n, inputs + outputs, width]
    n_outputs, n_inputs = cross.shape
    generator = np.block([[np.zeros((n_inputs, n_inputs)), cross.T], [cross, np.zeros((n_outputs, n_outputs))]])
    rates, basis = np.linalg.eigh(generator)
    rates, basis = rates[::-1], basis[:, ::-1]
    # With E = e^{Λt} and D = ∫₀ᵗ e^{2Λs} ds, P = E q (1 + qᵀ D q)⁻¹ qᵀ E in the eigenbasis of F. The QR decomposition
    # of [D^½ q; 1] has the upper block D^½ q R⁻¹, and P = (E D^{-½}) upper upperᵀ (E D^{-½}): only D can overflow.
    q = basis.T @ np.broadcast_to(q, (max(len(w1), len(w2)), *q.shape[1:]))
    growth = 2 * rates * t[:, None]  # [n_times, inputs + outputs]
    if growth.max(initial=0.0) > LARGEST_EXPONENT:
        raise ValueError(
            f"times reach {t.max():.3g}, where e^(2st) of the strongest mode, s = {rates[0]:.3g}, overflows; "
            "give earlier ones"
        )
    limit = np.broadcast_to(t[:, None], growth.shape).copy()  # of rate 0
    ratio = np.divide(-np.expm1(-growth), 2 * rates, out=limit, where=growth != 0)  # E⁻¹ D E⁻¹
    weighted = (np.exp(growth / 2) * np.sqrt(ratio))[:, :, None] * q[:, None]
    width = q.shape[2]
    stacked = np.concatenate([weighted, np.broadcast_to(np.eye(width), (*weighted.shape[:2], width, width))], axis=2)
    upper = np.linalg.qr(stacked).Q[:, :, : q.shape[1]]
    with np.errstate(divide="ignore"):
        factor = np.where(t[:, None] > 0, 1 / np.sqrt(ratio), 0.0)
    half = basis @ np.where((t > 0)[:, None, None], factor[:, :, None] * upper, q[:, None])
    return np.asarray(half @ half.swapaxes(2, 3))


def flow_losses(start: Layers, second_moments: SecondMoments, times: ArrayLike, *, tolerance: float = 1e-8) -> Array:
    """L(t) = ½ tr E y yᵀ − tr(M Sᵀ) + ½ ‖M‖_F² of M = W₂W₁ along the flow, [n_networks, n_times].

    Arguments and errors as `flow_overlaps`.

    Example:
        >>> moments = SecondMoments(np.eye(1), [[2.0]], [[4.0]], [0.0], [0.0])  # y = 2x
        >>> flow_losses([([[1.0]], None), ([[1.0]], None)], moments, [0.0, 10.0]).round(6) + 0.0  # ½ (1 − 2)² to 0
        array([[0.5, 0. ]])
    """
    cross = second_moments.xy.T
    n_inputs = cross.shape[1]
    overlaps = flow_overlaps(start, second_moments, times, tolerance=tolerance)
    end_to_end = overlaps[:, :, n_inputs:, :n_inputs]
    gain = (end_to_end * cross).sum(axis=(2, 3))
    return np.asarray(np.trace(second_moments.yy) / 2 - gain + (end_to_end**2).sum(axis=(2, 3)) / 2)


def aligned_flow(
    second_moments: SecondMoments, strengths: ArrayLike, hidden_basis: ArrayLike, times: ArrayLike
) -> Layers:
    """The weights along the flow from an aligned, balanced start, exact to rounding.

    Two runs that differ in R alone have the same map at every time, so that at convergence `depth_two_barrier` between
    them is exact.

    Args:
        second_moments: with xx the identity (whitened inputs) and any xy, yy; S = U diag(s) Vᵀ with singular values
            descending has rank = min(n_inputs, n_outputs).
        strengths: u₀ [rank] or [n_networks, rank], above 0; the start is W₁ = R diag(√u₀) Vᵀ, W₂ = U diag(√u₀) Rᵀ.
        hidden_basis: R [n_networks, width, rank] with orthonormal columns, or one [width, rank].
        times: [n_times], at least 0.

    Returns:
        Two layers of n_networks · n_times networks; network n at time k is row n · n_times + k.

    Raises:
        ValueError: the inputs are not whitened, R is not orthonormal, a strength is not above 0, or shapes do not fit.

    Example:
        >>> moments = SecondMoments(np.eye(1), [[2.0]], [[4.0]], [0.0], [0.0])  # y = 2x
        >>> (w1, _), (w2, _) = aligned_flow(moments, [0.25], [[1.0]], [0.0, 10.0])
        >>> (w2 @ w1).ravel().round(6).tolist()
        [0.25, 2.0]
    """
    cross = _whitened_cross(second_moments)
    rank = min(cross.shape)
    basis = finite("hidden_basis", hidden_basis)
    u0 = finite("strengths", strengths)
    t = _times(times)
    if basis.ndim not in (2, 3) or basis.shape[-1] != rank or basis.shape[-2] < rank:
        raise ValueError(
            f"hidden_basis has shape {basis.shape}; give [n_networks, width, {rank}] with a width of at least {rank}"
        )
    basis = basis.reshape((-1, *basis.shape[-2:]))
    if np.abs(basis.swapaxes(1, 2) @ basis - np.eye(rank)).max(initial=0.0) > 1e-10:
        raise ValueError("hidden_basis has columns that are not orthonormal; the modes decouple only where they are")
    if u0.shape not in ((rank,), (len(basis), rank)) or (u0 <= 0).any():
        raise ValueError(
            f"strengths has shape {u0.shape} and minimum {u0.min(initial=np.inf):.3g}; "
            f"give [{rank}] or [{len(basis)}, {rank}], above 0"
        )
    left, s, right = np.linalg.svd(cross, full_matrices=False)
    decay = np.exp(-2 * s * t[:, None])  # [n_times, rank]
    # u = u₀ / (u₀ (1 − e^{−2st})/s + e^{−2st}), whose limit at s = 0 is u₀/(1 + 2 u₀ t)
    limit = np.broadcast_to(2 * t[:, None], decay.shape).copy()
    saturation = np.divide(-np.expm1(-2 * s * t[:, None]), s, out=limit, where=s > 0)
    u0 = np.broadcast_to(u0, (len(basis), rank))[:, None]
    root = np.sqrt(u0 / (u0 * saturation + decay))[:, :, None, :]  # [n, n_times, 1, rank]
    scaled = basis[:, None] * root
    first, second = scaled @ right, (left * root) @ basis[:, None].swapaxes(2, 3)
    return [(first.reshape((-1, *first.shape[2:])), None), (second.reshape((-1, *second.shape[2:])), None)]


def flow_barriers(
    second_moments: SecondMoments, strengths: ArrayLike, basis_a: ArrayLike, basis_b: ArrayLike, times: ArrayLike
) -> Array:
    """B(t) between two aligned flows that differ in the hidden basis alone, [n_pairs, n_times]; every definition's.

    Args:
        second_moments: as `aligned_flow` takes them.
        strengths: u₀ [rank] or [n_pairs, rank], of both.
        basis_a: R_A [n_pairs, width, rank] with orthonormal columns, or one.
        basis_b: R_B, of the same shape.
        times: [n_times], at least 0.

    Raises:
        ValueError: as `aligned_flow`, or the bases' shapes differ.

    Example:
        >>> moments = SecondMoments(np.eye(1), [[2.0]], [[4.0]], [0.0], [0.0])  # y = 2x, s = 2
        >>> flow_barriers(moments, [0.01], [[1.0], [0.0]], [[0.0], [1.0]], [1.5, 20.0]).round(3)  # κ = 2: to s²/8
        array([[0.667, 0.5  ]])
    """
    a, b = (finite(name, basis) for name, basis in (("basis_a", basis_a), ("basis_b", basis_b)))
    if a.shape != b.shape:
        raise ValueError(f"basis_a has shape {a.shape} and basis_b {b.shape}; they must agree")
    t = _times(times)
    (first, _), _ = aligned_flow(second_moments, strengths, a, t)
    aligned_flow(second_moments, strengths, b, t[:1])  # refuses what is no basis
    a, b = (basis.reshape((-1, *basis.shape[-2:])) for basis in (a, b))
    _, s, right = np.linalg.svd(_whitened_cross(second_moments), full_matrices=False)
    u = ((first @ right.T) ** 2).sum(axis=1).reshape(len(a), len(t), len(s))
    overlap = a.swapaxes(1, 2) @ b
    k = 2 * np.eye(len(s)) - overlap - overlap.swapaxes(1, 2)
    curvature = ((s - u) * u * np.diagonal(k, axis1=1, axis2=2)[:, None]).sum(axis=2) / 4
    height = curvature + np.einsum("ntk,nkl,ntl->nt", u, k**2, u) / 32
    return np.asarray(np.maximum(height, 0.0))  # convex in α(1 − α): largest at ½, or at the ends where u₀ > s


def _whitened_cross(moments: SecondMoments) -> Array:
    """S = E y xᵀ, if E x xᵀ is the identity."""
    n_inputs = moments.x_mean.size
    off = np.abs(moments.xx - np.eye(n_inputs)).max()
    if off > 1e-8:
        raise ValueError(f"second_moments.xx differs from the identity by {off:.3g}; whiten the inputs first")
    return np.ascontiguousarray(moments.xy.T)


def _check_balanced(w1: Array, w2: Array, tolerance: float) -> None:
    """ValueError unless W₂ᵀW₂ = W₁W₁ᵀ, to `tolerance` of the squared norms."""
    unbalanced = np.linalg.norm(w2.swapaxes(1, 2) @ w2 - w1 @ w1.swapaxes(1, 2), axis=(1, 2))
    size = (w1**2).sum(axis=(1, 2)) + (w2**2).sum(axis=(1, 2))
    if (unbalanced > tolerance * size).any():
        raise ValueError(
            f"start is not balanced: ‖W₂ᵀW₂ − W₁W₁ᵀ‖ is up to {unbalanced.max():.3g}; the closed form needs 0"
        )


def _times(times: ArrayLike) -> Array:
    """`times` as [n_times]; ValueError unless all are at least 0."""
    t = np.atleast_1d(finite("times", times))
    if t.ndim != 1 or (t < 0).any():
        raise ValueError("times must be [n_times] of at least 0")
    return t
