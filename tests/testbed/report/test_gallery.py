"""The page of all runs."""

from __future__ import annotations

import re
import shutil

import pytest

from testbed import StudyError, run_study
from testbed.cli import main
from testbed.report.gallery import write_gallery


@pytest.fixture
def runs(study, classes, tmp_path, no_figures):
    """A folder with two runs of several levels, one of a single cell, and one that was cut off."""
    folder = tmp_path / "runs"
    run_study(study({"question": "Does width matter?", "vary": {"architecture.hidden": [[3], [5]]}}), folder / "width")
    rates = {"question": "And on <classes>?", "vary": {"training.optimizer.lr": [0, 0.01]}}
    run_study(classes(rates), folder / "deep & er/b")
    run_study(classes({"question": "One cell?"}), folder / "one")
    shutil.copytree(folder / "one", folder / "cut")
    (folder / "cut" / "manifest.json").write_text("{}")
    return folder


def test_every_run_has_its_question_answer_picture_and_link(runs, capsys):
    main(["gallery", str(runs)])
    page = (runs / "index.html").read_text()
    assert capsys.readouterr().out.strip().endswith(f"3 runs: {runs / 'index.html'}")
    assert "Does width matter?" in page and "And on &lt;classes&gt;?" in page and "One cell?" in page
    assert page.count('class="verdict') == 3 and page.count("<svg") == 2
    links = re.findall(r'href="([^"]*)"', page)
    assert links == ["deep%20%26%20er/b/report.html", "one/report.html", "width/report.html"]
    assert "Did not learn" in page  # at rate 0
    assert "Left out" in page and str(runs / "cut") in page


def test_it_asks_no_network_and_needs_no_scripts(runs):
    write_gallery(runs, runs / "index.html")
    page = (runs / "index.html").read_text()
    assert "<script" not in page and not re.search(r"(src|href)=\"(https?:)?//", page)
    assert "prefers-color-scheme: dark" in page


def test_the_bytes_are_the_same(runs, tmp_path):
    write_gallery(runs, runs / "index.html")
    first = (runs / "index.html").read_bytes()
    write_gallery(runs, runs / "index.html")
    assert (runs / "index.html").read_bytes() == first
    moved = tmp_path / "elsewhere"
    shutil.copytree(runs, moved)
    shutil.rmtree(runs / "cut")
    shutil.rmtree(moved / "cut")
    write_gallery(runs, runs / "index.html")
    write_gallery(moved, moved / "index.html")
    assert (runs / "index.html").read_bytes() == (moved / "index.html").read_bytes()


def test_a_page_elsewhere_links_from_there(runs, tmp_path):
    write_gallery(runs, tmp_path / "pages" / "all.html")
    assert 'href="../runs/width/report.html"' in (tmp_path / "pages" / "all.html").read_text()


def test_no_run_is_said(tmp_path):
    with pytest.raises(StudyError, match="There is no run below"):
        write_gallery(tmp_path, tmp_path / "index.html")
    assert not list(tmp_path.iterdir())
