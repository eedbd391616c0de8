"""What the page's scripts know is what the tables have."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import testbed.report
from testbed.alignment import ALIGNMENTS
from testbed.report import explore
from testbed.report.explore import clustered, payload

ROOM = explore.ROOM
SCRIPT = Path(testbed.report.__file__).parent / "templates" / "page.js"


def unpack(packed):
    """As the scripts do it."""
    return np.frombuffer(base64.b64decode(packed["bytes"]), np.dtype(packed["type"]).newbyteorder("<"))


@pytest.mark.parametrize("name", ["widths", "splits", "components"])
def test_pairs_and_barriers_are_those_of_the_table(loaded, name):
    results = loaded(name)
    data = json.loads(json.dumps(payload(results)))  # it is JSON, without NaN
    pairs = results.measured
    number, cell, kind, a, b = (unpack(data["pairs"][key]) for key in ("number", "cell", "kind", "a", "b"))
    assert number.tolist() == pairs["pair"].to_list() and cell.tolist() == pairs["cell"].to_list()
    assert [data["kinds"][k] for k in kind] == pairs["kind"].to_list()
    assert a.tolist() == pairs["network_a"].to_list() and b.tolist() == pairs["network_b"].to_list()
    place = 0
    for measure in data["measures"]:
        for path in ("", *(f"{name}_" for name in ALIGNMENTS))[: len(data["paths"])]:
            barriers = unpack(data["barriers"][place])
            np.testing.assert_allclose(
                barriers, pairs[f"{path}{measure['name'].replace(' ', '_')}_barrier_linear"], rtol=1e-6
            )
            place += 1
    for found in data["cells"]:
        some = pairs.filter(cell=found["cell"])
        assert sorted(found["families"]) == sorted({*some["family_a"], *some["family_b"]})
        for level, factor, key in zip(found["levels"], data["factors"], results.factors, strict=True):
            assert factor["levels"][level] == str(some[key][0])


@pytest.mark.parametrize("room", [ROOM, 1_500])
def test_curves_are_those_of_the_table_as_far_as_there_is_room(loaded, monkeypatch, room):
    monkeypatch.setattr(explore, "ROOM", room)
    results = loaded("splits")
    data = payload(results)
    place, scale, steps = (unpack(data[key]) for key in ("curve", "scale", "values"))
    assert steps.nbytes + scale.nbytes <= room
    assert (0 in place) == (room < ROOM)
    n_alphas = len(data["alphas"])
    steps = steps.reshape(-1, data["n_curves"], n_alphas)
    scale = scale.reshape(-1, data["n_curves"])
    along = {data["measures"][k]["curves"][0]: f"{data['measures'][k]['name'].replace(' ', '_')}" for k in (0, 1)}
    along |= {
        data["measures"][k]["predicted"]: name for k, name in enumerate(("exact_training_loss", "population_loss"))
    }
    assert len(along) == data["n_curves"] == 4
    shown = 0
    for number, k in zip(unpack(data["pairs"]["number"]), place, strict=True):
        if k == 0:
            continue
        curve = results.curves.filter(pair=int(number)).sort("alpha")
        for column, name in along.items():
            values = steps[k - 1, column] / explore.STEPS * scale[k - 1, column]
            np.testing.assert_allclose(values, curve[name], atol=1e-5 * scale[k - 1, column])
        shown += 1
    groups = results.measured.with_columns(place=place).group_by("cell", "kind").agg(pl.col("place").max())
    assert shown == (place > 0).sum() and groups["place"].min() > 0  # some of every cell and kind


def test_clusters_stand_side_by_side():
    """Three groups in mixed order, a third of the distances unknown."""
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat([0, 1, 2], 8))
    distance = np.where(group[:, None] == group[None], 0.1, 1.0) + 0.05 * rng.random((24, 24))
    distance[rng.random((24, 24)) < 0.2] = np.nan
    ordered = group[clustered(distance)]
    assert (np.diff(ordered) != 0).sum() == 2


def test_the_scripts_are_small():
    assert len(SCRIPT.read_bytes()) <= 20_000


def test_a_run_without_pairs_has_nothing_to_explore(loaded):
    results = loaded("alone")
    none = dataclasses.replace(results, all_pairs=results.all_pairs.with_columns(left_out=pl.lit(True)))
    assert payload(none) is None


def test_a_cell_of_more_families_than_there_is_room_for_shows_its_first_pairs(loaded, monkeypatch):
    results = loaded("splits")
    whole = payload(results)
    monkeypatch.setattr(explore, "MOST_FAMILIES", 3)
    data = payload(results)
    number = unpack(data["pairs"]["number"])
    assert 0 < len(number) < len(results.measured)
    assert (number == np.sort(number)).all()
    for few, all_of_it in zip(data["cells"], whole["cells"], strict=True):
        assert len(few["families"]) <= 3 and all_of_it["more"] == 0
        assert len(few["families"]) + few["more"] == len(all_of_it["families"])
        held = results.measured.sort("pair").filter(cell=few["cell"])[
            : int((unpack(data["pairs"]["cell"]) == few["cell"]).sum())
        ]
        assert sorted({*held["family_a"], *held["family_b"]}) == sorted(few["families"])
