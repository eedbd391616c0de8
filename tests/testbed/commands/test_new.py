"""`testbed new` writes studies that run."""

from __future__ import annotations

import numpy as np
import pytest

from testbed import Study, draft, load, run_study
from testbed.cli import main
from testbed.report.learnt import cells_stuck

DRAWN = [kind for kind in draft.KINDS if kind != "file"]


def new(*arguments: str) -> None:
    """`testbed new`, as a user calls it."""
    main(["new", *arguments])


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("data", DRAWN)
def test_a_study_of_every_family_runs(data, tmp_path):
    file = tmp_path / "new.toml"
    new(str(file), "--data", data)
    study = Study.load(file, ["training.steps=40", "ensemble.families=4", "ensemble.independent_pairs=4"])
    run_study(study, tmp_path / "run")
    assert load(tmp_path / "run").kinds == ["independent", "siblings"]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("data", "vary", "settings", "factors"),
    [
        ("spirals", ["training.optimizer.weight_decay=0,1e-3"], [], {"training.optimizer.weight_decay": [0, 1e-3]}),
        ("moons", ["architecture.hidden=8,16"], [], {"architecture.hidden": [[8], [16]]}),
        ("moons", ["architecture.hidden=[8],[8,8]"], [], {"architecture.hidden": [[8], [8, 8]]}),
        ("moons", ["training.optimizer.kind=sgd,adam"], [], {"training.optimizer.kind": ["sgd", "adam"]}),
        ("spirals", ["data.kind=spirals,moons"], [], {"data.kind": ["spirals", "moons"]}),
        ("xor", ["architecture.activation=relu,tanh"], [], {"architecture.activation": ["relu", "tanh"]}),
        (
            "teacher_student",
            ["ensemble.spawn_step=0,10", "data.noise=0,0.3"],
            ["training.optimizer.kind=adam"],
            {"ensemble.spawn_step": [0, 10], "data.noise": [0, 0.3]},
        ),
        ("parity", ["data.relevant=1,2"], ["training.schedule.kind=cosine"], {"data.relevant": [1, 2]}),
        (
            "circles",
            ["architecture.density=0.5,1.0"],
            ["architecture.mask=shared"],
            {"architecture.density": [0.5, 1.0]},
        ),
    ],
)
def test_what_varies_is_what_was_asked_for(data, vary, settings, factors, tmp_path):
    file = tmp_path / "new.toml"
    arguments = [word for text in vary for word in ("--vary", text)]
    new(str(file), "--data", data, *arguments, *(word for text in settings for word in ("--set", text)))
    study = Study.load(file)
    assert study.factors == factors and study.data.kind == data
    small = Study.load(file, ["training.steps=40", "ensemble.families=4", "ensemble.independent_pairs=4"])
    run_study(small, tmp_path / "run")
    assert load(tmp_path / "run").factors == list(factors)


def test_ones_own_samples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    np.savez(tmp_path / "studies" / "samples.npz", x=np.zeros((512, 3)), y=np.arange(512) % 2)
    new("studies/own.toml", "--data", "file")
    assert Study.load("studies/own.toml").data.path == str(tmp_path / "studies" / "samples.npz")


def test_without_a_file_the_study_is_printed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    new("--data", "circles", "--vary", "data.noise=0.05,0.2")
    printed = capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    (tmp_path / "printed.toml").write_text(printed)
    assert Study.load("printed.toml").question == "How does the barrier depend on noise?"


def test_theory_is_a_line_to_uncomment(tmp_path):
    text = draft.draft("teacher_student", [])
    study = draft.check(text.replace("# theory", "theory"), tmp_path)
    assert study.measure.theory == ("population", "exact_training")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "spiral"], "Did you mean 'spirals'?"),
        (["--vary", "training.stepps=1,2"], "Did you mean 'training.steps'?"),
        (["--vary", "training.steps"], "--vary takes key=value,value"),
        (["--vary", "training.steps=a b,2"], "--vary training.steps: 'a b' is not a TOML value"),
        (["--vary", "training.steps=-1,2"], "training.steps must be a whole number of at least 0, not -1."),
        (["--vary", "training.batch_size=32,1024"], "must be at most data.n_train (512)"),
        (["--set", "training.optimizer.lr=inf"], "cannot be written as TOML"),
    ],
)
def test_what_would_not_run_is_not_written(arguments, said, tmp_path, capsys):
    with pytest.raises(SystemExit):
        new(str(tmp_path / "new.toml"), *arguments)
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_stays(tmp_path, capsys):
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    with pytest.raises(SystemExit):
        new(str(file))
    assert "is there already" in capsys.readouterr().err and file.read_text() == "mine"


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("data", DRAWN)
def test_networks_learn_every_family(data, tmp_path):
    study = draft.check(draft.draft(data, []), tmp_path)
    run_study(study, tmp_path / "run")
    assert cells_stuck(load(tmp_path / "run")) == (0, 1)
