"""Ticks of an axis: round numbers, and labels that differ."""

from __future__ import annotations

import math

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most `most` round numbers from low to high, evenly apart; 0 and 1 where there is no room between these.

    >>> ticks(0, 0.9)
    [0.0, 0.2, 0.4, 0.6, 0.8]
    """
    if not high > low:
        return [0.0, 1.0]
    least = (high - low) / most
    power = 10.0 ** math.floor(math.log10(least))
    step = next(step * power for step in STEPS if step * power >= least * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)][: most + 1]


def labels(values: list[float]) -> list[str]:
    """The ticks as text, with as many digits as tell them apart.

    >>> labels([0.0, 0.25, 0.5]), labels([0.0, 2e-06, 4e-06]), labels([0.2, 0.25, 0.3])
    (['0', '0.25', '0.5'], ['0', '2e-6', '4e-6'], ['0.2', '0.25', '0.3'])
    """
    for digits in range(1, 17):
        texts = [_plain(f"{value:.{digits}g}") for value in values]
        exact = all(math.isclose(float(text), value, rel_tol=1e-6) for text, value in zip(texts, values, strict=True))
        if exact and len(set(texts)) == len(values):
            break
    return texts


def _plain(text: str) -> str:
    """A number without the zeros of its exponent, and 1000 rather than 1e+03."""
    mantissa, e, exponent = text.partition("e")
    if not e:
        return text
    if 0 <= int(exponent) < 5:
        return f"{float(text):g}"
    return f"{mantissa}e{int(exponent)}"
