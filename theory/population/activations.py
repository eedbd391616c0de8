"""The activations of population losses: names, and polynomials of any degree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from theory.arguments import Array, finite, known

CLOSED_FORM_ACTIVATIONS = ("identity", "relu", "leaky_relu", "erf", "square")  # their Gaussian moments have formulas
SERIES_ACTIVATIONS = (*CLOSED_FORM_ACTIVATIONS, "tanh", "gelu")


@dataclass(frozen=True)
class Polynomial:
    """The activation Σ_k coefficients[k] u^k.

    Raises:
        ValueError: there are no coefficients, or one is not finite.

    Example:
        >>> cubic = Polynomial((0.0, 1.0, 0.0, 2.0))  # u + 2u³
        >>> cubic.degree, float(cubic(np.array(2.0)))
        (3, 18.0)
    """

    coefficients: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = tuple(float(c) for c in finite("coefficients", self.coefficients).ravel())
        object.__setattr__(self, "coefficients", numbers)
        if not numbers:
            raise ValueError("coefficients is empty; a polynomial has at least one")

    @property
    def degree(self) -> int:
        return len(self.coefficients) - 1

    def __call__(self, u: Array) -> Array:
        return np.asarray(np.polynomial.polynomial.polyval(u, self.coefficients))


Activation = str | Polynomial

NAMED_POLYNOMIALS = {"identity": Polynomial((0.0, 1.0)), "square": Polynomial((0.0, 0.0, 1.0))}


def as_polynomial(activation: Activation) -> Polynomial | None:
    """A polynomial activation as a `Polynomial`; None for an activation that is none.

    Example:
        >>> as_polynomial("square").coefficients, as_polynomial("relu")
        ((0.0, 0.0, 1.0), None)
    """
    return activation if isinstance(activation, Polynomial) else NAMED_POLYNOMIALS.get(activation)


def degree(activation: Activation) -> int | None:
    """The degree of a polynomial activation, None of another.

    Example:
        >>> degree("square"), degree(Polynomial((1.0,))), degree("tanh")
        (2, 0, None)
    """
    polynomial = as_polynomial(activation)
    return None if polynomial is None else polynomial.degree


def known_activation(activation: Activation, kind: str = "activation") -> Activation:
    """`activation`, if it is a `Polynomial` or one of `SERIES_ACTIVATIONS`.

    Raises:
        ValueError: it is another; the message calls it `kind`.

    Example:
        >>> known_activation("gelu")
        'gelu'
    """
    return activation if isinstance(activation, Polynomial) else known(kind, activation, SERIES_ACTIVATIONS)
