"""What a user did wrong, in one sentence that names the field; and how a pydantic error becomes such a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError


class StudyError(ValueError):
    """A study, a data file or a run folder that cannot be used; its text is one or more whole sentences, written for the user."""


_RIGHT = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text in quotes",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "finite_number": "a finite number",
}


def suggestion(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the known name nearest to `name`, by the whole name or by its last part; else nothing."""
    known = list(known)
    close = difflib.get_close_matches(name, known, 1, cutoff=0.6)
    if not close:
        by_leaf = {key.rpartition(".")[2]: key for key in reversed(known)}
        close = [
            by_leaf[leaf] for leaf in difflib.get_close_matches(name.rpartition(".")[2], list(by_leaf), 1, cutoff=0.6)
        ]
    return f" Did you mean {close[0]!r}?" if close else ""


def sentences(error: ValidationError, known: set[str]) -> str:
    """The errors of a study as sentences; `known` holds every dotted key that a study may have."""
    parts, seen = [], set()
    for item in error.errors():
        key = _dotted(item["loc"], known, item["type"] == "extra_forbidden")
        if key.partition("[")[0] not in seen:
            parts.append(_sentence(item, key, known))
        seen.add(key.partition("[")[0])
    return " ".join(parts)


def _dotted(loc: tuple[int | str, ...], known: set[str], unknown_leaf: bool) -> str:
    """`data.teacher.hidden[0]` of ("data", "teacher_student", "teacher", "hidden", 0): the tags of unions are left out."""
    key = ""
    for i, part in enumerate(loc):
        if isinstance(part, int):
            key += f"[{part}]"
        else:
            longer = f"{key}.{part}" if key else part
            section = any(k.startswith(f"{key}.") for k in known)
            tag = section and longer not in known and not (unknown_leaf and i == len(loc) - 1)
            key = key if tag else longer
    return key


def _sentence(item: Any, key: str, known: set[str]) -> str:
    kind, value = item["type"], item["input"]
    if kind == "extra_forbidden":
        parent = key.rpartition(".")[0]
        if key in known:
            return f"{key!r} is not a key of {parent} of kind {item['loc'][-2]!r}."
        same_leaf = [k for k in sorted(known) if k.rpartition(".")[2] == key.rpartition(".")[2]]
        beside = [k for k in sorted(known) if k.rpartition(".")[0] == parent]
        return f"Unknown key {key!r}.{suggestion(key, same_leaf) or suggestion(key, beside) or suggestion(key, sorted(known))}"
    if kind == "missing":
        return f"{key} is missing."
    if kind == "union_tag_not_found":
        return f"{key}.kind is missing."
    if kind == "union_tag_invalid":
        tags = item["ctx"]["expected_tags"].replace("'", "").split(", ")
        return f"{key}.kind must be one of {', '.join(tags)}, not {item['ctx']['tag']!r}.{suggestion(item['ctx']['tag'], tags)}"
    if kind == "literal_error":
        choices = item["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return f"{key} must be one of {', '.join(choices)}, not {value!r}.{suggestion(str(value), choices)}"
    if kind == "value_error":
        message = str(item["ctx"]["error"])
        parent, _, leaf = key.rpartition(".")
        if f"{key}.{message.split(' ')[0]}" in known:  # the checks of the kernels name their own field first
            return f"{key}.{message}"
        if leaf and message.startswith((f"{leaf}.", f"{leaf} ")):
            return f"{parent}.{message}" if parent else message
        return message if not key or message.startswith(key) else f"{key}: {message}"
    for bound, words in (("ge", "at least"), ("le", "at most"), ("gt", "above"), ("lt", "below")):
        if bound in item.get("ctx", {}):
            return f"{key} must be {words} {item['ctx'][bound]}, not {value!r}."
    if kind in _RIGHT:
        return f"{key} must be {_RIGHT[kind]}, not {value!r}."
    return f"{key}: {item['msg']}, not {value!r}."
