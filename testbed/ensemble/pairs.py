"""Which networks are joined by a path: siblings within families, independent pairs between them."""

from __future__ import annotations

import numpy as np


def sibling_pairs(families: int, siblings: int) -> np.ndarray:
    """All pairs within families, networks numbered family by family: int64 `[families · siblings (siblings − 1)/2, 2]`.

    >>> sibling_pairs(families=2, siblings=2).tolist()
    [[0, 1], [2, 3]]
    """
    first, second = np.triu_indices(siblings, 1)
    within = np.stack([first, second], 1)
    return (siblings * np.arange(families)[:, None, None] + within).reshape(-1, 2)


def independent_pairs(families: int, siblings: int, count: int, seed: int) -> np.ndarray:
    """`count` of the pairs between families, drawn without replacement: int64 `[count, 2]`, in rising order.

    A pair has a number: that of its two families, then those of both siblings, so that none is ever listed. ValueError
    if there are fewer than `count`.

    >>> independent_pairs(families=2, siblings=1, count=1, seed=0).tolist()
    [[0, 1]]
    """
    family_pairs = families * (families - 1) // 2
    total = family_pairs * siblings**2
    if count > total:
        raise ValueError(f"there are {total} independent pairs, {count} were asked for.")
    chosen = np.sort(np.random.default_rng(seed).choice(total, count, replace=False, shuffle=False))
    family_pair, sibling_pair = np.divmod(chosen, siblings**2)
    starts = np.concatenate([[0], np.cumsum(np.arange(families - 1, 0, -1))])  # family pairs (f, ·) begin at starts[f]
    first_family = np.searchsorted(starts, family_pair, side="right") - 1
    second_family = family_pair - starts[first_family] + first_family + 1
    first = first_family * siblings + sibling_pair // siblings
    second = second_family * siblings + sibling_pair % siblings
    return np.stack([first, second], 1).astype(np.int64).reshape(-1, 2)
