"""Averages of a cell's networks, as a study makes them, against averages by hand and torch's own modules."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from testbed import Study, StudyError, alignment
from testbed.ensemble import soups
from testbed.ensemble.measuring import Trained
from testbed.ensemble.plan import plan as make_plan
from testbed.report import soups as on_page
from testbed.results import Results
from testbed.run import run_study
from tests.testbed.conftest import CLASSES, tables_of

SETTINGS = {
    "vary": {"architecture.hidden": [[3], [5]]},
    "measure.soups": True,
    "measure.alignment": ["weights", "cycle"],
    "architecture.activation": "relu",
    "ensemble.families": 5,
    "ensemble.siblings": 2,
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    study = Study.make(tables_of(SETTINGS, CLASSES))
    return Results.load(run_study(study, tmp_path_factory.mktemp("soups") / "run").parent)


def by_hand(architecture, params, x, y):
    """Loss and error of one network, by torch's own modules."""
    with torch.no_grad():
        outputs = architecture.to_torch(params)(x.to(params.dtype))
    return float(nn.functional.cross_entropy(outputs, y)), float((outputs.argmax(1) != y).double().mean())


def test_soups_of_a_study(found):
    """Every number of the table, from the stored networks: the mean, the best, the average of all, the greedy one."""
    plan = make_plan(found.study)
    assert found.soups["cell"].unique().to_list() == [0, 1]
    for cell in (0, 1):
        table = {(row["path"], row["recipe"]): row for row in found.soups.filter(cell=cell).to_dicts()}
        assert list(table) == [
            ("", "mean of networks"),
            ("", "best network"),
            *[(path, recipe) for path in ("", "cycle") for recipe in ("uniform", "greedy")],
        ]
        networks = found.networks.filter(cell=cell, sibling=0)
        assert len(networks) == 5
        launch = plan.launches[networks["launch"][0]]
        stored = load_file(found.folder / f"parameters/launch-{launch.index}.safetensors")["params"]
        params = stored[torch.from_numpy(networks["row"].to_numpy(writable=True))].double()
        samples = {"train": launch.data[0].train, "test": launch.data[0].test}

        def check(row, params, samples=samples, architecture=launch.architecture):
            for part, (x, y) in samples.items():
                loss, error = by_hand(architecture, params, x, y)
                assert row[f"{part}_loss"] == pytest.approx(loss, rel=1e-5)
                assert row[f"{part}_error"] == pytest.approx(error, abs=1e-9)

        own = np.array([by_hand(launch.architecture, one, *samples["train"])[0] for one in params])
        assert table["", "mean of networks"]["train_loss"] == pytest.approx(own.mean(), rel=1e-5)
        check(table["", "best network"], params[int(own.argmin())])
        for path in ("", "cycle"):
            there = params if not path else alignment.match_all(launch.architecture, params).params
            check(table[path, "uniform"], there.mean(0))
            assert table[path, "uniform"]["members"] == 5
            members: list[int] = []
            least = np.inf
            for candidate in np.argsort(own, kind="stable").tolist():
                average = there[[*members, candidate]].mean(0)
                loss = by_hand(launch.architecture, average, *samples["train"])[0]
                if loss <= least:
                    members.append(candidate)
                    least = loss
            assert table[path, "greedy"]["members"] == len(members)
            check(table[path, "greedy"], there[members].mean(0))


def test_soups_are_explained_and_on_the_page(found):
    assert set(found.columns["soups"]) == set(found.soups.columns)
    assert found.columns["soups"]["train_loss"].startswith("mean loss over the whole training set")
    section = on_page.section(found)
    assert section["sentences"][0].startswith("Over all cells the networks have a mean test error of ")
    assert "the average of all, after cycle-consistent matching" in section["sentences"][0]
    assert section["table"]["header"][:3] == ["hidden width (units)", "of", "networks"]
    assert len(section["table"]["rows"]) == 12
    html = (found.folder / "report.html").read_text(encoding="utf-8")
    assert '<section id="soups"' in html and "greedy average, after cycle-consistent matching" in html


def test_of_networks_that_diverged_there_are_no_soups(raw):
    plan = make_plan(Study.make(raw(SETTINGS, CLASSES)))
    trained = [Trained(launch.initial(launch.networks), torch.ones(len(launch.networks))) for launch in plan.launches]
    table = soups.table(plan, trained, "auto")
    assert len(table) == 0 and table.columns[: len(soups.SCHEMA)] == list(soups.SCHEMA)
    trained[0].diverged_at[[0, 4]] = -1  # one network of each of two families
    assert soups.table(plan, trained, "auto").filter(pl.col("recipe") == "uniform")["members"].to_list() == [2, 2]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"data.shared": 0.5}, "measure.soups averages networks that learnt the same samples"),
        ({"ensemble.families": 1, "ensemble.pairs": ["siblings"]}, "ensemble.families must be at least 2, not 1"),
    ],
)
def test_what_makes_no_soup_is_refused_in_a_sentence(raw, settings, sentence):
    with pytest.raises(StudyError, match=sentence):
        Study.make(raw(SETTINGS | settings, CLASSES))
