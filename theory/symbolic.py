"""Derivations: formulas of this room arrived at from their definitions by sympy, step by step.

Each function returns a `Derivation`: the definition, the steps, and the result as a sympy expression in named symbols,
which prints as LaTeX (`str`) and becomes a numpy function (`function()`). They share no code with the numeric modules,
which the tests hold against them. Gaussian averages are taken monomial by monomial, E z^2k = (2k − 1)!!; sizes are
small, but the entries are free symbols.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from theory.arguments import known


@dataclass(frozen=True)
class Derivation:
    """A formula and how it was found.

    Attributes:
        statement: the result in words.
        steps: (what is done, the expression it gives), the definition first.
        symbols: the arguments of `function`, in order.
        result: the formula.

    Example:
        >>> derivation = derive("square-moment")
        >>> derivation.symbols, derivation.result
        ((c_11, c_12, c_22), c_11*c_22 + 2*c_12**2)
        >>> derivation.function()(2.0, 0.5, 3.0)
        6.5
    """

    statement: str
    steps: tuple[tuple[str, sp.Expr], ...]
    symbols: tuple[sp.Symbol, ...]
    result: sp.Expr

    def __str__(self) -> str:
        lines = [self.statement, ""]
        for text, expression in (*self.steps, ("result", self.result)):
            lines += [f"{text}:", f"    {sp.latex(expression)}"]
        return "\n".join(lines)

    def function(self) -> Callable[..., Any]:
        """The result as a function of `symbols`, on numpy arrays that broadcast."""
        return sp.lambdify(self.symbols, self.result, modules=np)


def gaussian_mean(expression: sp.Expr, *standard: sp.Symbol) -> sp.Expr:
    """E of a polynomial in independent standard normals.

    Args:
        expression: the polynomial.
        standard: its variables that are standard normal; all others are constants.

    Raises:
        ValueError: the expression is not a polynomial in them.

    Example:
        >>> z, a = sp.symbols("z a")
        >>> gaussian_mean(a * z**4 + z, z)
        3*a
    """
    if not expression.is_polynomial(*standard):
        raise ValueError(f"{expression} is not a polynomial in {', '.join(map(str, standard))}")
    total = sp.Integer(0)
    for powers, coefficient in sp.Poly(expression, *standard).terms():
        if all(power % 2 == 0 for power in powers):
            total += coefficient * sp.prod([sp.factorial2(power - 1) for power in powers])
    return sp.expand(total)


def _pair_moment(name: str, activation: Callable[[sp.Expr], sp.Expr]) -> Derivation:
    """E σ(u) σ(w) of a polynomial activation."""
    c11, c22 = sp.symbols("c_11 c_22", positive=True)
    c12 = sp.Symbol("c_12", real=True)
    z, w = sp.symbols("z_1 z_2", real=True)
    first, second = sp.sqrt(c11) * z, c12 / sp.sqrt(c11) * z + sp.sqrt(c22 - c12**2 / c11) * w
    product = activation(first) * activation(second)
    return Derivation(
        f"E σ(u) σ(w) for σ = {name} and (u, w) Gaussian with covariances c₁₁, c₁₂, c₂₂ (Isserlis 1918)",
        (("σ(u) σ(w) with u and w written in independent standard normals", product), ("expanded", sp.expand(product))),
        (c11, c12, c22),
        sp.factor_terms(sp.simplify(gaussian_mean(sp.expand(product), z, w))),
    )


def identity_moment() -> Derivation:
    """E u w = c₁₂.

    Example:
        >>> identity_moment().result
        c_12
    """
    return _pair_moment("identity", lambda u: u)


def square_moment() -> Derivation:
    """E u² w² = c₁₁ c₂₂ + 2 c₁₂².

    Example:
        >>> square_moment().result
        c_11*c_22 + 2*c_12**2
    """
    return _pair_moment("square", lambda u: u**2)


def square_population() -> Derivation:
    """L = ½ E(xᵀ D x)² = ‖D‖_F² + ½ (tr D)², D = M − M*, M = Wᵀ diag(v) W, x ~ N(0, I), for three inputs.

    Example:
        >>> square_population().function()(1.0, 0.0, 0.0, 1.0, 0.0, 1.0)  # D = 1: 3 + 9/2
        7.5
    """
    x = sp.Matrix(sp.symbols("x_1:4", real=True))
    entries = sp.symbols("d_11 d_12 d_13 d_22 d_23 d_33", real=True)
    d11, d12, d13, d22, d23, d33 = entries
    d = sp.Matrix([[d11, d12, d13], [d12, d22, d23], [d13, d23, d33]])
    form = (x.T * d * x)[0]
    mean = gaussian_mean(sp.expand(form**2), *x) / 2
    formula = sum(entry**2 for entry in d) + d.trace() ** 2 / 2
    _agree(mean, formula)
    return Derivation(
        "Population loss of two layers of squares, D = Wᵀ diag(v) W − W*ᵀ diag(a) W*, x ~ N(0, I), three inputs",
        (("f − f*", form), ("½ E (f − f*)², term by term", mean)),
        entries,
        formula,
    )


def linear_population() -> Derivation:
    """L = ½ E‖D x‖² = ½ tr(D Σ Dᵀ), D = M − M*, x = F z ~ N(0, Σ = F Fᵀ), for two inputs and two outputs.

    Example:
        >>> linear_population().function()(1.0, 0.0, 0.0, 1.0, 2.0, 0.5, 4.0)  # D = 1: ½ tr Σ
        3.0
    """
    z = sp.Matrix(sp.symbols("z_1 z_2", real=True))
    d = sp.Matrix(2, 2, sp.symbols("d_11 d_12 d_21 d_22", real=True))
    a, b, c = sp.symbols("f_11 f_21 f_22", real=True)
    factor = sp.Matrix([[a, 0], [b, c]])
    gap = d * factor * z
    mean = gaussian_mean(sp.expand((gap.T * gap)[0]), *z) / 2
    s11, s12, s22 = sp.symbols("s_11 s_12 s_22", real=True)
    sigma = sp.Matrix([[s11, s12], [s12, s22]])
    formula = sp.expand((d * sigma * d.T).trace() / 2)
    _agree(mean, formula.subs({s11: a**2, s12: a * b, s22: b**2 + c**2}, simultaneous=True))
    return Derivation(
        "Population loss of linear networks, D = W_L ⋯ W_1 − M*, x ~ N(0, Σ), two inputs and outputs",
        (("D x with x = F z and Σ = F Fᵀ", gap.T), ("½ E‖D x‖², term by term", mean)),
        (*d, s11, s12, s22),
        formula,
    )


def linear_path() -> Derivation:
    """W₃(α) W₂(α) W₁(α) is a polynomial of degree three in α; for width one the loss ½ s (… − m)² has degree six.

    Example:
        >>> path = linear_path()
        >>> sp.degree(path.result, path.symbols[0])
        6
    """
    alpha, m, s = sp.symbols("alpha m s", real=True)
    matrices = [sp.Symbol(name, commutative=False) for name in ("A_3", "A_2", "A_1")]
    changes = [sp.Symbol(name, commutative=False) for name in ("D_3", "D_2", "D_1")]
    product = sp.expand(sp.prod([sp.Add(a, alpha * d) for a, d in zip(matrices, changes, strict=True)]))
    a, b = sp.symbols("a_1:4", real=True), sp.symbols("b_1:4", real=True)
    scalar = sp.prod([(1 - alpha) * first + alpha * second for first, second in zip(a, b, strict=True)])
    return Derivation(
        "The path between linear networks of depth three: matrices A_l + α D_l, "
        "then the loss for width one, E x² = s and target m x",
        (("the end-to-end map", product), ("for width one, from a to b", scalar)),
        (alpha, *a, *b, m, s),
        s * (scalar - m) ** 2 / 2,
    )


def depth_two_barrier() -> Derivation:
    """L(α) = ½ α²(1 − α)² N between exact solutions of depth two: the barrier is N/32, at α = ½.

    N = ‖ΔW₂ ΔW₁ Σ^½‖_F².

    Example:
        >>> depth_two_barrier().result
        N/32
    """
    alpha, n = sp.Symbol("alpha", real=True), sp.Symbol("N", positive=True)
    a1, a2, b1, b2, m = (sp.Symbol(name, commutative=False) for name in ("A_1", "A_2", "B_1", "B_2", "M"))
    exact = {a2 * a1: m, b2 * b1: m}
    gap = sp.expand(((1 - alpha) * a2 + alpha * b2) * ((1 - alpha) * a1 + alpha * b1) - m).subs(exact)
    change = sp.expand((b2 - a2) * (b1 - a1)).subs(exact)
    _agree(gap, -alpha * (1 - alpha) * change)
    loss = alpha**2 * (1 - alpha) ** 2 * n / 2
    stationary = sp.solve(sp.diff(loss, alpha), alpha)
    best = max(stationary, key=lambda point: loss.subs(alpha, point) / n)
    if best != sp.Rational(1, 2):
        raise ArithmeticError(f"the maximum lies at {best}, not at ½")
    return Derivation(
        "Barrier between two exact linear networks of depth two, A₂A₁ = B₂B₁ = M, with N = ‖(B₂ − A₂)(B₁ − A₁) Σ^½‖_F²",
        (
            ("W₂(α) W₁(α) − M, with A₂A₁ = B₂B₁ = M put in", gap),
            ("which is −α(1 − α) (B₂ − A₂)(B₁ − A₁), so that L(α)", loss),
            ("stationary points", sp.Tuple(*stationary)),
        ),
        (n,),
        loss.subs(alpha, best),
    )


def sibling_gap() -> Derivation:
    """E L(α) less the chord, ends μ + a and μ + b with independent a, b ~ N(0, σ), L a quartic of one parameter.

    Example:
        >>> gap = sibling_gap()
        >>> sp.factor(gap.result.subs({gap.symbols[2]: 0}))  # a parabola: −α(1 − α) h σ
        alpha*h*sigma*(alpha - 1)
    """
    alpha, g, h, t, f = sp.symbols("alpha g h t f", real=True)
    sigma = sp.Symbol("sigma", positive=True)
    a, b = sp.symbols("z_1 z_2", real=True)
    w = sp.sqrt(sigma) * ((1 - alpha) * a + alpha * b)
    series = g * w + h * w**2 / 2 + t * w**3 / 6 + f * w**4 / 24
    mean = gaussian_mean(sp.expand(series), a, b)
    gap = sp.expand(mean - (1 - alpha) * mean.subs(alpha, 0) - alpha * mean.subs(alpha, 1))
    u = alpha * (1 - alpha)
    formula = -u * h * sigma - u * (1 - u) / 2 * f * sigma**2
    _agree(gap, formula)
    return Derivation(
        "Mean gap of siblings: ends spread by independent Gaussians of variance σ about one mean, "
        "with the loss's derivatives g, h, t, f there",
        (("L(μ + (1 − α) a + α b) − L(μ)", series), ("its mean: g and t are gone", mean), ("less the chord", gap)),
        (alpha, h, f, sigma),
        formula,
    )


DERIVATIONS: dict[str, Callable[[], Derivation]] = {
    "identity-moment": identity_moment,
    "square-moment": square_moment,
    "square-population": square_population,
    "linear-population": linear_population,
    "linear-path": linear_path,
    "depth-two-barrier": depth_two_barrier,
    "sibling-gap": sibling_gap,
}


def derive(name: str) -> Derivation:
    """The derivation of this name, one of `DERIVATIONS`.

    Raises:
        ValueError: there is none; the message has the nearest name.

    Example:
        >>> print(derive("identity-moment"))  # doctest: +ELLIPSIS
        E σ(u) σ(w) for σ = identity and (u, w) Gaussian with covariances c₁₁, c₁₂, c₂₂ (Isserlis 1918)
        ...
        result:
            c_{12}
    """
    return DERIVATIONS[known("derivation", name, DERIVATIONS)]()


def _agree(found: sp.Expr, formula: sp.Expr) -> None:
    """ArithmeticError unless the two are the same expression."""
    if sp.expand(found - formula) != 0:
        raise ArithmeticError(f"the derivation arrives at {found}, not at {formula}")
