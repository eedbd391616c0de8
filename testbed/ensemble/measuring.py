"""Some pairs of a launch, measured as the study asks: their paths, what stands beside them, and the theory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from testbed import columns, memory
from testbed.alignment.registry import ALIGNMENTS
from testbed.ensemble.crew import Crew, joined, one_thread
from testbed.ensemble.launch import Launch
from testbed.measures import paths, twin_check
from testbed.measures.permutations import different_permutation
from testbed.measures.registry import MEASURES, PREDICTIONS
from testbed.pair_set import HeldOut, Networks, OnlineStart, Origin, PairSet, TrainSamples

MOST_ACTIVATIONS = 2**24  # held at a time by the measures beside the barrier


@dataclass(frozen=True, eq=False)
class Trained:
    """The networks of a whole launch after training: params `[n, n_parameters]`; diverged_at int64 `[n]`, −1: never."""

    params: Tensor
    diverged_at: Tensor

    @classmethod
    def joined(cls, launch: Launch, shards: Iterable[dict[str, Tensor]]) -> Trained:
        """From what `training.train` gave for the launch's networks, part by part; one part is held at a time."""
        n = launch.n_networks
        params = torch.empty(n, launch.architecture.n_parameters, dtype=launch.dtype)
        diverged_at = torch.empty(n, dtype=torch.int64)
        start = 0
        for shard in shards:
            rows = slice(start, start + len(shard["params"]))
            params[rows], diverged_at[rows] = shard["params"], shard["diverged_at"]
            start = rows.stop
        assert start == n, "shards of other networks, or not of all"
        return cls(params, diverged_at)


def measure(
    launch: Launch, trained: Trained, pairs: pl.DataFrame, backend: str, crew: Crew | None = None
) -> dict[str, Tensor]:
    """Measured and predicted curves of these pairs of a launch, float64, by the names of `testbed.columns`.

    `[n_pairs, n_alphas]`: loss and error on training and test samples, also after each alignment, test_standard_error
    and test_skewness, and the predicted losses; `[n_pairs, 4, 2]`: the predicted barriers, value and argmax under each
    definition; `[n_pairs]`: everything else. Rows of pairs with a diverged network are NaN; nothing if all have one.

    crew: who computes the theory; None: a thread beside the kernels.

    >>> from testbed.ensemble.plan import plan
    >>> from testbed.ensemble.training import train
    >>> from testbed.study import Study
    >>> launch = plan(Study.load("teacher_student", quick=True)).launches[0]
    >>> trained = Trained.joined(launch, [train(launch, launch.networks, "auto")])
    >>> measure(launch, trained, launch.pairs[:4], "auto")["train_loss"].shape
    torch.Size([4, 25])
    """
    asked = launch.study.measure
    good = (trained.diverged_at[_rows(launch, pairs, "a")] < 0) & (trained.diverged_at[_rows(launch, pairs, "b")] < 0)
    if not bool(good.any()):
        return {}
    some = pair_set(launch, trained, pairs.filter(pl.Series(good.numpy())), backend)
    found: dict[str, Tensor] = {}
    if asked.permutations:
        found |= different_permutation(some)
    with one_thread() if crew is None else nullcontext(crew) as those:
        found |= _measured_and_predicted(some, asked.theory, those)
    found |= _measures(some, asked.also)
    for name in asked.alignment:
        memory.give_back()
        found |= paths.measured(ALIGNMENTS[name].align(some), name)
    return found if bool(good.all()) else {name: _at_rows(values, good) for name, values in found.items()}


def pair_set(launch: Launch, trained: Trained, pairs: pl.DataFrame, backend: str) -> PairSet:
    """These pairs of a launch with all that they are measured with; pairs of networks that did not diverge."""
    study = launch.study
    row_a = _rows(launch, pairs, "a")
    row_b = _rows(launch, pairs, "b")
    return PairSet(
        launch.architecture,
        trained.params[row_a],
        trained.params[row_b],
        torch.tensor(study.measure.alphas, dtype=torch.float64),
        study.training.loss,
        seeds=pairs["test_seed"].to_numpy(writable=True),
        row=np.searchsorted(launch.pair_numbers, pairs["pair"].to_numpy()),
        train=_train_samples(launch, pairs),
        test=_held_out(launch, pairs),
        origin=_origin(launch, trained, pairs),
        start=_online_start(launch, pairs, row_a, row_b) if study.training.online else None,
        backend=backend,
    )


