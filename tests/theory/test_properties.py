"""What every route to a curve has in common, by hypothesis: symmetries, degrees, bounds and limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.problems import networks
from theory import (
    SecondMoments,
    barriers_on_grid,
    certified_path,
    deep_piecewise_path,
    linear_path,
    objections,
    piecewise_path,
    population_loss,
    population_path,
    second_moment,
)

ALPHAS = np.linspace(0, 1, 9)
SEEDS = st.integers(0, 2**32 - 1)
WIDTHS = {"population": (3, 4, 1), "piecewise": (3, 5, 2), "deep_piecewise": (2, 4, 3, 1), "linear": (3, 4, 4, 2)}
ROUTES = [
    *(("population", activation) for activation in ("relu", "leaky_relu", "erf", "square", "identity", "tanh", "gelu"))
]
ROUTES += [("piecewise", "relu"), ("deep_piecewise", "relu"), ("linear", "identity")]


def data(rng, widths, n=12):
    return rng.standard_normal((n, widths[0])), rng.standard_normal((n, widths[-1]))


def curve(route, activation, seed, a, b):
    """The curve between a and b by this route; data and teacher are a function of the seed."""
    rng = np.random.default_rng(seed + 1)
    widths = WIDTHS[route]
    if route == "population":
        return population_path(a, b, networks(rng, 1, (3, 2, 1)), activation)
    x, y = data(rng, widths)
    if route == "linear":
        return linear_path(a, b, SecondMoments.from_data(x, y))
    return {"piecewise": piecewise_path, "deep_piecewise": deep_piecewise_path}[route](a, b, x, y)


def ends(route, seed, n=3):
    rng = np.random.default_rng(seed)
    return networks(rng, n, WIDTHS[route]), networks(rng, n, WIDTHS[route])


def permuted(layers, orders):
    """Hidden units of every network in another order."""
    result = [(w.copy(), None if c is None else c.copy()) for w, c in layers]
    for k, order in enumerate(orders):
        (w, c), (above, d) = result[k], result[k + 1]
        result[k] = (w[:, order], None if c is None else c[:, order])
        result[k + 1] = (above[:, :, order], d)
    return result


def rescaled(layers, scales):
    """Every hidden unit's incoming weights and bias times its s > 0, its outgoing ones over s."""
    result = list(layers)
    for k, s in enumerate(scales):
        (w, c), (above, d) = result[k], result[k + 1]
        result[k] = (w * s[:, None], None if c is None else c * s)
        result[k + 1] = (above / s, d)
    return result


@pytest.mark.parametrize(("route", "activation"), ROUTES)
@settings(max_examples=10)
@given(seed=SEEDS)
def test_permuting_units_of_both_ends_alike_changes_nothing(route, activation, seed):
    a, b = ends(route, seed)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(width) for width in WIDTHS[route][1:-1]]
    one, other = (
        curve(route, activation, seed, a, b),
        curve(route, activation, seed, permuted(a, orders), permuted(b, orders)),
    )
    np.testing.assert_allclose(other(ALPHAS), one(ALPHAS), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("route", "activation"), ROUTES)
@settings(max_examples=10)
@given(seed=SEEDS)
def test_a_path_backwards_is_the_same_path(route, activation, seed):
    a, b = ends(route, seed)
    np.testing.assert_allclose(
        curve(route, activation, seed, b, a)(1 - ALPHAS),
        curve(route, activation, seed, a, b)(ALPHAS),
        rtol=1e-9,
        atol=1e-11,
    )


@pytest.mark.parametrize(
    ("route", "activation"),
    [("population", "relu"), ("population", "leaky_relu"), ("piecewise", "relu"), ("deep_piecewise", "relu")],
)
@settings(max_examples=10)
@given(seed=SEEDS)
def test_rescaling_relu_units_leaves_the_ends_and_moves_the_path(route, activation, seed):
    a, b = ends(route, seed)
    rng = np.random.default_rng(seed)
    scales = [np.exp(rng.standard_normal(width)) for width in WIDTHS[route][1:-1]]
    one, other = curve(route, activation, seed, a, b), curve(route, activation, seed, rescaled(a, scales), b)
    np.testing.assert_allclose(other.endpoints, one.endpoints, rtol=1e-9, atol=1e-11)
    assert abs(other([0.5]) - one([0.5])).max() > 1e-6


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@given(seed=SEEDS)
def test_linear_networks_of_depth_l_are_polynomials_of_degree_2l(depth, seed):
    """Differences of order 2L + 1 on an even grid vanish, those of order 2L do not."""
    rng = np.random.default_rng(seed)
    widths = (3, *[4] * (depth - 1), 2)
    a, b = networks(rng, 1, widths), networks(rng, 1, widths)
    x, y = data(rng, widths)
    h = np.linspace(0, 1, 2 * depth + 2)

    def direct(alpha):
        out = x
        for (w, c), (v, d) in zip(a, b, strict=True):
            out = out @ ((1 - alpha) * w[0] + alpha * v[0]).T + (1 - alpha) * c[0] + alpha * d[0]
        return 0.5 * ((out - y) ** 2).sum(1).mean()

    values = np.array([direct(alpha) for alpha in h])
    assert abs(np.diff(values, 2 * depth + 1)).max() < 1e-9 * 4**depth * abs(values).max()
    assert abs(np.diff(values[:-1], 2 * depth)).max() > 1e-12
    np.testing.assert_allclose(linear_path(a, b, SecondMoments.from_data(x, y))(h)[0], values, rtol=1e-10)


