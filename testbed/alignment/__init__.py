"""Bringing one network near another without changing its function: matching, exhaustive search, rescaling.

`ALIGNMENTS` holds what a study may ask for by name; the functions are for arrays of networks. A network that diverged
cannot be matched: whatever compares units refuses it by its row, and a study leaves its pairs out beforehand.
"""

from testbed.alignment.canonical import RESCALED, canonical
from testbed.alignment.exhaustive import MOST_CHOICES, exhaustive, n_choices
from testbed.alignment.matching import match_activations, match_weights, to_reference
from testbed.alignment.merging import match_all
from testbed.alignment.registry import ALIGNMENTS
from testbed.alignment.symmetries import ODD, groups, has_signs, permute
from testbed.pair_set import Aligned

__all__ = [
    "ALIGNMENTS",
    "MOST_CHOICES",
    "ODD",
    "RESCALED",
    "Aligned",
    "canonical",
    "exhaustive",
    "groups",
    "has_signs",
    "match_activations",
    "match_all",
    "match_weights",
    "n_choices",
    "permute",
    "to_reference",
]
