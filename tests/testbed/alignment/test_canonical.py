"""The canonical form: the same function, and one for all scalings of its units."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import Architecture, reference
from testbed import alignment
from tests.testbed.alignment.problems import inputs, networks


@given(seed=st.integers(0, 200))
def test_the_canonical_form_is_the_same_function_and_one_for_all_scalings(seed):
    architecture = (Architecture((3, 6, 2), "relu"), Architecture((2, 4, 5, 1), "leaky_relu", biases=False))[seed % 2]
    params = networks(architecture, 3, seed)
    scaled = params.clone()
    generator = torch.Generator().manual_seed(seed)
    layers = architecture.layers(scaled)
    for (weight, bias), (above, _) in itertools.pairwise(layers):
        scale = torch.exp(torch.randn(3, weight.shape[1], dtype=torch.float64, generator=generator))
        weight.mul_(scale[:, :, None])
        if bias is not None:
            bias.mul_(scale)
        above.div_(scale[:, None])
    one, other = alignment.canonical(architecture, params), alignment.canonical(architecture, scaled)
    assert torch.allclose(one, other, rtol=1e-6, atol=1e-9) and not torch.allclose(params, scaled)
    x = inputs(architecture).expand(3, -1, -1)
    assert torch.allclose(
        reference.forward(architecture, one, x)[0], reference.forward(architecture, params, x)[0], rtol=1e-9, atol=1e-12
    )
    (weight, bias), (above, _) = architecture.layers(one)[:2]
    incoming = weight.square().sum(2) + (0 if bias is None else bias.square())
    assert torch.allclose(incoming, above.square().sum(1), rtol=1e-9)
