"""Speed of the GPU kernel beside the best that general tools do on the same GPU, in one run.

    python benchmarks/gpu.py [--quick] [--json]

Full-batch gradient descent on ½ mean squared error, float32. Peers: torch.compile(vmap(grad)), torch.bmm with hand-written gradients in a CUDA
graph, and JAX jit(vmap(scan)). Every contender is checked against the reference backend after 20 steps before it is timed; a row gives the
median network-steps/s with its 20th and 80th percentiles. Needs a GPU; a peer that is missing is left out by name.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Annotated

import numpy as np
import torch
import tyro
from peers import LR, Workload, bmm_step, jax_contender, torch_loss
from rich.console import Console
from rich.table import Table
from torch import Tensor

import kernels
from kernels import SGD, Architecture, Training, train

CHECKED_STEPS = 20
TIMED_STEPS = 200
NETWORKS = (((2, 16, 1), 32), ((2, 32, 1), 32), ((8, 16, 1), 32), ((2, 32, 32, 1), 32))

Trainer = Callable[[Tensor, int], Tensor]  # (params, steps) → new params


def graphed(step: Callable[[Tensor], Tensor], params: Tensor) -> Trainer:
    """`step` captured once in a CUDA graph and replayed."""
    still = params.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(still)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        still.copy_(step(still))

    def run(p: Tensor, steps: int) -> Tensor:
        still.copy_(p)
        for _ in range(steps):
            graph.replay()
        return still.clone()

    return run


def repeated(step: Callable[[Tensor], Tensor]) -> Trainer:
    """`steps` calls of `step`."""

    def run(p: Tensor, steps: int) -> Tensor:
        for _ in range(steps):
            p = step(p)
        return p

    return run


def contenders(widths: tuple[int, ...], x: Tensor, y: Tensor, params: Tensor) -> dict[str, Trainer]:
    """Everything that can train these networks here."""
    architecture = Architecture(widths)
    gradient = torch.vmap(torch.func.grad(partial(torch_loss, widths, x=x, y=y)))
    found: dict[str, Trainer] = {
        "gpu": lambda p, steps: train(architecture, p, (x, y), Training(steps, SGD(LR)), backend="gpu").params,
        "torch.compile(vmap(grad))": repeated(torch.compile(lambda p: p - LR * gradient(p))),
        "torch.bmm in a CUDA graph": graphed(partial(bmm_step, widths, x, y), params),
    }
    try:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # torch's memory is on the same GPU
        import jax

        if jax.default_backend() != "gpu":
            raise ImportError
        by_steps = {
            steps: jax_contender(Workload("", widths, len(x), len(params), steps), x, y)
            for steps in (CHECKED_STEPS, TIMED_STEPS)
        }
        found["JAX jit(vmap(scan))"] = lambda p, steps: by_steps[steps](p, p)
    except ImportError:
        print(
            "JAX with a GPU is not installed and is left out (pip install .[peers] and its GPU plugin).",
            file=sys.stderr,
        )
    return found


def measure(widths: tuple[int, ...], n_samples: int, n_networks: int, rounds: int) -> list[dict[str, object]]:
    """A row per contender: network-steps a second and how many times slower than ours."""
    x = torch.rand(n_samples, widths[0], generator=torch.Generator().manual_seed(0)).cuda() * 2 - 1
    y = torch.sin(3 * x[:, :1]) * x[:, 1:2]
    params = Architecture(widths).initial(n_networks).cuda()
    want = train(
        Architecture(widths), params[:256].double(), (x, y), Training(CHECKED_STEPS, SGD(LR)), backend="reference"
    ).params
    rates: dict[str, list[float]] = {}
    for name, contender in contenders(widths, x, y, params).items():
        got = contender(params, CHECKED_STEPS)[:256].double()
        error = ((got - want).norm() / want.norm()).item()
        if not error < 1e-4:
            raise SystemExit(
                f"{name} is wrong on {widths}: relative error {error:.2e} against the reference; not timed."
            )
        contender(params, TIMED_STEPS)  # compiles
        rates[name] = []
        for _ in range(rounds):
            torch.cuda.synchronize()
            start = time.perf_counter()
            contender(params, TIMED_STEPS)
            torch.cuda.synchronize()
            rates[name].append(n_networks * TIMED_STEPS / (time.perf_counter() - start))
    base = float(np.median(rates["gpu"]))
    rows: list[dict[str, object]] = []
    for name, values in rates.items():
        p20, p50, p80 = np.percentile(values, [20, 50, 80])
        network = "-".join(map(str, widths))
        rows.append(
            {
                "network": network,
                "contender": name,
                "per_s_p20": p20,
                "per_s_p50": p50,
                "per_s_p80": p80,
                "ours_over_this": base / p50,
            }
        )
    return rows


def main(quick: bool = False, json_rows: Annotated[bool, tyro.conf.arg(name="json")] = False) -> None:
    """Print the table.

    Args:
        quick: fewer rounds and networks.
        json_rows: one JSON object a row instead of the table.
    """
    if not torch.cuda.is_available():
        raise SystemExit(
            "benchmarks/gpu.py needs a GPU that torch sees; benchmarks/gpu_cost.py prints bounds without one."
        )
    n_networks = 2**14 if quick else 2**17
    rows = [row for widths, n_samples in NETWORKS for row in measure(widths, n_samples, n_networks, 3 if quick else 9)]
    machine = {
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "networks": n_networks,
        "backends": kernels.BACKENDS,
    }
    table = Table(title=f"{machine['gpu']}, torch {machine['torch']}, {n_networks:,} networks, 32 samples")
    for column in ("network", "contender", "M network-steps/s: p20", "p50", "p80", "ours over this"):
        table.add_column(column, justify="left" if column in ("network", "contender") else "right")
    for row in rows:
        if json_rows:
            print(json.dumps(row | machine))
            continue
        millions = [f"{row[key] / 1e6:.4g}" for key in ("per_s_p20", "per_s_p50", "per_s_p80")]  # type: ignore[operator]
        table.add_row(str(row["network"]), str(row["contender"]), *millions, f"{row['ours_over_this']:.1f}")
    if not json_rows:
        Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    tyro.cli(main)
