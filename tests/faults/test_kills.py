"""A run that is killed at any moment continues to the same bytes; one that is stopped says how."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli_w

from kernels.cores import cores
from tests.faults.children import (
    SETTINGS,
    command,
    command_of_many,
    contents,
    heeding,
    killed_at,
    of_session,
    small_run,
)
from tests.testbed.conftest import tables_of

ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def tables():
    return tables_of(SETTINGS)


@pytest.fixture(scope="module")
def whole(processes, tables, tmp_path_factory):
    """The contents of a run that nothing happened to, how many system calls wrote it, and the seconds it took."""
    tmp_path = tmp_path_factory.mktemp("whole")
    start = time.perf_counter()
    process = processes.Process(target=killed_at, args=(tables, tmp_path / "whole", -1, tmp_path / "calls"))
    process.start()
    process.join()
    assert process.exitcode == 0
    return contents(tmp_path / "whole"), int((tmp_path / "calls").read_text()), time.perf_counter() - start


def continued(processes, tables, folder: Path) -> dict[str, bytes]:
    """The contents of a folder after the same command once more."""
    process = processes.Process(target=small_run, args=(tables, folder))
    process.start()
    process.join()
    assert process.exitcode == 0
    return contents(folder)


def killed_at_writes(processes, tables, whole, tmp_path, moments) -> int:
    """Kill a run at each of these moments and continue it; the number of runs that were killed."""
    expected, calls, _ = whole
    killed = 0
    for moment in moments:
        folder = tmp_path / f"cut-{moment}"
        process = processes.Process(target=killed_at, args=(tables, folder, moment, tmp_path / "calls"))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"{moment} of {calls}"
        killed += 1
        assert continued(processes, tables, folder) == expected, f"killed at call {moment} of {calls}"
    return killed


def test_killed_at_some_writes(processes, tables, whole, tmp_path):
    calls = whole[1]
    assert calls > 60
    assert killed_at_writes(processes, tables, whole, tmp_path, [3, calls // 2, calls - 1]) == 3


@pytest.mark.slow
def test_killed_at_every_write(processes, tables, whole, tmp_path):
    calls = whole[1]
    killed = killed_at_writes(processes, tables, whole, tmp_path, range(1, calls + 1))
    print(f"killed at {killed} of {calls} writes, all continued to the same bytes")


def killed_at_random(processes, tables, whole, tmp_path, trials) -> int:
    expected, _, seconds = whole
    rng = random.Random(0)
    killed = 0
    for trial in range(trials):
        folder = tmp_path / f"cut-{trial}"
        process = processes.Process(target=small_run, args=(tables, folder))
        process.start()
        waited = rng.uniform(0, seconds)
        time.sleep(waited)
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            killed += 1
        else:
            seconds = waited  # the machine has become faster: a run is over by then
        assert continued(processes, tables, folder) == expected, trial
    return killed


@pytest.mark.slow
def test_killed_at_a_random_moment(processes, tables, whole, tmp_path):
    killed_at_random(processes, tables, whole, tmp_path, 2)


@pytest.mark.slow
def test_killed_at_100_random_moments(processes, tables, whole, tmp_path):
    killed = killed_at_random(processes, tables, whole, tmp_path, 100)
    print(f"killed {killed} of 100 runs before their end, all continued to the same bytes")
    assert killed > 50


def check_last_words(said: Path, number: signal.Signals) -> None:
    """Nothing but a line on how to go on, after lines on how far it was if ten seconds had passed."""
    *before, last = said.read_text().splitlines()
    assert last == f"testbed: stopped by {number.name}; the same command continues."
    assert all(line.startswith("testbed: networks ") for line in before), before


def stopped_inside_training(processes, raw, tmp_path, trials) -> None:
    """A signal while the kernel trains ends the command within seconds, in one line, and it can be run again."""
    path = tmp_path / "study.toml"
    path.write_text(
        tomli_w.dumps(raw({**SETTINGS, "vary": {"architecture.hidden": [[64], [65]]}, "training.steps": 2 * 10**6}))
    )
    rng = random.Random(1)
    for trial in range(trials):
        number = ENDINGS[trial % 3]
        out = tmp_path / f"long-{trial}"
        said = tmp_path / f"said-{trial}"
        process = processes.Process(target=command, args=(["run", str(path), "--out", str(out)], said))
        process.start()
        while process.is_alive() and not (out / "manifest.json").exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.5))
        assert process.is_alive(), said.read_text()
        os.kill(process.pid, number)
        process.join(30)
        assert process.exitcode == 128 + number
        check_last_words(said, number)
        assert not list(out.rglob("*.partial"))


def test_stopped_inside_training(processes, raw, tmp_path):
    stopped_inside_training(processes, raw, tmp_path, 3)


@pytest.mark.slow
def test_stopped_inside_training_50_times(processes, raw, tmp_path):
    stopped_inside_training(processes, raw, tmp_path, 50)


def stopped_beside_processes(processes, raw, tmp_path, numbers) -> None:
    """Processes that compute theory end with the one that began them, and say nothing: a terminal's signals go to all
    of them, also while they start, and of SIGKILL none but the first hears.
    """
    path = tmp_path / "study.toml"
    path.write_text(
        tomli_w.dumps(raw({"architecture.hidden": [32], "ensemble.families": 400, "ensemble.independent_pairs": 10**5}))
    )
    rng = random.Random(2)
    for trial, number in enumerate(numbers):
        out = tmp_path / f"many-{trial}"
        said = tmp_path / f"many-said-{trial}"
        process = processes.Process(target=command_of_many, args=(["run", str(path), "--out", str(out)], said))
        process.start()
        while process.is_alive() and len(of_session(process.pid)) < 3:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 4))
        assert process.is_alive(), said.read_text()
        if number is signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, number)
        process.join(30)
        assert process.exitcode == (-number if number is signal.SIGKILL else 128 + number), said.read_text()
        end = time.monotonic() + 60  # those that start have imports to end first
        while (left := of_session(process.pid)) and time.monotonic() < end:
            time.sleep(0.1)
        assert left == []
        if number is not signal.SIGKILL:
            check_last_words(said, number)
            assert not list(out.rglob("*.partial"))


@pytest.mark.skipif(cores() < 2, reason="one core")
def test_stopped_beside_processes(processes, raw, tmp_path):
    stopped_beside_processes(processes, raw, tmp_path, [signal.SIGHUP, signal.SIGKILL])


@pytest.mark.slow
@pytest.mark.skipif(cores() < 2, reason="one core")
def test_stopped_beside_processes_40_times(processes, raw, tmp_path):
    stopped_beside_processes(processes, raw, tmp_path, 10 * [*ENDINGS, signal.SIGKILL])


@pytest.mark.parametrize("number", ENDINGS, ids=lambda number: number.name)
def test_stopped_while_it_imports(number):
    """What a command needs may take seconds to load, from a network's disk; a signal meanwhile ends in one line."""
    program = """
import sys, time
from testbed.cli import main

class Slow:
    def find_spec(self, name, *_):
        if name == "testbed.commands":
            print("ready", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
main(["fields", "measure"])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path.cwd(),
        preexec_fn=heeding,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (out, err) == ("", f"testbed: stopped by {number.name}; the same command continues.\n")
    # Python kills itself with SIGINT where Ctrl-C fell into `exec`; a shell shows the same code
    assert process.returncode in (128 + number, -number)


def test_what_nohup_ignores_stays_ignored():
    program = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from testbed import cli\n"
        "with cli._signals_raised(): os.kill(os.getpid(), signal.SIGHUP)\n"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
