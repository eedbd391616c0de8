"""Memory and time are worked out before they are taken, and refused with numbers and the field to lower."""

from __future__ import annotations

import multiprocessing
import re
import resource
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from testbed import Study, StudyError, memory, run_study
from testbed.cli import main
from testbed.data import datasets
from testbed.ensemble import bounds
from testbed.ensemble.plan import plan
from tests.testbed.conftest import CLASSES, TEACHER_STUDENT, tables_of

TOO_LARGE = [  # settings, of which base, the fields that the sentence names
    ({"ensemble.families": 10**12}, TEACHER_STUDENT, "ensemble.families"),
    ({"ensemble.siblings": 10**9}, TEACHER_STUDENT, "ensemble.siblings"),
    ({"ensemble.families": 10**6, "ensemble.independent_pairs": 10**11}, TEACHER_STUDENT, "independent_pairs"),
    ({"architecture.hidden": [10**9], "measure.theory": []}, TEACHER_STUDENT, "architecture.hidden"),
    ({"architecture.hidden": [10**6, 10**6]}, CLASSES, "architecture.hidden"),
    ({"training.steps": 10**15}, TEACHER_STUDENT, "training.steps"),
    ({"vary": {"training.steps": [20, 10**15]}}, TEACHER_STUDENT, "training.steps"),
    ({"training.steps": 10**9, "training.record_every": 1}, TEACHER_STUDENT, "training.record_every"),
    ({"measure.test_samples": 10**12}, CLASSES, "measure.test_samples"),
    ({"data.n_train": 10**12}, TEACHER_STUDENT, "data.n_train"),
    ({"data.n_train": 10**12}, CLASSES, "data.n_train"),
    ({"data.n_train": 10**9, "data.shared": 0.5}, CLASSES, "data.n_train"),
    ({"data.inputs": 10**12, "measure.theory": []}, TEACHER_STUDENT, "data.inputs"),
    ({"data.classes": 10**12}, CLASSES, "architecture.hidden"),
    ({"data": {"kind": "dynamic_signal", "patches": 10**6, "patch_inputs": 10**6, "n_train": 30}}, CLASSES, "inputs"),
]


def cells_of(study: Study) -> list[Study]:
    return [cell.study for cell in study.cells()]


@pytest.mark.parametrize(("settings", "base", "field"), TOO_LARGE, ids=[str(case[0])[:50] for case in TOO_LARGE])
def test_what_is_too_large_is_refused_before_it_is_made(settings, base, field, tmp_path):
    study = Study.make(tables_of(settings, base))
    start = time.perf_counter()
    tracemalloc.start()
    with pytest.raises(StudyError, match=r"^This study needs about .* and this machine has .*; lower .*") as refused:
        run_study(study, tmp_path / "run")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert field in str(refused.value).split("; lower ")[1]
    assert peak < 2**23 and time.perf_counter() - start < 2
    assert not (tmp_path / "run").exists()


def test_a_scale_that_is_too_large(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["run", "teacher_student", "--scale", "1e12", "--out", str(tmp_path / "run")])
    assert stopped.value.code == 2 and "lower ensemble." in capsys.readouterr().err
    with pytest.raises(StudyError, match=r"ensemble\.families must be a whole number below 2\^63"):
        Study.load("teacher_student", scale=1e300)


def test_the_reference_holds_a_teachers_samples(tmp_path):
    study = Study.make(tables_of({"measure.test_samples": 10**11, "measure.theory": []}))
    with pytest.raises(StudyError, match=r"TiB are for test samples; lower measure\.test_samples"):
        run_study(study, tmp_path / "run", backend="reference")
    bounds.check_memory(cells_of(study), "native")


