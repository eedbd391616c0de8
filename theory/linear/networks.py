"""Linear networks of any depth along straight paths: polynomials; and gradient descent on linear regression.

With every layer W_l(α) = (1−α) W_l^A + α W_l^B the end-to-end map M(α) = W_L(α) … W_1(α) (with biases: an affine map,
written on inputs augmented by a 1) is a matrix polynomial of degree L, so the squared loss

    L(α) = ½ E‖M(α) x − y‖² = ½ tr[ M(α) E[x xᵀ] M(α)ᵀ ] − tr[ M(α) E[x yᵀ] ] + ½ tr E[y yᵀ]

is a polynomial of degree 2L that knows the data by its second moments only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import Array, check_symmetric, finite
from theory.curves.polynomials import PolynomialCurve
from theory.layers import CheckedLayers, Layers, check_layers, check_pairs, covariance_factor, n_networks
from theory.shown import Short


@dataclass(frozen=True, repr=False)
class SecondMoments(Short):
    """Moments of a data set or distribution, all that the squared loss of a linear map depends on.

    Attributes:
        xx: E x xᵀ (not centred) [n_inputs, n_inputs].
        xy: E x yᵀ [n_inputs, n_outputs].
        yy: E y yᵀ [n_outputs, n_outputs].
        x_mean: E x [n_inputs].
        y_mean: E y [n_outputs].

    Raises:
        ValueError: shapes do not fit, xx or yy is not symmetric, or a number is not finite.

    Example:
        >>> moments = SecondMoments.from_data([[1.0], [3.0]], [[2.0], [0.0]])
        >>> moments.xx.tolist(), moments.xy.tolist(), moments.y_mean.tolist()
        ([[5.0]], [[1.0]], [1.0])
    """

    xx: Array
    xy: Array
    yy: Array
    x_mean: Array
    y_mean: Array

    def __post_init__(self) -> None:
        for name in ("xx", "xy", "yy", "x_mean", "y_mean"):
            object.__setattr__(self, name, finite(name, getattr(self, name)))
        d, o = self.x_mean.size, self.y_mean.size
        shapes = {"xx": (d, d), "xy": (d, o), "yy": (o, o), "x_mean": (d,), "y_mean": (o,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"{name} has shape {getattr(self, name).shape}; "
                    f"with {d} inputs (x_mean) and {o} outputs (y_mean) give {list(shape)}"
                )
        for name, matrix in (("xx", self.xx), ("yy", self.yy)):
            check_symmetric(name, matrix)

    @classmethod
    def from_data(cls, x: ArrayLike, y: ArrayLike) -> SecondMoments:
        """Moments of samples x [n_samples, n_inputs] and y [n_samples, n_outputs], one at least."""
        inputs, targets = finite("x", x), finite("y", y)
        if inputs.ndim != 2 or targets.ndim != 2 or len(inputs) != len(targets) or len(inputs) == 0:
            raise ValueError(
                f"x has shape {inputs.shape} and y {targets.shape}; give [n_samples, "
                "n_inputs] and [n_samples, n_outputs] with the same samples, one at least"
            )
        n = len(inputs)
        return cls(
            inputs.T @ inputs / n,
            inputs.T @ targets / n,
            targets.T @ targets / n,
            inputs.mean(axis=0),
            targets.mean(axis=0),
        )

    @classmethod
    def gaussian_teacher(
        cls, covariance: ArrayLike | None, teacher_layers: Layers, mean: ArrayLike | None = None
    ) -> SecondMoments:
        """Moments of x with this mean and covariance, and of y the output of one linear network.

        Args:
            covariance: [n_inputs, n_inputs]; None is the identity.
            teacher_layers: one network.
            mean: [n_inputs]; None is zero.

        Raises:
            ValueError: there are several teachers, or the covariance is not one.
        """
        teacher = check_layers(teacher_layers, "teacher_layers")
        if n_networks(teacher) != 1:
            raise ValueError(f"teacher_layers holds {n_networks(teacher)} networks; give one")
        d = teacher[0][0].shape[2]
        factor = covariance_factor(covariance, d)
        centre = np.zeros(d) if mean is None else finite("mean", mean)
        if centre.shape != (d,):
            raise ValueError(f"mean has shape {centre.shape}; give [{d}]")
        affine = _end_to_end(teacher, teacher)[0, 0]  # [n_outputs, n_inputs + 1]
        weight, bias = affine[:, :-1], affine[:, -1]
        xx = factor @ factor.T + np.outer(centre, centre)
        y_mean = weight @ centre + bias
        spread = weight @ factor
        return cls(
            xx, xx @ weight.T + np.outer(centre, bias), spread @ spread.T + np.outer(y_mean, y_mean), centre, y_mean
        )


def linear_path(a: Layers, b: Layers, second_moments: SecondMoments) -> PolynomialCurve:
    """The exact curve ½ E‖f_α(x) − y‖² between linear networks a and b of any depth L, of degree 2L in α.

    Args:
        a: any number of layers, W_l [n_pairs, fan_out, fan_in], b_l [n_pairs, fan_out] or None; or a single network.
        b: the same architecture.
        second_moments: of the data.

    Raises:
        ValueError: shapes do not fit each other or the moments, or a number is not finite.

    Example:
        >>> moments = SecondMoments.gaussian_teacher(None, [([[1.0]], None)])  # y = x
        >>> a, b = [([[1.0]], None), ([[1.0]], None)], [([[-1.0]], None), ([[-1.0]], None)]
        >>> linear_path(a, b, moments).coefficients.tolist()  # ½ ((1 − 2α)² − 1)² = 8α²(1 − α)²
        [[0.0, 0.0, 8.0, -16.0, 8.0]]
    """
    first, second, _ = check_pairs(a, b)
    moments = second_moments
    sizes = first[0][0].shape[2], first[-1][0].shape[1]
    if sizes != moments.xy.shape:
        raise ValueError(
            f"second_moments are of {moments.xy.shape[0]} inputs and {moments.xy.shape[1]} "
            f"outputs, the networks have {sizes[0]} and {sizes[1]}; they must agree"
        )
    maps = _end_to_end(first, second)  # [n_pairs, L + 1, n_outputs, n_inputs + 1]
    xx = np.block([[moments.xx, moments.x_mean[:, None]], [moments.x_mean[None, :], np.ones((1, 1))]])
    xy = np.concatenate([moments.xy, moments.y_mean[None, :]])
    spread = maps @ xx
    depth = maps.shape[1] - 1
    coefficients = np.zeros((len(maps), 2 * depth + 1))
    coefficients[:, 0] = np.trace(moments.yy) / 2
    for p in range(depth + 1):
        coefficients[:, p] -= np.einsum("noi,io->n", maps[:, p], xy)
        for q in range(depth + 1):
            coefficients[:, p + q] += np.einsum("noi,noi->n", spread[:, p], maps[:, q]) / 2
    return PolynomialCurve(coefficients)


def _end_to_end(a: CheckedLayers, b: CheckedLayers) -> Array:
    """Coefficients in α of the affine map [M | c] along the path, for f(x) = M x + c.

    [n_pairs, L + 1, n_outputs, n_inputs + 1].
    """
    n = max(n_networks(a), n_networks(b))
    d = a[0][0].shape[2]
    maps = np.broadcast_to(np.eye(d, d + 1), (n, 1, d, d + 1))
    for (weight, bias), (weight_b, bias_b) in zip(a, b, strict=True):
        longer = np.zeros((n, maps.shape[1] + 1, weight.shape[1], d + 1))
        longer[:, :-1] = weight[:, None] @ maps
        longer[:, 1:] += (weight_b - weight)[:, None] @ maps
        if bias is not None and bias_b is not None:
            longer[:, 0, :, -1] += bias
            longer[:, 1, :, -1] += bias_b - bias
        maps = longer
    return maps


def depth_two_barrier(a: Layers, b: Layers, covariance: ArrayLike | None = None, *, tolerance: float = 1e-8) -> Array:
    """Barrier ‖ΔW₂ ΔW₁ Σ^½‖_F² / 32 between two exact solutions of depth two, [n_pairs]; attained at α = ½.

    Exact means W₂W₁ = M* at both endpoints, where y = M* x and E x xᵀ = Σ. Then M(α) − M* = −α(1−α) ΔW₂ ΔW₁, by
    expanding the product, and L(α) = ½ α²(1−α)² ‖ΔW₂ ΔW₁ Σ^½‖_F²: the same barrier under all four definitions.

    Args:
        a: two layers without biases, [n_pairs, ...] or single.
        b: the same architecture.
        covariance: Σ [n_inputs, n_inputs], the second moment of the inputs; None is the identity.
        tolerance: of the difference between the end-to-end maps, in units of their norms.

    Raises:
        ValueError: the end-to-end maps of the endpoints differ, so that they cannot both be exact; there are biases; or
            shapes do not fit.

    Example:
        >>> a, b = [([[1.0]], None), ([[1.0]], None)], [([[-1.0]], None), ([[-1.0]], None)]
        >>> depth_two_barrier(a, b)  # (2 · 2)²/32
        array([0.5])
    """
    first, second, _ = check_pairs(a, b, depth=2)
    if any(bias is not None for _, bias in first):
        raise ValueError("a or b has biases; this result holds for layers without, use linear_path")
    (w1, _), (w2, _) = first
    dw1, dw2 = second[0][0] - w1, second[1][0] - w2
    map_a, map_b = w2 @ w1, second[1][0] @ second[0][0]
    gap = np.linalg.norm(map_a - map_b, axis=(1, 2))
    scale = np.linalg.norm(w2, axis=(1, 2)) * np.linalg.norm(w1, axis=(1, 2))
    n_inexact = int((gap > tolerance * scale).sum())
    if n_inexact > 0:
        raise ValueError(
            f"the endpoints of {n_inexact} pairs are not both exact: their end-to-end maps "
            f"differ by up to {gap.max():.3g}; use linear_path, which needs no exact endpoints"
        )
    product = dw2 @ dw1 @ covariance_factor(covariance, w1.shape[2])
    return np.asarray((product**2).sum(axis=(1, 2)) / 32)


def gradient_descent_solution(
    w0: ArrayLike, hessian: ArrayLike, w_star: ArrayLike, lr: ArrayLike, steps: ArrayLike
) -> Array:
    """w_t = w* + (I − η H)^t (w_0 − w*): full-batch gradient descent on ½ (w − w*)ᵀ H (w − w*).

    Computed through the eigenvectors of H; there is no condition on η (the descent may diverge).

    Args:
        w0: [..., d].
        hessian: H [d, d], symmetric.
        w_star: w* [..., d].
        lr: η, a scalar, or [...] with one learning rate for each run.
        steps: whole numbers, a scalar or [n_steps].

    Returns:
        [..., d] after a scalar number of steps, [n_steps, ..., d] after several.

    Raises:
        ValueError: shapes do not fit, H is not symmetric, or steps are negative or not whole.

    Example:
        >>> gradient_descent_solution([1.0], [[1.0]], [3.0], 0.5, [0, 1, 2]).ravel()  # halves the distance to 3
        array([1. , 2. , 2.5])
    """
    start, target = finite("w0", w0), finite("w_star", w_star)
    h = finite("hessian", hessian)
    d = start.shape[-1] if start.ndim else 1
    if not start.ndim or h.shape != (d, d) or target.shape[-1:] != (d,):
        raise ValueError(
            f"hessian has shape {h.shape} and w_star {target.shape}; "
            f"with w0 {start.shape} give [{d}, {d}] and [..., {d}]"
        )
    check_symmetric("hessian", h)
    t = finite("steps", steps)
    if (t < 0).any() or (t != np.floor(t)).any() or t.ndim > 1:
        raise ValueError("steps must be whole numbers of at least 0, one or [n_steps]")
    values, vectors = np.linalg.eigh((h + h.T) / 2)
    factor = 1 - finite("lr", lr)[..., None] * values
    away = (start - target) @ vectors
    powers = factor ** t.reshape(t.shape + (1,) * max(factor.ndim, away.ndim))
    return np.asarray(target + (powers * away) @ vectors.T)
