"""Networks and pairs are made when a shard asks, the same however it asks; until then a plan holds hardly anything."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from kernels import streams
from testbed import Study
from testbed.ensemble.plan import plan
from tests.testbed.conftest import tables_of

SETTINGS = [
    {"vary": {"training.snapshot": [10, 40, 20], "training.optimizer.lr": [0.05, 0.1]}},
    {"vary": {"training.snapshot": [10, 40], "data.shift": [0.0, 0.5]}, "measure.theory": []},
    {"data.shared": 0.5, "measure.theory": []},
    {"vary": {"architecture.hidden": [[3], [5]], "data.seed": [0, 1]}},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=["along", "sides", "own samples", "launches"])
def test_parts_of_a_launch_are_those_of_the_whole(study, settings):
    rng = np.random.default_rng(0)
    for launch in plan(study(settings)).launches:
        networks, pairs = launch.networks, launch.pairs
        assert networks["row"].to_list() == list(range(launch.n_networks)) and len(pairs) == launch.n_pairs
        assert np.array_equal(networks["network"], launch.network_numbers) and networks["network"].is_sorted()
        assert np.array_equal(pairs["pair"], launch.pair_numbers) and pairs["pair"].is_sorted()
        for start, stop in ((0, 1), (3, 6), (launch.n_networks - 5, launch.n_networks), (4, 4)):
            assert launch.networks_at(slice(start, stop)).equals(networks[start:stop])
        for start, stop in ((0, 1), (3, 6), (launch.n_pairs - 5, launch.n_pairs), (4, 4)):
            assert launch.pairs_at(slice(start, stop)).equals(pairs[start:stop])
        some = np.sort(rng.choice(launch.n_networks, 7, replace=False))
        assert launch.networks_at(some).equals(networks[some])
        for cell in launch.cells:
            assert networks[launch.rows_of_cell(cell)].equals(networks.filter(cell=cell))


@pytest.mark.parametrize("settings", SETTINGS[:2], ids=["along", "sides"])
def test_a_pair_says_of_its_networks_what_they_say(study, settings):
    for launch in plan(study(settings)).launches:
        for end in "ab":
            names = {name: f"{name}_{end}" for name in ("network", "family", "train_set")}
            of_end = launch.networks.select("network", "cell", "family", "train_set").rename(names)
            joined = launch.pairs.join(of_end, on=[*names.values(), "cell"], how="semi")
            assert len(joined) == launch.n_pairs


def test_seeds_are_drawn_by_number():
    """One by one, as `network_seeds` counts them."""
    one_by_one = [streams.network_seeds(5, 1, first=number)[0] for number in (7, 0, 10**12)]
    assert streams.numbered_seeds(5, np.array([7, 0, 10**12])).tolist() == one_by_one


def test_a_plan_holds_two_numbers_a_pair():
    n = 100_000
    one_each = {"ensemble.siblings": 1, "ensemble.spawn_step": 0, "ensemble.pairs": ["independent"]}
    made = Study.make(tables_of(one_each | {"ensemble.families": n, "ensemble.independent_pairs": n}))
    plan(made)  # what is imported, and made once
    tracemalloc.start()
    held = plan(made)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held.n_networks == held.n_pairs == n
    assert size < 2 * 4 * n + 2**18  # 32 bits each, and the samples


def test_no_rows_have_the_columns_of_all(study):
    (launch,) = plan(study()).launches
    assert launch.pairs_at(np.zeros(0, int)).schema == launch.pairs.schema
    assert launch.networks_at(np.zeros(0, int)).schema == launch.networks.schema
