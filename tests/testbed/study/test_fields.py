"""`testbed fields` knows every field that a study may have."""

from __future__ import annotations

import pytest

from testbed import StudyError
from testbed.cli import main
from testbed.data.families import FAMILIES
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
    assert rows["classes"] == ("whole number ≥ 2", "2") and "radius" in spirals.text
    (measure,) = fields.described("measure")
    assert {name: default for name, _, default in measure.rows}["alphas"] == "25"
    sgd, adam, schedule = fields.described("training.optimizer") + fields.described("training.schedule")
    assert "Nesterov" in sgd.text and adam.kind == "adam or adamw" and schedule.kind == ""
    assert fields.described("training.optimizer.adamw") == [adam]


def test_what_families_have_in_common_is_said_once_and_linked():
    tables = fields.described("data")
    (sampled,) = fields.described("data.sampled")
    (task,) = fields.described("data.task")
    assert {name: (of_type, default) for name, of_type, default in task.rows} == {
        "n_train": ("whole number ≥ 1", "needed"),
        "label_noise": ("number ≥ 0, ≤ 1", "0.0"),
    }
    assert {name for name, _, _ in sampled.rows} == {"n_train", "shared", "shift", "seed"}
    for text in ("shift: covariate shift", "drawn anew, uniformly"):
        assert sum(text in table.text for table in tables) == 1
    (spirals,) = fields.described("data.spirals")
    assert "And n_train, label_noise: `testbed fields data.task`." in spirals.text
    assert "And shared, shift, seed: `testbed fields data.sampled`." in spirals.text
    for family in FAMILIES:  # nothing is lost, and what a family defines anew it says itself
        (own,) = fields.described(f"data.{family.model_fields['kind'].annotation.__args__[0]}")
        said = {name for name, _, _ in own.rows} | {name for name in family.model_fields if name in own.text}
        assert set(family.model_fields) - {"kind"} <= said


@pytest.mark.parametrize(
    ("table", "field", "choices"),
    [
        ("training", "loss", "mse | cross_entropy"),
        ("training", "sampling", "epoch | replacement"),
        ("training", "optimizer", "table of kind sgd | adam | adamw"),
        ("training.schedule", "kind", "constant | cosine | step | linear"),
        ("architecture", "activation", "identity | relu | leaky_relu | erf | tanh | square | gelu | silu"),
    ],
)
def test_where_a_word_is_expected_the_choices_stand(table, field, choices):
    rows = {name: of_type for name, of_type, _ in fields.described(table)[0].rows}
    assert rows[field] == choices


def test_the_command(capsys):
    main(["fields", "architecture.pruning"])
    said = capsys.readouterr().out
    assert "rewind_step" in said and "magnitude" in said and "whole number ≥ 1" in said
    main(["fields", "study"])
    assert "question" in capsys.readouterr().out
    with pytest.raises(StudyError, match="Did you mean 'measure'"):
        fields.described("meazure")
