"""Training on batches beside general tools, in one run: cross-entropy, Adam, sampling with replacement, online inputs.

    python benchmarks/batches.py [--quick] [--json]

`benchmarks/peers.py` holds full batches. Here every contender takes the same batches as the native kernel; the peers
are given them (drawn beforehand, not timed), the native kernel draws its own. Peers: torch.compile(vmap(grad)) and
torch.compile of batched products under torch.func.grad. Each is checked against the native kernel's parameters, which
the tests hold to the reference; rounds are interleaved. One thread each, by processor time, so that others on the
machine count little; beside it the share of the FMA peak measured in the same rounds. Then the native kernel's cost of
a network-step from a thousand networks to a million, on one thread and on two.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from kernels import SGD, Adam, Architecture, Teacher, Training, reference, train
from kernels.native import fma_peak, vector_bytes
from kernels.problem import training_problem
from kernels.samples import Data

TOLERANCE = 1e-3  # of the way that parameters go in the steps of a call, float32
SECONDS = 0.5  # of calls in a row
LR = 0.01


@dataclass(frozen=True)
class Workload:
    """Networks, steps of a call, samples of the table (0: online, from a teacher of one unit), batch, optimizer."""

    name: str
    widths: tuple[int, ...]
    activation: str
    networks: int
    steps: int
    samples: int
    batch: int
    sampling: str = "epoch"
    loss: str = "mse"
    adam: bool = False

    @property
    def training(self) -> Training:
        """As the kernels take it."""
        optimizer = Adam(lr=LR) if self.adam else SGD(lr=LR)
        return Training(self.steps, optimizer, self.loss, batch_size=self.batch, sampling=self.sampling)

    @property
    def fma(self) -> int:
        """Multiply-adds of a network-step: forward, gradients, deltas; activations and optimizer not counted."""
        forward = sum(i * o for i, o in zip(self.widths[:-1], self.widths[1:], strict=True))
        deltas = sum(i * o for i, o in zip(self.widths[1:-1], self.widths[2:], strict=True))
        return self.batch * (2 * forward + deltas)

    @property
    def architecture(self) -> Architecture:
        """With biases, but for the committee that learns online."""
        return Architecture(self.widths, self.activation, biases=self.samples > 0)


WORKLOADS = (
    Workload("32-64-64-10 relu, cross-entropy, batches of 32 of 1,024", (32, 64, 64, 10), "relu", 256, 8, 1024, 32,
             loss="cross_entropy"),
    Workload("2-16-1 tanh, Adam, 16 of 1,024 with replacement", (2, 16, 1), "tanh", 1024, 50, 1024, 16, "replacement",
             adam=True),
    Workload("2-16-1 erf, Adam, 16 of 1,024 with replacement", (2, 16, 1), "erf", 1024, 50, 1024, 16, "replacement",
             adam=True),
    Workload("1000-2-1 erf, online, one sample a step", (1000, 2, 1), "erf", 64, 200, 0, 1),
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A contender: millions of network-steps a second of one core's time, 20 %, 50 %, 80 %."""

    workload: str
    contender: str
    p20: float
    p50: float
    p80: float
    native_over_this: float
    share_of_peak: float
    relative_error: float  # of the way that parameters go


def outputs_of(architecture: Architecture, params: Tensor, x: Tensor) -> Tensor:
    """Of one network `[n_parameters]` and x `[b, n_inputs]`, or of many with a leading axis each."""
    activate: dict[str, Callable[[Tensor], Tensor]] = {
        "relu": torch.relu,
        "tanh": torch.tanh,
        "erf": lambda z: torch.erf(z * 2**-0.5),
    }
    layers = architecture.layers(params)
    for k, (weight, bias) in enumerate(layers):
        x = x @ weight.mT
        if bias is not None:
            x = x + bias[..., None, :]
        x = activate[architecture.activation](x) if k < len(layers) - 1 else x
    return x


def loss_of(work: Workload, params: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The mean loss of a batch; of many networks the sum of theirs."""
    outputs = outputs_of(work.architecture, params, x)
    if work.loss == "mse":
        return 0.5 * (outputs - y).square().sum(-1).mean(-1).sum()
    right = outputs.gather(-1, y[..., None])[..., 0]
    return (outputs.logsumexp(-1) - right).mean(-1).sum()


def stepped(work: Workload, gradient: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., list[Tensor]]:
    """One step of a peer: parameters, moments and the batch's number to the next, compiled as one."""

    def step(params: Tensor, m: Tensor, v: Tensor, t: Tensor, x: Tensor, y: Tensor) -> list[Tensor]:
        g = gradient(params, x, y)
        if not work.adam:
            return [params - LR * g, m, v]
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        return [params - LR * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8), m, v]

    return torch.compile(step)


