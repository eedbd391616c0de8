"""Figures are the same files, whoever saves them."""

from __future__ import annotations

import os
import signal

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from testbed import figure_files
from testbed.figure_files import FORMATS, drawing, saved
from testbed.report.figures.draw import STYLE


def figure() -> Figure:
    with mpl.rc_context(fname=STYLE):
        made = Figure(figsize=(4, 3))
        axes = made.subplots(1, 2)
        axes[0].plot([0, 1, 2], [3, 1, 2], "o-", label="a line")
        axes[1].set_title("α and $x^2$")
        made.legend(loc="outside lower center")
    return made


def test_processes_save_the_same_bytes(monkeypatch):
    monkeypatch.setattr(figure_files, "cores", lambda: 2)
    with drawing(STYLE) as begin:
        waiting = [begin(figure(), kinds) for kinds in (("png", "pdf"), tuple(FORMATS))]
        found = [images() for images in waiting]
    assert found == [saved(figure(), kinds, STYLE) for kinds in (("png", "pdf"), tuple(FORMATS))]
    assert found[0]["png"].startswith(b"\x89PNG") and found[0]["pdf"].startswith(b"%PDF")


def test_what_a_killed_process_leaves_is_saved_here(monkeypatch):
    monkeypatch.setattr(figure_files, "cores", lambda: 2)
    monkeypatch.setattr(figure_files, "_saved", _dies)
    with drawing(STYLE) as begin:
        assert begin(figure(), ("svg",))() == saved(figure(), ("svg",), STYLE)


def _dies(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_layout_is_found_once(kind, monkeypatch):
    drawn = []
    draw = Figure.draw

    def counted(self, renderer):
        drawn.append(self.get_layout_engine())
        draw(self, renderer)

    monkeypatch.setattr(Figure, "draw", counted)
    saved(figure(), (kind,), STYLE)
    assert len(drawn) == 2  # for its layout, and as it is saved
    assert drawn[0] is not None and drawn[1] is None
