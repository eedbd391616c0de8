"""Who computes what theory predicts: one thread beside the kernels, or all cores where there is much of it.

Either way the pairs are cut into the same parts, since the last bit of numpy's functions depends on an array's length:
a run gives the same bytes on any number of cores.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker

import loky
import torch

from kernels.cores import cores
from testbed.ensemble.plan import Plan
from testbed.ensemble.shards import extent
from testbed.errors import StudyError
from testbed.kinds import Predicted
from testbed.measures.registry import PREDICTIONS
from testbed.pair_set import PairSet

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # by Ctrl-C, a scheduler, a terminal that closes
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
    pool = processes(cores())
    try:
        yield Crew(pool)
    finally:
        pool.shutdown(wait=False, kill_workers=True)


def processes(n: int) -> loky.ProcessPoolExecutor:
    """So many processes, which do not import the script that runs the study, as multiprocessing's would.

    They start at once, beside what the caller does next. Ctrl-C and the like are the caller's business: a signal goes
    to all processes of a terminal, and those that hear it print tracebacks of their own.
    """
    with deaf():
        pool = loky.ProcessPoolExecutor(n, initializer=_begin, initargs=(os.getpid(),))
        pool.submit(_ready)
    return pool


@contextmanager
def deaf() -> Iterator[None]:
    """Signals wait meanwhile, and processes that start do not hear them at all."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        resource_tracker.ensure_running()  # a process too; it unblocks Ctrl-C once it runs
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def theory_work(plan: Plan) -> float:
    """Multiply-adds of all predictions of a study, about."""
    return sum(
        PREDICTIONS[name].work(extent(launch)).arrays * len(launch.pairs)
        for launch in plan.launches
        for name in launch.study.measure.theory
    )


def _begin(parent: int) -> None:
    """A process takes one core, and ends when its parent is killed, which it would not hear of."""
    torch.set_num_threads(1)
    threading.Thread(target=_leave_without, args=(parent,), daemon=True).start()


def _leave_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _ready() -> None:
    """What a process does first: nothing, but this module is then imported."""


def _predict(name: str, pairs: bytes) -> bytes:
    """Bytes both ways: torch would send tensors as files of shared memory, one open file each."""
    return pickle.dumps(PREDICTIONS[name].predict(pickle.loads(pairs)))
