"""Speed of the native kernel beside the best that general tools do on this CPU, in one run.

    python benchmarks/peers.py [--quick] [--json] [--busy]

Training: 1,000 steps of full-batch gradient descent on ½ mean squared error, float32. Paths: all pairs of 512 networks,
25 alphas, float32. Peers: torch.compile(vmap(grad)), torch.bmm with hand-written gradients (also under torch.compile),
JAX jit(vmap(scan)) and a plain torch loop over networks. Every contender is checked against the reference backend
before it is timed; rounds are interleaved, and a row gives the median with its 20th and 80th percentiles, the ratio to
the native kernel's median, and the share of the machine's measured FMA peak. Install the peers with `pip install
.[peers]`; a peer that is missing is left out by name. Takes some seven minutes, `--quick` three.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

import kernels
from kernels import SGD, Architecture, Training, path_losses, train
from kernels.cores import cores
from kernels.native import fma_peak
from kernels.peers import LR, bmm_step, compiled_step, jax_loss, jax_trainer, loss_of_one, repeated
from kernels.workloads import KEEP_MEMORY, WORKLOADS, Workload, peak

# pairs at a time for the peers' paths: their intermediates (105 MB in torch) grow with it, and their speed falls
CHUNK = 1024
CHECKED_STEPS = 20
CHECKED_PAIRS = 1024
SECONDS = 0.2  # of calls in a row, at least
LOOPED = 8  # networks of the torch loop, whose time is proportional to them

Train = Callable[[Tensor, int], Tensor]  # (params, steps) → params
Paths = Callable[[Tensor, Tensor], Tensor]  # (params_a, params_b) → losses [n_pairs, n_alphas]


def looped(work: Workload, x: Tensor, y: Tensor) -> Train:
    """A plain torch loop: one nn.Sequential and one torch.optim.SGD per network."""

    def run(params: Tensor, steps: int) -> Tensor:
        architecture = Architecture(work.widths)
        trained = []
        for row in params:
            model = architecture.to_torch(row)
            optimizer = torch.optim.SGD(model.parameters(), lr=LR)
            for _step in range(steps):
                optimizer.zero_grad()
                (0.5 * (model(x) - y).square().sum(1).mean()).backward()
                optimizer.step()
            trained.append(architecture.from_torch(model))
        return torch.stack(trained)

    return run


def jax_paths(work: Workload, x: Tensor, y: Tensor) -> Paths:
    """JAX's jit(vmap(vmap)), on the arrays' own device."""
    import jax
    import jax.numpy as jnp

    jx = jnp.from_dlpack(x.contiguous())
    jy = jnp.from_dlpack(y.contiguous())
    alphas = jnp.linspace(0, 1, work.alphas)

    def along(a: Any, b: Any) -> Any:
        return jax.vmap(lambda t: jax_loss(work.widths, (1 - t) * a + t * b, jx, jy))(alphas)

    compiled = jax.jit(jax.vmap(along))
    return lambda a, b: torch.from_dlpack(compiled(jnp.from_dlpack(a), jnp.from_dlpack(b)).block_until_ready())


def chunked(paths: Paths) -> Paths:
    """CHUNK pairs at a time."""
    return lambda a, b: torch.cat([paths(p, q) for p, q in zip(a.split(CHUNK), b.split(CHUNK), strict=True)])


def native_paths(work: Workload, threads: int | None) -> Paths:
    """What is measured."""
    grid = torch.linspace(0, 1, work.alphas)
    options: dict[str, Any] = {"dtype": torch.float32, "backend": "native", "threads": threads}
    return lambda a, b: path_losses(Architecture(work.widths), a, b, grid, work.samples(), **options).loss


def path_contenders(work: Workload, threads: int | None) -> dict[str, Paths]:
    """What evaluates paths; threads: of the native kernel."""
    x, y = work.samples()
    loss = partial(loss_of_one, work.widths, x=x, y=y)
    grid = torch.linspace(0, 1, work.alphas)

    def along(a: Tensor, b: Tensor) -> Tensor:
        return torch.vmap(lambda t: loss((1 - t) * a + t * b))(grid)

    found = {
        "native": native_paths(work, threads),
        "torch.compile(vmap)": chunked(torch.compile(torch.vmap(along), dynamic=False)),
    }
    if has_jax():
        found["JAX jit(vmap)"] = chunked(jax_paths(work, x, y))
    return found


def native_training(work: Workload, threads: int | None) -> Train:
    """What is measured."""

    def run(params: Tensor, steps: int) -> Tensor:
        settings = Training(steps, SGD(LR))
        options: dict[str, Any] = {"backend": "native", "threads": threads}
        return train(Architecture(work.widths), params, work.samples(), settings, **options).params

    return run


def training_contenders(work: Workload, threads: int | None) -> dict[str, Train]:
    """What trains; threads: of the native kernel."""
    x, y = work.samples()
    step = partial(bmm_step, work.widths, x, y)
    found = {
        "native": native_training(work, threads),
        "torch.compile(vmap(grad))": repeated(compiled_step(work.widths, x, y)),
        "torch.compile(bmm)": repeated(torch.compile(step)),
        "torch.bmm": repeated(step),
        "torch loop": looped(work, x, y),
    }
    if has_jax():
        compiled = cache(lambda steps: jax_trainer(work.widths, steps, x, y))
        found["JAX jit(vmap(scan))"] = lambda params, steps: compiled(steps)(params)
    return found


@cache
def has_jax() -> bool:
    """Whether JAX is installed; says so once if it is not."""
    try:
        import jax  # noqa: F401
    except ImportError:
        print("JAX is not installed and is left out (pip install .[peers]).", file=sys.stderr)
        return False
    return True


@dataclass(frozen=True)
class Row:
    """A contender on a workload: items a second, and how it stands beside the native kernel and the machine."""

    workload: str
    contender: str
    per_s_p20: float
    per_s_p50: float
    per_s_p80: float
    native_over_this: float  # ratio of medians
    share_of_peak: float  # of the measured fused multiply-adds a second
    relative_error: float  # against the reference backend, in float64


@dataclass(frozen=True)
class Entry:
    """A contender that is right, ready to be timed."""

    call: Callable[[], Tensor]
    items: int  # network-steps or evaluations of a call
    relative_error: float

    def per_second(self, clock: Callable[[], float]) -> float:
        """Items a second, over calls that last SECONDS together."""
        calls = 0
        start = clock()
        while (elapsed := clock() - start) < SECONDS:
            self.call()
            calls += 1
        return calls * self.items / elapsed


def relative_error(work: Workload, name: str, got: Tensor, want: Tensor) -> float:
    """Of a contender's result; SystemExit if it is wrong."""
    error = ((got.double() - want).norm() / want.norm()).item()
    if not error < 1e-4:
        raise SystemExit(
            f"{name} is wrong on {work.name}: relative error {error:.2e} against the reference; not timed."
        )
    return error


