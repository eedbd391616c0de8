"""Twin students against averages over sampled fields, simulated online learning, and what symmetry demands."""

import numpy as np
import pytest
from scipy.special import erf

from theory import population_path
from theory.online.order_parameters import _rates, twin_students


def g(u):
    return erf(u / np.sqrt(2))


def g_prime(u):
    return np.sqrt(2 / np.pi) * np.exp(-(u**2) / 2)


def committee(rng, n, width, n_inputs, size=0.5, output=1.0):
    weights = size * rng.standard_normal((n, width, n_inputs)) / np.sqrt(n_inputs)
    return [(weights, None), (np.full((n, 1, width), output), None)]


def teacher_of(width, n_inputs):
    return [(np.eye(n_inputs)[:width], None), (np.ones((1, width)), None)]


@pytest.mark.parametrize("shared", [True, False])
def test_rates_are_averages_over_fields(shared):
    """dG/dt and dv/dt at a random state, each within 4.5 standard errors of an average over 10⁶ sampled fields."""
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((7, 9)) / 3
    gram = rows @ rows.T
    v, outputs = np.array([0.9, -0.7, 1.2, 0.5]), np.array([1.0, -0.5, 0.8])
    n, units, eta, eta_v = 1_000_000, 4, 0.7, 0.3

    def errors_of(fields):
        """Δ of each student's unit, [n, units]."""
        target = g(fields[:, units:]) @ outputs
        students = [target - g(fields[:, of_student]) @ v[of_student] for of_student in (slice(0, 2), slice(2, 4))]
        return np.repeat(np.stack(students, axis=1), 2, axis=1)

    x = rng.standard_normal((n, 9)) @ rows.T
    error = errors_of(x)
    move = v * g_prime(x[:, :units]) * error  # the change of a weight vector along its input, over η
    noise = move.copy()
    if not shared:  # B's moves on a sample of its own: only products across A and B see the difference
        own = rng.standard_normal((n, 9)) @ rows.T
        noise[:, 2:] = (v * g_prime(own[:, :units]) * errors_of(own))[:, 2:]
    move = np.pad(move, ((0, 0), (0, 3)))  # the teacher does not move
    found, found_v = _rates(gram[None], v.reshape(1, 2, 2), outputs, eta, eta_v, shared)
    for i in range(7):
        for j in range(i, 7):
            samples = eta * (move[:, i] * x[:, j] + move[:, j] * x[:, i])
            if j < units:
                samples += eta**2 * noise[:, i] * noise[:, j]
            assert abs(samples.mean() - found[0, i, j]) <= 4.5 * samples.std() / np.sqrt(n) + 1e-12, (i, j)
            assert found[0, j, i] == pytest.approx(found[0, i, j], abs=1e-14)
    steps = eta_v * g(x[:, :units]) * error
    assert (np.abs(steps.mean(0) - found_v.ravel()) < 4.5 * steps.std(0) / np.sqrt(n)).all()


def simulate(a, b, teacher, d, times, spawn_time, eta, eta_v, rng):
    """Online SGD of every pair, step by step; the barriers of the networks at `times`, by the exact population path."""
    w = np.stack([a[0][0], b[0][0]], 1)  # [n_pairs, 2, width, d]
    v = np.stack([a[1][0][:, 0], b[1][0][:, 0]], 1)  # [n_pairs, 2, width]
    target_w, target_v = teacher[0][0], teacher[1][0][0]
    found, step = [], 0
    for time in times:
        while step < round(time * d):
            x = rng.standard_normal((len(w), 1 if step < spawn_time * d else 2, d))
            x = np.broadcast_to(x, (len(w), 2, d))
            fields = np.einsum("pskd,psd->psk", w, x)
            error = g(x @ target_w.T) @ target_v - (v * g(fields)).sum(2)
            w = w + eta / d * (error[:, :, None] * v * g_prime(fields))[..., None] * x[:, :, None]
            v = v + eta_v / d * error[:, :, None] * g(fields)
            step += 1
        student = [[(w[:, s], None), (v[:, s, None], None)] for s in (0, 1)]
        found.append(population_path(student[0], student[1], teacher, "erf").barrier("midpoint").value)
    return np.array(found)


@pytest.mark.parametrize(
    ("spawn_time", "eta_v"), [(2.0, 0.0), (0.0, 0.4)], ids=["siblings", "independent, second layers learn"]
)
def test_barriers_are_those_of_simulated_learning(spawn_time, eta_v):
    """At d = 300 means over 12 pairs are within 4.5 standard errors and 1/d of the barrier's size of the prediction."""
    rng, d, times = np.random.default_rng(5), 300, [4.0, 10.0, 25.0]
    teacher = teacher_of(2, d)
    a = committee(rng, 12, 2, d)
    a[0][0][:, 0, 0] += 0.5  # unit 1 leans to teacher unit 1
    b = a if spawn_time else committee(rng, 12, 2, d)
    if not spawn_time:
        b[0][0][:, 0, 1] += 0.5  # and to teacher unit 2: another permutation
    predicted = twin_students(
        a, b, teacher, times, learning_rate=1.0, output_rate=eta_v, spawn_time=spawn_time
    ).barriers("midpoint")
    measured = simulate(a, b, teacher, d, times, spawn_time, 1.0, eta_v, rng)
    gap = measured - predicted
    allowed = 4.5 * gap.std(1, ddof=1) / np.sqrt(12) + np.abs(predicted).max() / d
    assert (np.abs(gap.mean(1)) < allowed).all(), (gap.mean(1), allowed)
    assert np.abs(predicted[-1]).mean() > 5 * allowed[-1]  # so that zero would not pass


