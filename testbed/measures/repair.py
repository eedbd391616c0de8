"""Variance collapse on the path, and its repair (Jordan, Sedghi, Saukh, Entezari & Neyshabur 2023, REPAIR).

Between two networks the pre-activations of a hidden unit vary less over the samples than at either end. REPAIR gives
every unit, layer by layer, the mean and the standard deviation that lie between those of the ends:

    z ← (z − μ_α) σ̄/σ_α + μ̄,    σ̄ = (1 − α) σ_A + α σ_B,    μ̄ = (1 − α) μ_A + α μ_B,

with all statistics over the samples of A and μ_α, σ_α those of the network as repaired below. That is a rescaling of
the unit's weights and a shift of its bias: the repaired network is one of the same architecture, and no statistics are
left to be reset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import kernels
import theory
from kernels.activations import TABLE
from testbed.alignment.matching import match_weights
from testbed.alignment.symmetries import has_signs
from testbed.columns import along, barrier
from testbed.kinds import Column, Extent, Mark, Measure, Work
from testbed.measures.points import for_each_point, points_on_paths
from testbed.measures.segments import chain_barriers
from testbed.pair_set import PairSet
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

MATCHING_SWEEPS = 5  # about


def repaired(architecture: kernels.Architecture, a: Tensor, b: Tensor, alphas: Tensor, x: Tensor) -> Tensor:
    """The networks on every path, repaired: float64 `[n_pairs · n_alphas, n_parameters]`, a path after the other.

    a, b: `[n_pairs, n_parameters]`, without normalisation and with biases; alphas `[n_alphas]`; x `[n_pairs,
    n_samples, n_inputs]`. Units that are constant on the samples are shifted alone.

    >>> import torch
    >>> architecture = kernels.Architecture((2, 3, 1))
    >>> a, b = architecture.initial(1, seed=1), architecture.initial(1, seed=2)
    >>> x = torch.randn(1, 50, 2, generator=torch.Generator().manual_seed(0))
    >>> params = repaired(architecture, a, b, torch.tensor([0.0, 0.5]), x)
    >>> torch.allclose(params[0], a[0].double())  # the ends stay as they are
    True
    """
    import torch

    params = points_on_paths(a, b, alphas)
    n_alphas = len(alphas)
    share = alphas.double().repeat(len(a))[:, None]
    inputs_of = [x.double(), x.double(), for_each_point(x.double(), n_alphas)]  # of A, of B, of the repaired networks
    networks = [architecture.layers(part) for part in (a.double(), b.double(), params)]
    activation = TABLE[architecture.activation]
    for index in range(len(architecture.layout) - 1):
        pre_activations = []
        for network, inputs in zip(networks, inputs_of, strict=True):
            weight, bias = network[index]
            assert bias is not None
            pre_activations.append(inputs @ weight.mT + bias[:, None])
        means = [z.mean(1) for z in pre_activations]
        spreads = [z.std(1, correction=0) for z in pre_activations]
        mean, spread = (
            (1 - share) * of_a.repeat_interleave(n_alphas, 0) + share * of_b.repeat_interleave(n_alphas, 0)
            for of_a, of_b in (means[:2], spreads[:2])
        )
        scale = torch.where(spreads[2] > 0, spread / spreads[2], 1.0)
        weight, bias = networks[2][index]
        assert bias is not None
        weight.mul_(scale[:, :, None])  # a view of params
        bias.copy_(mean + scale * (bias - means[2]))
        pre_activations[2] = mean[:, None] + scale[:, None] * (pre_activations[2] - means[2][:, None])
        for place, z in enumerate(pre_activations):
            h = activation.value_and_slope(z, architecture.negative_slope)[0]
            inputs_of[place] = inputs_of[place] + h if architecture.skips[index] else h
    return params


def variance_ratios(architecture: kernels.Architecture, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """Variance of the units' pre-activations at α = ½ over that between the ends, `[n_pairs, n_hidden]`.

    Of each hidden layer Σ var(z) at the midpoint over Σ ((σ_A + σ_B)/2)², sums over its units: 1 where nothing
    collapses.
    """
    import torch

    from kernels import reference

    networks = [a.double(), b.double(), 0.5 * (a.double() + b.double())]
    ratios = []
    inputs = [reference.forward(architecture, params, x.double())[1] for params in networks]
    for index in range(len(architecture.layout) - 1):
        spreads = []
        for params, of_layers in zip(networks, inputs, strict=True):
            weight = architecture.layers(params)[index][0]
            z = of_layers[index] @ weight.mT  # a bias does not vary
            spreads.append(z.std(1, correction=0))
        between = 0.5 * (spreads[0] + spreads[1])
        ratios.append(spreads[2].square().sum(1) / between.square().sum(1))
    return torch.stack(ratios, 1)


def _compute(pairs: PairSet, path: str) -> dict[str, Tensor]:
    import torch

    from kernels import reference

    architecture = pairs.architecture
    alphas = pairs.between
    x, y = pairs.samples_of_a
    params = repaired(architecture, pairs.a, pairs.b, alphas, x)
    outputs = reference.forward(architecture, params, for_each_point(x.double(), len(alphas)))[0]
    labels = for_each_point(y.double() if pairs.loss == "mse" else y, len(alphas))
    loss = reference.sample_losses(pairs.loss, outputs, labels)[0].mean(1).view(-1, len(alphas))
    ratios = variance_ratios(architecture, pairs.a, pairs.b, x)
    left = _barrier(alphas, loss)
    found = {
        barrier("train_loss", path=path): left,
        along("gain", path): torch.from_numpy(chain_barriers(pairs)) - left,
        along("variance_ratio_first", path): ratios[:, 0],
        along("variance_ratio_last", path): ratios[:, -1],
    }
    if pairs.loss == "cross_entropy":
        error = (outputs.argmax(-1) != labels).double().mean(1).view(-1, len(alphas))
        found[barrier("train_error", path=path)] = _barrier(alphas, error)
    else:
        found[barrier("train_error", path=path)] = torch.full_like(ratios[:, 0], torch.nan)
    return found


def _compute_matched(pairs: PairSet) -> dict[str, Tensor]:
    signs = has_signs(pairs.architecture)
    matched = match_weights(pairs.architecture, pairs.a, pairs.b, signs=signs).params
    return _compute(pairs.between_ends(pairs.a, matched), MATCHED_PATH)


def _barrier(alphas: Tensor, values: Tensor) -> Tensor:
    """The barrier `linear` of curves on the grid, `[n_pairs]`."""
    import torch

    return torch.from_numpy(theory.barriers_on_grid(alphas.numpy(), values.numpy(), "linear").value)


def _lacks(setting: Setting) -> str | None:
    architecture = setting.architecture
    if not architecture.biases:
        return "shifts the means of units, which takes architecture.biases = true"
    if architecture.normalise:
        return "rescales units, which architecture.normalise undoes"
    return None


def _work(extent: Extent) -> Work:
    """Two forward passes at each alpha."""
    return Work(arrays=2 * (extent.n_alphas + 3) * extent.step)


def _matched_work(extent: Extent) -> Work:
    widths = extent.architecture.widths[1:-1]
    matching = max(widths) * extent.architecture.n_parameters + sum(width**3 for width in widths)
    return _work(extent) + Work(arrays=MATCHING_SWEEPS * matching)


def _columns(path: str, when: str) -> tuple[Column, ...]:
    ratio = "variance of pre-activations at alpha = 1/2 over that between the ends"
    return (
        Column(barrier("train_loss", path=path), f"barrier of the training loss (linear){when}", "loss"),
        Column(barrier("train_error", path=path), f"barrier of the training error (linear){when}", "share"),
        Column(along("gain", path), f"by how much the repair lowers the barrier of the training loss{when}", "loss"),
        Column(along("variance_ratio_first", path), f"{ratio}, first hidden layer, before the repair{when}", "ratio"),
        Column(along("variance_ratio_last", path), f"{ratio}, last hidden layer, before the repair{when}", "ratio"),
    )


PATH = "repair"
MATCHED_PATH = "weights_repair"
MEASURE = Measure(
    name=PATH,
    text="the barrier once every hidden unit on the path has the mean and the spread between those of the ends, "
    "and how far its variance had collapsed",
    columns=_columns(PATH, " with units rescaled to the ends' statistics"),
    compute=lambda pairs: _compute(pairs, PATH),
    work=_work,
    lacks=_lacks,
    held=lambda pairs: 2 * len(pairs.alphas),
    mark=Mark("h", "repaired"),
    path=PATH,
)
MATCHED = Measure(
    name=MATCHED_PATH,
    text="the same after weight matching",
    columns=_columns(MATCHED_PATH, " after weight matching, with units rescaled to the ends' statistics"),
    compute=_compute_matched,
    work=_matched_work,
    lacks=_lacks,
    held=lambda pairs: 2 * len(pairs.alphas),
    mark=Mark("8", "matched and repaired"),
    path=MATCHED_PATH,
)
