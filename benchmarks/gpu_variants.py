"""Variants of the training kernels on this machine's GPU: network-steps a second, measured beside predicted.

How the choices of `kernels/gpu/layouts.py` were made, and what `kernels/gpu/cost.py` was fitted to: every network of a
list in its own layout with other numbers of warps, registers and samples a turn; full batch of 32, float32. The kernel
alone is timed, its parameters being on the device.

    python benchmarks/gpu_variants.py [--out variants.jsonl]
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import tyro

from kernels import SGD, Adam, Architecture, Training
from kernels.cores import cores
from kernels.gpu import launch, layouts, missing
from kernels.gpu import plan as planning
from kernels.gpu.calls import Call
from kernels.gpu.compile import standing_in, target_here
from kernels.gpu.cost import Gpu, cost, gpu_named
from kernels.gpu.rates import data
from kernels.gpu.shapes import multiply_adds
from kernels.problem import TrainingProblem, training_problem

N_SAMPLES = 32
SECONDS = 0.03  # of a timed launch, about
OPTIMIZERS = {"sgd": SGD(lr=0.01), "momentum": SGD(lr=0.01, momentum=0.9), "adam": Adam(lr=0.01)}


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    out: Path | None = None
    """File for the rows, one JSON object a line."""


@dataclass(frozen=True)
class Variant:
    """A network, and what of its layout is another than `explain_layout` says; 0: what it says."""

    widths: tuple[int, ...]
    networks: int
    warps: int = 0
    registers: int = 0
    turn: int = 0
    optimizer: str = "sgd"


def variants() -> Iterator[Variant]:
    """All that are measured."""
    table: tuple[tuple[tuple[int, ...], int, tuple[tuple[int, ...], ...]], ...] = (
        ((2, 16, 1), 2**18, ((1, 168), (1, 128), (1, 255), (1, 168, 4))),
        ((8, 16, 1), 2**17, ((1, 255), (1, 168))),
        ((2, 32, 1), 2**17, ((1, 168), (1, 255))),
        ((2, 64, 1), 2**16, ((1, 168),)),
        ((2, 8, 8, 1), 2**17, ((1, 255), (1, 168))),
        ((2, 16, 16, 1), 2**16, ((1, 168), (1, 128), (1, 255), (2, 168), (1, 168, 16))),
        ((2, 32, 32, 1), 2**14, ((1, 255), (2, 255), (1, 168), (2, 168), (4, 168), (1, 255, 16))),
        ((2, 64, 64, 1), 2**13, ((4, 168), (4, 255), (8, 168), (2, 255))),
        ((4, 64, 64, 2), 2**13, ((4, 168), (4, 255), (8, 255), (8, 168))),
        ((2, 128, 128, 1), 2**11, ((8, 255), (16, 128))),
        ((64, 128, 10), 2**11, ((8, 255), (4, 255))),
        ((40, 64, 64, 2), 2**11, ((4, 255), (4, 168), (8, 255))),
        ((64, 128, 33), 2**11, tuple((w, 255, t) for t in (16, 32) for w in (1, 2, 4))),
    )
    for widths, networks, options in table:
        for option in options:
            yield Variant(widths, networks, *option)
    for optimizer in ("momentum", "adam"):
        for widths, networks, many in (((2, 32, 32, 1), 2**14, (1, 2, 4)), ((2, 64, 64, 1), 2**13, (4, 8))):
            for warps in many:
                yield Variant(widths, networks, warps, 255, optimizer=optimizer)
        yield Variant((2, 16, 16, 1), 2**16, 1, 168, optimizer=optimizer)
        yield Variant((2, 16, 16, 1), 2**16, 1, 255, optimizer=optimizer)


def call_of(variant: Variant, networks: int, steps: int, device: str) -> tuple[TrainingProblem, Call]:
    """Its first launch; on the CPU, for compiling, with the arrays where they are."""
    changes = {name: getattr(variant, name) for name in ("warps", "registers", "turn") if getattr(variant, name)}

    def changed(*arguments: Any, **more: Any) -> layouts.Layout:
        return dataclasses.replace(layouts.explain_layout(*arguments, **more), **changes)

    architecture = Architecture(variant.widths)
    params = architecture.initial(networks, 1, device=device)
    settings = Training(steps, OPTIMIZERS[variant.optimizer])
    problem = training_problem(architecture, params, data(variant.widths, N_SAMPLES), settings)
    with mock.patch.object(planning, "explain_layout", changed), mock.patch.object(launch, "LAUNCH_SECONDS", 1e9):
        return problem, launch.first_call(problem, "cuda")


def predicted(variant: Variant, gpu: Gpu) -> dict[str, Any]:
    """Issue bound and prediction; where the kernel does not compile, why."""
    torch.set_num_threads(1)
    try:
        with standing_in(gpu.target):
            problem, call = call_of(variant, 2, 10, "cpu")
            kernel = call.compiled()
        if call.plan.layout.name == "memory":  # loops within loops: nothing is predicted
            return {"layout": "memory", "shared": kernel.metadata.shared}
        batch = call.plan.batch
        flop = 2 * (N_SAMPLES * multiply_adds(problem.architecture) + problem.architecture.n_parameters)
        found = cost(kernel, gpu, N_SAMPLES / (batch.unroll * batch.tile), call.plan.layout.block, flop)
        names = ("spills", "shared", "resident", "issue_bound", "prediction", "roofline")
        used = {"layout": call.plan.layout.name, "registers_used": found.registers}
        return used | {name: getattr(found, name) for name in names}
    except Exception as error:  # whatever the compiler raises
        return {"left_out": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def measured(variant: Variant) -> float:
    """Network-steps a second, the best of three launches."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    steps, best = 4, 0.0
    for _ in range(4):
        call = call_of(variant, variant.networks, steps, "cuda")[1]
        begin.record()
        call.launch()
        end.record()
        torch.cuda.synchronize()
        took = begin.elapsed_time(end) / 1e3
        best = max(best, variant.networks * steps / took)
        steps = max(4, int(steps * SECONDS / took))
    return best


def main() -> None:
    """Print a line a variant."""
    settings = tyro.cli(Settings, description=__doc__)
    if not torch.cuda.is_available() or missing():
        raise SystemExit(f"benchmarks/gpu_variants.py measures a GPU: {missing()}")
    properties = torch.cuda.get_device_properties(0)
    name = torch.cuda.get_device_name(0)
    gpu = gpu_named(name, torch.cuda.get_device_capability(0), properties.multi_processor_count, 0.0)
    if gpu is None or gpu.target != target_here():
        raise SystemExit(f"kernels/gpu/cost.py does not know the GPU {name}: add it to CAPABILITIES.")
    todo = list(variants())
    rows = []
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        for variant, known in zip(todo, pool.map(predicted, todo, [gpu] * len(todo)), strict=True):
            row: dict[str, Any] = {"gpu": name, **dataclasses.asdict(variant), **known}
            if "left_out" not in row:
                row["per_s"] = measured(variant)
            rows.append(row)
            ratio = row["per_s"] / row["prediction"] if "prediction" in row and "per_s" in row else float("nan")
            numbers = [variant.widths, variant.optimizer, variant.warps, variant.registers, variant.turn]
            print(
                *numbers,
                row.get("layout"),
                f"{row.get('per_s', 0) / 1e9:.4f} G/s, of predicted {ratio:.2f}",
                flush=True,
            )
            if settings.out is not None:
                settings.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
