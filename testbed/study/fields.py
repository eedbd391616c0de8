"""Every field that a study may have: type, bounds, default, meaning, read off the sections, for `testbed fields`."""

from __future__ import annotations

import inspect
import json
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import kernels
from testbed.errors import StudyError, suggestion
from testbed.section import Section
from testbed.study.study import Study

WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", dict: "table"}
LARGEST_BOUND = 2**62  # beyond is the range of the machine's whole numbers, and no news
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@dataclass(frozen=True)
class Described:
    """One table of a study: its dotted key, and its `kind` if there are several.

    text: what it means. rows: field, type and default.
    """

    key: str
    kind: str
    text: str
    rows: list[tuple[str, str, str]]

    @property
    def name(self) -> str:
        """`data.spirals`, `training.optimizer.sgd`, `measure`."""
        return ".".join(part for part in (self.key, self.kind) if part)


def described(name: str = "") -> list[Described]:
    """All tables, or those whose key (or key and kind) begins with `name`; StudyError if there is none of that name.

    >>> described("architecture.pruning")[0].rows[0]
    ('density', 'number > 0, < 1', 'needed')
    """
    every = list(_tables("", Study))
    chosen = [table for table in every if not name or f"{table.name}.".startswith(f"{name}.")]
    if not chosen:
        names = [table.name or "study" for table in every]
        raise StudyError(
            f"There is no table {name!r} in a study; there are {', '.join(names[1:])}.{suggestion(name, names)}"
        )
    return chosen


def _tables(key: str, model: type[BaseModel]) -> Iterator[Described]:
    """The table of a section at this dotted key, and those of the sections in it."""
    fields = model.model_fields
    kinds = _kinds(model)
    shown = {field.alias or name: field for name, field in fields.items() if name != "kind" or len(kinds) != 1}
    rows = [(name, _type(field), _default(field)) for name, field in shown.items()]
    yield Described(key, " or ".join(kinds), _text(model), rows)
    for name, field in fields.items():
        for section in _sections(field.annotation):
            yield from _tables(f"{key}.{name}" if key else name, section)


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """The values of `kind` that a section is for; none where it is the only one of its key."""
    field = model.model_fields.get("kind")
    return typing.get_args(field.annotation) if field is not None and _is_literal(field.annotation) else ()


def _text(model: type[BaseModel]) -> str:
    """The docstring, and those of the sections that it builds on and of the kernels' specs that it names."""
    sections = [
        section
        for section in model.__mro__
        if section not in (Section, BaseModel) and issubclass(section, Section) and not section.__name__.startswith("_")
    ]
    texts = [_docstring(section) for section in sections if section.__dict__.get("__doc__")]
    for name in dict.fromkeys(re.findall(r"kernels\.([A-Z]\w+)(?!\w|\.\w)", texts[0])):
        texts.append(f"kernels.{name}: {_docstring(getattr(kernels, name))}")
    return "\n\n".join(texts)


def _docstring(kind: type) -> str:
    """A class's docstring without its examples."""
    paragraphs = inspect.cleandoc(kind.__dict__.get("__doc__") or "").split("\n\n")
    return "\n\n".join(paragraph for paragraph in paragraphs if not paragraph.startswith(">>>"))


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The sections in a type, such as those of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if _is_literal(annotation):
        return []
    return [section for part in typing.get_args(annotation) for section in _sections(part)]


def _is_literal(annotation: Any) -> bool:
    return typing.get_origin(annotation) is Literal


def _type(field: FieldInfo) -> str:
    """What a field holds, and its bounds: `whole number ≥ 1`."""
    bounds = []
    for name, sign in BOUNDS.items():
        for item in field.metadata:
            value = getattr(item, name, None)
            if value is not None and value < LARGEST_BOUND:
                bounds.append(f"{sign} {value:g}")
    return " ".join([_words(field.annotation), ", ".join(bounds)]).strip()


def _words(annotation: Any) -> str:
    """A type in words, its choices between bars."""
    origin = typing.get_origin(annotation)
    parts = typing.get_args(annotation)
    if _is_literal(annotation):
        return " | ".join(map(str, parts))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(part) for part in parts if part is not type(None)))
    if origin is typing.Annotated:
        return _words(parts[0])
    if origin in (tuple, list):
        return f"list of {_words(parts[0])}" if parts and parts[0] is not Any else "list"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return WORDS.get(origin or annotation, "value")


def _default(field: FieldInfo) -> str:
    """A field's default as JSON, or that it has none."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "needed"
    if value is None:
        return "none"
    return "as below" if isinstance(value, BaseModel) else json.dumps(value)
