"""Some pairs of a launch: their curves measured, before and after alignment, and the theory beside them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

import kernels
import theory
from testbed.alignment import matching as alignment
from testbed.ensemble.plan import Launch
from testbed.measures import beside
from testbed.measures import chains as segments
from testbed.measures.permutations import permutations_chosen
from testbed.sections.spec import TheoryName

DEFINITIONS = theory.BARRIER_DEFINITIONS


def measure(
    launch: Launch, params: Tensor, diverged_at: Tensor, pairs: pl.DataFrame, backend: str
) -> dict[str, Tensor]:
    """Measured and predicted curves of these pairs of a launch; params and diverged_at are the whole launch's.

    Float64 `[n_pairs, n_alphas]`: train_loss, test_loss, test_standard_error, test_skewness, train_error, test_error, population_loss,
    exact_training_loss, twin_students_loss, each where it exists, and of each alignment the measured ones after it, as weights_train_loss;
    `[n_pairs, 4, 2]`: the theories' barriers, value and argmax under each of DEFINITIONS; `[n_pairs]`: different_permutation, 1 or 0,
    and distance, ‖θ_A − θ_B‖, also after each alignment. Rows of pairs with a diverged network are NaN.
    """
    start = launch.networks["network"]
    row = {
        side: np.searchsorted(start.to_numpy(writable=True), pairs[f"network_{side}"].to_numpy(writable=True))
        for side in "ab"
    }
    good = ((diverged_at[row["a"]] < 0) & (diverged_at[row["b"]] < 0)).numpy()
    if not good.any():
        return {}
    a, b, some = params[row["a"][good]], params[row["b"][good]], pairs.filter(pl.Series(good))
    study, dataset = launch.study, some["dataset"].to_numpy(writable=True)
    alphas, between = (
        torch.tensor(grid, dtype=torch.float64) for grid in (study.measure.alphas, study.measure.between)
    )
    result: dict[str, Tensor] = {}

    def predict(name: TheoryName) -> dict[str, Tensor]:
        if name == "twin_students":
            return _twin_students(launch, some, row["a"][good], row["b"][good], alphas.numpy())
        theory_of = {"population": _population, "exact_training": _exact_training}[name]
        return theory_of(launch, a, b, some, alphas.numpy())

    if study.measure.permutations:
        chosen = [_permutations(launch, side, dataset) for side in (a, b)]
        result["different_permutation"] = torch.from_numpy(chosen[0] != chosen[1]).double()

    # theory has one thread of its own: its short numpy calls gain nothing from two, and beside the kernels' threads it fills the cores
    with ThreadPoolExecutor(1) as pool:
        predictions = [pool.submit(predict, name) for name in study.measure.theory]
        result |= _paths(launch, a, b, alphas, some, backend)
        for prediction in predictions:
            result |= prediction.result()
    if study.measure.also and (samples := launch.train_sets) is not None:
        own, seeds = (
            torch.from_numpy(some["train_set_a"].to_numpy(writable=True)),
            some["test_seed"].to_numpy(writable=True),
        )
        n_teacher = launch.teacher.architecture.widths[1] if launch.teacher is not None else 0
        result |= beside.of_pairs(
            study.measure.also, launch.architecture, a, b, between, samples, own, study.training.loss, seeds, n_teacher
        )
    result |= _chains(launch, a, b, params, diverged_at, some, between, backend)
    for name in study.measure.alignment:
        ends = aligned(launch, name, a, b, params, diverged_at, some, between, backend)
        result |= {f"{name}_{key}": value for key, value in _paths(launch, *ends, alphas, some, backend).items()}
    return {key: _spread(value, good) for key, value in result.items()}


def _paths(
    launch: Launch, a: Tensor, b: Tensor, alphas: Tensor, pairs: pl.DataFrame, backend: str
) -> dict[str, Tensor]:
    """Loss and error along these paths, on training samples and on test samples, and their length."""
    result = {"distance": (a.double() - b.double()).norm(dim=1)}
    architecture, loss, n_test = launch.architecture, launch.study.training.loss, launch.study.measure.test_samples
    if (train := launch.train_sets) is not None:
        # where the ends were trained on different samples, the mean over both sets
        sets = [pairs[f"train_set_{side}"].to_numpy(writable=True) for side in "ab"]
        sets = sets[:1] if (sets[0] == sets[1]).all() else sets
        curves = [
            kernels.path_losses(architecture, a, b, alphas, train, loss, dataset=dataset, backend=backend)
            for dataset in sets
        ]
        result["train_loss"] = torch.stack([curve.loss for curve in curves]).mean(0)
        if loss == "cross_entropy":
            result["train_error"] = torch.stack([curve.error for curve in curves]).mean(0)  # type: ignore[misc]
    data, fresh = launch.test_sets, dict[str, Any]()
    if launch.teacher is not None:
        data, fresh = launch.teacher, {"n_samples": n_test, "seeds": pairs["test_seed"].to_numpy(writable=True)}  # type: ignore[assignment]
    if data is not None:
        dataset = pairs["dataset"].to_numpy(writable=True)
        test = kernels.path_losses(architecture, a, b, alphas, data, loss, dataset=dataset, backend=backend, **fresh)
        result |= {"test_loss": test.loss, "test_standard_error": test.standard_error, "test_skewness": test.skewness}
        if test.error is not None:
            result["test_error"] = test.error
    return result


def aligned(
    launch: Launch,
    name: str,
    a: Tensor,
    b: Tensor,
    params: Tensor,
    diverged_at: Tensor,
    pairs: pl.DataFrame,
    alphas: Tensor,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Both ends after an alignment: B brought to A, both rescaled, or with `reference` both brought to the first good network of their cell."""
    architecture, train = launch.architecture, launch.train_sets
    signs = architecture.activation in alignment.ODD and not architecture.normalise
    if name == "weights":
        return a, alignment.match_weights(architecture, a, b, signs=signs).params
    if name.startswith("canonical"):
        ends = alignment.canonical(architecture, a), alignment.canonical(architecture, b)
        return ends if name == "canonical" else (ends[0], alignment.match_weights(architecture, *ends).params)
    if name == "reference":
        cells = launch.networks["cell"].to_numpy()
        asked, place = np.unique(pairs["cell"].to_numpy(), return_inverse=True)
        first = np.array([np.flatnonzero((cells == cell) & (diverged_at.numpy() < 0))[0] for cell in asked])
        one = params[torch.from_numpy(first[place])]
        brought = [alignment.match_weights(architecture, one, side, signs=signs).params for side in (a, b)]
        return brought[0], brought[1]
    assert train is not None
    own = torch.from_numpy(pairs["train_set_a"].to_numpy(writable=True))
    if name == "activations":
        parts = []
        for k in range(0, len(a), 256):  # bounds the memory
            x = train[0][own[k : k + 256]]
            parts.append(
                alignment.match_activations(architecture, a[k : k + 256], b[k : k + 256], x, signs=signs).params
            )
        return a, torch.cat(parts)
    best = alignment.exhaustive(
        architecture, a, b, train, launch.study.training.loss, alphas, signs=signs, dataset=own.numpy(), backend=backend
    )
    return a, best.params


