"""The network family and its parameter layout, against torch.nn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given

from kernels import Architecture, initialisation, reference, streams
from tests.kernels.problems import architectures


@given(architectures)
def test_layout_is_that_of_torch(architecture):
    params = architecture.initial(3, seed=4, dtype=torch.float64, scheme="torch")
    model = architecture.to_torch(params[1])
    assert sum(p.numel() for p in model.parameters()) == architecture.n_parameters
    assert torch.equal(architecture.from_torch(model), params[1])
    x = torch.randn(5, architecture.n_inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outputs = reference.forward(architecture, params[1:2], x[None])[0][0]
    assert torch.allclose(outputs, model(x), rtol=1e-12, atol=1e-14)


def test_to_torch_copies():
    architecture = Architecture((2, 3, 1))
    params = architecture.initial(1)
    architecture.to_torch(params[0])[0].weight.data.zero_()
    assert params.abs().sum() > 0


def test_a_model_of_another_architecture_is_refused():
    model = Architecture((2, 3, 1)).to_torch(Architecture((2, 3, 1)).initial(1)[0])
    for other in (
        Architecture((2, 4, 1)),
        Architecture((2, 3, 1), "tanh"),
        Architecture((2, 3, 1), biases=False),
        Architecture((2, 3, 1), normalise=True),
    ):
        with pytest.raises(ValueError, match=r"layer . of the model is .*, where this architecture has"):
            other.from_torch(model)


def test_initial_parameters_are_a_function_of_the_seed():
    architecture = Architecture((4, 8, 2))
    whole = architecture.initial(100, seed=5)
    assert torch.equal(architecture.initial(10, seed=5), whole[:10])
    assert torch.equal(architecture.initial(3, seed=streams.network_seeds(5, 100)[40:43]), whole[40:43])


@pytest.mark.parametrize(
    ("scheme", "activation", "hidden_std", "output_std", "bias_std"),
    [
        ("kaiming", "relu", (2 / 50) ** 0.5, (1 / 20) ** 0.5, 0),
        ("kaiming", "tanh", (1 / 50) ** 0.5, (1 / 20) ** 0.5, 0),
        ("xavier", "relu", (2 / 70) ** 0.5, (2 / 25) ** 0.5, 0),
        ("mean_field", "relu", (2 / 50) ** 0.5, 1 / 20, 0),
        ("torch", "relu", (1 / 150) ** 0.5, (1 / 60) ** 0.5, (1 / 150) ** 0.5),
    ],
)
def test_initialisation_schemes(scheme, activation, hidden_std, output_std, bias_std):
    architecture = Architecture((50, 20, 5), activation)
    (w1, b1), (w2, _) = architecture.layers(architecture.initial(400, 1, scheme=scheme, dtype=torch.float64))
    for values, std in ((w1, hidden_std), (w2, output_std), (b1, bias_std)):
        assert abs(values.mean()) <= 5 * std / values.numel() ** 0.5
        assert abs(values.std() - std) <= 5 * std / values.numel() ** 0.5
    twice = architecture.initial(400, 1, scheme=scheme, dtype=torch.float64, scale=2.0)
    assert torch.equal(architecture.layers(twice)[0][0], 2 * w1)


def test_a_committee_adds_up_its_units():
    architecture = Architecture((50, 4, 3, 2), "erf")
    params = architecture.initial(400, 1, scheme="committee", scale=0.5, dtype=torch.float64)
    (w1, b1), *upper = architecture.layers(params)
    assert abs(w1.std() - 0.5 * 50**-0.5) <= 5 * 0.5 * 50**-0.5 / w1.numel() ** 0.5
    assert not b1.any()
    assert all((w == 1).all() and not b.any() for w, b in upper)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"widths": (2,)}, "widths must hold at least"),
        ({"widths": (2, 0, 1)}, "widths must be a whole number of at least 1"),
        ({"widths": (2, 2.5, 1)}, "widths must be a whole number"),
        ({"widths": (2, 3, 1), "activation": "rleu"}, "Did you mean 'relu'"),
        ({"widths": (2, 3, 1), "negative_slope": 2.0}, "negative_slope must lie"),
        ({"widths": (2, 3, 1), "biases": 1}, "biases must be true or false"),
    ],
)
def test_bad_architectures_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Architecture(**arguments)


def test_parameters_of_the_issue():
    assert Architecture((2, 16, 1)).n_parameters == 65
    assert Architecture((2, 16, 1)).initial(n_networks=1024, seed=0).shape == (1024, 65)
    assert np.isfinite(Architecture((2, 32, 32, 1)).initial(2).numpy()).all()


@pytest.mark.parametrize("scheme", ["kaiming", "torch", "committee"])
def test_initial_parameters_are_drawn_in_parts_to_the_same_bits(monkeypatch, scheme):
    architecture = Architecture((3, 5, 2))
    whole = architecture.initial(701, 4, scheme=scheme, dtype=torch.float64)
    for numbers in (1, 100, 1000):
        monkeypatch.setattr(initialisation, "NUMBERS_AT_ONCE", numbers)
        assert torch.equal(architecture.initial(701, 4, scheme=scheme, dtype=torch.float64), whole)
