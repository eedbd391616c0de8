"""REPAIR as a rescaling of units, against a forward pass that sets the statistics itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels import Architecture
from kernels.activations import TABLE
from testbed import PairSet, Study, StudyError, alignment
from testbed.measures.repair import MATCHED, MEASURE, repaired, variance_ratios
from testbed.measures.segments import chain_barriers
from tests.testbed.measures.problems import DOUBLE

ALPHAS = torch.tensor([0.0, 0.3, 0.5, 1.0], dtype=DOUBLE)


def problem(residual=False, loss="cross_entropy"):
    architecture = Architecture((3, 6, 6, 2), "tanh", residual=residual)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(30, 3, dtype=DOUBLE, generator=generator)
    y = torch.randint(0, 2, (30,), generator=generator)
    y = y if loss == "cross_entropy" else torch.nn.functional.one_hot(y).double()
    a, b = (architecture.initial(3, seed, dtype=DOUBLE, scheme="torch") for seed in (1, 2))
    return PairSet.of(architecture, a, b, (x, y), loss, ALPHAS)


def by_hand(architecture, a, b, alpha, x):
    """Outputs of one path's network with the statistics of its units set in the forward pass."""
    h, h_a, h_b = x, x, x
    layers = [architecture.layers(part[None]) for part in ((1 - alpha) * a + alpha * b, a, b)]
    for index in range(len(layers[0]) - 1):
        z, z_a, z_b = (
            inputs @ network[index][0][0].T + network[index][1][0]
            for network, inputs in zip(layers, (h, h_a, h_b), strict=True)
        )
        standard = (z - z.mean(0)) / z.std(0, correction=0)
        spread = (1 - alpha) * z_a.std(0, correction=0) + alpha * z_b.std(0, correction=0)
        z = standard * spread + (1 - alpha) * z_a.mean(0) + alpha * z_b.mean(0)
        act = TABLE[architecture.activation].value_and_slope
        skip = architecture.skips[index]
        h, h_a, h_b = (
            (before if skip else 0) + act(value, 0.0)[0]
            for before, value in zip((h, h_a, h_b), (z, z_a, z_b), strict=True)
        )
    return h @ layers[0][-1][0][0].T + layers[0][-1][1][0]


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_the_barrier_is_that_of_a_forward_pass_that_sets_the_statistics(residual, loss):
    pairs = problem(residual, loss)
    x, y = pairs.train.x[0], pairs.train.y[0]
    found = MEASURE.compute(pairs)
    for k in range(len(pairs)):
        outputs = [by_hand(pairs.architecture, pairs.a[k], pairs.b[k], alpha, x) for alpha in ALPHAS]
        if loss == "mse":
            losses = [0.5 * (output - y).square().sum(1).mean().item() for output in outputs]
        else:
            losses = [torch.nn.functional.cross_entropy(output, y).item() for output in outputs]
            errors = [(output.argmax(1) != y).double().mean().item() for output in outputs]
            gap = np.array(errors) - np.interp(ALPHAS, [0, 1], [errors[0], errors[-1]])
            assert found["repair_train_error_barrier_linear"][k].item() == pytest.approx(max(gap.max(), 0), abs=1e-12)
        gap = np.array(losses) - np.interp(ALPHAS, [0, 1], [losses[0], losses[-1]])
        assert found["repair_train_loss_barrier_linear"][k].item() == pytest.approx(max(gap.max(), 0), abs=1e-12)
    without = torch.from_numpy(chain_barriers(pairs))
    assert torch.allclose(found["repair_gain"], without - found["repair_train_loss_barrier_linear"], atol=1e-14)


def test_units_that_are_constant_are_shifted_and_stay_finite():
    architecture = Architecture((2, 3, 1))
    a, b = (architecture.initial(1, seed, dtype=DOUBLE) for seed in (1, 2))
    architecture.layers(a)[0][0][:, 0] = 0.0
    architecture.layers(b)[0][0][:, 0] = 0.0
    architecture.layers(b)[0][1][:, 0] = 4.0
    x = torch.randn(1, 20, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    params = repaired(architecture, a, b, torch.tensor([0.0, 0.5, 1.0]), x)
    assert params.isfinite().all()
    assert architecture.layers(params)[0][1][:, 0].tolist() == [0.0, 2.0, 4.0]


def test_opposite_units_collapse_and_equal_ones_do_not():
    architecture = Architecture((2, 3, 1), "identity")
    a = architecture.initial(1, 1, dtype=DOUBLE)
    b = a.clone()
    architecture.layers(b)[0][0].neg_()
    x = torch.randn(1, 20, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    assert variance_ratios(architecture, a, a, x).item() == pytest.approx(1.0)
    assert variance_ratios(architecture, a, b, x).item() < 1e-30


def test_the_matched_one_is_the_repair_of_the_matched_pair():
    pairs = problem()
    matched = alignment.match_weights(pairs.architecture, pairs.a, pairs.b, signs=True).params
    want = MEASURE.compute(pairs.between_ends(pairs.a, matched))
    for name, values in MATCHED.compute(pairs).items():
        assert torch.equal(values, want[name.replace("weights_repair", "repair")])


def test_networks_that_cannot_be_repaired_are_refused(raw):
    with pytest.raises(
        StudyError, match=r"repair.* shifts the means of units, which takes architecture\.biases = true"
    ):
        Study.make(raw({"measure.also": ["repair"], "architecture.biases": False}))
