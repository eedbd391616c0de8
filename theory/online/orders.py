"""How often two correlated students end in different orders of the teacher's units.

Let the order that a student of K units ends in be the best assignment of a K × K matrix X of specialisations, argmax
over permutations π of Σ_i X_iπ(i), and let the matrices of two students have standard normal entries, independent of
each other but for a correlation ρ = cos θ between the students. (Means of rows and columns say nothing of the order.)

With U, W independent the pair U cos φ + W sin φ, and the same at φ + θ, is such a pair for every φ, so that φ may be
averaged over exactly: the order at φ is that vertex of the convex hull of the K! points (Σ_i U_iπ(i), Σ_i W_iπ(i))
which is farthest in the direction φ, and a vertex of exterior angle ℓ is the order at both for a share (ℓ − θ)₊ / 2π:

    P(different) = 1 − E Σ_vertices (ℓ − θ)₊ / 2π,

the hull being a random projection of the Birkhoff polytope to the plane. Two units have two vertices with ℓ = π, which
gives arccos(ρ)/π (Sheppard 1898); independent students 1 − 1/K!; small θ the mean number of vertices, times θ/2π.

With three units on one side and two on the other X is (u, −u), where u has three entries whose sum is 0: an isotropic
vector in a plane. An order maps the three units onto the two, and each has the sector of π/3 in which u has its signs.
The angle δ between two planar normal vectors of correlation ρ has P(|δ| ≤ x) = [x + ρ sin x arccos(−ρ cos x) /
√(1 − ρ² cos² x)] / π, and both are in one of n sectors of L = 2π/n for a share E (1 − |δ|/L)₊, whose integral is

    P(different) = 1 − n/4π² · [L² + arccos²(−ρ) − arccos²(−ρ cos L)],

for n = 2 Sheppard's again, for independent students 1 − 1/n.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm, qmc

from theory.arguments import Array, finite

POINTS = {3: 2**14, 4: 2**12}  # of a scrambled Sobol sequence, by the number of units
SECTORS = {(2, 2): 2, (2, 3): 6, (3, 2): 6}  # of orders that are sectors of a line or a plane


def different_order_probability(correlation: ArrayLike, n_units: int, n_targets: int | None = None) -> Array:
    """P(different) of the module, in the shape of `correlation`.

    Exact where there are two units on a side; else an average over a fixed Sobol sequence, whose relative standard
    deviation between scrambles is 0.06 % for three units and 0.25 % for four.

    Args:
        correlation: ρ in [−1, 1].
        n_units: K, 2 to 4, of the student.
        n_targets: of the teacher, K if it is not given; three for two units, and two for three, go as well.

    Raises:
        ValueError: there is no such correlation, or other numbers of units.

    Example:
        >>> different_order_probability([0.0, 0.5, 1.0], 2).round(6)
        array([0.5     , 0.333333, 0.      ])
        >>> different_order_probability([0.0, 0.9], 3).round(3)
        array([0.833, 0.306])
        >>> different_order_probability([0.0, 0.9], 3, 2).round(3)
        array([0.833, 0.364])
    """
    rho = finite("correlation", correlation)
    if (np.abs(rho) > 1).any():
        raise ValueError("correlation must lie between -1 and 1")
    sides = n_units, n_units if n_targets is None else n_targets
    if sides in SECTORS:
        return _in_different_sectors(rho, SECTORS[sides])
    if sides[0] != sides[1] or n_units not in POINTS:
        raise ValueError(
            f"the probability of different orders is here for 2 to {max(POINTS)} units in student and teacher, or 2 in "
            f"one and 3 in the other, not {sides[0]} and {sides[1]}"
        )
    exterior = _exterior_angles(n_units)
    both = [np.maximum(exterior - theta, 0.0).sum(axis=1).mean() for theta in np.arccos(rho).ravel()]
    return np.asarray(1 - np.array(both).reshape(rho.shape) / (2 * np.pi))


def _in_different_sectors(rho: Array, n_sectors: int) -> Array:
    """That two planar normal vectors of correlation ρ lie in different ones of n equal sectors."""
    angle = 2 * np.pi / n_sectors
    squares = angle**2 + np.arccos(-rho) ** 2 - np.arccos(-rho * np.cos(angle)) ** 2
    return np.asarray(1 - squares / (angle * 2 * np.pi))


def _exterior_angles(n_units: int) -> Array:
    """ℓ of every order in random projections, 0 where its point is inside the hull, [POINTS, K!]."""
    one = n_units - 1
    sequence = qmc.Sobol(2 * one**2, seed=0).random(POINTS[n_units])
    normal = norm.ppf(sequence.clip(1e-12, 1 - 1e-12)).reshape(-1, 2, one, one)
    # columns are orthonormal, and orthogonal to (1, …, 1): matrices without means of rows and columns
    basis = np.linalg.qr(np.column_stack([np.ones(n_units), np.eye(n_units, one)]))[0][:, 1:]
    matrices = basis @ normal @ basis.T
    orders = np.array(list(itertools.permutations(range(n_units))))
    x, y = np.moveaxis(matrices[:, :, np.arange(n_units), orders].sum(axis=3), 1, 0)  # [POINTS, K!] each
    # a point is farthest in the directions within π/2 of those from all others to it: an arc of π less their spread
    toward = np.arctan2(y[:, :, None] - y[:, None], x[:, :, None] - x[:, None])
    n_orders = len(orders)
    toward = np.sort(toward[:, ~np.eye(n_orders, dtype=bool)].reshape(-1, n_orders, n_orders - 1), axis=2)
    gaps = np.diff(toward, axis=2, append=toward[:, :, :1] + 2 * np.pi)
    return np.maximum(gaps.max(axis=2) - np.pi, 0.0)
