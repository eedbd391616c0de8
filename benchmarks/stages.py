"""Where the time of a teacher–student study goes: each stage on its own, on a share of the pairs, scaled to all.

    python benchmarks/stages.py [STUDY] [--json] [--quick]

Stages run one after the other here; in `testbed run` theory has a thread beside the kernels. Every core is used by the
kernels, one by theory. The paths are checked against the theory before a row is printed.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import torch
import tyro
from rich.console import Console
from rich.table import Table

from testbed import Study
from testbed.ensemble.launch import Launch
from testbed.ensemble.measuring import Trained, pair_set
from testbed.ensemble.plan import plan
from testbed.ensemble.training import train
from testbed.measures import paths
from testbed.measures.predicted_population import population
from testbed.measures.predicted_training import exact_training

Result = TypeVar("Result")


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds and the result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def main(
    study: tyro.conf.Positional[str] = "teacher_student",
    json_rows: Annotated[bool, tyro.conf.arg(name="json")] = False,
    quick: bool = False,
) -> None:
    """Print the table.

    Args:
        study: a shipped study or a TOML file, with teacher–student data and both theories.
        json_rows: one JSON object a row instead of the table.
        quick: a twentieth of the pairs instead of a fifth.
    """
    rows = [stages(launch, every=20 if quick else 5) for launch in plan(Study.load(study)).launches]
    rows.append({key: sum(row[key] for row in rows) if key != "widths" else "all" for key in rows[0]})
    if json_rows:
        print("\n".join(json.dumps(row) for row in rows))
        return
    table = Table(*rows[0], title="seconds")
    for row in rows:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)


def stages(launch: Launch, every: int) -> dict:
    """Seconds of each stage of a launch: training measured whole, the rest on every so many pairs and scaled.

    SystemExit if measured and predicted curves differ.
    """
    seconds, shard = timed(lambda: train(launch, launch.networks, "auto"))
    pairs = pair_set(launch, Trained.joined(launch, [shard]), launch.pairs[::every], "auto")
    scale = len(launch.pairs) / len(pairs)
    on_fresh_inputs = dataclasses.replace(pairs, train=None)
    on_training_set = dataclasses.replace(pairs, test=None)
    fresh_seconds, fresh = timed(lambda: paths.measured(on_fresh_inputs))
    table_seconds, table = timed(lambda: paths.measured(on_training_set))
    population_seconds, predicted = timed(lambda: population(pairs))
    exact_seconds, exact = timed(lambda: exact_training(pairs))
    widths = "-".join(map(str, launch.architecture.widths))
    standard_errors = (fresh["test_loss"] - predicted.loss).abs() / fresh["test_standard_error"]
    if standard_errors.max() > 8 or not torch.allclose(table["train_loss"], exact.loss, rtol=1e-9, atol=1e-12):
        raise SystemExit(f"measured and predicted curves differ at widths {widths}; nothing is timed.")
    return {
        "widths": widths,
        "pairs": len(launch.pairs),
        "training": seconds,
        "fresh-input paths": fresh_seconds * scale,
        "training-set paths": table_seconds * scale,
        "population loss": population_seconds * scale,
        "exact training barriers": exact_seconds * scale,
    }


if __name__ == "__main__":
    tyro.cli(main)
