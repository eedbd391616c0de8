"""Settles on a GPU, within a given time, what only a GPU can show: are the kernels right, how fast are they, and how
fast are others?

    testbed doctor --gpu --minutes 8 --out gpu.jsonl
    python -m kernels.gpu.doctor --minutes 8 --out gpu.jsonl        # the same, with nothing installed but torch,
    triton, numpy and jaxtyping

The most telling comes first, and each line is written as it comes, one JSON object a line, so that a run which is cut
off is still worth
something: the machine; compiling, in parallel processes; every layout and batch mode against the reference, with odd
sizes; rates of training and of paths, beside the bounds read from the machine code; the same training by other tools.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from kernels import peers, reference
from kernels.gpu import missing, path_losses, train
from kernels.gpu.cost import Gpu, gpu_named
from kernels.network import Architecture
from kernels.problem import PathProblem, TrainingProblem, path_problem, training_problem
from kernels.training import SGD, Adam, Teacher, Training

Row = dict[str, Any]
Tell = Callable[[Row], None]

BATCHES = ("full", "epoch", "replacement", "online")
TIMED = (
    (2, 16, 1),
    (2, 32, 32, 1),
    (2, 32, 1),
    (8, 16, 1),
    (2, 8, 8, 1),
    (2, 16, 16, 1),
    (4, 64, 64, 2),
    (64, 128, 10),
)
# besides: a network on eight warps, and networks in device memory on one and on four
CHECKED = (
    (2, 16, 1),
    (8, 16, 1),
    (2, 32, 32, 1),
    (40, 20, 2),
    (3, 5, 4, 2),
    (2, 32, 1),
    (2, 128, 128, 1),
    (40, 64, 64, 2),
)
N_CHECKED = 37  # networks, and pairs
N_STEPS = 20
N_SAMPLES = 33  # no power of two: products are rounded
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
NETWORKS = 2**17
N_TIMED_SAMPLES = 32
SECONDS = 0.3  # of a timed call, about
PEER_STEPS = 20
PATHS = (2**13, 25, 2**10)  # pairs, alphas and samples of the timed paths
DEVICE = "cuda"


def data(widths: tuple[int, ...], n_samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian inputs and a smooth function of their sum."""
    x = torch.randn(n_samples, widths[0], generator=torch.Generator().manual_seed(0))
    return x, torch.sin(x.sum(1, keepdim=True)).expand(-1, widths[-1]).contiguous()


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


def timed(widths: tuple[int, ...], n: int, steps: int, device: str) -> TrainingProblem:
    """The training run whose rate is taken: full batch, plain descent, everything on the device."""
    architecture = Architecture(widths)
    x, y = data(widths, N_TIMED_SAMPLES)
    params = architecture.initial(n, 1, device=device)
    return training_problem(architecture, params, (x, y), Training(steps, SGD(lr=0.01)))


def checks() -> Iterator[tuple[Row, TrainingProblem | PathProblem]]:
    """What is held against the reference, the most telling first."""
    for dtype in (torch.float32, torch.float64):
        for batch in BATCHES:
            for widths in CHECKED if dtype is torch.float32 else CHECKED[:4]:
                row = {"network": name(widths), "batch": batch, "dtype": str(dtype).removeprefix("torch.")}
                yield row, training(widths, batch, dtype)
        if dtype is torch.float32:
            for widths in CHECKED:
                yield {"network": name(widths), "paths": True, "dtype": "float64"}, paths(widths)


def name(widths: tuple[int, ...]) -> str:
    """2-16-1 of (2, 16, 1)."""
    return "-".join(map(str, widths))


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
    return {"kind": "check", **row, "error": error, "tolerance": tolerance, "agrees": alike and error < tolerance}


def rates(widths: tuple[int, ...], known: Gpu | None) -> Iterator[Row]:
    """Network-steps a second of whole calls and of the kernel alone, with parameters on the device, beside the
    bounds.
    """
    from kernels.gpu import launch
    from kernels.gpu.calls import TrainingState
    from kernels.gpu.plan import plan

    n = NETWORKS if max(widths[1:-1]) <= 32 else NETWORKS // 8
    steps, call = 10, 0.0
    for _ in range(3):
        problem = timed(widths, n, steps, DEVICE)
        took = seconds_of(partial(train, problem))
        call = max(call, n * steps / took)
        steps = max(10, int(steps * SECONDS / took))
    problem = timed(widths, n, steps, DEVICE)
    chosen = plan(problem)
    start = slice(0, min(n, launch.most_networks(problem, chosen)))
    state = TrainingState.begin(problem, chosen, start, problem.params[start], launch.schedule_of(problem))
    last = min(steps, launch.steps_a_launch(problem, chosen, state.n))
    ready = state.call(0, last)
    alone = min(seconds_of(ready.launch) for _ in range(3))
    ready.launch()
    clock = sm_clock()
    row: Row = {
        "kind": "training",
        "network": name(widths),
        "networks": n,
        "steps": steps,
        "layout": chosen.layout.name,
        "call_per_s": call,
        "kernel_per_s": state.n * last / alone,
        "clock_ghz": clock,
    }
    if known is not None and chosen.layout.name != "memory":
        from kernels.gpu.compile import training_cost

        at_this_clock = known if clock is None else dataclasses.replace(known, clock=clock)
        cost = training_cost(problem, at_this_clock)[0]
        row |= {
            "issue_bound": cost.issue_bound,
            "prediction": cost.prediction,
            "roofline": cost.roofline,
            "spills": cost.spills,
            "kernel_over_roofline": row["kernel_per_s"] / cost.roofline,
        }
    yield row


