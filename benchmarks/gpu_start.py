"""How long a study waits for its GPU kernels before the first step: from an empty cache, and from Triton's.

    python benchmarks/gpu_start.py [STUDY ...] [--pool] [--full] [--repeats N] [--target sm_90] [--json]

No GPU is needed: kernels go down a launch's own path, and a stand-in for Triton's driver leaves out the launch alone
(`kernels/gpu/compile.py`), and with it what a GPU's driver takes to load machine code. Every start is a process of its
own. *Cold*: every kernel compiled in turn by one process, the sum and the longest of them; with --pool, all of them by
processes on all cores, as `testbed run` does it. *Warm*: `imports` of the kernels and of Triton (of torch not),
`finding` the study's kernels among the compiled, as `testbed run` does before it trains, and `loading` each as its
first launch does; the study is planned before. A warm start that compiles anything is an error.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from kernels.gpu.compile import Problem

ROOT = Path(__file__).parents[1]
STUDIES = ("disentangle", "double_descent", "aligned_width", "locality")  # the longest


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    studies: tyro.conf.Positional[tuple[str, ...]] = STUDIES
    """Shipped studies or TOML files."""
    pool: bool = False
    """Compile in processes on all cores, and not in turn."""
    full: bool = False
    """Whole studies, and not as --quick has them."""
    repeats: int = 3
    """Warm starts; the median is shown."""
    target: str = "sm_90"
    """The GPU to compile for."""
    json: bool = False
    """One JSON object a row instead of the table."""


def problems_of(study: str, full: bool) -> list[Problem]:
    """All that the kernels are to do for a study."""
    from testbed.ensemble.backend import problems
    from testbed.ensemble.plan import plan
    from testbed.study import Study

    return [problem for launch in plan(Study.load(study, quick=not full)).launches for problem in problems(launch)]


def cold(study: str, full: bool, pool: bool, target: str) -> dict[str, float]:
    """Seconds of compiling all kernels of the study into Triton's cache."""
    from kernels.gpu.compile import compile_ahead, kernel_name
    from testbed.processes import processes

    wanted = {kernel_name(problem, target): problem for problem in problems_of(study, full)}
    if pool:
        start = time.perf_counter()
        compile_ahead(wanted.values(), target, pool=processes)
        return {"kernels": len(wanted), "cold_s": time.perf_counter() - start}
    seconds = []
    for problem in wanted.values():
        start = time.perf_counter()
        compile_ahead([problem], target)
        seconds.append(time.perf_counter() - start)
    return {"kernels": len(wanted), "cold_sum_s": sum(seconds), "cold_longest_s": max(seconds)}


def warm(study: str, full: bool, target: str) -> dict[str, float]:
    """Seconds of the parts of a start for which all is compiled."""
    from testbed.ensemble import backend
    from testbed.ensemble.plan import plan
    from testbed.study import Study

    gc.freeze()  # as the command `testbed run` does
    launches = plan(Study.load(study, quick=not full)).launches
    processor = time.process_time()
    times = [time.perf_counter()]
    from kernels.gpu import compile

    times.append(time.perf_counter())
    problems = [problem for launch in launches for problem in backend.problems(launch)]
    compile.compile_ahead(problems, target, not_found)
    times.append(time.perf_counter())
    first = {compile.kernel_name(problem, target): problem for problem in problems}
    for problem in first.values():
        compile.compile_kernel(problem, target)
    times.append(time.perf_counter())
    parts = {f"{name}_s": times[k + 1] - times[k] for k, name in enumerate(("imports", "finding", "loading"))}
    return parts | {"warm_s": times[-1] - times[0], "warm_processor_s": time.process_time() - processor}


def not_found(done: int, total: int) -> None:
    """Called for a kernel that had to be compiled."""
    raise SystemExit(f"{total} kernels were not found")


def in_a_process(call: str, cache: str) -> dict[str, float]:
    """What `call`, of a function of this module, returns in a process of its own with this folder for Triton's
    cache.
    """
    program = f"import json; from benchmarks import gpu_start\nprint(json.dumps(gpu_start.{call}))"
    environment = os.environ | {"TRITON_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{call} failed")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(study: str, settings: Settings) -> dict[str, Any]:
    """A study's numbers."""
    with tempfile.TemporaryDirectory() as cache:
        first = in_a_process(f"cold({study!r}, {settings.full}, {settings.pool}, {settings.target!r})", cache)
        call = f"warm({study!r}, {settings.full}, {settings.target!r})"
        starts = [in_a_process(call, cache) for _ in range(settings.repeats)]
    middle = {name: statistics.median(start[name] for start in starts) for name in starts[0]}
    slowest = max(start["warm_s"] for start in starts)
    return {"study": study, **first, **middle, "warm_slowest_s": slowest}


def main() -> None:
    """Print the table."""
    settings = tyro.cli(Settings, description=__doc__)
    rows = []
    for study in settings.studies:
        rows.append(row(study, settings))
        if settings.json:
            print(json.dumps(rows[-1]), flush=True)
    if settings.json:
        return
    table = Table(*(name.removesuffix("_s").replace("_", " ") for name in rows[0]), box=None, title="seconds")
    for found in rows:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in found.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
