"""What a study of ten million networks takes on eight GPUs, worked out; every number says what it rests on.

    python benchmarks/scale.py [--networks N] [--gpus N] [--timed N]

GPU times are the rates of docs/gpu/h100-doctor.jsonl, measured on one H100, scaled by networks, samples and GPUs.
What the process does that holds the run folder (plan, tables, files) is measured here, on `--timed` networks, and
scaled by their number. Memory is what `testbed.ensemble.bounds` works out before a study begins.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import tyro
from rich.console import Console
from rich.table import Table

import testbed.run
from testbed import Study, run_study
from testbed.ensemble import bounds
from testbed.ensemble.plan import plan

RATES = Path(__file__).resolve().parent.parent / "docs" / "gpu" / "h100-doctor.jsonl"
RATES_SAMPLES = 32  # that a training step had there
INITIAL = 1.4e-3  # seconds a million networks' initial parameters took there (docs/gpu.md)
LINK = 1.25e9  # bytes a second of ten-gigabit Ethernet
STEPS = 1000
SAMPLES = 64
ALPHAS = 25


@dataclass(frozen=True)
class Row:
    """One part of the study: seconds, and what they rest on."""

    part: str
    where: str
    seconds: float
    basis: str


def study(n: int, steps: int = STEPS) -> Study:
    """2-16-1 students of one training set, and as many pairs as networks."""
    return Study.make(
        {
            "question": "What do so many networks take?",
            "data": {"kind": "teacher_student", "inputs": 2, "n_train": SAMPLES, "teacher": {"hidden": [4]}},
            "architecture": {"hidden": [16]},
            "training": {"steps": steps, "record_every": STEPS, "optimizer": {"kind": "sgd", "lr": 0.05}},
            "ensemble": {"families": n, "siblings": 1, "pairs": ["independent"], "independent_pairs": n},
            "measure": {"alphas": ALPHAS, "test_samples": 2},
        }
    )


def rate(kind: str, **wanted: str) -> float:
    """A rate of 2-16-1 on the H100, a second."""
    rows = [json.loads(line) for line in RATES.read_text().splitlines()]
    named = {"kind": kind, "network": "2-16-1"} | wanted
    row = next(row for row in rows if all(row.get(key) == value for key, value in named.items()))
    return float(row.get("call_per_s") or row["per_s"])


def on_gpus(n: int, gpus: int) -> list[Row]:
    """The kernels' parts."""
    steps = n * STEPS * SAMPLES / RATES_SAMPLES
    points = n * ALPHAS * SAMPLES
    scaled = "rate measured on one H100, scaled"
    return [
        Row("initial parameters", "GPUs", INITIAL * n / 1e6 / gpus, scaled),
        Row("training", "GPUs", steps / rate("training") / gpus, scaled),
        Row("paths, float32", "GPUs", points / rate("paths", dtype="float32") / gpus, scaled),
    ]


def in_the_folder(n: int, n_timed: int) -> list[Row]:
    """What the process does that holds the run folder, timed on so many networks that are hardly trained."""
    small = study(n_timed, steps=1)
    plan(small)  # what is done once for a process
    start = time.perf_counter()
    plan(small)
    planned = time.perf_counter() - start
    testbed.run._page = lambda store: SimpleNamespace(path=store.folder)  # type: ignore[assignment,return-value]
    with tempfile.TemporaryDirectory() as folder:
        run_study(small, folder, backend="native")
        tables = json.loads((Path(folder) / "timings.json").read_text())["tables"]
    basis = f"measured here on {n_timed:,}, scaled"
    return [
        Row("plan (every worker makes it too)", "one core", planned * n / n_timed, basis),
        Row("tables, parameters, files", "one core", tables * n / n_timed, basis),
    ]


def sent(n: int, gpus: int) -> list[Row]:
    """Parameters to and from the workers, and curves back, over one link."""
    parameters = 65 * 4 * n
    curves = 4 * ALPHAS * 8 * n
    size = parameters * (1 + gpus) + curves
    return [Row(f"{size / 2**30:.0f} GiB sent", "one link", size / LINK, "bound: 10 Gbit/s")]


def main(networks: int = 10**7, gpus: int = 8, timed: int = 10**5) -> None:
    """Print the tables."""
    console = Console()
    rows = [*on_gpus(networks, gpus), *sent(networks, gpus), *in_the_folder(networks, timed)]
    title = f"{networks:,} networks 2-16-1, {STEPS:,} steps on {SAMPLES} samples, as many pairs at {ALPHAS} alphas"
    table = Table("part", "where", "seconds", "rests on", title=title, box=None)
    for row in rows:
        table.add_row(
            row.part, row.where, f"{row.seconds:,.2g}" if row.seconds < 10 else f"{row.seconds:,.0f}", row.basis
        )
    console.print(table)
    needed = Table("memory of the process that holds the folder", "GiB", title="worked out", box=None)
    for share, size in bounds.bytes_needed([study(networks)], "gpu").items():
        needed.add_row(share.text, f"{size / 2**30:,.2g}" if size < 2**33 else f"{size / 2**30:,.0f}")
    console.print(needed)


if __name__ == "__main__":
    tyro.cli(main)
