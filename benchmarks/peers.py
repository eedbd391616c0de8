"""Speed of the native kernel beside the best that general tools do on this CPU, in one run.

    python benchmarks/peers.py [--quick] [--json]

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
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

import kernels
from kernels import SGD, Architecture, Training, path_losses, train
from kernels.native import fma_peak
from kernels.peers import LR, bmm_step, compiled_step, jax_loss, jax_trainer, loss_of_one

# pairs at a time for the peers' paths: their intermediates (105 MB in torch) grow with it, and their speed falls
CHUNK = 1024
# freed memory is kept: page faults of fresh intermediates would cost the peers a factor of four
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "2000000000", "MALLOC_TRIM_THRESHOLD_": "8000000000"}
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
    Workload("train 2-32-32-1, 128 samples", (2, 32, 32, 1), 128, 1024, 20),
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
        out = []
        for row in p:
            model = architecture.to_torch(row)
            optimizer = torch.optim.SGD(model.parameters(), lr=LR)
            for _step in range(work.steps):
                optimizer.zero_grad()
                (0.5 * (model(x) - y).square().sum(1).mean()).backward()
                optimizer.step()
            out.append(architecture.from_torch(model))
        return torch.stack(out)

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
    along = lambda a, b: jax.vmap(lambda t: jax_loss(work.widths, (1 - t) * a + t * b, jx, jy))(alphas)  # noqa: E731
    compiled = jax.jit(jax.vmap(along))
    return lambda a, b: torch.from_dlpack(compiled(jnp.from_dlpack(a), jnp.from_dlpack(b)).block_until_ready())


def path_contenders(work: Workload, x: Tensor, y: Tensor) -> dict[str, Contender]:
    """What evaluates paths: (params_a, params_b) → losses `[n_pairs, n_alphas]`."""
    architecture = Architecture(work.widths)
    loss = partial(loss_of_one, work.widths, x=x, y=y)
    grid = torch.linspace(0, 1, work.alphas)

    def native(a: Tensor, b: Tensor) -> Tensor:
        return path_losses(architecture, a, b, grid, (x, y), dtype=torch.float32, backend="native").loss

    def along(a: Tensor, b: Tensor) -> Tensor:
        return torch.vmap(lambda t: loss((1 - t) * a + t * b))(grid)

    return {"native": native, "torch.compile(vmap)": chunked(torch.compile(torch.vmap(along)))}


def training_contenders(work: Workload, x: Tensor, y: Tensor) -> dict[str, Contender]:
    """What trains: (params, unused) → params."""
    architecture = Architecture(work.widths)

    def native(a: Tensor, _: Tensor) -> Tensor:
        return train(architecture, a, (x, y), Training(work.steps, SGD(LR)), backend="native").params

    step = partial(bmm_step, work.widths, x, y)
    return {
        "native": native,
        "torch.compile(vmap(grad))": repeat(compiled_step(work.widths, x, y), work.steps),
        "torch.compile(bmm)": repeat(torch.compile(step), work.steps),
        "torch.bmm": repeat(step, work.steps),
        "torch loop": loop_train(work, x, y),
    }


def contenders(work: Workload, x: Tensor, y: Tensor) -> dict[str, Contender]:
    """Everything that can run this workload here."""
    found = path_contenders(work, x, y) if work.alphas else training_contenders(work, x, y)
    try:
        jax = jax_contender(work, x, y)
        found["JAX jit(vmap)" if work.alphas else "JAX jit(vmap(scan))"] = chunked(jax) if work.alphas else jax
    except ImportError:
        print("JAX is not installed and is left out (pip install .[peers]).", file=sys.stderr)
    return found


def measure(work: Workload, rounds: int) -> list[dict[str, object]]:
    """A row per contender: items a second (median, 20th and 80th percentile), ratio to native, share of peak."""
    torch.manual_seed(0)
    architecture = Architecture(work.widths)
    x = torch.rand(work.n_samples, work.widths[0]) * 2 - 1
    y = torch.sin(3 * x[:, :1]) * x[:, 1:2]
    a = architecture.initial(work.n_networks, 0)
    b = architecture.initial(work.n_networks, 1)
    few = {"torch loop": 8}  # networks of the loop: it is linear in them
    if work.alphas:
        want = path_losses(architecture, a, b, torch.linspace(0, 1, work.alphas), (x, y), backend="reference").loss
    else:
        want = train(architecture, a.double(), (x, y), Training(work.steps, SGD(LR)), backend="reference").params
    running = {}
    for name, contender in contenders(work, x, y).items():
        n = few.get(name, work.n_networks)
        got = contender(a[:n], b[:n]).double()  # also compiles
        error = ((got - want[:n]).norm() / want[:n].norm()).item()
        if not error < 1e-4:
            raise SystemExit(
                f"{name} is wrong on {work.name}: relative error {error:.2e} against the reference; not timed."
            )
        running[name] = (contender, n, error)
    rates: dict[str, list[float]] = {name: [] for name in running}
    peaks = []
    for _ in range(rounds):
        peaks.append(fma_peak(torch.float32, seconds=0.1))
        for name, (contender, n, _error) in running.items():
            calls = 0
            start = time.perf_counter()
            while (elapsed := time.perf_counter() - start) < SECONDS:
                contender(a[:n], b[:n])
                calls += 1
            rates[name].append(calls * work.items * n / work.n_networks / elapsed)
    peak = float(np.median(peaks))
    base = float(np.median(rates["native"]))
    rows = []
    for name, (_contender, _n, error) in running.items():
        p20, p50, p80 = np.percentile(rates[name], [20, 50, 80])
        row = {
            "workload": work.name,
            "contender": name,
            "per_s_p20": p20,
            "per_s_p50": p50,
            "per_s_p80": p80,
            "native_over_this": base / p50,
        }
        rows.append(row | {"share_of_peak": p50 * work.fma_per_item / peak, "relative_error": error})
    return rows


def main(quick: bool = False, json_rows: Annotated[bool, tyro.conf.arg(name="json")] = False) -> None:
    """Print the table.

    Args:
        quick: fewer rounds.
        json_rows: one JSON object a row instead of the table.
    """
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # read by the allocator when the process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | KEEP_MEMORY)
    rows = [row for work in WORKLOADS for row in measure(work, 3 if quick else 9)]
    machine = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "backends": kernels.BACKENDS,
    }
    if json_rows:
        for row in rows:
            print(json.dumps(row | machine))
        return
    table = Table(title=f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}")
    for column in (
        "workload",
        "contender",
        "M/s: p20",
        "p50",
        "p80",
        "native over this",
        "share of FMA peak",
        "relative error",
    ):
        table.add_column(column, justify="left" if column in ("workload", "contender") else "right")
    for r in rows:
        millions = [f"{r[k] / 1e6:.4g}" for k in ("per_s_p20", "per_s_p50", "per_s_p80")]  # type: ignore[operator]
        table.add_row(
            r["workload"],
            r["contender"],
            *millions,
            f"{r['native_over_this']:.1f}",
            f"{r['share_of_peak']:.1%}",
            f"{r['relative_error']:.0e}",
        )  # type: ignore[arg-type]
    Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    tyro.cli(main)