@pytest.mark.parametrize(("route", "degree"), [("piecewise", 4), ("deep_piecewise", 6)])
@given(seed=SEEDS)
def test_pieces_have_degree_2l_and_the_maximum_lies_between_a_grid_and_its_lipschitz_bound(route, degree, seed):
    """|p′(α)| ≤ Σ k |c_k| on [0, 1] bounds the slope of every piece p = Σ c_k α^k.

    So the top is at most half a step of that slope above the grid.
    """
    a, b = ends(route, seed)
    exact = curve(route, "relu", seed, a, b)
    assert exact.coefficients.shape[1] == degree + 1
    assert (abs(exact.coefficients[:, -1]) > 1e-12).any()
    grid = np.linspace(0, 1, 4001)
    slope = (np.arange(degree + 1) * abs(exact.coefficients)).sum(1)
    steepest = np.array([slope[i:j].max() for i, j in zip(exact.offsets[:-1], exact.offsets[1:], strict=True)])
    measured = exact(grid).max(1)
    top = exact.maximum()[0]
    assert (top >= measured - 1e-12).all() and (top <= measured + steepest * 0.5 / 4000 + 1e-12).all()


@pytest.mark.parametrize("activation", ["erf", "relu", "tanh"])
@settings(max_examples=15)
@given(seed=SEEDS)
def test_population_maxima_lie_between_a_grid_and_its_lipschitz_bound(activation, seed):
    """Without biases, |σ′| ≤ s and |σ(u)| ≤ s |u| (s = √(2/π) for erf, else 1) bound dL/dα by norms of weights alone.

    |f_α(x)| ≤ s ‖v‖ ‖W‖ ‖x‖ and |df_α/dα| ≤ s (‖Δv‖ ‖W‖ + ‖v‖ ‖ΔW‖) ‖x‖ with the larger norm of both ends, E‖x‖² = d.
    """
    rng = np.random.default_rng(seed)
    s = (2 / np.pi) ** 0.5 if activation == "erf" else 1.0
    a, b, teacher = (
        networks(rng, 2, (3, 4, 1), False),
        networks(rng, 2, (3, 4, 1), False),
        networks(rng, 1, (3, 2, 1), False),
    )
    norm = [[np.linalg.norm(w, axis=(1, 2)) for w, _ in side] for side in (a, b, teacher)]
    change = [np.linalg.norm(v - w, axis=(1, 2)) for (w, _), (v, _) in zip(a, b, strict=True)]
    w, v = (np.maximum(norm[0][k], norm[1][k]) for k in range(2))
    lipschitz = 3 * (s * v * w + s * norm[2][0] * norm[2][1]) * s * (change[1] * w + v * change[0])
    exact = population_path(a, b, teacher, activation)
    grid = np.linspace(0, 1, 2001)
    measured, top = exact(grid).max(1), exact.maximum()[0]
    slack = 0 if exact.error is None else exact.error
    assert (top >= measured - 1e-12).all() and (top <= measured + lipschitz * 0.5 / 2000 + slack + 1e-12).all()
    assert (abs(exact.derivative(grid[::20])).max(1) <= lipschitz * (1 + 1e-9) + 1e-6).all()


@pytest.mark.parametrize("activation", ["tanh", "erf", "gelu", "relu"])
@settings(max_examples=10)
@given(seed=SEEDS)
def test_enclosures_lie_between_a_grid_and_its_lipschitz_bound(activation, seed):
    """|σ′| ≤ s and σ(0) = 0 bound dL/dα on data by norms of weights alone; a bias is the weight of an input that is 1.

    ‖f_α(x)‖ ≤ s ‖v‖ ‖W‖ ‖x‖ + ‖c‖ and ‖df_α/dα‖ ≤ s (‖Δv‖ ‖W‖ + ‖v‖ ‖ΔW‖) ‖x‖ + ‖Δc‖, and dL/dα = mean r·df/dα.
    """
    rng = np.random.default_rng(seed)
    s = {"erf": (2 / np.pi) ** 0.5, "gelu": 1.13}.get(activation, 1.0)
    a, b = networks(rng, 2, (3, 4, 2)), networks(rng, 2, (3, 4, 2))
    x, y = data(rng, (3, 4, 2))
    first, second = ([np.concatenate([net[0][0], net[0][1][:, :, None]], axis=2), *net[1]] for net in (a, b))
    parts = [(p.reshape(2, -1), q.reshape(2, -1)) for p, q in zip(first, second, strict=True)]  # W with b, v, c
    w, v, c = (np.maximum(np.linalg.norm(p, axis=1), np.linalg.norm(q, axis=1)) for p, q in parts)
    dw, dv, dc = (np.linalg.norm(q - p, axis=1) for p, q in parts)
    inputs, targets = np.sqrt(1 + (x**2).sum(1)), np.linalg.norm(y, axis=1)
    residual = s * np.outer(v * w, inputs) + c[:, None] + targets
    lipschitz = (residual * (s * np.outer(dv * w + v * dw, inputs) + dc[:, None])).mean(1)
    certified, grid = certified_path(a, b, x, y, activation, tol=1e-6), np.linspace(0, 1, 1001)
    low, high = certified.enclosure("max_endpoint").T
    measured = barriers_on_grid(grid, certified(grid), "max_endpoint").value
    assert (high >= measured - 1e-10).all() and (low <= measured + lipschitz * 0.5 / 1000 + 1e-10).all()
    assert (high - low <= 1e-6).all()


