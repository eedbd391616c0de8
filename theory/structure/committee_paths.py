"""How many straight segments join two minima of a committee, and how often, if units choose their axes at random.

The minima are those of `sphere_teacher`: every unit of Σ_{i≤m} relu(w_i·x) has a type, the axis j ≤ M it lies on, or is
0; every axis has a unit. A segment between two minima has zero loss where no unit has different axes at its ends, so
that a chain A – C – … – B is a sequence of minima of which every two neighbours agree so. Any unit may be 0 in C as
long as each axis keeps one: it is enough to look at placements, one unit for each axis and all others 0.

Let units choose axes independently and alike, every axis being chosen: S(m, M) = Σ_k (−1)^k C(M, k) (M − k)^m
assignments. Two are equal, and joined by one segment, with probability 1/S. A centre C of n minima needs for every
axis a unit that has it in all n, and of the Mⁿ possibilities of a unit M are such:

    P(n minima have a common centre) = Σ_k (−1)^k C(M, k) (Mⁿ − k)^m / S(m, M)ⁿ

by inclusion and exclusion over the axes that have none. For n = 2 that is: joined by two segments (Lin, Li & Wu 2024).
It is exact for every m, and tends to 1 as m exceeds Mⁿ log M: wide committees have stars, and never straight lines.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.arguments import Array, finite, is_whole
from theory.structure.sphere_teacher import neuron_types

MOST_PLACEMENTS = 5000


def assignments(n_units: int, n_teacher: int) -> int:
    """S(m, M): ways in which m units choose M axes so that every axis is chosen.

    Example:
        >>> assignments(4, 2)  # 2⁴, without the two that leave an axis out
        14
    """
    m, axes = _sizes(n_units, n_teacher)
    return sum((-1) ** k * math.comb(axes, k) * (axes - k) ** m for k in range(axes + 1))


def straight_probability(n_units: int, n_teacher: int) -> Fraction:
    """That one segment joins two minima whose units chose their axes at random, 1/S.

    Example:
        >>> straight_probability(4, 2)
        Fraction(1, 14)
    """
    return Fraction(1, assignments(n_units, n_teacher))


def centre_probability(n_units: int, n_teacher: int, n_minima: int = 2) -> Fraction:
    """That n_minima minima whose units chose their axes at random have a common centre; of two: two segments join them.

    Example:
        >>> [round(float(centre_probability(m, 2)), 4) for m in (2, 8, 32)]
        [0.5, 0.8164, 0.9998]
        >>> centre_probability(2, 2, n_minima=3)  # all three alike
        Fraction(1, 4)
    """
    m, axes = _sizes(n_units, n_teacher)
    if n_minima < 1 or not is_whole(n_minima):
        raise ValueError(f"n_minima must be whole and at least 1, not {n_minima}")
    good = sum((-1) ** k * math.comb(axes, k) * (axes**n_minima - k) ** m for k in range(axes + 1))
    return Fraction(good, assignments(m, axes) ** n_minima)


def common_centre(minima: ArrayLike, n_teacher: int, *, tolerance: float = 1e-9) -> Array:
    """A minimum that zero-loss segments join to each of several, [n_sets, width, n_inputs]; NaN where there is none.

    Its units that have one axis in all of the set (or are 0 in some) share that axis alike, those that are 0 in all
    take axes that none has, the rest are 0.

    Args:
        minima: first layers [n_sets, n_minima, width, n_inputs].
        n_teacher: M ≤ n_inputs.
        tolerance: by how much an entry or a column sum may be off.

    Raises:
        ValueError: a network is no minimum, or shapes do not fit.

    Example:
        >>> one, other = [[1.0, 0.0], [0.0, 0.5], [0.0, 0.5]], [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
        >>> common_centre([[one, other]], 2)[0].tolist()
        [[1.0, 0.0], [0.0, 0.5], [0.0, 0.5]]
    """
    w = finite("minima", minima)
    if w.ndim != 4 or not w.shape[1]:
        raise ValueError(f"minima has shape {w.shape}; give [n_sets, n_minima, width, n_inputs], one minimum at least")
    n_sets, _, width, n_inputs = w.shape
    types = neuron_types(w.reshape(-1, width, n_inputs), n_teacher, tolerance=tolerance).reshape(w.shape[:3])
    centres = np.zeros((n_sets, width, n_inputs))
    for k in range(n_sets):
        units = _serves(types[k])
        free = list(np.flatnonzero(units == -1))
        for axis in range(n_teacher):
            having = np.flatnonzero(units == axis)
            if not having.size and free:
                having = np.array([free.pop()])
            if not having.size:
                centres[k] = np.nan
                break
            centres[k, having, axis] = 1 / having.size
    return centres


def least_segments(types_a: ArrayLike, types_b: ArrayLike, n_teacher: int) -> NDArray[np.int64]:
    """The least number of zero-loss segments that join two minima, [n_pairs]; 0: none do.

    Args:
        types_a: axis of each unit, −1 for 0, [n_pairs, width], as `neuron_types` gives them.
        types_b: the same.
        n_teacher: M.

    Raises:
        ValueError: shapes do not fit, an axis has no unit, or there are more placements than are searched.

    Example:
        >>> a, b = [[0, 1], [0, 1], [0, 1, 1]], [[0, 1], [1, 0], [1, 0, 0]]
        >>> least_segments(a[:2], b[:2], 2), least_segments(a[2:], b[2:], 2)  # a spare unit lets them change places
        (array([1, 0]), array([4]))
    """
    first, second = np.atleast_2d(finite("types_a", types_a)), np.atleast_2d(finite("types_b", types_b))
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"types_a has shape {first.shape} and types_b {second.shape}; give two of [n_pairs, width]")
    width, axes = _sizes(first.shape[1], n_teacher)
    for name, types in (("types_a", first), ("types_b", second)):
        if ((types != np.floor(types)) | (types < -1) | (types >= axes)).any():
            raise ValueError(f"{name} must hold whole numbers from -1 to {axes - 1}, the last of the axes")
        if any((types == axis).any(1).sum() < len(types) for axis in range(axes)):
            raise ValueError("a network has an axis without a unit, and is no minimum")
    if math.perm(width, axes) > MOST_PLACEMENTS:
        raise ValueError(
            f"{math.perm(width, axes)} placements of {axes} axes on {width} units; at most {MOST_PLACEMENTS}"
        )
    placements = np.array(list(itertools.permutations(range(width), axes)))  # [n, M]: the unit of each axis
    of_unit = np.full((len(placements), width), -1)
    np.put_along_axis(of_unit, placements, np.arange(axes)[None], 1)
    neighbours = _agree(of_unit[:, None], of_unit[None])
    found = np.zeros(len(first), dtype=np.int64)
    for pair, (one, other) in enumerate(zip(first, second, strict=True)):
        if _agree(one, other):
            found[pair] = 1
            continue
        reached, ends = _agree(of_unit, one), _agree(of_unit, other)
        segments = 2
        while not (reached & ends).any():
            further = reached | neighbours[reached].any(0)
            if (further == reached).all():
                segments = 0
                break
            reached, segments = further, segments + 1
        found[pair] = segments
    return found


def _agree(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether no unit has different axes; types [..., width]."""
    return np.asarray(((one == other) | (one < 0) | (other < 0)).all(axis=-1))


def _serves(types: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of types [n_minima, width] the axis that a unit may have in a centre, −1: any, −2: none, [width]."""
    most = types.max(0)
    agree = ((types == most) | (types < 0)).all(0)
    return np.where(agree, most, -2)


def _sizes(n_units: int, n_teacher: int) -> tuple[int, int]:
    if not 1 <= n_teacher <= n_units or not (is_whole(n_units) and is_whole(n_teacher)):
        raise ValueError(f"n_units {n_units} must be at least n_teacher {n_teacher}, that at least 1, and both whole")
    return int(n_units), int(n_teacher)
