"""Averages of several networks: members, loss, and what brings them into one frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import testbed
from kernels import Architecture
from testbed.alignment import permute

ARCHITECTURE = Architecture((2, 8, 3), "tanh")


def trained(n):
    """Networks that learnt one task from starts of their own, and its samples."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 2, generator=generator)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()
    models = []
    for seed in range(n):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(60):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        models.append(model)
    return models, (x, y)


def test_a_uniform_soup_is_the_mean_of_the_networks():
    models, (x, y) = trained(4)
    found = testbed.soup(models, (x, y), align=[])
    mean = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))
    states = [model.state_dict() for model in models]
    mean.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    soup = found["", "uniform"]
    with torch.no_grad():
        outputs = mean(x)
    assert soup.members == (0, 1, 2, 3)
    assert soup.loss == pytest.approx(float(nn.functional.cross_entropy(outputs, y)), rel=1e-5)
    assert soup.error == pytest.approx(float((outputs.argmax(1) != y).float().mean()))


def test_a_greedy_soup_takes_what_does_not_harm():
    models, data = trained(5)
    found = testbed.soup(models, data, align=[])
    with torch.no_grad():
        own = [float(nn.functional.cross_entropy(model(data[0]), data[1])) for model in models]
    params = torch.stack([ARCHITECTURE.from_torch(model) for model in models]).double()
    members = []
    least = np.inf
    for candidate in np.argsort(own):
        average = ARCHITECTURE.to_torch(params[[*members, candidate]].mean(0))
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(average(data[0].double()), data[1]))
        if loss <= least:
            members.append(int(candidate))
            least = loss
    soup = found["", "greedy"]
    assert soup.members == tuple(members)
    assert soup.loss == pytest.approx(least, rel=1e-5)
    assert soup.loss <= min(own) + 1e-6


def test_matched_copies_make_a_soup_as_good_as_themselves():
    models, data = trained(1)
    params = ARCHITECTURE.from_torch(models[0]).repeat(5, 1)
    orders = torch.stack([torch.randperm(8, generator=torch.Generator().manual_seed(k)) for k in range(5)])
    shuffled = permute(ARCHITECTURE, params, (orders,))
    found = testbed.soup(shuffled, data, align=["cycle", "reference"], architecture=ARCHITECTURE)
    for path in ("cycle", "reference"):
        assert found[path, "uniform"].loss == pytest.approx(found.loss[0], rel=1e-6)
    assert found["", "uniform"].loss > 1.5 * found.loss[0]
    table = found.to_polars()
    assert table["recipe"].to_list() == ["mean of networks", "best network", *["uniform", "greedy"] * 3]
    assert len(repr(found)) < 500 and "<table" in found._repr_html_()


def test_the_table_has_the_networks_own_losses_first():
    models, (x, y) = trained(3)
    found = testbed.soup(models, (x, y), align="reference")
    rows = found.to_polars().rows(named=True)
    with torch.no_grad():
        own = [float(nn.functional.cross_entropy(model(x), y)) for model in models]
        wrong = [float((model(x).argmax(1) != y).float().mean()) for model in models]
    mean, best = rows[:2]
    assert (mean["path"], mean["members"]) == ("as trained", [0, 1, 2])
    assert (best["path"], best["members"]) == ("as trained", [int(np.argmin(own))])
    assert (mean["loss"], best["loss"]) == pytest.approx((np.mean(own), min(own)), rel=1e-5)
    assert (mean["error"], best["error"]) == pytest.approx((np.mean(wrong), wrong[int(np.argmin(own))]))
    assert [row["path"] for row in rows[2:]] == ["as trained", "as trained", "reference", "reference"]
    assert f"uniform soup of 3: loss {found['', 'uniform'].loss:.3g}" in repr(found)
    assert f"uniform soup of 3 after reference: loss {found['reference', 'uniform'].loss:.3g}" in repr(found)
    squares = testbed.soup(models, (x, nn.functional.one_hot(y, 3).float()), align=[]).to_polars()
    assert squares["error"].to_list() == [None] * 4 and squares["loss"].is_finite().all()


def test_what_makes_no_soup_is_refused_in_a_sentence():
    models, data = trained(1)
    with pytest.raises(ValueError, match="at least two networks"):
        testbed.soup(models, data)
    with pytest.raises(ValueError, match="align must be one of"):
        testbed.soup(models * 2, data, align="weights")
    broken = ARCHITECTURE.from_torch(models[0]).repeat(3, 1) * torch.tensor([[1.0], [torch.inf], [1.0]])
    with pytest.raises(ValueError, match=r"networks must be finite .* networks 1 are not"):
        testbed.soup(broken, data, architecture=ARCHITECTURE)
    with pytest.raises(KeyError, match="there is no soup"):
        testbed.soup(models * 2, data)["weights", "uniform"]
