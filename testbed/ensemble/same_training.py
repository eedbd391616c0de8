"""Which cells of a study measure one training: those that differ in `training.snapshot` alone."""

from __future__ import annotations

import json
from collections.abc import Iterable

from testbed.study import Study


def training_key(study: Study) -> str:
    """What is equal for the cells of one training, and for no others.

    >>> study = Study.load("width").cells()[0].study
    >>> early = study.model_copy(update={"training": study.training.model_copy(update={"snapshot": 10})})
    >>> training_key(study) == training_key(early)
    True
    """
    raw = study.resolved()
    raw["training"].pop("snapshot", None)
    return json.dumps(raw, sort_keys=True)


def one_of_each(cells: Iterable[Study]) -> list[Study]:
    """The first cell of each training."""
    first: dict[str, Study] = {}
    for cell in cells:
        first.setdefault(training_key(cell), cell)
    return list(first.values())
