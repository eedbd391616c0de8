"""Which backend runs a study: the one asked for if it can, or the one that `auto` stands for."""

from __future__ import annotations

import dataclasses
from typing import Any

import kernels
from testbed.ensemble.launch import Launch
from testbed.ensemble.plan import Plan
from testbed.ensemble.shards import pair_work, training_work
from testbed.errors import StudyError


def resolve(backend: str, plan: Plan) -> str:
    """The backend that will run all launches; StudyError with its sentence if it cannot.

    What `auto` stands for is decided by the kernels, which are told of the work of all launches together: worth a GPU,
    it goes there if its kernels know all of the study's settings.
    """
    if backend == "auto" and kernels.worth_a_gpu(work(plan)):
        try:
            return tried("gpu", plan)
        except StudyError:
            pass
    return tried(backend, plan)


def work(plan: Plan) -> float:
    """Multiply-adds of the kernels for the whole study, about."""
    return sum(
        training_work(launch) * len(launch.networks) + pair_work(launch).kernels * len(launch.pairs)
        for launch in plan.launches
    )


def tried(backend: str, plan: Plan) -> str:
    """The backend that ran one network of each launch for no steps; StudyError with its sentence if none could."""
    try:
        ran = {_try(backend, launch) for launch in plan.launches}
    except ValueError as error:
        raise StudyError(str(error)) from None
    return ran.pop() if len(ran) == 1 else "reference"


def _try(backend: str, launch: Launch) -> str:
    """The backend that trained one network for no steps and measured its path to itself; ValueError if it cannot."""
    network = launch.networks[:1]
    data = launch.train_sets or launch.teacher
    assert data is not None
    run = kernels.train(
        launch.architecture,
        launch.initial(network),
        data,
        dataclasses.replace(launch.training(network), steps=0, snapshots=()),
        dataset=[0],
        trainable=launch.trainable(network),
        tied=launch.tied,
        backend=backend,
    )
    fresh: dict[str, Any] = {}
    if isinstance(data, kernels.Teacher):
        fresh = {"n_samples": 2, "seeds": launch.pairs["test_seed"][:1].to_numpy()}
    kernels.path_losses(
        launch.architecture,
        run.params,
        run.params,
        [0.0],
        data,
        launch.study.training.loss,
        dataset=[0],
        backend=backend,
        **fresh,
    )
    return run.backend
