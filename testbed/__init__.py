"""Asks the questions: studies in TOML, trained ensembles, measured paths beside predicted ones, figures, a page.

    study.toml → Study → data, seeds → kernels.train → parameters → pairs → kernels.path_losses → measured curves
    → comparison ← theory curves ← parameters → store → figures, report.html

`run_study(Study.load("teacher_student"), out)` is the whole of it; `testbed run teacher_student` is the same from a
shell; `load(out)` reads a run. Of networks of one's own, `barrier(model_a, model_b, (x, y))` measures two, and
`soup(models, (x, y))` the average of several.
docs/architecture.md says which wing holds what.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any


def _check_neighbours() -> None:
    """ImportError where `kernels` or `theory` is not the one that lies beside this package."""
    home = Path(__file__).resolve().parent.parent
    for name in ("kernels", "theory"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if found != home / name:
            raise ImportError(
                f"testbed needs the package '{name}' of this project, at {home / name}, but Python finds "
                f"{found or 'none'}: other projects publish a '{name}' too. Uninstall that one, or put {home} on "
                "PYTHONPATH."
            )


_check_neighbours()

if TYPE_CHECKING:
    from testbed.barriers import Barriers, barrier
    from testbed.errors import StudyError
    from testbed.pair_set import PairSet
    from testbed.results.results import load
    from testbed.run import run_study, write_report
    from testbed.soups import Soups, soup
    from testbed.study import Study

__all__ = [
    "Barriers",
    "PairSet",
    "Soups",
    "Study",
    "StudyError",
    "barrier",
    "load",
    "run_study",
    "soup",
    "write_report",
]
HOMES = {
    "Barriers": "testbed.barriers",
    "barrier": "testbed.barriers",
    "load": "testbed.results.results",
    "PairSet": "testbed.pair_set",
    "Study": "testbed.study",
    "StudyError": "testbed.errors",
    "Soups": "testbed.soups",
    "soup": "testbed.soups",
    "run_study": "testbed.run",
    "write_report": "testbed.run",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are asked for: the command can be interrupted while torch is loading."""
    if name not in HOMES:
        raise AttributeError(f"module 'testbed' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)
