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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator

import kernels
import theory
from testbed.errors import StudyError, sentences, suggestion
from testbed.spec import (
    ArchitectureSpec,
    DataSpec,
    EnsembleSpec,
    FileData,
    MeasureSpec,
    Section,
    Seed,
    TeacherStudentData,
    TrainingSpec,
)
from testbed.specialisation import MOST_UNITS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]

SHIPPED = Path(__file__).resolve().parent.parent / "benchmarks" / "studies"
QUICK = {  # dotted key: (divided by, but at least)
    "ensemble.families": (10, 4),
    "ensemble.independent_pairs": (20, 6),
    "ensemble.spawn_step": (20, 0),
    "training.steps": (20, 20),
    "measure.test_samples": (8, 512),
}


class Study(Section):
    """One question: data, architecture, training, ensemble, what varies, what is measured.

    vary: dotted keys to lists of values; the cells are all combinations, the last key varying fastest.
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
    measure: MeasureSpec = MeasureSpec()

    @classmethod
    def make(cls, raw: dict[str, Any]) -> Study:
        """A study from nested tables; StudyError, in sentences, if it is not one."""
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise StudyError(sentences(error, KEYS)) from None

    @classmethod
    def load(cls, source: str | Path, settings: Sequence[str] = (), quick: bool = False) -> Study:
        """The study in a TOML file, or the shipped one of that name, with `key=value` settings applied, shrunk if `quick`."""
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
        return cls.make(raw)

    @model_validator(mode="after")
    def _check(self) -> Study:
        if not self.vary:
            check(self)
        elif len({json.dumps([cell.factors[k] for k in self.vary]) for cell in self.cells()}) < len(self.cells()):
            raise ValueError("vary: a value stands twice in a list.")
        return self

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
        for key, values in self.vary.items():
            if key not in KEYS or key.split(".")[0] in ("vary", "quick", "question", "seed") or key.startswith("measure.alphas"):
                raise StudyError(f"vary: unknown key {key!r}, or one that cannot vary.{suggestion(key, sorted(KEYS))}")
            if not values:
                raise StudyError(f"vary.{key!r} must hold at least one value.")
        base = self.resolved() | {"vary": {}}
        cells = []
        for index, levels in enumerate(itertools.product(*self.vary.values())):
            factors = dict(zip(self.vary, levels, strict=True))
            raw = copy.deepcopy(base)
            for key, value in factors.items():
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


def check(study: Study) -> None:
    """ValueError where the sections of a study without vary do not fit each other."""
    data, training, ensemble, measure = study.data, study.training, study.ensemble, study.measure
    regression = isinstance(data, TeacherStudentData)
    if not isinstance(data, FileData):
        if regression != (training.loss == "mse"):
            right = "mse" if regression else "cross_entropy"
            raise ValueError(f"training.loss must be {right!r} for data of kind {data.kind!r}, not {training.loss!r}.")
        n_train = data.n_train
        if training.online:
            if not isinstance(data, TeacherStudentData):
                raise ValueError(f"training.online needs data of kind 'teacher_student', not {data.kind!r}.")
            if n_train is not None or data.noise:
                raise ValueError("training.online draws fresh samples without noise: leave out data.n_train and data.noise.")
            if training.batch_size is None:
                raise ValueError("training.batch_size must be a number when training is online: there is no full batch.")
        elif n_train is None:
            raise ValueError("data.n_train is missing: the number of training samples.")
        elif training.batch_size is not None and training.sampling == "epoch" and training.batch_size > n_train:
            raise ValueError(f"training.batch_size ({training.batch_size}) must be at most data.n_train ({n_train}).")
    elif training.online:
        raise ValueError("training.online needs data of kind 'teacher_student', not 'file'.")
    if "siblings" in ensemble.pairs:
        if training.batch_size is None:
            raise ValueError("ensemble.pairs: siblings differ in their data order alone, and a full batch has none: set training.batch_size.")
        if ensemble.spawn_step > training.steps:
            raise ValueError(f"ensemble.spawn_step ({ensemble.spawn_step}) must be at most training.steps ({training.steps}).")
    layers = len(study.architecture.hidden) + 1
    if training.frozen_layers and max(training.frozen_layers) >= layers:
        raise ValueError(f"training.frozen_layers must be below {layers}, the number of affine layers, not {max(training.frozen_layers)}.")
    pruning = study.architecture.pruning
    if pruning is not None and pruning.rewind_step > training.steps:
        raise ValueError(f"architecture.pruning.rewind_step ({pruning.rewind_step}) must be at most training.steps ({training.steps}).")
    if measure.permutations:
        units = list(study.architecture.hidden)
        if not isinstance(data, TeacherStudentData) or list(data.teacher.hidden) != units or len(units) != 1 or units[0] > MOST_UNITS:
            raise ValueError(f"measure.permutations needs one hidden layer of at most {MOST_UNITS} units, and as many in data.teacher.")
    for name in measure.theory:
        if why := _lacks(study, name):
            raise ValueError(f"measure.theory: {name!r} needs {why}.")


def _lacks(study: Study, name: str) -> str | None:
    """The condition of a theory that a study does not meet, as the end of a sentence."""
    data, architecture = study.data, study.architecture
    if study.training.loss != "mse":
        return "training.loss 'mse'"
    if architecture.normalise:
        return "networks without architecture.normalise"
    if len(architecture.hidden) != 1:
        return f"one hidden layer, not architecture.hidden = {list(architecture.hidden)}"
    if name == "exact_training":
        if architecture.activation not in ("relu", "leaky_relu", "identity"):
            return f"a piecewise linear activation (relu, leaky_relu, identity), not {architecture.activation!r}"
        return "a training set, and training.online has none" if study.training.online else None
    if name == "twin_students" and (why := _no_twins(study)):
        return why
    if not isinstance(data, TeacherStudentData):
        return f"Gaussian inputs and a teacher, data of kind 'teacher_student', not {data.kind!r}"
    if len(data.teacher.hidden) != 1:
        return f"a teacher with one hidden layer, not data.teacher.hidden = {list(data.teacher.hidden)}"
    one = [(np.ones((1, 1, 1)), None)] * 2
    try:
        theory.population_path(one, one, one, architecture.activation, teacher_activation=data.teacher.activation)
    except ValueError as error:
        return f"activations whose Gaussian moments are known: {str(error).rstrip('.')}"
    slope = kernels.Architecture((1, 1)).negative_slope
    if architecture.activation == data.teacher.activation == "leaky_relu" and architecture.negative_slope != slope:
        return f"the teacher's slope, architecture.negative_slope = {slope}, not {architecture.negative_slope}"
    return None


def _no_twins(study: Study) -> str | None:
    """What a study lacks for the order-parameter equations of online learning, as the end of a sentence."""
    data, architecture, training = study.data, study.architecture, study.training
    teacher = data.teacher if isinstance(data, TeacherStudentData) else None
    plain = training.optimizer.kind == "sgd" and not training.optimizer.momentum and not training.optimizer.weight_decay
    needs = {
        "training.online = true": training.online,
        "training.clock = 'inputs'": training.clock == "inputs",
        "training.batch_size = 1": training.batch_size == 1,
        "training.optimizer 'sgd' without momentum and weight decay": plain,
        "architecture.activation 'erf'": architecture.activation == "erf",
        "data.teacher.activation 'erf'": teacher is not None and teacher.activation == "erf",
        "networks and a teacher without biases": not architecture.biases and not (teacher is not None and teacher.biases),
        "fully connected networks whose layers all learn at one rate": not architecture.sparse
        and not training.frozen
        and not training.frozen_layers
        and study.ensemble.rate_factor == 1,
        "training without clip_norm and stop_below": training.clip_norm is None and training.stop_below is None,
        "one output": getattr(data, "outputs", 1) == 1,
    }
    return next((need for need, met in needs.items() if not met), None)


def find(source: str | Path) -> Path:
    """The file of a study: a path, or the name of a shipped one."""
    path = Path(source)
    if path.is_file():
        return path
    if path.suffix != ".toml" and (shipped := SHIPPED / f"{source}.toml").is_file():
        return shipped
    names = [p.stem for p in sorted(SHIPPED.glob("*.toml"))]
    raise StudyError(f"There is no study {str(source)!r}: give the path of a TOML file or one of {', '.join(names)}.{suggestion(str(source), names)}")


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
            raise StudyError(f"{'.'.join(parts[: i + 1])} is a value, not a table: there is no key {key!r}.{suggestion(key, sorted(KEYS))}")
    raw[parts[-1]] = value


def shrink(raw: dict[str, Any]) -> dict[str, Any]:
    """A copy of a study, small enough for a few seconds: every number of QUICK divided, in the base and in [vary]."""
    raw = copy.deepcopy(raw) | {"quick": True}

    def smaller(key: str, value: Any) -> Any:
        by, least = QUICK[key]
        return min(value, max(value // by, least)) if isinstance(value, int) else value

    for key in QUICK:
        section, name = key.split(".")
        if name in raw.get(section, {}):
            raw[section][name] = smaller(key, raw[section][name])
        if isinstance(values := raw.get("vary", {}).get(key), list):
            raw["vary"][key] = list(dict.fromkeys(smaller(key, value) for value in values))
    if "test_samples" not in raw.get("measure", {}):
        raw.setdefault("measure", {})["test_samples"] = smaller("measure.test_samples", MeasureSpec().test_samples)
    return raw


def _fill_file(raw: dict[str, Any], folder: Path) -> None:
    """Make the path of a data file absolute and note the file's SHA-256, so that the study names its data."""
    data = raw.get("data")
    if not isinstance(data, dict) or data.get("kind") != "file" or not isinstance(data.get("path"), str):
        return
    path = (folder / data["path"]).resolve()
    if not path.is_file():
        raise StudyError(f"data.path: there is no file {path}.")
    raw["data"] = data | {"path": str(path), "sha256": data.get("sha256", hashlib.sha256(path.read_bytes()).hexdigest())}


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
