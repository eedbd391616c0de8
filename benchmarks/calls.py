"""What of a call is the native kernel: shares of the FMA peak of whole calls, and of the compiled function alone.

    python benchmarks/calls.py [--beside LIBRARY …] [--quick] [--json]

The calls that peers.py times, on one thread and on two, by processor time, so that others on the machine count little:
medians of rounds in turn, each with the peak measured beside it. `--beside` names further builds of the kernel (a
_native.so of another checkout) that are called in turn with this one on the same arrays; their results are compared
bit for bit.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from kernels import SGD, Architecture, Training, path_losses, train
from kernels.native import compiled
from kernels.peers import LR
from kernels.workloads import KEEP_MEMORY, WORKLOADS, Workload, peak

Call = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Row:
    """Shares of the peak: of the compiled function, and of the whole call; and what a call takes besides, ms."""

    workload: str
    library: str
    threads: int
    peak_G: float  # multiply-adds a second of the threads together
    function: float
    call: float
    besides_ms: float
    times_first: float  # the first library's time in the function over this one's
    same_bits: bool


def call_of(work: Workload, threads: int) -> Call:
    """() → what the call returns."""
    architecture = Architecture(work.widths)
    options: dict[str, Any] = {"backend": "native", "threads": threads}

    def trained() -> tuple[Tensor, ...]:
        run = train(architecture, params, work.samples(), Training(work.steps, SGD(LR)), **options)
        return run.params, run.losses

    def evaluated() -> tuple[Tensor, ...]:
        paths = path_losses(architecture, *ends, grid, work.samples(), dtype=torch.float32, **options)
        return paths.loss, paths.standard_error, paths.skewness

    if work.alphas:
        ends = work.ends()
        grid = torch.linspace(0, 1, work.alphas)
        return evaluated
    params = work.networks()
    return trained


class Timed:
    """Stands for a function of this checkout's library: calls a build's own, and keeps the processor time of it."""

    def __init__(self, name: str, libraries: list[ctypes.CDLL]) -> None:
        self.functions = [getattr(library, name) for library in libraries]
        self.chosen = 0
        self.seconds = 0.0

    def __call__(self, spec: Any) -> int:
        start = time.process_time()
        status = int(self.functions[self.chosen](spec))
        self.seconds = time.process_time() - start
        return status


def measure(work: Workload, threads: int, libraries: dict[str, ctypes.CDLL], rounds: int) -> list[Row]:
    """A row a library."""
    call = call_of(work, threads)
    loaded = compiled.loaded()
    name = "lmc_path_losses" if work.alphas else "lmc_train"
    items = work.items(len(work.ends()[0]) if work.alphas else work.n_networks)
    timed = Timed(name, list(libraries.values()))
    setattr(loaded, name, timed)
    peaks: list[float] = []
    functions: list[list[float]] = [[] for _ in libraries]
    calls: list[list[float]] = [[] for _ in libraries]
    results: list[tuple[Tensor, ...]] = []
    for turn in range(rounds + 1):
        peaks.append(peak(threads))
        for k in range(len(libraries)):
            timed.chosen = k
            start = time.process_time()
            result = call()
            calls[k].append(time.process_time() - start)
            functions[k].append(timed.seconds)
            if turn == 0:
                results.append(result)
    setattr(loaded, name, timed.functions[0])
    best = statistics.median(peaks[1:])
    rows = []
    for k, library in enumerate(libraries):
        of_function = statistics.median(functions[k][1:]) / threads
        besides = statistics.median(c - f for c, f in zip(calls[k][1:], functions[k][1:], strict=True))
        multiply_adds = items * work.fma_per_item
        ratios = [first / own for first, own in zip(functions[0][1:], functions[k][1:], strict=True)]
        rows.append(
            Row(
                workload=work.name,
                library=library,
                threads=threads,
                peak_G=best / 1e9,
                function=multiply_adds / of_function / best,
                call=multiply_adds / (of_function + besides) / best,
                besides_ms=1e3 * besides,
                times_first=statistics.median(ratios),
                same_bits=all(torch.equal(own, first) for own, first in zip(results[k], results[0], strict=True)),
            )
        )
    return rows


def main(
    beside: tuple[Path, ...] = (), quick: bool = False, json_rows: Annotated[bool, tyro.conf.arg(name="json")] = False
) -> None:
    """Print the table.

    Args:
        beside: further builds of the kernel.
        quick: fewer rounds.
        json_rows: one JSON object a row instead.
    """
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # read by the allocator when the process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP_MEMORY)
    torch.set_num_threads(1)
    libraries = {"this": compiled.loaded()} | {str(path): ctypes.CDLL(str(path.resolve())) for path in beside}
    rows = [
        row
        for work in WORKLOADS
        for threads in (1, 2)
        for row in measure(work, threads, libraries, rounds=3 if quick else 15)
    ]
    if json_rows:
        print("\n".join(json.dumps(asdict(row)) for row in rows))
        return
    table = Table(*asdict(rows[0]))
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in asdict(row).values()))
    Console(width=170).print(table)


if __name__ == "__main__":
    tyro.cli(main)