def test_years_are_refused(tmp_path):
    """Memory that there is, but time that there is not."""
    for settings, field in (
        ({"architecture.pruning": {"density": 0.5, "rounds": 10**15}}, r"training\.steps"),
        (
            {"measure.test_samples": 2**31, "measure.alphas": 10_001, "architecture.hidden": [5000]},
            r"ensemble\.independent_pairs, measure\.alphas or measure\.test_samples",
        ),
    ):
        with pytest.raises(StudyError, match=rf"would take about .* years on the backend '\w+', .*: lower {field}"):
            run_study(Study.make(tables_of(settings)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_limit_is_that_of_the_machine_the_container_or_the_shell(tmp_path, monkeypatch):
    whole = memory.limit()
    (tmp_path / "max").write_text("1073741824\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path / "max")
    assert memory.limit() == min(whole, 2**30)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (2**29, resource.RLIM_INFINITY))
    assert memory.limit() == 2**29
    with pytest.raises(StudyError, match=r"this machine has 512 MiB"):
        plan(Study.make(tables_of({"ensemble.families": 10**6})))


FAMILIES = {
    "teacher_student": {"inputs": 5, "outputs": 2, "teacher": {"hidden": [2]}},
    "gaussian_mixture": {"inputs": 5, "classes": 3},
    "spirals": {"classes": 3},
    "circles": {},
    "moons": {},
    "xor": {"inputs": 5},
    "parity": {"inputs": 5},
    "hierarchical": {"inputs": 5},
    "hidden_manifold": {"inputs": 5},
    "dynamic_signal": {"patches": 3, "patch_inputs": 2},
    "rebasin_counterexample": {},
    "digits": {},
    "file": {},
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_size_of_samples_is_known_before_they_are_drawn(kind, tmp_path):
    """Of every family, by its own samples."""
    base = TEACHER_STUDENT if kind == "teacher_student" else CLASSES
    data = {"kind": kind, "n_train": 12, **FAMILIES[kind]}
    if kind == "file":
        x = np.random.default_rng(0).standard_normal((12, 5))
        np.savez(tmp_path / "data.npz", x=x, y=np.arange(12) % 10, x_test=x[:4], y_test=np.arange(4))
        data = {"kind": "file", "path": str(tmp_path / "data.npz")}
    study = Study.make(tables_of({"data": data, "measure.theory": []}, base))
    made = datasets.make(study.data, loss=study.training.loss, n_test=study.measure.test_samples)
    n_inputs, n_outputs, n_train, n_test = bounds.samples(study)
    assert (n_inputs, n_outputs, n_train) == (made.n_inputs, made.n_outputs, len(made.train[0]))
    assert made.test is None or n_test == len(made.test[0])


def _peak(raw, out, found):
    """What a run takes of memory beyond what importing takes, in bytes."""
    study = Study.make(raw)
    import testbed.run

    testbed.run._page = lambda store: SimpleNamespace(path=store.folder)  # type: ignore[assignment,return-value]
    before = _high_water()
    run_study(study, out)
    found.put(_high_water() - before)


def _high_water():
    """The most memory that this program has held, in bytes; `ru_maxrss` would count what held it before `exec`."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


SETTINGS = {"ensemble.independent_pairs": 6, "ensemble.spawn_step": 0, "measure.theory": [], "measure.test_samples": 20}


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"ensemble.families": 60_000, "training.steps": 20},
        {"ensemble.families": 2000, "architecture.hidden": [5000], "training.steps": 2},
        {"measure.alphas": 2001, "ensemble.families": 4000},
        {"data.n_train": 10**6, "training.steps": 20},
        {"training.steps": 10**7, "ensemble.families": 2, "ensemble.independent_pairs": 1},
        {"training.steps": 10**7, "training.schedule.kind": "cosine", "ensemble.families": 2}
        | {"ensemble.independent_pairs": 1},
    ],
)
def test_memory_is_estimated_within_a_factor(settings, tmp_path):
    """The estimate against the peak of a process of its own."""
    raw = tables_of(SETTINGS | settings)
    expected = sum(bounds.bytes_needed(cells_of(Study.make(raw))).values())
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    process = context.Process(target=_peak, args=(raw, tmp_path / "run", found))
    process.start()
    measured = found.get(timeout=300)
    process.join()
    print(f"{settings}: {memory.readable(expected)} expected, {memory.readable(measured)} measured")
    assert expected / 2 < measured < 3 * expected
