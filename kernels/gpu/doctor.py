"""Settles on a GPU, within a given time, what only a GPU can show: are the kernels right, how fast are they, and how
fast are others?

    testbed doctor --gpu --minutes 8 --out gpu.jsonl
    python -m kernels.gpu.doctor --minutes 8 --out gpu.jsonl

The second needs nothing but torch, triton, numpy and jaxtyping. The most telling comes first, and each line is written
as it comes, one JSON object a line, so that a run which is cut off is still worth something: the machine; compiling, in
parallel processes; every layout and batch mode against the reference, with odd sizes; assignments; rates of training
and of paths, beside what the machine code predicts, and of assignments; the same by other tools.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernels import native, reference
from kernels.cores import cores
from kernels.gpu import missing, path_losses, present, rates, train
from kernels.gpu.cost import Gpu, gpu_named
from kernels.gpu.rates import Row, data, name
from kernels.network import Architecture
from kernels.problem import PathProblem, TrainingProblem, path_problem, training_problem
from kernels.training import SGD, Adam, Teacher, Training

Tell = Callable[[Row], None]

BATCHES = ("full", "epoch", "replacement", "online")
# besides: a network on eight warps, one of many inputs, and one in device memory
CHECKED = (
    (2, 16, 1),
    (8, 16, 1),
    (2, 32, 32, 1),
    (40, 20, 2),
    (3, 5, 4, 2),
    (2, 32, 1),
    (2, 128, 128, 1),
    (40, 64, 64, 33),
)
N_CHECKED = 37  # networks, and pairs
N_STEPS = 20
N_SAMPLES = 33  # no power of two: products are rounded
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
ASSIGNED = (5, 16, 64, 600)  # columns: the last of two warps
MOST_INTERPRETED = 16  # of these columns: more take minutes, or hours


def training(widths: tuple[int, ...], batch: str, dtype: torch.dtype = torch.float32) -> TrainingProblem:
    """N_STEPS steps of N_CHECKED networks; in float64 with Adam."""
    architecture = Architecture(widths)
    teacher = Architecture((widths[0], 4, widths[-1]), "tanh")
    settings = Training(
        N_STEPS,
        SGD(lr=0.01) if dtype is torch.float32 else Adam(lr=0.01, eps=1e-6),
        batch_size=None if batch == "full" else 7,
        sampling="replacement" if batch == "replacement" else "epoch",
    )
    source = Teacher(teacher, teacher.initial(1, 3)) if batch == "online" else data(widths, N_SAMPLES)
    params = architecture.initial(N_CHECKED, 1, dtype=dtype)
    return training_problem(architecture, params, source, settings, data_seeds=5)


def paths(widths: tuple[int, ...]) -> PathProblem:
    """Paths between N_CHECKED pairs of random networks, in float64."""
    architecture = Architecture(widths)
    a, b = (architecture.initial(N_CHECKED, seed) for seed in (1, 2))
    return path_problem(architecture, a, b, torch.linspace(0, 1, 5), data(widths, N_SAMPLES))


def checks() -> Iterator[tuple[Row, TrainingProblem | PathProblem]]:
    """What is held against the reference, the most telling first."""
    for dtype in (torch.float32, torch.float64):
        for batch in BATCHES:
            for widths in CHECKED if dtype is torch.float32 else CHECKED[:4]:
                precision = str(dtype).removeprefix("torch.")
                row: Row = {"kind": "check", "network": name(widths), "batch": batch, "dtype": precision}
                yield row, training(widths, batch, dtype)
        if dtype is torch.float32:
            for widths in CHECKED:
                row = {"kind": "check", "network": name(widths), "paths": True, "dtype": "float64"}
                yield row, paths(widths)


def check(row: Row, problem: TrainingProblem | PathProblem) -> Row:
    """`row` with the relative error against the reference, and whether it is small enough; first bad steps must be
    the same.
    """
    if isinstance(problem, TrainingProblem):
        got, want = train(problem), reference.train(problem)
        found, expected = got.params, want.params
        alike = torch.equal(got.diverged_at, want.diverged_at)
        tolerance = TOLERANCE[problem.params.dtype]
    else:
        found, expected = path_losses(problem).mean, reference.path_losses(problem).mean
        alike, tolerance = True, TOLERANCE[torch.float64]
    error = ((found.double() - expected.double()).norm() / expected.double().norm()).item()
    return row | {"error": error, "tolerance": tolerance, "agrees": alike and error < tolerance}


def check_assignment(row: Row, m: int) -> Row:
    """Of assignments of N_CHECKED matrices of m columns, half of them of few whole numbers, most of whose choices are
    between equals: `error` is the largest gain that exchanging columns still has, over the largest score.

    Where the native kernel is, permutations must be its own.
    """
    from kernels.gpu import matching

    scores = torch.randn(N_CHECKED, m, m, dtype=torch.float64, generator=torch.Generator().manual_seed(m))
    scores[::2] = scores[::2].round()
    there = scores.to(rates.DEVICE) if present() else scores
    columns = matching.assign(there)
    error = (gain_of_exchanges(there, columns) / there.abs().max()).item()
    columns = columns.cpu()
    tolerance = TOLERANCE[torch.float64]
    agrees = error < tolerance and torch.equal(columns.sort(1).values, torch.arange(m).expand_as(columns))
    row = row | {"error": error, "tolerance": tolerance}
    if not native.missing():
        row["as_the_cpu"] = bool((columns.numpy() == native.assign(scores.numpy())).all())
        agrees = agrees and row["as_the_cpu"]
    return row | {"agrees": agrees}


def gain_of_exchanges(scores: Tensor, columns: Tensor) -> Tensor:
    """What rows of a matrix can gain by giving their columns round in a circle, several times perhaps; 0 where an
    assignment `[n, m]` of scores `[n, m, m]` is the best (Klein 1967).

    >>> scores = torch.tensor([[[1.0, 9.0], [2.0, 3.0]]])  # 1 + 3 < 9 + 2, a gain of 7
    >>> gain_of_exchanges(scores, torch.tensor([[0, 1]])), gain_of_exchanges(scores, torch.tensor([[1, 0]]))
    (tensor(14.), tensor(0.))
    """
    own = scores.gather(2, columns[:, :, None])
    gain = scores.gather(2, columns[:, None].expand_as(scores)) - own  # of row i, by taking the column of row j
    for k in range(scores.shape[1]):  # also by way of rows up to k
        gain = torch.maximum(gain, gain[:, :, k : k + 1] + gain[:, k : k + 1])
    return gain.diagonal(dim1=1, dim2=2).max()


def examine(tell: Tell, minutes: float = 8.0, processes: int | None = None) -> bool:
    """Tell row after row, for at most about `minutes`; whether every check agreed that was made.

    What raises an error is told with it, and the rest goes on. Under Triton's interpreter only the checks are made.
    What did not fit into the time is told as the last row.
    """
    deadline = time.monotonic() + 60 * minutes
    on_gpu = present()
    tell(machine())
    problems = list(checks())
    if on_gpu:
        tell(_tried({"kind": "compile"}, partial(_compile, [problem for _, problem in problems], processes)))
    todo = [(row, partial(check, row, problem)) for row, problem in problems]
    for m in ASSIGNED:
        if on_gpu or m <= MOST_INTERPRETED:
            row = {"kind": "assignment", "columns": m}
            todo.append((row, partial(check_assignment, row, m)))
    agrees = True
    for k, (row, make_check) in enumerate(todo):
        if time.monotonic() > deadline:
            tell({"kind": "out of time", "left": f"{len(todo) - k} checks, all rates and peers"})
            return agrees
        told = _tried(row | {"agrees": False}, make_check)
        agrees = agrees and told["agrees"]
        tell(told)
    if on_gpu:
        _measure(tell, deadline)
    return agrees


def _compile(problems: list[TrainingProblem | PathProblem], processes: int | None) -> Row:
    """Compile all that is launched later."""
    from kernels.gpu.compile import compile_ahead, target_here

    timed = [rates.timed(widths, 2, 10, "cpu") for widths in rates.TIMED]
    start = time.perf_counter()
    kernels = compile_ahead([*problems, *timed], target_here(), processes=processes)
    return {"kind": "compile", "kernels": kernels, "seconds": time.perf_counter() - start}


def _measure(tell: Tell, deadline: float) -> None:
    """Tell all rates, until time is up."""
    known = gpu_here()
    measurements: list[tuple[Row, Callable[[], Iterable[Row]]]] = []
    for widths in rates.TIMED:
        row = {"kind": "training", "network": name(widths)}
        measurements.append((row, partial(rates.training_rates, widths, known)))
    for widths in rates.TIMED[:2]:
        measurements.append(({"kind": "peer", "network": name(widths)}, partial(rates.peer_rates, widths)))
        for dtype in (torch.float64, torch.float32):
            row = {"kind": "paths", "network": name(widths)}
            measurements.append((row, partial(rates.path_rates, widths, dtype)))
    for m in (16, 64):
        measurements.append(({"kind": "assignment", "columns": m}, partial(rates.assignment_rates, m)))
    for k, (row, measure) in enumerate(measurements):
        rows = iter(measure())
        while told := _tried(row, partial(next, rows, {})):
            if time.monotonic() > deadline:
                tell({"kind": "out of time", "left": f"{len(measurements) - k} of {len(measurements)} measurements"})
                return
            tell(told)


def _tried(row: Row, make: Callable[[], Row]) -> Row:
    """What `make` returns; where it raises an error, `row` with that."""
    try:
        return make()
    except Exception as error:  # whatever compilers, drivers and GPUs raise
        return row | {"raised": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"}


def gpu_here() -> Gpu | None:
    """What is known of the current GPU."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    clock = getattr(properties, "clock_rate", 0) / 1e6
    capability = torch.cuda.get_device_capability()
    return gpu_named(torch.cuda.get_device_name(), capability, properties.multi_processor_count, clock)


