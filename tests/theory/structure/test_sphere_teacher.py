"""Connected minima of sums of relus, by brute force, and the loss on the sphere by Monte Carlo."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import linearly_connected, neuron_types, sphere_path


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
        with pytest.raises(ValueError, match=r"1 networks of \w+ are no minima \(the first is 0"):
            linearly_connected(a, wrong, 2)
    with pytest.raises(ValueError, match="n_teacher is 3"):
        neuron_types(a, 3)
    with pytest.raises(ValueError, match=r"a has shape \(1, 3, 2\) and b \(1, 2, 2\)"):
        linearly_connected(a, np.eye(2)[None], 2)
