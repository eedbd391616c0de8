"""Studies that start from networks in files."""

from __future__ import annotations

import numpy as np
import pytest
import tomli_w
import torch
from safetensors.torch import save_file
from torch import nn

import testbed
from kernels import Architecture
from testbed import Study, given_networks
from testbed.ensemble import training
from testbed.ensemble.plan import plan as make_plan
from testbed.errors import StudyError
from testbed.results import Results
from testbed.run import run_study
from tests.testbed.conftest import CLASSES, tables_of

AS_THEY_ARE = {"training.steps": 0, "ensemble.siblings": 1, "ensemble.pairs": ["independent"]}


def model(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))


@pytest.fixture
def checkpoints(tmp_path):
    """Eleven models and the files net-0.safetensors to net-10.safetensors."""
    models = [model(seed) for seed in range(11)]
    for seed, network in enumerate(models):
        save_file(network.state_dict(), tmp_path / f"net-{seed}.safetensors")
    return models


def written(folder, settings=None):
    """A study in this folder that starts from the files net-*.safetensors, its families not counted."""
    tables = tables_of(AS_THEY_ARE | (settings or {}), CLASSES)
    tables["ensemble"].pop("families")
    tables["ensemble"].setdefault("from", "net-*.safetensors")
    path = folder / "study.toml"
    path.write_text(tomli_w.dumps(tables))
    return path


def test_given_networks_are_measured_as_they_are(checkpoints, tmp_path, no_figures):
    study = Study.load(written(tmp_path, {"ensemble.independent_pairs": 55}))
    assert study.ensemble.families == 11
    run_study(study, tmp_path / "run")
    results = Results.load(tmp_path / "run")
    (launch,) = make_plan(study).launches
    (data,) = launch.data
    expected = testbed.barrier(checkpoints, None, data.train, alphas=5).to_polars()
    assert results.networks["given"].to_list() == list(range(11))  # net-10 comes last
    assert len(results.pairs) == 55
    by_pair = {
        (a, b): value
        for a, b, value in results.pairs.select("network_a", "network_b", "train_loss_barrier_linear").rows()
    }
    own = {(a, b): value for a, b, value in expected.filter(quantity="loss").select("a", "b", "linear").rows()}
    assert by_pair.keys() == own.keys()
    assert [by_pair[key] for key in own] == pytest.approx(list(own.values()), rel=1e-5, abs=1e-7)


