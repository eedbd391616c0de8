"""Which cells of a study measure one training (they differ in `training.snapshot` alone), and which share a launch."""

from __future__ import annotations

import json
from collections.abc import Iterable

import kernels
from testbed.errors import StudyError
from testbed.study import Study

PER_NETWORK = ("lr", "momentum", "weight_decay")  # of the optimizer: arrays within one launch


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


def launch_key(study: Study) -> str:
    """What must be equal for two cells to share a launch: one call of `kernels.train`.

    >>> cells = [cell.study for cell in Study.load("teacher_student").cells()]
    >>> len(cells), len({launch_key(cell) for cell in cells})
    (24, 6)
    """
    raw = study.resolved()
    del raw["ensemble"]
    raw["training"].pop("snapshot", None)
    free = (
        (raw["architecture"], ("initialisation", "scale", "lean")),
        (raw["data"], ("seed",)),
        (raw["data"].get("teacher", {}), ("seed", "scale")),
        (raw["training"]["optimizer"], PER_NETWORK),
    )
    for table, names in free:
        for name in names:
            table.pop(name, None)
    return json.dumps(raw, sort_keys=True)


def built(study: Study, n_inputs: int, n_outputs: int) -> kernels.Architecture:
    """The architecture of a study's networks; StudyError where its windows do not fit the inputs.

    >>> built(Study.load("width").cells()[0].study, n_inputs=4, n_outputs=2).n_inputs
    4
    """
    try:
        return study.architecture.build(n_inputs, n_outputs)
    except ValueError as error:
        raise StudyError(f"architecture.{error}") from None
