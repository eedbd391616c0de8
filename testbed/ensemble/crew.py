"""Who computes what theory predicts: one thread beside the kernels, or all cores where there is much of it.

Either way the pairs are cut into the same parts, since the last bit of numpy's functions depends on an array's length:
a run gives the same bytes on any number of cores.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from kernels.cores import cores
from testbed.ensemble.plan import Plan
from testbed.ensemble.shards import extent
from testbed.errors import StudyError
from testbed.kinds import Predicted
from testbed.measures.registry import PREDICTIONS
from testbed.pair_set import PairSet
from testbed.processes import processes

PART = 64  # pairs that are predicted at a time
WORTH_PROCESSES = 2e10  # multiply-adds of theory: several seconds of one core, and processes take three to start


@dataclass(frozen=True)
class Crew:
    """Those of a pool, threads or processes."""

    pool: Executor

    def predict(self, name: str, pairs: PairSet) -> list[Future[bytes]]:
        """Begin a prediction; `joined` gives it."""
        size = PART if PREDICTIONS[name].apart else len(pairs)
        alone = dataclasses.replace(pairs, origin=None)  # without the launch's other networks
        return [self.pool.submit(_predict, name, pickle.dumps(part)) for part in alone.chunks(size)]


def joined(parts: list[Future[bytes]]) -> Predicted:
    """What `Crew.predict` began, when it is there; StudyError where a process of the crew was killed."""
    try:
        found = [pickle.loads(part.result()) for part in parts]
    except BrokenProcessPool:
        raise StudyError(
            "A process that computed theory was killed, for memory perhaps; the same command continues."
        ) from None
    return Predicted(torch.cat([part.loss for part in found]), torch.cat([part.barriers for part in found]))


@contextmanager
def one_thread() -> Iterator[Crew]:
    """A thread of its own: theory's short numpy calls gain nothing from two, and beside the kernels' threads it fills
    the cores.
    """
    with ThreadPoolExecutor(1) as thread:
        yield Crew(thread)


@contextmanager
def crew(plan: Plan) -> Iterator[Crew]:
    """Those who predict for a study."""
    if cores() == 1 or theory_work(plan) < WORTH_PROCESSES:
        with one_thread() as thread:
            yield thread
        return
    pool = processes(cores(), _one_core)
    try:
        yield Crew(pool)
    finally:
        pool.shutdown(wait=False, kill_workers=True)


def theory_work(plan: Plan) -> float:
    """Multiply-adds of all predictions of a study, about."""
    return sum(
        PREDICTIONS[name].work(extent(launch)).arrays * launch.n_pairs
        for launch in plan.launches
        for name in launch.study.measure.theory
    )


def _one_core() -> None:
    """A process takes one core."""
    torch.set_num_threads(1)


def _predict(name: str, pairs: bytes) -> bytes:
    """Bytes both ways: torch would send tensors as files of shared memory, one open file each."""
    return pickle.dumps(PREDICTIONS[name].predict(pickle.loads(pairs)))
