"""How far siblings' path lies above its chord in the mean, to fourth order in how far they are spread; and that spread.

Ends θ_A = μ + a and θ_B = μ + b with a, b independent and of one law, E a = 0: siblings given their trunk. The path is
μ + w, w = (1 − α) a + α b, and with u = α(1 − α) the moments of w are, by (1−α)² + α² = 1 − 2u and so on,

    E w² = (1 − 2u) Σ        E w³ = (1 − 3u) M₃        E w⁴ = (1 − 4u + 2u²) M₄ + 6u² Σ⊗Σ (symmetrised).

Put into Taylor's series of L at μ, and less the chord (u = 0), the mean gap is, with H, T, F the loss's second to
fourth derivatives at μ,

    g(α) = −u tr(HΣ) − ½ u T:M₃ + (1/24) [(−4u + 2u²) F:M₄ + 6u² F:ΣΣ]
         = −u tr(HΣ) − ½ u(1 − u) F:ΣΣ            if a, b are Gaussian (M₃ = 0, F:M₄ = 3 F:ΣΣ).

The slope at μ does not enter, since E w = 0: nor does third order, in a Gaussian. It does enter about a minimum θ*,
where the mean is off by H m = −½ T:Σ so that tr(HΣ) is that at θ* plus T:Σ·m = −½ (T:Σ)ᵀH⁻¹(T:Σ); and by the skewness
M₃ of SGD's stationary law, of the same order η². So in a convex quadratic, F = 0, the gap is −u tr(HΣ) ≤ 0: no
barrier. One needs tr(HΣ) < 0, a mean on a ridge between the ends, or −F:ΣΣ as large as the curvature.

The spread itself has a closed form for a quadratic: SGD θ ← θ − η (Hθ + ξ), E ξξᵀ = C, answers a unit of noise in the
eigendirection of curvature λ, k steps later, by the response r_k(λ) = −η(1 − ηλ)ᵏ (with momentum β: of
v ← βv + λr, r ← r − ηv), and after n steps Σ_ij = C_ij Σ_{k<n} r_k(λ_i) r_k(λ_j) in H's eigenbasis. Directions
without curvature diffuse, Σ = n η² C, and those of negative curvature run away.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from theory.arguments import Array, check_symmetric, finite, is_whole, number, together
from theory.curves.polynomials import PolynomialCurve


def sibling_gap(
    curvature: ArrayLike, fourth: ArrayLike, *, skewness: ArrayLike = 0.0, fourth_moment: ArrayLike | None = None
) -> PolynomialCurve:
    """The mean of L(α) − [(1 − α) L(0) + α L(1)] to fourth order, a polynomial of degree 4; all arguments [n].

    Args:
        curvature: tr(HΣ).
        fourth: F:ΣΣ = Σ F_ijkl Σ_ij Σ_kl.
        skewness: T:M₃ = E T[a, a, a].
        fourth_moment: F:M₄ = E F[a, a, a, a]; None: 3 F:ΣΣ, that of a Gaussian.

    Raises:
        ValueError: shapes do not fit, or a number is not finite.

    Example:
        >>> sibling_gap([1.0], [0.0])([0.0, 0.5, 1.0]).tolist()  # a bowl: the middle lies ¼ tr(HΣ) below
        [[0.0, -0.25, 0.0]]
        >>> sibling_gap([0.0], [-1.0]).barrier().value.tolist()  # ½ · ¼ · ¾
        [0.09375]
    """
    c2, f22 = finite("curvature", curvature), finite("fourth", fourth)
    c3 = finite("skewness", skewness)
    m4 = 3 * f22 if fourth_moment is None else finite("fourth_moment", fourth_moment)
    c2, f22, c3, m4 = together(curvature=c2, fourth=f22, skewness=c3, fourth_moment=m4)
    c2, f22, c3, m4 = (np.atleast_1d(part) for part in (c2, f22, c3, m4))
    if c2.ndim != 1:
        raise ValueError(f"curvature, fourth and the others must be numbers or [n]; together they have {c2.shape}")
    of_u = -c2 - c3 / 2 - m4 / 6
    of_u2 = m4 / 12 + f22 / 4
    # u = α − α², u² = α² − 2α³ + α⁴
    return PolynomialCurve(np.stack([0 * c2, of_u, of_u2 - of_u, -2 * of_u2, of_u2], axis=1))


def quadratic_spread(
    hessian: ArrayLike, noise: ArrayLike, *, learning_rate: float, steps: int, momentum: float = 0.0
) -> Array:
    """Σ of one end after so many steps from a common point on a quadratic, [n_parameters, n_parameters].

    Args:
        hessian: H, symmetric [n_parameters, n_parameters].
        noise: C, the covariance of a step's gradient, of the same shape; of batches of b samples drawn with
            replacement, the covariance of one sample's gradient over b.
        learning_rate: η.
        steps: n, since the split.
        momentum: β of the heavy ball, v ← βv + gradient, θ ← θ − ηv.

    Raises:
        ValueError: shapes do not fit, a matrix is not symmetric, or a number is out of its range.
        OverflowError: the steps run away beyond what float64 holds (a rate beyond the stable ones).

    Example:
        >>> quadratic_spread([[0.0]], [[1.0]], learning_rate=0.1, steps=50).round(9)  # diffusion: 50 · 0.01
        array([[0.5]])
        >>> stationary = quadratic_spread([[1.0]], [[1.0]], learning_rate=0.1, steps=500)  # η/(λ(2 − ηλ))
        >>> bool(np.isclose(stationary[0, 0], 0.1 / 1.9))
        True
    """
    h, c = finite("hessian", hessian), finite("noise", noise)
    if h.ndim != 2 or h.shape[0] != h.shape[1] or c.shape != h.shape:
        raise ValueError(f"hessian has shape {h.shape} and noise {c.shape}; give two of [n_parameters, n_parameters]")
    for name, matrix in (("hessian", h), ("noise", c)):
        check_symmetric(name, matrix)
    rate, beta = number("learning_rate", learning_rate), number("momentum", momentum)
    if not rate > 0 or not 0 <= beta < 1 or steps < 0 or not is_whole(steps):
        raise ValueError(
            f"learning_rate {rate} must be above 0, momentum {beta} in [0, 1) and steps {steps} whole, at least 0"
        )
    steps = int(steps)
    rates, basis = np.linalg.eigh((h + h.T) / 2)
    responses = np.empty((steps, len(rates)))
    response, velocity = np.zeros(len(rates)), np.ones(len(rates))  # a unit of noise enters the velocity
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(steps):
            response = response - rate * velocity
            responses[k] = response
            velocity = beta * velocity + rates * response
        gain = responses.T @ responses
        spread = basis @ (basis.T @ c @ basis * gain) @ basis.T
    if not np.isfinite(spread).all():
        raise OverflowError(f"after {steps} steps of rate {rate} the spread is beyond float64; give fewer, or lower")
    return np.asarray(spread)