def machine() -> Row:
    """What it ran on."""
    import triton

    row: Row = {
        "kind": "machine",
        "torch": torch.__version__,
        "triton": triton.__version__,
        "cores": cores(),
    }
    if present():
        row |= {"gpu": torch.cuda.get_device_name(), "capability": list(torch.cuda.get_device_capability())}
    return row


def teller(out: Path | None, say: Callable[[str], None] = print) -> Tell:
    """Says each row in a line, and appends it to the file, flushed, as JSON."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("", encoding="utf-8")

    def tell(row: Row) -> None:
        say(sentence(row))
        if out is not None:
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({key: _in_json(value) for key, value in row.items()}) + "\n")

    return tell


def _in_json(value: Any) -> Any:
    """JSON has no infinity and no NaN: their names."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def verdict(rows: list[Row]) -> str:
    """What the checks among these rows say, in a sentence.

    >>> verdict([{"kind": "check", "agrees": True}])
    'All agree with the reference.'
    >>> verdict([{"kind": "check", "agrees": True}, {"kind": "out of time", "left": "3 checks, all rates and peers"}])
    'Time was up after 1 check: what was checked agrees with the reference.'
    """
    made = [row["agrees"] for row in rows if "agrees" in row]
    if not all(made):
        return f"NOT ALL AGREE with the reference ({made.count(False)} of {len(made)}): please report this."
    if any("checks" in row.get("left", "") for row in rows):
        checks = f"{len(made)} check{'s' * (len(made) != 1)}"
        return f"Time was up after {checks}: what was checked agrees with the reference."
    return "All agree with the reference."


