"""From shards to tables: networks, pairs, curves, losses; and what every column means."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from torch import Tensor

import theory
from testbed.ensemble.measuring import DEFINITIONS
from testbed.ensemble.plan import Plan
from testbed.results.comparison import z_scores

ALIGNED = {
    "weights": "after weight matching",
    "activations": "after activation matching",
    "exhaustive": "after the best of all permutations (and signs, of odd activations)",
    "reference": "after both ends were matched to one network",
    "canonical": "after both ends were rescaled to equal incoming and outgoing norms",
    "canonical_weights": "after both ends were so rescaled and then matched by weights",
}
PREFIXES = {"": ""} | {f"{name}_": f", {how}" for name, how in ALIGNED.items()}
MEASURED = tuple(
    f"{prefix}{name}" for prefix in PREFIXES for name in ("train_loss", "test_loss", "train_error", "test_error")
)
CURVES = (
    *MEASURED,
    "test_standard_error",
    "test_skewness",
    "population_loss",
    "exact_training_loss",
    "twin_students_loss",
    "z",
)
PREDICTED = ("population", "exact_training", "twin_students")
ENDS = ("train_loss", "test_loss", "train_error", "test_error")
ALSO = {
    "disagreement": "share of training samples that the two ends put in different classes (mse: root mean square difference of outputs)",
    "top_eigenvalue_ends": "largest eigenvalue of the Hessian of the training loss, mean over both ends",
    "top_eigenvalue_quarters": "largest eigenvalue of the Hessian of the training loss, mean over alpha = 1/4 and 3/4",
    "top_eigenvalue_middle": "largest eigenvalue of the Hessian of the training loss at alpha = 1/2",
    "hessian_trace_ends": "trace of the Hessian of the training loss, mean over both ends",
    "hessian_trace_quarters": "trace of the Hessian of the training loss, mean over alpha = 1/4 and 3/4",
    "hessian_trace_middle": "trace of the Hessian of the training loss at alpha = 1/2",
    "hessian_trace_middle_standard_error": "standard error of hessian_trace_middle, 0 where the trace is exact",
    "perturbation_loss_rise": "rise of the training loss from the ends, half the path's length away in random directions",
    "calibrated_train_loss_barrier_linear": "barrier of the training loss (linear, on the grid) after the best softmax temperature at each alpha",
    "feature_residual": "largest residual over hidden layers of linear feature connectivity at alpha = 1/2, on the training inputs",
    "lemma_7_connected": "1 if lemma 7 of Lin, Li & Wu (2024) says that the ends are connected, 0 if not, null where an end is no minimum",
    "bend_train_loss_barrier_linear": "largest barrier of the training loss (linear, on the grid) of two segments over a trained bend",
    "star_train_loss_barrier_linear": "the same over the centre of a star of at most eight other networks, null for pairs that hold one of them",
}
GAPS = {
    f"{name}_gap": f"barrier of the training loss (linear) {ALIGNED[name]}, less that after the best of all permutations"
    for name in ("weights", "activations", "canonical_weights")
}
NUMBERS = ("different_permutation", *GAPS, *(f"{prefix}distance" for prefix in PREFIXES), *ALSO)  # one a pair


def networks_table(plan: Plan, shards: list[dict[str, Tensor]]) -> pl.DataFrame:
    """One row a network: plan, factors, final training loss, first bad step. shards: of all launches, one after the other."""
    order = pl.concat([launch.networks.select("network") for launch in plan.launches])["network"]
    result = pl.DataFrame(
        {
            "network": order,
            "train_loss": torch.cat([shard["train_loss"] for shard in shards]).numpy(),
            "diverged_at": torch.cat([shard["diverged_at"] for shard in shards]).numpy(),
            "stopped_at": torch.cat([shard["stopped_at"] for shard in shards]).numpy(),
        }
    ).with_columns(
        pl.col("train_loss").fill_nan(None),
        *(pl.when(pl.col(name) >= 0).then(name).alias(name) for name in ("diverged_at", "stopped_at")),
    )
    return plan.networks.join(plan.cells, on="cell").join(result, on="network").sort("network")


def losses_table(plan: Plan, shards: list[list[dict[str, Tensor]]]) -> pl.DataFrame:
    """One row a recorded training loss: network, step, loss. shards: of each launch."""
    tables = []
    for launch, parts in zip(plan.launches, shards, strict=True):
        losses = torch.cat([part["losses"] for part in parts]).numpy()
        steps = np.array(launch.study.training.build(launch.architecture.n_inputs).loss_steps, dtype=np.int64)
        network = launch.networks["network"].to_numpy()
        tables.append(
            pl.DataFrame(
                {
                    "network": np.repeat(network, len(steps)),
                    "step": np.tile(steps, len(network)),
                    "loss": losses.ravel(),
                }
            )
        )
    return pl.concat(tables).with_columns(pl.col("loss").fill_nan(None)).sort("network", "step")


def pair_tables(
    plan: Plan, shards: list[list[dict[str, Tensor]]], diverged: pl.Series
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`pairs`, one row a pair (barriers, z), and `curves`, one row a pair and alpha. shards: of each launch."""
    alphas = np.array(plan.study.measure.alphas)
    middle = int(np.argmin(abs(alphas - 0.5)))
    between, ends = (alphas >= 0) & (alphas <= 1), np.isin(alphas, (0, 1))
    pairs, curves = [], []
    for launch, parts in zip(plan.launches, shards, strict=True):
        columns = _joined(parts)
        pair = launch.pairs["pair"].to_numpy()
        row: dict[str, np.ndarray] = {"pair": pair}
        for name in (name for name in MEASURED if name in columns):
            good = np.isfinite(columns[name]).all(1)
            if name in ENDS:
                row[f"{name}_ends"] = columns[name][:, ends].mean(1)
            for definition in DEFINITIONS if 0.5 in alphas else DEFINITIONS[:3]:
                barrier = theory.barriers_on_grid(alphas[between], columns[name][good][:, between], definition)
                row[f"{name}_barrier_{definition}"] = _spread(barrier.value, good)
                if definition != "midpoint":
                    row[f"{name}_barrier_{definition}_alpha"] = _spread(barrier.argmax, good)
        for name in (name for name in PREDICTED if f"{name}_barriers" in columns):
            for k, definition in enumerate(DEFINITIONS):
                row[f"{name}_barrier_{definition}"] = columns[f"{name}_barriers"][:, k, 0]
                if definition != "midpoint":
                    row[f"{name}_barrier_{definition}_alpha"] = columns[f"{name}_barriers"][:, k, 1]
        row |= {name: columns[name] for name in NUMBERS if name in columns}
        if (best := "exhaustive_train_loss_barrier_linear") in row:
            matched = {name: f"{name.removesuffix('_gap')}_train_loss_barrier_linear" for name in GAPS}
            alike = (
                launch.pairs["train_set_a"] == launch.pairs["train_set_b"]
            ).to_numpy()  # the search looks at A's samples
            row |= {
                name: np.where(alike, row[column] - row[best], np.nan)
                for name, column in matched.items()
                if column in row
            }
        if "population_loss" in columns:
            columns["z"] = z_scores(
                columns["test_loss"],
                columns["population_loss"],
                columns["test_standard_error"],
                columns["test_skewness"],
                launch.study.measure.test_samples,
            )
            row["z"] = columns["z"][:, middle]
        pairs.append(pl.DataFrame(row))
        long = {"pair": np.repeat(pair, len(alphas)), "alpha": np.tile(alphas, len(pair))}
        curves.append(pl.DataFrame(long | {name: columns[name].ravel() for name in CURVES if name in columns}))
    table = plan.pairs.join(plan.cells, on="cell").with_columns(
        left_out=pl.col("network_a").is_in(diverged.implode()) | pl.col("network_b").is_in(diverged.implode())
    )
    measured = pl.concat(pairs, how="diagonal").fill_nan(None)
    return table.join(measured, on="pair").sort("pair"), pl.concat(curves, how="diagonal").fill_nan(None).sort(
        "pair", "alpha"
    )


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, np.ndarray]:
    """The shards of a launch as one array a name; a shard without it (all its pairs left out) gives NaN."""
    names = {name: part[name].shape[1:] for part in parts for name in part if name != "n_pairs"}
    rows = [int(part["n_pairs"]) for part in parts]
    return {
        name: np.concatenate(
            [
                part[name].numpy() if name in part else np.full((n, *shape), np.nan)
                for part, n in zip(parts, rows, strict=True)
            ]
        )
        for name, shape in names.items()
    }


