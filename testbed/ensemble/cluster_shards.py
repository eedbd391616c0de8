"""Shards that a cluster computes: each is a function of the study, so that whoever computes one writes the same bytes.

A worker makes the plan from the study, once; it is sent the numbers of a shard, and what was trained for it. Results
come back and are written by the one process that holds the run folder. What a worker that is lost had is computed anew.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from torch import Tensor

from testbed.ensemble import backend as backends
from testbed.ensemble.launch import Launch
from testbed.ensemble.measuring import Trained, measure
from testbed.ensemble.plan import Plan, plan
from testbed.ensemble.shards import Shard, network_shards
from testbed.ensemble.training import train
from testbed.environment import environment
from testbed.errors import StudyError
from testbed.study import Study
from testbed.study.dotted import parse

if TYPE_CHECKING:
    from distributed import Client, Future

DISTRIBUTION = "lmc-testbed"
ONE_AT_A_TIME = threading.Lock()  # a shard takes all the cores of its worker


@dataclass(frozen=True)
class Order:
    """What every worker is told of the run: the study as TOML, the backend, and what the other workers run on."""

    study: str
    backend: str
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Work:
    """Shards that are to be computed, and how to read those of networks that are there."""

    networks: list[tuple[Launch, Shard]]
    pairs: list[tuple[Launch, Shard]]
    stored: Callable[[Launch, Shard], dict[str, Tensor]]


def ordered(client: Client, study: Study, backend: str) -> Order:
    """The order for a cluster, whose workers choose what `auto` stands for; StudyError if they cannot run the study."""
    with _losses_said():
        _check_workers(client)
        asked = Order(study.toml(), backend)
        chosen = client.submit(_resolved, asked, pure=False).result()
        found = client.submit(environment, chosen, pure=False).result()
    return Order(study.toml(), chosen, tuple(found.items()))


def _check_workers(client: Client) -> None:
    """StudyError where a worker lacks this package, or has another version: such a worker ends when it is sent a shard,
    and says nothing. What is sent here is Python's own; of a worker that is lost meanwhile nothing is said.
    """
    client.wait_for_workers(1)
    for worker, found in client.run(importlib.util.find_spec, __name__, on_error="return").items():
        if isinstance(found, ImportError):
            raise StudyError(f"The worker {worker} of the cluster cannot import testbed: {found}.")
    own = environment("reference")[DISTRIBUTION]
    for worker, found in client.run(importlib.metadata.version, DISTRIBUTION, on_error="return").items():
        version = "not installed" if isinstance(found, ImportError) else found
        if isinstance(version, str) and version != own:
            raise StudyError(f"The worker {worker} of the cluster has {DISTRIBUTION} {version}, and this is {own}.")


def layouts(client: Client, order: Order) -> list[dict[str, str]]:
    """What the manifest says of the GPU kernels' layouts; they are compiled meanwhile."""
    with _losses_said():
        return list(client.submit(_layouts, order, pure=False).result())


def computed(client: Client, order: Order, work: Work) -> Iterator[tuple[Shard, dict[str, Tensor]]]:
    """The shards, as they are done. StudyError where the cluster is lost, or a shard ends worker after worker."""
    from distributed import as_completed

    trained: dict[str, Future] = {}
    shards: dict[str, Shard] = {}
    for launch, shard in work.networks:
        future = client.submit(_trained, order, launch.index, shard, pure=False)
        trained[shard.name] = future
        shards[str(future.key)] = shard
    wanted = list(trained.values())
    for launch, shard in work.pairs:
        for part in network_shards(launch, order.backend):
            if part.name not in trained:
                trained[part.name] = client.submit(_same, pickle.dumps(work.stored(launch, part)), pure=False)
        parts = [trained[part.name] for part in network_shards(launch, order.backend)]
        future = client.submit(_measured, order, launch.index, shard, parts, pure=False)
        wanted.append(future)
        shards[str(future.key)] = shard
    with _losses_said():
        for future in as_completed(wanted, loop=client.loop):
            yield shards[str(future.key)], pickle.loads(future.result())


@contextmanager
def _losses_said() -> Iterator[None]:
    """What a lost scheduler and lost workers raise, as sentences."""
    from distributed import KilledWorker
    from distributed.comm.core import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise StudyError(
            f"A shard ended {error.allowed_failures + 1} workers, for memory perhaps: give workers more of it, or "
            "lower ensemble.families or measure.test_samples; the same command continues."
        ) from None
    except (CancelledError, CommClosedError, OSError):
        raise StudyError("The scheduler of the cluster is lost; the same command continues.") from None


@lru_cache(maxsize=1)
def _plan(order: Order) -> Plan:
    """The plan on this worker, which must be as the others are."""
    own = environment(order.backend)
    for key, asked in order.environment:
        if own.get(key) != asked:
            raise StudyError(
                f"A worker of the cluster has {key} {own.get(key)}, another {asked}: the bytes of a run are those of "
                "one. Take workers that are alike."
            )
    made = plan(Study.make(parse(order.study)))
    if order.backend == "gpu":
        backends.prepared(made)
    return made


def _resolved(order: Order) -> str:
    return backends.resolve(order.backend, plan(Study.make(parse(order.study))))


def _layouts(order: Order) -> list[dict[str, str]]:
    return backends.prepared(_plan(order))


def _trained(order: Order, launch: int, shard: Shard) -> bytes:
    with ONE_AT_A_TIME:
        mine = _plan(order).launches[launch]
        return pickle.dumps(train(mine, mine.networks_at(slice(shard.start, shard.stop)), order.backend))


def _measured(order: Order, launch: int, shard: Shard, parts: list[bytes]) -> bytes:
    with ONE_AT_A_TIME:
        mine = _plan(order).launches[launch]
        trained = Trained.joined(mine, map(pickle.loads, parts))
        return pickle.dumps(measure(mine, trained, mine.pairs_at(slice(shard.start, shard.stop)), order.backend))


def _same(found: bytes) -> bytes:
    """What is there already, as a task: the scheduler sends it again where a worker that had it is lost."""
    return found
