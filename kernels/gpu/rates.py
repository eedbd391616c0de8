"""Rates that a GPU makes, for `kernels.gpu.doctor`: training and paths beside what the machine code predicts,
assignments, and the same by other tools.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from kernels import peers
from kernels.gpu import path_losses, train
from kernels.gpu.cost import Gpu
from kernels.network import Architecture
from kernels.problem import TrainingProblem, path_problem, training_problem
from kernels.training import SGD, Training

Row = dict[str, Any]

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
NETWORKS = 2**17
N_TIMED_SAMPLES = 32
SECONDS = 0.3  # of a timed call, about
PEER_STEPS = 20
PATHS = (2**13, 25, 2**10)  # pairs, alphas and samples of the timed paths
SCORES = 2**28  # numbers in the matrices of the timed assignments
DEVICE = "cuda"


def data(widths: tuple[int, ...], n_samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian inputs and a smooth function of their sum."""
    x = torch.randn(n_samples, widths[0], generator=torch.Generator().manual_seed(0))
    return x, torch.sin(x.sum(1, keepdim=True)).expand(-1, widths[-1]).contiguous()


def timed(widths: tuple[int, ...], n: int, steps: int, device: str) -> TrainingProblem:
    """The training run whose rate is taken: full batch, plain descent, everything on the device."""
    architecture = Architecture(widths)
    x, y = data(widths, N_TIMED_SAMPLES)
    params = architecture.initial(n, 1, device=device)
    return training_problem(architecture, params, (x, y), Training(steps, SGD(lr=0.01)))


def name(widths: tuple[int, ...]) -> str:
    """2-16-1 of (2, 16, 1)."""
    return "-".join(map(str, widths))


def training_rates(widths: tuple[int, ...], known: Gpu | None) -> Iterator[Row]:
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
    at_this_clock = known if known is None or clock is None else dataclasses.replace(known, clock=clock)
    if at_this_clock is not None and at_this_clock.clock and chosen.layout.name != "memory":
        from kernels.gpu.compile import training_cost

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

    def graphed() -> Callable[[], object]:
        return partial(peers.graphed(partial(peers.bmm_step, widths, x, y), params), params, PEER_STEPS)

    def compiled() -> Callable[[], object]:
        return partial(peers.repeated(peers.compiled_step(widths, x, y)), params, PEER_STEPS)

    def jax() -> Callable[[], object]:
        return partial(peers.jax_trainer(widths, PEER_STEPS, x, y), params)

    contenders = {
        "torch.bmm in a CUDA graph": graphed,
        "torch.compile(vmap(grad))": compiled,
        "JAX jit(vmap(scan))": jax,
    }
    for tool, make in contenders.items():
        yield timed_peer({"kind": "peer", "network": name(widths), "tool": tool}, make, n * PEER_STEPS)


def timed_peer(row: Row, make: Callable[[], Callable[[], object]], amount: int) -> Row:
    """`row` with the rate of what `make` gives, which does `amount` of its work at a call; or why it cannot run."""
    try:
        with quiet():
            run = make()
            run()  # compiles
            took = min(seconds_of(run) for _ in range(3))
        return row | {"per_s": amount / took}
    except Exception as error:  # whatever a tool that is not ours raises
        return row | {"left_out": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def assignment_rates(m: int) -> Iterator[Row]:
    """Matrices of m columns assigned in a second, of overlaps as two layers of m units with four weights have them."""
    from kernels.gpu import matching

    n = max(SCORES // m**2, 1)
    generator = torch.Generator(DEVICE).manual_seed(0)
    a, b = torch.randn(2, n, m, 4, dtype=torch.float64, device=DEVICE, generator=generator)
    scores = a @ b.mT
    matching.assign(scores)  # compiles
    took = min(seconds_of(partial(matching.assign, scores)) for _ in range(3))
    row: Row = {"columns": m, "matrices": n}
    yield {"kind": "assignment", **row, "per_s": n / took}

    def peer() -> Callable[[], object]:
        from torch_linear_assignment import batch_linear_assignment

        assert torch.version.cuda, "of GPUs it knows NVIDIA's alone"
        chosen = (assigned(scores[:100]) for assigned in (matching.assign, lambda some: batch_linear_assignment(-some)))
        ours, theirs = (scores[:100].gather(2, order[:, :, None]).sum((1, 2)) for order in chosen)
        assert torch.allclose(ours, theirs, rtol=1e-12), "its sums are others"
        return partial(batch_linear_assignment, -scores)

    yield timed_peer({"kind": "peer", "tool": "torch-linear-assignment", **row}, peer, n)


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
        return torch.cuda.clock_rate() / 1e3 or None
    except Exception:  # it needs nvidia-ml-py, whose own errors name no class of Python's (of a MIG slice, say)
        return None


def seconds_of(action: Callable[[], object]) -> float:
    """Wall-clock seconds until the device has done it."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    torch.cuda.synchronize()
    return time.perf_counter() - start
