"""How every stage of a large study grows with its networks or pairs, from a thousand to a million: log–log figures.

    python benchmarks/scaling.py [--quick] [--json] [--out docs/figures]

Networks 2-16-1, relu, 64 samples, float32; a stage is timed alone, on all cores, median of a few calls. A stage stops
growing once a call would take longer than `--seconds`. Clocks and processor time are given, since others may use the
machine; a stage is in proportion where its processor time an item is flat.
"""

from __future__ import annotations

import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import polars as pl
import torch
import tyro
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from kernels import SGD, Architecture, Teacher, Training, path_losses, train
from kernels.cores import cores
from kernels.native import piecewise, population, vector_bytes
from testbed import alignment
from testbed.report.figures.draw import STYLE
from testbed.results.parts import LongTable
from testbed.results.store import Store

ARCHITECTURE = Architecture((2, 16, 1), "relu")
ALPHAS = torch.linspace(0, 1, 25, dtype=torch.float64)
STEPS = 100
ENOUGH = 0.2  # seconds of calls whose median is taken
MOST_CALLS = 9
PAIRS_OF_A_PART = 2**14  # of the table of curves


@dataclass(frozen=True)
class Row:
    """One stage at one size: median seconds of a call, and microseconds an item, by the clock and of the processor."""

    stage: str
    n: int
    seconds: float
    clock: float
    processor: float


@functools.lru_cache(maxsize=1)
def ends(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Both ends of n pairs."""
    return ARCHITECTURE.initial(n, seed=1), ARCHITECTURE.initial(n, seed=2)


@functools.cache
def samples() -> tuple[torch.Tensor, torch.Tensor]:
    """64 Gaussian inputs and their labels."""
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    return x, torch.sin(x.sum(1, keepdim=True))


def initial(n: int) -> None:
    ARCHITECTURE.initial(n)


def training(n: int) -> None:
    train(ARCHITECTURE, ends(n)[0], samples(), Training(STEPS, SGD(lr=0.05)), backend="native")


def matching(n: int) -> None:
    alignment.match_weights(ARCHITECTURE, *ends(n))


def paths(n: int) -> None:
    path_losses(ARCHITECTURE, *ends(n), ALPHAS, samples(), dtype=torch.float32, backend="native")


def exact(n: int) -> None:
    x, y = samples()
    piecewise.piecewise_losses(ARCHITECTURE, *ends(n), x[None], y[None], ALPHAS)


def population_losses(n: int) -> None:
    teacher = Teacher(Architecture((2, 4, 1)), Architecture((2, 4, 1)).initial(1, seed=3))
    population.population_losses(ARCHITECTURE, *ends(n), teacher, ALPHAS, 1e-4)


def tables(n: int) -> None:
    """The table of curves of n pairs, written part by part, read back as its mean at each alpha."""
    rng = np.random.default_rng(0)
    loss = rng.standard_normal((PAIRS_OF_A_PART, 25, 4))

    def parts() -> Iterator[pl.DataFrame]:
        for start in range(0, n, PAIRS_OF_A_PART):
            pairs = np.arange(start, min(start + PAIRS_OF_A_PART, n))
            rows = {"pair": np.repeat(pairs, 25), "alpha": np.tile(ALPHAS.numpy(), len(pairs))}
            yield pl.DataFrame(rows | {f"loss_{k}": loss[: len(pairs), :, k].ravel() for k in range(4)})

    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.write_long(LongTable("curves", next(parts()).clear(), 25 * n, parts()))
        store.scan_table("curves").group_by("alpha").agg(pl.col("loss_0").mean()).collect(engine="streaming")


STAGES: dict[str, Callable[[int], None]] = {
    "initial parameters": initial,
    f"training, {STEPS} steps": training,
    "weight matching": matching,
    "paths, 25 alphas": paths,
    "exact paths": exact,
    "population losses": population_losses,
    "table of curves": tables,
}


def measured(stage: str, n: int) -> Row:
    """The stage at this size; its arrays are there before it is timed."""
    ends(n)
    clock: list[float] = []
    processor: list[float] = []
    while not clock or (sum(clock) < ENOUGH and len(clock) < MOST_CALLS):
        start, busy = time.perf_counter(), time.process_time()
        STAGES[stage](n)
        processor.append(time.process_time() - busy)
        clock.append(time.perf_counter() - start)
    seconds = statistics.median(clock)
    return Row(stage, n, seconds, 1e6 * seconds / n, 1e6 * statistics.median(processor) / n)


def grown(sizes: list[int], longest: float) -> Iterator[Row]:
    """Every stage at every size, until the next would take too long."""
    for stage, run in STAGES.items():
        run(16)  # whatever is imported and opened once
        before: Row | None = None
        for n in sizes:
            if before is not None and before.seconds * n / before.n > longest:
                break
            before = measured(stage, n)
            yield before


def drawn(rows: list[Row]) -> Figure:
    """Seconds of a call, and processor time an item, against the size."""
    figure = Figure(figsize=(6.6, 3.4))
    left, right = figure.subplots(1, 2)
    for stage in STAGES:
        of_stage = [row for row in rows if row.stage == stage]
        n = [row.n for row in of_stage]
        left.plot(n, [row.seconds for row in of_stage], "o-", ms=3, label=stage)
        right.plot(n, [row.processor for row in of_stage], "o-", ms=3)
    left.set(xscale="log", yscale="log", xlabel="networks or pairs", ylabel="seconds of a call")
    right.set(xscale="log", yscale="log", xlabel="networks or pairs", ylabel="processor time of one (µs)")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def main(
    quick: bool = False,
    json_rows: Annotated[bool, tyro.conf.arg(name="json")] = False,
    out: Path | None = None,
    seconds: float = 60.0,
) -> None:
    """Print one row a stage and size.

    Args:
        quick: up to ten thousand.
        json_rows: one JSON object a row instead of the table.
        out: folder for scaling.svg; left out, nothing is drawn.
        seconds: the longest that a call may take.
    """
    sizes = [1_000, 3_162, 10_000] if quick else [1_000, 3_162, 10_000, 31_623, 100_000, 316_228, 1_000_000]
    rows = []
    table = Table(f"stage ({cores()} cores, {8 * vector_bytes()}-bit vectors)", "n", "s", "µs each", "CPU µs", box=None)
    for row in grown(sizes, seconds):
        rows.append(row)
        if json_rows:
            print(json.dumps(asdict(row)), flush=True)
        table.add_row(row.stage, f"{row.n:,}", f"{row.seconds:.3g}", f"{row.clock:.3g}", f"{row.processor:.3g}")
    if not json_rows:
        Console().print(table)
    if out is not None:
        with mpl.rc_context(fname=STYLE):
            drawn(rows).savefig(out / "scaling.svg", metadata={"Date": None})


if __name__ == "__main__":
    tyro.cli(main)
