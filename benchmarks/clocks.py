"""What the clock alone can show, on free cores: a network-step's cost from a thousand networks to a million, on one
thread and on all, and the time that matching takes.

    python benchmarks/clocks.py [--quick] [--json]

Networks 2-16-1, relu, 32 samples, full batch, SGD, float32, calls of 100 steps; pairs of width 16 and of width 64.
Every row is the median of rounds in which all rows take their turn, a short call for a third of a second each time.
`others`: the share of the clock's time in which the threads of the call did not run. Where it is more than a few
hundredths, others use the cores, and clocks (the ratio of threads above all) say little; in a call of milliseconds it
is also what only one thread does.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.table import Table

from kernels import SGD, Architecture, Training, train
from kernels.cores import cores
from kernels.native import matching
from testbed.alignment.matching import MOST_SWEEPS, ROUNDING

STEPS = 100
A_TURN = 0.3  # seconds of calls


@dataclass(frozen=True)
class Row:
    """A call: its median seconds by the clock, and nanoseconds (clock × threads) of one network-step, or one pair."""

    what: str
    n: int
    threads: int
    seconds: float
    each_ns: float
    others: float
    times_one_thread: float


@dataclass(frozen=True)
class Work:
    """A call that is timed: of n networks or pairs, which are so many network-steps or pairs."""

    what: str
    n: int
    items: int
    call: Callable[[int], object]  # with so many threads


def training(n: int) -> Work:
    """So many networks, trained for STEPS steps."""
    architecture = Architecture((2, 16, 1), "relu")
    x = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    data = (x, torch.sin(x.sum(1, keepdim=True)))
    params, settings = architecture.initial(n, seed=1), Training(STEPS, SGD(lr=0.05))

    def call(threads: int) -> object:
        return train(architecture, params, data, settings, backend="native", threads=threads)

    return Work("network-steps", n, n * STEPS, call)


def pairs(width: int, n: int) -> Work:
    """So many pairs of initial networks, matched by weights."""
    architecture = Architecture((2, width, 1), "relu")
    a, b = architecture.initial(n, seed=1), architecture.initial(n, seed=2)

    def call(threads: int) -> object:
        return matching.match_weights(architecture, a, b, False, MOST_SWEEPS, ROUNDING, threads)

    return Work(f"pairs matched, width {width}", n, n, call)


def rows(works: list[Work], rounds: int) -> list[Row]:
    """Every call on one thread and on all, in turn."""
    counts = sorted({1, cores()})
    clock: dict[tuple[int, int], list[float]] = {(w, t): [] for w in range(len(works)) for t in counts}
    processor: dict[tuple[int, int], list[float]] = {key: [] for key in clock}
    for _ in range(rounds):
        for (w, threads), seconds in clock.items():
            if works[w].items < 10**7:
                works[w].call(threads)  # others have had the caches
            start, busy, calls = time.perf_counter(), time.process_time(), 0
            while not calls or time.perf_counter() - start < A_TURN:
                works[w].call(threads)
                calls += 1
            seconds.append((time.perf_counter() - start) / calls)
            processor[w, threads].append((time.process_time() - busy) / calls)
    found = []
    for (w, threads), times in clock.items():
        seconds, alone = statistics.median(times), statistics.median(clock[w, 1])
        idle = 1 - statistics.median(processor[w, threads]) / (threads * seconds)
        each = 1e9 * seconds * threads / works[w].items
        found.append(Row(works[w].what, works[w].n, threads, seconds, each, idle, alone / seconds))
    return found


def main(quick: bool = False, json_rows: Annotated[bool, tyro.conf.arg(name="json")] = False, rounds: int = 5) -> None:
    """Print one row for each size and number of threads.

    Args:
        quick: up to 16,384 networks, and a tenth of the pairs.
        json_rows: one JSON object a row instead of the table.
        rounds: how often each call is timed.
    """
    sizes = [2**10, 2**14] if quick else [2**10, 2**12, 2**14, 2**17, 2**20]
    share = 10 if quick else 1
    works = [*map(training, sizes), pairs(16, 499_500 // share), pairs(64, 100_000 // share)]
    table = Table("of", "n", "threads", "s", "ns × threads", "others", "× one thread", box=None)
    for row in rows(works, rounds):
        if json_rows:
            print(json.dumps(asdict(row)), flush=True)
        times = (f"{row.seconds:.3g}", f"{row.each_ns:.3g}", f"{row.others:.2f}", f"{row.times_one_thread:.2f}")
        table.add_row(row.what, f"{row.n:,}", str(row.threads), *times)
    if not json_rows:
        Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
