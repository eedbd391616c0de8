"""The standard library's reader of TOML (before Python 3.11 the distribution that it was made from), and sentences."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from testbed.errors import StudyError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

__all__ = ["DEEPEST", "TOO_DEEP", "parse", "read", "tomllib"]

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


def read(path: Path) -> dict[str, Any]:
    """The tables of a file; StudyError with the place where it is not TOML."""
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is not TOML: {error}.") from None
