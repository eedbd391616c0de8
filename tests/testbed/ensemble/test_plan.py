"""Families, pairs, seeds, launches: a network is a function of its own seeds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from testbed.ensemble import training
from testbed.ensemble.pairs import independent_pairs, sibling_pairs
from testbed.ensemble.plan import plan as make_plan


@settings(deadline=None, max_examples=60)
@given(families=st.integers(2, 9), siblings=st.integers(1, 4), share=st.floats(0, 1), seed=st.integers(0, 2**63 - 1))
def test_independent_pairs_are_distinct_and_between_families(families, siblings, share, seed):
    total = families * (families - 1) // 2 * siblings**2
    count = round(share * total)
    pairs = independent_pairs(families, siblings, count, seed)
    assert pairs.shape == (count, 2)
    assert len(set(map(tuple, pairs.tolist()))) == count
    assert (pairs[:, 0] // siblings < pairs[:, 1] // siblings).all()
    assert pairs.min(initial=0) >= 0
    assert pairs.max(initial=0) < families * siblings
    with pytest.raises(ValueError, match=f"there are {total}"):
        independent_pairs(families, siblings, total + 1, seed)


def test_every_independent_pair_is_equally_likely():
    drawn = np.concatenate([independent_pairs(3, 2, 3, seed) for seed in range(4000)])
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 12
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000 * 0.75)


def test_sibling_pairs_are_all_of_them():
    pairs = sibling_pairs(5, 3)
    expected = [(a, b) for a in range(15) for b in range(a + 1, 15) if a // 3 == b // 3]
    assert sorted(map(tuple, pairs.tolist())) == expected


def test_families_share_what_they_should(study):
    plan = make_plan(study({"vary": {"architecture.hidden": [[2], [3]], "ensemble.spawn_step": [0, 20]}}))
    networks, pairs = (pl.concat(getattr(launch, name) for launch in plan.launches) for name in ("networks", "pairs"))
    assert networks["network"].to_list() == list(range(32))
    per_family = networks.group_by("family").agg(pl.col("init_seed", "data_seed", "spawn_seed").n_unique(), pl.len())
    assert per_family.select("init_seed", "data_seed", "spawn_seed", "len").unique().rows() == [(1, 1, 2, 2)]
    for seed, count in (("init_seed", 16), ("data_seed", 16), ("spawn_seed", 32)):
        assert networks[seed].n_unique() == count  # no two cells, and no two families, share a seed
    assert pairs["test_seed"].n_unique() == len(pairs) == plan.n_pairs and len(networks) == plan.n_networks
    family = dict(networks.select("network", "family").rows())
    for kind, a, b, *families in pairs.select("kind", "network_a", "network_b", "family_a", "family_b").rows():
        assert [family[a], family[b]] == families
        assert (family[a] == family[b]) == (kind == "siblings")


def test_a_cell_does_not_depend_on_the_size_of_the_others(study):
    vary = {"ensemble.families": [4, 5], "ensemble.spawn_step": [0, 20]}
    plans = [make_plan(study({"vary": vary | {"ensemble.families": [families, 5]}})) for families in (3, 4)]
    small, large = (pl.concat(launch.networks for launch in plan.launches).filter(cell=3) for plan in plans)
    seeds = ["init_seed", "data_seed", "spawn_seed"]
    assert len(small) and small.select(seeds).equals(large.select(seeds))


def test_what_may_vary_within_a_launch_is_one_launch(study):
    vary = {
        "training.optimizer.lr": [0.01, 0.1],
        "training.optimizer.momentum": [0.0, 0.9],
        "data.seed": [0, 1, 2],
        "ensemble.spawn_step": [0, 20],
    }
    (launch,) = make_plan(study({"vary": vary})).launches
    assert len(launch.networks) == 24 * 8
    assert launch.train_sets[0].shape == (3, 24, 3)
    cells = dict(launch.cells)
    training = launch.training(launch.networks)
    for k, (cell, dataset) in enumerate(launch.networks.select("cell", "dataset").rows()):
        assert training.optimizer.lr[k] == cells[cell].training.optimizer.lr
        assert training.optimizer.momentum[k] == cells[cell].training.optimizer.momentum
        assert dataset == cells[cell].data.seed
    assert len(make_plan(study({"vary": {"architecture.hidden": [[2], [3]]}})).launches) == 2


@pytest.mark.parametrize("loss", ["mse", "online"])
def test_a_network_alone_is_the_network_of_the_study(study, loss):
    settings = {"vary": {"training.optimizer.lr": [0.02, 0.1], "ensemble.spawn_step": [0, 15], "data.seed": [0, 1]}}
    if loss == "online":
        settings |= {"data.n_train": None, "data.noise": 0.0, "training.online": True, "measure.theory": ["population"]}
    (launch,) = make_plan(study(settings)).launches
    together = training.train(launch, launch.networks, "auto")["params"]
    for k in (0, 13, len(launch.networks) - 1):
        row = launch.networks.row(k, named=True)
        cell = launch.cells[row["cell"]]
        data = launch.data[row["dataset"]]
        alone = kernels.train(
            launch.architecture,
            launch.architecture.initial(1, [row["init_seed"]]),
            data.train or data.teacher,
            cell.training.build(),
            data_seeds=[row["data_seed"]],
            spawn_steps=row["spawn_step"],
            spawn_seeds=[row["spawn_seed"]],
        )
        assert torch.equal(alone.params[0], together[k])


def test_factors_in_tables_keep_their_order(study):
    vary = {"architecture.hidden": [[8], [2]], "architecture.activation": ["relu", "identity", "leaky_relu"]}
    cells = make_plan(study({"vary": vary})).cells
    assert cells["architecture.hidden"].to_list() == [8, 8, 8, 2, 2, 2]
    assert cells["architecture.activation"].unique().sort().to_list() == ["relu", "identity", "leaky_relu"]
    deep = study({"vary": {"architecture.hidden": [[16], [8, 8]]}, "measure.theory": []})
    assert make_plan(deep).cells["architecture.hidden"].to_list() == ["16", "8-8"]


def test_siblings_split_at_their_spawn_step(study):
    settings = {"training.record_every": 1, "ensemble.spawn_step": 25, "training.batch_size": 4}
    (launch,) = make_plan(study(settings)).launches
    losses = training.train(launch, launch.networks, "auto")["losses"].reshape(4, 2, 40)
    assert torch.equal(losses[:, 0, :25], losses[:, 1, :25])
    assert not torch.equal(losses[:, 0, 25:], losses[:, 1, 25:])
    assert not torch.equal(losses[0, 0, :25], losses[1, 0, :25])
