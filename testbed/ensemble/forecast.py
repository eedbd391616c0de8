"""What a run of a study would be, before anything is made: how many networks and pairs, how long, how much memory.

It is counted from the study's numbers, in half a second and without torch. What only the plan of a run can tell, it
makes: of samples or networks in files whether they can be used, and of a GPU, or a backend that is asked for by name,
whether it can run the study.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from kernels import native
from testbed.data.file import FileData
from testbed.ensemble import bounds
from testbed.ensemble.same_training import built, launch_key
from testbed.study import Study

DRIVERS = ("libcuda.so.1", "libamdhip64.so")  # without one of them, torch sees no GPU


@dataclass(frozen=True)
class Forecast:
    """How many cells, networks, launches and pairs; on which backend; seconds, on two cores, and bytes of memory."""

    cells: int
    networks: int
    launches: int
    pairs: int
    backend: str
    seconds: float
    bytes: float


def forecast(study: Study, backend: str = "auto") -> Forecast:
    """What a run on this backend would be; StudyError where it could not be.

    >>> made = forecast(Study.load("teacher_student", quick=True))
    >>> made.launches, made.networks, made.pairs
    (6, 288, 696)
    """
    cells = [cell.study for cell in study.cells()]
    bounds.check_memory(cells)
    if backend != "auto" or _has_driver() or any(map(_must_be_planned, cells)):
        n_pairs, backend = _planned(study, backend)
    else:
        for first in {launch_key(cell): cell for cell in cells}.values():
            n_inputs, n_outputs, *_ = bounds.samples(first)
            built(first, n_inputs, n_outputs)
        n_pairs = sum(map(bounds.n_pairs, cells))
        backend = "reference" if native.missing() else "native"
    return Forecast(
        cells=len(cells),
        networks=sum(cell.ensemble.n_networks for cell in cells),
        launches=len({launch_key(cell) for cell in cells}),
        pairs=n_pairs,
        backend=backend,
        seconds=sum(bounds.seconds_needed(cells, backend).values()),
        bytes=sum(bounds.bytes_needed(cells, backend).values()),
    )


def _must_be_planned(cell: Study) -> bool:
    """Whether samples or networks must be read to know what runs."""
    return isinstance(cell.data, FileData) or cell.ensemble.start is not None


def _planned(study: Study, backend: str) -> tuple[int, str]:
    """Pairs and backend, by the plan of a run."""
    from testbed.ensemble.backend import resolve
    from testbed.ensemble.plan import plan

    made = plan(study)
    return made.n_pairs, resolve(backend, made)


def _has_driver() -> bool:
    """Whether this machine may have a GPU; torch, which says so for sure, takes seconds to import."""
    for name in DRIVERS:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False
