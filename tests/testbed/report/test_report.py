"""The report and the figures of any study, and the command line."""

from __future__ import annotations

import errno
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
import tomli_w
from PIL import Image

import testbed
from testbed import Study, run_study, write_report
from testbed.cli import main
from testbed.report.blocks import blocks
from testbed.report.explore import payload
from testbed.report.figures import curves, planes, training
from testbed.report.figures.draw import STYLE, draw
from testbed.report.ticks import labels
from testbed.results import Results
from tests.testbed.conftest import CLASSES, tables_of

NAMESPACE = "http://www.w3.org/2000/svg"
MOST_BYTES = 3_000_000
HOME = Path(testbed.__file__).resolve().parent.parent


def check_report(report: Path) -> str:
    """The report refers to nothing outside its folder, and its figures are there as PNG and PDF; returns its text."""
    html = report.read_text(encoding="utf-8")
    references = re.findall(r'\s(?:src|href)="([^"]+)"', html)
    inside = ("data:image/svg+xml;base64,", "figures/", "#")
    assert references
    assert all(reference.startswith(inside) for reference in references)
    assert not re.search(r"<link|@import|https?://|url\(|fetch\(|import\(", html.replace(NAMESPACE, ""))
    assert len(html) < MOST_BYTES
    figures = report.parent / "figures"
    names = {path.stem for path in figures.glob("*.png")}
    assert names == {path.stem for path in figures.glob("*.pdf")}
    linked = {reference for reference in references if reference.startswith("figures/")}
    assert linked == {f"figures/{name}.pdf" for name in names}
    for name in names:
        with Image.open(figures / f"{name}.png") as image:
            assert np.asarray(image).std() > 1  # something is drawn
    text = re.sub(r"<script.*?</script>|base64,[^\"]*", "", html, flags=re.DOTALL)
    assert "nan" not in text.lower()
    check_parts(text)
    return html


def check_parts(html: str) -> None:
    """Ids are unique and links find them; tables have captions, scopes, and scroll; images say what they show."""
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(set(ids)) == len(ids)
    assert {target[1:] for target in re.findall(r'href="(#[^"]+)"', html)} <= set(ids)
    assert html.count("<main>") == html.count("<nav ") == html.count("<h1 ") == 1
    for table in re.findall(r"(<div[^>]*>)?<table.*?</table>", html, re.DOTALL):
        assert 'tabindex="0"' in table and 'role="region"' in table
    assert html.count("<table") == html.count("<caption>")
    assert not re.search(r"<th(?![^>]*scope=)[ >]", html)
    for figure in re.findall(r"<figure>.*?</figure>", html, re.DOTALL):
        said = re.search(r"<figcaption>(.*?)</figcaption>", figure, re.DOTALL)
        assert said and len(said[1]) > 20
        for alt in re.findall(r'(?:alt|<svg[^>]*aria-label)="([^"]+)"', figure):
            assert len(alt) > 20 and alt not in said[1] and said[1][:40] not in alt


def test_report_of_a_factor_study(runs):
    report = runs("splits") / "report.html"
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
        "planes",
        "training",
    }
    pairs = pl.read_parquet(report.parent / "pairs.parquet").filter(kind="siblings")
    assert (
        f"The mean population loss barrier (linear) of siblings is {pairs['population_barrier_linear'].mean():.3g}"
        in html
    )
    level = pairs["ensemble.spawn_step"]
    late, early = (pairs.filter(level == step)["population_barrier_linear"].mean() for step in (20, 0))
    assert "<summary>Effects</summary>" in html and f"{late - early:.3g}" in html


@pytest.mark.parametrize("kind", [pytest.param("gaussian_mixture", marks=pytest.mark.slow), "spirals"])
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


@pytest.mark.slow
def test_the_page_is_the_same_bytes_for_the_same_run(runs):
    folder = runs("widths")
    first = (folder / "report.html").read_bytes()
    assert first == write_report(folder).read_bytes()


@pytest.mark.parametrize("name", ["widths", "splits", "components", "alone"])
def test_the_answer_stands_first_and_checks_fold_away(runs, name):
    html = check_report(runs(name) / "report.html")
    main = html[html.index("<main>") :]
    first = main.index('<p class="verdict')
    assert not re.search(r"<table|<figure|<svg|<details", main[:first])
    assert first < main.index("<details>")
    if name == "splits":
        checks = main[main.index('id="checks"') :]
        assert checks.index("<details>") < checks.index("<img")


def test_no_legend_lies_on_curves_and_no_label_stands_twice(loaded):
    for name in ("widths", "splits"):
        for _, drawn in draw(loaded(name), blocks(loaded(name))):
            assert not any(ax.get_legend() for ax in drawn.figure.axes)
            assert drawn.caption not in drawn.alt and drawn.alt not in drawn.caption


@pytest.mark.parametrize("label", ["hidden width" + more for more in ("", "s", " m", " mm", " of the students")])
@pytest.mark.parametrize("module", [curves, planes])
def test_titles_are_as_wide_as_their_panels(loaded, monkeypatch, module, label):
    monkeypatch.setattr(Results, "short", lambda results, key: label)
    with mpl.rc_context(fname=STYLE):
        figure = module.figure(loaded("splits"))
        figure.draw_without_rendering()
    titled = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert len(titled) > 2
    for ax in titled:
        assert ax._left_title.get_window_extent().x1 < ax.get_window_extent().x1


def test_steps_are_whole_numbers(loaded):
    with mpl.rc_context(fname=STYLE):
        (ax,) = training.figure(loaded("splits")).axes
        ax.set_xlim(-0.95, 19.95)  # of 20 steps
        assert all(tick == round(tick) for tick in ax.get_xticks())


def test_the_colour_bar_of_planes_has_labels_that_differ():
    for low, high in ((0.08, 0.6), (1e-4, 2.0), (0.31, 0.39), (1e-4, 1e-3)):
        at = planes.round_numbers(low, high)
        assert len(set(labels(at))) == len(at) >= 2 and all(low <= value <= high for value in at)


REFUSED = [
    (["run", "mine.toml", "--set", "training.stps=3"], "Did you mean 'training.steps'?"),
    (["run", "mine.toml", "--set", "training.steps=[1"], "is not a TOML value"),
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


def test_memory_that_ran_out_is_one_sentence(raw, tmp_path, capsys, monkeypatch):
    def full(*arguments, **options):
        raise MemoryError("the gpu backend ran out of memory; take fewer networks at a time.")

    (tmp_path / "mine.toml").write_text(tomli_w.dumps(raw()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kernels.train", full)
    with pytest.raises(SystemExit) as stop:
        main(["run", "mine.toml"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith(
        "testbed: memory ran out: the gpu backend ran out of memory; take fewer networks at a time. "
        "With more of it the same command continues.\n"
    )


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


def test_losses_beyond_float64_and_float32_are_left_out_of_figures(tmp_path, recwarn):
    """Such networks have finite parameters, and did not diverge: their pairs have no barrier."""
    vary = {"architecture.scale": [1.0, 1e30, 1e200]}
    settings = {"vary": vary, "training.steps": 0, "training.dtype": "float64", "architecture.activation": "relu"}
    made = Study.make(tables_of(settings, CLASSES))
    results = Results.load(run_study(made, tmp_path / "run").parent)
    barriers = results.pairs.group_by("architecture.scale").agg(pl.col(results.main_barrier).count())
    assert dict(barriers.iter_rows())[1e200] == 0 < dict(barriers.iter_rows())[1.0]
    assert (tmp_path / "run" / "figures" / "curves.png").exists()
    assert payload(results) is not None
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]
