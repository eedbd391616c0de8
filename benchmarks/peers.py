"""Speed of the native kernel beside the best that general tools do on this CPU, in one run.

    python benchmarks/peers.py [--quick] [--json] [--busy]

Training: full-batch gradient descent on ½ mean squared error, float32. Paths: 25 alphas, float32. Peers:
torch.compile(vmap(grad)), torch.bmm with hand-written gradients (also under torch.compile), JAX jit(vmap(scan)) and a
plain torch loop over networks. Every contender is checked against the reference backend before it is timed; rounds
are interleaved, and a row gives the median with its 20th and 80th percentiles, the ratio to the native kernel's
median, and the share of the machine's measured FMA peak. Install the peers with `pip install .[peers]`; a peer that
is missing is left out by name.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
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
from kernels.peers import LR, bmm_step, compiled_step, jax_loss, jax_trainer, loss_of_one

# pairs at a time for the peers' paths: their intermediates (105 MB in torch) grow with it, and their speed falls
CHUNK = 1024
# freed memory is kept: page faults of fresh intermediates would cost the peers a factor of four
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
FEWER_NETWORKS = {"torch loop": 8}  # its time is proportional to them
SECONDS = 0.2  # of calls in a row, so that a contender's threads and memory are awake


@dataclass(frozen=True)
class Workload:
    """n_networks (or pairs) of `widths` on n_samples; `steps` a call; `alphas` is 0 for training."""

    name: str
    widths: tuple[int, ...]
    n_samples: int
    n_networks: int
    steps: int
    alphas: int = 0

    @property
    def fma_per_item(self) -> int:
        """Fused multiply-adds of a network-step (forward, weight gradients, deltas) or an evaluation (forward)."""
        forward = sum(i * o for i, o in zip(self.widths[:-1], self.widths[1:], strict=True))
        deltas = sum(i * o for i, o in zip(self.widths[1:-1], self.widths[2:], strict=True))
        return self.n_samples * (forward if self.alphas else 2 * forward + deltas)

    @property
    def items(self) -> int:
        """Network-steps, or evaluations, of one call."""
        return self.n_networks * (self.alphas or self.steps)


WORKLOADS = (
    Workload("train 2-16-1, 64 samples", (2, 16, 1), 64, 1024, 200),
    Workload("train 2-32-32-1, 128 samples", (2, 32, 32, 1), 128, 256, 20),
    Workload("train 16-16-2, 64 samples", (16, 16, 2), 64, 1024, 50),
    Workload("paths 2-16-1, 64 samples, 25 alphas", (2, 16, 1), 64, 16384, 1, 25),
)

# (params, unused) → new params; or (params_a, params_b) → losses [n_pairs, n_alphas]
Contender = Callable[[Tensor, Tensor], Tensor]


def repeat(step: Callable[[Tensor], Tensor], steps: int) -> Contender:
    """`steps` calls of `step`."""

    def run(p: Tensor, _: Tensor) -> Tensor:
        for _step in range(steps):
            p = step(p)
        return p

    return run


def loop_train(work: Workload, x: Tensor, y: Tensor) -> Contender:
    """A plain torch loop: one nn.Sequential and one torch.optim.SGD per network."""

    def run(p: Tensor, _: Tensor) -> Tensor:
        architecture = Architecture(work.widths)
        trained = []
        for row in p:
            model = architecture.to_torch(row)
            optimizer = torch.optim.SGD(model.parameters(), lr=LR)
            for _step in range(work.steps):
                optimizer.zero_grad()
                (0.5 * (model(x) - y).square().sum(1).mean()).backward()
                optimizer.step()
            trained.append(architecture.from_torch(model))
        return torch.stack(trained)

    return run


def chunked(contender: Contender) -> Contender:
    """CHUNK pairs at a time."""
    return lambda a, b: torch.cat([contender(p, q) for p, q in zip(a.split(CHUNK), b.split(CHUNK), strict=True)])


def jax_contender(work: Workload, x: Tensor, y: Tensor) -> Contender:
    """JAX: jit(vmap(scan of grad)) for training, jit(vmap(vmap)) for paths, on the arrays' own device."""
    if not work.alphas:
        run = jax_trainer(work.widths, work.steps, x, y)
        return lambda a, _: run(a)
    import jax
    import jax.numpy as jnp

    jx = jnp.from_dlpack(x.contiguous())
    jy = jnp.from_dlpack(y.contiguous())
    alphas = jnp.linspace(0, 1, work.alphas)

    def along(a: Any, b: Any) -> Any:
        return jax.vmap(lambda t: jax_loss(work.widths, (1 - t) * a + t * b, jx, jy))(alphas)

    compiled = jax.jit(jax.vmap(along))
    return lambda a, b: torch.from_dlpack(compiled(jnp.from_dlpack(a), jnp.from_dlpack(b)).block_until_ready())