def _spread(values: np.ndarray, good: np.ndarray) -> np.ndarray:
    whole = np.full(len(good), np.nan)
    whole[good] = values
    return whole


_BARRIERS = {
    "linear": "max over alpha of L(alpha) - ((1 - alpha) L(0) + alpha L(1))",
    "mean_endpoints": "max over alpha of L(alpha), less (L(0) + L(1))/2",
    "max_endpoint": "max over alpha of L(alpha), less max(L(0), L(1))",
    "midpoint": "L(1/2) - (L(0) + L(1))/2",
}
_SOURCES = {
    "train_loss": "of the measured training loss, maximum over the grid of alphas",
    "test_loss": "of the measured test loss, maximum over the grid of alphas",
    "train_error": "of the share of training samples misclassified, maximum over the grid",
    "test_error": "of the share of test samples misclassified, maximum over the grid",
    "population": "of the exact population loss (Gaussian moments)",
    "exact_training": "of the exact training loss (piecewise polynomial), maximum over all of [0, 1]",
    "twin_students": "predicted from the initial overlaps by the order-parameter equations of online learning, infinitely many inputs",
}
_COLUMNS = {
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
    "frozen_seed": "seed of the weights that keep their initial values, where some do",
    "own_seed": "seed of the training samples that are the network's own, where data.shared is below 1",
    "side": "1 or -1, the side that the network takes where data.shift is above 0",
    "train_set": "number of the network's training set within the launch",
    "train_set_a": "training set of the network at alpha = 0",
    "train_set_b": "training set of the network at alpha = 1",
    "stopped_at": "first step whose batch loss was below training.stop_below; null: none was",
    "spawn_step": "step from which the network draws its own batches (steps = parameter updates)",
    "diverged_at": "first step whose batch loss was not finite; null: never",
    "pair": "number of the pair, from 0",
    "kind": "siblings (one family) or independent (two families)",
    "network_a": "the network at alpha = 0",
    "network_b": "the network at alpha = 1",
    "test_seed": "seed of the pair's own fresh test inputs, where a teacher makes them",
    "left_out": "true if one of the two networks diverged: not measured, and in no average",
    "alpha": "place on the path theta(alpha) = (1 - alpha) theta_A + alpha theta_B",
    "test_loss": "mean loss over the test samples, labels without noise",
    "test_standard_error": "of test_loss as an estimate of the population's: sqrt(variance over samples / n)",
    "train_error": "share of training samples misclassified, 0 to 1",
    "test_error": "share of test samples misclassified, 0 to 1",
    "population_loss": "exact expected loss over x ~ N(0, I), labels without noise",
    "exact_training_loss": "training loss from the exact piecewise polynomial",
    "twin_students_loss": "population loss predicted by the order-parameter equations of online learning",
    "different_permutation": "1 if the students' units have specialised to different permutations of the teacher's, 0 if to the same",
    "third": "of the table of planes: what network C is",
    "corner": "A, B or C in the rows that say where these networks are; null in those of the grid",
    "u": "distance from A along theta_B - theta_A",
    "v": "distance from the line through A and B, towards C",
    "step": "parameter updates made before the loss was taken",
    "loss": "of that step's batch, before its update",
    "test_skewness": "skewness of the loss over the test samples",
    "z": "t + skewness (1 + 2 t^2) / (6 sqrt(n)), t = (test_loss - population_loss) / test_standard_error (Johnson 1978); "
    "in the table of pairs, at the alpha nearest 1/2",
}


