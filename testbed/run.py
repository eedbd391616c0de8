"""Run a study: plan it, train, measure, write tables; continue where an earlier run was cut off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from rich.console import Console

import kernels
from kernels.checks import instance
from testbed import memory
from testbed.default_device import on_cpu
from testbed.ensemble import backend as backends
from testbed.ensemble import bounds, cluster_shards, planes, soups
from testbed.ensemble.cluster import connected
from testbed.ensemble.crew import crew
from testbed.ensemble.launch import Launch
from testbed.ensemble.measuring import Trained, measure
from testbed.ensemble.plan import Plan, plan
from testbed.ensemble.shards import Shard, network_shards, pair_shards
from testbed.ensemble.training import train
from testbed.environment import environment
from testbed.errors import StudyError
from testbed.progress import Stages
from testbed.results import meanings
from testbed.results.parts import Part
from testbed.results.results import Results
from testbed.results.store import DRAWN, Damaged, Store
from testbed.results.tables import Tables
from testbed.run_folder import folder_name
from testbed.study import Study

if TYPE_CHECKING:
    from distributed import Client

    from testbed.report import Page


MANY = 2**18  # networks and pairs of a run whose memory matters more than a few hundredths of its time


def results_of(name: str, runs: str | Path = "runs", *, quick: bool = False) -> Results:
    """A shipped study's results in the folder that `testbed run` gives them below `runs`; what is not there is run.

    >>> results_of("teacher_studnet")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    testbed.errors.StudyError: There is no study 'teacher_studnet': ...
    """
    report = run_study(Study.load(name, quick=quick), Path(runs) / folder_name(name, quick), progress=True)
    return Results.load(report.parent)


def run_study(
    study: Study, out: str | Path, *, backend: str = "auto", progress: bool = False, cluster: str | None = None
) -> Path:
    """Run a study into the folder `out` and return the path of its report.

    progress: bars in a terminal, else a line every ten seconds. cluster: address of a Dask cluster that trains and
    measures (`testbed.ensemble.cluster`); None: this process does. A script that asks for `local:4` does so below
    `if __name__ == "__main__":`, since its processes import it.

    A run that was cut off continues and ends in the same bytes; a finished one only gets its report anew. StudyError,
    with nothing written, if the folder holds another study or a run on another backend than is asked for, if the
    backend cannot run the study, or if a data file cannot be used; ValueError for what is no Study. What is damaged in
    the folder is computed anew, and said on stderr.

    >>> import tempfile
    >>> from testbed.results import Results
    >>> small = ['vary."architecture.hidden"=[[2],[3]]', 'vary."ensemble.spawn_step"=[0]', "measure.test_samples=512"]
    >>> report = run_study(Study.load("teacher_student", small, quick=True), tempfile.mkdtemp())
    >>> report.name, Results.load(report.parent).factors
    ('report.html', ['architecture.hidden', 'ensemble.spawn_step'])
    """
    instance("study", study, Study, 'Study.load("teacher_student")')
    return run_to_page(study, out, backend=backend, progress=progress, cluster=cluster).path


@on_cpu
def run_to_page(study: Study, out: str | Path, *, backend: str, progress: bool, cluster: str | None) -> Page:
    """`run_study`; returns the page with what was worked out for it."""
    store = Store(out)
    store.check(study)
    damage = {name: error for name, error in store.damage().items() if not DRAWN.fullmatch(name)}
    console = Console(stderr=True)
    for name in damage:
        what = "it is written" if name == "study.toml" else "the run is computed"
        _say(console, f"{store.folder / name} is damaged or missing: {what} anew.")
    if set(damage) - {"study.toml"} or not store.finished():
        with nullcontext() if cluster is None else connected(cluster) as client:
            _Runner(study, store, backend, console, progress, client).run("manifest.json" in damage)
    elif backend != "auto":
        computed = (store.manifest() or {}).get("environment", {})
        _check_environment(store, computed, {"backend": backend})
    memory.give_back()
    with store.begin(study):
        store.drop_shards()
        with console.status("figures and report") if progress and console.is_terminal else nullcontext():
            return _page(store)


def write_report(folder: str | Path) -> Path:
    """Draw the figures and write report.html of a finished run anew; returns its path. StudyError if it is not
    finished.
    """
    from testbed.report import write_page

    return write_page(Store(folder)).path


def _page(store: Store) -> Page:
    """The page of a finished run; what draws is imported only here, and measuring needs none of it."""
    from testbed.report import write_page

    return write_page(store)


def _check_environment(store: Store, earlier: dict[str, str], environment: dict[str, str]) -> None:
    """StudyError where the folder was begun with other versions, another backend or machine."""
    for key, now in environment.items():
        before = earlier.get(key)
        if before != now:
            raise StudyError(
                f"{store.folder} was begun with {key} {before}, this is {key} {now}: "
                "a run continues only as it began. Give another --out."
            )


class _Runner:
    """One study on its way into one folder: every shard that is not there yet, then the tables."""

    def __init__(
        self, study: Study, store: Store, backend: str, console: Console, progress: bool, client: Client | None
    ) -> None:
        self.store = store
        self.plan: Plan = plan(study)
        self.client = client
        self.order = cluster_shards.ordered(client, study, backend) if client is not None else None
        self.backend = backends.resolve(backend, self.plan) if self.order is None else self.order.backend
        self.environment = environment(self.backend) if self.order is None else dict(self.order.environment)
        cells = [cell for launch in self.plan.launches for cell in launch.cells.values()]
        bounds.check_memory(cells, self.backend)
        bounds.check_time(cells, self.backend)
        if self.plan.n_networks + self.plan.n_pairs > MANY:
            memory.give_back_at_once()
        self.timings: dict[str, float] = {}
        self.stages = Stages(console, progress)
        self.manifest: dict[str, Any] = {
            "study_sha256": study.sha256,
            "seed": study.seed,
            "quick": study.quick,
            "environment": self.environment,
        }

    def run(self, without_manifest: bool = False) -> None:
        """Train, measure, write the tables, and say in the manifest that they are there.

        without_manifest: that of an earlier run cannot be read; nothing says what its shards were computed with.
        """
        store = self.store
        earlier = None if without_manifest else store.manifest()
        if earlier is not None:
            _check_environment(store, earlier.get("environment", {}), self.environment)
        with store.begin(self.plan.study):
            if earlier is None:
                store.drop_shards()
            store.write_manifest(self.manifest | {"finished": False})
            self._write_shards()
            with self._timed("tables"):
                counts = self._write_tables()
            earlier_timings = store.timings()
            timings = {stage: round(earlier_timings.get(stage, 0) + taken, 3) for stage, taken in self.timings.items()}
            store.write_json("timings.json", timings)
            store.write_manifest(self.manifest | {"counts": counts, "finished": True})

    def _write_shards(self) -> None:
        with self.stages:
            if self.client is not None:
                self._compute_elsewhere(self.client)
                return
            with crew(self.plan) as self.crew:
                if self.backend == "gpu":
                    self._compile()
                self._begin_bars()
                for launch in self.plan.launches:
                    self._train(launch)
                    self._measure(launch)

    def _begin_bars(self) -> None:
        self.stages.add("networks", self.plan.n_networks)
        self.stages.add("pairs", self.plan.n_pairs)

    def _compute_elsewhere(self, client: Client) -> None:
        """All shards that are not there, by a cluster."""
        assert self.order is not None
        if self.backend == "gpu":
            with self._timed("compiling"):
                self.manifest["layouts"] = cluster_shards.layouts(client, self.order)
        self._begin_bars()
        work = cluster_shards.Work([], [], self._trained_shard)
        about: dict[str, dict[str, Any]] = {}
        for launch in self.plan.launches:
            for shard in network_shards(launch, self.backend):
                about[shard.name] = self._about(shard, launch.architecture)
                if self._has(shard, about[shard.name]):
                    self.stages.advance("networks", len(shard))
                else:
                    work.networks.append((launch, shard))
            for shard in pair_shards(launch, self.backend):
                about[shard.name] = self._about(shard)
                if self._has(shard, about[shard.name]):
                    self.stages.advance("pairs", len(shard))
                else:
                    work.pairs.append((launch, shard))
        of_networks = {shard.name for _, shard in work.networks}
        with self._timed("training, measuring and theory"):
            for shard, found in cluster_shards.computed(client, self.order, work):
                trained = shard.name in of_networks
                tensors = found if trained else found | {"n_pairs": torch.tensor(len(shard))}
                self.store.write_tensors(shard.name, tensors, about[shard.name])
                self.stages.advance("networks" if trained else "pairs", len(shard))

    def _compile(self) -> None:
        self.stages.add("kernels", None)

        def tell(done: int, total: int) -> None:
            self.stages.set("kernels", done, total)

        with self._timed("compiling"):
            self.manifest["layouts"] = backends.prepared(self.plan, tell)
        tell(1, 1)

    def _train(self, launch: Launch) -> None:
        for shard in network_shards(launch, self.backend):
            before = self.stages.done("networks")
            size = len(shard)
            about = self._about(shard, launch.architecture)
            if not self._has(shard, about):

                def within(done: int, total: int, before: float = before, size: int = size) -> None:
                    self.stages.set("networks", before + size * done / max(total, 1))  # no steps: 0

                with self._timed("training"):
                    networks = launch.networks_at(slice(shard.start, shard.stop))
                    self.store.write_tensors(shard.name, train(launch, networks, self.backend, within), about)
                memory.give_back()
            self.stages.set("networks", before + size)

    def _measure(self, launch: Launch) -> None:
        trained = self._trained_networks(launch)
        for shard in pair_shards(launch, self.backend):
            about = self._about(shard)
            if not self._has(shard, about):
                with self._timed("measuring and theory"):
                    pairs = launch.pairs_at(slice(shard.start, shard.stop))
                    found = measure(launch, trained, pairs, self.backend, self.crew)
                    self.store.write_tensors(shard.name, found | {"n_pairs": torch.tensor(len(shard))}, about)
                memory.give_back()
            self.stages.advance("pairs", len(shard))

    def _trained_parts(self, launch: Launch) -> list[Part]:
        shards = network_shards(launch, self.backend)
        return [Part(shard.start, shard.stop, partial(self._trained_shard, launch, shard)) for shard in shards]

    def _measured_parts(self, launch: Launch) -> list[Part]:
        shards = pair_shards(launch, self.backend)
        return [Part(shard.start, shard.stop, partial(self._measured_shard, shard)) for shard in shards]

    def _trained_networks(self, launch: Launch) -> Trained:
        return Trained.joined(launch, (part.read() for part in self._trained_parts(launch)))

    def _measured_shard(self, shard: Shard) -> dict[str, torch.Tensor]:
        return self.store.read_tensors(shard.name, self._about(shard))

    def _trained_shard(self, launch: Launch, shard: Shard) -> dict[str, torch.Tensor]:
        return self.store.read_tensors(shard.name, self._about(shard, launch.architecture))

    def _about(self, shard: Shard | str, architecture: kernels.Architecture | None = None) -> dict[str, Any]:
        """What a file of tensors says of itself: the study, its own name, and where a network's parameters are."""
        name = shard if isinstance(shard, str) else shard.name
        about: dict[str, Any] = {"study_sha256": self.plan.study.sha256, "name": name}
        if architecture is None:
            return about
        return about | {"widths": list(architecture.widths), "layout": [asdict(layer) for layer in architecture.layout]}

    def _has(self, shard: Shard, about: dict[str, Any]) -> bool:
        """Whether a shard is there and as it was written; if it is not, that is said."""
        if not self.store.has_tensors(shard.name):
            return False
        try:
            self.store.read_tensors(shard.name, about)
        except Damaged as error:
            _say(self.stages.console, str(error))
            return False
        return True

    def _write_tables(self) -> dict[str, int]:
        """Parameters and tables from the shards; returns the counts for the manifest."""
        store = self.store
        asked = self.plan.study.measure
        launches = self.plan.launches
        diverged = pl.concat([self._write_parameters(launch) for launch in launches])
        trained_parts = [self._trained_parts(launch) for launch in launches]
        measured_parts = [self._measured_parts(launch) for launch in launches]
        made = Tables(self.plan, trained_parts, measured_parts, diverged)
        written = {}
        for table in made:
            store.write_long(table)
            written[table.name] = table.columns
            memory.give_back()
        if asked.planes or asked.soups:
            trained = [self._trained_networks(launch) for launch in launches]
            if asked.planes:
                written["planes"] = planes.table(self.plan, trained, self.backend)
            if asked.soups:
                written["soups"] = soups.table(self.plan, trained, self.backend)
        for name in ("planes", "soups"):
            if name in written:
                store.write_table(name, written[name])
        store.write_json("columns.json", meanings.describe(written, self.plan.study.training.loss))
        return {
            "networks": self.plan.n_networks,
            "diverged": len(diverged),
            "pairs": self.plan.n_pairs,
            "pairs_left_out": made.n_left_out(),
        }

    def _write_parameters(self, launch: Launch) -> pl.Series:
        """The parameters of a launch; returns the numbers of the networks that diverged."""
        trained = self._trained_networks(launch)
        name = f"parameters/launch-{launch.index}"
        self.store.write_tensors(name, {"params": trained.params}, self._about(name, launch.architecture))
        return pl.Series(launch.network_numbers[(trained.diverged_at >= 0).numpy()])

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - start


def _say(console: Console, sentence: str) -> None:
    console.print(f"testbed: {sentence}", soft_wrap=True, markup=False, highlight=False, emoji=False)
