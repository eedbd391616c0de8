"""The training kernel equals the reference over all it can be asked for, in both layouts of registers, however the
run is cut.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch

from kernels import ACTIVATIONS, Architecture, Schedule, gpu, reference
from kernels.gpu import launch
from kernels.problem import TrainingProblem
from tests.kernels.problems import OPTIMIZERS, check, problem, same_bits

DOUBLE, SINGLE = torch.float64, torch.float32
LANES = {
    "odd width": {"widths": (3, 5, 2)},
    "deep": {"widths": (2, 3, 4, 2), "n_datasets": 2},
    "no biases": {"widths": (2, 3, 2, 1), "biases": False},
    "three hidden layers": {"widths": (2, 3, 2, 3, 1)},
    "one of each": {"widths": (1, 1, 1), "n_samples": 1},
    "group of lanes": {"widths": (9, 16, 1)},
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [(2, 3, 1), pytest.param((3, 2, 2, 2), marks=pytest.mark.slow)])
def test_activations(activation, widths):
    p = problem(widths, activation, steps=4)
    check(gpu.train(p), reference.train(p), 1e-10)


@pytest.mark.parametrize("case", LANES)
def test_architectures(case):
    p = problem(**LANES[case], activation="tanh")
    check(gpu.train(p), reference.train(p), 1e-10)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("masked", [False, True])
def test_optimizers(optimizer, masked):
    p = problem(
        optimizer=optimizer,
        masked=masked,
        activation="leaky_relu",
        schedule=Schedule("cosine", 2),
        steps=5,
        snapshots=(0, 2, 5),
    )
    check(gpu.train(p), reference.train(p), 1e-10)


@pytest.mark.parametrize("batch", ["full", "epoch", "replacement", "online"])
@pytest.mark.parametrize("loss", ["mse", pytest.param("cross_entropy", marks=pytest.mark.slow)])
@pytest.mark.parametrize("n_datasets", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_batches(batch, loss, n_datasets):
    p = problem((5, 3, 3), "erf", loss=loss, batch=batch, n_samples=11, n_datasets=n_datasets)
    check(gpu.train(p), reference.train(p), 1e-10)


@pytest.mark.parametrize("batch", ["full", "epoch", "replacement", "online"])
@pytest.mark.parametrize("loss", ["mse", pytest.param("cross_entropy", marks=pytest.mark.slow)])
def test_tiles(batch, loss):
    p = problem((3, 20, 17, 2), "tanh", "momentum", loss, batch, SINGLE, n=2, n_samples=18, batch_size=17, n_datasets=2)
    assert launch.plan(p).layout.name == "tiles"
    check(gpu.train(p), reference.train(p), 1e-5)


@pytest.mark.parametrize(
    ("widths", "batch"), [((36, 17, 2), "full"), ((36, 17, 2), "epoch"), ((9, 17, 16, 2), "online")]
)
def test_tiles_of_many_inputs(widths, batch):
    p = problem(widths, "tanh", "momentum", "mse", batch, SINGLE, n=2, n_samples=18, batch_size=17, n_datasets=2)
    chosen = launch.plan(p)
    assert chosen.layout.name == "tiles" and chosen.net.wide
    check(gpu.train(p), reference.train(p), 1e-5)


@pytest.mark.parametrize(
    ("options", "why"),
    [({"batch": "online"}, "a teacher of more than 32 inputs"), ({"optimizer": "adam without eps"}, "eps = 0")],
)
def test_what_of_many_inputs_is_left_to_memory(options, why):
    layout = launch.plan(problem((36, 16, 2), dtype=SINGLE, **options)).layout
    assert layout.name == "memory" and layout.reason.startswith(why)


@pytest.mark.parametrize("optimizer", ["plain", "adamw"])
def test_tiles_in_double(optimizer):
    p = problem((2, 17, 33, 1), "relu", optimizer, dtype=DOUBLE, n=2, n_samples=16, masked=True)
    assert launch.plan(p).layout.name == "tiles"
    check(gpu.train(p), reference.train(p), 1e-10)


@pytest.mark.parametrize(
    ("layout", "widths"), [("lanes", (2, 5, 1)), ("tiles", (2, 17, 18, 1)), ("memory", (34, 4, 1))]
)
def test_adam_without_eps_leaves_masked_parameters_at_zero(layout, widths):
    p = problem(widths, "tanh", "adam without eps", n=2, masked=True, steps=4)
    assert launch.plan(p).layout.name == layout
    got, want = gpu.train(p), reference.train(p)
    assert (want.params[~p.mask] == 0).all() and want.params.isfinite().all()
    check(got, want, 1e-10)


@pytest.mark.parametrize("layout", [(2, 3, 1), (2, 24, 33, 1)])
def test_float32_stays_close(layout):
    p = problem(layout, dtype=SINGLE, steps=20, n=3, optimizer="adam")
    check(gpu.train(p), reference.train(p), 1e-4)


def test_a_linear_teacher():
    p = problem((3, 4, 2), batch="online", teacher=Architecture((3, 2), "tanh", biases=False))
    check(gpu.train(p), reference.train(p), 1e-10)


@pytest.mark.slow
def test_a_long_run_in_double():
    p = problem((2, 3, 1), "tanh", "momentum", n_samples=4, steps=100, n=3, record_every=7, snapshots=(10,))
    check(gpu.train(p), reference.train(p), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_the_bits_do_not_depend_on_how_the_run_is_cut(optimizer, monkeypatch):
    """Launches of one step, and pieces of two networks, give what one launch gives."""
    p = problem((3, 4, 1), optimizer=optimizer, batch="epoch", n=5, steps=5, batch_size=3, record_every=2)
    whole = gpu.train(p)
    monkeypatch.setattr(launch, "SAFE_RATE", 1.0)
    monkeypatch.setattr(launch, "MOST_PLACES", 2 * 2 * p.architecture.n_parameters)
    told: list[tuple[int, int]] = []
    cut = gpu.train(p, lambda done, total: told.append((done, total)))
    assert same_bits(whole, cut)
    assert len(told) == 15 and told[-1] == (25, 25)


def test_the_bits_do_not_depend_on_the_company():
    """A network alone, and with 34 others in two programs, takes the same path."""
    many = problem((2, 3, 1), batch="replacement", n=35, optimizer="plain", dtype=SINGLE)
    alone = only(many, 33)
    assert torch.equal(gpu.train(many).params[33], gpu.train(alone).params[0])


def only(p: TrainingProblem, k: int) -> TrainingProblem:
    import dataclasses

    names = ("params", "lr", "momentum", "weight_decay", "data_seeds", "spawn_steps", "spawn_seeds")
    samples = dataclasses.replace(p.samples, dataset=p.samples.dataset[k : k + 1])
    return dataclasses.replace(p, samples=samples, **{name: getattr(p, name)[k : k + 1] for name in names})


@pytest.mark.parametrize("widths", [(2, 3, 1), (2, 24, 33, 1)])
def test_divergence_is_marked_and_stays_with_its_network(widths):
    p = problem(widths, "square", steps=5, n=3, dtype=SINGLE)
    p.lr[1] = 1e25
    got, want = gpu.train(p), reference.train(p)
    assert want.diverged_at[1] >= 0 and (want.diverged_at[[0, 2]] == -1).all()
    assert torch.equal(got.diverged_at, want.diverged_at)
    quiet = problem(widths, "square", steps=5, n=3, dtype=SINGLE)
    assert torch.equal(got.params[[0, 2]], gpu.train(quiet).params[[0, 2]])


def test_no_steps():
    p = problem(steps=0, snapshots=(0,))
    check(gpu.train(p), reference.train(p), 1e-10)


def test_a_setting_that_is_new_is_refused_until_the_kernels_know_it():
    """A field that nobody told the kernels of, in each of the specs."""
    p = problem()
    for holder, name in ((p.architecture, "architecture"), (p.training, "training"), (p, None)):
        new = dataclasses.make_dataclass("New", [("brand_new", object, None)], bases=(type(holder),), frozen=True)
        fields = {field.name: getattr(holder, field.name) for field in dataclasses.fields(holder)}
        for value, refused in ((None, False), (3, True)):
            spec = new(**fields, brand_new=value)
            whole = spec if name is None else dataclasses.replace(p, **{name: spec})
            assert ("does not know brand_new yet" in gpu.refusal(whole)) == refused
