"""Which backend runs a study: the one asked for if it can, or the one that `auto` stands for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

import kernels
from kernels.problem import PathProblem, TrainingProblem, path_problem, training_problem
from testbed.ensemble.launch import Launch
from testbed.ensemble.plan import Plan
from testbed.ensemble.shards import pair_work, training_work
from testbed.errors import StudyError

Progress = Callable[[int, int], None]


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
    """The backend that takes all of the study's work for the kernels; StudyError with its sentence if none does."""
    try:
        chosen = {kernels.chosen(backend, problem) for launch in plan.launches for problem in problems(launch)}
    except ValueError as error:
        raise StudyError(str(error)) from None
    return chosen.pop() if len(chosen) == 1 else "reference"


def problems(launch: Launch) -> list[TrainingProblem | PathProblem]:
    """All kinds of work that the kernels do for a launch, for one network of each of its cells.

    Trainings, with the mask of a pruning too, and paths on every source of samples.
    """
    networks = launch.networks.unique("cell", keep="first", maintain_order=True)
    architecture = launch.architecture
    params = launch.initial(networks)
    data = launch.train_sets or launch.teacher
    assert data is not None
    first = np.zeros(len(networks), dtype=np.int64)
    mask = launch.mask(networks)
    masks = [mask]
    if launch.study.architecture.pruning is not None and mask is None:
        masks.append(torch.ones_like(params, dtype=torch.bool))
    found: list[TrainingProblem | PathProblem] = [
        training_problem(
            architecture,
            params,
            data,
            launch.training(networks),
            dataset=first,
            mask=mask,
            trainable=launch.trainable(networks),
            tied=launch.tied,
        )
        for mask in masks
    ]
    ends = params[:1]
    for source in (launch.train_sets, launch.test_sets, launch.teacher):
        if source is not None:
            fresh = launch.study.measure.test_samples if isinstance(source, kernels.Teacher) else None
            loss = launch.study.training.loss
            found.append(path_problem(architecture, ends, ends, [0.0], source, loss=loss, dataset=[0], n_samples=fresh))
    if launch.study.measure.planes and launch.train_sets is not None:
        x, y = launch.train_sets
        found.append(path_problem(architecture, ends, ends, [0.0], (x[0], y[0]), loss=launch.study.training.loss))
    return found


def compile_ahead(plan: Plan, progress: Progress | None = None) -> int:
    """Compile the GPU kernels of a study in parallel, where there is a GPU; how many they are."""
    if not torch.cuda.is_available():  # interpreted
        return 0
    from kernels.gpu.compile import compile_ahead, target_here

    return compile_ahead((problem for launch in plan.launches for problem in problems(launch)), target_here(), progress)
