"""Fluctuations about the order-parameter equations, against sampled steps and simulated online learning."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import erf

from theory import population_path, twin_fluctuations, twin_students
from theory.online.fluctuations import _flat, _of_random_starts, noise_points, state_diffusion, state_jacobian
from theory.online.order_parameters import _rates


def g(u):
    return erf(u / np.sqrt(2))


def g_prime(u):
    return np.sqrt(2 / np.pi) * np.exp(-(u**2) / 2)


def teacher_of(d, n_units=2):
    return [(np.eye(d)[:n_units], None), (np.ones((1, n_units)), None)]


def leaning(d, order=(0, 1), offset=2, size=0.5, lean=0.4):
    """Rows of length `size` along axes of their own, with a share of the teacher's added."""
    n_units = len(order)
    weights = np.zeros((n_units, d))
    weights[np.arange(n_units), offset + np.arange(n_units)] = size
    weights[np.arange(n_units), list(order)] += lean
    return [(weights, None), (np.ones((1, n_units)), None)]


def simulated(weights, outputs, d, until, spawn_time, eta, eta_v, rng):
    """Online SGD of pairs, weights [n_pairs, 2, n_units, d] and outputs [n_pairs, 2, n_units], until a time."""
    w, v = weights.copy(), outputs.copy()
    target = np.eye(d)[: w.shape[2]]
    for step in range(round(until * d)):
        x = rng.standard_normal((len(w), 1 if step < spawn_time * d else 2, d))
        x = np.broadcast_to(x, (len(w), 2, d))
        fields = np.einsum("pskd,psd->psk", w, x)
        error = g(x @ target.T).sum(2) - (v * g(fields)).sum(2)
        w = w + eta / d * (error[:, :, None] * v * g_prime(fields))[..., None] * x[:, :, None]
        v = v + eta_v / d * error[:, :, None] * g(fields)
    return w, v


def states(found, w, v):
    """The state's numbers of simulated pairs."""
    n, _, n_units, d = w.shape
    teacher = np.broadcast_to(np.eye(d)[:n_units], (n, n_units, d))
    rows = np.concatenate([w.reshape(n, 2 * n_units, d), teacher], axis=1)
    return _flat(found, rows @ rows.swapaxes(1, 2), v)


def some_state():
    """A state in the midst of learning."""
    found = twin_fluctuations(leaning(8), leaning(8, (1, 0), 4), teacher_of(8), [0.1], learning_rate=0.5)
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((6, 9)) / 3
    return found, rows @ rows.T, np.array([[0.9, -0.7], [1.2, 0.5]])


@pytest.mark.parametrize("shared", [True, False])
def test_diffusion_is_the_covariance_of_sampled_steps(shared):
    found, gram, outputs = some_state()
    eta, eta_v, n = 0.7, 0.3, 150_000
    computed = state_diffusion(found, gram, outputs, eta, eta_v, shared, *noise_points(6))
    rng = np.random.default_rng(2)
    root = np.linalg.cholesky(gram)
    own = rng.standard_normal((n, 2, 6)) @ root.T
    own[:, 1] = own[:, 0] if shared else own[:, 1]
    target = np.ones(2) @ g(own[:, :, 4:]).swapaxes(1, 2)
    error = target - np.stack([g(own[:, s, 2 * s : 2 * s + 2]) @ outputs[s] for s in (0, 1)], 1)
    change = np.zeros((n, 6, 6))
    steps = np.zeros((n, 2, 2))
    for s in (0, 1):
        mine = slice(2 * s, 2 * s + 2)
        move = outputs[s] * error[:, s, None] * g_prime(own[:, s, mine])
        change[:, mine] += eta * move[:, :, None] * own[:, s, None, :]
        change[:, :, mine] += eta * own[:, s, :, None] * move[:, None, :]
        change[:, mine, mine] += eta**2 * move[:, :, None] * move[:, None]
        steps[:, s] = eta_v * error[:, s, None] * g(own[:, s, mine])
        if shared and s == 0:
            first = move
    if shared:
        change[:, :2, 2:4] += eta**2 * first[:, :, None] * move[:, None]
        change[:, 2:4, :2] += eta**2 * move[:, :, None] * first[:, None]
    sampled = np.cov(_flat(found, change, steps).T)
    size = np.sqrt(np.outer(np.diag(sampled), np.diag(sampled)))
    assert np.abs((computed - sampled) / size).max() < 0.05


