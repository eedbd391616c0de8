"""Networks with one hidden layer and one output, whose second layer the native kernel leaves out of its sums."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import SGD, Adam, Architecture, Teacher, Training, train
from tests.kernels.problems import data, relative_error

HOMOGENEOUS = ("identity", "relu", "leaky_relu", "square")


def one_step(architecture, params, source, backend, **options):
    """The gradient, as what a step of SGD at rate 1 takes away."""
    trained = train(architecture, params, source, Training(1, SGD(1.0)), backend=backend, **options).params
    return params - trained


@given(
    activation=st.sampled_from(HOMOGENEOUS),
    n_inputs=st.sampled_from([1, 2, 3, 4, 8, 9]),
    units=st.sampled_from([1, 2, 3, 5, 16]),
    n_samples=st.sampled_from([1, 7, 8, 9, 19]),
    n_datasets=st.sampled_from([1, 2]),
    biases=st.booleans(),
    density=st.sampled_from([None, 1.0, 0.9, 0.4]),
    seed=st.integers(0, 1000),
)
def test_a_gradient_is_the_references(
    native_backend, activation, n_inputs, units, n_samples, n_datasets, biases, density, seed
):
    """A sum of as many terms as there are samples, in float64: to 1e-12 of the gradient."""
    architecture = Architecture((n_inputs, units, 1), activation, biases)
    params = architecture.initial(19, seed, scheme="torch", dtype=torch.float64)
    options = {"dataset": torch.arange(19) % n_datasets}
    if density is not None:
        generator = torch.Generator().manual_seed(seed)
        options["mask"] = torch.rand(params.shape, generator=generator) < density
        params = params * options["mask"]
    source = data(architecture, "mse", n_samples, seed, n_datasets)
    got, want = (one_step(architecture, params, source, backend, **options) for backend in ("native", "reference"))
    assert relative_error(got, want) < 1e-12


@pytest.mark.parametrize("activation", HOMOGENEOUS)
def test_a_weight_of_zero_to_the_output_learns_and_stops_the_others(native_backend, activation):
    """∂w = v A is 0 at v = 0, and ∂v, which follows from A, is not lost with it."""
    architecture = Architecture((2, 4, 1), activation)
    params = architecture.initial(20, 1, scheme="torch", dtype=torch.float64)
    (_, _), (v, _) = architecture.layers(params)
    v[:, 0, :2] = 0.0
    source = data(architecture, "mse", 19)
    gradient = one_step(architecture, params, source, "native")
    (of_w, of_b), (of_v, _) = architecture.layers(gradient)
    assert (of_w[:, :2] == 0).all() and (of_b[:, :2] == 0).all()
    assert relative_error(of_v, architecture.layers(one_step(architecture, params, source, "reference"))[1][0]) < 1e-12
    assert (of_v[:, 0, :2] != 0).any(1).all()


def test_a_unit_that_is_never_active_has_a_gradient_of_exactly_0(native_backend):
    """Adam makes a step of η of any other; a pre-activation of exactly 0 is not active either."""
    architecture = Architecture((2, 3, 1))
    params = architecture.initial(20, 1, scheme="torch")
    (w, b), (v, _) = architecture.layers(params)
    b[:, 0] = -100.0
    w[:, 1], b[:, 1] = 0.0, 0.0
    source = data(architecture, "mse", 19)
    trained = train(architecture, params, source, Training(5, Adam(0.01, eps=1e-30)), backend="native").params
    for before, after in zip(architecture.layers(params)[0], architecture.layers(trained)[0], strict=True):
        assert torch.equal(before[:, :2], after[:, :2])
    assert torch.equal(v[:, :, :2], architecture.layers(trained)[1][0][:, :, :2])
    assert trained.isfinite().all()


def some_training(kind, n):
    if kind == "fresh":
        teacher = Architecture((2, 3, 1), "tanh")
        return Teacher(teacher, teacher.initial(1, 5)), Training(30, SGD(0.05), batch_size=11)
    source = data(Architecture((2, 5, 1)), "mse", 21)
    momentum = torch.linspace(0, 0.9, n) if kind == "momenta" else 0.0
    return source, Training(30, SGD(0.05, momentum), batch_size=None if kind == "full" else 11)


@pytest.mark.parametrize("kind", ["full", "momenta", "fresh"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_is_the_same_beside_masked_ones(native_backend, kind, dtype):
    """To the bit: a group of dense networks computes what a group computes that leaves weights out."""
    architecture = Architecture((2, 5, 1))
    n = 40
    params = architecture.initial(n, 3, dtype=dtype)
    source, training = some_training(kind, n)
    mask = torch.ones(params.shape, dtype=torch.bool)
    mask[1::2] = torch.rand(n // 2, params.shape[1], generator=torch.Generator().manual_seed(0)) < 0.5
    sparse = mask.clone()
    sparse[0::2] = mask[1]  # the groups of the first call are dense, those of this one are not
    sparse[1::2] = mask[1]
    options = {"data_seeds": 7, "backend": "native"}
    plain = train(architecture, params, source, training, **options)
    mixed = train(architecture, params, source, training, mask=mask, **options)
    assert torch.equal(plain.params[0::2], mixed.params[0::2]) and torch.equal(plain.losses[0::2], mixed.losses[0::2])
    alone = train(architecture, params, source, training, mask=sparse, **options)
    assert torch.equal(alone.params[1], mixed.params[1]) and torch.equal(alone.losses[1], mixed.losses[1])


def test_no_momentum_beside_networks_with_one(native_backend):
    """A group without momenta keeps no velocity, and its networks are those of a group with some."""
    architecture = Architecture((3, 4, 2), "tanh")
    params = architecture.initial(40, 3)
    source = data(architecture, "mse", 21)
    momenta = torch.zeros(40)
    momenta[1::2] = 0.9
    none = train(architecture, params, source, Training(30, SGD(0.05)), backend="native").params
    some = train(architecture, params, source, Training(30, SGD(0.05, momenta)), backend="native").params
    assert torch.equal(none[0::2], some[0::2]) and not torch.equal(none[1::2], some[1::2])


@pytest.mark.parametrize("activation", HOMOGENEOUS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_that_diverges_is_marked_where_the_reference_marks_it(native_backend, activation, dtype):
    architecture = Architecture((2, 5, 1), activation)
    params = architecture.initial(20, 0, dtype=dtype)
    rates = torch.full((20,), 0.002, dtype=torch.float64)
    rates[7] = 1e5
    source = data(architecture, "mse", 17)
    training = Training(40, SGD(rates), record_every=1)
    got, want = (train(architecture, params, source, training, backend=name) for name in ("native", "reference"))
    assert torch.equal(got.diverged_at, want.diverged_at) and got.diverged_at[7] > 0
    calm = train(architecture, params, source, Training(40, SGD(0.002), record_every=1), backend="native")
    others = torch.arange(20) != 7
    assert torch.equal(got.params[others], calm.params[others])


def test_one_that_begins_with_nan_is_marked_at_once(native_backend):
    """σ(NaN) is NaN, although NaN is not above 0."""
    architecture = Architecture((2, 5, 1))
    params = architecture.initial(20, 0)
    params[3, 10] = torch.nan  # the bias of a unit
    run = train(architecture, params, data(architecture, "mse", 17), Training(3), backend="native")
    assert run.diverged_at.tolist() == [0 if k == 3 else -1 for k in range(20)]
