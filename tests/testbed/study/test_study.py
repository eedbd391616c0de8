"""A study says what is wrong with it in a sentence that names the field, before anything runs."""

from __future__ import annotations

import datetime
import json

import pytest
import tomli_w

from testbed import Study, StudyError
from testbed.cli import main
from testbed.shipped import SHIPPED
from testbed.study.dotted import parse_setting

REFUSED = [
    ({"trainning": {}}, r"Unknown key 'trainning'\. Did you mean 'training'\?"),
    ({"training.stps": 3}, r"Unknown key 'training\.stps'\. Did you mean 'training\.steps'\?"),
    ({"steps": 3}, r"Unknown key 'steps'\. Did you mean 'training\.steps'\?"),
    ({"data.teacher.hiden": [3]}, r"'data\.teacher\.hiden'\. Did you mean 'data\.teacher\.hidden'\?"),
    ({"training.optimizer.momentm": 0.9}, r"Did you mean 'training\.optimizer\.momentum'\?"),
    ({"data.turns": 1.0}, r"'data\.turns' is not a key of data of kind 'teacher_student'"),
    ({"data.kind": "spiral"}, r"data\.kind must be one of .*Did you mean 'spirals'\?"),
    ({"training.optimizer": {"lr": 0.1}}, r"training\.optimizer\.kind is missing"),
    ({"training.optimizer.kind": "adma"}, r"training\.optimizer\.kind .*Did you mean 'adam'\?"),
    ({"training.optimizer.lr": "0.1"}, r"training\.optimizer\.lr must be a number, not '0\.1'"),
    ({"training.optimizer.lr": float("nan")}, r"training\.optimizer\.lr must be finite"),
    ({"training.optimizer.lr": -1.0}, r"training\.optimizer\.lr must be at least 0"),
    ({"training.optimizer.nesterov": True}, r"training\.optimizer\.nesterov needs a momentum above 0"),
    ({"measure.theory": ["twin_students"]}, r"measure\.theory: 'twin_students' needs training\.online = true"),
    (
        {"measure.permutations": True, "architecture.hidden": [3], "data.teacher.hidden": [9]},
        r"measure\.permutations needs one hidden layer of at most 6 units in data\.teacher\.hidden, not \[9\]",
    ),
    (
        {"measure.permutations": True, "architecture.hidden": [3, 2]},
        r"measure\.permutations needs one hidden layer of at most 6 units in architecture\.hidden, not \[3, 2\]",
    ),
    (
        {"training.clock": "inputs", "training.schedule": {"kind": "cosine"}},
        r"clock 'inputs' goes with a constant schedule",
    ),
    ({"training.steps": 2.5}, r"training\.steps must be a whole number, not 2\.5"),
    ({"training.steps": True}, r"training\.steps must be a whole number, not True"),
    ({"architecture.biases": 1}, r"architecture\.biases must be true or false, not 1"),
    ({"architecture.activation": "rleu"}, r"architecture\.activation must be one of .*Did you mean 'relu'\?"),
    ({"architecture.hidden": [3, 0]}, r"architecture\.hidden\[1\] must be at least 1, not 0"),
    ({"architecture.hidden": 3}, r"architecture\.hidden must be a list, not 3"),
    ({"data.teacher.activation": "rel"}, r"data\.teacher\.activation must be one of"),
    ({"data": 3}, r"data must be a table, not 3"),
    ({"question": 3}, r"question must be a text in quotes, not 3"),
    ({"seed": -1}, r"seed must be at least 0, not -1"),
    ({"training.loss": "mes"}, r"training\.loss must be one of mse, cross_entropy, not 'mes'\. Did you mean 'mse'\?"),
    ({"training.loss": "cross_entropy"}, r"training\.loss must be 'mse' for data of kind 'teacher_student'"),
    ({"training.batch_size": 100}, r"training\.batch_size \(100\) must be at most data\.n_train \(24\)"),
    ({"training.schedule.kind": "cosin"}, r"training\.schedule\.kind .*Did you mean 'cosine'\?"),
    ({"training.online": True}, r"leave out data\.n_train, noise, shared and shift"),
    ({"ensemble.independent_pairs": 25}, r"ensemble\.independent_pairs must be at most 24"),
    ({"ensemble.siblings": 1}, r"ensemble\.siblings must be at least 2"),
    ({"ensemble.spawn_step": 41}, r"ensemble\.spawn_step \(41\) must be at most training\.steps \(40\)"),
    ({"ensemble.pairs": ["sibling"]}, r"ensemble\.pairs\[0\] .*Did you mean 'siblings'\?"),
    ({"measure.alphas": 2}, r"measure\.alphas must be at least 3 points"),
    ({"measure.alphas": [0.0, float("nan"), 1.0]}, r"measure\.alphas must be finite"),
    ({"measure.alphas": [0.0, float("inf"), 1.0]}, r"measure\.alphas must be finite"),
    ({"measure.alphas": [0.1, 0.5, 1.0]}, r"measure\.alphas must hold 0 and 1"),
    ({"measure.alphas": [0.0, 0.6, 0.5, 1.0]}, r"measure\.alphas must rise"),
    ({"measure.theory": ["populaton"]}, r"measure\.theory\[0\] .*Did you mean 'population'\?"),
    ({"architecture.hidden": [3, 3]}, r"measure\.theory: 'population' needs one hidden layer"),
    ({"architecture.activation": "tanh"}, r"measure\.theory: 'exact_training' needs a piecewise linear activation"),
    ({"data.teacher.hidden": [2, 2]}, r"'population' needs a teacher with one hidden layer"),
    (
        {"architecture.activation": "erf", "data.teacher.activation": "erf"},
        r"'exact_training' needs a piecewise linear activation",
    ),
    ({"vary": {"training.stps": [1]}}, r"vary: 'training\.stps' is no key.*Did you mean 'training\.steps'\?"),
    ({"vary": {"training.lr": [1]}}, r"vary: 'training\.lr' is no key.*Did you mean 'training\.optimizer\.lr'\?"),
    ({"vary": {"seed": [1]}}, r"vary: 'seed' cannot vary\.$"),
    ({"vary": {"measure.alphas": [5]}}, r"vary: 'measure\.alphas' cannot vary\.$"),
    ({"vary": {"training.steps": []}}, r"vary\.'training\.steps' must hold at least one value"),
    ({"vary": {"training.steps": [20, 20]}}, r"vary: a value stands twice"),
    ({"vary": {"training.steps": 3}}, r"vary\.training\.steps must be a list"),
    ({"vary": {"training.steps": [20, 5]}}, r"In the cell training\.steps = 5: ensemble\.spawn_step \(10\)"),
    (
        {"vary": {"architecture.hidden": [[2], [0]]}},
        r"In the cell architecture\.hidden = \[0\]: architecture\.hidden\[0\]",
    ),
]