@pytest.mark.parametrize(("n_units", "rate", "output_rate"), [(2, 0.5, 0.5), (2, 1.0, 4.0), (3, 1.0, 1.0)])
def test_the_noise_of_specialisations_on_the_plateau(n_units, rate, output_rate):
    """What parts twins: a small, long-tailed part of D. Within 6 % of 2²⁰ drawn samples, good to 1 %."""
    start, teacher = undecided(n_units), teacher_of(3 * n_units, n_units)
    found = twin_fluctuations(start, start, teacher, [20.0], learning_rate=rate, output_rate=output_rate, step=5.0)
    gram, outputs = found.twins.overlaps[0, 0], found.twins.outputs[0, 0]
    noise = state_diffusion(found, gram, outputs, rate, output_rate, False, *noise_points(3 * n_units))
    overlaps = (found.rows < n_units) & (found.columns >= 2 * n_units)
    centred = np.eye(n_units) - 1 / n_units
    computed = np.trace(np.kron(centred, centred) @ noise[np.ix_(overlaps, overlaps)])
    one = np.r_[:n_units, 2 * n_units : 3 * n_units]
    x = np.random.default_rng(8).standard_normal((2**20, 2 * n_units)) @ np.linalg.cholesky(gram[np.ix_(one, one)]).T
    students, targets = x[:, :n_units], x[:, n_units:]
    move = outputs[0] * (g(targets).sum(1) - g(students) @ outputs[0])[:, None] * g_prime(students)
    sizes = [((part - part.mean(axis=1, keepdims=True)) ** 2).sum(axis=1) for part in (move, targets)]
    # of a product of centred vectors the squared norm is the product of theirs; its mean is small beside it
    mean = centred @ (move.T @ targets / len(x)) @ centred
    expected = rate**2 * ((sizes[0] * sizes[1]).mean() - (mean**2).sum())
    assert computed == pytest.approx(expected, rel=0.06)


def test_the_jacobian_is_the_change_of_the_rates():
    """Along a random direction of the state, by a difference ten times as wide."""
    found, gram, outputs = some_state()
    rng = np.random.default_rng(3)
    n_state = len(found.rows)
    direction = rng.standard_normal(n_state)

    def rates(share):
        moved, weights = gram.copy(), outputs.ravel().copy()
        for k, (row, column) in enumerate(zip(found.rows, found.columns, strict=True)):
            if column < 0:
                weights[row] += share * direction[k]
            else:
                moved[row, column] = moved[column, row] = gram[row, column] + share * direction[k]
        return _flat(found, *_rates(moved[None], weights.reshape(1, 2, 2), np.ones(2), 0.7, 0.3, True))[0]

    expected = (rates(1e-4) - rates(-1e-4)) / 2e-4
    np.testing.assert_allclose(state_jacobian(found, gram, outputs, 0.7, 0.3, True) @ direction, expected, rtol=1e-5)


def test_overlaps_of_random_starts():
    found, _, _ = some_state()
    rng = np.random.default_rng(4)
    n, d, scale = 10_000, 200, 0.6
    w = scale * rng.standard_normal((n, 1, 2, d)).repeat(2, axis=1) / np.sqrt(d)
    sampled = d * np.cov(states(found, w, np.ones((n, 2, 2))).T)
    np.testing.assert_allclose(_of_random_starts(found, scale), sampled, atol=0.04)


@pytest.mark.parametrize(
    ("order", "spawn_time", "output_rate"),
    [((0, 1), 2.0, 0.8), ((1, 0), 0.0, 0.8), ((0, 1), 2.0, 0.0), ((0, 1), 2.0, 2.5), ((0, 1, 2), 2.0, 1.6)],
)
def test_simulated_students_spread_as_predicted(order, spawn_time, output_rate):
    """500 pairs at d = 80 from one start: covariances and the barrier's deviation, to their sampling and 10 %."""
    d, until, n, eta, n_units = 80, 4.0, 500, 0.8, len(order)
    a = leaning(d, tuple(range(n_units)), offset=n_units)
    b = a if spawn_time else leaning(d, order, offset=2 * n_units)
    teacher = teacher_of(d, n_units)
    found = twin_fluctuations(a, b, teacher, [until], learning_rate=eta, output_rate=output_rate, spawn_time=spawn_time)
    start = np.stack([a[0][0], b[0][0]])[None].repeat(n, axis=0)
    ones = np.ones((n, 2, n_units))
    w, v = simulated(start, ones, d, until, spawn_time, eta, output_rate, np.random.default_rng(5))
    sampled = d * np.cov(states(found, w, v).T)
    predicted = found.covariance[0]
    if not output_rate:
        fixed = found.columns < 0
        assert not sampled[fixed].any() and not predicted[fixed].any()
        sampled, predicted = (matrix[np.ix_(~fixed, ~fixed)] for matrix in (sampled, predicted))
    size = np.sqrt(np.outer(np.diag(predicted), np.diag(predicted)))
    allowed = 4.5 * np.sqrt(2 / n) + 0.1
    assert np.abs((sampled - predicted) / size).max() < allowed
    students = [[(w[:, s], None), (v[:, s, None], None)] for s in (0, 1)]
    barriers = population_path(*students, teacher, "erf").barrier("midpoint").value
    deviation = np.sqrt(d) * barriers.std()
    assert deviation == pytest.approx(found.barrier_deviation()[0], rel=4.5 / np.sqrt(2 * n) + 0.1)


