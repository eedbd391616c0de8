"""Whatever stands in a study: it is one, or a sentence says what is wrong with it."""

from __future__ import annotations

import copy
import datetime
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from testbed import Study, StudyError, memory
from testbed.ensemble.plan import plan
from testbed.study.study import KEYS
from testbed.toml import tomllib

BASES: tuple[dict[str, Any], ...] = (
    {
        "question": "Does it run?",
        "data": {"kind": "teacher_student", "inputs": 3, "teacher": {"hidden": [2]}, "n_train": 24},
        "architecture": {"hidden": [3]},
        "training": {"steps": 40, "batch_size": 8, "optimizer": {"kind": "sgd"}},
        "ensemble": {"families": 4},
        "measure": {"alphas": 5, "test_samples": 300},
    },
    {
        "question": "Does it classify?",
        "data": {"kind": "spirals", "n_train": 30},
        "architecture": {"hidden": [4, 4], "activation": "tanh"},
        "training": {"steps": 60, "batch_size": 10, "loss": "cross_entropy", "optimizer": {"kind": "adam"}},
        "ensemble": {"families": 4},
        "component": {"width": {"wide": {"architecture.hidden": [8]}}},
        "claims": [{"claim": "It falls.", "source": "nobody", "expects": "falls", "factor": "component"}],
    },
)
# what TOML can hold, the awkward values first
SCALARS = st.one_of(
    st.sampled_from([0, 1, -1, 2, 3, 2**31, 2**63 - 1, 2**63, 10**30, -(2**63), 10**400]),
    st.integers(-10, 100),
    st.sampled_from([0.0, -0.0, 0.5, 1e-320, 1e308, math.inf, -math.inf, math.nan]),
    st.booleans(),
    st.sampled_from(["", "sgd", "mse", "file", "\0", "[/red]", "weights", "own", "a" * 300, "ensemble.families"]),
    st.text(st.characters(codec="utf-8"), max_size=4),
    st.just(datetime.date(2020, 1, 1)),
    st.just(datetime.time(1, 2)),
)
PLAUSIBLE = st.sampled_from([0, 1, 2, 5, 0.5, True, "tanh", "own", "adam", "cosine", [3], [2, 3], [0.0, 0.5, 1.0]])
NAMES = st.one_of(st.sampled_from(sorted({part for key in KEYS for part in key.split(".")})), st.text(max_size=3))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=5
)
COMMON = sorted(key for key in KEYS if key.startswith(("architecture.", "training.", "ensemble.", "measure.")))
KEY = st.sampled_from(COMMON) | st.sampled_from(sorted(KEYS))
CLAIM = ["claim", "source", "expects", "column", "factor", "levels", "value", "where"]
PLACES = st.one_of(
    KEY.map(lambda key: tuple(key.split("."))),
    KEY.map(lambda key: ("vary", key)),
    KEY.map(lambda key: ("component", "group", "name", key)),
    st.sampled_from(CLAIM).map(lambda key: ("claims", key)),
    st.tuples(st.just("component"), NAMES, NAMES),
    st.tuples(NAMES),
)


def put(tables: Any, place: tuple[str, ...], value: Any) -> None:
    """Set what stands at a place of nested tables, as far as they are tables; of claims the first."""
    for part in place[:-1]:
        tables = tables.setdefault(part, {})
        if isinstance(tables, list) and tables:
            tables = tables[0]
        if not isinstance(tables, dict):
            return
    tables[place[-1]] = value


@st.composite
def studies(draw: Any) -> dict[str, Any]:
    """A study with up to three places set to anything, or to something that may well be right."""
    raw = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(PLACES)
        of = draw(st.sampled_from([PLAUSIBLE, PLAUSIBLE, VALUES]))
        in_a_list = place[0] == "vary" and draw(st.booleans())
        value = draw(st.lists(of, max_size=3) if in_a_list else of)
        put(raw, place, value)
    return raw


MANY = int(os.environ.get("LMC_STUDIES", "5_000"))  # 100,000 take an hour
SCALES = st.sampled_from([*[1.0] * 9, 2.5, 1e-3, 1e300, math.inf, math.nan, -1.0])


def check_sentences(found: tuple[Any, ...]) -> None:
    """At least one, and each a whole sentence."""
    assert found
    assert all(isinstance(sentence, str) and sentence[-1] in ".?!" for sentence in found), found


def check_loading(path: Path, raw: dict[str, Any], quick: bool, scale: float) -> None:
    """A study that loads is the same when written and read again, and has a plan; all else is a StudyError."""
    path.write_text(tomli_w.dumps(raw), encoding="utf-8")
    try:
        study = Study.load(path, quick=quick, scale=scale)
    except StudyError as error:
        check_sentences(error.args)
        return
    assert Study.make(tomllib.loads(study.toml())).sha256 == study.sha256
    with pytest.MonkeyPatch.context() as patch, suppress(StudyError):
        patch.setattr(memory, "limit", lambda: 2**27)
        plan(study)


@given(raw=studies(), quick=st.booleans(), scale=SCALES)
def test_a_study_is_one_or_a_sentence(tmp_path_factory, raw, quick, scale):
    check_loading(tmp_path_factory.getbasetemp() / "study.toml", raw, quick, scale)


@pytest.mark.slow
@settings(max_examples=MANY, phases=[Phase.generate])
@given(raw=studies(), quick=st.booleans(), scale=SCALES)
def test_many_studies_are_one_or_a_sentence(tmp_path_factory, raw, quick, scale):
    check_loading(tmp_path_factory.getbasetemp() / "study.toml", raw, quick, scale)


NUMBERS = (  # fields that hold a whole number, in either base
    "ensemble.families",
    "ensemble.siblings",
    "ensemble.spawn_step",
    "ensemble.independent_pairs",
    "training.steps",
    "training.batch_size",
    "training.record_every",
    "training.schedule.warmup_steps",
    "architecture.receptive_field",
    "architecture.stride",
    "data.n_train",
    "data.seed",
    "data.inputs",
    "data.outputs",
    "data.classes",
    "data.teacher.seed",
    "measure.test_samples",
    "measure.alphas",
    "seed",
)
SIZES = st.sampled_from([0, 1, 2, 3, 7, 100, 10**4, 10**6, 10**9, 10**12, 2**62, 2**63 - 1])


@given(base=st.sampled_from(BASES), numbers=st.dictionaries(st.sampled_from(NUMBERS), SIZES, min_size=1, max_size=4))
def test_any_number_has_a_plan_or_a_sentence(tmp_path_factory, base, numbers):
    """Of whatever size: within the memory that there is, and within seconds."""
    raw = copy.deepcopy(base)
    for key, value in numbers.items():
        put(raw, tuple(key.split(".")), value)
    check_loading(tmp_path_factory.getbasetemp() / "study.toml", raw, quick=False, scale=1)
