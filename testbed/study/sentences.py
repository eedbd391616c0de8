"""How pydantic's errors become sentences that name the field, what was found, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from kernels.checks import sentences_of
from testbed.errors import suggestion

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


def sentences(error: ValidationError, known: set[str]) -> list[str]:
    """The errors of a study, a sentence each; `known` holds every dotted key that a study may have."""
    found: list[str] = []
    seen: set[str] = set()
    for item in error.errors():
        key = _dotted(item["loc"], known, last_is_unknown=item["type"] == "extra_forbidden")
        if key.partition("[")[0] not in seen:
            found += _sentences(item, key, known)
        seen.add(key.partition("[")[0])
    return found


def _dotted(location: tuple[int | str, ...], known: set[str], last_is_unknown: bool) -> str:
    """The dotted key of a place in a study: `data.teacher.hidden[0]`.

    location: as pydantic has it, ("data", "teacher_student", "teacher", "hidden", 0); the tags of unions are left out.
    last_is_unknown: whether its last part is what was refused, and so never a tag.
    """
    key = ""
    for place, part in enumerate(location, 1):
        if isinstance(part, int):
            key += f"[{part}]"
            continue
        longer = f"{key}.{part}" if key else part
        is_section = any(name.startswith(f"{key}.") for name in known)
        is_refused = last_is_unknown and place == len(location)
        is_tag = is_section and longer not in known and not is_refused
        key = key if is_tag else longer
    return key


def _sentences(item: Any, key: str, known: set[str]) -> list[str]:
    """One of pydantic's errors; one that a check of ours raised may say several things."""
    if item["type"] == "value_error":
        return [_own_sentence(message, key, known) for message in sentences_of(item["ctx"]["error"])]
    return [_sentence(item, key, known)]


def _sentence(item: Any, key: str, known: set[str]) -> str:
    """One of pydantic's own errors, as a sentence that begins with the field."""
    kind = item["type"]
    value = item["input"]
    context = item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(item, key, known)
    if kind == "missing":
        return f"{key} is missing."
    if kind == "union_tag_not_found":
        return f"{key}.kind is missing."
    if kind == "union_tag_invalid":
        return _not_one_of(f"{key}.kind", context["tag"], context["expected_tags"].split(", "))
    if kind == "literal_error":
        return _not_one_of(key, value, context["expected"].replace(" or ", ", ").split(", "))
    for bound, words in (("ge", "at least"), ("le", "at most"), ("gt", "above"), ("lt", "below")):
        if bound in context:
            return f"{key} must be {words} {context[bound]}, not {value!r}."
    if kind in _RIGHT:
        return f"{key} must be {_RIGHT[kind]}, not {value!r}."
    return f"{key}: {item['msg']}, not {value!r}."


def _unknown_key(item: Any, key: str, known: set[str]) -> str:
    """A key that is not one of its table, with the nearest."""
    parent = key.rpartition(".")[0]
    if "." in str(item["loc"][-1]) and key in known:
        return f"{key!r} in quotes is one name, not a key of a table: write it without the quotes, or below [vary]."
    if key in known:
        return f"{key!r} is not a key of {parent} of kind {item['loc'][-2]!r}."
    return f"Unknown key {key!r}.{nearest_key(key, known)}"


def nearest_key(key: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest key: of the same last part, of the same table, or of all; else nothing.

    >>> nearest_key("training.lr", ["training", "training.optimizer.lr"])
    " Did you mean 'training.optimizer.lr'?"
    """
    parent, _, last = key.rpartition(".")
    names = sorted(known)
    same_last_part = [name for name in names if name.rpartition(".")[2] == last]
    same_table = [name for name in names if name.rpartition(".")[0] == parent]
    return suggestion(key, same_last_part) or suggestion(key, same_table) or suggestion(key, names)


def _not_one_of(key: str, value: Any, choices: list[str]) -> str:
    """A value that is none of the choices, which pydantic puts in quotes."""
    names = [choice.replace("'", "") for choice in choices]
    return f"{key} must be one of {', '.join(names)}, not {value!r}.{suggestion(str(value), names)}"


def _own_sentence(message: str, key: str, known: set[str]) -> str:
    """What a check of this project or of the kernels said, its field named once and in full."""
    parent, _, last = key.rpartition(".")
    if f"{key}.{message.split(' ')[0]}" in known:  # the checks of the kernels name their own field first
        return f"{key}.{message}"
    if last and message.startswith((f"{last}.", f"{last} ")):
        return f"{parent}.{message}" if parent else message
    return message if not key or message.startswith(key) else f"{key}: {message}"
