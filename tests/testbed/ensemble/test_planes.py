"""Pictures of planes through three networks, as a study makes them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import kernels
from testbed import Study, StudyError, alignment
from testbed.ensemble import planes
from testbed.ensemble.measuring import Trained
from testbed.ensemble.plan import plan as make_plan
from testbed.results import Results
from testbed.run import run_study
from tests.testbed.conftest import CLASSES

SETTINGS = {"vary": {"architecture.hidden": [[3], [4], [6]]}, "measure.planes": 2, "architecture.activation": "relu"}


@pytest.mark.parametrize("matched", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_planes_of_a_study(raw, tmp_path, matched):
    """Of the first and the last cell: losses on the grid by hand from the stored networks; C as it is called."""
    study = Study.make(raw(SETTINGS | {"measure.alignment": ["weights"] if matched else []}, CLASSES))
    results = Results.load(run_study(study, tmp_path / "run").parent)
    table = results.planes
    assert table["cell"].unique().sort().to_list() == [0, 2]
    of_planes, of_losses = (results.columns[name]["loss"] for name in ("planes", "losses"))
    assert of_planes.startswith("mean loss over the training samples of network A") and of_planes.endswith("nats]")
    assert of_losses.startswith("of that step's batch")
    assert (results.folder / "figures" / "planes.png").is_file()
    plan = make_plan(study)
    for cell in (0, 2):
        plane = table.filter(cell=cell)
        pair = results.pairs.filter(cell=cell).row(0, named=True)
        assert plane["pair"].unique().to_list() == [pair["pair"]]
        launch = plan.launches[pair["launch"]]
        params = load_file(results.folder / f"parameters/launch-{launch.index}.safetensors")["params"].double()
        row = dict(zip(launch.networks["network"], launch.networks["row"], strict=True))
        a, b = (params[row[pair[f"network_{side}"]]] for side in "ab")
        if matched:
            assert plane["third"][0] == "B after weight matching"
            c = alignment.match_weights(launch.architecture, a[None], b[None]).params[0]
        else:
            c = params[row[int(plane["third"][0].removeprefix("network "))]]
        corners = {
            r["corner"]: np.array([r["u"], r["v"]]) for r in plane.filter(pl.col("corner").is_not_null()).to_dicts()
        }
        assert list(corners) == ["A", "B", "C"] and not corners["A"].any()
        for one, other, p, q in (("A", "B", a, b), ("A", "C", a, c), ("B", "C", b, c)):
            assert np.linalg.norm(corners[one] - corners[other]) == pytest.approx((p - q).norm().item(), rel=1e-6)
        points = plane.filter(pl.col("corner").is_null())
        for at in (0, 700, len(points) - 1):
            point = points.row(at, named=True)
            share = np.linalg.solve(np.stack([corners["B"], corners["C"]], 1), [point["u"], point["v"]])
            theta = (a + share[0] * (b - a) + share[1] * (c - a))[None]
            want = kernels.path_losses(
                launch.architecture, theta, theta, [0.0], launch.data[0].train, "cross_entropy"
            ).loss.item()
            assert point["loss"] == pytest.approx(want, rel=1e-5)


def test_networks_on_one_line_have_no_plane(raw):
    """Two networks alone, and matching that leaves B where it is."""
    one = {
        "ensemble.pairs": ["independent"],
        "architecture.hidden": [1],
        "ensemble.families": 2,
        "ensemble.siblings": 1,
        "ensemble.independent_pairs": 1,
        "measure.planes": 1,
    }
    plan = make_plan(
        Study.make(raw(one | {"measure.alignment": ["weights"], "architecture.activation": "relu"}, CLASSES))
    )
    (launch,) = plan.launches
    found = planes.table(plan, [Trained(launch.initial(launch.networks), torch.full((2,), -1))], "auto")
    assert len(found) == 0 and found.columns == list(planes.SCHEMA)


def test_planes_need_a_training_set(raw):
    online = {
        "training.online": True,
        "data.n_train": None,
        "data.noise": 0.0,
        "measure.theory": ["population"],
        "measure.planes": 1,
    }
    with pytest.raises(StudyError, match=r"measure\.planes draws the training loss, and training\.online has none"):
        Study.make(raw(online))