def test_twins_that_never_part_have_no_barrier():
    rng = np.random.default_rng(0)
    a = committee(rng, 2, 3, 20)
    result = twin_students(
        a, a, teacher_of(2, 20), [1.0, 5.0, 20.0], learning_rate=1.0, output_rate=0.5, spawn_time=30.0
    )
    assert np.abs(result.barriers("midpoint")).max() < 1e-12 and np.abs(result.barriers()).max() < 1e-12
    np.testing.assert_allclose(result.outputs[:, :, 0], result.outputs[:, :, 1], rtol=1e-9)


def test_a_teacher_does_not_move_and_does_not_change():
    teacher = teacher_of(3, 20)
    result = twin_students(
        [(w[None] if w.ndim == 2 else w, None) for w, _ in teacher],
        committee(np.random.default_rng(1), 1, 3, 20),
        teacher,
        [4.0],
        learning_rate=1.0,
    )
    np.testing.assert_allclose(result.overlaps[0, 0][:3, :3], np.eye(3), atol=1e-9)
    np.testing.assert_allclose(result.overlaps[0, 0][6:, 6:], np.eye(3), atol=1e-9)
    assert result.losses()[0, 0, 0] < 1e-9


def test_plateau_and_specialisation():
    """η = ½, width 2, starts of overlap ≈ ¼, on the plateau and after it.

    Siblings on the plateau keep a midpoint below both ends, by 0.00145. Students that lean to opposite permutations of
    the teacher begin so too, and end with a barrier as they specialise.
    """
    rng, d = np.random.default_rng(0), 1000
    start = committee(rng, 3, 2, d)
    siblings = twin_students(
        start, start, teacher_of(2, d), [20.0, 30.0, 50.0, 80.0], learning_rate=0.5, spawn_time=20.0
    ).barriers("midpoint")
    assert np.abs(siblings[0]).max() < 1e-9
    np.testing.assert_allclose(siblings[1:], -0.00145, atol=6e-5)
    other = committee(rng, 3, 2, d)
    for layers, order in ((start, (0, 1)), (other, (1, 0))):
        for unit, to in enumerate(order):
            layers[0][0][:, unit, to] += 0.1
    opposite = twin_students(start, other, teacher_of(2, d), [20.0, 120.0, 300.0], learning_rate=0.5).barriers(
        "midpoint"
    )
    assert (opposite[0] < -0.001).all() and (opposite[1] > 0.01).all() and (opposite[2] > 0.018).all()


def test_students_may_be_exchanged_and_units_renamed():
    rng, times = np.random.default_rng(2), [2.0, 7.0]
    a, b, teacher = committee(rng, 3, 2, 12), committee(rng, 3, 2, 12), teacher_of(2, 12)
    options = {"learning_rate": 0.8, "output_rate": 0.3, "spawn_time": 1.0}

    def barriers(first, second):
        return twin_students(first, second, teacher, times, **options).barriers("midpoint")

    expected = barriers(a, b)
    np.testing.assert_allclose(barriers(b, a), expected, atol=1e-9)
    renamed_a, renamed_b = ([(w[:, ::-1], None), (v[:, :, ::-1], None)] for (w, _), (v, _) in (a, b))
    np.testing.assert_allclose(barriers(renamed_a, renamed_b), expected, atol=1e-9)
    assert np.abs(barriers(renamed_a, b) - expected).max() > 1e-6  # renaming one student's units alone: another pair


def test_pairs_do_not_see_each_other():
    rng, teacher = np.random.default_rng(4), teacher_of(2, 12)
    a, b = committee(rng, 3, 2, 12), committee(rng, 3, 2, 12)
    together = twin_students(a, b, teacher, [3.0], learning_rate=0.8).overlaps
    alone = twin_students(
        *([(w[1:2], None) for w, _ in layers] for layers in (a, b)), teacher, [3.0], learning_rate=0.8
    ).overlaps
    np.testing.assert_allclose(together[:, 1:2], alone, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "relu"}, "need erf"),
        ({"times": [2.0, 1.0]}, "increasing"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"teacher": [(np.eye(3)[:2], None), (np.ones((2, 2)), None)]}, "has 2 outputs"),
        ({"teacher": [(np.eye(3)[:2], np.ones(2)), (np.ones((1, 2)), None)]}, "teacher has biases"),
        ({"teacher": [(np.eye(4)[:2], None), (np.ones((1, 2)), None)]}, "takes 4 inputs and the students 3"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    a = committee(np.random.default_rng(0), 1, 2, 3)
    arguments = {"a": a, "b": a, "teacher": teacher_of(2, 3), "times": [1.0], "learning_rate": 1.0} | change
    with pytest.raises(ValueError, match=message):
        twin_students(**arguments)
