"""How a launch is cut into shards, a few seconds' work each, which a run that was cut off finds again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.alignment.registry import ALIGNMENTS
from testbed.kinds import Extent, Work
from testbed.measures import paths
from testbed.measures.registry import MEASURES, PREDICTIONS
from testbed.study import Study

if TYPE_CHECKING:
    from testbed.ensemble.launch import Launch

# multiply-adds in a shard, a few seconds on two cores; fixed, so that a run that continues finds the same shards
SHARD_WORK = {"gpu": 1e13, "native": 2e11, "reference": 5e9}
SHARD_OVER_REPEATED = 5  # a shard's work is at least so many times what it repeats
MOST_PAIRS = 2**13  # in a shard: what is measured of so many takes some tens of megabytes
FRESH_INPUT = 70  # multiply-adds that take as long as drawing one (1000-2-1 online, docs/performance.md)
LANES = 16  # networks in a shard are a multiple of it: a register's worth


@dataclass(frozen=True)
class Shard:
    """Rows start … stop − 1 of a launch's networks or pairs, and the file that holds what came of them."""

    name: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def network_shards(launch: Launch, backend: str) -> list[Shard]:
    """The networks of a launch, cut into a few seconds' work each."""
    size = trainings_at_once(launch.study, extent(launch), backend)
    n_trainings = sum(cells[0].n_networks for cells in launch.trainings)
    times = -(-launch.n_networks // n_trainings)  # that each training is measured
    return _cut(f"shards/networks-{launch.index}", launch.n_networks, times * size)


def trainings_at_once(study: Study, size: Extent, backend: str) -> int:
    """How many networks a shard trains."""
    return max(LANES, int(SHARD_WORK[backend] / max(training_work(study, size), 1)) // LANES * LANES)


def pair_shards(launch: Launch, backend: str) -> list[Shard]:
    """The pairs of a launch, cut likewise; but so that what every shard repeats stays a small part of its work."""
    of_a_pair = _share(pair_work(launch), backend)
    size = extent(launch)
    repeated = sum(_share(MEASURES[name].repeated(size), backend) for name in launch.study.measure.also)
    n_pairs = max(1, min(int(1 / of_a_pair), MOST_PAIRS), round(SHARD_OVER_REPEATED * repeated / of_a_pair))
    return _cut(f"shards/pairs-{launch.index}", launch.n_pairs, n_pairs)


def _share(work: Work, backend: str) -> float:
    """The part of a shard that this work is; whole arrays run at the reference's speed."""
    return work.kernels / SHARD_WORK[backend] + work.arrays / SHARD_WORK["reference"]


def training_work(study: Study, size: Extent) -> float:
    """Multiply-adds of training one network, about: forward, backward, and the gradient; and what draws fresh inputs.

    >>> from kernels import Architecture
    >>> size = Extent(Architecture((2, 3, 1)), n_train=10, n_test=10, n_alphas=25)
    >>> training_work(Study.load("width"), size) > 0
    True
    """
    n_inputs = size.architecture.n_inputs
    samples = steps_of_a_network(study, n_inputs) * (study.training.batch_size or size.n_train)
    drawn = FRESH_INPUT * n_inputs if study.training.online else 0
    return float(samples * (3 * size.architecture.n_parameters + drawn))


def steps_of_a_network(study: Study, n_inputs: int) -> int:
    """Parameter updates of one network, those of pruning included.

    >>> steps_of_a_network(Study.load("teacher_student"), n_inputs=8)
    4000
    """
    pruning = study.architecture.pruning
    rounds = 1 if pruning is None else 1 + pruning.rounds
    return study.training.steps * study.training.unit(n_inputs) * rounds


def pair_work(launch: Launch) -> Work:
    """Multiply-adds of all that is measured and predicted of one pair of a launch, about."""
    return setting_work(launch.study, extent(launch))


def setting_work(study: Study, size: Extent) -> Work:
    """The same of a study, for networks and samples of this extent.

    >>> from kernels import Architecture
    >>> size = Extent(Architecture((2, 3, 1)), n_train=10, n_test=10, n_alphas=25)
    >>> setting_work(Study.load("width"), size).kernels > 0
    True
    """
    measure = study.measure
    work = paths.work(size)
    for name in measure.theory:
        work += PREDICTIONS[name].work(size)
    for name in measure.also:
        work += MEASURES[name].work(size)
    for name in measure.alignment:
        work += ALIGNMENTS[name].work(size) + paths.work(size)
    return work


def extent(launch: Launch) -> Extent:
    """What the work for one pair of a launch grows with."""
    n_train = 0 if launch.train_sets is None else launch.train_sets[0].shape[1]
    if launch.teacher is not None:
        n_test = launch.study.measure.test_samples
    else:
        n_test = 0 if launch.test_sets is None else launch.test_sets[0].shape[1]
    return Extent(launch.architecture, n_train, n_test, len(launch.study.measure.alphas))


def _cut(name: str, n: int, size: int) -> list[Shard]:
    return [Shard(f"{name}-{k}", start, min(start + size, n)) for k, start in enumerate(range(0, n, size))]
