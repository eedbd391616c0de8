"""The compiled library: found and loaded once, and called so that a call shows progress and can be interrupted."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from ctypes import c_double, c_int32, c_int64
from functools import cache
from pathlib import Path

from kernels.checks import whole
from kernels.cores import cores
from kernels.native.structures import (
    AssignmentSpec,
    DrawSpec,
    MatchingSpec,
    Monitor,
    PathSpec,
    PiecewiseSpec,
    PopulationSpec,
    TrainSpec,
)

Progress = Callable[[int, int], None]
POLL_SECONDS = 0.1  # between two calls of `progress`
SPECS: dict[str, type[ctypes.Structure]] = {  # what each function takes
    "lmc_train": TrainSpec,
    "lmc_path_losses": PathSpec,
    "lmc_assign": AssignmentSpec,
    "lmc_draw": DrawSpec,
    "lmc_match": MatchingSpec,
    "lmc_piecewise": PiecewiseSpec,
    "lmc_population": PopulationSpec,
}
WAIT_SECONDS = 1.0  # between two looks for Ctrl-C, where nobody asks for progress


@cache
def opened() -> ctypes.CDLL | str:
    """The library, or a sentence that says why there is none; of several the first that runs here."""
    paths = _compiled()
    if not paths:
        return "its C++ was not compiled when the package was installed; install g++ and reinstall the package."
    if asked := os.environ.get("LMC_NATIVE"):
        there = {instruction_set(path): path for path in reversed(paths)}
        if asked not in there:
            return f"LMC_NATIVE must be one of {', '.join(there)}, for which it was compiled, not {asked!r}."
        paths = [there[asked]]
    found = [_loaded(path) for path in paths]
    return next((library for library in found if not isinstance(library, str)), found[0])


def _compiled() -> list[Path]:
    """The libraries beside this module: one that was compiled for this machine, then those of a wheel, widest first."""
    paths = list(Path(__file__).parent.glob("_native*.so"))
    # of two by one name, that without a Python's in it: checkouts before 0.2 may still hold the other
    paths.sort(key=lambda path: len(path.suffixes))
    paths.sort(key=instruction_set, reverse=True)  # x86-64-v4, x86-64-v3, x86-64
    return sorted(paths, key=lambda path: instruction_set(path) != "native")


def instruction_set(path: Path) -> str:
    """What a library was compiled for, in the word that LMC_MARCH and LMC_NATIVE have for it.

    >>> instruction_set(Path("_native_x86_64_v3.so")), instruction_set(Path("_native.so"))
    ('x86-64-v3', 'native')
    """
    return path.name.partition(".")[0].removeprefix("_native_").removeprefix("_").replace("_", "-")


def _loaded(path: Path) -> ctypes.CDLL | str:
    """One library, or a sentence that says why it cannot be used here."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return f"the compiled kernel does not load ({error}); reinstall the package on this machine."
    if not library.lmc_runs_here():
        return "it was compiled for a processor with other vector instructions; reinstall the package on this machine."
    if any(not _takes(library, name, spec) for name, spec in SPECS.items()):
        return "it was compiled from other sources than these; reinstall the package (in a checkout: make set-up)."
    library.lmc_fma_peak.restype = c_double
    library.lmc_fma_peak.argtypes = (c_int32, c_int64, c_double)
    return library


def _takes(library: ctypes.CDLL, name: str, spec: type[ctypes.Structure]) -> bool:
    """Whether a function of the library was compiled for a structure of this size."""
    size = getattr(library, f"{name}_bytes", None)
    if size is None:
        return False
    size.restype = c_int64
    return bool(size() == ctypes.sizeof(spec))


def missing() -> str:
    """Why the native backend cannot run here, in a sentence; empty where it can."""
    library = opened()
    return library if isinstance(library, str) else ""


def loaded() -> ctypes.CDLL:
    """The library; ValueError, with the reason, where there is none."""
    library = opened()
    if isinstance(library, str):
        raise ValueError(f"backend 'native' is not available: {library}")
    return library


def thread_count(threads: int | None) -> int:
    """`threads`, checked; None stands for one thread a core that this process may use."""
    if threads is not None:
        return whole("threads", threads, least=1)
    return cores()


def call(
    function: Callable[..., int],
    spec: ctypes.Structure,
    monitor: Monitor,
    total: int,
    arrays: object,
    progress: Progress | None = None,
) -> None:
    """Call `function(spec)` and wait until it is done; MemoryError where memory ran out.

    arrays: what the addresses in `spec` point into.

    It runs in a thread of its own, during which ctypes releases the interpreter: this thread tells `progress` how much
    of `total` is done, and an exception here (Ctrl-C) stops the call before it is raised again. It waits for an event
    that the worker sets: `Thread.join`, interrupted, may take a thread for finished that still writes into our arrays.
    """
    status: list[int] = []
    finished = threading.Event()

    def work(owned: object) -> None:  # by the thread, until it ends: an exception may come before anyone waits for it
        try:
            status.append(function(ctypes.byref(spec)))
        finally:
            finished.set()

    thread = threading.Thread(target=work, name="lmc-native", args=((arrays, monitor),))
    try:
        thread.start()
        while not finished.wait(WAIT_SECONDS if progress is None else POLL_SECONDS):
            if progress is not None:
                progress(min(monitor.done, total), total)
    except BaseException:
        monitor.cancel = 1
        if thread.ident is not None:  # it runs
            _outlast(finished)
        raise
    if progress is not None:
        progress(monitor.done, total)
    if status != [0]:
        raise MemoryError("the native backend ran out of memory; train fewer networks at a time or use fewer threads.")


def _outlast(finished: threading.Event) -> None:
    """Wait for the event, however often the user presses Ctrl-C meanwhile: until then the kernel writes into our
    arrays.
    """
    while True:
        try:
            finished.wait()
            return
        except KeyboardInterrupt:
            continue
