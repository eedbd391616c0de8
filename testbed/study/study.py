"""A study: a base setting and the factors that vary, the same in TOML, in Python and on the command line.

`Study.load("study.toml", ["training.steps=100"])` or `Study.make({...})`; `study.cells()` is the full factorial of
`[vary]`, every cell a complete Study of its own, checked before anything runs.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator

from testbed.data.families import DataSpec
from testbed.data.file import FileData
from testbed.errors import StudyError, refuse, together
from testbed.section import Section, Seed
from testbed.sections.architecture import ArchitectureSpec
from testbed.sections.ensemble import EnsembleSpec
from testbed.sections.setting import Setting
from testbed.sections.training import TrainingSpec
from testbed.shipped import find
from testbed.study import files
from testbed.study.claim import Claim
from testbed.study.conditions import refusals
from testbed.study.dotted import check_tables, parse_setting, set_dotted
from testbed.study.measure_section import MeasureSpec
from testbed.study.sentences import nearest_key, sentences
from testbed.study.sizes import enlarge, shrink
from testbed.toml import read

BASELINE = "baseline"
MOST_CELLS = 20_000  # each is checked as a study of its own, a millisecond or so
MOST_SHOWN = 10  # sentences about cells
NOT_FACTORS = ("vary", "component", "claims", "quick", "question", "seed", "files")  # tables and keys that cannot vary
NOT_FACTORS_BELOW = ("measure.alphas", "measure.alignment", "ensemble.from")  # nor what begins so: all cells have one


class Study(Section):
    """One question: data, architecture, training, ensemble, what varies, what is measured.

    vary: dotted keys to lists of values; the cells are all combinations, the last key varying fastest.
    component: by group and name, settings (dotted keys) that are changed together and alone: besides the baseline there
        is one cell for each.
    claims: what is known or expected, held against what is found.
    quick: the study was shrunk by `shrink`; a label for the report.
    files: SHA-256, by their paths, of the files of ensemble.from, and of data files where [vary] or a component names
        some; filled in when the study is loaded, checked when a file is read.
    """

    question: str
    seed: Seed = 0
    quick: bool = False
    data: DataSpec
    architecture: ArchitectureSpec
    training: TrainingSpec
    ensemble: EnsembleSpec
    vary: dict[str, list[Any]] = Field(default_factory=dict)
    component: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    measure: MeasureSpec = MeasureSpec()
    claims: Annotated[tuple[Claim, ...], Field(strict=False)] = ()
    files: dict[str, str] | None = None

    @classmethod
    def make(cls, raw: dict[str, Any]) -> Study:
        """A study from nested tables; StudyError, in sentences, if it is not one.

        >>> study = Study.make({
        ...     "question": "Does width help?",
        ...     "data": {"kind": "circles", "n_train": 50},
        ...     "architecture": {"hidden": [4]},
        ...     "training": {"steps": 100, "batch_size": 10, "loss": "cross_entropy", "optimizer": {"kind": "sgd"}},
        ...     "ensemble": {"families": 3},
        ...     "vary": {"architecture.hidden": [[4], [8]]},
        ... })
        >>> [cell.factors for cell in study.cells()]
        [{'architecture.hidden': [4]}, {'architecture.hidden': [8]}]
        """
        check_tables(raw)
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise StudyError(*sentences(error, KEYS)) from None

    @classmethod
    def load(cls, source: str | Path, settings: Sequence[str] = (), quick: bool = False, scale: float = 1.0) -> Study:
        """The study in a TOML file, or the shipped one of that name; StudyError, in sentences, if it cannot be used.

        settings: `key=value`, in place of the file's. quick: shrunk to a few seconds. scale: as many times as large.

        >>> Study.load("teacher_student", ["training.steps=20000"], quick=True).training.steps
        1000
        """
        path = find(source)
        raw = read(path)
        with together() as check:
            for setting in settings:
                check(_set, raw, setting)
        check_tables(raw)
        with together() as check:
            check(files.fill, raw, path.parent)
            check(cls.make, raw)
        study = cls.make(raw)
        if quick:
            study = cls.make(raw := shrink(raw))
        if scale != 1:
            study = cls.make(enlarge(raw, scale))
        return study

    @model_validator(mode="after")
    def _check(self) -> Study:
        with together() as check:
            check(refuse, self._factor_refusals())
            for claim in self.claims:
                check(refuse, claim.refusals(self.factors))
            if not self.factors:
                check(refuse, refusals(self.setting, self.measure))
        if self.factors:
            self.cells()
        return self

    @property
    def setting(self) -> Setting:
        """The sections that say what is trained; of a study without vary."""
        return Setting(self.data, self.architecture, self.training, self.ensemble)

    @property
    def factors(self) -> dict[str, list[Any]]:
        """What tells the cells apart, with its values in the study's order.

        `component`, if there are any, and dotted keys.
        """
        return ({"component": [BASELINE, *self.components]} if self.components else {}) | self.vary

    @property
    def components(self) -> dict[str, dict[str, Any]]:
        """The settings of each component, by its name."""
        return {name: settings for group in self.component.values() for name, settings in group.items()}

    @property
    def hashed_data(self) -> DataSpec:
        """The data, with the SHA-256 that its file must have."""
        if self.files is None or not isinstance(self.data, FileData):
            return self.data
        return self.data.model_copy(update={"sha256": self.files.get(self.data.path, self.data.sha256)})

    def resolved(self) -> dict[str, Any]:
        """The whole study as plain tables, defaults included; what study.toml in a run folder holds."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)

    def toml(self) -> str:
        """The whole study, defaults included, as TOML."""
        return tomli_w.dumps(self.resolved())

    @property
    def sha256(self) -> str:
        """A name for exactly this study."""
        return hashlib.sha256(json.dumps(self.resolved(), sort_keys=True).encode()).hexdigest()

    def cells(self) -> list[Cell]:
        """All combinations of what varies; one cell if nothing does. StudyError names those that are no study."""
        base = self.resolved() | {"vary": {}, "component": {}, "claims": []}
        cells: list[Cell] = []
        refused: dict[str, list[dict[str, Any]]] = {}
        for index, levels in enumerate(itertools.product(*self.factors.values())):
            factors = dict(zip(self.factors, levels, strict=True))
            try:
                cells.append(Cell(index, factors, self._of_levels(factors, base)))
            except StudyError as error:
                for sentence in error.args:
                    refused.setdefault(sentence, []).append(factors)
        refuse(_of_cells(refused))
        return cells

    def _factor_refusals(self) -> Iterator[str]:
        """Where [vary] or a component names a key that cannot vary, or no value for it, or one twice."""
        names = [name for group in self.component.values() for name in group]
        if len({BASELINE, *names}) <= len(names):
            yield f"component: every component needs a name of its own, other than {BASELINE!r}."
        named = {"vary": list(self.vary)}
        named |= {f"component {name!r}": list(settings) for name, settings in self.components.items()}
        for place, keys in named.items():
            for key in keys:
                if key not in FACTORS:
                    unknown = f"is no key of a study.{nearest_key(key, FACTORS)}"
                    yield f"{place}: {key!r} {'cannot vary.' if key in KEYS else unknown}"
        for key, values in self.vary.items():
            if not values:
                yield f"vary.{key!r} must hold at least one value."
            if len({json.dumps(value, default=str) for value in values}) < len(values):
                yield f"vary: a value stands twice in the list of {key!r}."
        n_cells = math.prod(len(levels) for levels in self.factors.values())
        if n_cells > MOST_CELLS:
            yield f"vary: a study may have {MOST_CELLS:,} cells, and this one has {n_cells:,}; shorten a list."

    def _of_levels(self, factors: dict[str, Any], base: dict[str, Any]) -> Study:
        """The study of the cell of these levels; what a component sets is not varied besides."""
        raw = copy.deepcopy(base)
        changed = self.components.get(factors.get("component", BASELINE), {})
        varied = {key: value for key, value in factors.items() if key != "component" and key not in changed}
        for key, value in [*changed.items(), *varied.items()]:  # a whole table first, then what is set within it
            if key.endswith(".kind"):
                self._drop_defaults(raw, key, value)
            set_dotted(raw, key, copy.deepcopy(value), KEYS)
        return Study.make(raw)

    def _drop_defaults(self, raw: dict[str, Any], key: str, kind: Any) -> None:
        """Take from the table whose kind `key` names what the study's own kind of it holds by default, and what is no
        key of the other kind.
        """
        section: Any = self
        table: Any = raw
        choices: tuple[Any, ...] = ()
        for name in key.split(".")[:-1]:
            choices = typing.get_args(type(section).model_fields[name].annotation)
            section, table = getattr(section, name), table.get(name)
            if not isinstance(section, Section) or not isinstance(table, dict):
                return
        other = next((choice for choice in choices if kind in _kinds(choice)), type(section))
        own = section.model_dump(mode="json", by_alias=True)
        for name, field in type(section).model_fields.items():
            place = field.alias or name
            is_default = getattr(section, name) == field.default and table.get(place) == own[place]
            if name not in other.model_fields and is_default:
                del table[place]


