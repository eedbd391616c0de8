"""Every path that a study can measure has a mark of its own in figures, and is drawn."""

from __future__ import annotations

import dataclasses

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.lines import Line2D

from testbed.alignment import ALIGNMENTS
from testbed.measures.registry import MEASURES
from testbed.report.facets import facets
from testbed.report.figures import by_factor, ranking
from testbed.report.figures.draw import STYLE
from testbed.report.figures.marks import AS_TRAINED, aligned_paths, color_of, other_paths
from testbed.report.panels import panels


def test_every_alignment_and_every_other_path_has_a_mark():
    assert list(aligned_paths()) == list(ALIGNMENTS)
    assert set(other_paths()) == {measure.path for measure in MEASURES.values() if measure.path}
    marks = [AS_TRAINED, *aligned_paths().values(), *other_paths().values()]
    assert len({mark.label for mark in marks}) == len({mark.marker for mark in marks}) == len(marks)
    assert all(mark.marker in Line2D.markers for mark in marks)


@pytest.mark.parametrize("n_levels", [1, 2, 6, 9])
def test_levels_are_seen_on_white_and_on_a_dark_page(n_levels):
    """A contrast of 3 or more (WCAG 1.4.11), also as page.css shows figures in the dark: inverted, hues turned back."""
    turned = np.array([[-0.574, 1.43, 0.144], [0.426, 0.43, 0.144], [0.426, 1.43, -0.856]])  # hue-rotate(180deg)

    def luminance(color):
        linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722] + 0.05

    dark = luminance(np.array([0x15, 0x18, 0x1C]) / 255)
    for level in range(n_levels):
        color = np.array(color_of(level, range(n_levels))[:3])
        assert 1.05 / luminance(color) >= 2.99
        assert luminance(np.clip(turned @ (1 - color), 0, 1)) / dark >= 3


@pytest.fixture
def results(loaded):
    """A study of widths that asks for every alignment."""
    return loaded("widths")


def test_no_alignment_is_lost_from_the_figure_of_a_factor(results):
    with mpl.rc_context(fname=STYLE):
        shown = [panel for facet in facets(results, "architecture.hidden") for panel in panels(results, facet)]
        figure = by_factor.figure(results, shown)
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {mark.label for mark in aligned_paths().values()} <= labels


def test_no_alignment_is_lost_from_the_ranking(results):
    """The same pairs, as if the wider networks were a component."""
    name = pl.when(pl.col("architecture.hidden") == "2").then(pl.lit("baseline")).otherwise(pl.lit("wider"))
    study = results.study.model_copy(update={"component": {"width": {"wider": {"architecture.hidden": [3]}}}})
    ranked = dataclasses.replace(results, all_pairs=results.all_pairs.with_columns(component=name), study=study)
    with mpl.rc_context(fname=STYLE):
        figure = ranking.figure(ranked)
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {mark.label for mark in (AS_TRAINED, *aligned_paths().values())} <= labels
