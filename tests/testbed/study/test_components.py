"""Components, claims, alignment and scale: from the study's file to the page."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import tomli_w

import theory
from testbed import StudyError
from testbed.alignment.registry import ALIGNMENTS
from testbed.cli import main
from testbed.measures.registry import MEASURES
from testbed.report import answers
from testbed.results import Results
from testbed.run import run_study
from testbed.study import Study
from testbed.study.claim import number_columns
from testbed.study.study import BASELINE
from tests.testbed.conftest import CLASSES

COMPONENTS = {
    "component": {
        "architecture": {"narrow": {"architecture.hidden": [2]}, "sparse": {"architecture.density": 0.5}},
        "data": {"circles": {"data": {"kind": "circles", "n_train": 30}}, "own samples": {"data.shared": 0.0}},
    },
    "architecture.hidden": [4],
    "vary": {"data.seed": [0, 1, 2]},
    "measure.alignment": ["weights", "activations", "exhaustive", "reference"],
    "claims": [
        {
            "claim": "It rises.",
            "source": "nobody",
            "expects": "smaller",
            "factor": "component",
            "levels": ["baseline", "narrow"],
        },
        {
            "claim": "It is a number.",
            "source": "nobody",
            "expects": "at most",
            "value": 5.0,
            "column": "train_loss_barrier_linear",
        },
    ],
}


def test_rescaled_ends_keep_their_losses_and_matching_may_follow(raw, tmp_path, no_figures):
    """relu: losses at both ends stay, the path between them moves, and matching after it brings the ends nearer."""
    settings = {
        "measure.alignment": ["canonical", "canonical_weights"],
        "architecture.activation": "relu",
        "architecture.hidden": [6],
    }
    results = Results.load(run_study(Study.make(raw(settings, CLASSES)), tmp_path / "run").parent)
    curves = results.curves
    for name in ("canonical", "canonical_weights"):
        ends = curves.filter(pl.col("alpha").is_in([0.0, 1.0]))
        np.testing.assert_allclose(ends[f"{name}_train_loss"], ends["train_loss"], rtol=1e-4, atol=1e-6)
    between = curves.filter(alpha=0.5)
    assert (between["canonical_train_loss"] - between["train_loss"]).abs().max() > 1e-4
    pairs = results.measured
    assert (pairs["canonical_weights_distance"] <= pairs["canonical_distance"] * (1 + 1e-6)).all()
    assert (pairs["canonical_weights_distance"] < pairs["canonical_distance"] * 0.99).any()


def test_components_are_cells_of_their_own(raw):
    study = Study.make(raw(COMPONENTS, CLASSES))
    cells = study.cells()
    assert [cell.factors["component"] for cell in cells[::3]] == [
        BASELINE,
        "narrow",
        "sparse",
        "circles",
        "own samples",
    ]
    by_name = {(cell.factors["component"], cell.factors["data.seed"]): cell.study for cell in cells}
    assert by_name["narrow", 1].architecture.hidden == (2,) and by_name["narrow", 1].data.seed == 1
    assert by_name["circles", 2].data.kind == "circles" and by_name["circles", 2].data.seed == 2
    assert by_name[BASELINE, 0].architecture.density == 1 and by_name["sparse", 0].architecture.density == 0.5


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"component": {"a": {"x": {"training.stps": 3}}}},
            r"component 'x': 'training\.stps' is no key of a study\. Did you mean 'training\.steps'",
        ),
        ({"component": {"a": {"x": {"training.steps": -3}}}}, r'In the cell component = "x": training\.steps'),
        (
            {"component": {"a": {"baseline": {"training.steps": 3}}}},
            "every component needs a name of its own, other than 'baseline'",
        ),
        (
            {"component": {"a": {"x": {"training.steps": 3}}, "b": {"x": {"training.steps": 4}}}},
            "every component needs a name",
        ),
        (
            {"claims": [{"claim": "a", "source": "b", "expects": "rises", "factor": "data.seed"}]},
            r"claims: 'data\.seed' does not vary",
        ),
        ({"claims": [{"claim": "a", "source": "b", "expects": "rises"}]}, "factor is missing"),
        ({"claims": [{"claim": "a", "source": "b", "expects": "at most"}]}, "value is missing"),
        ({"claims": [{"claim": "a", "source": "b", "expects": "grows"}]}, "expects must be one of rises"),
        ({"measure.alignment": ["weight"]}, "Did you mean 'weights'"),
        (
            {"measure.alignment": ["exhaustive"], "architecture.hidden": [9]},
            r"at most 1,000,000 permutations \(with signs\), and these widths have 185,794,560",
        ),
        (
            {"measure.alignment": ["canonical"], "architecture.activation": "tanh"},
            "'canonical' rescales units, which relu, leaky_relu, identity allow",
        ),
    ],
)
def test_what_is_wrong_is_named(raw, settings, sentence):
    with pytest.raises(StudyError, match=sentence):
        Study.make(raw(settings, CLASSES))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    import copy

    from testbed.study.dotted import set_dotted

    tables = copy.deepcopy(CLASSES)
    for key, value in COMPONENTS.items():
        set_dotted(tables, key, value)
    return Results.load(run_study(Study.make(tables), tmp_path_factory.mktemp("run") / "components").parent)


def test_alignment_lowers_what_it_should(results):
    pairs = results.measured
    assert (pairs["weights_distance"] <= pairs["distance"] + 1e-6).all()
    best = pairs["exhaustive_train_loss_barrier_linear"]
    for name in (
        "",
        "weights_",
        "activations_",
    ):  # without flips, exhaustive search can only be compared where there are none
        assert pairs[f"{name}train_loss_barrier_linear"].null_count() == 0
    assert (best <= pairs["train_loss_barrier_linear"] + 1e-9).all()
    for name in ("weights", "activations"):  # what matching misses of the optimum, where both ends saw the same samples
        gap = pairs[f"{name}_gap"]
        one_set = pairs["train_set_a"] == pairs["train_set_b"]
        assert (gap.is_null() == ~one_set).all() and (gap.drop_nulls() >= -1e-9).all() and (gap > 1e-6).any()
        assert np.allclose(gap.filter(one_set), (pairs[f"{name}_train_loss_barrier_linear"] - best).filter(one_set))
    assert any(
        "finds the best of all permutations for" in said and "its mean gap to it is" in said
        for said in answers(results)
    )
    ends = results.curves.filter(pl.col("alpha").is_in([0.0, 1.0]))
    for name in ("weights", "activations", "exhaustive", "reference"):
        assert np.allclose(ends[f"{name}_train_loss"], ends["train_loss"], rtol=1e-6)  # the same functions at the ends


def test_different_samples_are_measured_on_both_sets(results):
    """The barrier of the mean over both sets, by hand from the stored networks."""
    import kernels
    from testbed.ensemble.plan import plan as make_plan

    plan = make_plan(results.study)
    own = (
        pl.concat(launch.pairs for launch in plan.launches)
        .join(plan.cells, on="cell")
        .filter((pl.col("component") == "own samples") & (pl.col("kind") == "independent"))
        .row(0, named=True)
    )
    launch = plan.launches[own["launch"]]
    from safetensors.torch import load_file

    params = load_file(results.folder / f"parameters/launch-{launch.index}.safetensors")["params"]
    row = dict(zip(launch.networks["network"], launch.networks["row"], strict=True))
    a, b = (params[row[own[f"network_{side}"]]][None] for side in "ab")
    x, y = launch.train_sets
    alphas = np.array(results.study.measure.alphas)
    losses = []
    for side in "ab":
        k = own[f"train_set_{side}"]
        losses.append(
            kernels.path_losses(
                launch.architecture, a, b, alphas, (x[k], y[k]), "cross_entropy", backend="reference"
            ).loss.numpy()
        )
    expected = theory.barriers_on_grid(alphas, np.mean(losses, 0), "linear").value[0]
    assert results.pairs.filter(pair=own["pair"])["train_loss_barrier_linear"][0] == pytest.approx(expected, rel=1e-6)


def test_past_the_ends(raw, tmp_path, no_figures):
    """Curves go on past the ends, barriers do not."""
    settings = {
        "measure.alphas": [-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5],
        "measure.alignment": ["exhaustive"],
        "measure.also": ["temperature"],
    }
    inside = settings | {"measure.alphas": [0.0, 0.25, 0.5, 0.75, 1.0]}
    far, near = (
        Results.load(
            run_study(
                Study.make(raw(COMPONENTS | part | {"vary": {}, "component": {}, "claims": []}, CLASSES)),
                tmp_path / name,
            ).parent
        )
        for name, part in (("far", settings), ("near", inside))
    )
    barriers = [name for name in near.pairs.columns if "barrier" in name or name.endswith("_ends")]
    assert len(barriers) > 20 and far.pairs.select(barriers).equals(near.pairs.select(barriers))
    assert far.curves["alpha"].min() == -0.5 and far.curves.filter(alpha=1.5)["train_loss"].null_count() == 0
    with pytest.raises(StudyError, match=r"measure\.alphas: theory speaks of paths from 0 to 1"):
        Study.make(raw({"measure.alphas": [-0.5, 0.0, 0.5, 1.0]}))


def test_the_page_ranks_components_and_judges_claims(results):
    page = (results.folder / "report.html").read_text(encoding="utf-8")
    for text in (
        "One component at a time",
        "It rises.",
        "agrees?",
        "own samples",
        "figures/ranking.pdf",
        "after weight matching",
    ):
        assert text in page
    assert set(results.columns["pairs"]) == set(pl.read_parquet(results.folder / "pairs.parquet").columns)


def test_scale_multiplies_families_and_pairs(tmp_path, raw):
    import tomli_w

    path = tmp_path / "study.toml"
    tables = raw(
        {"vary": {"ensemble.families": [4, 6]}, "component": {"a": {"x": {"ensemble.independent_pairs": 5}}}}, CLASSES
    )
    tables["ensemble"]["independent_pairs"] = 6
    path.write_text(tomli_w.dumps(tables))
    study = Study.load(path, scale=2.5)
    assert (
        study.vary["ensemble.families"] == [10, 15]
        and study.ensemble.families == 10
        and study.ensemble.independent_pairs == 15
    )
    assert study.component["a"]["x"]["ensemble.independent_pairs"] == 12
    with pytest.raises(StudyError, match="--scale must be a finite number above 0"):
        Study.load(path, scale=-1)


def test_names_are_shown_as_they_stand(raw, tmp_path, capsys):
    """Neither the console nor a figure takes a name for markup or for a formula."""
    names = ["[/red]", "$\\frac$", ":smile:", "<b>"]
    path = tmp_path / "study.toml"
    components = {name: {"training.steps": 10 + k} for k, name in enumerate(names)}
    path.write_text(tomli_w.dumps(raw({"component": {"[bold]": components}, "question": "[/red] $\\frac$?"}, CLASSES)))
    main(["run", str(path), "--out", str(tmp_path / "run")])
    printed = capsys.readouterr().out
    assert all(name in printed for name in names)
    assert "&lt;b&gt;" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_claims_can_name_every_column_of_numbers(raw, tmp_path, no_figures):
    """All that a run writes of pairs, besides what the plan holds, is a column that a claim may be about."""
    also = [name for name in MEASURES if name != "lemma_7"]
    everything = {"measure.also": also, "measure.alignment": list(ALIGNMENTS), "training.steps": 20}
    classify = Study.make(raw(everything | {"architecture.activation": "relu", "architecture.hidden": [3]}, CLASSES))
    regress = Study.make(raw({"measure.permutations": True, "architecture.hidden": [2]}))
    planned = {"pair", "cell", "launch", "dataset", "kind", "network_a", "network_b", "train_set_a", "train_set_b"}
    planned |= {"family_a", "family_b", "test_seed", "left_out"}
    found: set[str] = set()
    for k, made in enumerate((classify, regress)):
        folder = run_study(made, tmp_path / str(k)).parent
        found |= set(pl.read_parquet(folder / "pairs.parquet").columns) - planned
    assert len(found) > 60
    assert found <= set(number_columns())
