"""The alignments that a study may ask for by name. A new one is a function, and an entry here.

>>> ALIGNMENTS["weights"].phrase
'after weight matching'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import kernels
from testbed.alignment.canonical import RESCALED, canonical
from testbed.alignment.exhaustive import MOST_CHOICES, exhaustive, n_choices
from testbed.alignment.matching import match_activations, match_weights, to_reference
from testbed.alignment.merging import match_all
from testbed.alignment.symmetries import has_signs
from testbed.kinds import Alignment, Extent, Mark, Work
from testbed.pair_set import Aligned, PairSet, joined
from testbed.sections.setting import Setting

if TYPE_CHECKING:
    from torch import Tensor

PAIRS_AT_A_TIME = 256  # bounds the memory of activations
SWEEPS = 5  # of weight matching, about


def _weights(pairs: PairSet) -> PairSet:
    """B matched to A by weights."""
    signs = has_signs(pairs.architecture)
    return pairs.between_ends(pairs.a, match_weights(pairs.architecture, pairs.a, pairs.b, signs=signs))


def _activations(pairs: PairSet) -> PairSet:
    """B matched to A by activations on the samples of A."""

    signs = has_signs(pairs.architecture)
    parts = []
    for part in pairs.chunks(PAIRS_AT_A_TIME):
        x, _ = part.samples_of_a
        parts.append(match_activations(pairs.architecture, part.a, part.b, x, signs=signs))
    return pairs.between_ends(pairs.a, joined(parts))


def _exhaustive(pairs: PairSet) -> PairSet:
    """B as the best of all permutations has it."""
    return pairs.between_ends(pairs.a, exhaustive(pairs, signs=has_signs(pairs.architecture)))


def _reference(pairs: PairSet) -> PairSet:
    """Both ends matched by weights to the first network of their cell that did not diverge."""
    import torch

    if pairs.origin is None:
        raise ValueError("alignment to a reference needs the other networks of each pair's cell.")
    cells, place = np.unique(pairs.origin.cell, return_inverse=True)
    firsts = torch.stack([pairs.origin.of_cell(cell).params[0] for cell in cells])
    references = firsts[torch.from_numpy(place)]
    signs = has_signs(pairs.architecture)
    a, b = (to_reference(pairs.architecture, end, references, signs=signs) for end in (pairs.a, pairs.b))
    return pairs.between_ends(a, b)


def _frame_of_the_first(architecture: kernels.Architecture, params: Tensor) -> Tensor:
    return to_reference(architecture, params, params[0], signs=has_signs(architecture)).params


def _frame_of_the_mean(architecture: kernels.Architecture, params: Tensor) -> Tensor:
    return match_all(architecture, params, signs=has_signs(architecture)).params


def _cycle(pairs: PairSet) -> PairSet:
    """Both ends as they are when all networks of their cell are matched at once."""
    import torch

    if pairs.origin is None:
        raise ValueError("cycle-consistent matching needs the other networks of each pair's cell.")
    signs = has_signs(pairs.architecture)
    rows: list[np.ndarray] = []
    ends_a: list[Aligned] = []
    ends_b: list[Aligned] = []
    for cell in np.unique(pairs.origin.cell):
        networks = pairs.origin.of_cell(cell)
        matched = match_all(pairs.architecture, networks.params, signs=signs)
        rows.append(np.flatnonzero(pairs.origin.cell == cell))
        for ends, number in ((ends_a, pairs.origin.a), (ends_b, pairs.origin.b)):
            ends.append(matched[torch.from_numpy(np.searchsorted(networks.number, number[rows[-1]]))])
    order = torch.from_numpy(np.argsort(np.concatenate(rows)))
    return pairs.between_ends(joined(ends_a)[order], joined(ends_b)[order])


def _canonical(pairs: PairSet) -> PairSet:
    """Both ends in canonical form."""
    return pairs.between_ends(canonical(pairs.architecture, pairs.a), canonical(pairs.architecture, pairs.b))


def _canonical_weights(pairs: PairSet) -> PairSet:
    """Both ends in canonical form, then B matched to A by weights, without signs."""
    rescaled = _canonical(pairs)
    matched = match_weights(pairs.architecture, rescaled.a, rescaled.b)
    return pairs.between_ends(rescaled.a, matched)


def _canonical_exhaustive(pairs: PairSet) -> PairSet:
    """Both ends in canonical form, then B as the best of all permutations has it."""
    return _exhaustive(_canonical(pairs))


def _lacks_samples(setting: Setting) -> str | None:
    return "needs a training set, and training.online has none" if setting.training.online else None


def _exhaustive_lacks(setting: Setting) -> str | None:
    if why := _lacks_samples(setting):
        return why
    architecture = setting.architecture.build_hidden()
    count = n_choices(architecture, signs=has_signs(architecture))
    if count > MOST_CHOICES:
        return f"takes at most {MOST_CHOICES:,} permutations (with signs), and these widths have {count:,}"
    return None


def _lacks_scalings(setting: Setting) -> str | None:
    architecture = setting.architecture
    if architecture.activation not in RESCALED or architecture.normalise or architecture.residual:
        return f"rescales units, which {', '.join(RESCALED)} allow, without normalise and residual"
    return None


def _canonical_exhaustive_lacks(setting: Setting) -> str | None:
    return _lacks_scalings(setting) or _exhaustive_lacks(setting)


def _matching_work(extent: Extent) -> Work:
    """Overlaps of all units of two networks in each sweep, and an assignment, cubic in the width."""
    widths = extent.architecture.widths[1:-1]
    overlaps = max(widths) * extent.architecture.n_parameters
    return Work(arrays=SWEEPS * (overlaps + sum(width**3 for width in widths)))


def _activations_work(extent: Extent) -> Work:
    """A forward pass of both networks, correlations of all units, and an assignment."""
    widths = extent.architecture.widths[1:-1]
    correlations = extent.n_train * sum(width**2 for width in widths)
    return Work(arrays=2 * extent.step + correlations + sum(width**3 for width in widths))


def _exhaustive_work(extent: Extent) -> Work:
    """A path for every choice."""
    count = n_choices(extent.architecture, signs=has_signs(extent.architecture))
    return Work(kernels=count * extent.n_alphas * extent.step)


def _twice_the_matching(extent: Extent) -> Work:
    return _matching_work(extent) + _matching_work(extent)


def _canonical_work(extent: Extent) -> Work:
    """Some hundred sweeps over the weights of both networks."""
    return Work(arrays=200.0 * extent.architecture.n_parameters)


ALIGNMENTS: dict[str, Alignment] = {
    alignment.name: alignment
    for alignment in (
        Alignment(
            name="weights",
            text="B's hidden units permuted (and flipped, for odd activations) so that its weights are near A's",
            phrase="after weight matching",
            mark=Mark("D", "after weight matching"),
            align=_weights,
            work=_matching_work,
            bounded=True,
        ),
        Alignment(
            name="activations",
            text="B's hidden units permuted so that their activations on the training samples correlate with A's",
            phrase="after activation matching",
            mark=Mark("s", "after activation matching"),
            align=_activations,
            work=_activations_work,
            lacks=_lacks_samples,
            bounded=True,
        ),
        Alignment(
            name="exhaustive",
            text="B's hidden units as the best of all permutations (and flips) has them: the least training barrier",
            phrase="after the best of all permutations (and signs, of odd activations)",
            mark=Mark("*", "best of all permutations"),
            align=_exhaustive,
            work=_exhaustive_work,
            lacks=_exhaustive_lacks,
        ),
        Alignment(
            name="reference",
            text="both ends matched by weights to the first network of their cell",
            phrase="after both ends were matched to one network",
            mark=Mark("<", "both matched to one network"),
            align=_reference,
            work=_twice_the_matching,
            of_many=True,
            frame=_frame_of_the_first,
        ),
        Alignment(
            name="cycle",
            text="both ends as they are when all networks of their cell are matched at once, to their common mean: "
            "matchings that agree around every cycle of networks",
            phrase="after cycle-consistent matching",
            mark=Mark("p", "after cycle-consistent matching"),
            align=_cycle,
            work=_twice_the_matching,
            of_many=True,
            frame=_frame_of_the_mean,
        ),
        Alignment(
            name="canonical",
            text="both ends' units rescaled so that their incoming and outgoing weights have one norm "
            "(relu, leaky_relu, identity)",
            phrase="after both ends were rescaled to equal incoming and outgoing norms",
            mark=Mark(">", "after rescaling"),
            align=_canonical,
            work=_canonical_work,
            lacks=_lacks_scalings,
            frame=canonical,
        ),
        Alignment(
            name="canonical_weights",
            text="both ends rescaled as by `canonical`, then B matched to A by weights",
            phrase="after both ends were so rescaled and then matched by weights",
            mark=Mark("P", "after rescaling and matching"),
            align=_canonical_weights,
            work=lambda extent: _canonical_work(extent) + _matching_work(extent),
            lacks=_lacks_scalings,
            bounded=True,
        ),
        Alignment(
            name="canonical_exhaustive",
            text="both ends rescaled as by `canonical`, then B's hidden units as the best of all permutations has them",
            phrase="after both ends were so rescaled and then permuted in the best of all ways",
            mark=Mark("X", "best permutation after rescaling"),
            align=_canonical_exhaustive,
            work=lambda extent: _canonical_work(extent) + _exhaustive_work(extent),
            lacks=_canonical_exhaustive_lacks,
        ),
    )
}
