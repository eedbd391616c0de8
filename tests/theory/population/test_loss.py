"""Population losses and paths against Monte Carlo, closed forms of other modules, grids and symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from tests.theory.problems import forward, interpolate, networks
from theory import Polynomial, SecondMoments, barriers_on_grid, linear_path, population_loss, population_path

FUNCTIONS = {
    "identity": lambda u: u,
    "square": lambda u: u * u,
    "relu": lambda u: np.maximum(u, 0.0),
    "leaky_relu": lambda u: np.where(u > 0, u, 0.2 * u),
    "erf": lambda u: erf(u / np.sqrt(2)),
}
GRID = np.linspace(0, 1, 4001)


BIASES = [(False, False), (True, True), (True, False), (False, True)]


@pytest.mark.parametrize(
    "activations",
    [
        ("relu", "relu"),
        ("erf", "erf"),
        ("square", "square"),
        ("identity", "erf"),
        ("leaky_relu", "relu"),
        ("relu", "square"),
    ],
    ids="-".join,
)
@pytest.mark.parametrize("biases", BIASES, ids=["none", "both", "first", "last"])
def test_monte_carlo(activations, biases):
    rng = np.random.default_rng(2)
    a, b = networks(rng, 2, (4, 3, 2), biases), networks(rng, 2, (4, 3, 2), biases)
    teacher = networks(rng, 1, (4, 2, 2), biases)
    root, mean = rng.standard_normal((4, 4)) / 2, (rng.standard_normal(4) / 2 if biases[0] else None)
    curve = population_path(
        a,
        b,
        teacher,
        activations[0],
        teacher_activation=activations[1],
        mean=mean,
        covariance=root @ root.T,
        negative_slope=0.2,
    )
    x = rng.standard_normal((40_000, 4)) @ root.T + (0 if mean is None else mean)
    alphas = np.array([0.0, 0.35, 1.0])
    targets = forward(teacher, x, FUNCTIONS[activations[1]])
    for alpha, loss in zip(alphas, curve(alphas).T, strict=True):
        samples = ((forward(interpolate(a, b, alpha), x, FUNCTIONS[activations[0]]) - targets) ** 2).sum(axis=2) / 2
        spread = samples.std(axis=1) / np.sqrt(len(x))
        assert (np.abs(samples.mean(axis=1) - loss) < 4.5 * spread).all()


@pytest.mark.parametrize("biases", BIASES, ids=["none", "both", "first", "last"])
@pytest.mark.parametrize("activation", list(FUNCTIONS))
def test_derivative(activation, biases):
    rng = np.random.default_rng(4)
    a, b = networks(rng, 5, (3, 4, 2), biases), networks(rng, 5, (3, 4, 2), biases)
    curve = population_path(a, b, networks(rng, 1, (3, 2, 2), biases), activation)
    alphas, step = np.linspace(0.1, 0.9, 5), 1e-4
    weights, shifts = np.array([1, -8, 8, -1]) / (12 * step), np.array([-2, -1, 1, 2]) * step
    numeric = sum(weight * curve(alphas + shift) for weight, shift in zip(weights, shifts, strict=True))
    np.testing.assert_allclose(curve.derivative(alphas), numeric, atol=1e-9)


def test_square_activation():
    """L = ‖M − M*‖_F² + ½ tr(M − M*)² for M = Wᵀ diag(v) W, one output, Σ = I; with Σ through M → Σ^½ M Σ^½."""
    rng = np.random.default_rng(1)
    student, teacher = networks(rng, 6, (4, 5, 1), False), networks(rng, 1, (4, 3, 1), False)
    sigma = np.diag([1.0, 2.0, 0.5, 0.0])
    for covariance in (np.eye(4), sigma):
        root = np.sqrt(covariance)
        m, m_star = (root @ np.einsum("nmi,nm,nmj->nij", w, v[:, 0], w) @ root for (w, _), (v, _) in (student, teacher))
        gap = m - m_star
        expected = (gap**2).sum(axis=(1, 2)) + np.trace(gap, axis1=1, axis2=2) ** 2 / 2
        found = population_loss(student, teacher, "square", covariance=covariance)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("biased", [False, True])
def test_identity_is_a_linear_network(biased):
    rng = np.random.default_rng(6)
    a, b, teacher = (networks(rng, n, (4, 5, 2), biased) for n in (7, 7, 1))
    root, mean = rng.standard_normal((4, 4)), rng.standard_normal(4)
    moments = SecondMoments.gaussian_teacher(root @ root.T, teacher, mean)
    expected = linear_path(a, b, moments)
    curve = population_path(a, b, teacher, "identity", covariance=root @ root.T, mean=mean)
    np.testing.assert_allclose(curve(GRID), expected(GRID), rtol=1e-11)
    for definition in ("linear", "mean_endpoints", "max_endpoint", "midpoint"):
        ours, theirs = curve.barrier(definition), expected.barrier(definition)
        np.testing.assert_allclose(ours.value, theirs.value, atol=1e-11 * np.abs(expected(GRID)).max())


@pytest.mark.parametrize("activation", list(FUNCTIONS))
@pytest.mark.parametrize("biased", [False, True])
def test_symmetries(activation, biased):
    rng = np.random.default_rng(7)
    a, b, teacher = (networks(rng, n, (3, width, 2), biased) for n, width in ((4, 6), (4, 6), (4, 3)))
    curve, alphas = population_path(a, b, teacher, activation), np.linspace(0, 1, 9)
    losses = curve(alphas)
    scale = 1e-12 * (1 + losses.max())
    order = rng.permutation(6)

    def permuted(layers):
        (w1, b1), (w2, b2) = layers
        return [(w1[:, order], None if b1 is None else b1[:, order]), (w2[:, :, order], b2)]

    np.testing.assert_allclose(
        population_path(permuted(a), permuted(b), teacher, activation)(alphas), losses, atol=scale
    )
    np.testing.assert_allclose(population_path(b, a, teacher, activation)(1 - alphas), losses, atol=scale)
    np.testing.assert_allclose(population_loss(a, teacher, activation), losses[:, 0], atol=scale)
    np.testing.assert_allclose(population_loss(teacher, teacher, activation), 0.0, atol=scale)
    np.testing.assert_allclose(
        population_path(a, a, teacher, activation)(alphas), losses[:, :1].repeat(9, 1), atol=scale
    )
    one = [(w[2], None if bias is None else bias[2]) for w, bias in teacher]
    np.testing.assert_allclose(population_path(a, b, one, activation)(alphas)[2], losses[2], atol=scale)


@pytest.mark.parametrize("activation", list(FUNCTIONS))
def test_zero_biases_are_no_biases(activation):
    rng = np.random.default_rng(9)
    a, b, teacher = (networks(rng, n, (4, 4, 1), False) for n in (5, 5, 1))
    zeros = [[(w1, np.zeros(w1.shape[:2])), (w2, np.zeros(w2.shape[:2]))] for (w1, _), (w2, _) in (a, b, teacher)]
    bare, biased = population_path(a, b, teacher, activation), population_path(*zeros, activation)
    one_side = population_path(zeros[0], b, teacher, activation)
    for curve in (biased, one_side):
        np.testing.assert_allclose(curve(GRID[::100]), bare(GRID[::100]), atol=1e-12)
        np.testing.assert_allclose(curve.derivative(GRID[::100]), bare.derivative(GRID[::100]), atol=1e-11)


def test_scale_and_limits():
    rng = np.random.default_rng(11)
    a, b, teacher = (networks(rng, n, (4, 4, 1), False) for n in (5, 5, 1))
    alphas = np.linspace(0, 1, 7)

    def scaled(layers, factor):
        return [(layers[0][0] * factor, None), (layers[1][0] / factor, None)]

    # relu is homogeneous at equal scale; erf of small weights is √(2/π) times the identity.
    relu = population_path(a, b, teacher, "relu")(alphas)
    np.testing.assert_allclose(
        population_path(scaled(a, 1e3), scaled(b, 1e3), teacher, "relu")(alphas), relu, rtol=1e-11
    )
    small = population_path(*(scaled(layers, 1e-4) for layers in (a, b, teacher)), "erf")(alphas)
    identity = population_path(a, b, teacher, "identity")(alphas)
    np.testing.assert_allclose(small, 2 / np.pi * identity, rtol=1e-6)
    # leaky relu runs from relu (slope 0) to the identity (slope 1).
    for slope, expected in ((0.0, relu), (1.0, identity)):
        leaky = population_path(a, b, teacher, "leaky_relu", negative_slope=slope)(alphas)
        np.testing.assert_allclose(leaky, expected, rtol=1e-11)


def test_units_that_pass_through_zero():
    rng = np.random.default_rng(12)
    a, teacher = networks(rng, 4, (4, 3, 1), False), networks(rng, 1, (4, 2, 1), False)
    b = [(-a[0][0], None), a[1]]  # every unit is zero at one half
    curve = population_path(a, b, teacher, "relu")
    energy = population_loss([(0 * a[0][0], None), a[1]], teacher, "relu")
    np.testing.assert_allclose(curve([0.5])[:, 0], energy, atol=1e-14)
    alphas = np.array([0.5 - 1e-9, 0.5 + 1e-9])
    np.testing.assert_allclose(curve(alphas), energy[:, None].repeat(2, 1), atol=1e-8)
    assert np.isfinite(curve.derivative([0.0, 0.5, 1.0])).all()
    # Near zero the loss is linear in |α − ½|: the slope just beside is that of the loss there.
    rate = (curve([0.5 + 2e-6]) - curve([0.5 + 1e-6])) / 1e-6
    np.testing.assert_allclose(curve.derivative([0.5 + 1.5e-6]), rate, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("activation", ["relu", "erf", "square"])
@pytest.mark.parametrize("biased", [False, True])
def test_barriers_against_a_fine_grid(activation, biased):
    rng = np.random.default_rng(13)
    a, b, teacher = (networks(rng, n, (3, width, 1), biased) for n, width in ((40, 3), (40, 3), (1, 2)))
    curve = population_path(a, b, teacher, activation)
    grid = GRID[::4]
    losses = curve(grid)
    steepest = np.abs(curve.derivative(grid)).max(axis=1)
    for definition in ("linear", "mean_endpoints", "max_endpoint", "midpoint"):
        exact, measured = curve.barrier(definition), barriers_on_grid(grid, losses, definition)
        assert (exact.value >= measured.value - 1e-13).all()
        assert (exact.value <= measured.value + steepest * 1e-3).all()
        assert np.median(exact.value - measured.value) < 1e-6
    assert (curve.barrier("linear").error < 1e-3 * losses.max()).all()


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), n_pairs=st.integers(1, 70), width=st.integers(1, 9), n_alphas=st.integers(1, 40))
def test_chunks_do_not_matter(seed, n_pairs, width, n_alphas):
    rng = np.random.default_rng(seed)
    a, b, teacher = (
        networks(rng, n_pairs, (4, width, 1), False),
        networks(rng, n_pairs, (4, width, 1), False),
        networks(rng, 1, (4, 4, 1), False),
    )
    alphas = np.sort(rng.random(n_alphas))
    losses = population_path(a, b, teacher, "relu")(alphas)
    row = int(rng.integers(n_pairs))
    alone = population_path([(w[row], None) for w, _ in a], [(w[row], None) for w, _ in b], teacher, "relu")
    np.testing.assert_allclose(alone(alphas)[0], losses[row], rtol=1e-13)
    own = np.broadcast_to(alphas, (n_pairs, n_alphas))
    np.testing.assert_array_equal(population_path(a, b, teacher, "relu")(own), losses)


def test_networks_up_to_the_largest_of_float32():
    """relu(s u) = s relu(u), and losses grow as the square of what comes out: by powers of two, to the last bits."""
    rng = np.random.default_rng(1)
    a, b, teacher = (networks(rng, 5, (3, 4, 2), False) for _ in range(3))
    alphas = np.linspace(0, 1, 9)
    known = population_path(a, b, teacher, "relu")
    size = 2.0**120
    a, b, teacher = ([(size * w, None), (size * v, None)] for (w, _), (v, _) in (a, b, teacher))
    found = population_path(a, b, teacher, "relu")
    np.testing.assert_allclose(found(alphas) / size**4, known(alphas), rtol=1e-13)
    np.testing.assert_allclose(found.barrier().value / size**4, known.barrier().value, atol=1e-13)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("size", [1e4, 1e8, 1e16, 1e35])
def test_large_weights_of_erf_are_signs(size, biased):
    """E sign(u) sign(w) = (2/π) arcsin ρ on the whole path, also of a unit with itself; biases do not matter then."""
    rng = np.random.default_rng(3)
    a, b, teacher = (networks(rng, 5, (3, 4, 1), biased) for _ in range(3))
    (w, _), (v, _) = teacher
    alphas = np.linspace(0, 1, 9)
    expected = []
    for alpha in alphas:
        ends = ((1 - alpha) * x[0] + alpha * y[0] for x, y in zip(a, b, strict=True))
        weights, outputs = (
            np.concatenate(pair, k) for k, pair in zip((1, 2), zip(ends, (w, -v), strict=True), strict=True)
        )
        units = weights / np.linalg.norm(weights, axis=2, keepdims=True)
        kernel = 2 / np.pi * np.arcsin(np.clip(units @ units.swapaxes(1, 2), -1, 1))
        kernel[:, range(8), range(8)] = 1.0
        mean = sum((1 - alpha) * x[1][1] + alpha * y[1][1] - z[1][1] for x, y, z in [(a, b, teacher)]) if biased else 0
        expected.append((outputs @ kernel @ outputs.swapaxes(1, 2))[:, 0, 0] / 2 + np.square(mean).sum(-1) / 2)
    large = [[(size * layers[0][0], layers[0][1]), layers[1]] for layers in (a, b, teacher)]
    found = population_path(*large, "erf")
    np.testing.assert_allclose(found(alphas), np.transpose(expected), atol=10 / size + 1e-10)
    assert np.isfinite(found.barrier().value).all() and np.isfinite(found.derivative(alphas)).all()


def test_what_is_too_large_is_refused():
    rng = np.random.default_rng(9)
    a, teacher = networks(rng, 1, (2, 3, 1), False), networks(rng, 1, (2, 2, 1), False)
    for large in ([(1e40 * a[0][0], None), a[1]], [a[0], (1e40 * a[1][0], None)]):
        with pytest.raises(ValueError, match=r"must be below 3.4e\+38; drop diverged networks first"):
            population_loss(large, teacher, "relu")
    with pytest.raises(ValueError, match=r"must be below 3.4e\+38"):
        population_loss(a, teacher, "relu", covariance=1e100 * np.eye(2))
    with pytest.raises(ValueError, match="powers of pre-activations are beyond float64"):
        population_loss([(1e38 * a[0][0], None), a[1]], teacher, Polynomial((0.0, 0.0, 0.0, 0.0, 0.0, 1.0)))


def test_refusals():
    rng = np.random.default_rng(0)
    a, teacher = networks(rng, 3, (4, 4, 1), False), networks(rng, 1, (4, 2, 1), False)
    with pytest.raises(ValueError, match=r"activation 'ReLU' is not known.*'relu'"):
        population_loss(a, teacher, "ReLU")
    with pytest.raises(ValueError, match=r"teacher_activation 'errf' is not known; did you mean 'erf'\?"):
        population_loss(a, teacher, "erf", teacher_activation="errf")
    with pytest.raises(ValueError, match="a has 1 layers; this result holds for 2"):
        population_loss(a[:1], teacher, "relu")
    with pytest.raises(ValueError, match="a and b have layers of shapes"):
        population_path(a, networks(rng, 3, (4, 5, 1), False), teacher, "relu")
    with pytest.raises(ValueError, match="a holds 3 networks and b 2; give equally many, or one"):
        population_path(a, networks(rng, 2, (4, 4, 1), False), teacher, "relu")
    with pytest.raises(ValueError, match="teacher maps 5 inputs to 1 outputs, the networks 4 to 1"):
        population_loss(a, networks(rng, 1, (5, 2, 1), False), "relu")
    with pytest.raises(ValueError, match="teacher holds 2 networks; give one, or one for each of the 3 pairs"):
        population_loss(a, networks(rng, 2, (4, 2, 1), False), "relu")
    with pytest.raises(ValueError, match="covariance is not symmetric"):
        population_loss(a, teacher, "relu", covariance=np.triu(np.ones((4, 4))))
    with pytest.raises(ValueError, match="covariance has the eigenvalue -1; a covariance has none below zero"):
        population_loss(a, teacher, "relu", covariance=np.diag([1.0, 1, 1, -1]))
    with pytest.raises(ValueError, match=r"covariance has shape \(3, 3\); the networks take 4 inputs"):
        population_loss(a, teacher, "relu", covariance=np.eye(3))
    with pytest.raises(ValueError, match=r"mean has shape \(3,\); give \[4\]"):
        population_loss(a, teacher, "relu", mean=np.zeros(3))
    with pytest.raises(ValueError, match="W_1 holds 48 non-finite numbers of 48; drop diverged"):
        population_loss([(a[0][0] * np.nan, None), a[1]], teacher, "relu")
    with pytest.raises(ValueError, match=r"a b_1 has shape \(3, 5\)"):
        population_loss([(a[0][0], np.zeros((3, 5))), a[1]], teacher, "relu")
    with pytest.raises(ValueError, match="W_2 takes 5 inputs, but W_1 gives 4 outputs"):
        population_loss([a[0], (np.zeros((3, 1, 5)), None)], teacher, "relu")
    with pytest.raises(ValueError, match=r"a mixes batches of \[2, 3\] networks"):
        population_loss([a[0], (np.zeros((2, 1, 4)), None)], teacher, "relu")
    with pytest.raises(ValueError, match=r"a layer 1 is not a pair \(W, b\)"):
        population_loss([a[0][0], a[1]], teacher, "relu")
    with pytest.raises(ValueError, match=r"a W_1 has shape \(4,\)"):
        population_loss([(np.zeros(4), None), a[1]], teacher, "relu")
    with pytest.raises(ValueError, match="teacher has no layers"):
        population_loss(a, [], "relu")
