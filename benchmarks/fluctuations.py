"""Twin students at finite d: linearised noise about the order-parameter equations, beside trained networks.

    python benchmarks/fluctuations.py [--runs runs] [--quick] [--json] [--figure docs/figures/fluctuations.svg]

spread   of the studies twins_lean and twins_spread: √d times the root mean square of the measured less the predicted
         barrier at the midpoint, by the number of inputs and kind of pairs, beside the standard deviation that
         `theory.twin_fluctuations` says
orders   of the studies plateau, plateau_three, plateau_rates and plateau_unequal: how often siblings that part on the
         plateau end in different orders of the teacher's units, by the number of inputs and the time of the split,
         beside `different_order` there, and of unequal numbers of units `theory.different_order_at`, which knows d

Intervals are bootstraps over families, of shares Wilson's. What theory says has no parameter, and knows no d. Predicted
before plateau.toml was looked at by split (its means over d were known at the first split, 0.16, and the last, 0.003):
the probabilities lie in the intervals at every split and d (all but one, since the noise is averaged more exactly), so
that "it does not fall with the number of inputs" is what theory says. What was predicted of the other two stands in
their files, before that change. Runs the studies first if they have not been.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import theory
from testbed import Study
from testbed.report.figures.draw import STYLE
from testbed.results import Results
from testbed.run import results_of
from theory.online.borders import PLATEAU

DRAWS = 1000
INPUTS, SPLIT = "data.inputs", "ensemble.spawn_step"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--quick", action="store_true", help="the studies shrunk to a few seconds")
    parser.add_argument("--json", action="store_true", help="one object a row")
    parser.add_argument("--figure", type=Path, help="draw both tables into this file")
    options = parser.parse_args()
    found: dict[str, list[dict[str, object]]] = {}

    for title, table_of, study in (
        ("orders, plateau", orders, "plateau"),
        ("orders, plateau_three", orders, "plateau_three"),
        ("orders, plateau_rates", orders, "plateau_rates"),
        ("orders, plateau_unequal", orders, "plateau_unequal"),
        ("spread, twins_spread", spread, "twins_spread"),
        ("spread, twins_lean", spread, "twins_lean"),
    ):
        rows = found[title] = table_of(results_of(study, options.runs, quick=options.quick))
        if options.json:
            for row in rows:
                print(json.dumps({"table": title} | row), flush=True)
            continue
        table = Table(*rows[0], title=title, box=None)
        for row in rows:
            table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
        Console(width=140).print(table)
    if options.figure:
        with mpl.rc_context(fname=STYLE):
            figure(found).savefig(options.figure, metadata={"Date": None})


def figure(found: dict[str, list[dict[str, object]]]) -> Figure:
    """Probabilities by split, and √d times deviations by the number of inputs; lines are what theory says."""
    whole = Figure(figsize=(6.6, 3.2))
    left, right = whole.subplots(1, 2)
    by_split = pl.DataFrame(found["orders, plateau"], infer_schema_length=None, strict=False)
    levels = by_split["inputs"].cast(pl.String).unique(maintain_order=True).to_list()
    for shift, (mark, level) in zip((-1.5, -0.5, 0.5, 1.5), zip("os^D", levels[:-1], strict=False), strict=False):
        some = by_split.filter(pl.col("inputs").cast(pl.String) == level)
        _points(left, some["split"].to_numpy() + shift, some, "measured", mark, f"{level} inputs")
    some = by_split.filter(pl.col("inputs").cast(pl.String) == levels[-1])
    left.plot(some["split"], some["predicted"], color="black", lw=1)
    left.set(xlabel="siblings split at t", ylabel="share that end in different orders", ylim=(0, 0.3))
    left.set_yscale("symlog", linthresh=0.01)
    left.set_yticks([0, 0.005, 0.01, 0.03, 0.1, 0.3], ["0", "0.005", "0.01", "0.03", "0.1", "0.3"])
    for mark, title in (("o", "spread, twins_spread"), ("s", "spread, twins_lean")):
        for kind, filled in (("siblings", "white"), ("independent", "black")):
            some = pl.DataFrame([row for row in found[title] if row["pairs"] == kind])
            label = f"{title.split()[-1]}, {kind}"
            _points(right, some["inputs"].to_numpy(), some, "√d rms", mark, label, filled)
            right.plot(some["inputs"], some["predicted"], color="black", lw=1)
    right.set(xlabel="inputs d", ylabel="√d · rms(measured − predicted)", xscale="log", yscale="log")
    for ax in (left, right):
        ax.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return whole


def _points(
    ax: Axes, x: np.ndarray, rows: pl.DataFrame, column: str, mark: str, label: str, filled: str = "white"
) -> None:
    """Measured values with their intervals."""
    value = rows[column].to_numpy()
    reach = np.abs(np.stack([value - rows["low"].to_numpy(), rows["high"].to_numpy() - value]))
    ax.errorbar(x, value, reach, fmt=mark, ms=3.5, mfc=filled, mec="black", mew=0.8, ecolor="0.6", lw=0.8, label=label)


def spread(results: Results) -> list[dict[str, object]]:
    """A row a kind of pairs and number of inputs."""
    error = pl.col("population_barrier_midpoint") - pl.col("twin_students_barrier_midpoint")
    different = pl.col("different_permutation") if results.has("different_permutation") else pl.lit(None)
    pairs = results.measured.with_columns(error.alias("error"), different.alias("different"))
    rows: list[dict[str, object]] = []
    for kind in ("siblings", "independent"):
        predicted = deviations(results.study, kind)
        for inputs in pairs[INPUTS].unique().sort().to_list():
            some = pairs.filter((pl.col("kind") == kind) & (pl.col(INPUTS) == inputs))
            errors, families = some["error"].to_numpy() * inputs**0.5, some["family_a"].to_numpy()
            low, high = _interval(errors**2, families)
            rows.append(
                {
                    "pairs": kind,
                    "inputs": inputs,
                    "n": len(errors),
                    "√d rms": float(np.sqrt(np.mean(errors**2))),
                    "low": low**0.5,
                    "high": high**0.5,
                    "predicted": predicted,
                    "√d mean": float(errors.mean()),
                }
            )
    return rows


def deviations(study: Study, kind: str) -> float:
    """√d times the standard deviation that linearised noise says, for infinitely many inputs.

    Of independent pairs the root of the mean of its square over all orders that B may lean to.
    """
    rate, time = study.training.optimizer.lr, float(study.training.steps)
    width = study.architecture.hidden[0]
    scale, lean = study.architecture.scale, study.architecture.lean
    assert study.setting.teacher is not None
    n_teacher = study.setting.teacher.hidden[0]
    teacher = [(np.eye(n_teacher, n_teacher + 2 * width), None), (np.ones((1, n_teacher)), None)]
    one = _start(scale, lean, n_teacher, width, 0, range(n_teacher))
    if kind == "siblings":
        cases = [(one, float(study.ensemble.spawn_step))]
    else:
        rng = np.random.default_rng(0)
        some = {tuple(rng.permutation(n_teacher).tolist()) for _ in range(24)}
        cases = [(_start(scale, lean, n_teacher, width, width, order), 0.0) for order in sorted(some)]
    found = [
        theory.twin_fluctuations(
            one, other, teacher, [time], learning_rate=rate, output_rate=rate, spawn_time=spawn
        ).barrier_deviation()[0]
        for other, spawn in cases
    ]
    return float(np.sqrt(np.mean(np.square(found))))


def _start(
    scale: float, lean: float, n_teacher: int, width: int, offset: int, order: Sequence[int]
) -> list[tuple[np.ndarray, None]]:
    """A start as infinitely many inputs have it: rows of length `scale` orthogonal to all others, and the lean."""
    weights = np.zeros((width, n_teacher + 2 * width))
    weights[np.arange(width), n_teacher + offset + np.arange(width)] = scale
    weights[np.arange(width), list(order)[:width]] += lean
    return [(weights, None), (np.ones((1, width)), None)]


def orders(results: Results) -> list[dict[str, object]]:
    """A row a component (where a study has any), split and number of inputs, and one for all inputs."""
    keys = [key for key in results.factors if key != INPUTS]
    settings: dict[tuple[object, ...], Study] = {}
    for cell in results.study.cells():
        settings.setdefault(tuple(cell.factors[key] for key in keys), cell.study)
    pairs = results.measured.filter(pl.col("kind") == "siblings")
    rows: list[dict[str, object]] = []
    for levels, study in settings.items():
        limit = different_order(study)
        of_setting = pairs.filter(pl.col(key) == level for key, level in zip(keys, levels, strict=True))
        every = of_setting[INPUTS].unique().sort().to_list()
        predicted = dict(zip(every, different_order_by_inputs(study, every, limit), strict=True))
        knows_inputs = len(set(predicted.values())) > 1
        predicted["all"] = float(np.mean([*predicted.values()]))
        for inputs in [*every, "all"]:
            some = of_setting.filter(pl.lit(inputs == "all") | (pl.col(INPUTS) == inputs))
            different = some["different_permutation"].to_numpy()
            low, high = _wilson(int(different.sum()), len(different))
            rows.append(
                ({"component": levels[keys.index("component")]} if "component" in keys else {})
                | {
                    "split": levels[keys.index(SPLIT)],
                    "inputs": inputs,
                    "n": len(different),
                    "measured": float(different.mean()),
                    "low": low,
                    "high": high,
                    "predicted": predicted[inputs],
                }
                | ({"limit": limit} if knows_inputs else {})
            )
    return rows


def different_order_by_inputs(study: Study, inputs: list[int], limit: float) -> list[float]:
    """The same for each number of inputs: what is there of unequal numbers of units knows them, else the limit."""
    assert study.setting.teacher is not None
    n_units, n_targets = study.architecture.hidden[0], study.setting.teacher.hidden[0]
    if n_units == n_targets or study.training.steps <= PLATEAU:  # quick runs end there
        return [limit] * len(inputs)
    rates = study.training.layer_rates or (1.0, 1.0)
    return theory.different_order_at(
        inputs,
        n_units,
        n_targets,
        split=float(study.ensemble.spawn_step),
        until=float(study.training.steps),
        learning_rate=study.training.optimizer.lr * rates[0],
        output_rate=study.training.optimizer.lr * rates[1],
        start_scale=study.architecture.scale,
    ).tolist()


def different_order(study: Study) -> float:
    """The predicted probability that siblings of a study without factors end in different orders."""
    training, width = study.training, study.architecture.hidden[0]
    first, second = training.layer_rates or (1.0, 1.0)
    assert study.setting.teacher is not None
    n_teacher = study.setting.teacher.hidden[0]
    start = _start(study.architecture.scale, 0.0, n_teacher, width, 0, [0] * width)
    teacher = [(np.eye(n_teacher, n_teacher + 2 * width), None), (np.ones((1, n_teacher)), None)]
    return float(
        theory.twin_fluctuations(
            start,
            start,
            teacher,
            [*np.linspace(0.125, 4, 32), float(training.steps)],  # of steps of this length, as long as it moves fast
            learning_rate=training.optimizer.lr * first,
            output_rate=training.optimizer.lr * second,
            spawn_time=float(study.ensemble.spawn_step),
            start_scale=study.architecture.scale,
            step=1.0,
        ).different_order()[-1]
    )


def _wilson(count: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; every pair has a family of its own."""
    z = 1.96
    centre, half = (count + z * z / 2) / (n + z * z), z * np.sqrt(count * (n - count) / n + z * z / 4) / (n + z * z)
    return float(centre - half), float(centre + half)


def _interval(values: np.ndarray, families: np.ndarray) -> tuple[float, float]:
    """The mean's 95 % bootstrap interval over families."""
    rng = np.random.default_rng(0)
    names, place = np.unique(families, return_inverse=True)
    total, count = np.bincount(place, values), np.bincount(place)
    draws = rng.integers(len(names), size=(DRAWS, len(names)))
    low, high = np.quantile(total[draws].sum(1) / count[draws].sum(1), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