@pytest.mark.parametrize(("settings", "sentence"), REFUSED, ids=[str(settings)[:60] for settings, _ in REFUSED])
def test_what_is_wrong_is_named(raw, settings, sentence):
    with pytest.raises(StudyError, match=sentence):
        Study.make(raw(settings))


def test_orders_need_a_teacher(classes):
    with pytest.raises(StudyError, match=r"measure\.permutations needs a teacher.*data of kind 'teacher_student'"):
        classes({"measure.permutations": True})


def test_siblings_need_batches(raw):
    tables = raw()
    del tables["training"]["batch_size"]
    with pytest.raises(StudyError, match=r"ensemble\.pairs: siblings differ in their data order alone"):
        Study.make(tables)


def test_classes_go_with_cross_entropy(raw, classes):
    with pytest.raises(StudyError, match=r"training\.loss must be 'cross_entropy' for data of kind 'gaussian_mixture'"):
        classes({"training.loss": "mse"})


def test_the_same_in_toml_in_python_and_with_settings(raw, tmp_path):
    expected = Study.make(raw({"training.steps": 30}))
    path = tmp_path / "a.toml"
    path.write_text(tomli_w.dumps(raw()))
    loaded = Study.load(path, ["training.steps=30"])
    assert loaded == expected
    assert loaded.sha256 == expected.sha256 != Study.load(path).sha256
    (tmp_path / "b.toml").write_text(expected.toml())
    assert Study.load(tmp_path / "b.toml") == expected  # what a run folder holds is the study