def _measured_and_predicted(pairs: PairSet, predictions: tuple[str, ...], crew: Crew) -> dict[str, Tensor]:
    """The paths as the kernels measure them, and beside them as theory predicts them.

    Where a prediction has a compiled twin that twin predicts, and theory a sample of the pairs, by which it is judged.
    """
    twins = {name: twin for name in predictions if (twin := PREDICTIONS[name].twin) is not None and twin.takes(pairs)}
    rows = twin_check.sample(pairs)
    begun = {}
    for name in predictions:
        if name not in twins or len(rows):
            begun[name] = crew.predict(name, pairs[rows] if name in twins else pairs)
    found = paths.measured(pairs)
    for name in predictions:
        if name in twins:
            predicted = twins[name].predict(pairs)
            known = joined(begun[name]) if len(rows) else None
            predicted = twin_check.checked(name, predicted, known, rows, twins[name].tolerance)
            assert predicted.check is not None
            found[columns.check(name)] = predicted.check
        else:
            predicted = joined(begun[name])
        found[columns.predicted_loss(name)] = predicted.loss
        found[columns.predicted_barriers(name)] = predicted.barriers
    return found


def _measures(pairs: PairSet, names: tuple[str, ...]) -> dict[str, Tensor]:
    """The measures asked for, of as many pairs at a time as MOST_ACTIVATIONS allows."""
    measures = [MEASURES[name] for name in names]
    found: dict[str, Tensor] = {}
    held = [measure.held(pairs) for measure in measures if measure.held is not None]
    if held:
        n_samples = pairs.training_samples.x.shape[1]
        size = max(1, MOST_ACTIVATIONS // (max(held) * n_samples * max(pairs.architecture.widths)))
        parts: list[dict[str, Tensor]] = []
        for some in pairs.chunks(size):
            part: dict[str, Tensor] = {}
            for measure in measures:
                if measure.held is not None:
                    part |= measure.compute(some)
            parts.append(part)
        found |= {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    for measure in measures:
        if measure.held is None:
            found |= measure.compute(pairs)
    return found


def _rows(launch: Launch, pairs: pl.DataFrame, side: str) -> Tensor:
    """The rows of the launch's networks at one end of these pairs, int64 `[n_pairs]`."""
    return torch.from_numpy(np.searchsorted(launch.network_numbers, pairs[f"network_{side}"].to_numpy()))


def _train_samples(launch: Launch, pairs: pl.DataFrame) -> TrainSamples | None:
    if launch.train_sets is None:
        return None
    x, y = launch.train_sets
    set_a, set_b = (torch.from_numpy(pairs[f"train_set_{side}"].to_numpy(writable=True)) for side in "ab")
    return TrainSamples(x, y, set_a, set_b)


def _held_out(launch: Launch, pairs: pl.DataFrame) -> HeldOut | None:
    """A teacher's fresh inputs, or the data sets' own test samples, or none."""
    dataset = torch.from_numpy(pairs["dataset"].to_numpy(writable=True))
    if launch.teacher is not None:
        return HeldOut(launch.teacher, dataset, n_fresh=launch.study.measure.test_samples)
    return None if launch.test_sets is None else HeldOut(launch.test_sets, dataset)


def _origin(launch: Launch, trained: Trained, pairs: pl.DataFrame) -> Origin:
    def of_cell(cell: int) -> Networks:
        rows = launch.rows_of_cell(cell)
        rows = rows[trained.diverged_at.numpy()[rows] < 0]
        networks = launch.networks_at(rows)
        numbers = (networks[name].to_numpy(writable=True) for name in ("network", "train_set"))
        return Networks(trained.params[torch.from_numpy(rows)], *numbers)

    return Origin(pairs["cell"].to_numpy(), pairs["network_a"].to_numpy(), pairs["network_b"].to_numpy(), of_cell)


def _online_start(launch: Launch, pairs: pl.DataFrame, row_a: Tensor, row_b: Tensor) -> OnlineStart:
    """Siblings share samples until they split, other pairs none."""
    used, place = np.unique(torch.cat([row_a, row_b]).numpy(), return_inverse=True)
    initial = launch.initial(launch.networks_at(used))
    cells, cell = np.unique(pairs["cell"].to_numpy(), return_inverse=True)
    studies = [launch.cells[number] for number in cells.tolist()]
    learning_rates = np.array([study.training.optimizer.lr for study in studies])
    spawn_steps = np.array([float(study.ensemble.spawn_step) for study in studies])
    siblings = (pairs["kind"] == "siblings").to_numpy()
    return OnlineStart(
        initial[torch.from_numpy(place[: len(pairs)])],
        initial[torch.from_numpy(place[len(pairs) :])],
        learning_rate=learning_rates[cell],
        spawn_time=np.where(siblings, spawn_steps[cell], 0.0),
        group=2 * pairs["cell"].to_numpy() + siblings,
        duration=np.array([float(study.training.measured_at) for study in studies])[cell],
    )


def _at_rows(values: Tensor, good: Tensor) -> Tensor:
    """`values` at the rows where `good`, NaN elsewhere."""
    whole = values.new_full((len(good), *values.shape[1:]), torch.nan)
    whole[good] = values
    return whole
