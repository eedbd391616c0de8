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

    text: what it means. rows: field, type and default. is_common: whether it holds what several kinds have.
    """

    key: str
    kind: str
    text: str
    rows: list[tuple[str, str, str]]
    is_common: bool = False

    @property
    def names(self) -> list[str]:
        """What it is asked for by: `data.spirals`, `measure`; both kinds where it is for two."""
        kinds = self.kind.split(" or ") if self.kind else [""]
        return [".".join(part for part in (self.key, kind) if part) or "study" for kind in kinds]

    @property
    def heading(self) -> str:
        """What it is the table of."""
        if self.is_common:
            return f"{self.names[0]}: what several kinds of {self.key} have"
        return (self.key or "the study") + (f" of kind {self.kind}" if self.kind else "")


def described(name: str = "") -> list[Described]:
    """All tables, or those whose key (or key and kind) begins with `name`; StudyError if there is none of that name.

    >>> described("architecture.pruning")[0].rows[0]
    ('density', 'number > 0, < 1', 'needed')
    """
    every = list(_tables("", Study))
    chosen = [table for table in every if not name or any(f"{one}.".startswith(f"{name}.") for one in table.names)]
    if not chosen:
        names = [one for table in every for one in table.names]
        raise StudyError(
            f"There is no table {name!r} in a study; there are {', '.join(names)}.{suggestion(name, names)}"
        )
    return chosen


def _tables(key: str, model: type[BaseModel], told: set[type[BaseModel]] | None = None) -> Iterator[Described]:
    """The table of a section at this dotted key, and those of the sections in it.

    What several sections build on has a table of its own, once (`told`), and they name it.
    """
    told = set() if told is None else told
    bases = _bases(model)
    for base in bases:
        if base not in told:
            told.add(base)
            yield Described(key, _name(base), _docstring(base), _rows(base, _bases(base)), is_common=True)
    kinds = _kinds(model)
    yield Described(key, " or ".join(kinds), _text(key, model, bases), _rows(model, bases))
    for name, field in model.model_fields.items():
        for section in _sections(field.annotation):
            yield from _tables(f"{key}.{name}" if key else name, section, told)


def _rows(model: type[BaseModel], bases: list[type[BaseModel]]) -> list[tuple[str, str, str]]:
    """Field, type and default of what a section has and none of its bases; not the kind that it alone is of."""
    rows = [(field.alias or name, _type(field), _default(field)) for name, field in model.model_fields.items()]
    known = {row for base in bases for row in _rows(base, [])}
    alone = len(_kinds(model)) == 1
    return [row for row in rows if row not in known and not (row[0] == "kind" and alone)]


def _bases(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The public sections that a section builds on."""
    return [
        base
        for base in model.__mro__[1:]
        if issubclass(base, Section) and base is not Section and not base.__name__.startswith("_")
    ]


def _name(base: type[BaseModel]) -> str:
    """What a section that others build on is called: `sampled`, `task`."""
    return base.__name__.lower()


def _kinds(model: type[BaseModel]) -> tuple[str, ...]:
    """The values of `kind` that a section is for; none where it is the only one of its key."""
    field = model.model_fields.get("kind")
    is_for = field is not None and field.is_required() and _is_literal(field.annotation)
    return typing.get_args(field.annotation) if field is not None and is_for else ()


def _text(key: str, model: type[BaseModel], bases: list[type[BaseModel]]) -> str:
    """The docstring, those of the kernels' specs that it names, and where the fields stand that others have too."""
    texts = [_docstring(model)]
    for name in dict.fromkeys(re.findall(r"kernels\.([A-Z]\w+)(?!\w|\.\w)", texts[0])):
        texts.append(f"kernels.{name}: {_docstring(getattr(kernels, name))}")
    said: set[str] = set()
    for base in bases:
        names = [name for name, _, _ in _rows(base, _bases(base)) if name not in said]
        said.update(names)
        texts.append(f"And {', '.join(names)}: `testbed fields {key}.{_name(base)}`.")
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
        kinds = [kind for section in _sections(annotation) for kind in _kinds(section)]
        if kinds:
            return f"table of kind {' | '.join(kinds)}"
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
