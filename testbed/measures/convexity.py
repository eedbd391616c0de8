"""Whether the loss along a path is convex, and how much of its barrier the bound by curvature explains.

With the Green's function G(α, s) = min(α, s) (1 − max(α, s)) of −d²/dα² (theory.curvature_bound),

    B = max_α ∫ G(α, s) (−L″(s)) ds  ≤  max_α ∫ G(α, s) (−L″(s))₊ ds  ≤  ⅛ sup (−L″)₊.

Here L is the measured curve, straight between the alphas: integrals are sums over its kinks, L″ a second divided
difference, and all three inequalities hold to rounding, whatever the grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import kernels
from testbed.alignment.matching import match_weights
from testbed.alignment.symmetries import has_signs
from testbed.columns import along
from testbed.kinds import Column, Extent, Measure, Work
from testbed.pair_set import PairSet

if TYPE_CHECKING:
    from torch import Tensor

MATCHING_SWEEPS = 5  # about


def curve_shape(alphas: Tensor, loss: Tensor) -> dict[str, Tensor]:
    """How far curves are from convex, and the bounds of their barriers, `[n_pairs]` each, in units of the loss.

    convexity_gap: the most by which a curve lies above a chord between any two of its points; 0 where it is convex.
    concave_bound: max_α ∫ G (−L″)₊, the barrier if its convex stretches paid nothing back. curvature_bound: ⅛ sup
    (−L″)₊. curvature_tightness: barrier over curvature_bound, NaN where that is 0.

    alphas: rising, from 0 to 1, `[n_alphas]`; loss: `[n_pairs, n_alphas]`; both float64.

    >>> import torch
    >>> shape = curve_shape(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([[0.0, 1.0, 0.0]]))  # a tent: L″ = −8 at ½
    >>> [round(value.item(), 6) for value in shape.values()]
    [1.0, 1.0, 1.0, 1.0]
    """
    import torch

    slopes = loss.diff(dim=1) / alphas.diff()
    kinks = slopes.diff(dim=1)  # [n_pairs, n_alphas − 2], jumps of L′
    inner = alphas[1:-1]
    spans = (alphas[2:] - alphas[:-2]) / 2
    green = torch.minimum(inner[:, None], inner) * (1 - torch.maximum(inner[:, None], inner))
    barrier = (-kinks @ green).amax(1).clamp(min=0)
    bound = (-kinks / spans).amax(1).clamp(min=0) / 8
    return {
        "convexity_gap": _above_chords(alphas, loss),
        "concave_bound": ((-kinks).clamp(min=0) @ green).amax(1),
        "curvature_bound": bound,
        "curvature_tightness": torch.where(bound > 0, barrier / bound, torch.nan),
    }


def _above_chords(alphas: Tensor, loss: Tensor) -> Tensor:
    """The largest L(β) − chord(β) over α < β < γ of the grid, at least 0, `[n_pairs]`."""
    import torch

    gap = loss.new_zeros(len(loss))
    for start in range(len(alphas) - 2):
        for end in range(start + 2, len(alphas)):
            share = (alphas[start + 1 : end] - alphas[start]) / (alphas[end] - alphas[start])
            chord = (1 - share) * loss[:, start, None] + share * loss[:, end, None]
            gap = torch.maximum(gap, (loss[:, start + 1 : end] - chord).amax(1))
    return gap


def _compute(pairs: PairSet) -> dict[str, Tensor]:
    signs = has_signs(pairs.architecture)
    matched = match_weights(pairs.architecture, pairs.a, pairs.b, signs=signs).params
    found: dict[str, Tensor] = {}
    for path, end in (("", pairs.b), ("weights", matched)):
        shape = curve_shape(pairs.between, _losses(pairs, end))
        found |= {along(name, path): values for name, values in shape.items()}
    return found


def _losses(pairs: PairSet, b: Tensor) -> Tensor:
    """The training loss between A and these ends, float64 `[n_pairs, n_alphas]`."""
    train = pairs.training_samples
    return kernels.path_losses(
        pairs.architecture,
        pairs.a.double(),
        b.double(),
        pairs.between,
        train.sets,
        pairs.loss,
        dataset=train.set_a,
        backend=pairs.backend,
    ).loss


def _work(extent: Extent) -> Work:
    """Two paths, and weight matching (as in testbed.alignment.registry)."""
    widths = extent.architecture.widths[1:-1]
    matching = max(widths) * extent.architecture.n_parameters + sum(width**3 for width in widths)
    return Work(kernels=2 * extent.n_alphas * extent.step, arrays=MATCHING_SWEEPS * matching)


def _columns(path: str, where: str) -> tuple[Column, ...]:
    """The columns of one path."""
    meanings = {
        "convexity_gap": ("the most by which the training loss lies above any of its chords; 0: convex", "loss"),
        "concave_bound": ("bound of the training barrier: the barrier if convex stretches paid nothing back", "loss"),
        "curvature_bound": ("bound of the training barrier: 1/8 sup of −L″ where that is positive", "loss"),
        "curvature_tightness": ("training barrier (linear) over curvature_bound, null where that is 0", "share"),
    }
    return tuple(Column(along(name, path), f"{text}{where}", unit) for name, (text, unit) in meanings.items())


MEASURE = Measure(
    name="convexity",
    text="how far the training loss along the path is from convex, and the bounds of its barrier by its curvature, "
    "also after weight matching",
    columns=(*_columns("", ""), *_columns("weights", ", after weight matching")),
    compute=_compute,
    work=_work,
    held=None,
)