def sentence(row: Row) -> str:
    """A row in a line.

    >>> sentence({"kind": "peer", "network": "2-16-1", "tool": "torch.bmm in a CUDA graph", "per_s": 2e8})
    'peer 2-16-1: torch.bmm in a CUDA graph, 0.200 G/s'
    """
    parts = []
    for key, value in row.items():
        if key.endswith(("per_s", "bound", "prediction", "roofline")) and not key.startswith("kernel_over"):
            label = "" if key == "per_s" else key.removesuffix("_per_s").replace("_", " ") + " "
            parts.append(label + (f"{value / 1e9:.3f} G/s" if value >= 1e7 else f"{value / 1e6:.3f} M/s"))
        elif key == "kernel_over_roofline":
            parts.append(f"{value:.0%} of the roofline")
        elif key == "error":
            parts.append(f"error {value:.1e}")
        elif key == "agrees":
            parts.append("agrees" if value else "DOES NOT AGREE")
        elif key in ("paths",):
            parts.append("paths")
        elif key not in ("kind", "network", "tolerance"):
            parts.append(
                str(value) if key in ("batch", "dtype", "layout", "tool") else f"{key.replace('_', ' ')} {value}"
            )
    return f"{row['kind']} {row.get('network', '')}".strip() + ": " + ", ".join(parts)


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="stop after about this long")
    parser.add_argument("--out", type=Path, default=None, help="file for the rows, one JSON object a line")
    arguments = parser.parse_args()
    if why := missing():
        raise SystemExit(f"The GPU kernels cannot run here: {why}")
    raise SystemExit(0 if examine(teller(arguments.out), arguments.minutes) else 1)


if __name__ == "__main__":
    main()