def test_alphas_as_a_count_or_a_list(study):
    assert study({"measure.alphas": 5}).measure.alphas == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert study({"measure.alphas": [0, 0.3, 1]}).measure.alphas == (0.0, 0.3, 1.0)
    assert 0.5 in study({"measure.alphas": 25}).measure.alphas


def test_settings_are_toml():
    assert parse_setting('data.kind="spirals"') == ("data.kind", "spirals")
    assert parse_setting("architecture.hidden=[4, 4]") == ("architecture.hidden", [4, 4])
    assert parse_setting("data.kind=spirals") == ("data.kind", "spirals")
    assert parse_setting("data.path=samples/mine-2.npz") == ("data.path", "samples/mine-2.npz")
    assert parse_setting("architecture.biases=false") == ("architecture.biases", False)
    with pytest.raises(StudyError, match="a text needs quotes"):
        parse_setting("question=Does it run?")
    with pytest.raises(StudyError, match="key=value"):
        parse_setting("data.kind")


def test_a_setting_of_a_key_that_varies_is_refused(raw, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(tomli_w.dumps(raw({"vary": {"training.steps": [20, 30]}})))
    with pytest.raises(StudyError, match=r"training\.steps varies in this study"):
        Study.load(path, ["training.steps=10"])
    varied = Study.load(path, ["vary.'training.steps'=[15]"])
    assert varied.vary == {"training.steps": [15]}


def test_quick_shrinks_and_says_so(raw, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(tomli_w.dumps(raw({"training.steps": 4000, "vary": {"ensemble.spawn_step": [0, 100, 110]}})))
    quick = Study.load(path, quick=True)
    assert quick.quick
    assert quick.training.steps == 200
    assert quick.vary["ensemble.spawn_step"] == [0, 5]  # 110 // 20 is 5 too


def test_quick_scales_together_what_belongs_together(raw, tmp_path):
    """Warm-up, the steps of a schedule and records shrink with training, and a component says what runs."""
    path = tmp_path / "a.toml"
    schedule = {"kind": "step", "warmup_steps": 1000, "step_size": 500}
    steps = {"20,000 steps": {"training.steps": 20_000}, "of 20 and 100": {"training.steps": 2000}}
    steps |= {"warm-up of 2000": {"training.schedule": {"warmup_steps": 2000}}}
    levels = ["20,000 steps", "baseline"]
    claims = [{"claim": "!", "source": "nobody", "expects": "smaller", "factor": "component", "levels": levels}]
    claims += [{"claim": "!", "source": "nobody", "expects": "at most", "value": 1, "where": {"component": levels[0]}}]
    settings = {"training.steps": 4000, "training.schedule": schedule, "training.record_every": 100}
    path.write_text(tomli_w.dumps(raw({**settings, "component": {"time": steps}, "claims": claims})))
    quick = Study.load(path, quick=True)
    training = quick.training
    assert (training.steps, training.schedule.warmup_steps, training.schedule.step_size) == (200, 50, 25)
    assert training.record_every == 5
    assert list(quick.components) == ["20,000 steps (quick: 1,000)", "of 20 and 100", "warm-up of 2000 (quick: 100)"]
    assert quick.claims[0].levels == ["20,000 steps (quick: 1,000)", "baseline"]
    assert quick.claims[1].where == {"component": "20,000 steps (quick: 1,000)"}
    for cell in quick.cells():
        assert cell.study.training.schedule.warmup_steps <= cell.study.training.steps
    assert list(Study.load(path).components) == list(steps)


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.toml") if "warmup" in path.read_text()))
def test_no_warm_up_outlasts_a_quick_run(name):
    trained = [cell.study.training for cell in Study.load(name, quick=True).cells()]
    assert all(training.schedule.warmup_steps <= training.steps for training in trained)


def test_broken_toml_and_absent_studies(tmp_path):
    (tmp_path / "a.toml").write_text("question = ")
    with pytest.raises(StudyError, match="is not TOML"):
        Study.load(tmp_path / "a.toml")
    with pytest.raises(StudyError, match=r"There is no study 'teacher_studnt'.*Did you mean 'teacher_student'\?"):
        Study.load("teacher_studnt")


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.toml")))
def test_shipped_studies_are_valid(name):
    assert Study.load(name).question.endswith("?")
    assert Study.load(name, quick=True).quick


def test_the_shipped_teacher_student_study_is_as_large_as_it_says():
    cells = Study.load("teacher_student").cells()
    ensembles = [cell.study.ensemble for cell in cells]
    assert sum(e.n_networks for e in ensembles) >= 2048
    assert sum(e.n_independent + e.families * e.siblings * (e.siblings - 1) // 2 for e in ensembles) >= 10_000
    assert len(cells[0].study.measure.alphas) == 25
    assert cells[0].study.measure.test_samples == 16384


def test_derive_prints_and_lists(capsys):
    main(["derive", "depth-two-barrier"])
    assert r"\frac{N}{32}" in capsys.readouterr().out
    main(["derive"])
    assert "square-population" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["derive", "depth-two-barier"])
    assert stopped.value.code == 2 and "did you mean 'depth-two-barrier'" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["vary", "component", "claims", "ensemble", "measure", "training.optimizer", "files"])
@pytest.mark.parametrize("value", ["3", "[3]"])
@pytest.mark.parametrize("flags", [["--quick"], ["--scale", "2"]])
def test_a_value_in_place_of_a_table_is_named(key, value, flags, tmp_path, capsys):
    command = ["run", "teacher_student", "--set", f"{key}={value}", "--out", str(tmp_path / "run"), *flags]
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 2 and f"testbed: {key}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_is_nested_too_deeply_is_refused(raw, tmp_path):
    deep = "[" * 100_000
    (tmp_path / "a.toml").write_text(f"seed = {deep}")
    for load in (
        lambda: Study.load(tmp_path / "a.toml"),
        lambda: Study.load("teacher_student", [f"seed={deep}"]),
        lambda: Study.load("teacher_student", [".".join(["training"] * 2000) + "=1"]),
        lambda: Study.make(raw({"seed": json.loads("[" * 400 + "]" * 400)})),
    ):
        with pytest.raises(StudyError, match="nested more than 50 deep"):
            load()


@pytest.mark.parametrize(("scale", "shown"), [(float("inf"), "inf"), (float("nan"), "nan"), (0.0, "0.0")])
def test_a_scale_is_a_number(scale, shown):
    with pytest.raises(StudyError, match=f"--scale must be a finite number above 0, not {shown}"):
        Study.load("teacher_student", scale=scale)


def test_no_more_alphas_and_cells_than_can_be_listed(raw):
    with pytest.raises(StudyError, match=r"measure\.alphas must be at most 10,001 points, such as 25, not 30,000,000"):
        Study.make(raw({"measure.alphas": 30_000_000}))
    with pytest.raises(StudyError, match=r"vary: a study may have 20,000 cells, and this one has 1,000,000"):
        Study.make(raw({"vary": {"data.seed": list(range(1000)), "data.teacher.seed": list(range(1000))}}))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"column": "kind"}, r"claims: column must be a column of numbers of the pairs, such as .*, not 'kind'"),
        ({"column": "test_los_barrier_linear"}, r"Did you mean 'test_loss_barrier_linear'\?"),
        ({"where": {"kind": "siblings"}}, r"claims: where\.kind must be a number, not 'siblings'"),
        ({"where": {"left_out": 1}}, r"claims: where\.left_out must be a column of numbers"),
        ({"where": {"z": datetime.date(2020, 1, 1)}}, r"claims: where\.z must be a number"),
    ],
)
def test_a_claim_is_about_a_column_of_numbers(raw, settings, sentence):
    claim = {"claim": "It is low.", "source": "nobody", "expects": "at most", "value": 1.0}
    assert Study.make(raw({"claims": [claim]})).claims[0].column == "test_error_barrier_linear"
    with pytest.raises(StudyError, match=sentence):
        Study.make(raw({"claims": [claim | settings]}))


