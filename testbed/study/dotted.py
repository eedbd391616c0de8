"""Dotted keys: settings of nested tables, as the command line and `[vary]` name them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from testbed.errors import StudyError, suggestion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]


def parse_setting(setting: str) -> tuple[str, Any]:
    """`key=value`, the value read as TOML; StudyError if it is not.

    >>> parse_setting("training.steps=100")
    ('training.steps', 100)
    """
    key, equals, value = setting.partition("=")
    key = key.strip()
    value = value.strip()
    if not equals or not key:
        raise StudyError(f"--set takes key=value, such as training.steps=100, not {setting!r}.")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        raise StudyError(
            f"--set {key}: {value!r} is not a TOML value; a text needs quotes, as in {key}='\"text\"'."
        ) from None


def set_dotted(raw: dict[str, Any], key: str, value: Any, known: Iterable[str] = ()) -> None:
    """Put a value at a dotted key of nested tables; what follows `vary.` is one key.

    known: the keys to suggest from where a part of the key is no table (StudyError).

    >>> tables = {}
    >>> set_dotted(tables, "training.optimizer.lr", 0.1)
    >>> tables
    {'training': {'optimizer': {'lr': 0.1}}}
    """
    parts = ["vary", key[5:].strip("\"'")] if key.startswith("vary.") else key.split(".")
    for depth, part in enumerate(parts[:-1], 1):
        raw = raw.setdefault(part, {})
        if not isinstance(raw, dict):
            raise StudyError(
                f"{'.'.join(parts[:depth])} is a value, not a table: there is no key {key!r}."
                f"{suggestion(key, sorted(known))}"
            )
    raw[parts[-1]] = value