@dataclass(frozen=True)
class Cell:
    """One combination of the factors: its number, the factors' values by dotted key, and the study that it is.

    The study has no factors of its own.
    """

    index: int
    factors: dict[str, Any]
    study: Study


def _kinds(section: Any) -> tuple[Any, ...]:
    """The kinds that a table of this class may have; none where it has no kind."""
    field = getattr(section, "model_fields", {}).get("kind")
    return typing.get_args(field.annotation) if field else ()


def _of_cells(refused: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """Each sentence that was said of cells, with the first cell that it was said of, and how many others."""
    for sentence, cells in itertools.islice(refused.items(), MOST_SHOWN):
        levels = ", ".join(f"{key} = {json.dumps(value, default=str)}" for key, value in cells[0].items())
        others = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
        yield f"In the cell {levels}{others}: {sentence}" if levels else sentence
    if len(refused) > MOST_SHOWN:
        yield f"{len(refused) - MOST_SHOWN} more sentences of this kind are left out."


def _set(raw: dict[str, Any], setting: str) -> None:
    """Put one `key=value` in place of a file's."""
    key, value = parse_setting(setting)
    varies = raw.get("vary")
    if isinstance(varies, dict) and key in varies:
        raise StudyError(f"{key} varies in this study: set vary.'{key}' to a list, or take it out of [vary].")
    set_dotted(raw, key, value, KEYS)


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every dotted key of a section, its own sections' included."""
    keys = set()
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        keys.add(prefix + name)
        for part in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= _keys(part, f"{prefix}{name}.")
    return keys


KEYS = _keys(Study)
FACTORS = {
    key for key in KEYS if key.split(".")[0] not in NOT_FACTORS and not key.startswith(NOT_FACTORS_BELOW)
}  # what may vary
