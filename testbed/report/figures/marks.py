"""How pairs, alignments and other measures look in every figure: colours, marks and names."""

from __future__ import annotations

from typing import Any

COLORS = {"independent": "C1", "siblings": "C0"}
MARKS = {"independent": "o", "siblings": "s"}
PAIRS = {"independent": "independent pairs", "siblings": "sibling pairs"}
POINTS: dict[str, Any] = {"s": 5, "alpha": 0.4, "lw": 0, "rasterized": True}

# by what stands before the name of a barrier's column
ALIGNMENTS = {
    "": ("o", "as trained"),
    "weights_": ("D", "after weight matching"),
    "activations_": ("s", "after activation matching"),
}
ALIGNMENTS |= {
    "exhaustive_": ("*", "best of all permutations"),
    "canonical_weights_": ("P", "after rescaling and matching"),
}
BESIDE = {
    "bend_": ("^", "over a trained bend"),
    "star_": ("v", "over a star's centre"),
    "calibrated_": ("x", "at the best temperature"),
}
