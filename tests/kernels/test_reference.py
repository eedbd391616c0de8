"""The readable backend against torch: autograd, torch.optim, and gradient descent's closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kernels import SGD, Adam, AdamW, Architecture, Schedule, Teacher, Training, path_losses, reference, streams, train
from kernels.connectivity import first_layer
from kernels.problem import training_problem
from tests.kernels.problems import architectures, data

DOUBLE = torch.float64


def torch_loss(model, x, y, loss):
    if loss == "mse":
        return 0.5 * (model(x) - y).square().sum(1).mean()
    return torch.nn.functional.cross_entropy(model(x), y)


@given(architectures, st.sampled_from(["mse", "cross_entropy"]), st.integers(1, 9))
def test_gradient_is_that_of_autograd(architecture, loss, n_samples):
    if loss == "cross_entropy" and architecture.n_outputs == 1:
        return
    params = architecture.initial(2, seed=1, dtype=DOUBLE, scheme="torch")
    x, y = data(architecture, loss, n_samples)
    losses, gradients = reference.loss_and_gradient(
        architecture, params, x.expand(2, *x.shape), y.expand(2, *y.shape), loss
    )
    for k in range(2):
        model = architecture.to_torch(params[k])
        value = torch_loss(model, x, y, loss)
        value.backward()
        expected = torch.cat(
            [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in model.parameters()]
        )
        assert torch.allclose(losses[k], value, rtol=1e-12, atol=1e-14)
        assert torch.allclose(gradients[k], expected, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SGD(lr=0.1), lambda p: torch.optim.SGD(p, 0.1)),
        (SGD(lr=0.1, momentum=0.9, weight_decay=0.02), lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.02)),
        (SGD(lr=0.1, momentum=0.8, nesterov=True), lambda p: torch.optim.SGD(p, 0.1, 0.8, nesterov=True)),
        (
            Adam(lr=0.01, betas=(0.8, 0.99), weight_decay=0.1),
            lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.99), weight_decay=0.1),
        ),
        (AdamW(lr=0.01, weight_decay=0.3, eps=1e-6), lambda p: torch.optim.AdamW(p, 0.01, eps=1e-6, weight_decay=0.3)),
    ],
)
def test_optimizers_are_those_of_torch(ours, theirs):
    architecture = Architecture((3, 5, 2), "tanh")
    x, y = data(architecture, "mse", 11)
    params = architecture.initial(1, 2, dtype=DOUBLE)
    run = train(architecture, params, (x, y), Training(60, ours, record_every=1), backend="reference")
    model = architecture.to_torch(params[0])
    optimizer = theirs(model.parameters())
    for step in range(60):
        optimizer.zero_grad()
        value = torch_loss(model, x, y, "mse")
        assert abs(run.losses[0, step] - value.item()) < 1e-11
        value.backward()
        optimizer.step()
    assert torch.allclose(run.params[0], architecture.from_torch(model), rtol=1e-10, atol=1e-12)


def test_label_smoothing_and_clipping_are_those_of_torch():
    architecture = Architecture((3, 5, 5, 4), "tanh", normalise=True, residual=True)
    x, y = data(architecture, "cross_entropy", 11)
    params = architecture.initial(1, 2, dtype=DOUBLE)
    training = Training(
        40, SGD(lr=0.5, weight_decay=0.01), "cross_entropy", record_every=1, label_smoothing=0.3, clip_norm=0.2
    )
    run = train(architecture, params, (x, y), training, backend="reference")
    model = architecture.to_torch(params[0])
    optimizer = torch.optim.SGD(model.parameters(), 0.5, weight_decay=0.01)
    norms = []
    for step in range(40):
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(model(x), y, label_smoothing=0.3)
        assert abs(run.losses[0, step] - value.item()) < 1e-11
        value.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.2).item())
        optimizer.step()
    assert min(norms) < 0.2 < max(norms)  # clipped at times
    assert torch.allclose(run.params[0], architecture.from_torch(model), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("optimizer", [SGD(lr=0.05, momentum=0.9, weight_decay=0.02), AdamW(lr=0.01, weight_decay=0.3)])
def test_tied_parameters_are_a_convolution(optimizer):
    """Filters over windows, as a masked and tied layer, train as torch.nn.functional.conv1d does, clipped alike."""
    inputs = 9
    field = 3
    stride = 2
    channels = 3
    positions = (inputs - field) // stride + 1
    architecture = Architecture((inputs, positions * channels, 1), "tanh")
    mask, tied = first_layer("convolutional", architecture, field, stride)
    x, y = data(architecture, "mse", 13)
    params = architecture.initial(2, 3, dtype=DOUBLE)
    training = Training(50, optimizer, record_every=1, clip_norm=0.5)
    run = train(architecture, params, (x, y), training, mask=mask, tied=tied, backend="reference")
    start = train(architecture, params, (x, y), Training(0), mask=mask, tied=tied, backend="reference").params[1]
    (w, b), (v, c) = architecture.layers(start)
    # unit = position · channels + channel: the first `channels` units are the first window's
    filters, filter_biases, head, head_bias = leaves = [
        p.clone().requires_grad_() for p in (w[:channels, None, :field], b[:channels], v, c)
    ]
    if isinstance(optimizer, AdamW):
        theirs = torch.optim.AdamW(leaves, optimizer.lr, weight_decay=optimizer.weight_decay)
    else:
        theirs = torch.optim.SGD(leaves, optimizer.lr, optimizer.momentum, weight_decay=optimizer.weight_decay)
    for step in range(50):
        theirs.zero_grad()
        hidden = torch.tanh(torch.nn.functional.conv1d(x[:, None], filters, filter_biases, stride=stride))
        flat = hidden.mT.flatten(1)  # [b, channel, position] → [b, unit]
        value = 0.5 * (flat @ head.T + head_bias - y).square().sum(1).mean()
        assert abs(run.losses[1, step] - value.item()) < 1e-11
        value.backward()
        torch.nn.utils.clip_grad_norm_(leaves, 0.5)
        theirs.step()
    (w, b), (v, _) = architecture.layers(run.params[1])
    second_window = w[channels : 2 * channels, stride : stride + field]
    assert torch.allclose(second_window, filters[:, 0], rtol=1e-9)
    assert torch.allclose(b[-channels:], filter_biases, rtol=1e-9) and torch.allclose(v, head, rtol=1e-9)
    assert (run.params[1][~mask] == 0).all()


@given(st.integers(0, 100))
def test_held_parameters_keep_their_values_and_the_rest_trains_as_without_them(seed):
    """With the first layer held, training is linear regression on its fixed features."""
    architecture = Architecture((3, 6, 1), "relu", biases=False)
    x, y = data(architecture, "mse", 12, seed)
    params = architecture.initial(2, seed, dtype=DOUBLE)
    trainable = torch.arange(architecture.n_parameters) >= 18
    training = Training(30, AdamW(lr=0.02, weight_decay=0.1))
    run = train(architecture, params, (x, y), training, trainable=trainable, backend="reference")
    assert torch.equal(run.params[:, :18], params[:, :18])
    features = (x @ params[0, :18].reshape(6, 3).T).clamp(min=0)
    head = Architecture((6, 1), "identity", biases=False)
    alone = train(head, params[:1, 18:].contiguous(), (features, y), training, backend="reference")
    assert torch.allclose(run.params[0, 18:], alone.params[0], rtol=1e-10, atol=1e-14)


def test_a_network_stops_at_its_loss():
    architecture = Architecture((2, 8, 1), "tanh")
    x, y = data(architecture, "mse", 6)
    params = architecture.initial(3, 1, dtype=DOUBLE)
    rates = torch.tensor([0.2, 0.1, 1e-6], dtype=DOUBLE)
    optimizer = SGD(lr=rates, momentum=0.5)
    free = train(architecture, params, (x, y), Training(200, optimizer, record_every=1), backend="reference")
    threshold = free.losses[:2, 150].max().item()
    training = Training(200, optimizer, record_every=1, stop_below=threshold)
    run = train(architecture, params, (x, y), training, backend="reference")
    first = [(free.losses[k] < threshold).nonzero()[0].item() for k in range(2)]
    assert run.stopped_at.tolist() == [*first, -1] and 0 < first[0] < first[1]
    for k, step in enumerate(first):
        assert torch.equal(run.losses[k, : step + 1], free.losses[k, : step + 1])
        assert (run.losses[k, step:] == run.losses[k, step]).all()
    assert torch.equal(run.params[2], free.params[2])


def test_switches_that_do_not_fit_are_refused():
    architecture = Architecture((2, 3, 1))
    params = architecture.initial(2)
    source = data(architecture, "mse", 4)
    tied = torch.zeros(architecture.n_parameters, dtype=torch.int64)
    for name, value in (
        ("mask", torch.ones(3, dtype=torch.bool)),
        ("trainable", torch.ones(architecture.n_parameters)),
        ("tied", tied[:2]),
        ("tied", tied / 2),
    ):
        with pytest.raises(ValueError, match=f"{name} must be"):
            train(architecture, params, source, Training(1), **{name: value})
    with pytest.raises(ValueError, match="parameters of a tied group must be alike in mask"):
        train(architecture, params, source, Training(1), tied=tied, mask=torch.arange(architecture.n_parameters) > 3)
    with pytest.raises(ValueError, match="label_smoothing goes with loss 'cross_entropy'"):
        Training(1, label_smoothing=0.1)
    with pytest.raises(ValueError, match="residual needs two hidden layers of one width"):
        Architecture((2, 3, 4, 1), residual=True)
    with pytest.raises(ValueError, match="normalise needs at least two units"):
        Architecture((2, 1, 1), normalise=True)


def test_gradient_descent_on_linear_regression_has_its_closed_form():
    """w_t = w* + (I − ηH)^t (w_0 − w*), computed here through the eigenvectors of H."""
    architecture = Architecture((4, 1), "identity", biases=False)
    x, y = data(architecture, "mse", 30)
    rates = torch.tensor([0.01, 0.1, 0.3], dtype=DOUBLE)
    params = architecture.initial(3, 0, dtype=DOUBLE)
    run = train(architecture, params, (x, y), Training(200, SGD(lr=rates), snapshots=(50,)), backend="reference")
    hessian = (x.T @ x / 30).numpy()
    target = (x.T @ y / 30).numpy()[:, 0]
    optimum = np.linalg.solve(hessian, target)
    values, vectors = np.linalg.eigh(hessian)
    for k, rate in enumerate(rates.numpy()):
        for steps, got in ((50, run.snapshots[0, k]), (200, run.params[k])):
            expected = optimum + vectors @ ((1 - rate * values) ** steps * (vectors.T @ (params[k].numpy() - optimum)))
            assert np.allclose(got.numpy(), expected, rtol=1e-11, atol=1e-13)


def test_schedules():
    t = np.arange(100)
    assert np.allclose(Schedule("cosine", final_factor=0.1).factors(100), 0.1 + 0.45 * (1 + np.cos(np.pi * t / 100)))
    assert np.allclose(Schedule("linear", warmup_steps=20).factors(100)[20:], 1 - (t[20:] - 20) / 80)
    assert np.allclose(Schedule("linear", warmup_steps=20).factors(100)[:20], (t[:20] + 1) / 20)
    assert np.allclose(Schedule("step", step_size=30, gamma=0.5).factors(100), 0.5 ** (t // 30))
    assert (Schedule().factors(5) == 1).all() and Schedule().factors(0).shape == (0,)
    with pytest.raises(ValueError, match="Did you mean 'cosine'"):
        Schedule("cosin")


def test_schedule_scales_the_rate():
    architecture = Architecture((2, 1), "identity")
    x, y = data(architecture, "mse", 5)
    params = architecture.initial(1, dtype=DOUBLE)
    run = train(
        architecture, params, (x, y), Training(1, SGD(lr=0.4), schedule=Schedule(warmup_steps=4)), backend="reference"
    )
    plain = train(architecture, params, (x, y), Training(1, SGD(lr=0.1)), backend="reference")
    assert torch.allclose(run.params, plain.params, rtol=1e-14)


@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9, True, 0.02), Adam(0.02), AdamW(0.02, weight_decay=0.3)])
def test_rates_of_layers_are_parameter_groups_of_torch(optimizer):
    architecture = Architecture((3, 5, 4, 2), "tanh")
    x, y = data(architecture, "mse", 12)
    params = architecture.initial(2, 3, dtype=DOUBLE)
    factors = (0.25, 0.0, 2.0)
    training = Training(40, optimizer, layer_rates=factors)
    run = train(architecture, params, (x, y), training, backend="reference")
    model = architecture.to_torch(params[1])
    layers = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    groups = [
        {"params": list(layer.parameters()), "lr": optimizer.lr * factor}
        for layer, factor in zip(layers, factors, strict=True)
    ]
    if isinstance(optimizer, SGD):
        decay = optimizer.weight_decay
        theirs = torch.optim.SGD(groups, momentum=optimizer.momentum, nesterov=True, weight_decay=decay)
    else:
        kind = torch.optim.AdamW if isinstance(optimizer, AdamW) else torch.optim.Adam
        theirs = kind(groups, weight_decay=optimizer.weight_decay)
    for _ in range(40):
        theirs.zero_grad()
        (0.5 * (model(x) - y).square().sum(1).mean()).backward()
        theirs.step()
    assert torch.allclose(run.params[1], architecture.from_torch(model), rtol=1e-10, atol=1e-12)
    middle = architecture.layers(run.params)[1][0]
    assert torch.equal(middle, architecture.layers(params)[1][0])  # a rate of 0 holds a layer


def test_rates_of_layers_that_do_not_fit_are_refused():
    architecture = Architecture((2, 3, 1))
    params = architecture.initial(2)
    source = data(architecture, "mse", 4)
    with pytest.raises(ValueError, match="layer_rates must be 2 numbers, one for each affine layer, not 1"):
        train(architecture, params, source, Training(1, layer_rates=(1.0,)))
    with pytest.raises(ValueError, match=r"layer_rates must be .*at least 0"):
        Training(1, layer_rates=(1.0, -1.0))
    one = torch.zeros(architecture.n_parameters, dtype=torch.int64)
    with pytest.raises(ValueError, match="layer_rates must be alike for layers that have tied parameters in common"):
        train(architecture, params, source, Training(1, layer_rates=(1.0, 2.0)), tied=one)


def test_batches_of_an_epoch_cover_the_data_once():
    architecture = Architecture((1, 1), "identity", biases=False)
    x = torch.arange(1.0, 11, dtype=DOUBLE)[:, None]
    problem = train_problem(architecture, x, Training(8, batch_size=3))
    seen = torch.cat([reference.batch(problem, step)[0][:, :, 0] for step in range(4)], 1)
    assert seen.shape == (2, 10) and torch.equal(seen.sort(1).values, x[:, 0].expand(2, 10))
    again = torch.cat([reference.batch(problem, step)[0][:, :, 0] for step in range(4, 8)], 1)
    assert torch.equal(again.sort(1).values, seen.sort(1).values) and not torch.equal(again, seen)
    assert not torch.equal(seen[0], seen[1])


def train_problem(architecture, x, training):
    return training_problem(architecture, architecture.initial(2, dtype=DOUBLE), (x, x), training)


def test_online_samples_are_gaussian_and_labelled_by_the_teacher():
    teacher = Architecture((3, 4, 2), "erf")
    weights = teacher.initial(2, 9, dtype=DOUBLE)
    architecture = Architecture((3, 2, 2))
    params = architecture.initial(2, dtype=DOUBLE)
    run = train(
        architecture,
        params,
        Teacher(teacher, weights),
        Training(1, SGD(lr=0), batch_size=500, record_every=1),
        data_seeds=[5, 6],
        dataset=[1, 0],
        backend="reference",
    )
    x = torch.from_numpy(streams.gaussian_inputs(np.array([5, 6]), 0, 500, 3))
    for k, own_teacher in enumerate((1, 0)):
        target = teacher.to_torch(weights[own_teacher])(x[k])
        expected = torch_loss(architecture.to_torch(params[k]), x[k], target, "mse")
        assert abs(run.losses[k, 0] - expected.item()) < 1e-12


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_path_losses_are_the_interpolated_networks(loss):
    architecture = Architecture((3, 6, 4, 3), "tanh")
    a = architecture.initial(2, 0)
    b = architecture.initial(2, 1)
    x, y = data(architecture, loss, 40)
    alphas = [0.0, 0.25, 1.0, 1.5]
    curves = path_losses(architecture, a, b, alphas, (x, y), loss, backend="reference")
    for k in range(2):
        for column, alpha in enumerate(alphas):
            model = architecture.to_torch((1 - alpha) * a[k].double() + alpha * b[k].double())
            assert abs(curves.loss[k, column] - torch_loss(model, x, y, loss).item()) < 1e-12
            if loss == "cross_entropy":
                each = torch.nn.functional.cross_entropy(model(x), y, reduction="none")
                assert curves.error[k, column] == (model(x).argmax(1) != y).double().mean()
            else:
                each = 0.5 * (model(x) - y).square().sum(1)
                assert curves.error is None
            assert math.isclose(curves.standard_error[k, column], each.std().item() / 40**0.5, rel_tol=1e-10)
            assert math.isclose(curves.skewness[k, column], stats.skew(each.detach().numpy()), rel_tol=1e-9)
