"""A Dask cluster that computes a study's shards: processes of this machine, jobs of Slurm, or one that runs already."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from kernels.cores import cores
from testbed.errors import StudyError
from testbed.processes import deaf

if TYPE_CHECKING:
    from distributed import Client

FORMS = "tcp://HOST:PORT of a scheduler, local:4 (processes of this machine) or slurm:PARTITION:8 (jobs)"
MOST_LOSSES = 20  # workers that one shard may lose before it is taken for the cause
SETTINGS = {
    "distributed.scheduler.allowed-failures": MOST_LOSSES,
    "distributed.scheduler.worker-saturation": 1.0,  # a shard waits for whoever is free first
    "distributed.admin.large-graph-warning-threshold": "10GB",
    "distributed.worker.memory.terminate": False,  # the plan's bounds have the last word
}


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the cluster at an address, in one of FORMS; what was started for it ends with it.

    StudyError where the address is none, Dask is not installed, or no scheduler answers.
    """
    kind, _, rest = address.partition(":")
    try:
        import dask
        import distributed
    except ImportError:
        raise StudyError("--cluster needs Dask: pip install 'lmc-testbed[cluster]'.") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # of lost workers and the like the run takes care
    with dask.config.set(SETTINGS):
        if kind in ("tcp", "tls", "ucx") and rest.startswith("//"):
            with _client(distributed, address) as client:
                yield client
            return
        with _started(kind, rest, address) as cluster, _client(distributed, cluster) as client:
            if kind == "local":
                client.register_plugin(_share_of_cores(int(rest)))
            yield client


@contextmanager
def _client(distributed: Any, address: Any) -> Iterator[Client]:
    try:
        client = distributed.Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise StudyError(f"--cluster {address}: no Dask scheduler answers there ({error}).") from None
    try:
        yield client
    finally:
        with suppress(OSError):  # of a scheduler that is lost
            client.close(timeout=10)


@contextmanager
def _started(kind: str, rest: str, address: str) -> Iterator[Any]:
    """The cluster that an address asks to start."""
    if kind == "local" and _is_count(rest):
        cluster = _local(int(rest))
    elif kind == "slurm" and rest:
        cluster = _slurm(*rest.partition(":")[::2])
    else:
        raise StudyError(f"--cluster must be {FORMS}, not {address!r}.")
    try:
        yield cluster
    finally:
        for worker in cluster.workers.values() if kind == "local" else ():  # nothing in it is to be kept
            with suppress(AttributeError, OSError):
                os.kill(worker.process.pid, signal.SIGKILL)
        with suppress(OSError):
            cluster.close(timeout=10)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) > 0


def _local(n: int) -> Any:
    """So many processes of this machine, which end with this one."""
    from distributed import LocalCluster

    quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with deaf():
        cluster = LocalCluster(n_workers=n, threads_per_worker=1, memory_limit=0, **quiet)
        cluster.adapt(minimum=n, maximum=n, interval="1s")  # one that dies while it starts is not started again else
    return cluster


def _slurm(partition: str, jobs: str) -> Any:
    """Jobs in a partition, one worker each; cores, memory, time and GPUs as dask-jobqueue's configuration has them."""
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise StudyError("--cluster slurm needs dask-jobqueue: pip install 'lmc-testbed[cluster]'.") from None
    if jobs and not _is_count(jobs):
        raise StudyError(f"--cluster slurm:{partition}:{jobs}: the last part must be the number of jobs.")
    try:
        cluster = SLURMCluster(queue=partition, processes=1, worker_extra_args=["--nthreads", "1"])
        cluster.scale(jobs=int(jobs or 1))
    except (ValueError, RuntimeError, OSError) as error:
        raise StudyError(
            f"--cluster slurm:{partition}: {error} Cores, memory, walltime and GPUs of a job stand in "
            "~/.config/dask/jobqueue.yaml under jobqueue.slurm."
        ) from None
    return cluster


def _share_of_cores(n: int) -> Any:
    """What each of n workers on this machine does first: keep to its own cores, and to one GPU if there are any."""
    from distributed import WorkerPlugin

    class Share(WorkerPlugin):
        name = "share of cores"

        def setup(self, worker: Any) -> None:
            number = int(worker.name)
            if hasattr(os, "sched_setaffinity"):  # Linux
                mine = sorted(os.sched_getaffinity(0))[number % min(n, cores()) :: n]
                os.sched_setaffinity(0, mine)
            take_gpu(number)

    return Share()


def take_gpu(number: int) -> None:
    """This process sees one GPU of those that there are, before anything in it has looked for them."""
    import torch

    n_gpus = torch.cuda.device_count()
    if n_gpus > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(number % n_gpus)
