"""Asks the questions: studies in TOML, trained ensembles, measured paths beside predicted ones, figures, a page.

    study.toml → Study → data, seeds → kernels.train → parameters → pairs → kernels.path_losses → measured curves
    → comparison ← theory curves ← parameters → store → figures, report.html

`run_study(Study.load("teacher_student"), out)` is the whole of it; `testbed run teacher_student` is the same from a
shell; `load(out)` reads a run. Of networks of one's own, `barrier(model_a, model_b, (x, y))` measures two, and
`soup(models, (x, y))` the average of several.
docs/architecture.md says which wing holds what.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import lazy_loader


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

# names and their modules stand in __init__.pyi; each is imported when it is asked for, so that the command answers at
# once, and can be interrupted while torch is loading
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
