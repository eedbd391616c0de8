"""Bringing one network near another without changing its function: matching, exhaustive search, rescaling."""

from testbed.alignment.matching import (
    ODD,
    RESCALED,
    Aligned,
    canonical,
    exhaustive,
    groups,
    match_activations,
    match_weights,
    n_choices,
    permute,
    to_reference,
)

__all__ = [
    "ODD",
    "RESCALED",
    "Aligned",
    "canonical",
    "exhaustive",
    "groups",
    "match_activations",
    "match_weights",
    "n_choices",
    "permute",
    "to_reference",
]