def test_dates_are_no_levels(raw):
    with pytest.raises(StudyError, match=r"In the cell training\.steps = \"2020-01-01\": training\.steps must be"):
        Study.make(raw({"vary": {"training.steps": [datetime.date(2020, 1, 1)]}}))


def test_a_byte_order_mark_is_no_part_of_a_study(raw, tmp_path):
    (tmp_path / "a.toml").write_text(tomli_w.dumps(raw()), encoding="utf-8-sig")
    assert Study.load(tmp_path / "a.toml") == Study.make(raw())


def test_all_that_is_wrong_is_said_at_once(raw, tmp_path, capsys):
    """Fields of one section and of several, what does not fit together, a file that is not there, claims, cells."""
    several = raw({"training.steps": -1, "training.batch_size": 0, "training.optimizer.lr": -1.0, "seed": "one"})
    with pytest.raises(StudyError) as fields:
        Study.make(several)
    found = ["training.steps", "training.batch_size", "training.optimizer.lr", "seed"]
    assert sorted(sentence.split(" ")[0] for sentence in fields.value.args) == sorted(found)

    settings = {"training.batch_size": 100, "ensemble.spawn_step": 41, "training.frozen_layers": [7]}
    apart = raw(settings | {"training.layer_rates": [1.0]})
    with pytest.raises(StudyError) as fit:
        Study.make(apart)
    assert [sentence.split(" ")[0] for sentence in fit.value.args] == [
        "training.batch_size",
        "ensemble.spawn_step",
        "training.frozen_layers",
        "training.layer_rates",
    ]

    file = {"kind": "file", "path": "none.npz"}
    tables = raw({"seed": -1, "vary": {"data.path": ["some.npz", "more.npz"]}}) | {"data": file}
    path = tmp_path / "a.toml"
    path.write_text(tomli_w.dumps(tables))
    with pytest.raises(SystemExit) as ended:
        main(["run", str(path), "--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    first, *others = capsys.readouterr().err.splitlines()
    assert first == "testbed: 4 things to put right:"
    assert [line.split(" ")[3].rstrip(":") for line in others] == [
        "data.path",
        "vary.'data.path'[0]",
        "vary.'data.path'[1]",
        "seed",
    ]
    assert not (tmp_path / "run").exists()


def test_a_dotted_key_in_quotes_is_one_name(raw):
    """As where [vary] above it was lost."""
    with pytest.raises(StudyError, match=r"'architecture\.hidden' in quotes is one name, .* or below \[vary\]"):
        Study.make(raw() | {"architecture.hidden": [[4], [8]]})


def test_settings_that_are_wrong_are_all_named():
    with pytest.raises(StudyError) as refused:
        Study.load("teacher_student", ["training.steps", "data.kind=[spirals]", "seed=1"])
    assert [sentence.split(" ")[0] for sentence in refused.value.args] == ["--set", "--set"]
