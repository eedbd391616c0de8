"""Exact population loss of two-layer networks on Gaussian inputs, and its curve along straight paths.

x ~ N(μ, Σ), student f(x) = V σ(W x + b) + c, teacher f*(x) = A τ(W* x + b*) + c*. The pre-activations are jointly
Gaussian, with means m = W μ + b and covariances (order parameters, Saad & Solla 1995)

    Q = W Σ Wᵀ      R = W Σ W*ᵀ      T = W* Σ W*ᵀ

and the loss depends on the weights through them alone: with δ = c − c*, I the moments of `gaussian_moments`,
e = E σ(u), e* = E τ(u*),

    L = ½ E‖f − f*‖² = ½ tr(VᵀV I(Q)) + ½ tr(AᵀA I(T)) − tr(VᵀA I(R)ᵀ) + ½‖δ‖² + δ·(V e − A e*).

Along θ(α) = (1−α) θ_A + α θ_B all of these are polynomials in α (`path_terms`), so L(α) and dL/dα are exact at every α.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import Array
from theory.curves.smooth_curve import SmoothCurve
from theory.layers import Layers
from theory.population.activations import Activation
from theory.population.problem import PopulationProblem


def population_loss(
    student: Layers,
    teacher: Layers,
    activation: Activation,
    *,
    teacher_activation: Activation | None = None,
    covariance: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    negative_slope: float = 0.01,
) -> Array:
    """L = ½ E‖f(x) − f*(x)‖² of each student, [n_networks]. Arguments and errors as for `population_path`.

    Example:
        >>> student = [([[1.0, 0.0]], None), ([[2.0]], None)]  # 2 relu(x₁)
        >>> teacher = [([[0.0, 1.0]], None), ([[2.0]], None)]  # 2 relu(x₂)
        >>> loss = population_loss(student, teacher, "relu")  # ½ (4 · ½ + 4 · ½ − 2 · 4/2π)
        >>> bool(np.isclose(loss[0], 2 - 2 / np.pi))
        True
    """
    problem = PopulationProblem(
        student,
        student,
        teacher,
        activation,
        teacher_activation or activation,
        covariance=covariance,
        mean=mean,
        negative_slope=negative_slope,
    )
    return problem.evaluate(np.arange(problem.n_pairs), np.zeros((problem.n_pairs, 1)), False)[0][:, 0]


def population_path(
    a: Layers,
    b: Layers,
    teacher: Layers,
    activation: Activation,
    *,
    teacher_activation: Activation | None = None,
    covariance: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    negative_slope: float = 0.01,
    tol: float = 1e-6,
) -> SmoothCurve:
    """The exact curve L(α) = ½ E‖f_α(x) − f*(x)‖², x ~ N(mean, covariance), between networks a and b.

    L is a difference of sums: its absolute error is about 1e-15 Σ_ij |(VᵀV)_ij I_ij|, also where L is 0.

    Args:
        a: two layers, W_1 [n_pairs, width, n_inputs], b_1 [n_pairs, width] or None, W_2 [n_pairs, n_outputs, width],
            b_2 [n_pairs, n_outputs] or None; or a single network.
        b: the same architecture.
        teacher: two layers of any width with the same inputs and outputs; one for all pairs, or one each.
        activation: identity, square, relu, leaky_relu or erf (meaning erf(u/√2)), in closed form; a `Polynomial`,
            exact; or tanh or gelu, or relu with erf, by Hermite series.
        teacher_activation: the teacher's, if it differs.
        covariance: [n_inputs, n_inputs], symmetric positive semidefinite; None is the identity.
        mean: [n_inputs]; None is zero. Without it and first-layer biases, relu and erf are 20 times faster.
        negative_slope: that of every leaky relu.
        tol: how certain maxima are: L is nowhere higher than the one returned by more than tol max L (shown by
            `bounds`); 1e-12 takes twice the time of 1e-6.

    Returns:
        A curve of kind "exact"; with a series "approximate", and its `error` [n_pairs] is the estimate of
        `hermite_series` at both ends of the path.

    Raises:
        ValueError: shapes do not fit, an activation is unknown, the covariance is not one, a number is not finite or
            above 3.4e38 (powers of pre-activations that a `Polynomial` takes: beyond float64), or tol is not above 0.

    Example:
        >>> teacher = [([[1.0, 0.0], [0.0, 1.0]], None), ([[1.0, 1.0]], None)]  # relu(x₁) + relu(x₂)
        >>> swapped = [([[0.0, 1.0], [1.0, 0.0]], None), ([[1.0, 1.0]], None)]  # the same, units exchanged
        >>> barrier = population_path(teacher, swapped, teacher, "relu").barrier()
        >>> barrier.argmax.round(6).tolist()
        [0.5]
        >>> middle = [([[0.5, 0.5], [0.5, 0.5]], None), ([[1.0, 1.0]], None)]
        >>> bool(np.isclose(barrier.value[0], population_loss(middle, teacher, "relu")[0]))
        True
    """
    problem = PopulationProblem(
        a,
        b,
        teacher,
        activation,
        teacher_activation or activation,
        covariance=covariance,
        mean=mean,
        negative_slope=negative_slope,
    )
    curve = SmoothCurve(problem.n_pairs, problem.evaluate, bend=problem.bend, tol=tol)
    if problem.moments.n_terms:
        error = problem.series_error()
        if error.any():
            curve.kind = "approximate"
            curve.error = error
    return curve
