"""Run a study: plan it, train, measure, write tables; continue where an earlier run was cut off."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import kernels
from testbed.ensemble import measuring as measure
from testbed.ensemble import plan as ensembles
from testbed.ensemble import training
from testbed.ensemble.plan import Launch, Plan
from testbed.errors import StudyError
from testbed.report.figures import planes
from testbed.report.report import write_report
from testbed.results import tables
from testbed.results.store import Store
from testbed.study.study import Study

# multiply-adds in a shard, a few seconds on two cores; a fixed number, so that a run that continues finds the same shards
SHARD_WORK = {"gpu": 1e13, "native": 2e11, "reference": 5e9}
LANES = 16  # networks in a shard are a multiple of it: a register's worth


def run_study(study: Study, out: str | Path, *, backend: str = "auto", progress: bool = False) -> Path:
    """Run a study into the folder `out` and return the path of its report.

    A run that was cut off continues and ends in the same bytes; a finished one only gets its report anew. StudyError, with
    nothing written, if the folder holds another study, if the backend cannot run the study, or if a data file cannot be used.
    """
    store = Store(out)
    store.check(study)
    if not store.finished():
        plan = ensembles.plan(study)
        backend = _resolve(backend, plan)
        manifest = {
            "study_sha256": study.sha256,
            "seed": study.seed,
            "quick": study.quick,
            "environment": environment(backend),
        }
        _same_environment(store, manifest)
        with store.begin(study):
            store.write_json("manifest.json", manifest | {"finished": False})
            timings: dict[str, float] = {}
            _execute(store, plan, backend, timings, progress)
            with _timed(timings, "tables"):
                counts = _write_tables(store, plan, backend)
            earlier = store.read_json("timings.json") or {}
            store.write_json("timings.json", {k: round(earlier.get(k, 0) + v, 3) for k, v in timings.items()})
            store.write_json("manifest.json", manifest | {"counts": counts, "finished": True})
    with store.begin(study):
        store.drop_shards()
        with Console(stderr=True).status("figures and report") if progress else nullcontext():
            return write_report(store.folder)


def environment(backend: str) -> dict[str, str]:
    """Everything that the bytes of a run depend on besides the study: versions, backend, kind of machine."""
    versions = {name: _version(name) for name in ("lmc-testbed", "torch", "numpy", "scipy", "polars", "safetensors")}
    vector = f", {8 * kernels.native.vector_bytes()}-bit vectors" if backend == "native" else ""
    note = {"threads": "results do not depend on the number of threads"} if backend == "native" else {}
    return {
        "backend": backend,
        "machine": f"{platform.system()} {platform.machine()}{vector}",
        **note,
        "python": platform.python_version(),
        **versions,
    }


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _resolve(backend: str, plan: Plan) -> str:
    """The backend that will run all launches; StudyError with its sentence if it cannot.

    `auto` is the GPU where there is one, the study is large enough, and its kernels know all of the study's settings; else native, else reference.
    """
    if backend != "auto":
        return _tried(backend, plan)
    work = sum(
        training_work(launch) * len(launch.networks) + path_work(launch) * len(launch.pairs) for launch in plan.launches
    )
    worth = torch.cuda.is_available() and work > kernels.WORTH_A_TRANSFER
    for name in ("gpu", "native") if worth else ("native",):
        try:
            return _tried(name, plan)
        except StudyError:
            continue
    return _tried("reference", plan)


def _tried(backend: str, plan: Plan) -> str:
    """The backend, tried on one network of each launch for no steps; StudyError with its sentence if it cannot run them."""
    for launch in plan.launches:
        one, pair = launch.networks[:1], launch.pairs[:1]
        try:
            dry = dataclasses.replace(launch.training(one), steps=0, snapshots=())
            data = launch.train_sets or launch.teacher
            assert data is not None
            run = kernels.train(
                launch.architecture,
                launch.initial(one),
                data,
                dry,
                dataset=[0],
                trainable=launch.trainable(one),
                tied=launch.tied,
                backend=backend,
            )
            fresh: dict[str, Any] = (
                {"n_samples": 2, "seeds": pair["test_seed"].to_numpy()} if isinstance(data, kernels.Teacher) else {}
            )
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
        except ValueError as error:
            raise StudyError(str(error)) from None
    return backend


def _same_environment(store: Store, manifest: dict[str, Any]) -> None:
    earlier = store.read_json("manifest.json")
    for key, now in manifest["environment"].items():
        if earlier is not None and (before := earlier["environment"].get(key)) != now:
            raise StudyError(
                f"{store.folder} was begun with {key} {before}, this is {key} {now}: a run continues only as it began. Give another --out."
            )


@dataclasses.dataclass(frozen=True)
class Shard:
    """Rows start … stop − 1 of a launch's networks or pairs, and the file that holds what came of them."""

    name: str
    start: int
    stop: int


