"""z-scores that are standard normal when the prediction is right and are not when it is wrong; intervals that cover."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from scipy import stats

import kernels
from testbed import run_study
from testbed.ensemble import training
from testbed.ensemble.measuring import Trained, measure, pair_set
from testbed.ensemble.plan import plan as make_plan
from testbed.measures.predicted_population import population_curve
from testbed.results import comparison
from testbed.results.comparison import effects, group_means, mean_interval, z_scores, z_summary

LARGE = {
    "ensemble.families": 12,
    "ensemble.independent_pairs": 200,
    "measure.test_samples": 4096,
    "measure.alphas": 3,
    "measure.theory": ["population"],
    "training.steps": 100,
}


def test_z_scores_of_a_run_are_standard_normal(study, tmp_path, no_figures):
    pairs = pl.read_parquet(run_study(study(LARGE), tmp_path / "run").parent / "pairs.parquet")
    summary = z_summary(pairs["z"].to_numpy())
    assert summary.n == 212
    assert summary.standard_normal, summary


def test_a_wrong_teacher_is_found_out(study):
    """The same measurement against the population loss of a teacher whose weights are 2 % larger."""
    (launch,) = make_plan(study(LARGE)).launches
    trained = training.train(launch, launch.networks, "auto")
    result = measure(launch, Trained.joined(launch, [trained]), launch.pairs, "auto")
    alphas = np.array([0.5])
    (data,) = launch.data
    teacher = kernels.Teacher(data.teacher.architecture, 1.02 * data.teacher.params)
    mistaken = dataclasses.replace(launch, data=(dataclasses.replace(data, teacher=teacher),))
    pairs = pair_set(mistaken, Trained.joined(mistaken, [trained]), launch.pairs, "auto")
    wrong = population_curve(pairs)(alphas)[:, 0]
    measured, right, error, skewness = (
        result[name][:, 1].numpy() for name in ("test_loss", "population_loss", "test_standard_error", "test_skewness")
    )
    assert z_summary(z_scores(measured, right, error, skewness, 4096)).standard_normal
    assert not z_summary(z_scores(measured, wrong, error, skewness, 4096)).standard_normal


@pytest.mark.parametrize(("shift", "scale", "right"), [(0, 1, True), (0.3, 1, False), (0, 1.3, False), (0, 0.7, False)])
def test_the_verdict_on_known_samples(shift, scale, right):
    z = shift + scale * np.random.default_rng(5).standard_normal(500)
    summary = z_summary(z)
    assert summary.standard_normal is right
    assert summary.mean == pytest.approx(shift, abs=0.2)
    assert summary.std == pytest.approx(scale, abs=0.15)


def test_the_verdict_fails_each_of_three_tests_one_time_in_a_thousand():
    """At its bounds: of the mean by the normal distribution, of the spread by χ² with n − 1 degrees of freedom."""
    n = 9
    right = z_summary(stats.norm.ppf((np.arange(n) + 0.5) / n))
    assert right.standard_normal
    furthest = -stats.norm.ppf(0.0005) / n**0.5
    low, high = (stats.chi2.ppf([0.0005, 0.9995], n - 1) / (n - 1)) ** 0.5
    for field, bound in (("mean", furthest), ("mean", -furthest), ("std", high)):
        assert dataclasses.replace(right, **{field: 0.99 * bound}).standard_normal
        assert not dataclasses.replace(right, **{field: 1.01 * bound}).standard_normal
    assert dataclasses.replace(right, std=1.01 * low).standard_normal
    assert not dataclasses.replace(right, std=0.99 * low).standard_normal
    assert dataclasses.replace(right, p=1.1e-3).standard_normal
    assert not dataclasses.replace(right, p=0.9e-3).standard_normal


def test_z_scores_of_skewed_samples_are_normal():
    """Means of 200 exponential samples (skewness 2): the plain ratio leans, the corrected one does not."""
    samples = np.random.default_rng(0).exponential(size=(20_000, 200))
    error = samples.std(1, ddof=1) / 200**0.5
    skewness = stats.skew(samples, axis=1)
    plain = (samples.mean(1) - 1) / error
    corrected = z_scores(samples.mean(1), np.ones(20_000), error, skewness, 200)
    assert np.allclose(z_scores(samples.mean(1), np.ones(20_000), error, 0 * skewness, 200), plain)
    assert plain.mean() == pytest.approx(-2 / (2 * 200**0.5), abs=0.02)
    assert abs(corrected.mean()) < 4.5 / 20_000**0.5
    assert stats.kstest(plain, "norm").pvalue < 1e-6 < stats.kstest(corrected, "norm").pvalue


def test_intervals_over_families_cover_where_those_over_pairs_do_not():
    """Pair values x_i + x_j with family effects x: the interval must hold the mean 0 in about 95 % of draws."""
    rng = np.random.default_rng(1)
    n = 20
    covered = 0
    naive = 0
    a, b = np.triu_indices(n, 1)
    for trial in range(200):
        x = rng.standard_normal(n)
        values = x[a] + x[b]
        _, low, high = mean_interval(pl.DataFrame({"family_a": a, "family_b": b, "value": values}), "value", seed=trial)
        covered += low < 0 < high
        naive += abs(values.mean()) < 1.96 * values.std(ddof=1) / len(values) ** 0.5
    assert covered / 200 > 0.86
    assert naive / 200 < 0.7


def test_group_means_leave_out_and_count():
    pairs = pl.DataFrame(
        {
            "kind": ["a", "a", "b", "b"],
            "left_out": [False, True, False, False],
            "family_a": [0, 1, 2, 3],
            "family_b": [1, 2, 3, 4],
            "barrier": [1.0, 100.0, 2.0, 4.0],
        }
    )
    rows = group_means(pairs, ["kind"], "barrier").select("kind", "n", "mean").rows()
    assert rows == [("a", 1, 1.0), ("b", 2, 3.0)]


def test_an_effect_is_a_difference_with_an_interval_of_its_own():
    """Three levels 1 and 3 apart: of the same families, whose own means cancel, and of others, where they do not."""
    rng = np.random.default_rng(4)
    family = np.arange(30)
    own = rng.standard_normal(30)
    for same in (True, False):
        levels = [
            pl.DataFrame(
                {
                    "width": width,
                    "family_a": family + 100 * k * (not same),
                    "family_b": family + 100 * k * (not same),
                    "value": 5 + mean + own + 0.01 * rng.standard_normal(30),
                }
            )
            for k, (width, mean) in enumerate(((2, 0.0), (4, 1.0), (8, -3.0)))
        ]
        rows = effects(pl.concat(levels), "width", "value").rows()
        assert [row[:2] for row in rows] == [(4, 30), (8, 30)]
        for (*_, mean, low, high), difference in zip(rows, (1.0, -3.0), strict=True):
            assert low < mean < high and mean == pytest.approx(difference, abs=0.02)
            error = 0.01 * (2 / 30) ** 0.5 if same else own.std() * (2 / 30) ** 0.5
            assert high - low == pytest.approx(2 * 1.96 * error, rel=0.3)


def test_two_data_sets_are_not_drawn():
    """Two are too few to tell how data sets differ: families alone are drawn, and both sets are in every draw."""
    values = np.repeat([0.0, 10.0], 20) + 0.01 * np.random.default_rng(3).standard_normal(40)
    family = np.arange(40)
    pairs = pl.DataFrame({"family_a": family, "family_b": family, "value": values, "data.seed": family // 20})
    mean, low, high = mean_interval(pairs, "value")
    by_families = mean_interval(pairs.drop("data.seed"), "value")
    assert high - low == pytest.approx(by_families[2] - by_families[1], rel=0.1)
    assert mean == by_families[0]


def test_intervals_over_data_sets_are_wider_where_these_differ():
    """Six data sets of five families each, whose means differ: families alone would give too narrow an interval."""
    rng = np.random.default_rng(2)
    n_sets = 6
    n = 5
    effect = np.repeat(rng.standard_normal(n_sets), n)
    values = effect + 0.01 * rng.standard_normal(n_sets * n)
    family = np.arange(n_sets * n)
    pairs = pl.DataFrame(
        {"family_a": family, "family_b": family, "value": values, "data.seed": np.repeat(np.arange(n_sets), n)}
    )
    _, low, high = mean_interval(pairs, "value")
    _, low_alone, high_alone = mean_interval(pairs.drop("data.seed"), "value")
    expected = 2 * 1.96 * effect.std() / n_sets**0.5
    assert high - low == pytest.approx(expected, rel=0.3)
    assert high_alone - low_alone < 0.6 * (high - low)


def test_there_is_no_z_where_both_losses_are_rounding():
    z = z_scores(np.array([1e-15, 1e-3]), np.array([2e-15, 1e-3]), np.array([1e-17, 1e-5]), np.zeros(2), 100)
    assert np.isnan(z[0]) and z[1] == 0


def test_there_is_no_z_where_a_handful_of_samples_carries_the_loss():
    """One sample in a thousand is not 0: half of all test sets of 500 never see one."""
    samples = np.zeros(500)
    samples[7] = 1.0
    error = np.array([samples.std(ddof=1) / 500**0.5])
    skewness = np.array([stats.skew(samples)])
    assert np.isnan(z_scores(np.array([samples.mean()]), np.array([1e-3]), error, skewness, 500)).all()


def test_effects_of_a_factor():
    """Levels of means 0, 0.5 and 0: intervals of differences hold the truth, and are about as wide as by theory."""
    rng = np.random.default_rng(4)
    rows = []
    for level, shift in (("a", 0.0), ("b", 0.5), ("c", 0.0)):
        of = rng.standard_normal(30)
        every = [(i, j) for i in range(30) for j in range(i)]
        rows += [
            {"level": level, "family_a": i, "family_b": j, "value": shift + of[i] + of[j] + 0.1 * rng.standard_normal()}
            for i, j in every
        ]
    table = effects(pl.DataFrame(rows), "level", "value")
    means = {level: np.mean([row["value"] for row in rows if row["level"] == level]) for level in "abc"}
    assert table["level"].to_list() == ["b", "c"] and table["n"].to_list() == [435, 435]
    np.testing.assert_allclose(table["mean"], [means["b"] - means["a"], means["c"] - means["a"]])
    assert (table["low"] <= [0.5, 0.0]).all() and (table["high"] >= [0.5, 0.0]).all()
    width = 2 * 1.96 * np.sqrt(2 * 4 / 30)  # of two groups, each twice a mean of 30 normals
    assert ((table["high"] - table["low"]) / width).is_between(0.7, 1.4).all()
    assert len(effects(pl.DataFrame(rows).filter(level="a"), "level", "value")) == 0


@pytest.mark.parametrize("kind", ["independent", "siblings"])
def test_groups_of_families_give_the_interval_that_families_give(monkeypatch, kind):
    """Also where pairs that share a family are alike, so that drawing pairs one by one would be too sure."""
    rng = np.random.default_rng(0)
    n_families, n_pairs = 1500, 6000
    of_family = rng.standard_normal(n_families)
    a = rng.integers(n_families, size=n_pairs)
    b = a if kind == "siblings" else (a + rng.integers(1, n_families, size=n_pairs)) % n_families
    values = of_family[a] + of_family[b] + 0.1 * rng.standard_normal(n_pairs)
    pairs = pl.DataFrame({"family_a": a, "family_b": b, "barrier": values})
    mean, low, high = mean_interval(pairs, "barrier")
    monkeypatch.setattr(comparison, "MOST_DRAWN", 400)
    same, low_of_groups, high_of_groups = mean_interval(pairs, "barrier")
    assert same == mean
    assert (high_of_groups - low_of_groups) / (high - low) == pytest.approx(1, abs=0.12)
    alone = 2 * 1.96 * values.std() / np.sqrt(n_pairs)
    assert high - low > 1.3 * alone


@pytest.mark.parametrize("n_pairs", [3, 40, 400])
def test_sums_over_pairs_of_families_are_sums_over_pairs(monkeypatch, n_pairs):
    """Two ways to the same draws: family by family, and pair by pair; with siblings among the pairs."""
    rng = np.random.default_rng(1)
    ends = rng.integers(12, size=(2, n_pairs))
    pairs = pl.DataFrame({"family_a": ends[0], "family_b": ends[1], "barrier": rng.standard_normal(n_pairs)})
    _, by_family = comparison.bootstrap_means(pairs, "barrier", seed=5)
    monkeypatch.setattr(comparison, "DENSE", 0)
    _, by_pair = comparison.bootstrap_means(pairs, "barrier", seed=5)
    np.testing.assert_allclose(by_family, by_pair, rtol=0, atol=1e-12)
