"""Invariants of the design.

A network is a function of its own seeds; a whole grid is one launch; nothing is silently approximate.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import SGD, Adam, AdamW, Architecture, Teacher, Training, native, path_losses, reference, streams, train
from tests.kernels.problems import check_diverged_paths, data, diverge, paths

BACKENDS = ("reference", "native")


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "native":
        request.getfixturevalue("native_backend")
    return request.param


def ensemble(dtype=torch.float32, n=37):
    """Networks that differ in everything that may vary in one launch."""
    architecture = Architecture((3, 7, 1))
    generator = torch.Generator().manual_seed(0)
    each = {
        "params": architecture.initial(n, 3, dtype=dtype),
        "lr": torch.rand(n, generator=generator) * 0.1,
        "momentum": torch.rand(n, generator=generator) * 0.9,
        "weight_decay": torch.rand(n, generator=generator) * 0.01,
        "data_seeds": torch.from_numpy(streams.network_seeds(11, n)),
        "spawn_steps": torch.randint(0, 40, (n,), generator=generator),
        "spawn_seeds": torch.from_numpy(streams.network_seeds(12, n)),
        "dataset": torch.randint(0, 3, (n,), generator=generator),
        "mask": torch.rand(n, architecture.n_parameters, generator=generator) > 0.2,
    }
    return architecture, each


def run(architecture, each, index, backend, batch_size, threads=None):
    one = {name: value[index] for name, value in each.items()}
    source = data(architecture, "mse", 20, n_datasets=3)
    optimizer = SGD(one.pop("lr"), one.pop("momentum"), weight_decay=one.pop("weight_decay"))
    training = Training(40, optimizer, batch_size=batch_size, record_every=1, snapshots=(13,))
    return train(architecture, one.pop("params"), source, training, backend=backend, threads=threads, **one)


@pytest.mark.parametrize("batch_size", [None, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_does_not_depend_on_its_company(native_backend, batch_size, dtype):
    """Invariant 1, bit for bit: lane, number of networks, shards, threads, and data sets in the group."""
    architecture, each = ensemble(dtype)
    whole = run(architecture, each, slice(None), "native", batch_size, threads=2)
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(37, generator=generator)
    for index, threads in ((slice(0, 5), 1), (slice(30, 37), 2), (slice(20, 21), 1), (order, 2)):
        part = run(architecture, each, index, "native", batch_size, threads)
        assert torch.equal(part.params, whole.params[index])
        assert torch.equal(part.losses, whole.losses[index])
        assert torch.equal(part.snapshots, whole.snapshots[:, index])


def test_a_path_does_not_depend_on_its_company(native_backend):
    architecture = Architecture((3, 7, 1))
    a = architecture.initial(41, 0)
    b = architecture.initial(41, 1)
    teacher = Teacher(architecture, architecture.initial(1, 2))
    alphas = torch.linspace(0, 1, 9)
    seeds = streams.network_seeds(5, 41)
    whole = path_losses(architecture, a, b, alphas, teacher, n_samples=300, seeds=seeds, threads=2, backend="native")
    for part in (slice(0, 1), slice(7, 30)):
        got = path_losses(
            architecture,
            a[part],
            b[part],
            alphas,
            teacher,
            n_samples=300,
            seeds=seeds[part],
            threads=1,
            backend="native",
        )
        assert torch.equal(got.loss, whole.loss[part]) and torch.equal(got.standard_error, whole.standard_error[part])
    some = path_losses(architecture, a, b, alphas[2:5], teacher, n_samples=300, seeds=seeds, backend="native")
    assert torch.equal(some.loss, whole.loss[:, 2:5])


def test_a_grid_is_one_launch(backend):
    """Invariant 3: what varies inside a launch gives what separate launches give."""
    architecture, each = ensemble(torch.float64, n=6)
    whole = run(architecture, each, slice(None), backend, 6)
    for k in range(6):
        alone = run(architecture, each, slice(k, k + 1), backend, 6)
        assert torch.allclose(alone.params[0], whole.params[k], rtol=1e-12, atol=1e-14)


def test_siblings_share_their_trunk(backend):
    architecture = Architecture((3, 5, 1))
    params = architecture.initial(1, 0, dtype=torch.float64).expand(4, -1)
    training = Training(30, SGD(0.05), batch_size=4, snapshots=(10, 11, 30))
    spawned = train(
        architecture,
        params,
        data(architecture, "mse", 16),
        training,
        data_seeds=[9, 9, 9, 9],
        spawn_steps=[10, 10, 30, 10],
        spawn_seeds=[1, 2, 3, 1],
        backend=backend,
    ).snapshots
    assert torch.equal(spawned[0, 0], spawned[0, 1]) and torch.equal(spawned[0, 0], spawned[0, 2])
    assert not torch.equal(spawned[1, 0], spawned[1, 1])
    assert torch.equal(spawned[2, 0], spawned[2, 3])


def test_a_diverged_network_is_marked_and_disturbs_no_other(backend):
    """Invariant 5."""
    architecture = Architecture((3, 5, 1))
    params = architecture.initial(20, 0)
    source = data(architecture, "mse", 16)
    rates = torch.full((20,), 0.05)
    rates[7] = 1e6
    mixed = train(architecture, params, source, Training(50, SGD(rates), record_every=1), backend=backend)
    calm = train(architecture, params, source, Training(50, SGD(0.05), record_every=1), backend=backend)
    assert mixed.diverged_at[7] > 0 and not mixed.losses[7, mixed.diverged_at[7]].isfinite()
    assert mixed.losses[7, : mixed.diverged_at[7]].isfinite().all()
    others = torch.arange(20) != 7
    assert (mixed.diverged_at[others] == -1).all()
    assert torch.equal(mixed.params[others], calm.params[others])
    at_last_update = train(
        architecture, params[:1] * 1e30, source, Training(1, SGD(1e30), record_every=1), backend=backend
    )
    assert at_last_update.diverged_at[0] in (0, 1)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("widths", [(3, 5, 4, 2), (2, 4, 2), (3, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_diverged_network_is_not_perfect(backend, widths, loss, dtype):
    """Its outputs have no largest: no class is right, even where all labels are class 0."""
    p = diverge(paths(widths, loss=loss, n=4, n_samples=19, dtype=dtype))
    if loss == "cross_entropy":
        p.samples.y.zero_()
    solve = native.path_losses if backend == "native" else reference.path_losses
    check_diverged_paths(solve(p), classes=loss == "cross_entropy")


def test_masked_parameters_stay_zero(backend):
    architecture = Architecture((3, 5, 1))
    mask = torch.arange(architecture.n_parameters) % 2 == 0
    training = Training(20, SGD(0.05, momentum=0.9, weight_decay=0.1))
    params, source = architecture.initial(3), data(architecture, "mse", 16)
    trained = train(architecture, params, source, training, mask=mask, backend=backend)
    assert (trained.params[:, ~mask] == 0).all() and (trained.params[:, mask] != 0).any()
    params[:, ~mask] = torch.nan  # whatever stood where the mask is False
    again = train(architecture, params, source, training, mask=mask, backend=backend)
    assert torch.equal(again.params, trained.params) and torch.equal(again.losses, trained.losses)


@pytest.mark.parametrize("optimizer", [Adam, AdamW])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adam_without_eps_leaves_parameters_without_a_gradient_where_they_are(backend, optimizer, dtype):
    """Masked ones, and those of a unit that leads nowhere: 0/0. All others move by ±η at the first step."""
    architecture = Architecture((3, 5, 1), "tanh")
    mask = torch.ones(architecture.n_parameters, dtype=torch.bool)
    mask[[1, 4, 9]] = False  # weights of the first layer
    leads_nowhere = 2
    architecture.layers(mask)[1][0][:, leads_nowhere] = False
    params = architecture.initial(3, scheme="torch", dtype=dtype)
    source = data(architecture, "mse", 16)
    trained = train(
        architecture, params, source, Training(1, optimizer(0.01, eps=0.0)), mask=mask, backend=backend
    ).params
    stays = ~mask
    for weight_or_bias in architecture.layers(stays)[0]:
        weight_or_bias[leads_nowhere] = True
    assert (trained[:, ~mask] == 0).all() and torch.equal(trained[:, stays & mask], params[:, stays & mask])
    steps = (trained - params)[:, ~stays].abs()
    assert torch.allclose(steps, torch.full_like(steps, 0.01), rtol=1e-4)
    longer = Training(30, optimizer(0.01, eps=0.0), record_every=1)
    run = train(architecture, params, source, longer, mask=mask, backend=backend)
    assert run.losses.isfinite().all() and (run.diverged_at == -1).all()


def test_zero_steps_change_nothing(backend):
    architecture = Architecture((3, 5, 1))
    params = architecture.initial(3)
    result = train(architecture, params, data(architecture, "mse", 16), Training(0, snapshots=(0,)), backend=backend)
    assert (
        torch.equal(result.params, params)
        and torch.equal(result.snapshots[0], params)
        and result.losses.shape == (3, 0)
    )


@given(n_alphas=st.integers(1, 30), n_pairs=st.integers(1, 5))
def test_endpoints_are_exact(native_backend, n_alphas, n_pairs):
    """At α = 0 and 1 the path's network is the endpoint to the last bit."""
    architecture = Architecture((3, 7, 1))
    a = architecture.initial(n_pairs, 0)
    b = architecture.initial(n_pairs, 1)
    source = data(architecture, "mse", 16)
    alphas = torch.cat(
        [torch.tensor([0.0, 1.0]), torch.rand(n_alphas, generator=torch.Generator().manual_seed(n_alphas))]
    )
    curves = path_losses(architecture, a, b, alphas, source, backend="native").loss
    assert torch.equal(curves[:, 0], path_losses(architecture, a, a, [0.0], source, backend="native").loss[:, 0])
    assert torch.equal(curves[:, 1], path_losses(architecture, b, b, [0.0], source, backend="native").loss[:, 0])