def test_layers_whose_order_a_file_does_not_keep_are_not_guessed(tmp_path):
    """A .safetensors holds names sorted: inner, outer, readout, which fit each other, and are not as the model was."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 3))
    for stem, names in (("named", ["outer", "inner", "readout"]), ("numbered", ["linear", "linear_2", "linear_10"])):
        keys = [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]
        held = dict(zip(keys, network.state_dict().values(), strict=True))
        save_file(held, tmp_path / f"{stem}.safetensors")
        torch.save(held, tmp_path / f"{stem}.pt")
    architecture = Architecture((2, 2, 2, 3), "tanh")
    with pytest.raises(StudyError, match=r"named\.safetensors: the layers are sorted by their names, .* 2 orders fit"):
        given_networks.read([str(tmp_path / "named.safetensors")], {}, architecture)
    for file in ("named.pt", "numbered.pt", "numbered.safetensors"):
        read = given_networks.read([str(tmp_path / file)], {}, architecture)
        assert torch.equal(read[0], architecture.from_torch(network))


def test_siblings_start_from_the_network_of_their_family(checkpoints, tmp_path):
    settings = {"training.steps": 30, "ensemble.siblings": 2, "ensemble.pairs": ["siblings"]}
    study = Study.load(written(tmp_path, settings), ["ensemble.families=3"])
    (launch,) = make_plan(study).launches
    architecture = Architecture((2, 4, 4, 3), "tanh")
    start = torch.stack([architecture.from_torch(network) for network in checkpoints[:3]]).repeat_interleave(2, 0)
    assert torch.equal(launch.initial(launch.networks), start)
    trained = training.train(launch, launch.networks, "auto")["params"]
    assert not torch.equal(trained[0], trained[1])
    assert ((trained - start).abs() > 0).any(1).all()


def test_a_run_goes_on_from_the_parameters_of_another(study, tmp_path, no_figures):
    first = study({"training.snapshot": 15, "measure.theory": []})
    run_study(first, tmp_path / "first")
    tables = first.resolved()
    del tables["ensemble"]["families"], tables["training"]["snapshot"]
    tables["ensemble"] |= {"from": "first/parameters/*.safetensors", "siblings": 1, "pairs": ["independent"]}
    tables["training"]["steps"] = 0
    path = tmp_path / "second.toml"
    path.write_text(tomli_w.dumps(tables))
    (launch,) = make_plan(Study.load(path)).launches
    (one,) = make_plan(first).launches
    assert torch.equal(launch.initial(launch.networks), training.train(one, one.networks, "auto")["params"])


@pytest.mark.parametrize("suffix", ["pt", "pth"])
def test_a_checkpoint_of_torch_is_a_network_too(checkpoints, tmp_path, suffix):
    torch.save(checkpoints[4].state_dict(), tmp_path / f"one.{suffix}")
    study = Study.load(written(tmp_path, {"ensemble.from": [f"one.{suffix}", "net-2.safetensors"]}))
    (launch,) = make_plan(study).launches
    architecture = Architecture((2, 4, 4, 3), "tanh")
    expected = [architecture.from_torch(checkpoints[seed]) for seed in (4, 2)]
    assert torch.equal(launch.initial(launch.networks), torch.stack(expected))


def test_a_file_that_was_replaced_is_not_taken(checkpoints, tmp_path):
    study = Study.load(written(tmp_path))
    save_file(model(99).state_dict(), tmp_path / "net-3.safetensors")
    with pytest.raises(StudyError, match=r"ensemble\.from: .*net-3\.safetensors has changed"):
        make_plan(study)
    resolved = Study.make(study.resolved())  # as a run folder's study.toml holds it
    assert resolved == study
    with pytest.raises(StudyError, match="has changed"):
        make_plan(resolved)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ensemble.from": "none-*.pt"}, r"ensemble\.from: there is no file .*none-\*\.pt"),
        ({"ensemble.from": ["net-0.safetensors", "\0"]}, r"ensemble\.from: there is no file"),
        ({"ensemble.from": "study.toml"}, r"^ensemble\.from: /.*study\.toml holds no weights that can be read"),
        (
            {"ensemble.from": ["net-2.safetensors", "net-*.safetensors"]},
            r"ensemble\.from: .*net-2\.safetensors is named twice",
        ),
        ({"ensemble.from": 3}, r"ensemble\.from must be a list, not 3"),
        ({"ensemble.from": []}, r"ensemble\.from"),
        ({"architecture.hidden": [4]}, r"ensemble\.from: .*net-0\.safetensors: the weights have shapes"),
        ({"architecture.scale": 2.0}, r"architecture\.scale is for networks that are drawn"),
        ({"vary": {"ensemble.from": ["net-0.safetensors", "net-1.safetensors"]}}, r"'ensemble\.from' cannot vary"),
    ],
)
def test_what_cannot_be_a_start_is_refused_in_a_sentence(checkpoints, tmp_path, settings, sentence):
    with pytest.raises(StudyError, match=sentence):
        make_plan(Study.load(written(tmp_path, settings)))


def test_the_field_is_named_once(tmp_path):
    """Where families are given, files are read with the plan, and not counted before it."""
    study = Study.load(written(tmp_path, {"ensemble.from": "study.toml"}), ["ensemble.families=2"])
    with pytest.raises(StudyError, match=r"^ensemble\.from: /.*study\.toml holds no weights"):
        make_plan(study)


def test_more_families_than_networks_are_refused(checkpoints, tmp_path):
    study = Study.load(written(tmp_path), ["ensemble.families=12"])
    with pytest.raises(StudyError, match=r"ensemble\.families \(12\) must be at most the 11 networks"):
        make_plan(study)


def test_nothing_of_a_pickle_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (np.save, (str(tmp_path / "evil.npy"), 1))

    torch.save({"weight": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(StudyError, match="holds no weights that can be read"):
        Study.load(written(tmp_path, {"ensemble.from": "evil.pt"}))
    assert not (tmp_path / "evil.npy").exists()
