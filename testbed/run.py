"""Run a study: plan it, train, measure, write tables; continue where an earlier run was cut off."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import polars as pl
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import kernels
from testbed.ensemble import backend as backends
from testbed.ensemble import planes
from testbed.ensemble.launch import Launch
from testbed.ensemble.measuring import Trained, measure
from testbed.ensemble.plan import Plan, plan
from testbed.ensemble.shards import network_shards, pair_shards
from testbed.ensemble.training import train
from testbed.errors import StudyError
from testbed.results import meanings, tables
from testbed.results.store import Store
from testbed.study import Study


def run_study(study: Study, out: str | Path, *, backend: str = "auto", progress: bool = False) -> Path:
    """Run a study into the folder `out` and return the path of its report.

    A run that was cut off continues and ends in the same bytes; a finished one only gets its report anew. StudyError,
    with nothing written, if the folder holds another study, if the backend cannot run the study, or if a data file
    cannot be used.

    >>> import tempfile
    >>> from testbed.results import Results
    >>> small = ['vary."architecture.hidden"=[[2],[3]]', 'vary."ensemble.spawn_step"=[0]', "measure.test_samples=512"]
    >>> report = run_study(Study.load("teacher_student", small, quick=True), tempfile.mkdtemp())
    >>> report.name, Results.load(report.parent).factors
    ('report.html', ['architecture.hidden', 'ensemble.spawn_step'])
    """
    store = Store(out)
    store.check(study)
    if not store.finished():
        _Runner(study, store, backend, progress).run()
    with store.begin(study):
        store.drop_shards()
        with Console(stderr=True).status("figures and report") if progress else nullcontext():
            return write_report(store.folder)


def write_report(folder: Path) -> Path:
    """The report of a finished run; what draws is imported only here, and measuring needs none of it."""
    from testbed.report import write_report

    return write_report(folder)


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


class _Runner:
    """One study on its way into one folder: every shard that is not there yet, then the tables."""

    def __init__(self, study: Study, store: Store, backend: str, progress: bool) -> None:
        self.store = store
        self.plan: Plan = plan(study)
        self.backend = backends.resolve(backend, self.plan)
        self.timings: dict[str, float] = {}
        columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), disable=not progress)
        self.manifest = {
            "study_sha256": study.sha256,
            "seed": study.seed,
            "quick": study.quick,
            "environment": environment(self.backend),
        }

    def run(self) -> None:
        """Train, measure, write the tables, and say in the manifest that they are there."""
        self._check_environment()
        store = self.store
        with store.begin(self.plan.study):
            store.write_json("manifest.json", self.manifest | {"finished": False})
            self._write_shards()
            with self._timed("tables"):
                counts = self._write_tables()
            earlier = store.read_json("timings.json") or {}
            timings = {stage: round(earlier.get(stage, 0) + taken, 3) for stage, taken in self.timings.items()}
            store.write_json("timings.json", timings)
            store.write_json("manifest.json", self.manifest | {"counts": counts, "finished": True})

    def _check_environment(self) -> None:
        """StudyError where the folder was begun with other versions, another backend or machine."""
        earlier = self.store.read_json("manifest.json")
        if earlier is None:
            return
        for key, now in environment(self.backend).items():
            before = earlier["environment"].get(key)
            if before != now:
                raise StudyError(
                    f"{self.store.folder} was begun with {key} {before}, this is {key} {now}: "
                    "a run continues only as it began. Give another --out."
                )

    def _write_shards(self) -> None:
        with self.bar:
            self.networks_done = self.bar.add_task("networks", total=len(self.plan.networks))
            self.pairs_done = self.bar.add_task("pairs", total=len(self.plan.pairs))
            for launch in self.plan.launches:
                self._train(launch)
                self._measure(launch)

    def _train(self, launch: Launch) -> None:
        for shard in network_shards(launch, self.backend):
            before = self.bar.tasks[self.networks_done].completed
            size = len(shard)
            if not self.store.has_tensors(shard.name):

                def within(done: int, total: int, before: float = before, size: int = size) -> None:
                    self.bar.update(self.networks_done, completed=before + size * done / max(total, 1))  # no steps: 0

                with self._timed("training"):
                    networks = launch.networks[shard.start : shard.stop]
                    self.store.write_tensors(shard.name, train(launch, networks, self.backend, within))
            self.bar.update(self.networks_done, completed=before + size)

    def _measure(self, launch: Launch) -> None:
        trained = Trained.joined(self._trained_shards(launch))
        for shard in pair_shards(launch, self.backend):
            if not self.store.has_tensors(shard.name):
                with self._timed("measuring and theory"):
                    pairs = launch.pairs[shard.start : shard.stop]
                    found = measure(launch, trained, pairs, self.backend)
                    self.store.write_tensors(shard.name, found | {"n_pairs": torch.tensor(len(shard))})
            self.bar.advance(self.pairs_done, len(shard))

    def _trained_shards(self, launch: Launch) -> list[dict[str, torch.Tensor]]:
        return [self.store.read_tensors(shard.name) for shard in network_shards(launch, self.backend)]

    def _write_tables(self) -> dict[str, int]:
        """Parameters and tables from the shards; returns the counts for the manifest."""
        launches = self.plan.launches
        shards = [self._trained_shards(launch) for launch in launches]
        measured = [
            [self.store.read_tensors(shard.name) for shard in pair_shards(launch, self.backend)] for launch in launches
        ]
        trained = [Trained.joined(parts) for parts in shards]
        for launch, networks_of_launch in zip(launches, trained, strict=True):
            params = {"params": networks_of_launch.params}
            self.store.write_tensors(f"parameters/launch-{launch.index}", params)
        networks = tables.networks_table(self.plan, [part for parts in shards for part in parts])
        diverged = networks.filter(pl.col("diverged_at").is_not_null())["network"]
        pairs, curves = tables.pair_tables(self.plan, measured, diverged)
        written = {
            "networks": networks,
            "pairs": pairs,
            "curves": curves,
            "losses": tables.losses_table(self.plan, shards),
        }
        if self.plan.study.measure.planes:
            written["planes"] = planes.table(self.plan, trained, self.backend)
        for name, table in written.items():
            self.store.write_table(name, table)
        self.store.write_json("columns.json", meanings.describe(written, self.plan.study.training.loss))
        return {
            "networks": len(networks),
            "diverged": len(diverged),
            "pairs": len(pairs),
            "pairs_left_out": int(pairs["left_out"].sum()),
        }

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