BAD = [
    ({"params": torch.zeros(2, 5)}, "params must have shape"),
    ({"params": torch.zeros(2, 26, dtype=torch.float16)}, "params must be float32 or float64"),
    ({"data": (torch.zeros(4, 2), torch.zeros(4, 1))}, "x must have shape"),
    ({"data": (torch.full((4, 3), torch.nan), torch.zeros(4, 1))}, "x must be finite"),
    ({"data": (torch.zeros(4, 3), torch.zeros(4, 2))}, "y must have shape"),
    ({"data": (torch.zeros(4, 3), torch.full((4, 1), torch.inf))}, "y must be finite"),
    ({"data": (torch.zeros(2, 4, 3), torch.zeros(2, 4, 1))}, "dataset must say which"),
    ({"dataset": [0, 3]}, "dataset must lie in"),
    ({"data_seeds": [1]}, "seeds must be one number or have shape"),
    ({"spawn_steps": [1, 2]}, "spawn_steps and spawn_seeds go together"),
    ({"spawn_steps": [0.5, 2], "spawn_seeds": 0}, "spawn_steps must be whole numbers"),
    ({"mask": torch.ones(3, dtype=torch.bool)}, "mask must be a bool tensor"),
    ({"training": Training(1, batch_size=5)}, "batch_size .5. must be at most"),
    ({"training": Training(1, SGD(lr=[0.1, 0.2, 0.3]))}, "lr must be one number or have shape"),
    ({"training": Training(1, loss="cross_entropy")}, "at least two outputs"),
    ({"data": Teacher(Architecture((3, 1)), torch.zeros(1, 4))}, "batch_size must be a number when a teacher"),
    (
        {"data": Teacher(Architecture((2, 1)), torch.zeros(1, 3)), "training": Training(1, batch_size=2)},
        "teacher's n_inputs",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), BAD)