def describe(tables: dict[str, pl.DataFrame], loss: str) -> dict[str, dict[str, str]]:
    """What every column of every table means, in the units of the loss."""
    unit = "half mean squared error, summed over outputs" if loss == "mse" else "softmax cross-entropy, nats"
    texts, sources = _COLUMNS | ALSO | GAPS, dict(_SOURCES)
    texts["train_loss"] = "mean loss over the whole training set (of the final network, in the table of networks)"
    for name in ENDS:
        texts[f"{name}_ends"] = f"mean over both ends of: {texts[name]}"
    for prefix, how in PREFIXES.items():
        for name in ("train_loss", "test_loss", "train_error", "test_error"):
            texts[f"{prefix}{name}"] = texts[name] + how
        texts[f"{prefix}distance"] = f"Euclidean distance of the two parameter vectors{how}"
        for source in ("train_loss", "test_loss", "train_error", "test_error"):
            sources[f"{prefix}{source}"] = _SOURCES[source] + how
    for source, of in sources.items():
        for definition, formula in _BARRIERS.items():
            measure = "share of samples" if source.endswith("error") else unit
            texts[f"{source}_barrier_{definition}"] = f"barrier {of}: {formula} [{measure}]"
            texts[f"{source}_barrier_{definition}_alpha"] = (
                f"the alpha at which {source}_barrier_{definition} is reached"
            )
    for name in (
        "train_loss",
        "test_loss",
        "test_standard_error",
        "population_loss",
        "exact_training_loss",
        "twin_students_loss",
        "loss",
    ):
        texts[name] += f" [{unit}]"
    return {
        table: {name: texts.get(name, "factor of the study: the value of this key") for name in frame.columns}
        for table, frame in tables.items()
    }
