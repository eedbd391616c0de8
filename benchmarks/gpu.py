"""Speed of the GPU kernel beside the best that general tools do on the same GPU, in one run.

    python benchmarks/gpu.py [--quick] [--json]

Full-batch gradient descent on ½ mean squared error, float32. Peers: torch.compile(vmap(grad)), torch.bmm with
hand-written gradients in a CUDA graph, and JAX jit(vmap(scan)). Every contender is checked against the reference
backend after 20 steps before it is timed; a row gives the median network-steps/s with its 20th and 80th percentiles.
Needs a GPU; a peer that is missing is left out by name.
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
from rich.console import Console
from rich.table import Table
from torch import Tensor

import kernels
from kernels import SGD, Architecture, Training, peers, train
from kernels.peers import LR

CHECKED_STEPS = 20
TIMED_STEPS = 200
NETWORKS = (((2, 16, 1), 32), ((2, 32, 1), 32), ((8, 16, 1), 32), ((2, 32, 32, 1), 32))

Trainer = Callable[[Tensor, int], Tensor]  # (params, steps) → new params


def contenders(widths: tuple[int, ...], x: Tensor, y: Tensor, params: Tensor) -> dict[str, Callable[[], Trainer]]:
    """Everything that may train these networks here, each with what makes it ready."""

    def jax() -> Trainer:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # torch's memory is on the same GPU
        by_steps = {steps: peers.jax_trainer(widths, steps, x, y) for steps in (CHECKED_STEPS, TIMED_STEPS)}
        return lambda p, steps: by_steps[steps](p)

    architecture = Architecture(widths)
    return {
        "gpu": lambda: lambda p, steps: train(architecture, p, (x, y), Training(steps, SGD(LR)), backend="gpu").params,
        "torch.compile(vmap(grad))": lambda: peers.repeated(peers.compiled_step(widths, x, y)),
        "torch.bmm in a CUDA graph": lambda: peers.graphed(partial(peers.bmm_step, widths, x, y), params),
        "JAX jit(vmap(scan))": jax,
    }


def ready(name: str, make: Callable[[], Trainer], params: Tensor, want: Tensor) -> Trainer | None:
    """A contender that has compiled and is right; None, and its reason said, for one that cannot run. SystemExit
    where it is wrong.
    """
    try:
        contender = make()
        got = contender(params, CHECKED_STEPS)[: len(want)].double()
        contender(params, TIMED_STEPS)
    except Exception as error:  # whatever a tool that is not ours raises
        if name == "gpu":
            raise
        print(f"{name} cannot run here and is left out: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return None
    error = ((got - want).norm() / want.norm()).item()
    if not error < 1e-4:
        raise SystemExit(f"{name} is wrong: relative error {error:.2e} against the reference; not timed.")
    return contender


def measure(widths: tuple[int, ...], n_samples: int, n_networks: int, rounds: int) -> list[dict[str, object]]:
    """A row per contender: network-steps a second and how many times slower than ours."""
    x = torch.rand(n_samples, widths[0], generator=torch.Generator().manual_seed(0)).cuda() * 2 - 1
    y = torch.sin(3 * x[:, :1]) * x[:, 1:2]
    params = Architecture(widths).initial(n_networks, device="cuda")
    want = train(
        Architecture(widths), params[:256].double(), (x, y), Training(CHECKED_STEPS, SGD(LR)), backend="reference"
    ).params
    rates: dict[str, list[float]] = {}
    for name, make in contenders(widths, x, y, params).items():
        contender = ready(name, make, params, want)
        if contender is None:
            continue
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
        # type: ignore[operator]
        millions = [f"{row[key] / 1e6:.4g}" for key in ("per_s_p20", "per_s_p50", "per_s_p80")]
        table.add_row(str(row["network"]), str(row["contender"]), *millions, f"{row['ours_over_this']:.1f}")
    if not json_rows:
        Console(width=None if sys.stdout.isatty() else 150).print(table)


if __name__ == "__main__":
    tyro.cli(main)
