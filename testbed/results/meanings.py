"""What every column of every table means: `columns.json` of a run."""

from __future__ import annotations

import polars as pl

from testbed import columns
from testbed.alignment.registry import ALIGNMENTS
from testbed.columns import DEFINITIONS, QUANTITIES
from testbed.measures.registry import MEASURES, PREDICTIONS

BARRIERS = {
    "linear": "max over alpha of L(alpha) - ((1 - alpha) L(0) + alpha L(1))",
    "mean_endpoints": "max over alpha of L(alpha), less (L(0) + L(1))/2",
    "max_endpoint": "max over alpha of L(alpha), less max(L(0), L(1))",
    "midpoint": "L(1/2) - (L(0) + L(1))/2",
}
MEASURED_SOURCES = {
    "train_loss": "of the measured training loss, maximum over the grid of alphas",
    "test_loss": "of the measured test loss, maximum over the grid of alphas",
    "train_error": "of the share of training samples misclassified, maximum over the grid",
    "test_error": "of the share of test samples misclassified, maximum over the grid",
}
COLUMNS = {
    "network": "number of the network, from 0",
    "cell": "number of the combination of factors, from 0",
    "launch": "number of the call of kernels.train; parameters/launch-<launch>.safetensors holds its networks",
    "row": "row of the network in that file's tensor params [n_networks, n_parameters]",
    "dataset": "number of the data set within the launch",
    "family": "number of the family: networks of one family share init_seed and data_seed",
    "sibling": "number of the network within its family",
    "init_seed": "seed of the initial parameters (Architecture.initial)",
    "data_seed": "seed of the batches before spawn_step",
    "spawn_seed": "seed of the batches from spawn_step on",
    "mask_seed": "seed of the random mask, where the architecture is sparse",
    "given": "number of the network of ensemble.from that it started from",
    "frozen_seed": "seed of the weights that keep their initial values, where some do",
    "own_seed": "seed of the training samples that are the network's own, where data.shared is below 1",
    "side": "1 or -1, the side that the network takes where data.shift is above 0",
    "train_set": "number of the network's training set within the launch",
    "train_set_a": "training set of the network at alpha = 0",
    "train_set_b": "training set of the network at alpha = 1",
    "stopped_at": "first step whose batch loss was below training.stop_below; null: none was",
    "spawn_step": "step from which the network draws its own batches (steps = parameter updates)",
    "diverged_at": "first step whose batch loss was not finite, or the last (if only then, or parameters are above "
    "3.4e38); null: never",
    "pair": "number of the pair, from 0",
    "kind": "siblings (one family) or independent (two families)",
    "network_a": "the network at alpha = 0",
    "network_b": "the network at alpha = 1",
    "family_a": "family of the network at alpha = 0",
    "family_b": "family of the network at alpha = 1",
    "test_seed": "seed of the pair's own fresh test inputs, where a teacher makes them",
    "left_out": "true if one of the two networks diverged: not measured, and in no average",
    "alpha": "place on the path theta(alpha) = (1 - alpha) theta_A + alpha theta_B",
    "train_loss": "mean loss over the whole training set (of the final network, in the table of networks)",
    "test_loss": "mean loss over the test samples, labels without noise",
    "test_standard_error": "of test_loss as an estimate of the population's: sqrt(variance over samples / n)",
    "train_error": "share of training samples misclassified, 0 to 1",
    "test_error": "share of test samples misclassified, 0 to 1",
    "different_permutation": "1 if the students' units have specialised to different permutations of the teacher's "
    "(of unequal numbers: to different maps of all units of the larger side onto all of the smaller), 0 if to the same",
    "third": "of the table of planes: what network C is",
    "corner": "A, B or C in the rows that say where these networks are; null in those of the grid",
    "u": "distance from A along theta_B - theta_A",
    "v": "distance from the line through A and B, towards C",
    "step": "parameter updates made before the loss was taken",
    "loss": "of that step's batch, before its update",
    "test_skewness": "skewness of the loss over the test samples",
    "z": "t + skewness (1 + 2 t^2) / (6 sqrt(n)), t = (test_loss - population_loss) / test_standard_error "
    "(Johnson 1978); in the table of pairs, at the alpha nearest 1/2",
}
OF_PLANES = {"loss": "mean loss over the training samples of network A, at this point of the plane"}
OF_SOUPS = {
    "path": "alignment that brought the networks into one frame before they were averaged; empty: none",
    "recipe": "uniform: average of all networks; greedy: of those that each did not raise the training loss, taken in "
    "the order of their own; mean of networks, best network: no average, but the networks themselves",
    "members": "networks that were averaged: the first of each family, none that diverged",
}
LOSSES = ("train_loss", "test_loss", "test_standard_error", "loss")  # columns in the unit of the loss


