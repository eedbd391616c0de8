"""The architecture of a model is read off its layers, whether a Sequential or a forward() says their order."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kernels import ACTIVATIONS, Architecture


class Written(nn.Module):
    """A model as many write it: layers in __init__ in another order than forward() calls them, functions between."""

    def __init__(self, act=torch.relu, flat=None, tail=None):
        super().__init__()
        self.last = nn.Linear(5, 3)
        self.first = nn.Linear(4, 5)
        self.act = act
        self.flat = flat
        self.tail = tail

    def forward(self, x):
        if self.flat is not None:
            x = self.flat(x)
        x = self.last(self.act(self.first(x)))
        return x if self.tail is None else self.tail(x)


@pytest.mark.parametrize(
    ("act", "activation"),
    [
        (torch.relu, "relu"),
        (F.relu, "relu"),
        (lambda x: x.relu(), "relu"),
        (lambda x: F.relu(x, inplace=True), "relu"),
        (torch.tanh, "tanh"),
        (lambda x: x.tanh(), "tanh"),
        (F.gelu, "gelu"),
        (F.silu, "silu"),
        (lambda x: F.leaky_relu(x, 0.2), "leaky_relu"),
        (lambda x: F.dropout(F.relu(x), 0.5, training=False), "relu"),
        (nn.Sequential(nn.ReLU(inplace=True), nn.Identity()), "relu"),
    ],
)
@pytest.mark.parametrize("flat", [None, lambda x: x.view(x.size(0), -1), lambda x: x.flatten(1)])
def test_a_forward_of_layers_one_after_the_other_is_read(act, activation, flat):
    model = Written(act, flat)
    architecture = Architecture.of_torch(model)
    assert (architecture.widths, architecture.activation) == ((4, 5, 3), activation)
    x = torch.randn(7, 4)
    assert torch.allclose(architecture.to_torch(architecture.from_torch(model))(x), model(x), atol=1e-6)


@pytest.mark.parametrize(
    "architecture",
    [
        *(Architecture((2, 3, 1), name) for name in ACTIVATIONS),
        Architecture((2, 3, 3, 2), "leaky_relu", negative_slope=0.2, residual=True, normalise=True),
        Architecture((2, 3, 1), biases=False),
        Architecture((4, 2), "identity"),
    ],
    ids=str,
)
def test_the_architecture_of_its_own_models_is_read(architecture):
    model = architecture.to_torch(architecture.initial(1)[0])
    assert Architecture.of_torch(model) == architecture


class Twice(Written):
    def forward(self, x):
        return self.last(torch.relu(self.first(x)) + self.first(x))


class Branching(Written):
    def forward(self, x):
        return self.last(self.first(x)) if x.sum() > 0 else self.last(self.first(-x))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (Twice(), r"does not act on the output of the layer before it alone"),
        (Branching(), r"forward\(\) of the model cannot be followed"),
        (Written(torch.sigmoid), r"layer sigmoid of the model is sigmoid\(\), which no network of this family has"),
        (Written(nn.Sigmoid()), r"Sigmoid\(\), which is no activation of this family"),
        (Written(tail=lambda x: (x, x)), r"must return the output of its last layer"),
        (nn.Sequential(nn.ReLU()), r"has no Linear layer"),
        (nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 1)), r"layer 2 of the model"),
        (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 1)), r"BatchNorm1d"),
        (3, r"model must be a torch\.nn\.Module, not 3"),
    ],
)
def test_what_is_no_network_of_the_family_is_named(model, sentence):
    with pytest.raises(ValueError, match=sentence):
        Architecture.of_torch(model)
