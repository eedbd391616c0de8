"""The lazy and the quadratic limit as predictions of a study."""

from __future__ import annotations

import numpy as np
import pytest

from testbed import Study, StudyError
from testbed.results import Results
from testbed.run import run_study

SETTINGS = {
    "architecture.activation": "identity",
    "measure.theory": ["lazy", "quadratic"],
    "data.shared": 0.5,  # a set for each network: of both ends, as what is measured
}


def test_between_linear_networks_the_quadratic_one_is_the_measured_curve(raw, tmp_path):
    results = Results.load(run_study(Study.make(raw(SETTINGS)), tmp_path / "run").parent)
    curves, pairs = results.curves, results.pairs
    np.testing.assert_allclose(curves["quadratic_loss"], curves["train_loss"], rtol=1e-10)
    assert (pairs["lazy_barrier_linear"] <= 1e-12).all()
    assert (pairs["quadratic_barrier_linear"] >= pairs["train_loss_barrier_linear"] - 1e-12).all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"architecture.normalise": True}, r"'lazy' needs networks without architecture\.normalise"),
        ({"architecture.activation": "silu"}, r"'lazy' needs an activation of identity, relu, tanh, erf, gelu"),
    ],
)
def test_what_they_need_is_said(raw, settings, sentence):
    with pytest.raises(StudyError, match=sentence):
        Study.make(raw({"measure.theory": ["lazy"]} | settings))
