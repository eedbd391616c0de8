"""The values of a factor, as the tables hold them."""

from __future__ import annotations

import json
from typing import Any


def levels(values: list[Any]) -> list[Any]:
    """A factor's values as the tables hold them: numbers if all are (a list of one number counts), else text.

    >>> levels([0, 0.001])
    [0.0, 0.001]

    >>> levels([[8], [16]]), levels([[8, 8], [16, 16]]), levels([True, False])
    ([8, 16], ['8-8', '16-16'], ['true', 'false'])
    """
    values = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in values]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        is_whole = all(isinstance(value, int) for value in values)
        return values if is_whole else [float(value) for value in values]  # a column holds one kind
    return [_text(value) for value in values]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, int) for part in value):
        return "-".join(map(str, value))
    return json.dumps(value)
