"""A first study, commented and ready to run: what `testbed new` writes, for the user to edit."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from testbed.data.families import FAMILIES
from testbed.data.teacher_student import TeacherStudentData
from testbed.errors import StudyError, suggestion
from testbed.study import Study, files
from testbed.study.dotted import parse_setting, set_dotted
from testbed.study.labels import LABELS
from testbed.study.study import KEYS
from testbed.toml import parse, tomllib

KINDS = {typing.get_args(family.model_fields["kind"].annotation)[0]: family for family in FAMILIES}
NEEDED = {  # what families ask for and have no default of
    "inputs": 8,
    "patches": 4,
    "patch_inputs": 4,
    "teacher": {"hidden": [4]},
    "n_train": 512,
    "path": "samples.npz",
}
HIDDEN = {"spirals": [32, 32]}  # of families that one layer of 32 units does not learn in the time
COMMENTS = {
    "inputs": "numbers in a sample",
    "n_train": "training samples",
    "teacher": "the network that labels them",
    "path": "x [n, inputs], y [n], and x_test, y_test if there are any",
    "hidden": "units of every hidden layer",
    "activation": "`testbed fields architecture` lists the others",
    "loss": "cross_entropy for classes, mse for numbers",
    "optimizer": "sgd, adam or adamw",
    "steps": "updates of the parameters",
    "batch_size": "samples a step; siblings see them in different orders",
    "families": "initialisations; the more, the narrower the intervals",
    "siblings": "networks of one initialisation",
    "spawn_step": "after so many updates siblings go their own ways",
    "independent_pairs": "pairs of networks of different families",
    "alphas": "points on the straight line between two networks",
    "test_samples": "fresh samples that losses are measured on",
}
HEADINGS = {
    "data": "`testbed fields data.{kind}` says what else there is",
    "ensemble": "of each cell, which is one combination of what varies",
    "vary": "every combination of these values is a cell",
}
THEORY = '# theory = ["population", "exact_training"]  # exact curves beside the measured ones'
COLUMN = 43  # where comments begin, at the earliest


def draft(data: str, vary: Sequence[str], settings: Sequence[str] = (), question: str = "") -> str:
    """The text of a study of this data family that varies these factors.

    vary: `key=value,value`, each value in TOML or a bare word; a number for `architecture.hidden` is one layer.
    settings: `key=value`, in place of what would stand there. question: as it stands; made of the factors if empty.
    StudyError for what is not of this form; whether it is a study, `check` says.

    >>> print(draft("spirals", ["training.optimizer.weight_decay=0,1e-3"]).splitlines()[-5])
    "training.optimizer.weight_decay" = [0, 0.001]
    """
    if data not in KINDS:
        raise StudyError(f"--data must be one of {', '.join(KINDS)}, not {data!r}.{suggestion(data, KINDS)}")
    factors = dict(_factor(text) for text in vary)
    tables = _start(data)
    if "training.optimizer.kind" in factors:
        del tables["training"]["optimizer"]["momentum"]  # which SGD alone has
    for setting in settings:
        key, value = parse_setting(setting)
        if key.endswith(".kind"):  # what stood beside it was of another kind
            set_dotted(tables, key.removesuffix(".kind"), {}, KEYS)
        set_dotted(tables, key, value, KEYS)
    tables["vary"] = factors | tables.get("vary", {})
    asked = question or str(tables.pop("question", "")) or _question(factors)
    return "\n".join([*_lines(asked, tables), ""])


def check(text: str, folder: Path) -> Study:
    """The study of a text that is to stand in this folder; StudyError, in sentences, if it is none."""
    try:
        raw = parse(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"What was given cannot be written as TOML: {error}.") from None
    files.fill(raw, folder)
    return Study.make(raw)


def _start(data: str) -> dict[str, Any]:
    """The tables of a study in which networks learn this family."""
    fields = KINDS[data].model_fields
    needed = {name: value for name, value in NEEDED.items() if name in fields}
    labelled = KINDS[data] is TeacherStudentData
    loss = "mse" if labelled else "cross_entropy"
    momentum: dict[str, Any] = {"kind": "sgd", "lr": 0.05, "momentum": 0.9}
    return {
        "data": {"kind": data} | needed | ({"noise": 0.1} if labelled else {}),
        "architecture": {"hidden": HIDDEN.get(data, [32]), "activation": "relu"},
        "training": {"loss": loss, "optimizer": momentum, "steps": 4000, "batch_size": 32},
        "ensemble": {"families": 12, "siblings": 2, "spawn_step": 0, "independent_pairs": 24},
        "vary": {},
        "measure": {"alphas": 25, "test_samples": 2048},
    }


def _factor(text: str) -> tuple[str, list[Any]]:
    """`key=value,value` as a key and its values; StudyError if it is not of this form."""
    key, equals, listed = (part.strip() for part in text.partition("="))
    if not equals or not key or not listed:
        raise StudyError(f"--vary takes key=value,value, such as architecture.hidden=8,32, not {text!r}.")
    try:
        values = parse(f"values = [{listed}]")["values"]
    except tomllib.TOMLDecodeError:
        words = [part.strip() for part in listed.split(",")]
        values = [_word(key, word) for word in words]
    if key == "architecture.hidden":
        values = [[value] if isinstance(value, int) else value for value in values]
    return key, values


def _word(key: str, text: str) -> Any:
    """One value of a factor, in TOML or a bare word."""
    try:
        return parse_setting(f"{key}={text}")[1]
    except StudyError as error:
        raise StudyError(str(error).replace("--set", "--vary")) from None


def _question(factors: dict[str, list[Any]]) -> str:
    """The question that a study of these factors asks."""
    names = [LABELS.get(key, key).split(" (")[0] for key in factors]
    if not names:
        return "How large is the barrier between networks that learnt the same data?"
    return f"How does the barrier depend on {' and '.join(names)}?"


def _lines(question: str, tables: dict[str, Any]) -> Iterator[str]:
    """The study, line by line."""
    yield "# A start, to be edited: `testbed fields` lists all that a study may hold, `testbed studies` others to read."
    yield f"question = {_value(question)}"
    data = tables["data"]
    for name, table in tables.items():
        if not isinstance(table, dict):
            yield f"{_key(name)} = {_value(table)}"
    for name, table in tables.items():
        if not isinstance(table, dict) or not table:
            continue
        yield ""
        heading = HEADINGS.get(name, "").format(kind=data.get("kind") if isinstance(data, dict) else "")
        yield _commented(f"[{_key(name)}]", heading)
        for key, value in table.items():
            varies = "varies below" if f"{name}.{key}" in tables["vary"] else ""
            yield _commented(f"{_key(key)} = {_value(value)}", varies or COMMENTS.get(key, ""))
        if name == "measure" and isinstance(data, dict) and data.get("kind") == "teacher_student":
            yield THEORY


def _commented(line: str, comment: str) -> str:
    """A line with its comment, in a column of their own."""
    return f"{line:<{COLUMN}}  # {comment}" if comment else line


def _key(name: str) -> str:
    """A key as TOML has it: bare, or in quotes."""
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _value(value: Any) -> str:
    """A value as TOML has it, on one line.

    >>> _value({"kind": "sgd", "lr": 0.05, "nesterov": False})
    '{ kind = "sgd", lr = 0.05, nesterov = false }'
    """
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False, default=str)
