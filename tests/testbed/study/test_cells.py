"""What varies makes cells, each a study of its own."""

from __future__ import annotations

import pytest

from testbed import Study, StudyError


def test_cells_are_the_full_factorial(study):
    cells = study({"vary": {"architecture.hidden": [[2], [3]], "training.steps": [20, 30, 40]}}).cells()
    assert [(cell.study.architecture.hidden, cell.study.training.steps) for cell in cells] == [
        ((2,), 20),
        ((2,), 30),
        ((2,), 40),
        ((3,), 20),
        ((3,), 30),
        ((3,), 40),
    ]
    assert all(cell.study.vary == {} for cell in cells)
    assert [cell.index for cell in cells] == list(range(6))


def test_kinds_vary_without_what_another_kind_has_by_default(raw):
    """What SGD and spirals hold by default, momentum and turns, is asked neither of Adam nor of moons."""
    data = {"kind": "spirals", "n_train": 30}
    optimizer = {"kind": "sgd", "lr": 0.1, "weight_decay": 0.01}
    varied = {"data.kind": ["spirals", "moons"], "training.optimizer.kind": ["sgd", "adam"]}
    settings = {"data": data, "training.optimizer": optimizer, "training.loss": "cross_entropy", "vary": varied}
    study = Study.make(raw(settings | {"measure.theory": []}))
    for again in (study, Study.make(study.resolved())):  # and as a run folder has it
        cells = [cell.study.training.optimizer for cell in again.cells()]
        assert [(own.kind, own.lr, own.weight_decay) for own in cells] == [("sgd", 0.1, 0.01), ("adam", 0.1, 0.01)] * 2
        assert [cell.study.data.kind for cell in again.cells()] == ["spirals"] * 2 + ["moons"] * 2
    optimizer["momentum"] = 0.9
    data["turns"] = 2.0
    with pytest.raises(StudyError) as refused:
        Study.make(raw(settings | {"measure.theory": []}))
    said = "\n".join(refused.value.args)
    assert "'data.turns' is not a key of data of kind 'moons'" in said
    assert "'training.optimizer.momentum' is not a key of training.optimizer of kind 'adam'" in said


def test_cells_that_are_no_studies_are_all_named(raw):
    tables = raw({"vary": {"architecture.hidden": [[2], [0], [3]], "training.steps": [5, 20, 6]}})
    with pytest.raises(StudyError) as refused:
        Study.make(tables)
    assert refused.value.args == (
        "In the cell architecture.hidden = [2], training.steps = 5 and 1 more: "
        "ensemble.spawn_step (10) must be at most training.steps (5).",
        "In the cell architecture.hidden = [2], training.steps = 6 and 1 more: "
        "ensemble.spawn_step (10) must be at most training.steps (6).",
        "In the cell architecture.hidden = [0], training.steps = 5 and 2 more: "
        "architecture.hidden[0] must be at least 1, not 0.",
    )
