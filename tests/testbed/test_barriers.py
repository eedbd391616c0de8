"""`testbed.barrier` reads networks in whatever form they come, and measures what a loop over torch models measures."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import kernels
import testbed
from kernels import Architecture, path_losses
from testbed.alignment import canonical, permute
from testbed.alignment.registry import ALIGNMENTS
from testbed.barriers import Barriers

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(40, 3, generator=GENERATOR)
Y = torch.randn(40, 2, generator=GENERATOR)
CLASSES = torch.randint(0, 2, (40,), generator=GENERATOR)
ARCHITECTURE = Architecture((3, 6, 2), "tanh")
PARAMS = ARCHITECTURE.initial(4, seed=1, scheme="torch")
MODELS = [ARCHITECTURE.to_torch(params) for params in PARAMS]


class Written(nn.Module):
    """Its layers are made in another order than they are called."""

    def __init__(self, model):
        super().__init__()
        self.out = model[2]
        self.fc = model[0]

    def forward(self, x):
        return self.out(torch.tanh(self.fc(x.flatten(1))))


def flax(model, nested=True):
    """The weights as flax holds them: kernels [fan_in, fan_out], names sorted."""
    layers = {
        f"Dense_{number}": {"bias": model[k].bias.detach().numpy(), "kernel": model[k].weight.detach().numpy().T}
        for number, k in ((0, 0), (1, 2))
    }
    return {"params": layers} if nested else layers


FORMS = {
    "models": (lambda model, params: model, {}),
    "subclasses": (lambda model, params: Written(model), {}),
    "state dicts": (lambda model, params: model.state_dict(), {"activation": "tanh"}),
    "state dicts of a subclass": (lambda model, params: Written(model).state_dict(), {"activation": "tanh"}),
    "flax": (lambda model, params: flax(model), {"activation": "tanh"}),
    "parameters": (lambda model, params: params, {"architecture": ARCHITECTURE}),
    "numpy": (lambda model, params: params.numpy(), {"architecture": ARCHITECTURE}),
}


def by_loop(models, x, y, loss, alphas):
    """The losses on the path, by torch alone."""
    found = []
    for alpha in alphas:
        mixed = {
            name: (1 - alpha) * a + alpha * b
            for (name, a), b in zip(models[0].state_dict().items(), models[1].state_dict().values(), strict=True)
        }
        found.append(loss(torch.func.functional_call(models[0], mixed, x), y).item())
    return np.array(found)


def half_mean(outputs, y):
    return 0.5 * ((outputs - y) ** 2).sum(1).mean()


@pytest.mark.parametrize("form", FORMS)
def test_networks_of_any_form_are_read(form):
    make, options = FORMS[form]
    a, b = (make(model, params) for model, params in zip(MODELS[:2], PARAMS[:2], strict=True))
    found = testbed.barrier(a, b, (X, Y), **options)
    alphas = np.linspace(0, 1, 25)
    expected = by_loop(MODELS[:2], X, Y, half_mean, alphas)
    assert np.allclose(found.curves["train_loss"][0], expected, rtol=1e-5)
    chord = (1 - alphas) * expected[0] + alphas * expected[-1]
    assert np.allclose(found.value()[0], (expected - chord).max(), rtol=1e-4, atol=1e-6)


def test_classes_give_errors_too():
    found = testbed.barrier(MODELS[0], MODELS[1], (X, CLASSES), alphas=[0, 0.25, 1])
    expected = by_loop(MODELS[:2], X, CLASSES, F.cross_entropy, [0, 0.25, 1])
    assert np.allclose(found.curves["train_loss"][0], expected, rtol=1e-5)
    assert found.value(quantity="error").shape == (1,)
    assert found.loss == "cross_entropy"
    assert "midpoint" not in found.table.columns


@pytest.mark.parametrize("kind", ["dataset", "loader"])
def test_data_may_be_a_dataset_or_a_loader(kind):
    dataset = torch.utils.data.TensorDataset(X, Y)
    data = dataset if kind == "dataset" else torch.utils.data.DataLoader(dataset, batch_size=7)
    expected = testbed.barrier(*MODELS[:2], (X, Y)).curves["train_loss"]
    assert np.array_equal(testbed.barrier(*MODELS[:2], data).curves["train_loss"], expected)


def test_a_permuted_network_is_matched_back():
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    other = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2))
    with torch.no_grad():
        other[0].weight.copy_(MODELS[0][0].weight[order])
        other[0].bias.copy_(MODELS[0][0].bias[order])
        other[2].weight.copy_(MODELS[0][2].weight[:, order])
        other[2].bias.copy_(MODELS[0][2].bias)
        y = MODELS[0](X)  # both ends have learnt it
    found = testbed.barrier(MODELS[0], other, (X, y), align=["weights", "exhaustive"])
    assert found.value()[0] > 1e-3
    assert abs(found.value(path="weights")[0]) < 1e-6
    assert abs(found.value(path="exhaustive")[0]) < 1e-6
    assert torch.allclose(found.ends["weights"].b, found.ends[""].a)
    table = found.table
    assert table["path"].to_list() == ["straight", "weights", "exhaustive"]
    assert np.allclose(table["distance"].to_list()[1:], 0, atol=1e-6)


RELU = [("relu", path) for path in ALIGNMENTS]
TANH = [("tanh", path) for path in ALIGNMENTS if not path.startswith("canonical")]  # no units can be rescaled


@pytest.mark.parametrize(("activation", "path"), RELU + TANH)
def test_the_permutation_takes_b_to_where_the_path_ends(activation, path):
    """It says which of the units that were given go together, also where both ends were reordered."""
    architecture = Architecture((3, 4, 3, 2), activation)
    params = architecture.initial(4, seed=2, scheme="torch", dtype=torch.float64)
    found = testbed.barrier(params, None, (X, Y), architecture=architecture, align=path)
    orders, signs = ([torch.from_numpy(part) for part in parts(path)] for parts in (found.permutations, found.signs))
    a, b = found.ends[""].a, found.ends[""].b
    if path.startswith("canonical"):
        a, b = canonical(architecture, a), canonical(architecture, b)
    moved = permute(architecture, b, orders, signs)
    again = path_losses(architecture, a, moved, 25, (X.double(), Y.double()), loss="mse")
    np.testing.assert_allclose(found.curves[f"{path}_train_loss"], again.loss.numpy(), rtol=1e-9)
    is_moved = any(bool((order != torch.arange(order.shape[1])).any()) for order in orders)
    assert is_moved == (path != "canonical")


def test_lists_are_paired_all_with_all():
    across = testbed.barrier(MODELS[:2], MODELS[2:], (X, Y))
    assert across.pairs == ((0, 0), (0, 1), (1, 0), (1, 1))
    within = testbed.barrier(MODELS, None, (X, Y))
    assert within.pairs == ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
    assert np.array_equal(within.curves["train_loss"][1], across.curves["train_loss"][0])
    assert "6 pairs of 3-6-2 tanh" in repr(within)
    assert len(repr(within)) < 200
    assert "<table" in within._repr_html_()


def test_it_draws_itself():
    found = testbed.barrier(MODELS[0], MODELS[1], (X, CLASSES), align="weights")
    axes = found.plot(quantity="error")
    assert [line.get_label() for line in axes.lines] == ["as they are", "after weight matching"]
    assert axes.get_ylabel() == "error on the path"
    plt.close(axes.figure)
    figure = plt.figure()
    assert found.plot(figure.add_subplot()).figure is figure
    plt.close(figure)


def test_layers_are_never_put_in_an_order_that_is_guessed():
    square = {f"{name}.weight": torch.randn(3, 3) for name in ("b", "a")}
    read = testbed.barrier(dict(square), dict(square), (X, X), activation="relu").ends[""].a[0]
    assert torch.equal(read, torch.cat([square["b.weight"].flatten(), square["a.weight"].flatten()]))  # as they stand
    many = {f"Dense_{number}": {"kernel": np.full((3, 3), float(number))} for number in (0, 1, 10, 2)}
    read = testbed.barrier(many, many, (X, X), activation="relu").ends[""].a[0]
    assert read[::9].tolist() == [0, 1, 2, 10]
    shapes = {"out": (2, 4), "p": (4, 4), "q": (4, 4), "first": (4, 3)}
    wrong = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    with pytest.raises(
        ValueError, match=r"a: the layers do not follow each other as they stand, .* and 2 other orders"
    ):
        testbed.barrier(wrong, wrong, (X, Y), activation="relu")


DIVERGED = PARAMS * torch.tensor([[1.0], [torch.nan]] * 2)
ALIGNED = {"architecture": ARCHITECTURE, "align": "weights"}
OTHER = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((MODELS[0], OTHER, (X, Y)), {}, r"a and b must be of one architecture"),
        (([MODELS[0], OTHER], None, (X, Y)), {}, r"a\[1\] is of another architecture than a"),
        ((MODELS[0], None, (X, Y)), {}, r"b = None asks for all pairs within a"),
        (([], MODELS[0], (X, Y)), {}, r"a must hold at least one network"),
        ((MODELS[0].state_dict(), MODELS[1], (X, Y)), {}, r"a: a dict of weights does not say its activation"),
        ((MODELS[0].state_dict(), MODELS[1], (X, Y)), {"activation": "tahn"}, r"^activation .*Did you mean 'tanh'"),
        ((MODELS[0], MODELS[1], (X, Y)), {"activation": "erf"}, r"activation='erf', but a has 'tanh': leave"),
        ((MODELS[0], MODELS[1], (X, Y)), {"architecture": (3, 5, 2)}, r"^architecture must be an Architecture"),
        ((PARAMS, None, (X, Y)), {}, r"a is torch\.float32 \[4, 38\], which does not say its architecture"),
        ((PARAMS[:, :9], None, (X, Y)), {"architecture": ARCHITECTURE}, r"a must have shape \[38\]"),
        ((MODELS[0], nn.Sequential(nn.Conv2d(1, 1, 3)), (X, Y)), {}, r"b: the model has no Linear layer"),
        ((MODELS[0], MODELS[1], (X[:, :2], Y)), {}, r"x has 2 inputs a sample, and the networks take 3"),
        ((MODELS[0], MODELS[1], X), {}, r"data must be \(x, y\)"),
        ((MODELS[0], MODELS[1], (X, Y[:9])), {}, rf"y must have shape \[{len(X)}, 2\].*, not \[9, 2\]"),
        ((MODELS[0], MODELS[1], (X, Y[:, 0])), {}, rf"y must have shape \[{len(X)}, 2\].*, not \[{len(X)}\]"),
        (
            (MODELS[0], MODELS[1], (X, Y.long())),
            {},
            rf"y must have shape \[{len(X)}\], a class .*, not \[{len(X)}, 2\]",
        ),
        ((MODELS[0], MODELS[1], (X[0], Y[0])), {}, r"x must have shape \[n_samples, 3\], not \[3\]"),
        ((MODELS[0], MODELS[1], (X, Y)), {"backend": "nativ"}, r"backend must be one of .*Did you mean 'native'"),
        (
            (PARAMS, PARAMS * torch.tensor([[1.0], [torch.nan]] * 2), (X, Y)),
            ALIGNED,
            r"b must be finite .* networks 1, 3",
        ),
        ((MODELS[0], MODELS[1], (X, Y)), {"align": "weigths"}, r"align must be one of .*Did you mean 'weights'"),
        ((MODELS[0], MODELS[1], (X, Y)), {"align": "reference"}, r"align='reference' looks at all networks"),
        ((MODELS[0], MODELS[1], (X, Y)), {"loss": "msee"}, r"loss must be one of .*Did you mean 'mse'"),
        ((MODELS[0], MODELS[1], (X, Y)), {"alphas": [0.1, 1.0]}, r"alphas must hold 0 and 1"),
        (({"a.weight": torch.ones(2, 3, 3)}, MODELS[1], (X, Y)), {"activation": "relu"}, r"it is no affine layer"),
        (({"norm.running_mean": torch.ones(2)}, MODELS[1], (X, Y)), {"activation": "relu"}, r"neither a weight"),
    ],
)
def test_what_cannot_be_used_is_named(arguments, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        testbed.barrier(*arguments, **options)


def test_what_is_asked_of_a_result_is_checked():
    found = testbed.barrier(MODELS[0], MODELS[1], (X, Y))
    assert isinstance(found, Barriers)
    with pytest.raises(ValueError, match=r"path must be one of '', not 'weights'"):
        found.value(path="weights")
    with pytest.raises(ValueError, match=r"path must be one of"):
        found.permutations("weights")
    with pytest.raises(ValueError, match=r"quantity must be one of loss"):
        found.value(quantity="error")


@pytest.mark.parametrize("align", [(), "weights", "exhaustive"])
def test_the_backend_that_was_asked_for_measures(align, monkeypatch):
    asked = []
    path_losses = kernels.path_losses

    def watched(*arguments, **options):
        asked.append(options["backend"])
        return path_losses(*arguments, **options)

    monkeypatch.setattr(kernels, "path_losses", watched)
    testbed.barrier(MODELS[0], MODELS[1], (X, Y), align=align, backend="reference")
    testbed.barrier(MODELS, None, (X, Y), backend="reference")
    assert set(asked) == {"reference"}
