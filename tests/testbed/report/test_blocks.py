"""What the page says first: verdicts, warnings, and the figure's numbers; on its model, not on its pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from testbed.report import learnt, ranking
from testbed.report.blocks import answers, blocks, of_facet
from testbed.report.facets import facets
from testbed.report.legend import legend
from testbed.report.panels import caption, panels
from testbed.report.ticks import labels, ticks
from testbed.report.verdicts import verdicts

HIDDEN = "architecture.hidden"
BARRIERS = "train_error_barrier_linear"


def with_barriers(results, of_level, spread=0.01):
    """The same run, every barrier of the training error replaced by what its level is given, and a little noise."""
    rng = np.random.default_rng(0)
    pairs = results.pairs
    noise = spread * rng.standard_normal(len(pairs))
    mean = np.array([of_level[level] for level in pairs[HIDDEN]])
    changed = {name: mean + noise for name in pairs.columns if name.endswith(BARRIERS)}
    return dataclasses.replace(results, all_pairs=pairs.with_columns(**changed).lazy())


def test_widths_and_depths_are_two_facets(loaded):
    found = facets(loaded("widths"), HIDDEN)
    assert [facet.name for facet in found] == ["width (1 hidden layer)", "depth (width 3)"]
    assert [facet.levels for facet in found] == [("2", "3"), ("3", "3-3")]
    assert [facet.ticks for facet in found] == [("2", "3"), ("1", "2")]


def test_a_factor_of_numbers_is_one_facet_in_their_order(loaded):
    (split,) = facets(loaded("splits"), "ensemble.spawn_step")
    assert split.levels == (0, 20) and split.ordered and split.axis == "split step (parameter updates)"


@pytest.mark.parametrize(
    ("of_level", "said"),
    [
        ({"2": 0.1, "3": 0.9, "3-3": 0.9}, "rises with width (1 hidden layer): "),
        ({"2": 0.9, "3": 0.1, "3-3": 0.1}, "falls with width (1 hidden layer): "),
        ({"2": 0.5, "3": 0.5, "3-3": 0.5}, "does not depend on width (1 hidden layer): its levels differ by less than"),
        ({"2": 0.02, "3": 0.02, "3-3": 0.02}, "cannot tell whether it depends on width (1 hidden layer)"),
    ],
)
def test_the_verdict_is_what_the_pairs_have(loaded, of_level, said):
    """Also where they have nothing: a barrier of 0.02 in noise of the same size."""
    results = with_barriers(loaded("widths"), of_level, spread=0.02 if of_level["2"] == 0.02 else 0.001)
    width = facets(results, HIDDEN)[0]
    found = [verdict for verdict in verdicts(results, width) if not verdict.path]
    assert [verdict.kind for verdict in found] == results.kinds
    for verdict in found:
        assert said in verdict.sentence and "train error barrier (linear)" in verdict.sentence
        assert ("(95 % sure)" in verdict.sentence) == ("cannot tell" not in verdict.sentence)


def test_zeros_are_said_once_and_not_drawn(loaded):
    results = with_barriers(loaded("widths"), {"2": 0.0, "3": 0.0, "3-3": 0.0}, spread=0.0)
    width = next(block for block in blocks(results) if block.name.startswith("Width"))
    of_losses = [panel for panel in width.panels if panel.quantity == "train_error"]
    assert of_losses == width.panels and all(panel.is_zero for panel in of_losses)
    assert len(width.sentences) == len(results.kinds)
    assert all("every barrier is 0 at every level" in sentence for sentence in width.sentences)
    assert not any("0 [0, 0]" in sentence for sentence in answers(results))


def test_networks_that_did_not_learn_are_named(loaded):
    results = loaded("components")
    (stuck,) = learnt.stuck(results, "component", list(results.groups_of_components))
    assert stuck.level == "no learning" and stuck.end > learnt.HALF * stuck.start
    (warning,) = blocks(results)[0].warnings
    assert "no learning" in warning and "width 2" not in warning and f"{stuck.end:.3g}" in warning


def test_a_level_that_did_not_learn_is_crossed_out_and_the_verdict_is_given_without_it(loaded):
    """As if the networks of width 2 had ended at the loss that they began with."""
    results = loaded("widths")
    never = pl.when(pl.col(HIDDEN) == "2").then(2.0).otherwise(pl.col("train_loss_ends"))
    results = dataclasses.replace(results, all_pairs=results.all_pairs.with_columns(train_loss_ends=never))
    (facet,) = [facet for facet in facets(results, HIDDEN) if "2" in facet.levels]
    shown = panels(results, facet)
    points = [point for panel in shown for series in panel.series for point in series.points]
    assert {point.learnt for point in points if point.level == 0} == {False}
    assert {point.learnt for point in points if point.level == 1} == {True}
    assert "Crossed out" in caption(shown)
    assert len(of_facet(results, facet).warnings) == 1  # one level is left: there is no verdict without the other
    three = dataclasses.replace(facet, levels=("2", "3", "3-3"), ticks=("2", "3", "3-3"))
    _, *without = of_facet(results, three).warnings
    assert without and all(sentence.startswith("Without these levels: ") for sentence in without)


def test_a_study_without_factors_shows_its_curves_below_its_barrier(loaded, runs):
    results = loaded("alone")
    (block,) = blocks(results)
    assert len(block.sentences) == len(results.kinds) and all("The mean population loss" in s for s in block.sentences)
    html = (runs("alone") / "report.html").read_text(encoding="utf-8")
    answer = html[html.index('id="answer"') : html.index('id="explore"')]
    assert answer.count("<img") == 1 and html.count('href="figures/curves.pdf"') == 1
    never = dataclasses.replace(results, all_pairs=results.all_pairs.with_columns(train_loss_ends=pl.lit(9.0)))
    assert [text[:26] for text in blocks(never)[0].warnings] == ["The networks did not learn"]


def test_every_barrier_has_the_loss_at_the_ends_beside_it(loaded):
    results = loaded("widths")
    for facet in facets(results, HIDDEN):
        for panel in panels(results, facet):
            for series in panel.series:
                for point in series.points:
                    pairs = results.measured.filter(
                        (pl.col("kind") == panel.kind) & (pl.col(HIDDEN) == facet.levels[point.level])
                    )
                    assert point.end == pytest.approx(pairs[f"{panel.quantity}_ends"].mean())


def test_components_are_counted_and_the_figure_has_them_all(loaded):
    results = loaded("components")
    for kind in results.kinds:
        found = ranking.effects(results, kind)
        assert {effect.component for effect in found} == {"width 2", "no learning"}
        table = ranking.table(results, kind, found)
        assert [row[0] for row in table["rows"]].count("baseline") == 1 and len(table["rows"]) == 3
        assert "Of 2 components," in ranking.sentence(results, kind, found)
        by_name = {row[0]: dict(zip(table["header"], row, strict=True)) for row in table["rows"]}
        assert by_name["no learning"]["learnt?"] == "no" and by_name["width 2"]["learnt?"] == "yes"


def test_captions_and_legends_speak_of_what_is_drawn(loaded):
    splits, widths = loaded("splits"), loaded("widths")
    (split,) = facets(splits, "ensemble.spawn_step")
    with_lines = panels(splits, split)
    assert "lines the exact population loss" in caption(with_lines) and "hollow" not in caption(with_lines)
    assert [entry.name for entry in legend(splits, with_lines).entries] == ["3", "6", "predicted", "measured"]
    width = facets(widths, HIDDEN)[0]
    without = panels(widths, width)
    assert "lines" not in caption(without) and "hollow points" in caption(without)
    assert "predicted" not in [entry.name for entry in legend(widths, without).entries]


def test_labels_of_ticks_differ():
    rng = np.random.default_rng(0)
    for scale in 10.0 ** rng.uniform(-12, 6, 200):
        low = rng.choice([0.0, -0.3 * scale])
        values = ticks(low, scale)
        texts = labels(values)
        assert len(set(texts)) == len(texts) == len(values) >= 2
        assert all(low <= value <= scale * (1 + 1e-9) for value in values)
        np.testing.assert_allclose([float(text) for text in texts], values, rtol=1e-5, atol=1e-9 * scale)
