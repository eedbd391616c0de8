"""Cycles of the native kernel's passes over one tile of 8 samples, beside the multiply-adds that bound them.

    python benchmarks/tile.py [--json] [--quick]

Compiles tile.cpp with the flags of the native kernel for this machine's own instruction set, and runs it on one core.
A cycle is one vector multiply-add of the measured peak, which makes 1.0 the bound of machines with one such unit.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).resolve().parent
FLAGS = [
    "-O3",
    "-march=native",
    "-std=c++17",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
    "-w",
    "-pthread",
]


def main(json_rows: Annotated[bool, tyro.conf.arg(name="json")] = False, quick: bool = False) -> None:
    """Print the table.

    Args:
        json_rows: one JSON object a row instead of the table.
        quick: the first six rows only.
    """
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "tile")
        sources = [FOLDER / "tile.cpp", FOLDER.parent / "kernels" / "native" / "peak.cpp"]
        subprocess.run(["g++", *FLAGS, *map(str, sources), "-o", str(program)], check=True)
        printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [json.loads(line) for line in (printed[:6] if quick else printed)]
    if json_rows:
        print("\n".join(map(json.dumps, rows)))
        return
    columns = ("pass", "inputs", "units", "multiply-adds", "cycles", "multiply-adds a cycle")
    table = Table(*columns, title="one tile: 8 samples, a register of networks")
    for row in rows:
        table.add_row(*(str(row[key]) for key in row), f"{row['multiply_adds'] / row['cycles']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
