"""What this machine can run, and how fast."""

from __future__ import annotations

import platform
import shutil
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import kernels
from kernels.cores import cores
from testbed.environment import environment


def examine(console: Console) -> None:
    """Print versions, compiler, native kernel (or why there is none), vector width, cores, and the speed of each
    backend.
    """
    why = kernels.native.missing()
    compiler = next((found for name in ("g++", "clang++", "c++") if (found := shutil.which(name))), "none")
    rows = {
        **environment("reference" if why else "native"),
        "cores": str(cores()),
        "C++ compiler": compiler,
    }
    rows["native kernel"] = f"missing: {why}" if why else "present"
    rows["backend"] = "reference" if why else "native, reference"
    rows["processor"] = platform.processor() or platform.machine()
    table = Table("this machine", "", box=None)
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    speeds = Table("training 2-16-1 on 64 samples, full batch, float32", "network-steps/s", box=None)
    for backend in ("reference",) if why else ("native", "reference"):
        speeds.add_row(backend, f"{speed(backend):,.0f}")
    console.print(speeds)


def speed(backend: str, seconds: float = 0.5, n_networks: int = 1024) -> float:
    """Network-steps a second of a backend, the best of three runs that last about `seconds` each."""
    architecture = kernels.Architecture((2, 16, 1))
    params, x = architecture.initial(n_networks), torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    data = (x, torch.sin(x.sum(1, keepdim=True)))
    steps, best = 10, 0.0
    for _ in range(4):
        start = time.perf_counter()
        kernels.train(architecture, params, data, kernels.Training(steps=steps), backend=backend)
        took = time.perf_counter() - start
        best = max(best, n_networks * steps / took)
        steps = max(10, int(steps * seconds / took))
    return best


def examine_gpu(console: Console, minutes: float = 8.0, out: Path | None = None) -> bool:
    """Say, within about `minutes`, whether the GPU kernels are right and how fast they and others are
    (`kernels.gpu.doctor`).

    out: file for the rows, one JSON object a line. Returns whether everything agreed; where the kernels cannot run,
        says why and returns True.
    """
    if why := kernels.gpu.missing():
        console.print(f"The GPU kernels cannot run here: {why}")
        return True
    from kernels.gpu import doctor

    rows: list[doctor.Row] = []
    tell = doctor.teller(out, console.print)

    def tell_and_keep(row: doctor.Row) -> None:
        rows.append(row)
        tell(row)

    agrees = doctor.examine(tell_and_keep, minutes)
    console.print(doctor.verdict(rows))
    return agrees
