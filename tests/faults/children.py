"""What runs in processes that are killed, and what a run folder must be after it was mended."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import testbed.run
from testbed import Study
from testbed.cli import main
from testbed.ensemble import crew, shards
from testbed.results import sealed
from testbed.results.store import Store

SETTINGS = {  # a few shards of networks and of pairs, in half a second
    "vary": {"architecture.hidden": [[2], [3]]},
    "ensemble.spawn_step": 20,
    "measure.planes": 1,
    "training.steps": 300,
    "measure.test_samples": 2000,
}
SHARD_WORK = {"native": 4e6, "reference": 4e6}
KINDS = {  # of files in a run folder, each by a pattern
    "study": "study.toml",
    "manifest": "manifest.json",
    "columns": "columns.json",
    "timings": "timings.json",
    "tables": "*.parquet",
    "parameters": "parameters/*",
    "shards of networks": "shards/networks-*",
    "shards of pairs": "shards/pairs-*",
    "report": "report.html",
}


def small_run(raw: dict[str, Any], out: Path) -> None:
    """Run a study without figures, in many shards."""

    def write_page(store: Store) -> SimpleNamespace:
        store.write("report.html", b"<html></html>")
        store.add_drawn()
        return SimpleNamespace(path=store.folder / "report.html")

    testbed.run._page = write_page
    shards.SHARD_WORK = SHARD_WORK
    testbed.run.run_study(Study.make(raw), out)


def killed_at(raw: dict[str, Any], out: Path, moment: int, done: Path) -> None:
    """A small run that kills itself at its `moment`-th system call that writes, half-way through where it has a middle.

    done: a file for the number of those calls, if the run comes to its end.
    """
    calls = 0

    def counted(call: Any, half: Any = None) -> Any:
        def instead(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == moment:
                if half is not None:
                    half(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return instead

    whole = Path.write_bytes
    Path.write_bytes = counted(whole, lambda path, content: whole(path, content[: len(content) // 2]))  # type: ignore
    whole_tensors = sealed.write_tensors

    def half_of_tensors(path: Path, *what: Any) -> None:
        whole_tensors(path, *what)
        whole(path, path.read_bytes()[: path.stat().st_size // 2])

    sealed.write_tensors = counted(whole_tensors, half_of_tensors)
    os.replace = counted(os.replace)
    os.fsync = counted(os.fsync)
    os.unlink = counted(os.unlink)
    os.mkdir = counted(os.mkdir)
    with contextlib.redirect_stderr(io.StringIO()):
        small_run(raw, out)
    done.write_text(str(calls))


def heeding() -> None:
    """Signals do what they do by default: under nohup, or behind an `&`, children are born deaf to some."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def command(arguments: list[str], said: Path) -> None:
    """The command line, what it says on stderr into a file; the process ends with its exit code."""
    heeding()
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    faulthandler.enable(descriptor)
    shards.SHARD_WORK = SHARD_WORK
    main(arguments)


def command_of_many(arguments: list[str], said: Path) -> None:
    """The same as the first of a session of its own, with theory in processes however little there is."""
    os.setsid()
    crew.WORTH_PROCESSES = 0
    command(arguments, said)


def of_session(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            pid, _, rest = stat.read_text().partition(" (")
            state, _, _, session = rest.rpartition(") ")[2].split(" ")[:4]
            if session == str(leader) and state != "Z":
                found.append(int(pid))
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run folder that must not depend on how the run went."""
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files.pop("timings.json", None)
    return files
