"""`testbed fields` knows every field that a study may have."""

from __future__ import annotations

import pytest

from testbed import StudyError
from testbed.cli import main
from testbed.study import fields
from testbed.study.study import KEYS


def test_every_key_of_a_study_is_described():
    tables = fields.described()
    assert {f"{table.key}.{name}" if table.key else name for table in tables for name, _, _ in table.rows} | {
        "data.kind"
    } == KEYS
    assert all(table.text for table in tables)
    assert len({(table.key, table.kind) for table in tables}) == len(tables)


def test_types_bounds_and_defaults():
    (spirals,) = fields.described("data.spirals")
    rows = {name: (of_type, default) for name, of_type, default in spirals.rows}
    assert rows["n_train"] == ("whole number ≥ 1", "needed") and rows["label_noise"] == ("number ≥ 0, ≤ 1", "0.0")
    assert "radius" in spirals.text and "label_noise:" in spirals.text and "shift:" in spirals.text
    (measure,) = fields.described("measure")
    assert {name: default for name, _, default in measure.rows}["alphas"] == "25"
    sgd, adam, schedule = fields.described("training.optimizer") + fields.described("training.schedule")
    assert "Nesterov" in sgd.text and adam.kind == "adam or adamw" and schedule.kind == ""


def test_the_command(capsys):
    main(["fields", "architecture.pruning"])
    said = capsys.readouterr().out
    assert "rewind_step" in said and "magnitude" in said and "whole number ≥ 1" in said
    with pytest.raises(StudyError, match="Did you mean 'measure'"):
        fields.described("meazure")