def undecided(n_units, n_targets=None):
    """A start that leans to no order, as infinitely many inputs have it."""
    n_targets = n_targets or n_units
    return leaning(2 * n_units + n_targets, (0,) * n_units, offset=n_units + n_targets, lean=0.0)


@pytest.mark.slow
@pytest.mark.parametrize(("n_units", "output_rate", "until"), [(2, 1.0, 120.0), (2, 0.0, 120.0), (3, 3.0, 250.0)])
def test_simulated_siblings_part_as_often_as_predicted(n_units, output_rate, until):
    """1,000 pairs at d = 40 that split at the start: the share with different orders, within 4.5 standard errors."""
    d, n, eta = 40, 1000, 1.0
    start, teacher = undecided(n_units), teacher_of(3 * n_units, n_units)
    predicted = twin_fluctuations(
        start, start, teacher, [100.0], learning_rate=eta, output_rate=output_rate, start_scale=0.5, step=0.5
    ).different_order()[0]
    rng = np.random.default_rng(6)
    w = 0.5 * rng.standard_normal((n, 1, n_units, d)).repeat(2, axis=1) / np.sqrt(d)
    w, _ = simulated(w, np.ones((n, 2, n_units)), d, until, 0.0, eta, output_rate, rng)
    overlaps = w[..., :n_units] / np.linalg.norm(w, axis=-1, keepdims=True)
    orders = np.array(list(itertools.permutations(range(n_units))))
    chosen = np.argmax(overlaps[:, :, np.arange(n_units), orders].sum(axis=3), axis=2)
    different = (chosen[:, 0] != chosen[:, 1]).mean()
    assert abs(different - predicted) < 4.5 * np.sqrt(predicted * (1 - predicted) / n)
    assert predicted > 0.1


@pytest.mark.parametrize(
    ("n_units", "n_targets", "output_rate"), [(2, 2, 1.0), (3, 3, 1.0), (3, 3, 0.0), (3, 2, 1.0), (2, 3, 1.0)]
)
def test_specialisations_grow_at_one_rate(n_units, n_targets, output_rate):
    """On the plateau J has one positive eigenvalue, (K − 1)(M − 1) times for each student."""
    start, teacher = undecided(n_units, n_targets), teacher_of(2 * n_units + n_targets, n_targets)
    found = twin_fluctuations(start, start, teacher, [40.0], learning_rate=1.0, output_rate=output_rate, step=1.0)
    gram, outputs = found.twins.overlaps[0, 0], found.twins.outputs[0, 0]
    rates = np.sort(np.linalg.eigvals(state_jacobian(found, gram, outputs, 1.0, output_rate, False)).real)[::-1]
    n_growing = 2 * (n_units - 1) * (n_targets - 1)
    np.testing.assert_allclose(rates[:n_growing], rates[0], rtol=1e-5)
    assert rates[0] > 0.02
    assert rates[n_growing] < 1e-8


@pytest.mark.slow
def test_the_best_assignment_on_the_plateau_is_the_order_in_the_end():
    """Without noise, from 80 specialisations on the plateau of three units: all but at most 3, against 67 by chance."""
    n, n_units, size = 40, 3, 0.02
    start, teacher = undecided(n_units), teacher_of(3 * n_units, n_units)
    plateau = twin_students(start, start, teacher, [80.0], learning_rate=1.0, output_rate=1.0)
    gram, outputs = plateau.overlaps[0, 0], plateau.outputs[0, 0, :1]
    lean = np.random.default_rng(7).standard_normal((2 * n, n_units, n_units))
    lean -= lean.mean(axis=1, keepdims=True)
    lean -= lean.mean(axis=2, keepdims=True)
    overlaps = gram[:n_units, 2 * n_units :] + size * lean / np.linalg.norm(lean, axis=(1, 2), keepdims=True)
    own = np.linalg.cholesky(gram[:n_units, :n_units] - overlaps @ overlaps.swapaxes(1, 2))
    weights = np.concatenate([overlaps, own], axis=2)  # these have the plateau's overlaps, but for the lean
    students = [[(some, None), (np.repeat(outputs[None], n, axis=0), None)] for some in (weights[:n], weights[n:])]
    end = twin_students(
        *students, teacher_of(2 * n_units, n_units), [300.0], learning_rate=1.0, output_rate=1.0, tolerance=1e-6
    )
    final = end.overlaps[0, :, : 2 * n_units, 2 * n_units :].reshape(n, 2, n_units, n_units)
    final = final.swapaxes(0, 1).reshape(2 * n, n_units, n_units)
    orders = np.array(list(itertools.permutations(range(n_units))))
    first, last = (np.argmax(x[:, np.arange(n_units), orders].sum(axis=2), axis=1) for x in (lean, final))
    assert (first != last).sum() <= 3
    assert len(set(first)) == 6


