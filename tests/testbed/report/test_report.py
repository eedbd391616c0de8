"""The report and the figures of any study, and the command line."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tomli_w
from PIL import Image

import testbed
from testbed import run_study
from testbed.cli import main

HOME = Path(testbed.__file__).resolve().parent.parent


def check_report(report: Path) -> str:
    """The report refers to nothing outside itself, and its figures are there as PNG and PDF; returns its text."""
    html = report.read_text(encoding="utf-8")
    references = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\'\s>)]+)', html)
    assert references
    assert all(reference.startswith("data:image/png;base64,") for reference in references)
    assert not re.search(r"<script|<link|@import|https?://", html)
    names = {path.stem for path in (report.parent / "figures").glob("*.png")}
    assert names == {path.stem for path in (report.parent / "figures").glob("*.pdf")}
    assert html.count("data:image/png") == len(names)
    for name in names:
        with Image.open(report.parent / "figures" / f"{name}.png") as image:
            assert np.asarray(image).std() > 1  # something is drawn
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html).lower()
    return html


def test_report_of_a_factor_study(study, tmp_path):
    report = run_study(
        study({"vary": {"architecture.hidden": [[2], [3]], "ensemble.spawn_step": [0, 20]}}), tmp_path / "run"
    )
    html = check_report(report)
    for text in (
        "Does it run?",
        "linear",
        "mean_endpoints",
        "max_endpoint",
        "midpoint",
        "½ mean squared error",
        "study.toml",
    ):
        assert text in html
    assert "quick run" not in html
    names = {path.stem for path in (report.parent / "figures").glob("*.png")}
    assert names == {
        "curves",
        "predicted",
        "z",
        "barrier_architecture_hidden",
        "barrier_ensemble_spawn_step",
        "grid",
        "training",
    }
    pairs = pl.read_parquet(report.parent / "pairs.parquet").filter(kind="siblings")
    assert f"The mean barrier of siblings is {pairs['population_barrier_linear'].mean():.3g} " in html
    level = pairs["ensemble.spawn_step"]
    late, early = (pairs.filter(level == step)["population_barrier_linear"].mean() for step in (20, 0))
    assert "<h2>Effects</h2>" in html and f"{late - early:.3g}" in html


@pytest.mark.parametrize("kind", ["gaussian_mixture", "spirals"])
def test_classification_end_to_end(classes, tmp_path, kind):
    settings = {} if kind == "gaussian_mixture" else {"data": {"kind": "spirals", "classes": 2, "n_train": 30}}
    report = run_study(classes(settings | {"vary": {"training.optimizer.lr": [0.01, 0.03]}}), tmp_path / "run")
    html = check_report(report)
    assert "Frankle" in html
    assert "nats" in html
    pairs, curves = (pl.read_parquet(report.parent / f"{name}.parquet") for name in ("pairs", "curves"))
    assert {"test_error_barrier_mean_endpoints", "train_error_barrier_linear"} <= set(pairs.columns)
    assert "z" not in pairs.columns
    assert curves["test_error"].is_between(0, 1).all()
    assert (
        curves.filter(pl.col("alpha").is_in([0.0, 1.0]))["train_error"].mean() < 0.7
    )  # chance is 2/3 or 1/2: they learn


def test_online_and_grids_without_a_middle(study, tmp_path):
    settings = {"data.n_train": None, "data.noise": 0.0, "training.online": True, "measure.alphas": 4}
    report = run_study(
        study(settings | {"measure.theory": ["population"], "ensemble.pairs": ["independent"]}), tmp_path / "run"
    )
    check_report(report)
    pairs = pl.read_parquet(report.parent / "pairs.parquet")
    assert "test_loss_barrier_midpoint" not in pairs.columns  # the grid has no α = ½
    assert pairs["population_barrier_midpoint"].null_count() == 0
    assert "train_loss_barrier_linear" not in pairs.columns


def test_a_file_of_ones_own_without_test_samples(raw, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 3))
    np.savez(tmp_path / "mine.npz", x=x, y=np.sin(x[:, :1]))
    tables = raw({"measure.theory": ["exact_training"]}) | {"data": {"kind": "file", "path": "mine.npz"}}
    (tmp_path / "study.toml").write_text(tomli_w.dumps(tables))
    made = testbed.Study.load(tmp_path / "study.toml")
    assert made.data.sha256
    report = run_study(made, tmp_path / "run")
    check_report(report)
    assert "test_loss_barrier_linear" not in pl.read_parquet(report.parent / "pairs.parquet").columns


def test_commands_in_process(raw, tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(raw()))
    monkeypatch.chdir(tmp_path)
    main(["run", "mine.toml", "--set", "training.steps=20", "--set", "ensemble.families=5", "--quick"])
    said = capsys.readouterr().out
    assert "runs/mine-quick/report.html" in said
    assert "A quick run." in (tmp_path / "runs/mine-quick/report.html").read_text()
    main(["report", "runs/mine-quick"])
    assert "report.html" in capsys.readouterr().out
    main(["studies"])
    assert "teacher_student" in capsys.readouterr().out


REFUSED = [
    (["run", "mine.toml", "--set", "training.stps=3"], "Did you mean 'training.steps'?"),
    (["run", "mine.toml", "--set", "training.steps=x"], "is not a TOML value"),
    (["run", "mine.toml", "--set", "measure.alphas=[0, nan, 1]"], "measure.alphas must be finite"),
    (["run", "none.toml"], "There is no study 'none.toml'"),
    (["run", "mine.toml", "--out", "file"], "is not a run folder"),
    (["report", "."], "is not a run folder"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED, ids=[sentence for _, sentence in REFUSED])
def test_bad_input_is_one_sentence_and_exit_code_2(raw, tmp_path, capsys, monkeypatch, arguments, sentence):
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(raw()))
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert sentence in captured.err
    assert captured.err.startswith("testbed: ")
    assert not captured.out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_backend_that_cannot_run_it_is_refused(raw, tmp_path, capsys, monkeypatch):
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(raw()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kernels.native.missing", lambda: "its C++ was not compiled.")
    with pytest.raises(SystemExit) as stop:
        main(["run", "mine.toml", "--backend", "native"])
    assert stop.value.code == 2
    assert "backend 'native' is not available" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_full_disk_is_one_sentence(raw, tmp_path, capsys, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "mine.toml").write_text(tomli_w.dumps(raw()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SystemExit) as stop:
        main(["run", "mine.toml"])
    assert stop.value.code == 2
    assert "the disk is full" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]


def test_the_command_from_a_shell(raw, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(raw({"training.momentum": 0.9})))
    command = [sys.executable, "-m", "testbed", "run", str(path), "--out", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "testbed: Unknown key 'training.momentum'. Did you mean 'training.optimizer.momentum'?"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_another_kernels_package_is_noticed(tmp_path):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("")
    program = f"import sys; sys.path.insert(0, {str(HOME)!r}); sys.path.insert(0, {str(tmp_path)!r}); import testbed"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "testbed needs the package 'kernels' of this project" in done.stderr
