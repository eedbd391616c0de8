"""Structure results: decompositions checked as identities, decisions by brute force, bounds by what they bound."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.theory.problems import networks
from theory import (
    BARRIER_DEFINITIONS,
    PiecewisePolynomialCurve,
    PolynomialCurve,
    SecondMoments,
    SmoothCurve,
    barriers_on_grid,
    counterexample_data,
    cross_entropy_parts,
    curvature_bound,
    deep_piecewise_path,
    feature_residuals,
    linear_path,
    linearly_connected,
    midpoint_errors,
    neuron_types,
    piecewise_path,
    sphere_path,
)
from theory.structure.feature_connectivity import FUNCTIONS
from theory.structure.rebasin_counterexample import SOLUTION_A, SOLUTION_B, permuted_solutions, predicted_class

GRID = np.linspace(0, 1, 401)


def features(a, b, alpha, x, sigma):
    """Pre-activations of each layer of the interpolated networks, list of [n, n_samples, units]."""
    h, found = x, []
    for (wa, ba), (wb, bb) in zip(a, b, strict=True):
        z = h @ ((1 - alpha) * wa + alpha * wb).swapaxes(1, 2) + ((1 - alpha) * ba + alpha * bb)[:, None]
        found.append(z)
        h = sigma(z)
    return found


# ---- cross-entropy


@given(seed=st.integers(0, 2**32 - 1), n_classes=st.integers(2, 5))
def test_cross_entropy_is_its_parts(seed, n_classes):
    rng = np.random.default_rng(seed)
    a, b, x = networks(rng, 3, (2, 4, n_classes)), networks(rng, 3, (2, 4, n_classes)), 3 * rng.standard_normal((20, 2))
    labels, alphas = rng.integers(0, n_classes, 20), np.linspace(0, 1, 11)
    logits = np.stack([features(a, b, alpha, x, np.tanh)[-1] for alpha in alphas], axis=1)
    parts = cross_entropy_parts(alphas, logits, labels)
    probability = np.exp(logits) / np.exp(logits).sum(axis=3, keepdims=True)
    loss = -np.log(
        np.take_along_axis(probability, np.broadcast_to(labels[:, None], (*logits.shape[:3], 1)), axis=3)
    ).mean(axis=(2, 3))
    height = loss - ((1 - alphas) * loss[:, :1] + alphas * loss[:, -1:])
    np.testing.assert_allclose(parts.height, height, atol=1e-12)
    np.testing.assert_allclose(parts.lse_shift - parts.jensen_gap - parts.label_shift, height, atol=1e-12)
    assert (parts.jensen_gap >= -1e-15).all()
    assert (parts.jensen_gap[:, 5] > 1e-4).all()
    assert (parts.height <= parts.bound + 1e-12).all()
    mean_logits = (1 - alphas[:, None, None]) * logits[:, :1] + alphas[:, None, None] * logits[:, -1:]
    # Interpolated logits themselves: nothing but the Jensen gap, of which this is another form.
    straight = cross_entropy_parts(alphas, mean_logits, labels)
    np.testing.assert_allclose(straight.height, -straight.jensen_gap, atol=1e-12)
    np.testing.assert_allclose(straight.bound, -straight.jensen_gap, atol=1e-12)
    np.testing.assert_allclose(straight.jensen_gap, parts.jensen_gap, atol=1e-12)
    worst = np.abs(logits - mean_logits).max(axis=3).mean(axis=2)
    np.testing.assert_allclose(parts.bound + parts.jensen_gap, 2 * worst, atol=1e-12)


def test_cross_entropy_parts_refuse():
    with pytest.raises(ValueError, match="beginning with 0 and ending with 1"):
        cross_entropy_parts([0.0, 0.5], np.zeros((1, 2, 3, 2)), [0, 1, 0])
    with pytest.raises(ValueError, match=r"logits has shape \(1, 3, 3, 2\) and labels \(3,\)"):
        cross_entropy_parts([0.0, 1.0], np.zeros((1, 3, 3, 2)), [0, 1, 0])
    with pytest.raises(ValueError, match="labels holds numbers that are no class; logits have 2 classes"):
        cross_entropy_parts([0.0, 1.0], np.zeros((1, 2, 3, 2)), [0, 1, 2])


# ---- linear feature connectivity


@given(seed=st.integers(0, 2**32 - 1), activation=st.sampled_from([*FUNCTIONS, "leaky_relu"]), depth=st.integers(1, 4))
def test_feature_residuals_and_their_identity(seed, activation, depth):
    rng = np.random.default_rng(seed)
    widths = [2, *rng.integers(1, 5, depth)]
    a, b, x = networks(rng, 2, widths), networks(rng, 2, widths), rng.standard_normal((6, 2))
    sigma = FUNCTIONS.get(activation, lambda u: np.where(u > 0, u, 0.3 * u))
    found = feature_residuals(a, b, x, activation, [0.3], negative_slope=0.3)
    start, end, between = (features(a, b, alpha, x, sigma) for alpha in (0.0, 1.0, 0.3))
    for layer in range(depth):
        act = sigma if layer < depth - 1 else (lambda u: u)
        bar = 0.7 * act(start[layer]) + 0.3 * act(end[layer])
        gap = ((act(between[layer]) - bar) ** 2).sum(axis=2).mean(axis=1)
        size = (bar**2).sum(axis=2).mean(axis=1)
        expected = np.where(
            size > 0, gap / np.where(size > 0, size, 1), np.where(gap > 0, np.inf, 0)
        )  # both ends dead, the middle alive
        np.testing.assert_allclose(found.residual[:, layer, 0], expected, atol=1e-12)
        norms = np.linalg.norm(act(between[layer]), axis=2) * np.linalg.norm(bar, axis=2)
        cosine = np.where(norms > 0, (act(between[layer]) * bar).sum(axis=2) / np.where(norms > 0, norms, 1), 0).mean(
            axis=1
        )
        np.testing.assert_allclose(found.cosine[:, layer, 0], cosine, atol=1e-12)
        if layer == 0:
            continue
        # z(α) − z̄ = W(α) (h(α) − h̄) − α (1 − α) ΔW Δh, on the layer below.
        below = 0.7 * sigma(start[layer - 1]) + 0.3 * sigma(end[layer - 1])
        weight = 0.7 * a[layer][0] + 0.3 * b[layer][0]
        product_of_changes = (sigma(end[layer - 1]) - sigma(start[layer - 1])) @ (b[layer][0] - a[layer][0]).swapaxes(
            1, 2
        )
        identity = (sigma(between[layer - 1]) - below) @ weight.swapaxes(1, 2) - 0.21 * product_of_changes
        np.testing.assert_allclose(between[layer] - (0.7 * start[layer] + 0.3 * end[layer]), identity, atol=1e-11)
        np.testing.assert_allclose(
            found.commutativity[:, layer - 1], (product_of_changes**2).sum(axis=2).mean(axis=1), atol=1e-12
        )
        straight = sigma(0.7 * start[layer - 1] + 0.3 * end[layer - 1])
        np.testing.assert_allclose(
            found.additivity[:, layer - 1, 0], ((straight - below) ** 2).sum(axis=2).mean(axis=1), atol=1e-12
        )


def test_feature_residuals_on_inputs_of_each_pair():
    rng = np.random.default_rng(5)
    a, b, x = networks(rng, 3, (2, 4, 3, 1)), networks(rng, 3, (2, 4, 3, 1)), rng.standard_normal((3, 7, 2))
    together = feature_residuals(a, b, x, "relu")
    for k in range(3):
        one, other = ([(w[k : k + 1], c[k : k + 1]) for w, c in side] for side in (a, b))
        for found, alone in zip(together, feature_residuals(one, other, x[k], "relu"), strict=True):
            np.testing.assert_allclose(found[k], alone[0], rtol=1e-12)
    with pytest.raises(ValueError, match=r"x has shape \(2, 7, 2\)"):
        feature_residuals(a, b, x[:2], "relu")


def test_features_interpolate_where_the_theorem_says():
    """One first layer at both ends: h is one too, commutativity and additivity hold, the barrier is 0."""
    rng = np.random.default_rng(2)
    a, x = networks(rng, 3, (2, 5, 1)), rng.standard_normal((30, 2))
    b = [a[0], networks(rng, 3, (2, 5, 1))[1]]
    found = feature_residuals(a, b, x, "relu")
    np.testing.assert_allclose(found.commutativity, 0, atol=1e-25)
    np.testing.assert_allclose(found.residual, 0, atol=1e-25)
    np.testing.assert_allclose(found.cosine[:, -1], 1, atol=1e-12)
    np.testing.assert_allclose(piecewise_path(a, b, x, rng.standard_normal((30, 1))).barrier().value, 0, atol=1e-14)
    with pytest.raises(ValueError, match=r"activation 'relus' is not known; did you mean 'relu'\?"):
        feature_residuals(a, b, x, "relus")
    with pytest.raises(ValueError, match=r"x has shape \(30, 3\) and alphas \(3,\); give \[n_samples, 2\]"):
        feature_residuals(a, b, np.zeros((30, 3)), "relu")


# ---- the sphere's teacher


def minimum(rng, width, n_inputs, n_teacher):
    """A random minimum: each teacher neuron split over some students, others zero."""
    types = np.concatenate([np.arange(n_teacher), rng.integers(-1, n_teacher, width - n_teacher)])
    rng.shuffle(types)
    w = np.zeros((width, n_inputs))
    for j in range(n_teacher):
        rows = np.flatnonzero(types == j)
        w[rows, j] = rng.dirichlet(np.ones(rows.size))
    return w


@given(
    seed=st.integers(0, 2**32 - 1),
    n_inputs=st.integers(2, 4),
    n_teacher=st.integers(1, 3),
    spare=st.integers(0, 3),
    related=st.booleans(),
)
def test_connected_minima_by_brute_force(seed, n_inputs, n_teacher, spare, related):
    rng = np.random.default_rng(seed)
    n_teacher = min(n_teacher, n_inputs)
    a, b = (np.stack([minimum(rng, n_teacher + spare, n_inputs, n_teacher) for _ in range(8)]) for _ in range(2))
    if related:  # the second half in other proportions
        b[4:] = a[4:] ** 2
        b[4:, :, :n_teacher] /= b[4:, :, :n_teacher].sum(axis=1, keepdims=True)
    decided = linearly_connected(a, b, n_teacher)
    x = rng.standard_normal((4000, n_inputs))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    target = np.maximum(x[:, :n_teacher], 0).sum(axis=1)
    for alpha in (0.0, 0.2, 0.5, 0.9, 1.0):
        f = np.maximum(x @ ((1 - alpha) * a + alpha * b).swapaxes(1, 2), 0).sum(axis=2)
        loss = ((f - target) ** 2).mean(axis=1) / 2
        if alpha in (0.0, 1.0):
            assert (loss < 1e-28).all()
        else:
            np.testing.assert_array_equal(loss < 1e-20, decided)
    if related:
        assert decided[4:].all()
    np.testing.assert_allclose(sphere_path(a, b, n_teacher).barrier().value[decided], 0, atol=1e-13)


def test_the_loss_on_the_sphere():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 2, 4, 3))
    x = rng.standard_normal((200_000, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    target = np.maximum(x[:, :2], 0).sum(axis=1)
    curve = sphere_path(a, b, 2)
    for alpha in (0.0, 0.4, 1.0):
        samples = (np.maximum(x @ ((1 - alpha) * a + alpha * b).swapaxes(1, 2), 0).sum(axis=2) - target) ** 2 / 2
        gap = np.abs(samples.mean(axis=1) - curve([alpha])[:, 0])
        assert (gap < 4.5 * samples.std(axis=1) / np.sqrt(len(x))).all()


def test_sphere_by_hand_and_refusals():
    a = np.array([[[0.25, 0], [0.75, 0], [0, 1.0]]])
    same, zeroed, mixed = (
        np.array([[[1.0, 0], [0, 0], [0, 1]]]),
        np.array([[[0.0, 0], [1, 0], [0, 1]]]),
        np.array([[[0.5, 0], [0, 1], [0.5, 0]]]),
    )
    assert [bool(linearly_connected(a, b, 2)[0]) for b in (same, zeroed, mixed)] == [True, True, False]
    np.testing.assert_array_equal(neuron_types(zeroed, 2), [[-1, 0, 1]])
    for wrong in (a * 2, -a, a + 0.01, np.array([[[1.0, 0], [0, 0.5], [0, 0.4]]])):
        with pytest.raises(ValueError, match=r"1 networks are no minima \(the first is 0"):
            linearly_connected(a, wrong, 2)
    with pytest.raises(ValueError, match="n_teacher is 3"):
        neuron_types(a, 3)
    with pytest.raises(ValueError, match=r"a holds \(networks, neurons\) \(1, 3\) and b \(1, 2\)"):
        linearly_connected(a, np.eye(2)[None], 2)


# ---- curvature


@given(seed=st.integers(0, 2**32 - 1), depth=st.integers(2, 3), biased=st.booleans())
def test_curvature_bounds_the_barrier(seed, depth, biased):
    rng = np.random.default_rng(seed)
    widths = (2, *[3] * (depth - 1), 1)
    a, b = networks(rng, 3, widths, biased), networks(rng, 3, widths, biased)
    x, y = rng.standard_normal((9, 2)), rng.standard_normal((9, 1))
    for curve in (linear_path(a, b, SecondMoments.from_data(x, y)), deep_piecewise_path(a, b, x, y)):
        found = curvature_bound(curve)
        np.testing.assert_allclose(found.bound, found.smooth + found.kinks)
        barrier = curve.barrier("linear").value
        assert (barrier <= found.bound + 1e-9 * (1 + np.abs(curve.coefficients).max())).all()
        if isinstance(curve, PolynomialCurve):
            sharpest = -(np.diff(curve.derivative(np.linspace(0, 1, 4001)), axis=1) * 4000).min(axis=1)
            np.testing.assert_allclose(
                found.smooth, np.maximum(sharpest, 0) / 8, rtol=1e-2, atol=1e-2 * (1 + np.abs(curve.coefficients).max())
            )


def test_curvature_by_hand():
    hill = curvature_bound(PolynomialCurve([[1.0, 3.0, -2.0], [0.0, -1.0, 1.0]]))  # constant curvature −4 and 2
    np.testing.assert_allclose(hill.bound, [0.5, 0.0], atol=1e-15)
    assert PolynomialCurve([[1.0, 3.0, -2.0]]).barrier().value[0] == pytest.approx(0.5)  # attained
    tent = PiecewisePolynomialCurve([0.0, 0.25, 0.0], [[0, 3.0], [1, -1.0], [0, 1.0]], [0, 2, 3])
    np.testing.assert_allclose(curvature_bound(tent).kinks, [0.75, 0.0])
    np.testing.assert_allclose(tent.barrier().value, [0.75, 0.0], atol=1e-15)  # attained too
    smooth = SmoothCurve(1, lambda rows, alphas, slope: (np.sin(alphas), np.cos(alphas)))
    with pytest.raises(TypeError, match="of this SmoothCurve no bound of L″ is known"):
        curvature_bound(smooth)


# ---- Git Re-Basin's counterexample


def test_no_permutation_connects_the_two_solutions():
    x, y = counterexample_data(64)
    for network in (SOLUTION_A, SOLUTION_B, *permuted_solutions()):
        np.testing.assert_array_equal(predicted_class(network, x), y)
    np.testing.assert_array_equal(midpoint_errors(), [0.5, 0.25, 0.25, 0.25])
    assert len({tuple(np.concatenate([w.ravel() for w, _ in network])) for network in permuted_solutions()}) == 4
    for other, expected in zip(permuted_solutions(), midpoint_errors(), strict=True):
        errors = []
        for alpha in GRID[::10]:
            f = x
            for layer, ((wa, _), (wb, _)) in enumerate(zip(SOLUTION_A, other, strict=True)):
                f = (np.maximum(f, 0) if layer else f) @ ((1 - alpha) * wa + alpha * wb).T
            errors.append(((f[:, 0] > 0) != y).mean())
        assert abs(errors[20] - expected) <= 1 / 128  # cells on the diagonal
        for definition in BARRIER_DEFINITIONS:
            assert barriers_on_grid(GRID[::10], np.array([errors]), definition).value[0] >= expected - 1 / 128


def test_the_four_permutations_are_all():
    """Every pair of orders of the two hidden layers gives one of the four, and the same function."""
    x = np.random.default_rng(1).uniform(-1, 1, (100, 2))
    for first, second in product(([0, 1], [1, 0]), repeat=2):
        w1, w2, w3 = SOLUTION_B[0][0][first], SOLUTION_B[1][0][np.ix_(second, first)], SOLUTION_B[2][0][:, second]
        assert any(
            all(np.array_equal(u, w) for u, (w, _) in zip((w1, w2, w3), other, strict=True))
            for other in permuted_solutions()
        )
        f = np.maximum(np.maximum(x @ w1.T, 0) @ w2.T, 0) @ w3.T
        np.testing.assert_allclose(f[:, 0], np.minimum(np.maximum(-x[:, 0], 0), np.maximum(x[:, 1], 0)), atol=1e-15)
