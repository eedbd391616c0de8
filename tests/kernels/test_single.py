"""A network's bits do not depend on how it is laid out: one at a time, lanes being its units (kernels/native/single.h),
or in a lane beside others, which a mask of ones asks for.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import ACTIVATIONS, SGD, Architecture, Training, native, train
from tests.kernels.problems import OPTIMIZERS, data, relative_error

WIDE = {torch.float32: [32, 48, 64, 80, 96], torch.float64: [32, 40, 48, 56]}  # multiples of a vector of AVX-512
RESULTS = ("params", "losses", "snapshots", "diverged_at", "stopped_at")


@pytest.fixture(scope="session")
def wide_vectors(native_backend):
    """Networks are trained one at a time with vectors of 32 bytes or more."""
    if native.vector_bytes() < 32:
        pytest.skip("compiled for shorter vectors")


def bits(x):
    """Numbers as whole ones, so that −0 is not 0."""
    return x.view(torch.int32) if x.dtype == torch.float32 else x.view(torch.int64)


def assert_same_bits(architecture, params, source, training, **options):
    """Of training in either layout."""
    ones = torch.ones(params.shape, dtype=torch.bool)
    own, beside = (
        train(architecture, params, source, training, backend="native", mask=mask, **options) for mask in (None, ones)
    )
    for name in RESULTS:
        got, want = getattr(own, name), getattr(beside, name)
        assert torch.equal(got.isnan(), want.isnan()), name
        assert torch.equal(bits(got.nan_to_num()), bits(want.nan_to_num())), name


@pytest.mark.parametrize("sampling", ["full", "epoch", "replacement"])
@given(draw=st.data())
def test_a_network_has_the_bits_that_it_has_in_a_lane(wide_vectors, sampling, draw):
    dtype = draw.draw(st.sampled_from(list(WIDE)))
    loss = draw.draw(st.sampled_from(["mse", "cross_entropy"]))
    hidden = draw.draw(st.lists(st.sampled_from(WIDE[dtype]), min_size=1, max_size=3))
    inputs = draw.draw(st.sampled_from([1, 2, 3, 4, 5, 16, 33, 64]))
    outputs = draw.draw(st.sampled_from([1, 2, 3, 11] if loss == "mse" else [2, 3, 11]))
    activation = draw.draw(st.sampled_from(ACTIVATIONS))
    architecture = Architecture((inputs, *hidden, outputs), activation, draw.draw(st.booleans()), 0.1)
    n = draw.draw(st.sampled_from([1, 5, 19]))
    n_samples = draw.draw(st.sampled_from([17, 32, 33, 61, 64, 65, 129, 300]))
    n_datasets = draw.draw(st.sampled_from([1, 3]))
    seed = draw.draw(st.integers(0, 10_000))
    steps = draw.draw(st.sampled_from([1, 7]))
    training = Training(
        steps,
        OPTIMIZERS[draw.draw(st.sampled_from(list(OPTIMIZERS)))](n),
        loss,
        batch_size=None if sampling == "full" else draw.draw(st.integers(17, n_samples)),
        sampling="replacement" if sampling == "replacement" else "epoch",
        record_every=draw.draw(st.integers(1, 3)),
        snapshots=(0, 1, steps) if steps > 1 else (),
        label_smoothing=draw.draw(st.sampled_from([0.0, 0.2])) if loss == "cross_entropy" else 0.0,
        stop_below=draw.draw(st.sampled_from([None, 0.5])),
    )
    options = {
        "data_seeds": seed,
        "spawn_steps": torch.arange(n) % (steps + 2),
        "spawn_seeds": seed + 1,
        "dataset": torch.arange(n) % n_datasets,
        "threads": 2,
    }
    source = data(architecture, loss, n_samples, seed, n_datasets)
    assert_same_bits(architecture, architecture.initial(n, seed, dtype=dtype), source, training, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_that_diverges_does_so_in_either_layout(wide_vectors, dtype):
    architecture = Architecture((2, 32, 32, 1))
    params = architecture.initial(5, 1, dtype=dtype)
    training = Training(40, SGD(torch.tensor([0.01, 10.0, 1e4, 0.1, 1e30])), record_every=1)
    source = data(architecture, "mse", 50)
    assert_same_bits(architecture, params, source, training)
    found = train(architecture, params, source, training, backend="native").diverged_at
    assert (found >= 0).tolist() == [False, True, True, False, True]


@pytest.mark.parametrize("widths", [(2, 32, 32, 1), (2, 32, 32, 2), (2, 16, 16, 1)])
def test_a_unit_of_relu_that_is_not_a_number_passes_nan_on(native_backend, widths):
    """As torch's relu does. Two units of the first layer are ∞ on one sample, where some above are ∞ − ∞."""
    architecture = Architecture(widths, biases=False)
    params = architecture.initial(5, 1)
    params[:, :4] = 3e38
    x = torch.full((40, 2), 0.1)
    x[7] = 10
    source = (x, torch.zeros(40, widths[-1]))
    assert_same_bits(architecture, params, source, Training(1, SGD(0.1)))
    (first, _), (second, _), _ = architecture.layers(params)
    hidden = (first @ x[7]).relu()
    above = (second @ hidden[..., None]).squeeze(-1)
    assert above.isnan().any()
    trained = train(architecture, params, source, Training(1, SGD(0.1)), backend="native").params
    assert architecture.layers(trained)[1][0][above.isnan()].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parameters_that_the_last_step_makes_infinite_are_seen(wide_vectors, dtype):
    architecture = Architecture((2, 32, 32, 1))
    params = architecture.initial(2, 1, dtype=dtype)
    training = Training(1, SGD(torch.tensor([0.01, torch.finfo(dtype).max / 10], dtype=torch.float64)))
    x, y = data(architecture, "mse", 50)
    assert_same_bits(architecture, params, (x, 1e4 * y), training)
    assert train(architecture, params, (x, 1e4 * y), training, backend="native").diverged_at.tolist() == [-1, 1]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("widths", "loss"), [((2, 32, 48, 1), "mse"), ((20, 64, 40, 32, 5), "cross_entropy")])
def test_a_step_is_the_references(native_backend, activation, widths, loss):
    """A gradient in float64, as what a step of SGD at rate 1 takes away: to 1e-12 of it."""
    architecture = Architecture(widths, activation)
    params = architecture.initial(3, 2, scheme="torch", dtype=torch.float64)
    source = data(architecture, loss, 60)
    training = Training(1, SGD(1.0), loss)
    got, want = (
        params - train(architecture, params, source, training, backend=backend).params
        for backend in ("native", "reference")
    )
    assert relative_error(got, want) < 1e-12
