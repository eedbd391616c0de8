"""Runs fixed small problems on the native kernel, so that callgrind counts the instructions of each.

    valgrind --tool=callgrind --instr-atstart=no --callgrind-out-file=OUT python -m tests.kernels.instructions SWITCH

SWITCH is the library that `test_instructions` compiles of SWITCH_SOURCE: it turns the counting on around a call of the
kernel's C interface, so that neither Python nor torch is counted. One thread; the numbers are of fixed seeds.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable

import torch

from kernels import SGD, Adam, Architecture, Teacher, Training, path_losses, streams, train
from kernels.native import compiled, matching, piecewise, population

SWITCH_SOURCE = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_ZERO_STATS; CALLGRIND_START_INSTRUMENTATION; }
void end(const char* name) { CALLGRIND_STOP_INSTRUMENTATION; CALLGRIND_DUMP_STATS_AT(name); }
"""
NETWORKS = 32  # four groups of AVX2's eight lanes


def samples(n: int, inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """x `[n, inputs]` and y `[n, outputs]`, standard normal."""
    numbers = torch.from_numpy(streams.gaussian_inputs(streams.network_seeds(7, 1), 0, n, inputs + outputs)[0]).float()
    return numbers[:, :inputs].contiguous(), numbers[:, inputs:].contiguous()


def trained(widths: tuple[int, ...], training: Training, n_samples: int) -> None:
    """A training of NETWORKS networks."""
    x, y = samples(n_samples, widths[0], widths[-1])
    labels = y.argmax(1) if training.loss == "cross_entropy" else y
    train(
        Architecture(widths), Architecture(widths).initial(NETWORKS), (x, labels), training, backend="native", threads=1
    )


def ends(widths: tuple[int, ...], biases: bool = True) -> tuple[Architecture, torch.Tensor, torch.Tensor]:
    """NETWORKS pairs of networks as they are drawn."""
    architecture = Architecture(widths, biases=biases)
    return architecture, architecture.initial(NETWORKS, seed=1), architecture.initial(NETWORKS, seed=2)


def paths_on_samples() -> None:
    architecture, a, b = ends((2, 16, 1))
    path_losses(architecture, a, b, 25, samples(64, 2, 1), dtype=torch.float32, backend="native", threads=1)


def paths_on_fresh_inputs() -> None:
    architecture, a, b = ends((8, 16, 1))
    teacher = Teacher(Architecture((8, 4, 1)), Architecture((8, 4, 1)).initial(1, seed=3))
    options = {"n_samples": 256, "dtype": torch.float32, "backend": "native", "threads": 1}
    path_losses(architecture, a, b, 25, teacher, **options)


def matched() -> None:
    architecture, a, b = ends((2, 16, 1))
    matching.match_weights(architecture, a, b, False, most_sweeps=100, rounding=1e-9, threads=1)


def population_losses() -> None:
    architecture, a, b = ends((8, 16, 1), biases=False)
    teacher_architecture = Architecture((8, 4, 1), biases=False)
    teacher = Teacher(teacher_architecture, teacher_architecture.initial(1, seed=3))
    population.population_losses(architecture, a, b, teacher, torch.linspace(0, 1, 25), 1e-4, threads=1)


def exact_paths() -> None:
    architecture, a, b = ends((2, 16, 1))
    x, y = samples(64, 2, 1)
    piecewise.piecewise_losses(architecture, a, b, x[None], y[None], torch.linspace(0, 1, 25), threads=1)


def draws() -> None:
    Architecture((2, 16, 1)).initial(1024)


FULL = Training(steps=20, optimizer=SGD(lr=0.05))
CASES: dict[str, tuple[str, Callable[[], None]]] = {  # by name: which function of the library is counted, of what
    "train 2-16-1, full batch": ("lmc_train", lambda: trained((2, 16, 1), FULL, 64)),
    "train 2-32-32-1, full batch": ("lmc_train", lambda: trained((2, 32, 32, 1), FULL, 64)),
    "train 16-16-2, full batch": ("lmc_train", lambda: trained((16, 16, 2), FULL, 64)),
    "train 16-16-4, cross-entropy, batches, Adam": (
        "lmc_train",
        lambda: trained((16, 16, 4), Training(40, Adam(lr=0.01), "cross_entropy", batch_size=16), 64),
    ),
    "paths 2-16-1, samples": ("lmc_path_losses", paths_on_samples),
    "paths 8-16-1, fresh inputs": ("lmc_path_losses", paths_on_fresh_inputs),
    "matching 2-16-1": ("lmc_match", matched),
    "population 8-16-1": ("lmc_population", population_losses),
    "piecewise 2-16-1": ("lmc_piecewise", exact_paths),
    "draws 2-16-1": ("lmc_draw", draws),
}


def main() -> None:
    """Run every case, and dump its count under its name."""
    switch = ctypes.CDLL(sys.argv[1])
    library = compiled.loaded()
    for name, (function, run) in CASES.items():
        counted = getattr(library, function)

        def with_count(spec: object, counted: Callable = counted, name: str = name) -> int:
            switch.begin()
            status = int(counted(spec))
            switch.end(name.encode())
            return status

        setattr(library, function, with_count)
        run()
        setattr(library, function, counted)


if __name__ == "__main__":
    main()