def checked_paths(work: Workload, threads: int | None) -> dict[str, Entry]:
    """The contenders by name, each compiled and compared with the reference."""
    a, b = work.ends()
    some = (a[:CHECKED_PAIRS], b[:CHECKED_PAIRS])
    grid = torch.linspace(0, 1, work.alphas)
    want = path_losses(Architecture(work.widths), *some, grid, work.samples(), backend="reference").loss
    entries = {}
    for name, contender in path_contenders(work, threads).items():
        error = relative_error(work, name, contender(*some), want)
        entries[name] = Entry(partial(contender, a, b), work.items(len(a)), error)
    return entries


def checked_training(work: Workload, threads: int | None) -> dict[str, Entry]:
    """The same for training."""
    params = work.networks()
    settings = Training(CHECKED_STEPS, SGD(LR))
    architecture = Architecture(work.widths)
    want = train(architecture, params.double(), work.samples(), settings, backend="reference").params
    entries = {}
    for name, contender in training_contenders(work, threads).items():
        start = params[:LOOPED] if name == "torch loop" else params
        error = relative_error(work, name, contender(start, CHECKED_STEPS), want[: len(start)])
        entries[name] = Entry(partial(contender, start, work.steps), work.items(len(start)), error)
    return entries


def measure(work: Workload, rounds: int, busy: bool) -> list[Row]:
    """A row per contender; rounds are interleaved, and the machine's peak is measured anew in each."""
    entries = (checked_paths if work.alphas else checked_training)(work, 1 if busy else None)
    clock = time.process_time if busy else time.perf_counter
    rates: dict[str, list[float]] = {name: [] for name in entries}
    peaks = []
    for turn in range(rounds + 1):  # the first wakes threads and memory
        peaks.append(peak(1) if busy else fma_peak(torch.float32, seconds=0.1))
        for name, entry in entries.items():
            rate = entry.per_second(clock)
            if turn:
                rates[name].append(rate)
    best = float(np.median(peaks))
    native = float(np.median(rates["native"]))
    rows = []
    for name, entry in entries.items():
        p20, p50, p80 = map(float, np.percentile(rates[name], [20, 50, 80]))
        rows.append(
            Row(
                workload=work.name,
                contender=name,
                per_s_p20=p20,
                per_s_p50=p50,
                per_s_p80=p80,
                native_over_this=native / p50,
                share_of_peak=p50 * work.fma_per_item / best,
                relative_error=entry.relative_error,
            )
        )
    return rows


def table_of(rows: list[Row], title: str) -> Table:
    """The rows for people."""
    table = Table(title=title)
    table.add_column("workload")
    table.add_column("contender")
    for column in ("M/s: p20", "p50", "p80", "native over this", "share of FMA peak", "relative error"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            row.workload,
            row.contender,
            *(f"{per_s / 1e6:.4g}" for per_s in (row.per_s_p20, row.per_s_p50, row.per_s_p80)),
            f"{row.native_over_this:.1f}",
            f"{row.share_of_peak:.1%}",
            f"{row.relative_error:.0e}",
        )
    return table


def main(
    quick: bool = False, json_rows: Annotated[bool, tyro.conf.arg(name="json")] = False, busy: bool = False
) -> None:
    """Print the table.

    Args:
        quick: fewer rounds.
        json_rows: one JSON object a row instead of the table.
        busy: one thread each, by processor time: for a machine that others use too.
    """
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # read by the allocator when the process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP_MEMORY)
    torch.set_num_threads(1 if busy else cores())  # the peers', whatever OMP_NUM_THREADS says
    rows = [row for work in WORKLOADS for row in measure(work, 2 if quick else 5, busy)]
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "backends": kernels.BACKENDS,
    }
    if json_rows:
        for row in rows:
            print(json.dumps(asdict(row) | machine))
        return
    table = table_of(rows, f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}")
    Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    tyro.cli(main)
