"""The native kernel equals the reference, over everything it can be asked for.

In float64 to 1e-10 after 100 steps, in float32 to 1e-4 after 20; an ill-conditioned problem to what its conditioning
earns.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from kernels import (
    ACTIVATIONS,
    SGD,
    Adam,
    AdamW,
    Architecture,
    Schedule,
    Teacher,
    Training,
    activations,
    chosen,
    native,
    network,
    path_losses,
    train,
)
from tests.kernels.problems import data, possible, problem, relative_error

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}
STEPS = {torch.float64: 100, torch.float32: 20}


def some_architecture(draw, loss):
    """An architecture of one to seven layers, with at least two outputs for cross-entropy."""
    outputs = draw(st.integers(2 if loss == "cross_entropy" else 1, 3))
    widths = (*draw(st.lists(st.sampled_from([1, 2, 3, 4, 5, 8, 17]), min_size=1, max_size=5)), outputs)
    # 'square' explodes in depth, where rounding differs before anything else does
    possible_activations = ACTIVATIONS if len(widths) <= 3 else tuple(a for a in ACTIVATIONS if a != "square")
    activation = draw(st.sampled_from(possible_activations))
    if draw(st.booleans()):  # a chain of equal hidden layers, for residual ones
        widths = (widths[0], *[draw(st.sampled_from([2, 5, 8]))] * draw(st.integers(2, 3)), outputs)
    biases, normalise, residual = (draw(st.booleans()) for _ in range(3))
    return possible(widths, activation, biases, 0.01, normalise, residual)


def some_optimizer(draw, n, generator):
    """One of each kind, with numbers that differ between the n networks."""

    def numbers(low, high):
        return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)

    optimizers = [
        SGD(lr=numbers(0.001, 0.02), momentum=numbers(0, 0.9), weight_decay=numbers(0, 0.1)),
        SGD(lr=0.02, momentum=numbers(0.1, 0.9), nesterov=True),
        Adam(lr=numbers(0.001, 0.01), weight_decay=0.01, eps=1e-6),
        AdamW(lr=0.01, weight_decay=numbers(0, 1), betas=(0.8, 0.95), eps=1e-6),
    ]
    return draw(st.sampled_from(optimizers))


def some_training(draw, loss, sampling, n_samples, optimizer, steps, n_layers):
    """A training run with everything that it can be asked for."""
    largest_batch = 20 if sampling == "online" else n_samples
    kind = draw(st.sampled_from(["constant", "cosine", "step", "linear"]))
    return Training(
        steps,
        optimizer,
        loss,
        batch_size=None if sampling == "full" else draw(st.integers(1, largest_batch)),
        sampling="replacement" if sampling == "replacement" else "epoch",
        schedule=Schedule(kind, draw(st.integers(0, 5)), step_size=7),
        record_every=draw(st.integers(1, 7)),
        snapshots=(0, 5, steps),
        label_smoothing=draw(st.sampled_from([0.0, 0.2])) if loss == "cross_entropy" else 0.0,
        clip_norm=draw(st.sampled_from([None, 0.3])),
        stop_below=draw(st.sampled_from([None, 0.4])),
        layer_rates=draw(st.sampled_from([(), tuple(0.5 * (k % 3) for k in range(1, n_layers + 1))])),
    )


def some_switches(draw, n, n_parameters, generator, apart):
    """mask, trainable and tied, each of them or None; mask and trainable are alike within every tied group.

    apart: ties stay within a few parameters of the first layer, since others may have other rates.
    """
    groups = torch.randint(0, n_parameters // 2 + 1, (n_parameters,), generator=generator)
    if apart:
        groups = torch.arange(n_parameters).clamp(min=1)  # the first two, which stand in the first layer
    tied = draw(st.sampled_from([None, groups]))
    shape = (n, n_parameters) if tied is None else (n_parameters,)
    mask, trainable = (draw(st.sampled_from([None, torch.rand(shape, generator=generator) > 0.3])) for _ in range(2))
    if tied is not None:
        first = torch.tensor([int((tied == number).nonzero()[0]) for number in tied])
        mask = None if mask is None else mask[first]
        trainable = None if trainable is None else trainable[first]
    return {"mask": mask, "trainable": trainable, "tied": tied}


@st.composite
def problems(draw):
    """Everything that `train` takes, in small: architecture, params, samples, training, further arguments."""
    dtype = draw(st.sampled_from([torch.float64, torch.float32]))
    loss = draw(st.sampled_from(["mse", "cross_entropy"]))
    architecture = some_architecture(draw, loss)
    n = draw(st.sampled_from([1, 5, 19, 33]))
    n_samples = draw(st.sampled_from([1, 7, 16, 37]))
    n_datasets = draw(st.sampled_from([1, 3]))
    seed = draw(st.integers(0, 10_000))
    generator = torch.Generator().manual_seed(seed)
    sampling = draw(st.sampled_from(["full", "epoch", "replacement", "online"]))
    if sampling == "online":
        widths = (architecture.n_inputs, 4, architecture.n_outputs)
        teacher = Architecture(widths, draw(st.sampled_from(ACTIVATIONS)))
        source = Teacher(teacher, teacher.initial(n_datasets, seed + 1))
    else:
        source = data(architecture, loss, n_samples, seed, n_datasets)
    steps = STEPS[dtype]
    optimizer = some_optimizer(draw, n, generator)
    n_layers = len(architecture.layout)
    training = some_training(draw, loss, sampling, n_samples, optimizer, steps, n_layers)
    options = {
        "data_seeds": seed,
        "spawn_steps": torch.randint(0, steps + 5, (n,), generator=generator),
        "spawn_seeds": seed + 1,
        "dataset": torch.randint(0, n_datasets, (n,), generator=generator),
        **some_switches(draw, n, architecture.n_parameters, generator, apart=bool(training.layer_rates)),
    }
    scheme = draw(st.sampled_from(["kaiming", "xavier", "torch", "mean_field"]))
    return architecture, architecture.initial(n, seed, dtype=dtype, scheme=scheme), source, training, options


@given(problem=problems())
def test_training_equals_the_reference(native_backend, problem):
    architecture, params, source, training, options = problem
    want = train(architecture, params, source, training, **options, backend="reference")
    assume(bool(want.losses.isfinite().all()) and want.params.abs().max() < 1e3)
    got = train(architecture, params, source, training, **options, backend="native", threads=2)
    assert got.backend == "native" and want.backend == "reference"
    assert torch.equal(got.diverged_at, want.diverged_at)
    near = (want.losses - 0.4).abs().min() < 1e-4  # a loss at the threshold may stop a step sooner or later
    assume(training.stop_below is None or not near)
    assert torch.equal(got.stopped_at, want.stopped_at)
    for name in ("params", "losses", "snapshots"):
        error = relative_error(getattr(got, name), getattr(want, name))
        assert error < TOLERANCE[params.dtype] or error < earned_by_conditioning(problem, name), name


def earned_by_conditioning(problem, name):
    """How far two right results of this problem may lie apart by rounding: a bound on the relative error of `name`.

    Ten times the larger of two distances, both measured with the reference alone: how far its float32 run lies from its
    float64 run, scaled to roundings of the problem's precision; and how far the float64 run moves when every initial
    parameter is changed by one rounding (the largest of three such changes).
    """
    architecture, params, source, training, options = problem

    def result(start):
        return getattr(train(architecture, start, source, training, **options, backend="reference"), name)

    rounding = torch.finfo(params.dtype).eps
    exact = result(params.double())
    moved = [relative_error(result(params.float()), exact) * rounding / torch.finfo(torch.float32).eps]
    for seed in range(3):
        signs = torch.randn(params.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).sign()
        moved.append(relative_error(result(params.double() * (1 + rounding * signs)), exact))
    return 10 * max(moved)


def test_an_ill_conditioned_run_earns_its_bound_and_a_wrong_one_does_not(native_backend):
    """Two normalised units are ±1, so that gradients are differences of nearly equal numbers, which AdamW scales up."""
    architecture = Architecture((1, 2, 2, 1), "tanh", normalise=True)
    params = architecture.initial(19, 3)
    source = data(architecture, "mse", 7)
    training = Training(20, AdamW(lr=0.01, weight_decay=0.3, betas=(0.8, 0.95), eps=1e-6))
    earned = earned_by_conditioning((architecture, params, source, training, {}), "params")
    got = train(architecture, params, source, training, backend="native").params
    want = train(architecture, params, source, training, backend="reference").params
    assert TOLERANCE[torch.float32] < earned and relative_error(got, want) < earned
    wrong = train(architecture, params, source, Training(20, AdamW(lr=0.02, weight_decay=0.3)), backend="native")
    assert relative_error(wrong.params, want) > 2 * earned


@given(
    problem=problems(),
    n_alphas=st.integers(1, 7),
    n_samples=st.integers(2, 40),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_paths_equal_the_reference(native_backend, problem, n_alphas, n_samples, dtype):
    architecture, params, source, training, options = problem
    ends = architecture.initial(len(params), 77, dtype=params.dtype)
    fresh = {"n_samples": n_samples, "seeds": 3} if isinstance(source, Teacher) else {}
    arguments = (
        architecture,
        params,
        ends,
        torch.linspace(-0.5, 1.5, n_alphas, dtype=torch.float64),
        source,
        training.loss,
    )
    want = path_losses(*arguments, dataset=options["dataset"], dtype=torch.float64, backend="reference", **fresh)
    got = path_losses(*arguments, dataset=options["dataset"], dtype=dtype, backend="native", **fresh)
    tolerance = 1e-10 if dtype is torch.float64 else 1e-4
    # ln Σ exp is rounded where the largest term is 1, however small the cross-entropy is
    rounding = 4 * torch.finfo(dtype).eps if training.loss == "cross_entropy" else 0.0
    difference = (got.loss - want.loss).norm()
    assert difference < tolerance * want.loss.norm() or difference <= rounding * want.loss.numel() ** 0.5
    # a variance is known to rounding of the losses that it is computed from
    difference = (got.standard_error - want.standard_error).abs()
    assert (difference <= tolerance * (want.standard_error + want.loss.abs()) + rounding).all()
    # and a skewness is compared where the losses differ by much more than their rounding
    skewness_tolerance = 1e-7 if dtype is torch.float64 else 0.05
    spread = want.standard_error > 1e-3 * want.loss.abs()
    spread &= want.standard_error > 10 * rounding / skewness_tolerance
    difference = (got.skewness - want.skewness).abs()
    assert (difference <= skewness_tolerance * (1 + want.skewness.abs()))[spread].all()
    if want.error is not None:
        assert got.error is not None
        assert (got.error - want.error).abs().max() <= (0 if dtype is torch.float64 else 0.2)


@pytest.mark.parametrize("widths", [(4096, 3, 1), (5, 256, 256, 2), (3, 9, 8, 7, 6, 5, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_networks(native_backend, widths, dtype):
    architecture = Architecture(widths)
    params = architecture.initial(3, 0, dtype=dtype)
    source = data(architecture, "mse", 11)
    training = Training(10, SGD(lr=0.001, momentum=0.5), batch_size=9, record_every=1)
    want = train(architecture, params, source, training, backend="reference")
    got = train(architecture, params, source, training, backend="native")
    assert relative_error(got.params, want.params) < TOLERANCE[dtype]
    assert relative_error(got.losses, want.losses) < TOLERANCE[dtype]


def test_an_activation_that_the_kernel_was_compiled_without_is_refused_by_name(native_backend, monkeypatch):
    monkeypatch.setitem(activations.TABLE, "softplus", activations.TABLE["silu"])
    monkeypatch.setattr(network, "ACTIVATIONS", (*ACTIVATIONS, "softplus"))
    architecture = Architecture((2, 3, 1), "softplus")
    params = architecture.initial(2)
    source = data(architecture, "mse", 4)
    with pytest.raises(ValueError, match="'native' does not know the activation 'softplus'; backend 'reference' does"):
        train(architecture, params, source, Training(1), backend="native")
    assert train(architecture, params, source, Training(1), backend="reference").params.isfinite().all()


@pytest.mark.parametrize(("activation", "bound"), [("erf", 4), ("tanh", 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_activations_to_rounding(native_backend, activation, bound, dtype):
    """f(1) = σ(z) for 21,000 z, read off the loss ½ f²; erf's argument is z/√2."""
    architecture = Architecture((1, 1, 1), activation, biases=False)
    z = torch.cat([torch.linspace(-9, 9, 20_001, dtype=dtype), torch.logspace(-6, 1, 1000, dtype=dtype)])
    params = torch.stack([z, torch.ones_like(z)], 1)
    loss = path_losses(
        architecture, params, params, [0.0], (torch.ones(1, 1), torch.zeros(1, 1)), dtype=dtype, backend="native"
    ).loss[:, 0]
    exact = torch.erf(z.double() / 2**0.5) if activation == "erf" else torch.tanh(z.double())
    error = ((2 * loss).sqrt() - exact.abs()).abs() / exact.abs().clamp(min=1e-30)
    assert error[exact != 0].max() < bound * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("widths", [(3, 2), (9, 20, 3), (8, 7, 5, 6, 2)])
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_weights_that_no_network_of_a_group_has_are_left_out_without_a_trace(native_backend, dtype, widths, activation):
    """Networks that share a mask train as in the reference, and bit for bit as where no weight is left out.

    That is in groups that hold a network without a mask too: then all is computed.
    """
    architecture = Architecture(widths, activation)
    generator = torch.Generator().manual_seed(2)
    n = 32 if dtype == torch.float32 else 16  # two groups at least
    masks = torch.ones(n, architecture.n_parameters, dtype=torch.bool)
    for weights, biases in architecture.layers(masks):
        weights.copy_((torch.rand(weights.shape[1:], generator=generator) < 0.4).expand_as(weights))
        biases[:, 0] = False
    masks[:, 0] = True
    x = torch.randn(21, widths[0], generator=generator, dtype=torch.float64).to(dtype)  # two tiles and five samples
    y = torch.randn(21, widths[-1], generator=generator, dtype=torch.float64).to(dtype)
    params = architecture.initial(n, 0, dtype=dtype)
    training = Training(12, Adam(lr=0.02, weight_decay=0.01))
    with_unmasked = masks.clone()
    with_unmasked[::4] = True  # in every group of 4, 8 or 16
    skipped, computed = (
        train(architecture, params, (x, y), training, mask=mask, backend="native").params
        for mask in (masks, with_unmasked)
    )
    others = torch.arange(n) % 4 != 0
    torch.testing.assert_close(skipped[others], computed[others], rtol=0, atol=0)
    assert (skipped[~masks] == 0).all()
    expected = train(
        architecture, params.double(), (x.double(), y.double()), training, mask=masks, backend="reference"
    ).params
    torch.testing.assert_close(skipped.double(), expected, rtol=0, atol=1e-11 if dtype == torch.float64 else 2e-4)


def test_what_it_cannot_count_is_refused_before_anything_runs(native_backend):
    """`chosen` says so too, so that a study is refused before a file is written, and `auto` takes another backend."""
    far = dataclasses.replace(problem(batch="online", steps=3), batch_size=2**32)
    assert "must be below 2^32" in native.refusal(far) and not native.refusal(problem())
    with pytest.raises(ValueError, match=r"backend 'native': .* below 2\^32"):
        chosen("native", far)
    assert chosen("auto", far) == "reference"
