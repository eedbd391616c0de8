"""Processes beside the one that runs a study: they do not hear Ctrl-C, and none outlives it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

import loky

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # by Ctrl-C, a scheduler, a terminal that closes


def processes(n: int, ready: Callable[[], None] | None = None) -> loky.ProcessPoolExecutor:
    """So many processes, which do not import the script that runs the study, as multiprocessing's would.

    They start at once, beside what the caller does next, and each calls `ready` first, whose module is then imported.
    Ctrl-C and the like are the caller's business: a signal goes to all processes of a terminal, and those that hear it
    print tracebacks of their own.
    """
    with deaf():
        pool = loky.ProcessPoolExecutor(n, initializer=_begin, initargs=(os.getpid(), ready))
        pool.submit(_nothing)
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


def _begin(parent: int, ready: Callable[[], None] | None) -> None:
    """A process ends when its parent is killed, which it would not hear of."""
    threading.Thread(target=_leave_without, args=(parent,), daemon=True).start()
    if ready is not None:
        ready()


def _leave_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _nothing() -> None:
    """What a pool is asked for first, so that its processes start."""
