"""A user's default device (`torch.set_default_device("cuda")`) is for what the user makes: studies, measures and
alignments give the same numbers under it. Here it is one that keeps no numbers, as in tests/kernels.
"""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

import testbed
from kernels import Architecture
from testbed import PairSet, Study, run_study
from testbed.alignment import exhaustive
from testbed.alignment.registry import ALIGNMENTS
from testbed.measures.registry import MEASURES, PREDICTIONS
from testbed.pair_set import Networks, Origin

ARCHITECTURE = Architecture((2, 3, 2))
PARAMS = ARCHITECTURE.initial(4)
X = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
Y = torch.stack([X[:, 0], X.prod(1)], 1)


def pairs(loss: str = "mse") -> PairSet:
    """Networks 0 and 2, 1 and 3, of one cell."""
    made = PairSet.of(ARCHITECTURE, PARAMS[:2], PARAMS[2:], (X, Y if loss == "mse" else Y.argmax(1)), loss, 5)
    networks = Networks(PARAMS, np.arange(4), np.zeros(4, int))
    return dataclasses.replace(made, origin=Origin(np.zeros(2, int), np.arange(2), np.arange(2, 4), lambda _: networks))


COMPUTED = {
    **{name: lambda name=name: MEASURES[name].compute(pairs()) for name in MEASURES if name != "temperature"},
    "temperature": lambda: MEASURES["temperature"].compute(pairs("cross_entropy")),
    **{
        name: lambda name=name: [*vars(PREDICTIONS[name].predict(pairs())).values()][:2]
        for name in ("lazy", "quadratic")
    },
    **{f"aligned by {name}": lambda name=name: ALIGNMENTS[name].align(pairs()) for name in ALIGNMENTS},
    "exhaustive": lambda: exhaustive(pairs()).params,
}


def numbers(found: object) -> list[torch.Tensor]:
    if isinstance(found, PairSet):
        return [found.a, found.b]
    if isinstance(found, dict):
        return list(found.values())
    return list(found) if isinstance(found, list) else [found]


@pytest.mark.parametrize("name", COMPUTED)
def test_measures_and_alignments(name):
    want = numbers(COMPUTED[name]())
    with torch.device("meta"):
        found = numbers(COMPUTED[name]())
    assert all(torch.equal(one.nan_to_num(), other.nan_to_num()) for one, other in zip(found, want, strict=True))


@pytest.mark.usefixtures("no_figures")
def test_studies(raw, tmp_path):
    made = Study.make(raw({"measure.planes": 1, "measure.soups": True, "measure.permutations": True}))
    with torch.device("meta"):
        under = run_study(made, tmp_path / "under")
    files = [
        json.loads((report.parent / "manifest.json").read_text())["files"]
        for report in (under, run_study(made, tmp_path / "plain"))
    ]
    assert files[0] == files[1]


def test_networks_of_ones_own_run_under_it():
    """A model that makes tensors in its forward() still makes them where its user said."""
    seen = []
    models = [ARCHITECTURE.to_torch(params) for params in PARAMS]
    for model in models:
        model.register_forward_pre_hook(lambda *_: seen.append(torch.zeros(1).device.type))

    def results() -> list[np.ndarray]:
        found = testbed.barrier(models, None, (X, Y), align=list(ALIGNMENTS))
        return [*found.curves.values(), testbed.soup(models, (X, Y)).loss]

    want = results()
    with torch.device("meta"):
        found = results()
    assert seen == ["cpu"] * 8 + ["meta"] * 8
    assert all(np.array_equal(one, other) for one, other in zip(found, want, strict=True))


def test_models_that_are_made_under_it():
    """Their numbers are drawn by a CPU's generator, which no tensor on another device takes."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.device("meta"):
        architecture = Architecture.of_torch(model)
        assert architecture.from_torch(model).device.type == "cpu"