def contenders(work: Workload, initial: Tensor, data: Data) -> dict[str, Callable[[], Tensor]]:
    """What trains: () → parameters after the workload's steps."""
    architecture = work.architecture
    problem = training_problem(architecture, initial, data, work.training)
    batches = [reference.batch(problem, step) for step in range(work.steps)]
    counts = [torch.tensor(float(step + 1)) for step in range(work.steps)]

    def native() -> Tensor:
        return train(architecture, initial, data, work.training, backend="native", threads=1).params

    def peer(step: Callable[..., list[Tensor]]) -> Tensor:
        params, m, v = initial, torch.zeros_like(initial), torch.zeros_like(initial)
        for t, (x, y) in zip(counts, batches, strict=True):
            params, m, v = step(params, m, v, t, x, y)
        return params

    loss = partial(loss_of, work)
    of_each = torch.vmap(torch.func.grad(loss))
    return {
        "native": native,
        "torch.compile(vmap(grad))": partial(peer, stepped(work, of_each)),
        "torch.compile(bmm)": partial(peer, stepped(work, torch.func.grad(loss))),
    }


def measure(work: Workload, rounds: int) -> list[Row]:
    """A row a contender."""
    torch.manual_seed(0)
    initial = work.architecture.initial(work.networks, 0)
    x = torch.randn(max(work.samples, 1), work.widths[0])
    y = torch.randint(work.widths[-1], (len(x),)) if work.loss == "cross_entropy" else torch.sin(x.sum(1, keepdim=True))
    unit = Architecture((work.widths[0], 1, 1), work.activation, biases=False)
    data = (x, y) if work.samples else Teacher(unit, unit.initial(1, 9))
    runs = contenders(work, initial, data)
    want = runs["native"]()
    moved = (want - initial).norm()
    errors = {name: float((run() - want).norm() / moved) for name, run in runs.items()}  # also compiles
    if wrong := {name: error for name, error in errors.items() if not error < TOLERANCE}:
        raise SystemExit(f"{work.name}: {wrong} against the native kernel; not timed.")
    rates: dict[str, list[float]] = {name: [] for name in runs}
    peaks = []
    for _ in range(rounds):
        peaks.append(peak())
        for name, run in runs.items():
            calls = 0
            start = time.process_time()
            while (taken := time.process_time() - start) < SECONDS:
                run()
                calls += 1
            rates[name].append(calls * work.networks * work.steps / taken)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = statistics.median(peaks)
    return [
        Row(
            work.name,
            name,
            *(float(q) / 1e6 for q in torch.tensor(values).quantile(torch.tensor([0.2, 0.5, 0.8]))),
            native_over_this=medians["native"] / medians[name],
            share_of_peak=medians[name] * work.fma / best,
            relative_error=errors[name],
        )
        for name, values in rates.items()
    ]


def peak() -> float:
    """Multiply-adds a second of one core's own time."""
    start, busy = time.perf_counter(), time.process_time()
    rate = fma_peak(threads=1, seconds=0.2)
    return rate * (time.perf_counter() - start) / (time.process_time() - busy)


def costs(sizes: list[int]) -> list[dict[str, float]]:
    """Processor time of a network-step of 2-16-1 (relu, 32 samples, calls of 100 steps), ns, on one and two threads."""
    architecture = Architecture((2, 16, 1))
    x = torch.randn(32, 2)
    samples = (x, torch.sin(x.sum(1, keepdim=True)))
    rows = []
    for n in sizes:
        params = architecture.initial(n)
        row: dict[str, float] = {"networks": n}
        for threads in (1, 2):
            taken = []
            for _ in range(max(3, min(20, 200_000 // n))):
                start = time.process_time()
                train(architecture, params, samples, Training(100, SGD(lr=0.05)), backend="native", threads=threads)
                taken.append(time.process_time() - start)
            row[f"{threads} thread{'s' * (threads > 1)}, ns"] = 1e9 * min(taken) / (100 * n)
        rows.append(row)
    return rows


def main(quick: bool = False, json_rows: Annotated[bool, tyro.conf.arg(name="json")] = False) -> None:
    """Print the tables.

    Args:
        quick: fewer rounds, and up to 16,384 networks.
        json_rows: one JSON object a row instead.
    """
    torch.set_num_threads(1)
    rows = [row for work in WORKLOADS for row in measure(work, 3 if quick else 9)]
    flat = costs([1024, 16_384] if quick else [1024, 16_384, 131_072, 1_048_576])
    if json_rows:
        print("\n".join(json.dumps(row) for row in [*map(asdict, rows), *flat]))
        return
    table = Table(*asdict(rows[0]), title=f"M network-steps a second of one core, {8 * vector_bytes()}-bit vectors")
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else value for value in asdict(row).values()))
    console = Console(width=None if sys.stdout.isatty() else 170)
    console.print(table)
    table = Table(*flat[0], title="processor time of a network-step")
    for cost in flat:
        table.add_row(*(f"{value:,.0f}" for value in cost.values()))
    console.print(table)


if __name__ == "__main__":
    tyro.cli(main)
