"""Which backend runs a study: the one asked for if it can, or the one that `auto` stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import polars as pl
import torch

import kernels
from kernels.problem import PathProblem, TrainingProblem, path_problem, training_problem
from testbed.ensemble.launch import Launch
from testbed.ensemble.plan import Plan
from testbed.ensemble.shards import extent, pair_work, training_work
from testbed.errors import StudyError
from testbed.processes import processes

Progress = Callable[[int, int], None]


def resolve(backend: str, plan: Plan) -> str:
    """The backend that will run all launches; StudyError with its sentence if it cannot.

    What `auto` stands for is decided by the kernels, which are told of the work of all launches together: worth a GPU,
    it goes there if its kernels know all of the study's settings.
    """
    if backend != "auto":
        return tried(backend, plan)
    candidates = ["gpu"] if kernels.worth_a_gpu(work(plan)) else []
    for candidate in [*candidates, "native"]:
        try:
            return tried(candidate, plan)
        except StudyError:
            pass
    return tried("reference", plan)


def work(plan: Plan) -> float:
    """Multiply-adds of the kernels for the whole study, about."""
    return sum(
        training_work(launch.study, extent(launch)) * launch.n_networks + pair_work(launch).kernels * launch.n_pairs
        for launch in plan.launches
    )


def tried(backend: str, plan: Plan) -> str:
    """The backend, if it takes all that the kernels are to do for the study; StudyError with its sentence if not."""
    try:
        for launch in plan.launches:
            for problem in problems(launch):
                kernels.chosen(backend, problem)
    except ValueError as error:
        raise StudyError(str(error)) from None
    return backend


def problems(launch: Launch) -> list[TrainingProblem | PathProblem]:
    """All kinds of work that the kernels do for a launch, for one network of each of its cells, with parameters 0.

    Trainings, with the mask of a pruning too, and paths on every source of samples.
    """
    networks = pl.concat(cell.networks(np.zeros(1, int)) for cell in launch.made_of)
    architecture = launch.architecture
    params = torch.zeros(len(networks), architecture.n_parameters, dtype=launch.dtype)
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


def prepared(plan: Plan, progress: Progress | None = None) -> list[dict[str, str]]:
    """Compile the GPU kernels of a study in parallel, where there is a GPU; which networks train in which layout, and
    why, for the manifest.
    """
    from kernels.gpu.plan import plan as kernel_plan

    layouts: dict[tuple[str, str], dict[str, str]] = {}

    def all_problems() -> Iterator[TrainingProblem | PathProblem]:
        for launch in plan.launches:
            for problem in problems(launch):
                if isinstance(problem, TrainingProblem):
                    layout = kernel_plan(problem).layout
                    network = "-".join(map(str, launch.architecture.widths))
                    row = {"network": network, "layout": layout.name, "reason": layout.reason}
                    layouts[network, layout.reason] = row
                yield problem

    if kernels.gpu.present():
        from kernels.gpu.compile import compile_ahead, one_thread, target_here

        # ready: a process that grew by the compiler only after its start, by 300 MB, would be started anew
        compile_ahead(all_problems(), target_here(), progress, pool=partial(processes, ready=one_thread))
    else:  # interpreted: nothing is compiled
        for _ in all_problems():
            pass
    return list(layouts.values())