def describe(tables: dict[str, pl.DataFrame], loss: str) -> dict[str, dict[str, str]]:
    """The meaning of each column of each table, by table and column, in the units of the loss."""
    meanings = _meanings(loss)
    of_planes = {name: f"{text} [{_unit(loss)}]" for name, text in OF_PLANES.items()}
    found = {}
    for table, frame in tables.items():
        known = meanings | {"planes": of_planes, "soups": OF_SOUPS}.get(table, {})
        found[table] = {name: known.get(name, "factor of the study: the value of this key") for name in frame.columns}
    return found


def paths() -> dict[str, str]:
    """What is added to a meaning for each path along which a study may measure: nothing, and ", after …"."""
    return {"": ""} | {name: f", {alignment.phrase}" for name, alignment in ALIGNMENTS.items()}


def _meanings(loss: str) -> dict[str, str]:
    """Of every column that there may be."""
    unit = _unit(loss)
    meanings = dict(COLUMNS)
    for prediction in PREDICTIONS.values():
        meanings[columns.predicted_loss(prediction.name)] = prediction.curve
    for measure in MEASURES.values():
        meanings |= {column.name: column.meaning for column in measure.columns}
    meanings |= _of_gaps()
    for quantity in QUANTITIES:
        meanings[columns.ends(quantity)] = f"mean over both ends of: {COLUMNS[quantity]}"
    for path, how in paths().items():
        meanings[columns.distance(path)] = f"Euclidean distance of the two parameter vectors{how}"
        for quantity in QUANTITIES:
            meanings[columns.along(quantity, path)] = COLUMNS[quantity] + how
            of_errors = quantity.endswith("error")
            source = MEASURED_SOURCES[quantity] + how
            meanings |= _of_barriers(columns.along(quantity, path), source, "share of samples" if of_errors else unit)
    for prediction in PREDICTIONS.values():
        meanings |= _of_barriers(prediction.name, prediction.source, unit)
        meanings[columns.check(prediction.name)] = (
            f"{prediction.text}: how far theory's own route is from the compiled kernel, which computed it; the "
            "largest over the path and its barriers, in units of the largest loss on it; null for pairs outside the "
            "sample"
        )
    for name in (*LOSSES, *(columns.predicted_loss(name) for name in PREDICTIONS)):
        meanings[name] += f" [{unit}]"
    return meanings


def _unit(loss: str) -> str:
    return "half mean squared error, summed over outputs" if loss == "mse" else "softmax cross-entropy, nats"


def _of_barriers(source: str, text: str, unit: str) -> dict[str, str]:
    """The barriers of a source, and where they are reached."""
    meanings = {}
    for definition in DEFINITIONS:
        barrier = columns.barrier(source, definition)
        meanings[barrier] = f"barrier {text}: {BARRIERS[definition]} [{unit}]"
        meanings[columns.barrier_alpha(source, definition)] = f"the alpha at which {barrier} is reached"
    return meanings


def _of_gaps() -> dict[str, str]:
    """What the alignments that exhaustive search bounds leave beyond it."""
    return {
        columns.gap(name): f"barrier of the training loss (linear) {alignment.phrase}, "
        "less that after the best of all permutations"
        for name, alignment in ALIGNMENTS.items()
        if alignment.bounded
    }
