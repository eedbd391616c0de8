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


DEEPEST = 50  # tables and lists within each other; a study has fewer than ten
TOO_DEEP = f"Tables or lists are nested more than {DEEPEST} deep: a study has fields of at most a few levels."


def parse(text: str) -> dict[str, Any]:
    """TOML as nested tables; TOMLDecodeError if it is not, StudyError if it is nested too deeply.

    >>> parse("training.steps = 100")
    {'training': {'steps': 100}}
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise StudyError(TOO_DEEP) from None


def check_depth(raw: Any) -> None:
    """StudyError where tables and lists are nested more than DEEPEST deep, which nothing that walks them survives.

    >>> check_depth({"vary": {"architecture.hidden": [[4], [8]]}})
    """
    depth = 0
    level = [raw]
    while level := [inner for value in level for inner in _within(value)]:
        depth += 1
        if depth > DEEPEST:
            raise StudyError(TOO_DEEP)


def _within(value: Any) -> Iterable[Any]:
    """What a table or a list holds; nothing where it is neither."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


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
        return key, parse(f"value = {value}")["value"]
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
