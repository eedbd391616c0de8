"""A study: a base setting and the factors that vary, the same in TOML, in Python and on the command line.

`Study.load("study.toml", ["training.steps=100"])` or `Study.make({...})`; `study.cells()` is the full factorial of `[vary]`,
every cell a complete Study of its own, checked before anything runs.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator

from testbed.errors import StudyError, sentences, suggestion
from testbed.results.claims import Claim
from testbed.sections.spec import (
    ArchitectureSpec,
    DataSpec,
    EnsembleSpec,
    MeasureSpec,
    Section,
    Seed,
    TrainingSpec,
)
from testbed.study.conditions import check

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

SHIPPED = Path(__file__).resolve().parent.parent / "studies"
SCALED = ("ensemble.families", "ensemble.independent_pairs")
BASELINE = "baseline"
QUICK = {  # dotted key: (divided by, but at least)
    "ensemble.families": (10, 4),
    "ensemble.independent_pairs": (20, 6),
    "ensemble.spawn_step": (20, 0),
    "architecture.pruning.rewind_step": (20, 0),
    "training.steps": (20, 20),
    "measure.test_samples": (8, 512),
}


class Study(Section):
    """One question: data, architecture, training, ensemble, what varies, what is measured.

    vary: dotted keys to lists of values; the cells are all combinations, the last key varying fastest.
    component: by group and name, settings (dotted keys) that are changed together and alone: besides the baseline there is one cell for each.
    claims: what is known or expected, held against what is found.
    quick: the study was shrunk by `shrink`; a label for the report.
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

    @classmethod
    def make(cls, raw: dict[str, Any]) -> Study:
        """A study from nested tables; StudyError, in sentences, if it is not one."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise StudyError(sentences(error, KEYS)) from None

    @classmethod
    def load(cls, source: str | Path, settings: Sequence[str] = (), quick: bool = False, scale: float = 1.0) -> Study:
        """The study in a TOML file, or the shipped one of that name, with `key=value` settings applied, shrunk if `quick`, `scale` times as large."""
        path = find(source)
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise StudyError(f"{path} is not TOML: {error}.") from None
        for setting in settings:
            key, value = parse_setting(setting)
            if key in raw.get("vary", {}):
                raise StudyError(f"{key} varies in this study: set vary.'{key}' to a list, or take it out of [vary].")
            set_dotted(raw, key, value)
        _fill_file(raw, path.parent)
        if quick:
            raw = shrink(raw)
        if scale != 1:
            raw = enlarge(raw, scale)
        return cls.make(raw)

    @model_validator(mode="after")
    def _check(self) -> Study:
        names = [name for group in self.component.values() for name in group]
        if len({BASELINE, *names}) <= len(names):
            raise ValueError(f"component: every component needs a name of its own, other than {BASELINE!r}.")
        if not self.factors:
            check(self)
        elif len({json.dumps(list(cell.factors.values())) for cell in self.cells()}) < len(self.cells()):
            raise ValueError("vary: a value stands twice in a list.")
        for claim in self.claims:
            claim.check(self.factors)
        return self

    @property
    def factors(self) -> dict[str, list[Any]]:
        """What tells the cells apart: `component`, if there are any, and dotted keys, with their values in the study's order."""
        names = [name for group in self.component.values() for name in group]
        return ({"component": [BASELINE, *names]} if names else {}) | self.vary

    def resolved(self) -> dict[str, Any]:
        """The whole study as plain tables, defaults included; what study.toml in a run folder holds."""
        return self.model_dump(mode="json", exclude_none=True)

    def toml(self) -> str:
        """The whole study, defaults included, as TOML."""
        return tomli_w.dumps(self.resolved())

    @property
    def sha256(self) -> str:
        """A name for exactly this study."""
        return hashlib.sha256(json.dumps(self.resolved(), sort_keys=True).encode()).hexdigest()

    def cells(self) -> list[Cell]:
        """All combinations of what varies; one cell if nothing does. StudyError names the combination that is not a study."""
        changes = {name: settings for group in self.component.values() for name, settings in group.items()}
        for place, keys in {
            "vary": list(self.vary),
            **{f"component {name!r}": list(settings) for name, settings in changes.items()},
        }.items():
            for key in keys:
                fixed = ("vary", "component", "claims", "quick", "question", "seed")
                if (
                    key not in KEYS
                    or key.split(".")[0] in fixed
                    or key.startswith(("measure.alphas", "measure.alignment"))
                ):
                    raise StudyError(
                        f"{place}: unknown key {key!r}, or one that cannot vary.{suggestion(key, sorted(KEYS))}"
                    )
        for key, values in self.vary.items():
            if not values:
                raise StudyError(f"vary.{key!r} must hold at least one value.")
        base = self.resolved() | {"vary": {}, "component": {}, "claims": []}
        cells = []
        for index, levels in enumerate(itertools.product(*self.factors.values())):
            factors = dict(zip(self.factors, levels, strict=True))
            raw = copy.deepcopy(base)
            changed = changes.get(factors.get("component", BASELINE), {})
            for key, value in changed.items():  # a whole table first, then what is set within it
                set_dotted(raw, key, copy.deepcopy(value))
            for key, value in factors.items():
                if key != "component" and key not in changed:
                    set_dotted(raw, key, value)
            try:
                cells.append(Cell(index, factors, Study.make(raw)))
            except StudyError as error:
                if not factors:
                    raise
                where = ", ".join(f"{key} = {json.dumps(value)}" for key, value in factors.items())
                raise StudyError(f"In the cell {where}: {error}") from None
        return cells