def _chains(
    launch: Launch,
    a: Tensor,
    b: Tensor,
    params: Tensor,
    diverged_at: Tensor,
    pairs: pl.DataFrame,
    alphas: Tensor,
    backend: str,
) -> dict[str, Tensor]:
    """Barriers of the training loss along two segments, `[n_pairs]`: over a trained bend, and over the centre of a star of other networks."""
    also, samples = launch.study.measure.also, launch.train_sets
    if samples is None or not {"bend", "star"} & set(also):
        return {}
    architecture, loss = launch.architecture, launch.study.training.loss
    own = pairs["train_set_a"].to_numpy(writable=True)
    middles: dict[str, Tensor] = {}
    if "bend" in also:
        parts = []
        for k in range(0, len(a), 256):  # bounds the memory
            data = samples[0][own[k : k + 256]], samples[1][own[k : k + 256]]
            parts.append(segments.trained_bends(architecture, a[k : k + 256], b[k : k + 256], data, loss))
        middles["bend"] = torch.cat(parts)
    if "star" in also:
        middles["star"] = torch.full(a.shape, torch.nan, dtype=torch.float64)
        networks = launch.networks.with_row_index("place").filter(pl.Series(diverged_at.numpy() < 0))
        for cell in pairs["cell"].unique().to_list():
            of_cell = networks.filter(cell=cell)
            leaves = of_cell.head(min(segments.STAR_LEAVES, len(of_cell) // 2))
            sets, names = leaves["train_set"].to_numpy(writable=True), leaves["network"].to_list()
            centre = segments.star_centre(
                architecture, params[leaves["place"].to_list()], (samples[0][sets], samples[1][sets]), loss
            )
            rest = (pl.col("cell") == cell) & ~pl.col("network_a").is_in(names) & ~pl.col("network_b").is_in(names)
            middles["star"][torch.from_numpy(pairs.select(rest).to_series().to_numpy(writable=True))] = centre
    found = {}
    for name, middle in middles.items():
        there = ~middle.isnan().any(1)
        barrier = torch.full((len(a),), torch.nan, dtype=torch.float64)
        if bool(there.any()):
            chain = [a[there], middle[there], b[there]]
            barriers = segments.chain_barriers(
                architecture, chain, samples, loss, alphas, dataset=own[there.numpy()], backend=backend
            )
            barrier[there] = torch.from_numpy(barriers)
        found[f"{name}_train_loss_barrier_linear"] = barrier
    return found


def population(launch: Launch, a: Tensor, b: Tensor, dataset: np.ndarray) -> theory.Curve:
    """The exact population loss along the paths a, b `[n_pairs, n_parameters]`, each with its data set's teacher."""
    architecture, teacher = launch.architecture, launch.teacher
    assert teacher is not None
    slope = (
        architecture.negative_slope if architecture.activation == "leaky_relu" else teacher.architecture.negative_slope
    )
    return theory.population_path(
        layers(architecture, a),
        layers(architecture, b),
        layers(teacher.architecture, teacher.params[dataset]),
        architecture.activation,
        teacher_activation=teacher.architecture.activation,
        negative_slope=slope,
        tol=1e-4,  # of the loss, far below what sampling can tell; 1e-6 would take half as long again
    )


def _population(launch: Launch, a: Tensor, b: Tensor, pairs: pl.DataFrame, alphas: np.ndarray) -> dict[str, Tensor]:
    curve = population(launch, a, b, pairs["dataset"].to_numpy(writable=True))
    barriers = [curve.barrier(definition) for definition in DEFINITIONS]
    return {"population_loss": torch.from_numpy(curve(alphas)), "population_barriers": _stacked(barriers)}


def _exact_training(launch: Launch, a: Tensor, b: Tensor, pairs: pl.DataFrame, alphas: np.ndarray) -> dict[str, Tensor]:
    """On the samples of both ends, which are one set unless a shift tells them apart."""
    architecture, samples = launch.architecture, launch.train_sets
    assert samples is not None
    slope = {"relu": 0.0, "leaky_relu": architecture.negative_slope, "identity": 1.0}[architecture.activation]
    loss = torch.empty(len(a), len(alphas), dtype=torch.float64)
    barriers = torch.empty(len(a), len(DEFINITIONS), 2, dtype=torch.float64)
    sets, which = np.unique(pairs.select("train_set_a", "train_set_b").to_numpy(), axis=0, return_inverse=True)
    for k, (one, other) in enumerate(sets.tolist()):
        rows = torch.from_numpy(np.flatnonzero(which == k))
        ends = layers(architecture, a[rows]), layers(architecture, b[rows])
        x, y = (part[[one] if one == other else [one, other]].flatten(0, 1).numpy() for part in samples)
        exact = theory.piecewise_barriers(*ends, x, y, alphas, negative_slope=slope, n_threads=1)
        loss[rows] = torch.from_numpy(exact.losses)
        barriers[rows] = _stacked([exact.barriers[definition] for definition in DEFINITIONS])
    return {"exact_training_loss": loss, "exact_training_barriers": barriers}


def _twin_students(
    launch: Launch, pairs: pl.DataFrame, row_a: np.ndarray, row_b: np.ndarray, alphas: np.ndarray
) -> dict[str, Tensor]:
    """The order-parameter equations from the pairs' initial networks; siblings share samples until the split, other pairs none."""
    teacher, training = launch.teacher, launch.study.training
    assert teacher is not None
    used, place = np.unique(np.concatenate([row_a, row_b]), return_inverse=True)
    initial = launch.initial(launch.networks[used])
    ends = [initial[torch.from_numpy(index)] for index in (place[: len(row_a)], place[len(row_a) :])]
    loss = torch.empty(len(pairs), len(alphas), dtype=torch.float64)
    barriers = torch.empty(len(pairs), len(DEFINITIONS), 2, dtype=torch.float64)
    groups = pairs.with_row_index("at").group_by("cell", "kind", maintain_order=True)
    for (cell, kind), group in groups:
        at = torch.from_numpy(group["at"].to_numpy(writable=True).astype(np.int64))
        study = launch.cells[cell]
        rate = study.training.optimizer.lr
        twins = theory.twin_students(
            layers(launch.architecture, ends[0][at]),
            layers(launch.architecture, ends[1][at]),
            layers(teacher.architecture, teacher.params[int(group["dataset"][0])]),
            [float(training.steps)],
            learning_rate=rate,
            output_rate=rate,
            spawn_time=float(study.ensemble.spawn_step) if kind == "siblings" else 0.0,
        )
        curve = twins.path(0)
        loss[at] = torch.from_numpy(curve(alphas))
        barriers[at] = _stacked([curve.barrier(definition) for definition in DEFINITIONS])
    return {"twin_students_loss": loss, "twin_students_barriers": barriers}


def _permutations(launch: Launch, params: Tensor, dataset: np.ndarray) -> np.ndarray:
    teacher = launch.teacher
    assert teacher is not None
    target = layers(teacher.architecture, teacher.params)[0][0][dataset]
    return permutations_chosen(layers(launch.architecture, params)[0][0], target)


def _stacked(barriers: list[theory.Barrier]) -> Tensor:
    """Value and argmax under each definition, `[n_pairs, 4, 2]`."""
    return torch.from_numpy(np.stack([np.stack([barrier.value, barrier.argmax], 1) for barrier in barriers], 1))


def layers(architecture: kernels.Architecture, params: Tensor) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Parameters as theory takes them: (W `[n, out, in]`, b `[n, out]` or None) of each layer, float64."""
    return [
        (w.double().numpy(), None if b is None else b.double().numpy()) for w, b in architecture.layers(params.cpu())
    ]


def _spread(values: Tensor, good: np.ndarray) -> Tensor:
    """Rows of `values` at the places where `good`, NaN elsewhere."""
    whole = values.new_full((len(good), *values.shape[1:]), torch.nan)
    whole[torch.from_numpy(good)] = values
    return whole
