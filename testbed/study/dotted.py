"""Dotted keys: settings of nested tables, as the command line and `[vary]` name them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from testbed.errors import StudyError, suggestion
from testbed.toml import DEEPEST, TOO_DEEP, parse, tomllib

WORD = re.compile(r"[A-Za-z_][\w./-]*")  # that needs no quotes on the command line


def check_tables(raw: dict[str, Any]) -> None:
    """StudyError where tables and lists are nested more than DEEPEST deep, or a whole number has more than 64 bits.

    Nothing that walks tables survives the one, and no array holds the other.

    >>> check_tables({"vary": {"architecture.hidden": [[4], [8]]}})
    >>> check_tables({"ensemble": {"families": 10**20}})
    Traceback (most recent call last):
    testbed.errors.StudyError: ensemble.families must be a whole number below 2^63, not 100000000000000000000.
    """
    level: list[tuple[str, Any]] = [("", raw)]
    for _ in range(DEEPEST + 1):
        for key, value in level:
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                shown = value if abs(value) < 10**50 else "one of more than 50 digits"
                raise StudyError(f"{key} must be a whole number below 2^63, not {shown}.")
        level = [inner for key, value in level for inner in _within(key, value)]
        if not level:
            return
    raise StudyError(TOO_DEEP)


def _within(key: str, value: Any) -> Iterable[tuple[str, Any]]:
    """What a table or a list at this key holds, with its keys; nothing where it is neither."""
    if isinstance(value, dict):
        return [(f"{key}.{name}" if key else str(name), inner) for name, inner in value.items()]
    if isinstance(value, list | tuple):
        return [(f"{key}[{index}]", inner) for index, inner in enumerate(value)]
    return ()


def parse_setting(setting: str) -> tuple[str, Any]:
    """`key=value`, the value read as TOML, or a bare word as a text; StudyError if it is neither.

    >>> parse_setting("training.steps=100"), parse_setting("data.kind=spirals")
    (('training.steps', 100), ('data.kind', 'spirals'))
    """
    key, equals, value = setting.partition("=")
    key = key.strip()
    value = value.strip()
    if not equals or not key:
        raise StudyError(f"--set takes key=value, such as training.steps=100, not {setting!r}.")
    try:
        return key, parse(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        if WORD.fullmatch(value):
            return key, value
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