@dataclass(frozen=True)
class Cell:
    """One combination of the factors: its number, the factors' values by dotted key, and the study (without vary) that it is."""

    index: int
    factors: dict[str, Any]
    study: Study


def find(source: str | Path) -> Path:
    """The file of a study: a path, or the name of a shipped one."""
    path = Path(source)
    if path.is_file():
        return path
    if path.suffix != ".toml" and (shipped := SHIPPED / f"{source}.toml").is_file():
        return shipped
    names = [p.stem for p in sorted(SHIPPED.glob("*.toml"))]
    raise StudyError(
        f"There is no study {str(source)!r}: give the path of a TOML file or one of {', '.join(names)}.{suggestion(str(source), names)}"
    )


def parse_setting(setting: str) -> tuple[str, Any]:
    """`key=value`, the value read as TOML: ("training.steps", 100) of "training.steps=100"."""
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise StudyError(f"--set takes key=value, such as training.steps=100, not {setting!r}.")
    try:
        return key.strip(), tomllib.loads(f"value = {value.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        raise StudyError(
            f"--set {key.strip()}: {value.strip()!r} is not a TOML value; a text needs quotes, as in {key.strip()}='\"text\"'."
        ) from None


def set_dotted(raw: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key of nested tables; what follows `vary.` is one key."""
    parts = key.split(".") if not key.startswith("vary.") else ["vary", key[5:].strip("\"'")]
    for i, part in enumerate(parts[:-1]):
        raw = raw.setdefault(part, {})
        if not isinstance(raw, dict):
            raise StudyError(
                f"{'.'.join(parts[: i + 1])} is a value, not a table: there is no key {key!r}.{suggestion(key, sorted(KEYS))}"
            )
    raw[parts[-1]] = value


def shrink(raw: dict[str, Any]) -> dict[str, Any]:
    """A copy of a study, small enough for a few seconds: every number of QUICK divided, in the base, in [vary], components and claims."""
    raw = copy.deepcopy(raw) | {"quick": True}
    if "test_samples" not in raw.setdefault("measure", {}):
        raw["measure"]["test_samples"] = MeasureSpec().test_samples
    for key, (by, least) in QUICK.items():
        _change(raw, key, lambda value, by=by, least=least: min(value, max(value // by, least)))  # type: ignore[misc]
    ensemble = raw.get("ensemble", {})
    if all(isinstance(ensemble.get(name), int) for name in ("families", "siblings", "independent_pairs")):
        possible = ensemble["families"] * (ensemble["families"] - 1) // 2 * ensemble["siblings"] ** 2
        ensemble["independent_pairs"] = max(1, min(ensemble["independent_pairs"], possible))
    return raw


def enlarge(raw: dict[str, Any], scale: float) -> dict[str, Any]:
    """A copy of a study with `scale` times as many families and independent pairs, in the base, in [vary], components and claims."""
    if not scale > 0:
        raise StudyError(f"--scale must be above 0, not {scale}.")
    raw = copy.deepcopy(raw)
    for key in SCALED:
        _change(raw, key, lambda value: max(2, round(scale * value)))
    return raw


def _change(raw: dict[str, Any], key: str, new: Callable[[int], int]) -> None:
    """Put new(value) for every whole number that stands at a dotted key anywhere in a raw study."""

    def within(table: Any, path: str) -> None:
        if not isinstance(table, dict):
            return
        if isinstance(value := table.get(path), int) and not isinstance(value, bool):
            table[path] = new(value)
        for name, value in table.items():
            if path.startswith(f"{name}."):
                within(value, path[len(name) + 1 :])

    def changed(values: list[Any]) -> list[Any]:
        return list(dict.fromkeys(new(value) if isinstance(value, int) else value for value in values))

    within(raw, key)
    components, claims = raw.get("component", {}), raw.get("claims", [])
    for group in components.values() if isinstance(components, dict) else ():
        for settings in group.values() if isinstance(group, dict) else ():
            within(settings, key)
    if isinstance(values := raw.get("vary", {}).get(key), list):
        raw["vary"][key] = changed(values)
    for claim in claims if isinstance(claims, list) else ():
        if claim.get("factor") == key and isinstance(claim.get("levels"), list):
            claim["levels"] = [new(level) if isinstance(level, int) else level for level in claim["levels"]]
        if isinstance(where := claim.get("where"), dict):
            where.update({name: new(level) for name, level in where.items() if name == key and isinstance(level, int)})


def _fill_file(raw: dict[str, Any], folder: Path) -> None:
    """Make the path of a data file absolute and note the file's SHA-256, so that the study names its data."""
    data = raw.get("data")
    if not isinstance(data, dict) or data.get("kind") != "file" or not isinstance(data.get("path"), str):
        return
    path = (folder / data["path"]).resolve()
    if not path.is_file():
        raise StudyError(f"data.path: there is no file {path}.")
    raw["data"] = data | {
        "path": str(path),
        "sha256": data.get("sha256", hashlib.sha256(path.read_bytes()).hexdigest()),
    }


def _keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every dotted key of a section, its own sections' included."""
    keys = set()
    for name, field in model.model_fields.items():
        keys.add(prefix + name)
        for part in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys |= _keys(part, f"{prefix}{name}.")
    return keys


KEYS = _keys(Study)