def path_rates(widths: tuple[int, ...], dtype: torch.dtype) -> Iterator[Row]:
    """Evaluations (network and sample) a second along paths, whole calls."""
    n, n_alphas, n_samples = PATHS
    architecture = Architecture(widths)
    a, b = (architecture.initial(n, seed, device=DEVICE) for seed in (1, 2))
    problem = path_problem(architecture, a, b, torch.linspace(0, 1, n_alphas), data(widths, n_samples), dtype=dtype)
    best = min(seconds_of(lambda: path_losses(problem)) for _ in range(3))
    precision = str(dtype).removeprefix("torch.")
    yield {"kind": "paths", "network": name(widths), "dtype": precision, "per_s": n * n_alphas * n_samples / best}


def peer_rates(widths: tuple[int, ...]) -> Iterator[Row]:
    """Network-steps a second of other tools; one that cannot run is named with its reason."""
    n = NETWORKS // 4
    x, y = (array.cuda() for array in data(widths, N_TIMED_SAMPLES))
    params = Architecture(widths).initial(n, 1, device=DEVICE)
    contenders: dict[str, Callable[[], Callable[[torch.Tensor], torch.Tensor]]] = {
        "torch.bmm in a CUDA graph": lambda: steps_of(peers.graphed(partial(peers.bmm_step, widths, x, y), params)),
        "torch.compile(vmap(grad))": lambda: steps_of(peers.repeated(peers.compiled_step(widths, x, y))),
        "JAX jit(vmap(scan))": lambda: peers.jax_trainer(widths, PEER_STEPS, x, y),
    }
    for tool, make in contenders.items():
        row: Row = {"kind": "peer", "network": name(widths), "tool": tool}
        try:
            with quiet():
                run = make()
                run(params)  # compiles
                took = min(seconds_of(partial(run, params)) for _ in range(3))
            yield row | {"per_s": n * PEER_STEPS / took}
        except Exception as error:  # whatever a tool that is not ours raises
            yield row | {"left_out": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def steps_of(trainer: Callable[[torch.Tensor, int], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """PEER_STEPS steps by a trainer of any number."""
    return lambda params: trainer(params, PEER_STEPS)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing is logged: a compiler that fails logs pages, and its error is told in a line."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def sm_clock() -> float | None:
    """The clock of the multiprocessors at this moment, GHz, as the driver says it; None where it says nothing."""
    try:
        return torch.cuda.clock_rate() / 1e3
    except (ImportError, RuntimeError, AttributeError):  # it needs nvidia-ml-py
        return None


def seconds_of(action: Callable[[], object]) -> float:
    """Wall-clock seconds until the device has done it."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def examine(tell: Tell, minutes: float = 8.0, processes: int | None = None) -> bool:
    """Tell row after row, for at most about `minutes`; whether every check agreed.

    Under Triton's interpreter only the checks are made. What did not fit into the time is told as the last row.
    """
    deadline = time.monotonic() + 60 * minutes
    on_gpu = torch.cuda.is_available()
    known = None
    tell(machine())
    todo = list(checks())
    if on_gpu:
        properties = torch.cuda.get_device_properties(0)
        capability = torch.cuda.get_device_capability(0)
        clock = getattr(properties, "clock_rate", 0) / 1e6
        known = gpu_named(torch.cuda.get_device_name(0), capability, properties.multi_processor_count, clock)
        from kernels.gpu.compile import compile_ahead, target_here

        problems = [problem for _, problem in todo] + [timed(widths, 2, 10, "cpu") for widths in TIMED]
        start = time.perf_counter()
        kernels = compile_ahead(problems, target_here(), processes=processes)
        tell({"kind": "compile", "kernels": kernels, "seconds": time.perf_counter() - start})
    agrees = True
    for k, (row, problem) in enumerate(todo):
        if time.monotonic() > deadline:
            tell({"kind": "out of time", "left": f"{len(todo) - k} checks, all rates and peers"})
            return agrees
        told = check(row, problem)
        agrees = agrees and told["agrees"]
        tell(told)
    if not on_gpu:
        return agrees
    measurements: list[Callable[[], Iterable[Row]]] = []
    for widths in TIMED:
        measurements.append(partial(rates, widths, known))
    for widths in TIMED[:2]:
        measurements.append(partial(peer_rates, widths))
        for dtype in (torch.float64, torch.float32):
            measurements.append(partial(path_rates, widths, dtype))
    for k, measure in enumerate(measurements):
        for told in measure():
            if time.monotonic() > deadline:
                tell({"kind": "out of time", "left": f"{len(measurements) - k} of {len(measurements)} measurements"})
                return agrees
            tell(told)
    return agrees


def machine() -> Row:
    """What it ran on."""
    import triton

    row: Row = {
        "kind": "machine",
        "torch": torch.__version__,
        "triton": triton.__version__,
        "cores": len(os.sched_getaffinity(0)),
    }
    if torch.cuda.is_available():
        row |= {"gpu": torch.cuda.get_device_name(0), "capability": list(torch.cuda.get_device_capability(0))}
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
                file.write(json.dumps(row) + "\n")

    return tell


def sentence(row: Row) -> str:
    """A row in a line.

    >>> sentence({"kind": "peer", "network": "2-16-1", "tool": "torch.bmm in a CUDA graph", "per_s": 2e8})
    'peer 2-16-1: torch.bmm in a CUDA graph, 0.200 G/s'
    """
    parts = []
    for key, value in row.items():
        if key.endswith(("per_s", "bound", "prediction", "roofline")) and not key.startswith("kernel_over"):
            label = "" if key == "per_s" else key.removesuffix("_per_s").replace("_", " ") + " "
            parts.append(f"{label}{value / 1e9:.3f} G/s")
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
