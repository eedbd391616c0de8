"""What `auto` stands for in a study, and how a launch is cut into shards."""

from __future__ import annotations

import torch

import kernels
from testbed import StudyError
from testbed.ensemble import backend as backends
from testbed.ensemble import shards
from testbed.ensemble.plan import plan as make_plan


def test_auto_is_the_best_backend_that_can_run_the_study(study, monkeypatch):
    """With a GPU, large studies take it; small ones, and those that it does not know, take what the kernels choose."""
    assert set(shards.SHARD_WORK) == set(kernels.BACKENDS) - {"auto"}
    plan = make_plan(study())
    asked = []
    really_tried = backends.tried

    def with_a_gpu_that(knows_the_study):
        def tried(backend, plan):
            asked.append(backend)
            if backend != "gpu":
                return really_tried(backend, plan)
            if not knows_the_study:
                raise StudyError("cannot")
            return "gpu"

        return tried

    chosen_by_the_kernels = "reference" if kernels.native.missing() else "native"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(backends, "tried", with_a_gpu_that(knows_the_study=True))
    assert backends.resolve("auto", plan) == chosen_by_the_kernels and asked[0] == "native"
    assert backends.resolve("reference", plan) == "reference"
    monkeypatch.setattr(backends.kernels, "WORTH_A_TRANSFER", 1)
    assert backends.resolve("auto", plan) == "gpu"
    monkeypatch.setattr(backends, "tried", with_a_gpu_that(knows_the_study=False))
    assert backends.resolve("auto", plan) == chosen_by_the_kernels
    monkeypatch.setattr(kernels.native, "missing", lambda: "its C++ was not compiled.")
    monkeypatch.setattr(kernels.gpu, "missing", lambda: "there is no GPU.")  # in truth
    asked.clear()
    assert backends.resolve("auto", plan) == "reference" and asked == ["gpu", "native", "reference"]


def test_a_shard_counts_all_that_is_measured(classes):
    """Every measure and alignment that a study asks for makes its pairs more work, and shards hold all pairs once."""

    def work(settings):
        (launch,) = make_plan(classes({"architecture.hidden": [4]} | settings)).launches
        cut = shards.pair_shards(launch, "native")
        assert [shard.start for shard in cut[1:]] == [shard.stop for shard in cut[:-1]]
        assert cut[0].start == 0 and cut[-1].stop == len(launch.pairs)
        total = shards.pair_work(launch)
        return total.kernels + total.arrays

    alone = work({})
    for name in ("disagreement", "sharpness", "perturbation", "temperature", "features", "bend", "star"):
        assert work({"measure.also": [name]}) > alone, name
    for name in ("weights", "activations", "exhaustive", "reference"):
        assert work({"measure.alignment": [name]}) > alone, name


def test_a_star_is_not_trained_anew_for_every_few_pairs(classes, monkeypatch):
    """A shard's own work outweighs what it repeats, however small a shard may be."""
    monkeypatch.setattr(shards, "SHARD_WORK", {"native": 1.0, "reference": 1.0})
    settings = {"ensemble.families": 40, "ensemble.independent_pairs": 400, "ensemble.pairs": ["independent"]}
    (alone,) = make_plan(classes(settings)).launches
    (star,) = make_plan(classes(settings | {"measure.also": ["star", "bend"]})).launches
    assert len(shards.pair_shards(alone, "native")) == 400
    assert len(shards.pair_shards(star, "native")) < 20
