"""What a study will take of memory and of time, worked out from its numbers before anything is made.

Counts are Python's whole numbers and floats, so that no study is too large to be told that it is. They are meant to be
right within a factor of two or so: of memory what grows with a field of the study, of time the multiply-adds of the
kernels and of whole arrays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import kernels
from testbed import memory
from testbed.data import file
from testbed.data.file import FileData
from testbed.ensemble.same_training import one_of_each
from testbed.ensemble.shards import SHARD_WORK, setting_work, training_work, trainings_at_once
from testbed.errors import StudyError
from testbed.kinds import Extent
from testbed.study import Study

WORD = 8  # bytes of a number, nearly all of which are float64 or int64
COPIES = 4  # of samples or of a shard's networks, while they are made, joined and cut; as measured
TABLE_COPIES = 2  # of a table that is made whole, and of what it is made from; as measured
HELD = 2  # numbers held of each network (its own, its first bad step) and pair (its own, the two that it joins)
NETWORK_COLUMNS = 18  # of the table of networks
CURVE_COLUMNS = 4  # of a path: loss and error, on training and on test samples
BARRIER_COLUMNS = 7  # of the table of pairs, for each of these
STEP_ARRAYS = 8  # of the schedule, while its factors are made
CONSTANT_STEP_ARRAYS = 3  # of one whose factors are all 1: these, and Adam's corrections
SHARD_SECONDS = 4.0  # that SHARD_WORK takes on two cores
MOST_SECONDS = 365 * 24 * 3600.0


@dataclass(frozen=True)
class Share:
    """A part of what a study takes: what for, and the fields that lower it."""

    text: str
    fields: str


NETWORKS = Share(
    "networks and their parameters",
    "ensemble.families, ensemble.siblings, architecture.hidden or data.inputs",
)
PAIRS = Share("pairs and their curves", "ensemble.independent_pairs, ensemble.siblings or measure.alphas")
TRAINING = Share("training samples", "data.n_train, data.inputs or the number of networks that draw their own")
TEST = Share("test samples", "measure.test_samples or data.inputs")
SCHEDULE = Share("the schedule of training", "training.steps")
LOSSES = Share("recorded losses", "ensemble.families, or raise training.record_every")
TRAIN_TIME = Share("training", "training.steps, ensemble.families or architecture.hidden")
MEASURE_TIME = Share("measuring pairs", "ensemble.independent_pairs, measure.alphas or measure.test_samples")


def check_memory(cells: Sequence[Study], backend: str | None = None) -> None:
    """StudyError, with numbers and the fields to lower, where a study of these cells needs more memory than there is.

    >>> check_memory([cell.study for cell in Study.load("teacher_student").cells()])
    """
    shares = bytes_needed(cells, backend)
    needed = sum(shares.values())
    if needed > memory.limit():
        largest, size = max(shares.items(), key=_second)
        raise StudyError(
            f"This study needs about {memory.readable(needed)} of memory, and this machine has "
            f"{memory.readable(memory.limit())}: {memory.readable(size)} are for {largest.text}; "
            f"lower {largest.fields}."
        )


def check_time(cells: Sequence[Study], backend: str) -> None:
    """StudyError, with numbers and the fields to lower, where a study would take more than a year.

    >>> check_time([cell.study for cell in Study.load("teacher_student").cells()], "native")
    """
    shares = seconds_needed(cells, backend)
    needed = sum(shares.values())
    if needed > MOST_SECONDS:
        largest, seconds = max(shares.items(), key=_second)
        raise StudyError(
            f"This study would take about {needed / MOST_SECONDS:,.2g} years on the backend {backend!r}, "
            f"{seconds / needed:.0%} of them for {largest.text}: lower {largest.fields}."
        )


def bytes_needed(cells: Sequence[Study], backend: str | None = None) -> dict[Share, float]:
    """The memory that grows with the study's fields, in bytes; without a backend, what every backend needs.

    >>> cells = [cell.study for cell in Study.load("teacher_student").cells()]
    >>> sum(bytes_needed(cells).values()) < 2**30
    True
    """
    total: dict[Share, float] = {}
    for cell in cells:
        for share, size in _bytes_of_cell(cell, backend).items():
            before = total.get(share, 0)
            total[share] = max(before, size) if share == SCHEDULE else before + size  # one launch after the other
    return total


def seconds_needed(cells: Sequence[Study], backend: str) -> dict[Share, float]:
    """The time that training and measuring take on a backend, on a machine of two cores; about.

    >>> seconds = seconds_needed([cell.study for cell in Study.load("teacher_student").cells()], "native")
    >>> 1 < sum(seconds.values()) < 3600
    True
    """
    rate = {name: SHARD_WORK[name] / SHARD_SECONDS for name in SHARD_WORK}
    total = {TRAIN_TIME: 0.0, MEASURE_TIME: 0.0}
    for cell in one_of_each(cells):
        total[TRAIN_TIME] += training_work(cell, _extent(cell)) * cell.ensemble.n_networks / rate[backend]
    for cell in cells:
        work = setting_work(cell, _extent(cell))
        of_a_pair = work.kernels / rate[backend] + work.arrays / rate["reference"]
        total[MEASURE_TIME] += of_a_pair * n_pairs(cell)
    return total


def _bytes_of_cell(study: Study, backend: str | None) -> dict[Share, float]:
    extent = _extent(study)
    architecture = extent.architecture
    ensemble = study.ensemble
    n_networks = study.ensemble.n_networks
    of_pairs = n_pairs(study)
    n_sets = n_networks if getattr(study.data, "shared", 1) < 1 else 1
    paths = 1 + len(study.measure.alignment)
    steps = study.training.steps * study.training.unit(architecture.n_inputs)
    schedule = study.training.schedule
    is_constant = schedule.kind == "constant" and not schedule.warmup_steps
    n_records = len_of(steps, study.training.record_every)
    of_sample = architecture.n_inputs + (architecture.widths[-1] if study.training.loss == "mse" else 1)
    draws_all = getattr(study.data, "shift", 0) > 0  # pairs of different sides are chosen from a list of all
    is_held = study.setting.teacher is None or backend == "reference"  # the others make a teacher's bit by bit
    columns = CURVE_COLUMNS * paths + len(study.measure.theory)
    words = 1 if study.training.dtype == "float64" else 0.5  # of a parameter
    at_once = min(n_networks, trainings_at_once(study, extent, backend or "native"))
    numbers = {
        NETWORKS: n_networks * (HELD + words * architecture.n_parameters)
        + (COPIES - 1) * at_once * (NETWORK_COLUMNS + architecture.n_parameters),
        PAIRS: of_pairs * HELD + (COPIES * ensemble.n_possible if draws_all else 0),
        TRAINING: COPIES * n_sets * extent.n_train * of_sample,
        TEST: COPIES * extent.n_test * of_sample if is_held else 0,
        LOSSES: COPIES * at_once * n_records,
        SCHEDULE: (CONSTANT_STEP_ARRAYS if is_constant else STEP_ARRAYS) * steps,
    }
    tables = {
        NETWORKS: _of_table(n_networks * NETWORK_COLUMNS),
        PAIRS: max(_of_table(of_pairs * n * columns) for n in (BARRIER_COLUMNS, extent.n_alphas)),
        LOSSES: _of_table(n_networks * n_records),
    }
    largest = max(tables, key=lambda share: tables[share])
    numbers[largest] += tables[largest]  # one table after the other
    return {share: float(WORD * n) for share, n in numbers.items()}


def _of_table(n: int) -> int:
    """What a table of n numbers takes while it is made: copies of all; of a longer one, about half of the longest."""
    return TABLE_COPIES * n if n <= memory.TABLE_WHOLE else memory.TABLE_WHOLE // 2


def _second(item: tuple[Share, float]) -> float:
    return item[1]


def len_of(steps: int, record_every: int | None) -> int:
    """How many losses are recorded.

    >>> len_of(1000, None), len_of(1000, 300)
    (100, 4)
    """
    return -(-steps // (record_every or max(1, -(-steps // 100))))


def n_pairs(study: Study) -> int:
    """Pairs of one cell: under a covariate shift independent ones are of different sides, and there are fewer.

    >>> n_pairs(Study.load("teacher_student").cells()[0].study)
    430
    """
    ensemble = study.ensemble
    n_independent = ensemble.n_independent
    if getattr(study.data, "shift", 0) > 0:
        half, rest = divmod(ensemble.siblings, 2)  # of the siblings of a family: sides take turns
        within = ensemble.families * half * (half + rest)
        half, rest = divmod(ensemble.n_networks, 2)
        n_independent = min(n_independent, half * (half + rest) - within)
    n_siblings = ensemble.families * ensemble.siblings * (ensemble.siblings - 1) // 2
    return n_independent + (n_siblings if "siblings" in ensemble.pairs else 0)


def _extent(study: Study) -> Extent:
    """What the work for one pair grows with, of a study without vary."""
    n_inputs, n_outputs, n_train, n_test = samples(study)
    widths = (n_inputs, *study.architecture.hidden, n_outputs)
    architecture: kernels.Architecture = dataclasses.replace(study.architecture.build_hidden(), widths=widths)
    return Extent(architecture, n_train, n_test, len(study.measure.alphas))


def samples(study: Study) -> tuple[int, int, int, int]:
    """Inputs, outputs, training samples and test samples of one cell.

    >>> samples(Study.load("teacher_student").cells()[0].study)
    (8, 1, 256, 16384)
    """
    data = study.data
    if isinstance(data, FileData):
        return file.sizes(data)
    return data.n_inputs, data.n_outputs, data.n_train or 0, study.measure.test_samples