@pytest.mark.slow
@pytest.mark.parametrize(("n_units", "n_targets"), [(3, 2), (2, 3)])
def test_the_sector_on_the_plateau_is_the_order_in_the_end(n_units, n_targets):
    """Without noise, all around the plane of specialisations but for 2° on either side of a border."""
    size, reflected = 0.02, n_targets > n_units
    start = undecided(n_units, n_targets)
    plateau = twin_students(
        start, start, teacher_of(2 * n_units + n_targets, n_targets), [60.0], learning_rate=1.0, output_rate=1.0
    )
    gram, outputs = plateau.overlaps[0, 0], plateau.outputs[0, 0, :1]
    angles = np.deg2rad([k * 60 + offset for k in range(6) for offset in (-28, -12, 12, 28)])
    axes = np.array([[2, -1, -1], [0, 1, -1]]) / np.sqrt([[6], [2]])
    three = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ axes  # a border lies at 30°, where an entry is 0
    lean = size / np.sqrt(2) * three[:, :, None] * np.array([1, -1])
    overlaps = gram[:n_units, 2 * n_units :] + (lean.swapaxes(1, 2) if reflected else lean)
    own = np.linalg.cholesky(gram[:n_units, :n_units] - overlaps @ overlaps.swapaxes(1, 2))
    n = len(angles) // 2
    weights = np.concatenate([overlaps, own], axis=2)
    students = [[(some, None), (np.repeat(outputs[None], n, axis=0), None)] for some in (weights[:n], weights[n:])]
    teacher = teacher_of(n_targets + n_units, n_targets)
    end = twin_students(*students, teacher, [400.0], learning_rate=1.0, output_rate=1.0, tolerance=1e-6)
    gram = end.overlaps[0].reshape(n, 2 * n_units + n_targets, -1)
    rows = np.concatenate([gram[:, :n_units], gram[:, n_units : 2 * n_units]])[:, :, 2 * n_units :]
    norms = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    cosines = rows / np.concatenate([norms[:, :n_units], norms[:, n_units : 2 * n_units]])[:, :, None]
    of_three = cosines.swapaxes(1, 2) if reflected else cosines
    assert (np.argmax(of_three, axis=2) == (three < 0)).all()
    assert len(set(map(tuple, three < 0))) == 6


def test_a_later_split_parts_fewer():
    start = leaning(8, offset=4, lean=0.0)
    found = [
        twin_fluctuations(
            start, start, teacher_of(8), [20.0], learning_rate=1.0, spawn_time=split, start_scale=0.5, step=1.0
        ).different_order()[0]
        for split in (0.0, 10.0, 20.0)
    ]
    assert 0.5 > found[0] > found[1] > found[2]
    assert found[2] < 1e-7  # the arc of a correlation that rounding takes from 1


def test_what_does_not_fit_is_refused():
    two = [(np.repeat(leaning(8)[0][0][None], 2, 0), None), (np.ones((2, 1, 2)), None)]
    with pytest.raises(ValueError, match="of one pair; these are 2"):
        twin_fluctuations(two, two, teacher_of(8), [1.0], learning_rate=0.5)
    one = [([[0.5, 0.1]], None), ([[1.0]], None)]
    teacher = [([[1.0, 0.0]], None), ([[1.0]], None)]
    with pytest.raises(ValueError, match="two units or more in students and teacher; these have 1 and 1"):
        twin_fluctuations(one, one, teacher, [1.0], learning_rate=0.5).different_order()
    leans = leaning(8)
    with pytest.raises(ValueError, match="leans to an order"):
        twin_fluctuations(leans, leans, teacher_of(8), [1.0], learning_rate=0.5).different_order()
