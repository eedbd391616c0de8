"""Which backend runs a study: the one asked for if it can, or the one that `auto` stands for."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

import kernels
from testbed.ensemble.launch import Launch
from testbed.ensemble.plan import Plan
from testbed.ensemble.shards import pair_work, training_work
from testbed.errors import StudyError


def resolve(backend: str, plan: Plan) -> str:
    """The backend that will run all launches; StudyError with its sentence if it cannot.

    `auto` is the GPU where there is one, the study is large enough, and its kernels know all of the study's settings;
    else native, else reference.
    """
    if backend != "auto":
        return tried(backend, plan)
    work = sum(
        training_work(launch) * len(launch.networks) + pair_work(launch).kernels * len(launch.pairs)
        for launch in plan.launches
    )
    worth_a_transfer = torch.cuda.is_available() and work > kernels.WORTH_A_TRANSFER
    for name in ("gpu", "native") if worth_a_transfer else ("native",):
        try:
            return tried(name, plan)
        except StudyError:
            continue
    return tried("reference", plan)


def tried(backend: str, plan: Plan) -> str:
    """The backend, if it can train one network of each launch for no steps; StudyError with its sentence if not."""
    for launch in plan.launches:
        try:
            _try(backend, launch)
        except ValueError as error:
            raise StudyError(str(error)) from None
    return backend


def _try(backend: str, launch: Launch) -> None:
    """One network for no steps, and its path to itself."""
    one = launch.networks[:1]
    data = launch.train_sets or launch.teacher
    assert data is not None
    run = kernels.train(
        launch.architecture,
        launch.initial(one),
        data,
        dataclasses.replace(launch.training(one), steps=0, snapshots=()),
        dataset=[0],
        trainable=launch.trainable(one),
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
