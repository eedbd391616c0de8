"""Theory on all cores gives the bytes that one thread gives, and is begun only where there is much of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from kernels.cores import cores
from testbed import StudyError
from testbed.ensemble import crew
from testbed.ensemble.plan import plan
from testbed.measures.registry import PREDICTIONS
from testbed.run import run_study
from testbed.study import Study

SMALL = ['vary."architecture.hidden"=[[2],[5]]', 'vary."ensemble.spawn_step"=[0]', "measure.test_samples=512"]


def study() -> Study:
    return Study.load("teacher_student", SMALL, quick=True)


@pytest.mark.slow
@pytest.mark.skipif(cores() < 2, reason="one core")
def test_processes_give_the_same_bytes(monkeypatch, tmp_path):
    """Also in a script without a guard, which they do not run again."""
    monkeypatch.setattr(crew, "processes", None)  # a little theory begins none
    run_study(study(), tmp_path / "thread")
    script = tmp_path / "script.py"
    script.write_text(
        "from testbed import Study, run_study\n"
        "from testbed.ensemble import crew\n"
        "crew.WORTH_PROCESSES = 0\n"
        "begun, processes = [], crew.processes\n"
        "crew.processes = lambda n, ready: begun.append(n) or processes(n, ready)\n"
        f"run_study(Study.load('teacher_student', {SMALL!r}, quick=True), {str(tmp_path / 'processes')!r})\n"
        "print(begun)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=os.getcwd())
    assert (done.returncode, done.stdout) == (0, f"{[cores()]}\n"), done.stderr[-2000:]
    for name in ("pairs.parquet", "curves.parquet", "networks.parquet"):
        assert (tmp_path / "thread" / name).read_bytes() == (tmp_path / "processes" / name).read_bytes()


def test_only_much_theory_is_worth_processes():
    assert crew.theory_work(plan(study())) < crew.WORTH_PROCESSES
    no_twin = ['architecture.activation="square"', 'data.teacher.activation="square"', 'measure.theory=["population"]']
    assert crew.theory_work(plan(Study.load("teacher_student", no_twin))) > crew.WORTH_PROCESSES


def test_what_is_solved_for_a_group_is_not_shared_out():
    assert {name for name, prediction in PREDICTIONS.items() if not prediction.apart} == {"twin_students"}


def test_a_process_that_is_killed_is_a_sentence():
    pool = crew.processes(1)
    worker = pool.submit(os.getpid).result()
    part = pool.submit(time.sleep, 60)
    os.kill(worker, 9)
    with pytest.raises(StudyError, match="was killed, for memory perhaps; the same command continues"):
        crew.joined([part])
    pool.shutdown(kill_workers=True)
