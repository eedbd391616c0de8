"""Which networks are joined by a path: siblings within families, independent pairs between them."""

from __future__ import annotations

import numpy as np


def sibling_pairs(families: int, siblings: int) -> np.ndarray:
    """All pairs within families: int64 `[families · siblings (siblings − 1)/2, 2]`, networks numbered family by family."""
    first, second = np.triu_indices(siblings, 1)
    within = np.stack([first, second], 1)
    return (siblings * np.arange(families)[:, None, None] + within).reshape(-1, 2)


def independent_pairs(families: int, siblings: int, count: int, seed: int) -> np.ndarray:
    """`count` of the pairs between families, drawn without replacement from all of them: int64 `[count, 2]`, in rising order.

    A pair's number is (number of the family pair, sibling of the one, sibling of the other), so that none is ever listed.
    ValueError if there are fewer than `count`.
    """
    family_pairs = families * (families - 1) // 2
    total = family_pairs * siblings**2
    if count > total:
        raise ValueError(f"there are {total} independent pairs, {count} were asked for.")
    chosen = np.sort(np.random.default_rng(seed).choice(total, count, replace=False, shuffle=False))
    family_pair, which = np.divmod(chosen, siblings**2)
    starts = np.concatenate([[0], np.cumsum(np.arange(families - 1, 0, -1))])  # family pairs (f, ·) begin at starts[f]
    first = np.searchsorted(starts, family_pair, side="right") - 1
    second = family_pair - starts[first] + first + 1
    return (
        np.stack([first * siblings + which // siblings, second * siblings + which % siblings], 1)
        .astype(np.int64)
        .reshape(-1, 2)
    )