def training_work(launch: Launch) -> int:
    """Multiply-adds of training one network of a launch, about."""
    training, pruning = launch.study.training, launch.study.architecture.pruning
    samples = training.batch_size or launch.train_sets[0].shape[1]  # type: ignore[index]
    steps = (
        training.steps * training.unit(launch.architecture.n_inputs) * (1 if pruning is None else 1 + pruning.rounds)
    )
    return 3 * steps * samples * launch.architecture.n_parameters  # forward, backward, gradient


def path_work(launch: Launch) -> int:
    """Multiply-adds of measuring one pair of a launch, about."""
    measure = launch.study.measure
    return len(measure.alphas) * measure.test_samples * launch.architecture.n_parameters * (1 + len(measure.alignment))


def network_shards(launch: Launch, backend: str) -> list[Shard]:
    """The networks of a launch, cut into a few seconds' work each."""
    size = max(LANES, int(SHARD_WORK[backend] / max(training_work(launch), 1)) // LANES * LANES)
    return _cut(f"shards/networks-{launch.index}", len(launch.networks), size)


def pair_shards(launch: Launch, backend: str) -> list[Shard]:
    """The pairs of a launch, cut likewise."""
    return _cut(f"shards/pairs-{launch.index}", len(launch.pairs), max(1, int(SHARD_WORK[backend] / path_work(launch))))


def _cut(name: str, n: int, size: int) -> list[Shard]:
    return [Shard(f"{name}-{k}", start, min(start + size, n)) for k, start in enumerate(range(0, n, size))]


def _execute(store: Store, plan: Plan, backend: str, timings: dict[str, float], progress: bool) -> None:
    """Every shard that is not there yet."""
    columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
        networks, pairs = (
            bar.add_task("networks", total=len(plan.networks)),
            bar.add_task("pairs", total=len(plan.pairs)),
        )
        for launch in plan.launches:
            shards = network_shards(launch, backend)
            for shard in shards:
                before, size = bar.tasks[networks].completed, shard.stop - shard.start
                if not store.has_tensors(shard.name):

                    def within(done: int, total: int, before: float = before, size: int = size) -> None:
                        bar.update(networks, completed=before + size * done // total)

                    with _timed(timings, "training"):
                        store.write_tensors(
                            shard.name,
                            training.train(launch, launch.networks[shard.start : shard.stop], backend, within),
                        )
                bar.update(networks, completed=before + size)
            params = torch.cat([store.read_tensors(shard.name)["params"] for shard in shards])
            diverged_at = torch.cat([store.read_tensors(shard.name)["diverged_at"] for shard in shards])
            for shard in pair_shards(launch, backend):
                if not store.has_tensors(shard.name):
                    with _timed(timings, "measuring and theory"):
                        result = measure.measure(
                            launch, params, diverged_at, launch.pairs[shard.start : shard.stop], backend
                        )
                        store.write_tensors(shard.name, result | {"n_pairs": torch.tensor(shard.stop - shard.start)})
                bar.advance(pairs, shard.stop - shard.start)


def _write_tables(store: Store, plan: Plan, backend: str) -> dict[str, int]:
    """Parameters and tables from the shards; returns the counts for the manifest."""
    trained = [
        [store.read_tensors(shard.name) for shard in network_shards(launch, backend)] for launch in plan.launches
    ]
    measured = [[store.read_tensors(shard.name) for shard in pair_shards(launch, backend)] for launch in plan.launches]
    for launch, parts in zip(plan.launches, trained, strict=True):
        store.write_tensors(
            f"parameters/launch-{launch.index}", {"params": torch.cat([part["params"] for part in parts])}
        )
    networks = tables.networks_table(plan, [part for parts in trained for part in parts])
    diverged = networks.filter(pl.col("diverged_at").is_not_null())["network"]
    pairs, curves = tables.pair_tables(plan, measured, diverged)
    everything = {"networks": networks, "pairs": pairs, "curves": curves, "losses": tables.losses_table(plan, trained)}
    if plan.study.measure.planes:
        params, diverged_at = (
            [torch.cat([part[name] for part in parts]) for parts in trained] for name in ("params", "diverged_at")
        )
        everything["planes"] = planes.table(plan, params, diverged_at, backend)
    for name, table in everything.items():
        store.write_table(name, table)
    store.write_json("columns.json", tables.describe(everything, plan.study.training.loss))
    return {
        "networks": len(networks),
        "diverged": len(diverged),
        "pairs": len(pairs),
        "pairs_left_out": int(pairs["left_out"].sum()),
    }


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = timings.get(stage, 0.0) + time.perf_counter() - start
