"""What this machine can run, and how fast."""

from __future__ import annotations

import os
import platform
import shutil
import time

import torch
from rich.console import Console
from rich.table import Table

import kernels
from kernels import Architecture, Training, reference
from kernels.problem import PathProblem, TrainingProblem, path_problem, training_problem
from testbed.run import environment


def examine(console: Console) -> None:
    """Print versions, compiler, native kernel (or why there is none), vector width, cores, and the speed of each backend."""
    why = kernels.native.missing()
    compiler = next((found for name in ("g++", "clang++", "c++") if (found := shutil.which(name))), "none")
    rows = {
        **environment("reference" if why else "native"),
        "cores": str(len(os.sched_getaffinity(0))),
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


GPU_NETWORKS = ((2, 16, 1), (2, 32, 1), (8, 16, 1), (2, 8, 8, 1), (2, 32, 32, 1))
# besides: a network on eight warps, and networks in device memory on one and on four
GPU_CHECKED = (*GPU_NETWORKS, (2, 128, 128, 1), (40, 20, 2), (40, 64, 64, 2))
GPU_BATCHES = ("full", "epoch", "replacement", "online")
N_SAMPLES = 32
N_CHECKED = 37  # networks, and pairs


def examine_gpu(console: Console) -> bool:
    """Hold every layout of the GPU kernels against the reference, then measure it beside the bound read from its machine code.

    Returns whether everything agreed; where the kernels cannot run, says why and returns True.
    """
    if why := kernels.gpu.missing():
        console.print(f"The GPU kernels cannot run here: {why}")
        return True
    errors = Table("against the reference, float32, 20 steps", *GPU_BATCHES, "paths", box=None)
    agrees = True
    for widths in GPU_CHECKED:
        row = [training_error(widths, batch) for batch in GPU_BATCHES] + [path_error(widths)]
        agrees &= all(error < 1e-4 for error in row)
        errors.add_row("-".join(map(str, widths)), *(f"{error:.1e}" for error in row))
    console.print(errors)
    console.print("All agree to 1e-4." if agrees else "NOT ALL AGREE to 1e-4: please report this table.")
    if torch.cuda.is_available():
        console.print(gpu_speeds())
    return agrees


def training_error(widths: tuple[int, ...], batch: str) -> float:
    """Relative error of the parameters after 20 steps of float32, against the reference."""
    problem = _gpu_problem(widths, batch, N_CHECKED, steps=20)
    got, want = kernels.gpu.train(problem)[0].double(), reference.train(problem)[0].double()
    return ((got - want).norm() / want.norm()).item()


def path_error(widths: tuple[int, ...]) -> float:
    """Relative error of float64 path losses, against the reference."""
    architecture = Architecture(widths)
    a, b = architecture.initial(N_CHECKED, 1), architecture.initial(N_CHECKED, 2)
    problem: PathProblem = path_problem(
        architecture, a, b, torch.linspace(0, 1, 5), _gpu_data(widths), "mse", torch.float64, None, None, 0
    )
    got, want = kernels.gpu.path_losses(problem)[0], reference.path_losses(problem)[0]
    return ((got - want).norm() / want.norm()).item()


def gpu_speeds(n_networks: int = 2**18, seconds: float = 1.0) -> Table:
    """Measured network-steps a second of this GPU, beside the bound and the estimate from machine code for the GPU that it is named after."""
    from kernels.gpu.compile import training_cost
    from kernels.gpu.cost import GPUS

    name = torch.cuda.get_device_name()
    known = next((gpu for key, gpu in GPUS.items() if key in name), None)
    table = Table(
        name,
        "layout",
        "measured, G network-steps/s",
        "issue bound",
        "latency estimate",
        "FP32 roofline",
        "measured/roofline",
        box=None,
    )
    for widths in GPU_NETWORKS:
        problem = _gpu_problem(widths, "full", n_networks, steps=10)
        rate, steps = 0.0, 10
        for _ in range(4):
            problem = _gpu_problem(widths, "full", n_networks, steps)
            torch.cuda.synchronize()
            start = time.perf_counter()
            kernels.gpu.train(problem)
            torch.cuda.synchronize()
            took = time.perf_counter() - start
            rate = max(rate, n_networks * steps / took)
            steps = max(10, int(steps * seconds / took))
        layout = kernels.gpu.explain_layout(problem.architecture, problem.training)
        cells = [f"{rate / 1e9:.3f}", "—", "—", "—", "—"]
        if known is not None:
            c, _ = training_cost(problem, known)
            cells[1:] = [f"{x / 1e9:.3f}" for x in (c.issue_bound, c.latency_estimate, c.roofline)] + [
                f"{rate / c.roofline:.0%}"
            ]
        table.add_row("-".join(map(str, widths)), layout.name, *cells)
    return table


def _gpu_data(widths: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(N_SAMPLES, widths[0], generator=torch.Generator().manual_seed(0))
    return x, torch.sin(x.sum(1, keepdim=True)).expand(-1, widths[-1])


def _gpu_problem(widths: tuple[int, ...], batch: str, n_networks: int, steps: int) -> TrainingProblem:
    architecture = Architecture(widths)
    teacher = Architecture((widths[0], 4, widths[-1]), "tanh")
    data = kernels.Teacher(teacher, teacher.initial(1, 3)) if batch == "online" else _gpu_data(widths)
    sampling = "replacement" if batch == "replacement" else "epoch"
    training = Training(steps, kernels.SGD(lr=0.01), batch_size=None if batch == "full" else 8, sampling=sampling)
    params = architecture.initial(n_networks, 1)
    return training_problem(architecture, params, data, training, 5, None, None, None, None)
