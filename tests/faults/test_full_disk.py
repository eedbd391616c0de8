"""A disk that runs full: one sentence, no half files, and the same command continues once there is room."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli_w

from tests.faults.children import SETTINGS, contents, small_run

SIZES = (8, 40, 80, 120, 160)  # KiB; a run takes 132 at its peak, and its figures more after that
PROGRAM = (
    "import sys, testbed.run; from testbed.cli import main; from testbed.ensemble import shards;"
    "from tests.faults.children import SHARD_WORK; shards.SHARD_WORK = SHARD_WORK; main(sys.argv[1:])"
)


def may_mount(folder: Path) -> bool:
    """Whether this machine lets a user have a small disk of his own."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_a_disk_that_is_full(raw, processes, tmp_path, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    if not may_mount(disk):
        pytest.skip("this machine lets no user mount a disk of his own")
    study = tmp_path / "study.toml"
    study.write_text(tomli_w.dumps(raw(SETTINGS)))
    run = [sys.executable, "-c", PROGRAM, "run", str(study), "--out", str(disk / "run")]
    script = (
        f"mount -t tmpfs -o size={size}k none {shlex.quote(str(disk))}; {shlex.join(run)}; code=$?;"
        f"cp -r {shlex.quote(str(disk))} {shlex.quote(str(tmp_path / 'kept'))}; exit $code"
    )
    path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr == "testbed: the disk is full; free some space and run the same command again, it continues.\n"
    kept = tmp_path / "kept" / "run"
    assert not list(kept.rglob("*.partial"))
    whole: dict[str, dict[str, bytes]] = {}
    for folder in (kept, tmp_path / "whole"):
        process = processes.Process(target=small_run, args=(raw(SETTINGS), folder))
        process.start()
        process.join()
        assert process.exitcode == 0
        whole[folder.name] = contents(folder)
    assert whole["run"] == whole["whole"]
