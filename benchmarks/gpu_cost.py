"""What the training kernel will cost on GPUs that are not here: bounds from machine code, not measurements.

For each GPU and network: layout, registers, spills in the step loop, shared memory, warps a scheduler, instructions
of a network-step by pipe, the issue bound and the prediction in network-steps/s, the FP32 roofline, and the
lower of the two as a share of it. float32, full batch, SGD.

    python benchmarks/gpu_cost.py [--quick] [--json]
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.table import Table

from kernels import Architecture, Training
from kernels.gpu.compile import training_cost
from kernels.gpu.cost import GPUS, Cost
from kernels.gpu.layouts import Layout
from kernels.problem import training_problem

N_SAMPLES = 32
NETWORKS = ((2, 16, 1), (2, 32, 1), (8, 16, 1), (2, 32, 32, 1))
MORE = ((2, 4, 1), (2, 64, 1), (2, 8, 8, 1), (2, 16, 16, 1), (4, 64, 64, 2))


@dataclass(frozen=True)
class Settings:
    """What to compile for."""

    quick: bool = False
    """Only the H100 and the four networks of the table in docs/gpu.md."""
    json: bool = False
    """One JSON object a row instead of the table."""


def static_cost(widths: tuple[int, ...], gpu: str, n_samples: int = N_SAMPLES) -> tuple[Cost, Layout]:
    """Cost of training networks of these widths on one of GPUS, float32, plain SGD, relu, full batch."""
    architecture = Architecture(widths)
    source = (torch.zeros(n_samples, widths[0]), torch.zeros(n_samples, widths[-1]))
    problem = training_problem(architecture, architecture.initial(1), source, Training(1))
    return training_cost(problem, GPUS[gpu])


def main() -> None:
    """Print the table."""
    settings = tyro.cli(Settings, description=__doc__)
    table = Table(*("GPU", "network", "layout", "regs", "spills", "shared", "warps", "instructions by pipe"), box=None)
    for name in ("issue bound, G/s", "prediction, G/s", "roofline, G/s", "share"):
        table.add_column(name, justify="right")
    for gpu in ("H100",) if settings.quick else GPUS:
        for widths in NETWORKS if settings.quick else NETWORKS + MORE:
            c, layout = static_cost(widths, gpu)
            row: dict[str, Any] = {
                "gpu": gpu,
                "network": "-".join(map(str, widths)),
                "layout": f"{layout.name}/{layout.group}" if layout.lanes else f"{layout.name}, {layout.warps} warps",
                "registers": c.registers,
                "spills": c.spills,
                "shared": c.shared,
                "warps": c.resident,
                "instructions": {pipe: round(32 * count) for pipe, count in c.instructions.items()},
                "issue_bound": c.issue_bound,
                "prediction": c.prediction,
                "roofline": c.roofline,
                "share": c.share,
                "kind": "bound from machine code, not a measurement",
            }
            if settings.json:
                print(json.dumps(row))
                continue
            pipes = " ".join(f"{pipe} {count:,}" for pipe, count in row["instructions"].items())
            rates = (f"{row[key] / 1e9:.3f}" for key in ("issue_bound", "prediction", "roofline"))
            cells = (gpu, row["network"], row["layout"], c.registers, f"{c.spills:.0f}", c.shared, c.resident, pipes)
            table.add_row(*map(str, cells), *rates, f"{c.share:.0%}")
    if not settings.json:
        Console(width=230).print(table)
        print("Bounds and estimates from machine code. Nothing here was measured on a GPU.")


if __name__ == "__main__":
    main()
