"""A cluster computes the bytes that one process computes, whoever is lost on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import testbed.run
from testbed import Study, StudyError, run_study
from testbed.ensemble import cluster_shards, shards
from testbed.ensemble.cluster import connected, take_gpu
from testbed.results.store import Store

dask = pytest.importorskip("dask")
SETTINGS = ['vary."architecture.hidden"=[[2],[5]]', 'vary."ensemble.spawn_step"=[0]', "training.steps=20000"]
SETTINGS += ["ensemble.families=40", "ensemble.independent_pairs=200", "measure.test_samples=512"]


def contents(folder: Path) -> dict[str, bytes]:
    """What must not depend on who computed it."""
    names = ("networks", "pairs", "curves", "losses")
    return {name: (folder / f"{name}.parquet").read_bytes() for name in names} | {
        "manifest": (folder / "manifest.json").read_bytes()
    }


@pytest.fixture
def study(monkeypatch, no_figures):
    """A study of some forty shards, a fraction of a second each."""
    monkeypatch.setattr(shards, "SHARD_WORK", {"native": 1e9, "reference": 2e7})
    return Study.load("teacher_student", SETTINGS)


@pytest.fixture
def expected(study, tmp_path):
    return contents(run_study(study, tmp_path / "here").parent)


@pytest.fixture(scope="module")
def client():
    """Of a cluster of two processes."""
    with connected("local:2") as client:
        yield client


def worker_pids(client) -> list[int]:
    """The processes of the workers that live."""
    nannies = client.cluster.workers.values()
    return [nanny.process.pid for nanny in nannies if nanny.process is not None and nanny.process.pid]


def run_while_workers_are_killed(client, study, folder, kills, pause, rng) -> int:
    """Run a study while a worker is killed every `pause` seconds on average, at most `kills` times; how many were."""
    done = threading.Event()
    killed = []

    def kill() -> None:
        while len(killed) < kills and not done.wait(rng.uniform(0, 2 * pause)):
            pids = worker_pids(client)
            if pids:
                killed.append(rng.choice(pids))
                os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        run_study(study, folder, cluster=client.scheduler.address)
    finally:
        done.set()
        killer.join()
    return len(killed)


@pytest.mark.slow
def test_a_cluster_gives_the_same_bytes_with_and_without_losses(client, study, expected, tmp_path):
    run_study(study, tmp_path / "whole", cluster=client.scheduler.address)
    assert contents(tmp_path / "whole") == expected
    killed = run_while_workers_are_killed(client, study, tmp_path / "losses", 1, 0.3, random.Random(1))
    assert killed == 1
    assert contents(tmp_path / "losses") == expected


@pytest.mark.slow
def test_20_workers_are_killed(client, study, expected, tmp_path):
    killed = 0
    rng = random.Random(20)
    for attempt in range(20):
        folder = tmp_path / f"run-{attempt}"  # a finished run asks nothing of workers
        killed += run_while_workers_are_killed(client, study, folder, 20 - killed, 1.5, rng)
        assert contents(folder) == expected, killed
        if killed == 20:
            return
    raise AssertionError(f"20 runs ended in the same bytes, but only {killed} workers were killed in them")


def without_page(store: Store) -> SimpleNamespace:
    """An empty page; figures would only take time."""
    store.write("report.html", b"")
    return SimpleNamespace(path=store.folder / "report.html")


@pytest.mark.slow
def test_what_is_there_is_not_computed_again(client, study, expected, monkeypatch, tmp_path):
    """A run that one process began, a cluster ends; and shards of pairs take networks that are there."""
    folder = tmp_path / "cut"

    def cut(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(testbed.run._Runner, "_measure", cut)
    with pytest.raises(KeyboardInterrupt):
        run_study(study, folder)
    assert list(folder.glob("shards/networks-0-*"))
    monkeypatch.undo()
    monkeypatch.setattr(shards, "SHARD_WORK", {"native": 1e9, "reference": 2e7})
    monkeypatch.setattr(testbed.run, "_page", without_page)
    asked = []
    computed = cluster_shards.computed

    def counted(client, order, work):
        asked.append([shard.name for _, shard in work.networks])
        return computed(client, order, work)

    monkeypatch.setattr(cluster_shards, "computed", counted)
    run_study(study, folder, cluster=client.scheduler.address)
    assert all(name.startswith("shards/networks-1-") for name in asked[0])
    assert contents(folder) == expected


def started(*arguments: str, path: Path | None = None) -> subprocess.Popen:
    """A scheduler or a worker; path: a folder whose modules come first."""
    command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
    before = {} if path is None else {"PYTHONPATH": os.pathsep.join((str(path), os.environ.get("PYTHONPATH", "")))}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet, env=os.environ | before, cwd=path)


STRANGERS = {  # what such a worker has, and what is said
    "testbed.py": (
        "raise ModuleNotFoundError(\"No module named 'testbed'\")",
        r"cannot import testbed: No module named",
    ),
    "lmc_testbed-0.0.7.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: lmc-testbed\nVersion: 0.0.7\n",
        r"has lmc-testbed 0\.0\.7, and this is",
    ),
}


@pytest.mark.parametrize("has", STRANGERS)
def test_a_worker_without_this_package_is_named(study, tmp_path, has):
    """It would end at the first shard that it is sent, and the run would wait for another."""
    text, said = STRANGERS[has]
    (tmp_path / "modules" / has).parent.mkdir(parents=True)
    (tmp_path / "modules" / has).write_text(text)
    where = ("--no-dashboard", "--scheduler-file", str(tmp_path / "scheduler.json"))
    scheduler = started("scheduler", "--port", "0", *where)
    worker = started("worker", "--nthreads", "1", "--no-nanny", *where, path=tmp_path / "modules")
    try:
        while not (tmp_path / "scheduler.json").exists():
            time.sleep(0.05)
        address = json.loads((tmp_path / "scheduler.json").read_text())["address"]
        with pytest.raises(StudyError, match=rf"The worker tcp://\S+ of the cluster {said}"):
            run_study(study, tmp_path / "run", cluster=address)
        assert not (tmp_path / "run").exists()
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_lost_scheduler_is_a_sentence_and_another_continues(study, expected, tmp_path):
    file = tmp_path / "scheduler.json"
    where = ("--scheduler-file", str(file))
    scheduler = started("scheduler", "--port", "0", "--no-dashboard", *where)
    worker = started("worker", "--nthreads", "1", "--no-dashboard", *where)
    folder = tmp_path / "run"

    def kill_after_some_shards() -> None:
        while len(list(folder.glob("shards/*"))) < 3:
            time.sleep(0.01)
        scheduler.kill()

    try:
        while not file.exists():
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        threading.Thread(target=kill_after_some_shards).start()
        with pytest.raises(StudyError, match=r"scheduler of the cluster is lost; the same command continues"):
            run_study(study, folder, cluster=address)
        assert not (folder / "networks.parquet").exists()
        soon = dask.config.set({"distributed.comm.timeouts.connect": 1})
        with soon, pytest.raises(StudyError, match=r"no Dask scheduler answers there"):
            run_study(study, folder, cluster=address)
        run_study(study, folder)
        assert contents(folder) == expected
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


@pytest.mark.parametrize("address", ["local", "local:0", "local:two", "slurm:", "here", "tcp:1.2.3.4"])
def test_what_is_no_address_is_refused(study, tmp_path, address):
    with pytest.raises(StudyError, match=r"--cluster must be tcp://HOST:PORT"):
        run_study(study, tmp_path / "run", cluster=address)
    assert not (tmp_path / "run").exists()


def test_workers_that_are_not_alike_are_named(study):
    order = cluster_shards.Order(study.toml(), "reference", (("backend", "reference"), ("torch", "1.0")))
    with pytest.raises(StudyError, match=r"A worker of the cluster has torch \S+, another 1\.0"):
        cluster_shards._plan(order)


def test_workers_of_one_machine_take_a_gpu_each(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "untouched")
    for n_gpus, expected in ((0, ["untouched"] * 3), (1, ["untouched"] * 3), (2, ["0", "1", "0"])):
        monkeypatch.setattr("torch.cuda.device_count", lambda n=n_gpus: n)
        seen = []
        for number in range(3):
            take_gpu(number)
            seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        assert seen == expected


def test_jobs_of_slurm(monkeypatch, tmp_path):
    """A stand-in for sbatch runs the script that it is given, as a job would."""
    slurm = tmp_path / "bin"
    slurm.mkdir()
    (slurm / "sbatch").write_text(
        f"#!/bin/bash\ncp $1 {tmp_path}/script\nbash {tmp_path}/script >{tmp_path}/job 2>&1 &\n"
        f"echo $! >{tmp_path}/pid\necho Submitted batch job 1\n"
    )
    (slurm / "scancel").write_text(f"#!/bin/bash\nkill $(cat {tmp_path}/pid)\ntouch {tmp_path}/cancelled\n")
    for tool in slurm.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slurm}:{os.environ['PATH']}")
    with (
        pytest.raises(StudyError, match=r"Cores, memory, walltime and GPUs of a job stand in"),
        connected("slurm:tiny"),
    ):
        pass
    job = {"jobqueue.slurm.cores": 1, "jobqueue.slurm.memory": "2GB", "jobqueue.slurm.interface": "lo"}
    with dask.config.set(job), connected("slurm:tiny:1") as client:
        client.wait_for_workers(1, timeout=60)
        assert client.submit(os.getpid).result() != os.getpid()
        assert [info["nthreads"] for info in client.scheduler_info()["workers"].values()] == [1]
        assert "#SBATCH -p tiny" in (tmp_path / "script").read_text()
    assert (tmp_path / "cancelled").exists()
