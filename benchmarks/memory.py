"""The memory of a study, stage by stage: resident megabytes at most, read every 5 ms, and seconds of processor time.

    python benchmarks/memory.py [--study million] [--scale 1.0] [--out FOLDER]

Of this process alone: what saves figures, and what computes theory beside the kernels, are processes of their own.
"""

from __future__ import annotations

import functools
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table

import testbed.report.report
import testbed.run
from testbed import Study, run_study

STATUS = Path("/proc/self/status")
STAGES = {  # by the functions that they are
    "plan": (testbed.run, "plan"),
    "training": (testbed.run._Runner, "_train"),
    "measuring": (testbed.run._Runner, "_measure"),
    "tables": (testbed.run._Runner, "_write_tables"),
    "page": (testbed.run, "_page"),
}


def resident() -> float:
    """Megabytes of this process in memory, with the files that are mapped."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


class Watch:
    """Reads the memory meanwhile; `most` is what it was at most since it was last set."""

    def __init__(self) -> None:
        self.most = 0.0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            self.most = max(self.most, resident())
            time.sleep(0.005)


def watched(holder: Any, name: str, watch: Watch, rows: dict[str, tuple[float, float]], stage: str) -> None:
    """Have a function say what it took; of one that is called for every launch the largest, and the sum of seconds."""
    function = getattr(holder, name)

    @functools.wraps(function)
    def told(*arguments: Any, **settings: Any) -> Any:
        watch.most = 0.0
        start = time.process_time()
        found = function(*arguments, **settings)
        most, seconds = rows.get(stage, (0.0, 0.0))
        rows[stage] = (max(most, watch.most), seconds + time.process_time() - start)
        return found

    setattr(holder, name, told)


def main(study: str = "million", scale: float = 1.0, out: Path | None = None) -> None:
    """Run the study and print the table."""
    rows: dict[str, tuple[float, float]] = {}
    watch = Watch()
    for stage, (holder, name) in STAGES.items():
        watched(holder, name, watch, rows, stage)
    before = resident()
    run_study(Study.load(study, scale=scale), out or tempfile.mkdtemp())
    table = Table("stage", "MB at most", "s of processor time", box=None)
    table.add_row("imports", f"{before:,.0f}", "")
    for stage, (most, seconds) in rows.items():
        table.add_row(stage, f"{most:,.0f}", f"{seconds:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
