"""Two runs held against each other: what differs, what can be told, and what cannot."""

from __future__ import annotations

import dataclasses

import polars as pl
import pytest

from testbed import Study, StudyError, load, run_study
from testbed.cli import main
from testbed.report import two_runs
from testbed.report.gallery import write_gallery

pytestmark = pytest.mark.usefixtures("no_figures")
VARIES = {"architecture.hidden": [[3], [5]], "ensemble.spawn_step": [0, 10]}
BARRIER = "population_barrier_linear"


@pytest.fixture
def run(study, tmp_path):
    """The results of a small study with dotted keys replaced, run into a folder of this name."""

    def ran(name, settings=None):
        run_study(study({"ensemble.families": 8, "training.steps": 200, **(settings or {})}), tmp_path / name)
        return load(tmp_path / name)

    return ran


def with_barriers(results, change):
    """The run with other barriers in its table."""
    return dataclasses.replace(
        results, all_pairs=results.all_pairs.with_columns(change(pl.col(BARRIER)).alias(BARRIER))
    )


def barriers(compared):
    """The rows of the table of barriers as dicts."""
    _, header, rows = compared.tables[-1]
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_a_run_is_the_same_as_itself(run):
    results = run("a", {"vary": VARIES})
    compared = two_runs.compare(results, with_barriers(results, lambda column: column * 0 + 1))
    assert len(compared.tables) == 1 and compared.sentences[0] == "The studies are the same."
    assert len(barriers(compared)) == 2 + 4  # independent pairs have no split


def test_what_differs_and_what_surely_does(run):
    a = run("a", {"vary": VARIES})
    b = run("b", {"vary": VARIES, "training.optimizer.lr": 0.04, "seed": 4})
    fields = {row[0]: row[1:] for row in two_runs.compare(a, b).tables[0][2]}
    assert fields == {"seed": ["3", "4"], "training.optimizer.lr": ["0.05", "0.04"]}
    higher_a, higher_b = (with_barriers(of, lambda column: column + 9) for of in (a, b))
    assert {row["B is"] for row in barriers(two_runs.compare(a, higher_b))} == {"higher"}
    assert {row["B is"] for row in barriers(two_runs.compare(higher_a, b))} == {"lower"}
    noise = pl.int_range(pl.len()).shuffle(seed=1)
    noisy_a, noisy_b = (with_barriers(of, lambda column: column + noise) for of in (a, b))
    assert {row["B is"] for row in barriers(two_runs.compare(noisy_a, noisy_b))} == {"cannot tell"}


def test_the_intervals_are_those_of_the_tables(run):
    a, b = run("a"), run("b", {"seed": 4})
    independent, _ = barriers(two_runs.compare(a, b))
    means = [float(of.pairs.filter(kind="independent")[BARRIER].mean()) for of in (a, b)]
    assert min(means) > 0.001
    assert independent["A [95 %]"].startswith(f"{means[0]:.3g} [") and independent["pairs"] == "independent"
    assert independent["B − A [95 %]"].startswith(f"{means[1] - means[0]:.3g} [")
    assert "particular to these data" in " ".join(two_runs.compare(a, b).sentences)


def test_a_level_of_one_is_the_fixed_value_of_the_other(run):
    a = run("a", {"vary": {"architecture.hidden": [[3], [5]]}})
    b = run("b", {"architecture.hidden": [5]})
    for compared in (two_runs.compare(a, b), two_runs.compare(b, a)):
        assert {row["hidden width (units)"] for row in barriers(compared)} == {"5"}
    c = run("c", {"architecture.hidden": [4]})
    assert "The runs have no cell in common" in " ".join(two_runs.compare(a, c).sentences)


def test_other_data_sets_are_not_compared(run):
    a, b = run("a"), run("b", {"data.seed": 1})
    compared = two_runs.compare(a, b)
    assert {row["B is"] for row in barriers(compared)} == {"cannot tell"}
    assert "learnt other data sets" in " ".join(compared.sentences)
    several = run("several", {"vary": {"data.seed": [0, 1, 2, 3]}})
    same = two_runs.compare(several, with_barriers(several, lambda column: column + 9))
    assert {row["B is"] for row in barriers(same)} == {"higher"}
    assert "particular to these data" not in " ".join(same.sentences)
    assert "particular to these data" in " ".join(two_runs.compare(a, several).sentences)


def test_where_networks_did_not_learn_nothing_is_said(run):
    a, b = run("a"), run("b", {"training.optimizer.lr": 0.0})
    assert {row["B is"] for row in barriers(two_runs.compare(a, b))} == {"B did not learn"}


def test_networks_that_diverged_are_counted_where_runs_are_compared_and_listed(run, tmp_path):
    a, b = run("a"), run("b", {"vary": {"training.optimizer.lr": [0.05, 1e30]}})
    sentences = two_runs.compare(a, b).sentences
    assert not any("diverged" in sentence for sentence in sentences if sentence.startswith("A alone"))
    assert any(
        sentence.startswith("B alone: 32 networks were trained; 16 diverged")
        and sentence.endswith("and nothing here is of learning rate 1e+30.")
        for sentence in sentences
    )
    write_gallery(tmp_path, tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert "32 networks (16 diverged), " in page and "16 networks, " in page


def test_losses_of_different_units_are_refused(run, classes, tmp_path):
    run_study(classes(), tmp_path / "classes")
    with pytest.raises(StudyError, match="different units"):
        two_runs.compare(run("a"), load(tmp_path / "classes"))


def test_the_command(run, tmp_path, capsys):
    run("a")
    run("b", {"seed": 4})
    main(["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    said = capsys.readouterr().out
    assert "Where the studies differ" in said and "A alone:" in said
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "a"), str(tmp_path / "nowhere")])
    assert "nowhere is not a run folder" in capsys.readouterr().err


def test_components_are_one_where_their_settings_are(study):
    one = {"component": {"training": {"fast": {"training.optimizer.lr": 0.1}}}}
    other = {"component": {"training": {"fast": {"training.optimizer.lr": 0.2}}}}
    assert isinstance(study(one), Study)
    named = [two_runs.levels_of(study(of), "component") for of in (one, other)]
    assert set(named[0]) & set(named[1]) == {'["baseline", {}]'}
