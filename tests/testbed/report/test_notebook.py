"""A run as one works with it in a notebook: tables, frames, a figure, and short representations."""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
import pytest
import torch

import testbed
import theory
from kernels import Architecture, Training, path_losses, train
from testbed.alignment.registry import ALIGNMENTS
from testbed.results.comparison import mean_interval


def test_barriers_are_the_means_of_the_pairs(loaded):
    results = loaded("widths")
    table = results.barriers()
    assert table.columns == ["kind", "architecture.hidden", "path", "n", "mean", "low", "high"]
    assert set(table["path"]) >= {"straight", "weights", "activations"}
    for row in table.iter_rows(named=True):
        pairs = results.measured.filter(kind=row["kind"]).filter(
            pl.col("architecture.hidden") == row["architecture.hidden"]
        )
        name = "test_loss_barrier_linear" if row["path"] == "straight" else f"{row['path']}_test_loss_barrier_linear"
        values = pairs[name].drop_nulls()
        assert row["n"] == len(values)
        assert row["mean"] == pytest.approx(values.mean())
        assert (row["low"], row["high"]) == pytest.approx(mean_interval(pairs, name)[1:])


def test_kinds_that_a_factor_does_not_tell_apart_have_no_level_of_it(loaded):
    table = loaded("splits").barriers("train_loss")
    split = table.filter(kind="independent")["ensemble.spawn_step"]
    assert split.null_count() == len(split) > 0
    assert set(table.filter(kind="siblings")["ensemble.spawn_step"]) == {0, 20}


def test_other_barriers_and_those_that_there_are_not(loaded):
    results = loaded("alone")
    assert results.barriers("population", "midpoint").columns == ["kind", "path", "n", "mean", "low", "high"]
    with pytest.raises(ValueError, match=r"no barrier of 'train_error'.*one of train_loss, test_loss, population"):
        results.barriers("train_error")


def test_pandas_has_the_same_numbers(loaded):
    results = loaded("widths")
    frame = results.to_pandas()
    assert list(frame.columns) == results.to_polars().columns
    np.testing.assert_array_equal(frame["train_loss_barrier_linear"], results.pairs["train_loss_barrier_linear"])
    networks = Architecture((2, 3, 1)).initial(3)
    own = testbed.barrier(networks, None, (torch.zeros(4, 2), torch.zeros(4, 1)), architecture=Architecture((2, 3, 1)))
    assert own.to_pandas()["a"].tolist() == own.to_polars()["a"].to_list()


def test_without_pandas_a_sentence_says_so(loaded, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        loaded("alone").to_pandas()


def test_a_run_draws_itself(loaded):
    results = loaded("widths")
    ax = results.plot()
    (first, *_), labels = ax.get_legend_handles_labels()
    assert labels[:2] == ["independent", "independent, after weight matching"]
    drawn = first.lines[0].get_ydata()
    means = results.barriers().filter(kind="independent", path="straight")
    assert list(drawn) == pytest.approx(means["mean"].to_list())
    assert [text.get_text() for text in ax.get_xticklabels()] == means["architecture.hidden"].to_list()
    curve = loaded("alone").plot(quantity="train_loss").lines[0]
    pairs = loaded("alone").measured.filter(kind="independent")["pair"].implode()
    at_start = loaded("alone").curves.filter(pl.col("pair").is_in(pairs), alpha=0.0)["train_loss"].mean()
    assert curve.get_ydata()[0] == pytest.approx(at_start)
    with pytest.raises(
        ValueError, match=r"factor must be one of architecture\.hidden, ensemble\.spawn_step, not 'width'"
    ):
        loaded("splits").plot("width")
    with pytest.raises(ValueError, match=r"quantity must be one of train_loss, test_loss, not 'error'"):
        loaded("splits").plot(quantity="error")


def test_representations_are_short(loaded):
    results = loaded("widths")
    assert len(repr(results)) < 600
    shown = results._repr_html_()
    assert "<table" in shown and len(shown) < 20_000


def test_what_a_call_returns_is_shown_in_a_line(loaded):
    architecture = Architecture((2, 16, 1))
    params, samples = architecture.initial(1024), (torch.zeros(64, 2), torch.zeros(64, 1))
    run = train(architecture, params, samples, Training(steps=500))
    assert repr(run).startswith(
        "Run(params: float32 [1024, 65], losses: float32 [1024, 100], loss_steps: 0 … 495 (100)"
    )
    curves = path_losses(architecture, params[:512], params[512:], 25, samples, loss="mse")
    pairs = testbed.PairSet.of(architecture, params[:512], params[512:], samples)
    layers = [(weight.double().numpy(), bias.double().numpy()) for weight, bias in architecture.layers(params)]
    exact = theory.piecewise_barriers(layers, layers, np.zeros((4, 2)), np.ones((4, 1)))
    for found in (run, curves, pairs, ALIGNMENTS["weights"].align(pairs), exact, exact.barriers["linear"]):
        assert len(repr(found)) < 1000