@given(seed=SEEDS)
def test_large_weights_turn_erf_into_the_sign(seed):
    """W → ∞: E sign(u) sign(w) = (2/π) arcsin ρ, for the loss of whole networks."""
    rng = np.random.default_rng(seed)
    (w, _), (v, _) = student = networks(rng, 4, (3, 4, 1), False)
    (u, _), (c, _) = teacher = networks(rng, 1, (3, 2, 1), False)

    def signs(first, second):
        norms = [np.linalg.norm(z, axis=2) for z in (first, second)]
        rho = first @ second.swapaxes(1, 2) / (norms[0][:, :, None] * norms[1][:, None])
        return 2 / np.pi * np.arcsin(np.clip(rho, -1, 1))

    expected = 0.5 * (np.einsum("noi,nij,noj->n", v, signs(w, w), v) + np.einsum("noi,nij,noj->n", c, signs(u, u), c))
    expected -= np.einsum("noi,nij,noj->n", v, signs(w, u), np.broadcast_to(c, (4, 1, 2)))
    scaled = [[(1e7 * layers[0][0], None), layers[1]] for layers in (student, teacher)]
    np.testing.assert_allclose(population_loss(*scaled, "erf"), expected, rtol=1e-5, atol=1e-5)


@given(seed=SEEDS)
def test_small_weights_turn_erf_into_a_line(seed):
    """W → 0: erf(u/√2) = √(2/π) u + O(u³), so the loss is that of a linear network, times 2/π."""
    rng = np.random.default_rng(seed)
    student, teacher = networks(rng, 4, (3, 4, 1), False), networks(rng, 1, (3, 2, 1), False)
    scale = 1e-4
    scaled = [[(scale * layers[0][0], None), layers[1]] for layers in (student, teacher)]
    line = population_loss(student, teacher, "identity") * scale**2 * 2 / np.pi
    np.testing.assert_allclose(population_loss(*scaled, "erf"), line, rtol=1e-5, atol=1e-15)


@pytest.mark.parametrize("activation", ["identity", "relu", "leaky_relu", "erf", "square"])
@given(seed=SEEDS)
def test_gram_matrices_are_positive_semi_definite(activation, seed):
    """E σ(u_i) σ(u_j) for eight Gaussians of any means and covariance."""
    rng = np.random.default_rng(seed)
    factor, mean = rng.standard_normal((8, 5)), 0.5 * rng.standard_normal(8)
    c = factor @ factor.T
    gram = second_moment(activation, activation, mean[:, None], mean[None], np.diag(c)[:, None], c, np.diag(c)[None])
    assert np.linalg.eigvalsh((gram + gram.T) / 2).min() > -1e-10 * abs(gram).max()
    np.testing.assert_allclose(gram, gram.T, rtol=1e-10)


@pytest.mark.parametrize("scale", [0.5, 2.0, 5.0])
@settings(max_examples=5)
@given(seed=SEEDS)
def test_proofs_of_three_layers_of_squares_under_cross_entropy_are_confirmed(scale, seed):
    """Outputs grow as the eighth power of weights of size 5: the checker's exponentials must not overflow."""
    rng = np.random.default_rng(seed)
    a, b = ([(scale * w, c) for w, c in networks(rng, 1, (2, 3, 3, 2))] for _ in range(2))
    x, y = 2 * rng.standard_normal((6, 2)), rng.integers(0, 2, 6)
    found = certified_path(a, b, x, y, "square", loss="cross_entropy", tol=1e-3)
    proof = found.proof(0)
    assert objections(proof, a, b, x, y, "square", loss="cross_entropy") == []
    barrier = found.barrier("linear")
    grid = np.linspace(0, 1, 201)
    measured = barriers_on_grid(grid, found(grid), "linear").value
    assert (measured <= barrier.value + barrier.error + 1e-9 * (1 + abs(measured))).all()