def path_contenders(work: Workload, x: Tensor, y: Tensor, threads: int | None) -> dict[str, Contender]:
    """What evaluates paths: (params_a, params_b) → losses `[n_pairs, n_alphas]`."""
    architecture = Architecture(work.widths)
    loss = partial(loss_of_one, work.widths, x=x, y=y)
    grid = torch.linspace(0, 1, work.alphas)

    def native(a: Tensor, b: Tensor) -> Tensor:
        options = {"dtype": torch.float32, "backend": "native", "threads": threads}
        return path_losses(architecture, a, b, grid, (x, y), **options).loss

    def along(a: Tensor, b: Tensor) -> Tensor:
        return torch.vmap(lambda t: loss((1 - t) * a + t * b))(grid)

    return {"native": native, "torch.compile(vmap)": chunked(torch.compile(torch.vmap(along)))}


def training_contenders(work: Workload, x: Tensor, y: Tensor, threads: int | None) -> dict[str, Contender]:
    """What trains: (params, unused) → params."""
    architecture = Architecture(work.widths)

    def native(a: Tensor, _: Tensor) -> Tensor:
        training = Training(work.steps, SGD(LR))
        return train(architecture, a, (x, y), training, backend="native", threads=threads).params

    step = partial(bmm_step, work.widths, x, y)
    return {
        "native": native,
        "torch.compile(vmap(grad))": repeat(compiled_step(work.widths, x, y), work.steps),
        "torch.compile(bmm)": repeat(torch.compile(step), work.steps),
        "torch.bmm": repeat(step, work.steps),
        "torch loop": loop_train(work, x, y),
    }


def contenders(work: Workload, x: Tensor, y: Tensor, threads: int | None) -> dict[str, Contender]:
    """Everything that can run this workload here; threads: of the native kernel."""
    found = (path_contenders if work.alphas else training_contenders)(work, x, y, threads)
    try:
        jax = jax_contender(work, x, y)
        found["JAX jit(vmap)" if work.alphas else "JAX jit(vmap(scan))"] = chunked(jax) if work.alphas else jax
    except ImportError:
        print("JAX is not installed and is left out (pip install .[peers]).", file=sys.stderr)
    return found


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
    """A contender that is right, and how many networks it is given."""

    run: Contender
    n_networks: int
    relative_error: float


def checked_entries(
    work: Workload, x: Tensor, y: Tensor, a: Tensor, b: Tensor, threads: int | None
) -> dict[str, Entry]:
    """The contenders by name, each compiled and compared with the reference; SystemExit if one is wrong."""
    architecture = Architecture(work.widths)
    if work.alphas:
        want = path_losses(architecture, a, b, torch.linspace(0, 1, work.alphas), (x, y), backend="reference").loss
    else:
        want = train(architecture, a.double(), (x, y), Training(work.steps, SGD(LR)), backend="reference").params
    entries = {}
    for name, contender in contenders(work, x, y, threads).items():
        n = FEWER_NETWORKS.get(name, work.n_networks)
        got = contender(a[:n], b[:n]).double()  # also compiles
        error = ((got - want[:n]).norm() / want[:n].norm()).item()
        if not error < 1e-4:
            raise SystemExit(
                f"{name} is wrong on {work.name}: relative error {error:.2e} against the reference; not timed."
            )
        entries[name] = Entry(contender, n, error)
    return entries


def peak(threads: int) -> float:
    """Multiply-adds a second of as many cores' own time."""
    seconds = 0.02
    busy = time.process_time()
    rate = fma_peak(threads=threads, seconds=seconds)  # by the clock, over so long in every thread
    return rate * threads * seconds / (time.process_time() - busy)


def items_per_second(
    work: Workload, entry: Entry, a: Tensor, b: Tensor, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Network-steps or evaluations a second, over calls that last SECONDS together."""
    calls = 0
    start = clock()
    while (elapsed := clock() - start) < SECONDS:
        entry.run(a[: entry.n_networks], b[: entry.n_networks])
        calls += 1
    return calls * work.items * entry.n_networks / work.n_networks / elapsed


def arrays_of(work: Workload) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Samples x and y of a workload, and the networks that it begins with: parameters a, and b at paths' other end."""
    torch.manual_seed(0)
    architecture = Architecture(work.widths)
    x = torch.rand(work.n_samples, work.widths[0]) * 2 - 1
    y = (torch.sin(3 * x[:, :1]) * x[:, 1:2]).repeat(1, work.widths[-1])
    return x, y, architecture.initial(work.n_networks, 0), architecture.initial(work.n_networks, 1)


def measure(work: Workload, rounds: int, busy: bool) -> list[Row]:
    """A row per contender; rounds are interleaved, and the machine's peak is measured anew in each."""
    x, y, a, b = arrays_of(work)
    entries = checked_entries(work, x, y, a, b, threads=1 if busy else None)
    clock = time.process_time if busy else time.perf_counter
    rates: dict[str, list[float]] = {name: [] for name in entries}
    peaks = []
    for _ in range(rounds):
        peaks.append(peak(1) if busy else fma_peak(torch.float32, seconds=0.1))
        for name, entry in entries.items():
            rates[name].append(items_per_second(work, entry, a, b, clock))
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
    rows = [row for work in WORKLOADS for row in measure(work, 3 if quick else 9, busy)]
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