def test_bad_arguments_are_refused_by_name(change, sentence):
    """Invariant 4."""
    architecture = Architecture((3, 5, 1))
    arguments = {
        "params": architecture.initial(2),
        "data": (torch.zeros(4, 3), torch.zeros(4, 1)),
        "training": Training(1),
    } | change
    with pytest.raises(ValueError, match=sentence):
        train(architecture, arguments.pop("params"), arguments.pop("data"), arguments.pop("training"), **arguments)


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ({"steps": -1}, "steps must be a whole number"),
        ({"loss": "msee"}, "Did you mean 'mse'"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"sampling": "epochs"}, "Did you mean 'epoch'"),
        ({"snapshots": (3,)}, "snapshots must be at most steps"),
        ({"optimizer": "sgd"}, "optimizer must be an SGD"),
    ],
)
def test_bad_trainings_are_refused_by_name(field, sentence):
    with pytest.raises(ValueError, match=sentence):
        Training(**({"steps": 2} | field))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SGD(lr=-1), "lr must be at least 0"),
        (lambda: SGD(lr=float("nan")), "lr must be finite"),
        (lambda: SGD(lr="fast"), "lr must be a number"),
        (lambda: SGD(nesterov=True), "nesterov needs a momentum"),
    ],
)
def test_bad_optimizers_are_refused_by_name(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_bad_paths_are_refused_by_name():
    architecture = Architecture((3, 5, 1))
    a = architecture.initial(2)
    source = (torch.zeros(4, 3), torch.zeros(4, 1))
    teacher = Teacher(architecture, architecture.initial(1))
    for arguments, options, sentence in (
        ((a, a[:1], [0.0], source), {}, "params_a and params_b must have one shape"),
        ((a, a, [float("nan")], source), {}, "alphas must be a list of finite numbers"),
        ((a, a, [0.0], teacher), {}, "n_samples must say"),
        ((a, a, [0.0], source), {"n_samples": 4}, "n_samples goes with a teacher"),
        ((a, a, [0.0], source, "mes"), {}, "Did you mean 'mse'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            path_losses(architecture, *arguments, **options)
