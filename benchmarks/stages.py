"""Where the time of a teacher–student study goes: each stage on its own, on a share of the pairs, scaled to all of them.

    python benchmarks/stages.py [STUDY] [--json] [--quick]

Stages run one after the other here; in `testbed run` theory has a thread beside the kernels. Every core is used by the kernels, one by
theory. The paths are checked against the theory before a row is printed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table

import kernels
import theory
from testbed.ensemble import measuring as measure
from testbed.ensemble import plan as ensembles
from testbed.ensemble import training
from testbed.study import Study


def timed(call: Callable[[], object]) -> tuple[float, object]:
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
    rows = []
    for launch in ensembles.plan(Study.load(study)).launches:
        pairs = launch.pairs[:: 20 if quick else 5]
        scale, dataset = len(launch.pairs) / len(pairs), pairs["dataset"].to_numpy(writable=True)
        seconds, trained = timed(lambda launch=launch: training.train(launch, launch.networks, "auto"))
        assert isinstance(trained, dict)
        first = launch.networks["network"].to_numpy()
        a, b = (trained["params"][np.searchsorted(first, pairs[f"network_{side}"].to_numpy())] for side in "ab")
        alphas, samples = launch.study.measure.alphas, launch.train_sets
        assert samples is not None
        x, y = samples[0][0].double().numpy(), samples[1][0].double().numpy()
        layers = [measure.layers(launch.architecture, p) for p in (a, b)]
        n, seeds = launch.study.measure.test_samples, pairs["test_seed"].to_numpy(writable=True)

        def paths(
            data: object, launch=launch, a=a, b=b, alphas=alphas, dataset=dataset, **more: object
        ) -> kernels.PathLosses:
            return kernels.path_losses(launch.architecture, a, b, alphas, data, dataset=dataset, **more)

        def population(launch=launch, a=a, b=b, dataset=dataset, alphas=alphas) -> np.ndarray:
            curve = measure.population(launch, a, b, dataset)
            for definition in theory.BARRIER_DEFINITIONS:
                curve.barrier(definition)
            return curve(np.array(alphas))

        row = {
            "widths": "-".join(map(str, launch.architecture.widths)),
            "pairs": len(launch.pairs),
            "training": seconds,
        }
        took, fresh = timed(lambda: paths(launch.teacher, n_samples=n, seeds=seeds))  # noqa: B023
        row["fresh-input paths"] = took * scale
        took, table_paths = timed(lambda: paths(samples))  # noqa: B023
        row["training-set paths"] = took * scale
        took, predicted = timed(population)
        row["population loss"] = took * scale
        took, exact = timed(lambda: theory.piecewise_barriers(*layers, x, y, alphas, n_threads=1))  # noqa: B023
        row["exact training barriers"] = took * scale
        off = (fresh.loss - torch.from_numpy(predicted)).abs() / fresh.standard_error
        if off.max() > 8 or not np.allclose(table_paths.loss.numpy(), exact.losses, rtol=1e-9, atol=1e-12):
            raise SystemExit(f"measured and predicted curves differ at widths {row['widths']}; nothing is timed.")
        rows.append(row)
    rows.append({key: sum(row[key] for row in rows) if key != "widths" else "all" for key in rows[0]})
    if json_rows:
        print("\n".join(json.dumps(row) for row in rows))
        return
    table = Table(*rows[0], title="seconds")
    for row in rows:
        table.add_row(*(f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)


if __name__ == "__main__":
    tyro.cli(main)
