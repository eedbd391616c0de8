"""Models of torch.nn to parameters: what a layer computes with is read, and a model that is another is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from kernels import Architecture, reference

ARCHITECTURE = Architecture((4, 5, 3))


def fresh(architecture=ARCHITECTURE, dtype=torch.float64):
    return architecture.to_torch(architecture.initial(1, 7, scheme="torch", dtype=torch.float64)[0].to(dtype))


def is_the_same_function(architecture, model):
    """The parameters read from the model, in the reference, against the model in evaluation."""
    modes = [module.training for module in model.modules()]
    params = architecture.from_torch(model)
    assert [module.training for module in model.modules()] == modes
    assert params.shape == (architecture.n_parameters,) and not params.requires_grad
    x = torch.randn(50, architecture.n_inputs, dtype=params.dtype, generator=torch.Generator().manual_seed(1))
    outputs = reference.forward(architecture, params[None], x[None])[0][0]
    with torch.no_grad():
        assert torch.allclose(outputs, model.eval()(x), rtol=1e-10, atol=1e-12)
    return params


def pruned(model):
    prune.random_unstructured(model[0], "weight", amount=0.4)
    prune.l1_unstructured(model[2], "bias", amount=1)


def pruned_and_trained_on(model):
    pruned(model)
    model(torch.ones(2, 4, dtype=torch.float64)).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()  # model[0].weight is what it was before the step


CHANGES = {
    "pruned": pruned,
    "pruned and trained on": pruned_and_trained_on,
    "spectral norm by a hook": lambda model: nn.utils.spectral_norm(model[0]),
    "weight norm by a hook": lambda model: nn.utils.weight_norm(model[2]),
    "spectral norm": lambda model: parametrizations.spectral_norm(model[2]),
    "weight norm": lambda model: parametrizations.weight_norm(model[0]),
    "orthogonal": lambda model: parametrizations.orthogonal(model[2]),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("change", CHANGES)
def test_a_layer_is_read_as_it_computes(change):
    model = fresh()
    CHANGES[change](model)
    is_the_same_function(ARCHITECTURE, model)


def test_pruned_weights_are_zeros():
    model = fresh()
    prune.random_unstructured(model[0], "weight", amount=0.4)
    weight, _ = ARCHITECTURE.layers(ARCHITECTURE.from_torch(model))[0]
    assert torch.equal(weight == 0, model[0].weight_mask == 0)


def test_reading_a_spectral_norm_leaves_it_as_it_is():
    model = fresh().train()
    parametrizations.spectral_norm(model[0])
    before = copy.deepcopy(model.state_dict())
    ARCHITECTURE.from_torch(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_layers_may_be_nested_used_twice_or_do_nothing():
    relu = nn.ReLU(inplace=True)
    first, second, third = (nn.Linear(i, o, dtype=torch.float64) for i, o in ((4, 5), (5, 5), (5, 3)))
    model = nn.Sequential(
        nn.Flatten(),
        nn.Sequential(first, relu, nn.Dropout(0.3)),
        nn.Identity(),
        nn.Sequential(nn.Sequential(second, relu)),
        nn.Dropout(0.0).train(),
        third,
    )
    model[1].eval()
    architecture = Architecture((4, 5, 5, 3))
    params = is_the_same_function(architecture, model)
    layers = [part for layer in (first, second, third) for part in (layer.weight, layer.bias)]
    assert torch.equal(params, torch.cat([part.detach().flatten() for part in layers]))
    is_the_same_function(Architecture((4, 3)), nn.Linear(4, 3, dtype=torch.float64))
    is_the_same_function(Architecture((4, 4, 4), "identity"), nn.Sequential(*[nn.Linear(4, 4).double()] * 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_numbers_of_every_precision_are_read_exactly(dtype):
    model = fresh(dtype=dtype)
    params = ARCHITECTURE.from_torch(model)
    assert params.dtype is (torch.float64 if dtype is torch.float64 else torch.float32)
    assert torch.equal(params.to(dtype), torch.cat([p.detach().flatten() for p in model.parameters()]))


def test_the_random_numbers_of_the_user_go_on():
    torch.manual_seed(3)
    want = torch.rand(1)
    torch.manual_seed(3)
    ARCHITECTURE.from_torch(fresh())
    assert torch.equal(torch.rand(1), want)


def linear(fan_in=4, fan_out=5, bias=True):
    return nn.Linear(fan_in, fan_out, bias, dtype=torch.float64)


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


class Pair(nn.Sequential):
    def forward(self, x):
        return x, super().forward(x)


LEAKY = Architecture((4, 5, 3), "leaky_relu")
NORMALISED = Architecture((4, 5, 3), normalise=True)
RESIDUAL = Architecture((4, 5, 5, 3), residual=True)
OTHERS = {
    "more units": (ARCHITECTURE, [linear(4, 6), nn.ReLU(), linear(6, 3)], r"layer 0 .*out_features=6.* has Linear"),
    "other inputs": (ARCHITECTURE, [linear(3)], "layer 0 of the model is Linear.in_features=3"),
    "no bias": (ARCHITECTURE, [linear(), nn.ReLU(), linear(5, 3, False)], r"layer 2 .*bias=False.*bias=True"),
    "other activation": (ARCHITECTURE, [linear(), nn.Tanh(), linear(5, 3)], r"layer 1 .* is Tanh.*has ReLU"),
    "activation of another formula": (
        Architecture((4, 5, 3), "gelu"),
        [linear(), nn.GELU("tanh"), linear(5, 3)],
        r"layer 1 .*GELU\(approximate='tanh'\).*approximate='none'",
    ),
    "another slope": (LEAKY, [linear(), nn.LeakyReLU(0.2), linear(5, 3)], r"layer 1 .*slope=0\.2.*slope=0\.01"),
    "another epsilon": (
        NORMALISED,
        [linear(), nn.LayerNorm(5, 1e-3, elementwise_affine=False), nn.ReLU(), linear(5, 3)],
        r"layer 1 of the model is LayerNorm\(.*eps=0\.001.*eps=1e-05",
    ),
    "an affine norm": (
        NORMALISED,
        [linear(), nn.LayerNorm(5), nn.ReLU(), linear(5, 3)],
        r"layer 1 of the model is LayerNorm\(.*affine=True.*affine=False",
    ),
    "dropout in training": (
        ARCHITECTURE,
        [nn.Sequential(linear(), nn.ReLU()), nn.Dropout(0.5), linear(5, 3)],
        r"layer 1 .*Dropout\(p=0\.5.*model\.eval\(\)",
    ),
    "too short": (ARCHITECTURE, [linear(), nn.ReLU()], "ends where this architecture has Linear"),
    "too long": (
        ARCHITECTURE,
        [nn.Sequential(linear(), nn.ReLU(), linear(5, 3), nn.Softmax(1))],
        r"layer 0\.3 of the model is Softmax\(dim=1\), where this architecture has ended",
    ),
    "no residual": (
        RESIDUAL,
        [linear(), nn.ReLU(), linear(5, 5), nn.ReLU(), linear(5, 3)],
        r"layer 2 of the model is Linear\(.*has Residual",
    ),
    "two dtypes": (ARCHITECTURE, [linear(), nn.ReLU(), nn.Linear(5, 3)], r"torch\.float32 on cpu, torch\.float64"),
}


@pytest.mark.parametrize(
    "wrap",
    [torch.compile, nn.DataParallel, AveragedModel, lambda model: torch.compile(AveragedModel(model))],
    ids=["compile", "data parallel", "averaged", "both"],
)
def test_a_wrapped_model_is_the_one_inside(wrap):
    model = fresh()
    wrapped = wrap(model)
    assert Architecture.of_torch(wrapped) == ARCHITECTURE
    assert torch.equal(ARCHITECTURE.from_torch(wrapped), ARCHITECTURE.from_torch(model))


@pytest.mark.parametrize("other", OTHERS)
def test_the_first_layer_that_differs_is_named(other):
    architecture, layers, sentence = OTHERS[other]
    with pytest.raises(ValueError, match=sentence):
        architecture.from_torch(nn.Sequential(*layers))


def test_an_activation_outside_of_its_residual_block_is_named():
    model = fresh(RESIDUAL)
    activation = model[2].block.pop(1)
    model.insert(3, activation)
    with pytest.raises(ValueError, match=r"layer 3 .* is ReLU\(\), where .* has ReLU\(\) inside a Residual"):
        RESIDUAL.from_torch(model)


@pytest.mark.parametrize("kind", [Doubled, Pair])
def test_a_forward_of_its_own_is_found_out(kind):
    with pytest.raises(ValueError, match="outputs are not those of its weights"):
        ARCHITECTURE.from_torch(kind(linear(), nn.ReLU(), linear(5, 3)))


def test_a_hook_that_changes_outputs_is_found_out():
    model = fresh()
    model[1].register_forward_hook(lambda module, inputs, output: output + 0.01)
    with pytest.raises(ValueError, match="outputs are not those of its weights"):
        ARCHITECTURE.from_torch(model)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ([nn.Linear(4, 3)], r"model must be a torch\.nn\.Module, not \[Linear\(in_features"),
        (nn.ModuleList([nn.Linear(4, 3)]), r"layer 0 of the model is ModuleList\(\), where .* has Linear"),
        (ARCHITECTURE.to_torch(torch.zeros(43)).to("meta"), "not torch.float32 on meta"),
    ],
)
def test_what_is_no_model_is_refused(model, sentence):
    with pytest.raises(ValueError, match=sentence):
        ARCHITECTURE.from_torch(model)


def test_a_diverged_model_is_read_too():
    model = fresh()
    model[0].weight.data[1] = torch.nan
    assert ARCHITECTURE.from_torch(model).isnan().sum() == 4
